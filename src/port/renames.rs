//! What became of the tools of Port's MCP server. Its set of tools changes often, and old names
//! live on in guides and workflows.

/// Names that a rule does not give away, and what replaced each.
const REPLACED: [(&str, &str); 15] = [
    ("get_blueprint", "list_blueprints"),
    ("get_blueprints", "list_blueprints"),
    ("get_scorecard", "list_scorecards"),
    ("get_scorecards", "list_scorecards"),
    ("get_actions", "list_actions"),
    ("get_entity", "list_entities"),
    ("get_entities", "list_entities"),
    ("get_entities_by_identifiers", "list_entities"),
    // By its parameter `countOnly`.
    ("count_entities", "list_entities"),
    ("trigger_workflow_run", "trigger_run"),
    ("search_docs_sources", "search_port_knowledge_sources"),
    ("ask_docs_question", "search_port_knowledge_sources"),
    ("search_port_docs_sources", "search_port_knowledge_sources"),
    ("search_port_sources", "search_port_knowledge_sources"),
    ("run_workflow", "trigger_run"),
];

/// Names of 2025 that nothing replaced.
const GONE: [&str; 2] = ["describe_organization", "invoke_ai_agent"];

/// Whether the tool called `name` is gone, and nothing has replaced it.
#[must_use]
pub fn is_gone(name: &str) -> bool {
    GONE.contains(&name)
}

/// What replaced the tool called `name`, where it is known.
#[must_use]
pub fn replacement(name: &str) -> Option<&'static str> {
    let mut replaced = REPLACED.iter();
    replaced
        .find(|(then, _)| *then == name)
        .map(|(_, now)| *now)
}

/// What may have replaced the tool called `name`, the likeliest first. These are guesses: only one
/// that the server offers is right.
#[must_use]
pub fn replacements(name: &str) -> Vec<String> {
    let replaced = REPLACED.iter().filter(|(then, _)| *then == name);
    let mut now: Vec<String> = replaced.map(|(_, now)| (*now).to_owned()).collect();
    if let Some(what) = name.strip_prefix("get_") {
        now.extend([format!("list_{what}"), format!("list_{what}s")]);
    }
    if let Some(what) = name
        .strip_prefix("create_")
        .or_else(|| name.strip_prefix("update_"))
    {
        now.push(format!("upsert_{what}"));
    }
    // There was one tool for each action.
    if name.starts_with("run_") && name != "run_action" {
        now.push("run_action".to_owned());
    }
    now
}

#[cfg(test)]
mod tests {
    use super::replacements;

    #[test]
    fn former_tools_are_found() {
        for (then, now) in [
            ("get_entities", "list_entities"),
            ("get_blueprints", "list_blueprints"),
            ("get_scorecard", "list_scorecards"),
            ("create_entity", "upsert_entity"),
            ("update_blueprint", "upsert_blueprint"),
            ("run_scaffold_service", "run_action"),
            ("search_port_sources", "search_port_knowledge_sources"),
        ] {
            assert!(replacements(then).iter().any(|name| name == now), "{then}");
        }
        assert!(replacements("run_action").is_empty());
        assert!(replacements("list_entities").is_empty());
    }
}
