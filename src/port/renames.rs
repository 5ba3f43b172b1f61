//! Former tools of Port's MCP server. Its tools change often, while guides and workflows keep the old
//! names.

/// Former names that follow no pattern, and their replacements.
const REPLACED: &[(&str, &str)] = &[
    ("get_blueprint", "list_blueprints"),
    ("get_blueprints", "list_blueprints"),
    ("get_scorecard", "list_scorecards"),
    ("get_scorecards", "list_scorecards"),
    ("get_actions", "list_actions"),
    ("get_entity", "list_entities"),
    ("get_entities", "list_entities"),
    ("get_entities_by_identifiers", "list_entities"),
    // With the parameter `countOnly`.
    ("count_entities", "list_entities"),
    ("trigger_workflow_run", "trigger_run"),
    ("search_docs_sources", "search_port_knowledge_sources"),
    ("ask_docs_question", "search_port_knowledge_sources"),
    ("search_port_docs_sources", "search_port_knowledge_sources"),
    ("search_port_sources", "search_port_knowledge_sources"),
    ("run_workflow", "trigger_run"),
];

/// Tools of 2025 that were removed without a replacement.
const REMOVED: &[&str] = &["describe_organization", "invoke_ai_agent"];

/// Whether the tool `name` was removed without a replacement.
#[must_use]
pub fn is_removed(name: &str) -> bool {
    REMOVED.contains(&name)
}

/// The replacement of the tool `name`, if it is known.
#[must_use]
pub fn replacement(name: &str) -> Option<&'static str> {
    REPLACED
        .iter()
        .find(|(former, _)| *former == name)
        .map(|(_, replacement)| *replacement)
}

/// The possible replacements of the tool `name`, the most likely first. These are guesses: use one
/// only if the server offers it, and never grant one without the user.
#[must_use]
pub fn replacements(name: &str) -> Vec<String> {
    let mut found: Vec<String> = REPLACED
        .iter()
        .filter(|(former, _)| *former == name)
        .map(|(_, name)| (*name).to_owned())
        .collect();
    if let Some(what) = name.strip_prefix("get_") {
        found.extend([format!("list_{what}"), format!("list_{what}s")]);
    }
    if let Some(what) = name
        .strip_prefix("create_")
        .or_else(|| name.strip_prefix("update_"))
    {
        found.push(format!("upsert_{what}"));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::replacements;

    #[test]
    fn former_tools_are_found() {
        for (former, replacement) in [
            ("get_entities", "list_entities"),
            ("get_blueprints", "list_blueprints"),
            ("get_scorecard", "list_scorecards"),
            ("create_entity", "upsert_entity"),
            ("update_blueprint", "upsert_blueprint"),
            ("search_port_sources", "search_port_knowledge_sources"),
        ] {
            let found = replacements(former);
            assert!(found.iter().any(|name| name == replacement), "{former}");
        }
        // Earlier, each action had its own tool. The one that replaces it runs all of them.
        assert!(replacements("run_scaffold_service").is_empty());
        assert!(replacements("list_entities").is_empty());
    }
}
