use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use crate::command::Command;
use crate::decode::lines;
use crate::encoders::ENCODERS;
use crate::utf16::shown;

/// A place that contains a secret, and the form of the secret. It does not contain the secret
/// itself, so an assertion can print it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leak {
    /// The place of the secret.
    pub place: Place,
    /// The form of the secret. If there are several, the simplest.
    pub form: &'static str,
}

/// A place in which a step can leave a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The line of stdout with this number, from 1.
    Stdout(usize),
    /// The line of stderr with this number, from 1.
    Stderr(usize),
    /// The output with this name. Some outputs contain a secret on purpose.
    Output(String),
    /// The saved state with this name, which the cleanup receives.
    State(String),
    /// The variable with this name, which all later steps receive.
    Env(String),
    /// The directories that the step prepended to `PATH`.
    Path,
    /// The job summary.
    Summary,
    /// A file that the step left, relative to the job's directory: `_temp/…`,
    /// `_temp/_github_home/…`, or `catalog/…`.
    File(PathBuf),
}

impl fmt::Display for Leak {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({})", self.place, self.form)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout(line) => write!(formatter, "line {line} of stdout"),
            Self::Stderr(line) => write!(formatter, "line {line} of stderr"),
            Self::Output(name) => write!(formatter, "output {name}"),
            Self::State(name) => write!(formatter, "state {name}"),
            Self::Env(name) => write!(formatter, "variable {name}"),
            Self::Path => write!(formatter, "search path"),
            Self::Summary => write!(formatter, "summary"),
            Self::File(path) => write!(formatter, "file {}", path.display()),
        }
    }
}

type Form = (&'static str, String);

/// The forms to search for, the simplest first.
pub(crate) fn forms(secret: &str) -> Vec<Form> {
    let mut forms = vec![("in the clear", secret.to_owned())];
    forms.extend(
        ENCODERS
            .iter()
            .map(|(name, encode)| (*name, shown(&encode(secret)))),
    );
    for shift in 0..3 {
        // The encoding of whole groups of three bytes does not depend on the neighboring bytes. The
        // encoding of the rest of the secret does.
        let bytes = secret.as_bytes().get(shift..).unwrap_or_default();
        let whole = &bytes[..bytes.len() / 3 * 3];
        if whole.len() >= 6 {
            forms.push(("within base64", STANDARD_NO_PAD.encode(whole)));
            forms.push(("within base64url", URL_SAFE_NO_PAD.encode(whole)));
        }
    }
    let hexadecimal: String = secret
        .bytes()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(hex_digit)
        .collect();
    forms.push(("hexadecimal", hexadecimal.to_uppercase()));
    forms.push(("hexadecimal", hexadecimal));
    forms.retain(|(_, text)| !text.is_empty());
    forms
}

fn hex_digit(value: u8) -> char {
    char::from(b"0123456789abcdef"[usize::from(value)])
}

pub(crate) fn in_text(forms: &[Form], text: &str, place: Place) -> Option<Leak> {
    let (form, _) = forms
        .iter()
        .find(|(_, form)| text.contains(form.as_str()))?;
    Some(Leak { place, form })
}

/// The leaks in a stream, at most one for each line. The stream is searched as a whole, since a
/// secret can have several lines.
pub(crate) fn in_stream(forms: &[Form], output: &str, place: fn(usize) -> Place) -> Vec<Leak> {
    let is_mask = |line: &&str| Command::parse(line).is_some_and(|command| command.is("add-mask"));
    let shown = |line| if is_mask(&line) { "" } else { line };
    let text = lines(output).map(shown).collect::<Vec<_>>().join("\n");

    let mut leaks = BTreeMap::new();
    for (name, form) in forms {
        for (at, _) in text.match_indices(form.as_str()) {
            let line = text[..at].matches('\n').count() + 1;
            leaks.entry(line).or_insert(*name);
        }
    }
    leaks
        .into_iter()
        .map(|(line, form)| Leak {
            place: place(line),
            form,
        })
        .collect()
}
