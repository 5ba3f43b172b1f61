//! The place that a command gives to an annotation: a file, lines, and columns.

use std::path::{MAIN_SEPARATOR, Path};

use crate::properties::{Properties, get, number, remove, set};

/// Removes or moves lines and columns that do not fit together. Returns what the runner says about
/// them when debugging.
///
/// Source: `ValidateLinesAndColumns` in `src/Runner.Worker/ActionCommandManager.cs`.
pub(crate) fn validate(command: &str, properties: &mut Properties) -> Vec<String> {
    let mut said = Vec::new();
    let mut say = |reason: &str| said.push(format!("Invalid {command} command value. {reason}"));
    let [line, end_line, column, end_column] =
        ["line", "endLine", "col", "endColumn"].map(|name| number(properties, name));
    let has_column = column.is_some() || end_column.is_some();
    let has_line = line.is_some() || end_line.is_some();

    if end_line.is_some() && line.is_none() {
        say("'endLine' can only be set if 'line' is provided");
        copy(properties, "endLine", "line");
    }
    if end_column.is_some() && column.is_none() {
        say("'endColumn' can only be set if 'col' is provided");
        copy(properties, "endColumn", "col");
    }
    if !has_line && has_column {
        say("'col' and 'endColumn' can only be set if 'line' value is provided.");
        remove_both(properties, ["col", "endColumn"]);
    }
    if end_line.is_some() && get(properties, "line") != get(properties, "endLine") && has_column {
        say("'col' and 'endColumn' cannot be set if 'line' and 'endLine' are different values.");
        remove_both(properties, ["col", "endColumn"]);
    }
    // As in the runner, a start that was missing counts as 0 here.
    if end_line.is_some_and(|end| end < line.unwrap_or_default()) {
        say("'endLine' cannot be less than 'line'.");
        remove_both(properties, ["line", "endLine"]);
    }
    if end_column.is_some_and(|end| end < column.unwrap_or_default()) {
        say("'endColumn' cannot be less than 'col'.");
        remove_both(properties, ["col", "endColumn"]);
    }
    said
}

fn copy(properties: &mut Properties, from: &str, to: &str) {
    let value = get(properties, from).unwrap_or_default().to_owned();
    set(properties, to, value);
}

fn remove_both(properties: &mut Properties, names: [&str; 2]) {
    for name in names {
        remove(properties, name);
    }
}

/// The file as GitHub gets it: relative to the workspace if it is in it.
///
/// Source: `MakeRelative` in `src/Runner.Sdk/Util/IOUtil.cs`.
pub(crate) fn relative(file: &str, workspace: &Path) -> String {
    let folder = workspace.to_string_lossy();
    let inside = file
        .strip_prefix(&*folder)
        .and_then(|rest| rest.strip_prefix(MAIN_SEPARATOR));
    match inside {
        Some(inside) if !inside.is_empty() => inside.to_owned(),
        _ => file.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn validated(properties: &[(&str, &str)]) -> (Vec<(String, String)>, usize) {
        let mut properties: Properties = properties
            .iter()
            .map(|&(name, value)| (name.into(), value.into()))
            .collect();
        let said = validate("notice", &mut properties);
        (properties, said.len())
    }

    #[test]
    fn an_end_alone_is_also_the_start() {
        let (properties, said) = validated(&[("endLine", "4")]);
        assert_eq!((get(&properties, "line"), said), (Some("4"), 1));
    }

    #[test]
    fn columns_need_one_line() {
        assert_eq!(validated(&[("col", "2")]), (vec![], 1));
        let (properties, _) = validated(&[("line", "1"), ("endLine", "2"), ("col", "2")]);
        assert_eq!(get(&properties, "col"), None);
    }

    #[test]
    fn an_end_before_the_start_removes_both() {
        assert_eq!(validated(&[("line", "5"), ("endLine", "2")]), (vec![], 1));
    }

    #[test]
    fn only_a_file_in_the_workspace_is_relative() {
        let relative = |file| relative(file, Path::new("/w/catalog"));
        assert_eq!(relative("/w/catalog/a/b"), "a/b");
        for file in ["/w/catalog", "/w/catalog/", "/w/catalogs/a", "./a"] {
            assert_eq!(relative(file), file);
        }
    }
}
