//! `action.yml` defines names, defaults, and descriptions. The code and the README must match it.

use std::collections::BTreeMap;

use port_mcp_action::inputs::INPUTS;
use yaml_serde::Value;

use crate::harness::Step;

fn action() -> Value {
    yaml_serde::from_str(include_str!("../../action.yml")).unwrap()
}

fn section(name: &str) -> Vec<(String, Value)> {
    let action = action();
    let section = action[name].as_mapping().unwrap();
    section
        .iter()
        .map(|(name, about)| (name.as_str().unwrap().to_owned(), about.clone()))
        .collect()
}

#[test]
fn inputs_and_their_defaults() {
    let declared: Vec<(String, String)> = section("inputs")
        .into_iter()
        .map(|(name, about)| {
            (
                name,
                about["default"].as_str().unwrap_or_default().to_owned(),
            )
        })
        .collect();
    let known = INPUTS.map(|(name, default)| (name.to_owned(), default.to_owned()));
    assert_eq!(declared, known);
}

#[test]
fn outputs() {
    let declared: BTreeMap<String, Value> = section("outputs").into_iter().collect();
    let written = Step::new().input("config_file", "true").succeed().outputs;
    assert_eq!(
        declared.keys().collect::<Vec<_>>(),
        written.keys().collect::<Vec<_>>()
    );
}

#[test]
fn the_readme_has_the_same_tables() {
    let readme = include_str!("../../README.md");
    for (name, about) in section("inputs") {
        let default = match about["default"].as_str() {
            None => "required".to_owned(),
            Some("") => String::new(),
            Some(default) => format!("`{default}`"),
        };
        let row = format!(
            "| `{name}` | {default} | {} |",
            about["description"].as_str().unwrap()
        );
        assert!(readme.contains(&row), "the README lacks this row:\n{row}");
    }
    for (name, about) in section("outputs") {
        let row = format!("| `{name}` | {} |", about["description"].as_str().unwrap());
        assert!(readme.contains(&row), "the README lacks this row:\n{row}");
    }
}
