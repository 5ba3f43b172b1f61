//! `action.yml` defines names, defaults, and descriptions. The outputs and the README must match it.

use std::fs;
use std::path::Path;

use yaml_serde::Value;

fn action() -> Value {
    yaml_serde::from_str(include_str!("../../action.yml")).unwrap()
}

pub(crate) fn section(name: &str) -> Vec<(String, Value)> {
    let action = action();
    let section = action[name].as_mapping().unwrap();
    section
        .iter()
        .map(|(name, about)| (name.as_str().unwrap().to_owned(), about.clone()))
        .collect()
}

fn description(about: &Value) -> &str {
    about["description"].as_str().unwrap()
}

/// Compares the rows of the tables, or, with `UPDATE_DOCS=1`, writes them. A new row becomes the last one.
#[test]
fn the_readme_has_the_same_tables() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(&path).unwrap();
    let rows = |name: &str, row: fn(&str, &Value) -> String| -> Vec<(String, String)> {
        section(name)
            .into_iter()
            .map(|(name, about)| (format!("| `{name}` |"), row(&name, &about)))
            .collect()
    };
    let inputs = rows("inputs", |name, about| {
        let default = match about["default"].as_str() {
            None => "required".to_owned(),
            Some("") => String::new(),
            Some(default) => format!("`{default}`"),
        };
        format!("| `{name}` | {default} | {} |", description(about))
    });
    let outputs = rows("outputs", |name, about| {
        format!("| `{name}` | {} |", description(about))
    });
    let (before, after) = readme.split_once("\n## Outputs\n").unwrap();
    let updated = format!(
        "{}\n## Outputs\n{}",
        with_rows(before, &inputs),
        with_rows(after, &outputs)
    );
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, updated).unwrap();
    } else {
        assert!(
            readme == updated,
            "README.md: UPDATE_DOCS=1 cargo test --test action interface"
        );
    }
}

/// The text with each row in place of the one that begins in the same way, or after the last of them.
fn with_rows(text: &str, rows: &[(String, String)]) -> String {
    let mut lines: Vec<&str> = text.split('\n').collect();
    for (beginning, row) in rows {
        let is_row = |line: &&str| line.starts_with(beginning);
        if let Some(found) = lines.iter().position(is_row) {
            lines[found] = row;
        } else {
            let is_known = |line: &&str| rows.iter().any(|(known, _)| line.starts_with(known));
            let last = lines.iter().rposition(is_known).unwrap();
            lines.insert(last + 1, row);
        }
    }
    lines.join("\n")
}
