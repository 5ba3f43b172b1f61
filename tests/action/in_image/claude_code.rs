//! The outputs for Claude Code.

use fake_port::Flow;
use serde_json::json;

use crate::harness::{Step, annotations, assert_snapshot, config};

fn step() -> Step {
    Step::new().input("allowed_tools", "list_blueprints\nlist_entities")
}

#[test]
fn direct_connection() {
    let step = step();
    let run = step.succeed();
    let expected = json!({"mcpServers": {"port": {
        "type": "http",
        "url": step.port.mcp_url(),
        "headers": {
            "Authorization": format!("Bearer {}", step.port.token(Flow::Rest)),
            "x-read-only-mode": "1",
            "x-allowed-actions-to-run": "",
        },
    }}});
    assert_eq!(config(&run), expected);
    assert!(!run.outputs["mcp_config"].contains('\n'));
}

#[test]
fn headers_follow_the_inputs() {
    let run = step()
        .input("read_only", "false")
        .input("allowed_actions", "deploy, restart\nscale")
        .succeed();
    let headers = &config(&run)["mcpServers"]["port"]["headers"];
    assert_eq!(headers["x-read-only-mode"], "0");
    assert_eq!(headers["x-allowed-actions-to-run"], "deploy,restart,scale");

    let run = step().input("allowed_actions", "*").succeed();
    let headers = &config(&run)["mcpServers"]["port"]["headers"];
    assert!(headers.get("x-allowed-actions-to-run").is_none());
}

#[test]
fn with_token_placement_env_the_configuration_contains_no_secret() {
    for connection in ["direct", "mcp-remote"] {
        let step = step()
            .input("token_placement", "env")
            .input("connection", connection);
        let run = step.succeed();
        let token = step.port.token(Flow::Rest);
        assert!(!run.outputs["mcp_config"].contains(&token));
        assert!(!run.outputs["agent_args"].contains(&token));
        assert_eq!(
            run.job_output("mcp_config"),
            Some(run.outputs["mcp_config"].as_str())
        );
        assert_eq!(run.job_output("access_token"), None);
        assert!(run.outputs["mcp_config"].contains("Bearer ${PORT_MCP_TOKEN}"));
    }
}

#[test]
fn connection_with_mcp_remote() {
    let run = step()
        .input("connection", "mcp-remote")
        .input("server_name", "port-prod")
        .succeed();
    assert_snapshot!(serde_json::to_string_pretty(&config(&run)).unwrap(), @r#"
    {
      "mcpServers": {
        "port-prod": {
          "command": "npx",
          "args": [
            "-y",
            "mcp-remote@0.15.1",
            "http://[PORT]/v1",
            "--header",
            "Authorization:${PORT_MCP_AUTHORIZATION}",
            "--header",
            "x-read-only-mode:1",
            "--header",
            "x-allowed-actions-to-run:"
          ],
          "env": {
            "PORT_MCP_AUTHORIZATION": "Bearer [TOKEN]"
          }
        }
      }
    }
    "#);
    assert_eq!(
        run.outputs["allowed_tools"],
        "mcp__port-prod__list_blueprints,mcp__port-prod__list_entities"
    );
}

#[test]
fn a_base_configuration_is_merged() {
    let base = json!({
        "mcpServers": {
            "port": {"command": "old"},
            "github": {"command": "it's", "args": ["$HOME", "a\"b", "c\\d"]},
        },
        "other": 1,
    });
    let step = step()
        .file("mcp.json", &base.to_string())
        .input("base_config", "mcp.json");
    let run = step.succeed();
    let merged = config(&run);
    assert_eq!(merged["mcpServers"]["github"], base["mcpServers"]["github"]);
    assert_eq!(merged["other"], 1);
    assert_eq!(merged["mcpServers"]["port"]["type"], "http");
    assert_snapshot!(annotations(&run, "notice"), @"`base_config` already contains a server named `port`, which was replaced. To keep both, set `server_name`.");

    let inline = step
        .input("base_config", base.to_string())
        .input("server_name", "catalog")
        .succeed();
    assert_eq!(config(&inline)["mcpServers"]["port"]["command"], "old");
    assert_eq!(annotations(&inline, "notice"), "");
}

#[test]
fn the_arguments_contain_the_configuration_and_both_lists_of_tools() {
    let run = step().input("token_placement", "env").succeed();
    let expected = format!(
        "--mcp-config '{}' --allowedTools \"mcp__port__list_blueprints,mcp__port__list_entities\" \
         --disallowedTools \"mcp__port__list_scorecards,",
        run.outputs["mcp_config"]
    );
    assert!(run.outputs["agent_args"].starts_with(&expected));
    assert!(run.outputs["agent_args"].ends_with(",mcp__port__run_action,mcp__port__trigger_run\""));

    let unverified = step().input("verify", "false").succeed();
    assert!(!unverified.outputs["agent_args"].contains("--disallowedTools"));
}
