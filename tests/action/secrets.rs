//! Secrets in text that people read: from every source, in every notation, and in parts.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use fake_port::{Endpoint, FakePort, Fault, Token, Tool};
use proptest::prelude::*;
use serde_json::json;

use crate::harness::{Step, annotations, config, port_mcp, readable};

/// The token that the fake Port server returns.
const TOKEN: &str = "eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl_-8";

/// Every source of untrusted text.
#[derive(Clone, Copy, Debug)]
enum Place {
    RestMessage(u16),
    RestHeader(&'static str),
    OauthMessage,
    McpMessage(u16),
    McpHeader(&'static str),
    McpBody,
    JsonRpcError,
    ToolName,
    ToolTitle,
    ToolDescription,
    GitHubMessage,
    GitHubHeader(&'static str),
    PolicyRuleName,
    PolicyCondition,
    PolicyKey,
    PolicyText,
    WorkspacePolicy,
    BaseConfigText,
    BaseConfigFile,
    Input(&'static str),
    Variable(&'static str),
}

fn places() -> impl Strategy<Value = Place> {
    let inputs = port_mcp_action::inputs::INPUTS
        .iter()
        .map(|input| input.name.as_str())
        .filter(|name| !["client_secret", "github_token"].contains(name))
        .map(Place::Input);
    let mut all = vec![
        Place::RestHeader("x-trace-id"),
        Place::RestHeader("retry-after"),
        Place::RestHeader("location"),
        Place::OauthMessage,
        Place::McpHeader("x-trace-id"),
        Place::McpHeader("content-type"),
        Place::McpHeader("location"),
        Place::McpBody,
        Place::JsonRpcError,
        Place::ToolName,
        Place::ToolTitle,
        Place::ToolDescription,
        Place::GitHubMessage,
        Place::GitHubHeader("x-github-request-id"),
        Place::GitHubHeader("location"),
        Place::PolicyRuleName,
        Place::PolicyCondition,
        Place::PolicyKey,
        Place::PolicyText,
        Place::WorkspacePolicy,
        Place::BaseConfigText,
        Place::BaseConfigFile,
        Place::Variable("GITHUB_REF"),
        Place::Variable("GITHUB_REPOSITORY"),
        Place::Variable("GITHUB_WORKFLOW_REF"),
        Place::Variable("SSL_CERT_DIR"),
        Place::Variable("INPUT_REGIONS"),
    ];
    all.extend([400, 401, 403, 404, 422, 418].map(Place::RestMessage));
    all.extend([400, 401, 403, 404, 418].map(Place::McpMessage));
    all.extend(inputs);
    prop::sample::select(all)
}

fn json_text(text: &str) -> String {
    let json = json!(text).to_string();
    json[1..json.len() - 1].to_owned()
}

/// Notations in which a server may repeat a text.
fn notations() -> impl Strategy<Value = fn(&str) -> String> {
    prop::sample::select(vec![
        str::to_owned as fn(&str) -> String,
        json_text,
        |text| json_text(text).replace('/', r"\/"),
        |text| {
            text.replace('&', "&amp;")
                .replace('<', "&lt;")
                .replace('"', "&quot;")
        },
        |text| url::form_urlencoded::byte_serialize(text.as_bytes()).collect(),
        |text| {
            text.chars()
                .map(|c| format!("\\u{:04x}", u32::from(c)))
                .collect()
        },
        |text| text.replace('_', "\\_").replace('*', "\\*"),
        str::to_uppercase,
        str::to_lowercase,
    ])
}

#[derive(Clone, Copy, Debug)]
enum SecretKind {
    ClientSecret,
    Token,
    GitHubToken,
}

/// A step that reads `text` from `place`. `None` if the text is invalid there.
fn step(place: Place, secret: &str, github_token: &str, text: &str) -> Option<Step> {
    const POLICY: &str = "acme/.github/port-mcp.yml@main";
    let rule = |name: &str, when: &str| {
        format!(
            "version: 1\nrules:\n- name: {}\n  when: {{ref: [{}]}}\n  allow: {{tools: ['*'], servers: [127.0.0.1]}}\n",
            json!(name),
            json!(when)
        )
    };
    let port = || {
        let credentials = FakePort::builder().credentials("q7Tn2vXzR4mLk9Wb", secret);
        credentials.token(Token::Literal(TOKEN.to_owned()))
    };
    let with_policy = |text: &str| {
        Step::against(port().policy_file("acme/.github", "port-mcp.yml", "main", text))
            .input("policy", POLICY)
    };
    let with_fault = |endpoint, fault: Fault| {
        let step = Step::against(port()).input("timeout", "20s");
        step.port.fault(endpoint, fault);
        step
    };
    let is_header = text.bytes().all(|b| (0x20..0x7f).contains(&b));
    let message = |status| {
        Fault::status(status)
            .json(json!({"message": text, "error": text}))
            .into()
    };
    let header = |status: u16, name: &str| {
        is_header.then(|| Fault::status(status).header(name, text).text("no").into())
    };
    let step = match place {
        Place::RestMessage(status) => with_fault(Endpoint::Rest, message(status)),
        Place::RestHeader("location") => with_fault(Endpoint::Rest, header(307, "location")?),
        Place::RestHeader(name) => with_fault(Endpoint::Rest, header(401, name)?),
        Place::OauthMessage => {
            let error = json!({"error": "invalid_client", "error_description": text});
            with_fault(Endpoint::Oauth, Fault::status(400).json(error).into())
                .input("auth_method", "oauth")
        }
        Place::McpMessage(status) => with_fault(Endpoint::Mcp, message(status)),
        Place::McpHeader("location") => with_fault(Endpoint::Mcp, header(307, "location")?),
        Place::McpHeader("content-type") => with_fault(Endpoint::Mcp, header(200, "content-type")?),
        Place::McpHeader(name) => with_fault(Endpoint::Mcp, header(403, name)?),
        Place::McpBody => with_fault(Endpoint::Mcp, Fault::status(200).text(text).into()),
        Place::JsonRpcError => {
            let error = json!({"code": -32000, "message": text});
            with_fault(
                Endpoint::Mcp,
                Fault::status(200)
                    .json(json!({"jsonrpc": "2.0", "id": 0, "error": error}))
                    .into(),
            )
        }
        Place::ToolName => Step::against(port().offer(Tool::new(text).read_only(true))),
        Place::ToolTitle => {
            Step::against(port().offer(Tool::new("list_it").title(text).read_only(true)))
        }
        Place::ToolDescription => {
            Step::against(port().offer(Tool::new("list_it").description(text).read_only(true)))
        }
        Place::GitHubMessage | Place::GitHubHeader(_) => {
            let fault = match place {
                Place::GitHubHeader("location") => header(301, "location")?,
                Place::GitHubHeader(name) => header(403, name)?,
                _ => message(403),
            };
            let step = with_fault(Endpoint::Github, fault).input("policy", POLICY);
            step.input("github_token", github_token)
        }
        Place::PolicyRuleName => with_policy(&rule(text, "refs/heads/*")).input("region", "eu"),
        Place::PolicyCondition => with_policy(&rule("x", &format!("x{text}"))),
        Place::PolicyKey => with_policy(&format!("{}: x\nversion: 1\n", json!(text))),
        Place::PolicyText => with_policy(&format!(
            "version: {}\nrules: {}\n",
            json!(text),
            json!(text)
        )),
        Place::WorkspacePolicy => Step::against(port())
            .file("policy.yml", &format!("password: {}\n", json!(text)))
            .input("policy", "policy.yml"),
        Place::BaseConfigText => Step::against(port()).input("base_config", format!("{{\"{text}")),
        Place::BaseConfigFile => Step::against(port())
            .file(
                "mcp.json",
                &json!({"mcpServers": {"x": {"command": text}}}).to_string(),
            )
            .input("base_config", "mcp.json"),
        Place::Input(name) => Step::against(port()).input(name, text),
        Place::Variable(name) => with_policy(&rule("x", "refs/heads/none")).variable(name, text),
    };
    Some(step)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, max_global_rejects: 10_000, ..ProptestConfig::with_cases(120) })]

    /// Text that people read never contains a secret, for any secret, any source and notation, and any text
    /// around it.
    #[test]
    fn untrusted_text_does_not_reveal_a_secret(
        place in places(),
        notation in notations(),
        kind in prop::sample::select(vec![SecretKind::ClientSecret, SecretKind::Token, SecretKind::GitHubToken]),
        secret in "[!-~]{8,40}",
        github_token in "[!-~]{8,40}",
        before in "([ -~]{0,20}|[a-z ]{270,310})",
        after in "[ -~]{0,40}",
    ) {
        let hidden = match kind {
            SecretKind::ClientSecret => secret.clone(),
            SecretKind::GitHubToken => github_token.clone(),
            SecretKind::Token => TOKEN.to_owned(),
        };
        let text = format!("{before}{}{after}", notation(&hidden));
        // Only requests after the exchange contain the token.
        let is_later = matches!(
            place,
            Place::McpMessage(_) | Place::McpHeader(_) | Place::McpBody | Place::JsonRpcError
                | Place::ToolName | Place::ToolTitle | Place::ToolDescription
        );
        prop_assume!(is_later || !matches!(kind, SecretKind::Token));
        let Some(step) = step(place, &secret, &github_token, &text) else { return Ok(()) };
        let step = match kind {
            // A server can repeat only what it received.
            SecretKind::GitHubToken => step.input("github_token", github_token.clone()),
            _ => step,
        };
        let run = step.run();
        let read = readable(&run).to_lowercase();
        prop_assert!(!read.contains(&hidden.to_lowercase()), "{:?}\n{}", place, read);
        if matches!((kind, place), (SecretKind::ClientSecret, Place::Input(_) | Place::BaseConfigFile)) {
            prop_assert_eq!(run.exit, Some(1));
            prop_assert!(read.contains("contains the client secret"), "{}", read);
        }
    }
}

#[test]
fn a_trace_id_is_redacted_before_it_is_cut() {
    let step = Step::new();
    let secret = step.port.client_secret().to_owned();
    let trace = format!("{}{secret}", "t".repeat(280));
    step.port.fault(
        Endpoint::Rest,
        Fault::status(401).header("x-trace-id", trace),
    );
    let errors = step.fail();
    for start in (4..secret.len()).filter_map(|end| secret.get(..end)) {
        assert!(!errors.contains(start), "{errors}");
    }
}

/// Some servers shorten the values that they quote, and some break lines.
#[test]
fn a_part_of_a_credential_is_not_shown() {
    let secret = "i0VpEBOWfbZAVaBSo63bbH6xTq9cR2mJdLw41huSS6AZPsK20FKcpXzkIRP7uYge";
    let base64 = BASE64_STANDARD.encode(format!("id:{secret}"));
    let cut = secret.len() - 24;
    for text in [
        format!("input_value='{}...{}'", &secret[..25], &secret[cut..]),
        secret[1..].to_owned(),
        format!("{}...", &secret[..63]),
        format!("{}\n{}", &secret[..30], &secret[30..]),
        format!(
            "{}\u{200b}{}\u{ad}{}",
            &secret[..11],
            &secret[11..20],
            &secret[20..]
        ),
        secret.chars().map(|c| format!("{c} ")).collect(),
        base64[..base64.len() - 5].to_owned(),
    ] {
        for endpoint in [Endpoint::Rest, Endpoint::Mcp] {
            let step = Step::against(FakePort::builder().credentials("id", secret));
            let fault = Fault::status(403).json(json!({"message": text}));
            step.port.fault(endpoint, fault);
            let errors = step.fail();
            assert!(errors.contains("***"), "{text}: {errors}");
            let shown: String = errors.chars().filter(char::is_ascii_alphanumeric).collect();
            for part in [secret, &base64]
                .iter()
                .flat_map(|whole| whole.as_bytes().windows(12))
            {
                let part = str::from_utf8(part).unwrap();
                assert!(!shown.contains(part), "{text}: {errors}");
            }
        }
    }
}

#[test]
fn a_secret_in_json_as_php_writes_it_is_redacted() {
    let step = Step::against(FakePort::builder().credentials("id", "abc/def/ghi/jkl"));
    let body = r#"{"message":"no such secret: abc\\/def\\/ghi\\/jkl or ABC/DEF/GHI/JKL"}"#;
    let fault = Fault::status(401).header("content-type", "application/json");
    step.port.fault(Endpoint::Rest, fault.text(body));
    let errors = step.fail();
    assert!(errors.contains("no such secret: *** or ***"), "{errors}");
}

#[test]
fn the_escaped_form_of_a_secret_with_an_apostrophe_is_masked() {
    let secret = "pa'ss#w0rd-123456";
    for (agent, header) in [
        ("claude-code", secret.to_owned()),
        ("copilot-cli", format!("Bearer {secret}")),
        ("amp", format!("Basic {secret} x")),
    ] {
        let base = json!({"mcpServers": {"docs": {"type": "http", "url": "https://docs.example", "headers": {"X-Key": header}}}});
        let base = match agent {
            "amp" => json!({"amp.mcpServers": base["mcpServers"]}),
            _ => base,
        };
        let mut step = Step::new()
            .input("agent", agent)
            .input("base_config", base.to_string());
        step.job.secret(secret);
        let run = step.succeed();
        let servers = &config(&run);
        assert!(
            servers.to_string().contains(secret),
            "{agent}: unchanged without quotes"
        );
        assert!(!run.outputs["agent_args"].contains(secret));
        let shown = run.mask(&run.outputs["agent_args"]);
        assert!(!shown.contains("ss#w0rd"), "{agent}: {shown}");
        let shown = run.mask(&run.outputs["mcp_config"]);
        assert!(!shown.contains("ss#w0rd"), "{agent}: {shown}");
    }
}

/// Codex's arguments are TOML in JSON, so a secret is escaped twice.
#[test]
fn a_secret_that_is_escaped_twice_is_masked() {
    let secret = r#"pa"ss\w0rd-12'3456"#;
    let base = json!({"mcp_servers": {"docs": {"url": "https://docs.example", "http_headers": {"Authorization": format!("Bearer {secret}")}}}});
    let mut step = Step::new()
        .input("agent", "codex")
        .input("base_config", toml::to_string(&base).unwrap());
    step.job.secret(secret);
    let run = step.succeed();
    for name in ["agent_args", "mcp_config"] {
        let shown = run.mask(&run.outputs[name]);
        assert!(!shown.contains("w0rd"), "{name}: {shown}");
    }
}

#[test]
fn a_short_secret_does_not_change_commands() {
    for secret in ["e", "r", "rr", "title", ":", "=", "Port"] {
        let step =
            Step::against(FakePort::builder().credentials("id", secret)).input("region", "mars");
        let run = step.run();
        assert_eq!(run.exit, Some(1));
        assert!(!annotations(&run, "error").is_empty(), "{}", run.stdout);
        assert!(run.command_errors.is_empty());

        let run = Step::against(FakePort::builder().credentials("id", secret)).succeed();
        let warning = annotations(&run, "warning");
        assert!(!warning.is_empty(), "the step warns of the short secret");
        assert!(run.outputs["tools"].contains("list_entities"));
    }
    let run = Step::against(FakePort::builder().credentials("id", "0123456")).succeed();
    assert!(annotations(&run, "warning").contains("`client_secret` has only 7 characters"));
}

#[test]
fn a_file_that_is_not_a_policy_is_not_quoted() {
    let texts = [
        "password: hunter2hunter2",
        "version: hunter2hunter2\nrules: []",
        "hunter2hunter2",
        "- hunter2hunter2",
        "version: 1\nrules:\n- hunter2hunter2: {}",
        "version: 1\nrules:\n- allow: {tools: ['hunter2hunter2?']}",
        "version: 1\nrules:\n- allow: {tools: ['*'], actions: ['hunter2hunter2 x']}",
        "version: 1\nrules:\n- allow: {tools: ['*'], regions: [hunter2hunter2]}",
        "version: 1\nrules:\n- allow: {tools: [!hunter2hunter2 x]}",
        "version: 1\nrules: *hunter2hunter2",
        "hunter2hunter2: [}",
    ];
    for text in texts {
        let errors = Step::new()
            .file("p.yml", text)
            .input("policy", "p.yml")
            .fail();
        assert!(errors.contains("policy p.yml is invalid"), "{errors}");
        assert!(!errors.contains("hunter2"), "{errors}");

        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("p.yml");
        std::fs::write(&file, text).unwrap();
        let (_, output) = port_mcp(&["policy", "check", file.to_str().unwrap()]);
        assert!(!output.contains("hunter2"), "{output}");
    }
}

#[test]
fn a_tool_with_the_name_of_the_token_is_not_granted() {
    let port = FakePort::builder().token(Token::Literal(TOKEN.to_owned()));
    let run = Step::against(port.offer(Tool::new(TOKEN).read_only(true))).succeed();
    assert!(!run.outputs["tools"].contains(TOKEN));
    assert_eq!(run.outputs["access_token"], TOKEN);
}

#[test]
fn codex_hides_the_token_from_its_shell() {
    let policy = |names: &str| format!("shell_environment_policy={{exclude=[{names}]}}");
    for (base, names) in [
        ("", r#""PORT_MCP_TOKEN""#),
        (r#""AWS_*""#, r#""AWS_*","PORT_MCP_TOKEN""#),
        (r#""PORT_MCP_TOKEN","AWS_*""#, r#""PORT_MCP_TOKEN","AWS_*""#),
    ] {
        let run = Step::new()
            .input("agent", "codex")
            .input("token_placement", "env")
            .input(
                "base_config",
                format!("shell_environment_policy.exclude = [{base}]"),
            )
            .succeed();
        assert!(
            !annotations(&run, "warning").contains("base_config"),
            "{base}"
        );
        let args: Vec<String> = serde_json::from_str(&run.outputs["agent_args"]).unwrap();
        assert!(args.contains(&policy(names)), "{args:?}");
    }
}
