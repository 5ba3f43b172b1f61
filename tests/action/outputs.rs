//! The outputs and the job summary: what is too large for them, and the text of others in them.

use fake_port::{FakePort, Tool};
use serde_json::json;

use crate::harness::{Step, annotations, rendered};

#[test]
fn every_output_that_is_too_large_for_a_variable_is_warned_of() {
    for (agent, output) in [
        ("gemini-cli", "`mcp_config`"),
        ("claude-code", "`agent_args`"),
        ("codex", "`mcp_config`"),
    ] {
        let step =
            Step::against(FakePort::builder().tools(14_000).page_size(1000)).input("agent", agent);
        let warnings = annotations(&step.succeed(), "warning");
        assert!(
            warnings.contains(&format!("The output {output} is")),
            "{agent}: {warnings}"
        );
    }
    let small = Step::new().succeed();
    assert!(!annotations(&small, "warning").contains("The output"));
}

#[test]
fn characters_that_the_agents_action_uses_internally_are_escaped() {
    let base = json!({"mcpServers": {"docs": {"command": "x", "args": ["\u{e000}a\u{f8ff}\u{f0000}it's"]}}});
    for agent in ["claude-code", "copilot-cli"] {
        let run = Step::new()
            .input("agent", agent)
            .input("base_config", base.to_string())
            .succeed();
        let args = &run.outputs["agent_args"];
        assert!(
            args.contains(r"\ue000a\uf8ff\udb80\udc00it\u0027s"),
            "{args}"
        );
        // The other outputs contain the text unchanged.
        assert!(run.outputs["mcp_config"].contains("\u{e000}a\u{f8ff}\u{f0000}it's"));
    }
}

#[test]
fn markdown_from_the_server_is_not_rendered_in_a_cell() {
    for text in [
        "a `code` b",
        "``` fence",
        "`",
        "``",
        "a\\`b`c\\",
        "x | y \\| z",
        "[x](https://evil.example)",
        "![x](https://evil.example/x.png)",
        "<img src=x onerror=y><script>z</script>",
        "https://evil.example www.evil.example me@evil.example",
        "a`[x](https://evil.example)`b ``c` [y](z)",
        "`|` [x](y) |",
        "</code></td></tr></table><a href=x>y</a>",
        "&lt;a href=x&gt; &#60;b&#62;",
        "^[note] [^1] - [ ] task ~~x~~ **b** _i_ $$m$$",
    ] {
        let tool = Tool::new("list_it").description(text).read_only(true);
        let run = Step::against(FakePort::builder().offer(tool)).succeed();
        let html = rendered(&run.summary).replace(" align=\"left\"", "");
        let rows = html.split("<tr>").filter(|row| row.contains("list_it"));
        let rows: Vec<&str> = rows.collect();
        assert_eq!(rows.len(), 1, "{text}: {html}");
        assert_eq!(rows[0].matches("<td>").count(), 3, "{text}: {}", rows[0]);
        let cell = rows[0].split("<td>").nth(3).unwrap();
        assert!(cell.starts_with("<code>"), "{text}: {cell}");
        let inner = &cell["<code>".len()..cell.find("</code>").unwrap()];
        assert!(!inner.contains('<'), "{text}: {inner}");
        // The whole text is in the code element, as the server wrote it.
        let shown = inner
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&quot;", "\"")
            .replace("&amp;", "&");
        assert_eq!(shown, text.replace('|', "¦"), "{cell}");
    }
}
