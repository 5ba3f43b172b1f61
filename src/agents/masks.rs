//! The forms of a configuration's texts that GitHub's runner does not mask by itself.

use secrecy::SecretString;
use serde_json::Value;

use super::config::Config;
use super::format::{one_line, single_quotable};
use crate::text::secrets::MIN_LENGTH;

/// The texts of a configuration, and their words, in forms that `args` contains and that GitHub's runner
/// does not derive from a mask: as [`single_quotable`] escapes them, or as JSON within JSON. The runner
/// would show a secret in such a form.
#[must_use]
pub(super) fn unmasked_forms(config: &Config, args: &str) -> Vec<SecretString> {
    let mut forms = Vec::new();
    for (_, value) in config.iter() {
        collect_forms(value, args, &mut forms);
    }
    forms.into_iter().map(SecretString::from).collect()
}

fn collect_forms(value: &Value, args: &str, forms: &mut Vec<String>) {
    match value {
        Value::String(text) => {
            let words = text.split_whitespace();
            for part in std::iter::once(text.as_str()).chain(words) {
                if part.chars().count() < MIN_LENGTH {
                    continue;
                }
                // The runner masks a secret as it is, and as part of a JSON string.
                let json = within_quotes(part);
                for form in [single_quotable(&json), within_quotes(&json)] {
                    let is_new = form != json && form != part && !forms.contains(&form);
                    if is_new && args.contains(&form) {
                        forms.push(form);
                    }
                }
            }
        }
        Value::Array(list) => list
            .iter()
            .for_each(|value| collect_forms(value, args, forms)),
        Value::Object(map) => map
            .values()
            .for_each(|value| collect_forms(value, args, forms)),
        _ => {}
    }
}

/// The text between the quotes of a JSON string.
fn within_quotes(text: &str) -> String {
    let json = one_line(&text);
    json[1..json.len() - 1].to_owned()
}
