//! What the repository has of each agent: its test, and the version that the workflows install.

use std::fs;
use std::path::{Path, PathBuf};

use port_mcp_action::agents::Agent;
use serde_json::{Value, json};

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Each agent requires one test: with the real program, of its types, or of its keys. `action.yml` must name
/// it.
#[test]
fn every_agent_has_a_test() {
    let action = include_str!("../../action.yml");
    for agent in Agent::ALL {
        let name = agent.to_string();
        let paths = [
            format!("tests/e2e/agents/real/{name}.js"),
            format!("tests/e2e/agents/typed/{name}.js"),
            format!("tests/action/documented/{name}.json"),
        ];
        let tests: Vec<_> = paths
            .iter()
            .filter(|path| repository(path).is_file())
            .collect();
        assert_eq!(tests.len(), 1, "{name} must have one test: {paths:?}");
        assert!(
            action.contains(&format!("`{name}`")),
            "action.yml does not name {name}"
        );
    }
}

/// Every file of a test has the name of an agent.
#[test]
fn every_test_belongs_to_an_agent() {
    let known: Vec<String> = Agent::ALL.iter().map(ToString::to_string).collect();
    for directory in [
        "tests/action/documented",
        "tests/e2e/agents/real",
        "tests/e2e/agents/typed",
    ] {
        for entry in fs::read_dir(repository(directory)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            assert!(
                known.contains(&name),
                "{} belongs to no agent",
                path.display()
            );
        }
    }
}

/// The versions in the workflows are the tested ones. `.ci/agent-versions` writes them.
#[test]
fn the_workflows_install_the_tested_versions() {
    let tested: Value = serde_json::from_str(include_str!("../e2e/agents/package.json")).unwrap();
    let mut found = 0;
    for directory in ["docs/workflows", ".github/workflows"] {
        for entry in fs::read_dir(repository(directory)).unwrap() {
            let path = entry.unwrap().path();
            for line in fs::read_to_string(&path).unwrap().lines() {
                let line = line.trim();
                let (name, version) = if let Some(version) = line.strip_prefix("codex-version: ") {
                    ("@openai/codex", version)
                } else if let Some(version) = line.strip_prefix("gemini_cli_version: ") {
                    ("@google/gemini-cli", version)
                } else if line.contains("npm install ") {
                    let package = line.trim_end_matches(')').rsplit(' ').next().unwrap();
                    package.rsplit_once('@').unwrap()
                } else {
                    continue;
                };
                assert_eq!(
                    tested["dependencies"][name],
                    json!(version),
                    "{}",
                    path.display()
                );
                found += 1;
            }
        }
    }
    assert!(found > 8, "{found}");
}
