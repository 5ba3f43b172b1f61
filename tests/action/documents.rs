//! The documents: their links, workflows, words, and the sections on errors.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use port_mcp_action::agents::Agent;
use port_mcp_action::troubleshooting::{self, ERRORS, INVALID_INPUT, WARNINGS, anchor};

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.as_ref().display()))
}

/// The files of a directory with one of these suffixes, including those in subdirectories.
fn files(directory: &str, suffixes: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut directories = vec![repository(directory)];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.to_string_lossy().into_owned();
            if path.is_dir() {
                directories.push(path);
            } else if suffixes.iter().any(|suffix| name.ends_with(suffix)) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Every Markdown page.
fn pages() -> Vec<PathBuf> {
    let root = ["README", "CHANGELOG", "CONTRIBUTING", "RELEASE", "SECURITY"];
    let root = root.map(|name| repository(&format!("{name}.md")));
    root.into_iter().chain(files("docs", &[".md"])).collect()
}

/// The text of a page outside of code blocks.
fn prose(text: &str) -> String {
    let mut is_code = false;
    let lines = text.lines().filter(|line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn headings(text: &str) -> Vec<String> {
    let text = prose(text);
    let lines = text.lines().filter(|line| line.starts_with('#'));
    lines
        .map(|line| line.trim_start_matches('#').trim().to_owned())
        .collect()
}

/// The targets of the links on a page.
fn links(text: &str) -> Vec<String> {
    let text = prose(text);
    let parts = text.split("](").skip(1);
    parts
        .filter_map(|part| Some(part.split_once(')')?.0.to_owned()))
        .collect()
}

#[test]
fn relative_links_lead_to_a_file_and_a_heading() {
    let mut broken = Vec::new();
    for page in pages() {
        for link in links(&read(&page)) {
            if link.contains("://") {
                continue;
            }
            let (path, fragment) = link.split_once('#').unwrap_or((&link, ""));
            let target = match path {
                "" => page.clone(),
                path => page.parent().unwrap().join(path),
            };
            let has_heading = || {
                let anchors = headings(&read(&target));
                anchors.iter().any(|heading| anchor(heading) == fragment)
            };
            if !target.exists() || !(fragment.is_empty() || has_heading()) {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// A reader can copy a YAML block: it is part of a file that CI runs, lints, or at least parses.
#[test]
fn yaml_blocks_are_excerpts_of_tested_files() {
    let directories = [
        "docs/workflows",
        "docs/examples",
        ".github/workflow-templates",
        "tests/e2e/workflows",
    ];
    let sources: Vec<String> = directories
        .iter()
        .flat_map(|directory| files(directory, &[".yml"]))
        .chain(agentic_workflows())
        .map(|path| {
            read(path)
                .lines()
                .map(str::trim_end)
                .collect::<Vec<_>>()
                .join("\n")
        })
        .collect();
    let mut unknown = Vec::new();
    for page in pages() {
        let text = read(&page);
        for block in text.split("```yaml\n").skip(1) {
            let block = block.split("```").next().unwrap();
            if !sources.iter().any(|source| is_excerpt(block, source)) {
                unknown.push(format!("{}:\n{block}", page.display()));
            }
        }
    }
    assert!(unknown.is_empty(), "{}", unknown.join("\n"));
}

/// Whether `source` contains the lines of `block`, all indented by the same additional amount.
fn is_excerpt(block: &str, source: &str) -> bool {
    let lines: Vec<&str> = block.trim_end().lines().map(str::trim_end).collect();
    let source: Vec<&str> = source.lines().collect();
    source.windows(lines.len()).any(|window| {
        let indents = window.iter().zip(&lines).filter_map(|(whole, part)| {
            let indent = whole.strip_suffix(part)?;
            (!part.is_empty()).then_some(indent)
        });
        let indents: HashSet<&str> = indents.collect();
        let matches = window.iter().zip(&lines);
        indents.len() == 1
            && indents.iter().all(|indent| indent.trim().is_empty())
            && matches.clone().all(|(whole, part)| whole.ends_with(part))
            && matches
                .into_iter()
                .all(|(whole, part)| !part.is_empty() || whole.is_empty())
    })
}

/// Workflows of GitHub Agentic Workflows.
fn agentic_workflows() -> Vec<PathBuf> {
    files("docs/workflows", &[".md"])
}

/// The compiler of GitHub Agentic Workflows is in no package registry that the tests use.
#[test]
fn agentic_workflows_use_inputs_and_outputs_that_exist() {
    let action: Value = yaml_serde::from_str(&read(repository("action.yml"))).unwrap();
    for path in agentic_workflows() {
        let text = read(&path);
        let front_matter = text.strip_prefix("---\n").unwrap();
        let (front_matter, prompt) = front_matter.split_once("\n---\n").unwrap();
        assert!(!prompt.trim().is_empty());
        let workflow: Value = yaml_serde::from_str(front_matter).unwrap();
        let step = &workflow["pre-agent-steps"][0];
        assert!(is_connection(step) && step["id"] == "port", "{step}");
        let inputs = step["with"].as_object().unwrap();
        let unknown = inputs.keys().find(|name| action["inputs"][name].is_null());
        assert_eq!(unknown, None, "{}", path.display());
        let outputs: Vec<&str> = front_matter
            .split("steps.port.outputs.")
            .skip(1)
            .filter_map(|rest| rest.split(' ').next())
            .collect();
        let unknown = outputs
            .iter()
            .find(|name| action["outputs"][name].is_null());
        assert_eq!(unknown, None, "{}", path.display());
        let server = &workflow["mcp-servers"]["port"];
        let allowed = server["allowed"].as_array().unwrap();
        let allowed: Vec<&str> = allowed.iter().filter_map(Value::as_str).collect();
        assert_eq!(inputs["allowed_tools"], allowed.join(", "));
        if uses_gateway(std::slice::from_ref(step)) {
            assert_eq!(outputs, ["mcp_url_in_containers", "access_token"]);
        } else {
            assert_eq!(workflow["pre-agent-steps"][1]["run"], DELETION);
            assert_eq!(server["headers"].as_object().unwrap().len(), 3);
        }
    }
    assert_eq!(agentic_workflows().len(), 2);
}

#[test]
fn the_readme_is_a_landing_page() {
    let readme = read(repository("README.md"));
    assert!(readme.lines().count() <= 190);
    for command in ["cargo run --example quickstart", "cargo test"] {
        assert!(readme.contains(&format!("\n{command} ")), "{command}");
    }
    // A release removes this block, whose markers are lines of their own.
    assert_eq!(readme.matches("\n<!-- owner -->\n").count(), 1);
    assert_eq!(readme.matches("\n<!-- /owner -->\n").count(), 1);
}

/// The troubleshooting page has a section for each error that links to it, and quotes messages as they
/// are: each of its phrases is in a snapshot, or in another text that a test compares.
#[test]
fn troubleshooting_covers_the_messages() {
    let page = read(repository(troubleshooting::PAGE));
    let (errors, rest) = page.split_once("\n## Warnings and notices\n").unwrap();
    let (warnings, rest) = rest.split_once("\n## Binary action\n").unwrap();
    let (binary, _) = rest.split_once("\n## After this step\n").unwrap();
    let sections = |text: &str| -> Vec<String> {
        let lines = text.lines().filter_map(|line| line.strip_prefix("### "));
        lines.map(str::to_owned).collect()
    };
    let with_codes = |text: &str| -> Vec<(String, String)> {
        let sections = text.split("\n### ").skip(1);
        let sections = sections.map(|section| {
            let (heading, rest) = section.split_once('\n').unwrap();
            let code = rest.trim_start().strip_prefix("Code: `");
            let code = code.and_then(|rest| Some(rest.split_once('`')?.0));
            (heading.to_owned(), code.unwrap_or_default().to_owned())
        });
        sections.collect()
    };
    let listed = |codes: &[(&str, &str)]| -> Vec<(String, String)> {
        let codes = codes.iter();
        codes
            .map(|(heading, code)| ((*heading).to_owned(), (*code).to_owned()))
            .collect()
    };
    assert_eq!(with_codes(errors), listed(ERRORS), "src/troubleshooting.rs");
    assert_eq!(
        with_codes(warnings),
        listed(WARNINGS),
        "src/troubleshooting.rs"
    );
    let script = read(repository("binary/binary.js"));
    for (phrase, code) in with_codes(binary) {
        let entry = format!("\"{phrase}\": \"{code}\",");
        assert!(script.contains(&entry), "not in binary/binary.js: {entry}");
    }
    for line in read(repository(".github/workflows/port-agent.yml")).lines() {
        let code = line
            .split_once(" error ")
            .and_then(|(_, rest)| rest.split_once(" \""));
        if let Some((code, _)) = code.filter(|(code, _)| !code.contains([' ', '"'])) {
            assert!(
                page.contains(&format!("`{code}`")),
                "not on the page: {code}"
            );
        }
    }

    let snapshots = files("tests/action", &[".rs", ".snap"])
        .into_iter()
        .chain(files("src", &[".snap"]))
        .chain(files("tests/faults", &[".rs"]))
        .filter(|path| !path.ends_with("documents.rs"));
    let lines: Vec<String> = snapshots
        .flat_map(|path| read(path).lines().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let missing: Vec<String> = sections(errors)
        .into_iter()
        .chain(sections(warnings))
        .filter(|phrase| phrase != INVALID_INPUT)
        .filter(|phrase| {
            let is_shown = |line: &String| troubleshooting::contains(line, phrase);
            !lines.iter().any(is_shown)
        })
        .collect();
    assert!(missing.is_empty(), "in no snapshot: {missing:#?}");
}

#[test]
fn every_agent_has_a_page_and_a_workflow() {
    for agent in Agent::ALL {
        let name = agent.to_string();
        let workflow = read(repository(&format!("docs/workflows/{name}.yml")));
        assert!(workflow.contains(&format!("agent: {name}\n")), "{name}");
        let page = read(repository(&format!("docs/agents/{name}.md")));
        let link = format!("(../workflows/{name}.yml)");
        for part in ["\n## Usage\n", "\n## Tested\n", "```yaml\n", &link] {
            assert!(page.contains(part), "docs/agents/{name}.md lacks {part:?}");
        }
    }
}

/// `.ci/agent-versions` writes the pins of the repository's own workflows into the documents.
#[test]
fn the_documents_pin_the_actions_of_our_workflows() {
    let uses = |text: &str| -> Vec<(String, String)> {
        let uses = text.lines().filter_map(|line| {
            let (_, action) = line.split_once("uses: ")?;
            let (action, pin) = action.split_once('@')?;
            let is_commit = pin.split(' ').next().is_some_and(|pin| pin.len() == 40);
            is_commit.then(|| (action.to_owned(), pin.to_owned()))
        });
        uses.collect()
    };
    let ours: HashSet<(String, String)> = files(".github/workflows", &[".yml"])
        .iter()
        .flat_map(|path| uses(&read(path)))
        .collect();
    // No workflow of ours uses it.
    let vault = "4c06c5ccf5c0761b6029f56cfb1dcf5565918a3b # v3.4.0";
    let others = HashSet::from([("hashicorp/vault-action".to_owned(), vault.to_owned())]);
    let mut checked = 0;
    for path in pages()
        .into_iter()
        .chain(files("docs/workflows", &[".yml"]))
    {
        for action in uses(&read(&path)) {
            let is_known = ours.contains(&action) || others.contains(&action);
            assert!(is_known, "{}: {action:?}", path.display());
            checked += 1;
        }
    }
    assert!(checked > 10);
}

/// The step that deletes the runner's files with the token. A user copies it, so it has no name.
const DELETION: &str = r#"find "$(dirname "$GITHUB_OUTPUT")" \( -name 'set_output_*' -o -name 'save_state_*' \) \
  -exec grep -qE '^(access_token|gateway_stop_key)<<' {} \; -delete
"#;

const DELETION_COMMENT: &str =
    "# Until the job ends, the runner keeps the token in files that the agent could read.\n";

/// The steps of each job that connects to Port and then runs an agent, with the text of the workflow.
fn jobs_with_an_agent() -> Vec<(PathBuf, String, Vec<Value>)> {
    let directories = ["docs/workflows", ".github/workflow-templates"];
    let documented = directories.map(|directory| files(directory, &[".yml"]));
    let reusable = repository(".github/workflows/port-agent.yml");
    let mut found = Vec::new();
    for path in documented.into_iter().flatten().chain([reusable]) {
        let text = read(&path);
        let workflow: Value = yaml_serde::from_str(&text).unwrap();
        for job in workflow["jobs"].as_object().unwrap().values() {
            let steps = job["steps"].as_array().cloned().unwrap_or_default();
            // The servers of these APIs connect to Port, so the model has no tool in the job.
            let runs_elsewhere = ["anthropic-api", "openai-responses"].map(Value::from);
            let connects = |step: &Value| {
                is_connection(step) && !runs_elsewhere.contains(&step["with"]["agent"])
            };
            if steps.iter().any(connects) && !is_connection(steps.last().unwrap()) {
                found.push((path.clone(), text.clone(), steps));
            }
        }
    }
    found
}

fn is_connection(step: &Value) -> bool {
    step["uses"]
        .as_str()
        .is_some_and(|uses| uses.starts_with("OWNER/port-mcp-action@"))
}

fn uses_gateway(steps: &[Value]) -> bool {
    let mut connections = steps.iter().filter(|step| is_connection(step));
    connections.all(|step| step["with"]["connection"] == "gateway")
}

#[test]
fn files_with_the_token_are_deleted_before_the_agent() {
    let mut checked = 0;
    for (path, text, steps) in jobs_with_an_agent() {
        if uses_gateway(&steps) {
            continue;
        }
        // In the reusable workflow, several steps start an agent.
        let position = if path.ends_with("port-agent.yml") {
            steps.iter().position(is_connection).unwrap() + 1
        } else {
            steps.len() - 2
        };
        let step = &steps[position];
        assert_eq!(
            (&step["shell"], &step["run"]),
            (&json!("bash"), &json!(DELETION)),
            "{}",
            path.display()
        );
        assert!(text.contains(DELETION_COMMENT), "{}", path.display());
        checked += 1;
    }
    assert!(checked > 15, "{checked}");
}

#[test]
fn the_step_deletes_only_files_with_the_token() {
    let directory = tempfile::tempdir().unwrap();
    let run = |files: &[(&str, &str)]| -> Vec<String> {
        for (name, text) in files {
            fs::write(directory.path().join(name), text).unwrap();
        }
        let status = Command::new("bash")
            .args(["--noprofile", "--norc", "-eo", "pipefail", "-c", DELETION])
            .env("GITHUB_OUTPUT", directory.path().join("set_output_own"))
            .status();
        assert!(status.unwrap().success());
        let left = fs::read_dir(directory.path()).unwrap();
        let mut left: Vec<String> = left
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        left
    };
    let own = [("save_state_own", ""), ("set_output_own", "")];
    assert_eq!(run(&own), ["save_state_own", "set_output_own"]);
    let others = [
        (
            "set_output_port",
            "expires_in<<x\n1\nx\naccess_token<<x\nsecret\nx\n",
        ),
        ("save_state_port", "gateway_stop_key<<x\nsecret\nx\n"),
        ("set_output_other", "text=access_token<<x\n"),
        ("set_env_other", "access_token<<x\nsecret\nx\n"),
    ];
    assert_eq!(
        run(&others),
        [
            "save_state_own",
            "set_env_other",
            "set_output_other",
            "set_output_own"
        ]
    );
}

/// Without these, the model of Claude Code can read the token.
#[test]
fn claude_code_has_no_shell_and_no_token_in_its_arguments() {
    let mut checked = 0;
    for (path, _, steps) in jobs_with_an_agent() {
        let claude = steps.iter().find(|step| {
            let uses = step["uses"].as_str().unwrap_or_default();
            uses.starts_with("anthropics/claude-code-action@")
        });
        let Some(step) = claude else { continue };
        let input = |name: &str| step["with"][name].as_str().unwrap_or_default();
        let arguments = format!("{}\n", input("claude_args"));
        let has_shell = !arguments.contains("--disallowedTools Bash")
            && !input("disallowed_tools").starts_with("Bash,");
        assert!(!has_shell, "{}", path.display());
        if !uses_gateway(&steps) {
            let connections = steps.iter().filter(|step| is_connection(step));
            for connection in connections {
                assert_eq!(
                    connection["with"]["token_placement"],
                    "env",
                    "{}",
                    path.display()
                );
            }
            assert_eq!(
                step["env"]["PORT_MCP_TOKEN"],
                "${{ steps.port.outputs.access_token }}",
                "{}",
                path.display()
            );
        }
        checked += 1;
    }
    assert!(checked > 8, "{checked}");
}

/// A page begins with a warning unless the tests in `tests/e2e/agents` prove that the model cannot read
/// the token. If a page has a warning, those tests prove that it is true.
#[test]
fn the_pages_warn_of_a_model_that_can_read_the_token() {
    for agent in Agent::ALL {
        let name = agent.to_string();
        let page = read(repository(&format!("docs/agents/{name}.md")));
        let first = page.split("\n\n").nth(1).unwrap();
        let warns = first.contains("the model can read the token");
        let proof = fs::read_to_string(repository(&format!("tests/e2e/agents/real/{name}.js")));
        let is_proven = proof.is_ok_and(|proof| proof.contains("\n  tools: {"));
        let runs_elsewhere = ["anthropic-api", "openai-responses"].contains(&name.as_str());
        assert!(warns || is_proven || runs_elsewhere, "{name}");
        assert_eq!(warns, first.contains("connection: gateway"), "{name}");
    }
}

/// Only Codex fails if it cannot connect. The step `answer` fails for the other agents.
#[test]
fn a_workflow_says_that_it_can_succeed_without_port() {
    let sentence = "can succeed even if";
    let answers = |step: &Value| {
        let uses = step["uses"].as_str().unwrap_or_default();
        uses.starts_with("OWNER/port-mcp-action/answer@")
    };
    let mut checked = 0;
    for (path, text, steps) in jobs_with_an_agent() {
        let is_codex = steps.iter().any(|step| step["with"]["agent"] == "codex");
        let is_inspector = steps.iter().any(|step| step["with"]["agent"] == "generic");
        let fails = is_codex || is_inspector || steps.iter().any(answers);
        assert_eq!(text.contains(sentence), !fails, "{}", path.display());
        checked += 1;
    }
    assert!(checked > 15, "{checked}");
    assert!(read(repository("README.md")).contains(sentence));
}

/// The prompt of the reusable workflow can contain text of others.
#[test]
fn the_prompt_of_the_reusable_workflow_is_only_text() {
    let workflow = read(repository(".github/workflows/port-agent.yml"));
    let workflow: Value = yaml_serde::from_str(&workflow).unwrap();
    let steps = workflow["jobs"]["agent"]["steps"].as_array().unwrap();
    let step = |id: &str| steps.iter().find(|step| step["id"] == id).unwrap();
    for agent in ["claude-code", "gemini-cli"] {
        let prompt = &step(agent)["with"]["prompt"];
        assert_eq!(prompt, "${{ format(' {0}', inputs.prompt) }}", "{agent}");
    }
    let claude = &step("claude-code")["env"];
    assert_eq!(claude["CLAUDE_CODE_DISABLE_ATTACHMENTS"], "1");
    assert_eq!(claude["ENABLE_TOOL_SEARCH"], "false");
    let copilot = step("copilot-cli")["run"].as_str().unwrap();
    assert!(copilot.contains(r#""--prompt=$PROMPT""#));
}

/// A text that is not ours can contain an emoji, and an error with an emoji can end the runner. The event and the
/// names of users and repositories on GitHub contain none.
#[test]
fn shell_steps_print_no_text_of_others_as_an_annotation() {
    let is_annotation = |line: &&str| {
        let is_command = ["::error", "::warning"]
            .iter()
            .any(|start| line.contains(start));
        is_command || (line.contains(" error ") && line.contains('-') && line.contains(" \""))
    };
    let of_github = [
        "$GITHUB_EVENT_NAME",
        "$GITHUB_ACTOR",
        "$user",
        "$repository",
        "$artifact",
    ];
    let mut checked = 0;
    for directory in [".github", "docs/workflows"] {
        for path in files(directory, &[".yml"]) {
            for line in read(&path).lines().filter(is_annotation) {
                // The function that prints the errors of the reusable workflow.
                if line.trim() == r#"echo "::error title=Port agent [$1]::$2""# {
                    continue;
                }
                let known = of_github
                    .iter()
                    .fold(line.replace("\\`", ""), |line, name| line.replace(name, ""));
                let message = known.find("error").map_or("", |start| &known[start..]);
                assert!(!message.contains('$'), "{}: {line}", path.display());
                checked += 1;
            }
        }
    }
    assert!(checked >= 10, "{checked}");
}

/// Words that the glossary in `CONTRIBUTING.md` replaces, and words that read as translated.
const REPLACED: &[&str] = &[
    "lapse",
    "ceiling",
    "guard-rail",
    "second door",
    "withhold",
    "withheld",
    "split by",
    "whoever",
    "hand in",
    "handed in",
    "hand out",
    "hands out",
    "handed out",
    "hand over",
    "hands over",
    "handed over",
    "stand-in",
    "standin",
    "sandbox server",
    "organisation",
    "catalogue",
    "licence",
    "honour",
    "by the server's word",
    "what is left",
    "is none of",
    "no person",
    "refuses",
    "refused",
    "stranger",
    "surplus",
];

/// Phrases that may contain such a word.
const EXCEPTIONS: &[&str] = &[
    "connection refused",
    // A value in the format of policy tests.
    "expect: refused",
    "or `refused`",
    "\"refused\"",
    // A former key of policies.
    "`ceiling`",
    "\"ceiling\"",
    "- ceiling:",
    "connection-refused",
    "retry-connrefused",
    "split by `shell-quote`",
];

/// A line in lower case, with the words of its identifiers apart: `HandOver` and `hand_over` are `hand over`.
fn apart(line: &str) -> String {
    let mut apart = String::new();
    for c in line.chars() {
        if c.is_uppercase() && apart.ends_with(char::is_lowercase) {
            apart.push(' ');
        }
        apart.push(if c == '_' { ' ' } else { c });
    }
    apart.to_lowercase()
}

/// Whether `text` contains `word` at the beginning of a word.
fn begins_word(text: &str, word: &str) -> bool {
    text.match_indices(word)
        .any(|(start, _)| !text[..start].ends_with(|c: char| c.is_alphanumeric()))
}

/// A sentence that is older than a feature. Where a page lists the values of `connection`, it lists all of them.
#[test]
fn pages_are_as_new_as_the_features() {
    for path in pages().into_iter().chain([repository("action.yml")]) {
        for line in prose(&read(&path)).lines() {
            let lists_connections = line.contains("`direct`") && line.contains("`mcp-remote`");
            let is_complete = !lists_connections || line.contains("gateway");
            assert!(is_complete, "{}: {line}", path.display());
        }
    }
    for agent in Agent::ALL {
        let page = read(repository(&format!("docs/agents/{agent}.md")));
        let support = supported(&agent.to_string());
        let values = |name: &str| -> HashSet<String> {
            let (_, rest) = page.split_once(&format!("**`{name}`**: ")).unwrap();
            let sentence = rest.split(". ").next().unwrap().lines().next().unwrap();
            let values = sentence.split('`').skip(1).step_by(2);
            values.map(str::to_owned).collect()
        };
        let connections = values("connection");
        for (name, is_supported) in &support[..3] {
            assert_eq!(connections.contains(name), *is_supported, "{agent}: {name}");
        }
        let placements = values("token_placement");
        assert!(placements.contains("inline"), "{agent}");
        assert_eq!(placements.contains("env"), support[3].1, "{agent}: `env`");
    }
}

/// What the generated tables say about an agent: each connection, and `env`.
fn supported(agent: &str) -> Vec<(String, bool)> {
    let page = read(repository("docs/support.md"));
    let tables = page.split_once("<!-- agents").unwrap().1;
    let cells = |line: &str| -> Vec<String> {
        let cells = line.trim_matches('|').split('|').skip(1);
        cells.map(|cell| cell.trim().replace('`', "")).collect()
    };
    let lines = |start: &str| -> Vec<Vec<String>> {
        let lines = tables.lines().filter(|line| line.starts_with(start));
        lines.map(cells).collect()
    };
    let heads = lines("| Agent |").concat();
    let rows = lines(&format!("| [`{agent}`]")).concat();
    assert_eq!(heads.len(), rows.len(), "{agent}");
    let values = rows.into_iter().map(|cell| cell != "no");
    heads.into_iter().zip(values).collect()
}

/// A new agent needs its line in the table that says who can read the token.
#[test]
fn the_table_of_tokens_names_each_agent_once() {
    let page = read(repository("docs/agents/README.md"));
    let (_, section) = page.split_once("\n## Who can read the token\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    for agent in Agent::ALL {
        let names = section.matches(&format!("`{agent}`")).count();
        assert_eq!(names, 1, "{agent}");
    }
}

/// What is not supported is on one page, so that no other page keeps an outdated sentence.
#[test]
fn only_one_page_says_what_is_not_supported() {
    // Messages that the pages quote.
    let quoted = [
        "is not supported by … which cannot send the required header",
        "`'using: node24' is not supported`",
    ];
    for path in pages() {
        if path.ends_with("docs/support.md") || path.ends_with("CHANGELOG.md") {
            continue;
        }
        for line in prose(&read(&path)).lines() {
            let own = quoted.iter().fold(line.to_lowercase(), |line, message| {
                line.replace(message, "")
            });
            let words: Vec<&str> = own.split(|c: char| !c.is_alphanumeric()).collect();
            let is_old = words.contains(&"yet") || own.contains("not support");
            assert!(!is_old, "see docs/support.md: {}: {line}", path.display());
        }
    }
}

/// Pages with more lines begin with links to all of their parts.
const LONG_PAGE: usize = 120;
const CONTENTS: &str =
    "<!-- contents: generated by UPDATE_DOCS=1 cargo test --test action contents -->\n";
const END_OF_CONTENTS: &str = "<!-- /contents -->\n";

/// The contents of a page: a line for each part, with its sections.
fn contents(page: &str) -> String {
    let mut lines: Vec<(String, Vec<String>)> = Vec::new();
    let prose = prose(page);
    for line in prose.lines() {
        let link = |heading: &str| format!("[{heading}](#{})", anchor(heading));
        if let Some(heading) = line.strip_prefix("## ") {
            lines.push((link(heading), Vec::new()));
        } else if let Some(heading) = line.strip_prefix("### ") {
            lines.last_mut().unwrap().1.push(link(heading));
        }
    }
    let lines = lines.into_iter().map(|(part, sections)| {
        if sections.is_empty() {
            format!("- {part}\n")
        } else {
            format!("- **{part}**: {}\n", sections.join(" · "))
        }
    });
    lines.collect()
}

/// Compares the contents of the long pages, or, with `UPDATE_DOCS=1`, writes them.
#[test]
fn long_pages_have_complete_contents() {
    let mut checked = 0;
    for path in files("docs", &[".md"]) {
        let page = read(&path);
        let is_long = page.lines().count() > LONG_PAGE;
        let Some((before, rest)) = page.split_once(CONTENTS) else {
            assert!(!is_long, "{}: add {CONTENTS}", path.display());
            continue;
        };
        let (_, after) = rest.split_once(END_OF_CONTENTS).unwrap();
        assert!(!before.contains("\n## "), "{}", path.display());
        let updated = format!(
            "{before}{CONTENTS}\n{}\n{END_OF_CONTENTS}{after}",
            contents(&page)
        );
        if std::env::var_os("UPDATE_DOCS").is_some() {
            fs::write(&path, updated).unwrap();
        } else {
            assert!(page == updated, "{}: {CONTENTS}", path.display());
        }
        checked += 1;
    }
    assert!(checked >= 8, "{checked}");
}

/// `vault-action` returns the client secret as an output, which the runner keeps in a file.
#[test]
fn the_vault_workflow_deletes_the_file_with_the_secret() {
    let text = read(repository("docs/workflows/vault.yml"));
    let workflow: Value = yaml_serde::from_str(&text).unwrap();
    let steps = workflow["jobs"]["ask"]["steps"].as_array().unwrap();
    let deletion = steps.iter().find_map(|step| step["run"].as_str()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::write(
        path("set_output_vault"),
        "PORT_CLIENT_ID<<x\nid\nx\nPORT_CLIENT_SECRET<<x\nsecret\nx\n",
    )
    .unwrap();
    fs::write(
        path("set_output_other"),
        "answer<<x\nPORT_CLIENT_SECRET\nx\n",
    )
    .unwrap();
    let status = Command::new("bash")
        .args(["--noprofile", "--norc", "-eo", "pipefail", "-c", deletion])
        .env("GITHUB_OUTPUT", path("set_output_own"))
        .status();
    assert!(status.unwrap().success());
    assert!(!path("set_output_vault").exists());
    assert!(path("set_output_other").exists());
}

#[test]
fn replaced_words_are_not_used() {
    let mut texts: Vec<PathBuf> = pages();
    texts.retain(|page| !page.ends_with("CONTRIBUTING.md"));
    texts.extend(files("docs", &[".yml", ".json"]));
    texts.extend(files(".github", &[".yml", ".json"]));
    texts.extend(files("tests/action", &[".snap"]));
    texts.extend(["action.yml", "answer/action.yml", "binary/action.yml"].map(repository));
    texts.extend(files("binary", &[".js"]));
    for directory in [
        "src",
        "examples",
        "tests/fake-port",
        "tests/runner-double/src",
    ] {
        texts.extend(files(directory, &[".rs"]));
    }
    let mut found = Vec::new();
    for path in texts {
        for (number, line) in (1..).zip(read(&path).lines()) {
            let plain = EXCEPTIONS
                .iter()
                .fold(apart(line), |line, exception| line.replace(exception, ""));
            let words = REPLACED.iter().filter(|word| begins_word(&plain, word));
            found.extend(words.map(|word| format!("{}:{number}: {word}", path.display())));
        }
    }
    assert!(
        found.is_empty(),
        "see the glossary in CONTRIBUTING.md:\n{}",
        found.join("\n")
    );
}
