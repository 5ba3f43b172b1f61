//! The names of tools: which are granted, and what the errors say about the others.

use fake_port::{FakePort, Tool};

use crate::harness::{Step, annotations};

#[test]
fn a_notation_and_a_rename_are_reported_together() {
    for (entry, expected) in [
        (
            "mcp__port-prod__get_entities",
            "use `get_entities`; but Port replaced that tool with `list_entities`",
        ),
        (
            "port(get_blueprints)",
            "use `get_blueprints`; but Port replaced that tool with `list_blueprints`",
        ),
        ("Mcp(port:list_entities)", "use `list_entities`\nhint:"),
        (
            "mcp__port__invoke_ai_agent",
            "use `invoke_ai_agent`; but Port removed that tool",
        ),
        ("mcp__port__*", "use `*`\nhint:"),
    ] {
        let errors = Step::new().input("allowed_tools", entry).fail();
        assert!(errors.contains(expected), "{errors}");
    }
}

#[test]
fn earlier_names_of_tools_are_explained() {
    for (name, expected) in [
        (
            "search_docs_sources",
            "use `search_port_knowledge_sources`, which replaced it",
        ),
        (
            "ask_docs_question",
            "use `search_port_knowledge_sources`, which replaced it",
        ),
        (
            "describe_organization",
            "Port removed this tool: use one of the available tools: ",
        ),
        (
            "invoke_ai_agent",
            "Port removed this tool: use one of the available tools: ",
        ),
    ] {
        let errors = Step::new().input("allowed_tools", name).fail();
        assert!(
            errors.contains(&format!("tool `{name}` is not available\nhint: {expected}")),
            "{errors}"
        );
    }
}

#[test]
fn invalid_names_are_given_as_the_reason() {
    let port = FakePort::builder().offer(Tool::new("bad name").read_only(true));
    let errors = Step::against(port).input("allowed_tools", "bad*").fail();
    assert!(
        errors.contains("these are not valid tool names: `bad name`"),
        "{errors}"
    );
    assert!(!errors.contains("exclusions"), "{errors}");
}

#[test]
fn only_one_error_lists_the_available_tools() {
    let errors = Step::new()
        .input(
            "allowed_tools",
            "nothing_like_it, x_*, another_one, invoke_ai_agent",
        )
        .fail();
    assert_eq!(errors.matches("hint: ").count(), 4, "{errors}");
    assert_eq!(errors.matches("`list_blueprints`").count(), 1, "{errors}");
    assert_eq!(
        errors
            .matches("which another error of this step lists")
            .count(),
        3,
        "{errors}"
    );
}

#[test]
fn a_tool_without_a_read_only_annotation_must_be_listed_by_name() {
    for tool in [
        Tool::new("silent"),
        Tool::new("silent").destructive(false),
        Tool::new("silent").read_only(true).destructive(true),
        Tool::new("silent").read_only(false).destructive(false),
    ] {
        let step = |tools: &str| {
            Step::against(FakePort::builder().offer(tool.clone())).input("allowed_tools", tools)
        };
        let run = step("*").succeed();
        assert!(!run.outputs["tools"].contains("silent"));
        assert_eq!(annotations(&run, "warning"), "");
        assert!(run.summary.contains("silent"), "{}", run.summary);
        assert!(step("silent").succeed().outputs["tools"].contains("silent"));
        let run = step("*").input("read_only", "false").succeed();
        assert!(run.outputs["tools"].contains("silent"));
    }
    let reads = Tool::new("says").read_only(true);
    let run = Step::against(FakePort::builder().offer(reads)).succeed();
    assert!(run.outputs["tools"].contains("says"));
}
