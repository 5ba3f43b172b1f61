//! Variables that are not text, too many, too large, or set by an earlier step.

use std::net::TcpListener;

use port_mcp_action::inputs::{INPUTS, Input};

use crate::engine::{self, Engine};
use crate::harness::{Step, after, annotations, assert_explained, errors};

/// The longest string that Linux passes to a program, with its name and the byte at its end.
const LARGEST: usize = 128 * 1024;

/// A script that sets a variable to a byte that is not UTF-8.
fn not_utf8(name: &str) -> String {
    format!("export {name}=\"$(printf 'a\\377')\"")
}

/// Every variable that the program reads, except the inputs.
const VARIABLES: [&str; 33] = [
    "ALL_PROXY",
    "GITHUB_ACTION_PATH",
    "GITHUB_ACTION",
    "GITHUB_ACTION_REF",
    "GITHUB_ACTION_REPOSITORY",
    "GITHUB_ACTOR",
    "GITHUB_API_URL",
    "GITHUB_EVENT_NAME",
    "GITHUB_EVENT_PATH",
    "GITHUB_JOB",
    "GITHUB_REF",
    "GITHUB_REPOSITORY",
    "GITHUB_RUN_ATTEMPT",
    "GITHUB_RUN_ID",
    "GITHUB_SERVER_URL",
    "GITHUB_STEP_SUMMARY",
    "GITHUB_WORKFLOW_REF",
    "GITHUB_WORKSPACE",
    "HOME",
    "HTTPS_PROXY",
    "NO_PROXY",
    "RUNNER_DEBUG",
    "RUNNER_TEMP",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "STATE_config_file",
    "STATE_gateway_audit",
    "STATE_gateway_name",
    "STATE_gateway_stop_key",
    "STATE_gateway_summary",
    "STATE_gateway_url",
    "STATE_summary_digest",
    "STATE_summary_file",
];

#[test]
fn variables_that_are_not_utf8_are_not_ignored() {
    for variable in VARIABLES {
        let step = Step::new().program(after(&not_utf8(variable)));
        let step = step.input("policy", "acme/.github/p.yml@main");
        assert_eq!(step.run().exit, Some(1), "{variable}: there is no policy");
        let step = step.input("policy", "");
        let run = step.run();
        let expected = match variable {
            "ALL_PROXY" | "HTTPS_PROXY" => "`https_proxy` is not a URL of an HTTP proxy",
            _ => "",
        };
        assert_eq!(
            run.exit,
            Some(i32::from(!expected.is_empty())),
            "{variable}"
        );
        assert!(errors(&run).contains(expected), "{variable}: {}", run.log());
        assert_eq!(step.clean_up().exit, Some(0), "{variable}");
    }
    let step = Step::new().input("policy", "acme/.github/p.yml@main");
    let errors = step.program(after(&not_utf8("GITHUB_API_URL"))).fail();
    assert!(
        errors.contains("GITHUB_API_URL is not an https URL"),
        "{errors}"
    );
}

#[test]
fn inputs_that_are_not_utf8_are_named() {
    for Input { name: input, .. } in INPUTS.iter() {
        let variable = format!("INPUT_{}", input.to_uppercase());
        let step = Step::new().program(after(&not_utf8(&variable)));
        let errors = step.fail();
        let expected = format!("input `{input}` is not UTF-8");
        assert!(errors.contains(&expected), "{errors}");
    }
    let script =
        "exec env \"$(printf 'INPUT_\\377=x')\" \"$(printf '\\377\\376=x')\" \"$0\" \"$@\"";
    Step::new().program(after(script)).succeed();
}

#[test]
fn a_temporary_directory_whose_name_is_not_utf8() {
    let script = "export RUNNER_TEMP=\"$PWD/$(printf 'a\\377')\" && mkdir -p \"$RUNNER_TEMP\"";
    let step = Step::new().input("config_file", "true");
    let step = step.program(after(script));
    step.succeed();
    assert_eq!(step.clean_up().exit, Some(0));

    let step = Step::new()
        .input("connection", "gateway")
        .input("audit_file", "true");
    let errors = step.program(after(script)).fail();
    assert!(errors.contains("audit file is not UTF-8"), "{errors}");
}

#[test]
fn ten_thousand_inputs() {
    for name in ["INPUT_OF_THE_JOB", "INPUT_ALLOWED_TOOLS_"] {
        let script = format!(
            "ulimit -d 98304; i=0; while [ $i -lt 10000 ]; do export {name}$i=x; i=$((i + 1)); done"
        );
        let run = Step::new().program(after(&script)).run();
        assert_explained(&run);
        assert!(matches!(run.exit, Some(0 | 1)), "{:?}", run.exit);
    }
}

#[test]
fn each_input_can_be_as_large_as_a_variable() {
    for Input { name: input, .. } in INPUTS.iter() {
        for unit in ["x", "a,"] {
            let size = LARGEST - "INPUT_=".len() - input.len() - 1;
            let mut text = unit.repeat(size);
            text.truncate(size);
            let step = Step::new().input(input, text);
            let run = step.program(after("ulimit -d 98304")).run();
            assert_explained(&run);
            let errors = errors(&run);
            assert!(!errors.contains("bug in"), "{input}: {errors}");
            assert!(errors.len() < 64 * 1024, "{input}: {} bytes", errors.len());
            assert!(matches!(run.exit, Some(0 | 1)), "{input}: {:?}", run.exit);
            assert_eq!(annotations(&run, "error").is_empty(), run.exit == Some(0));
        }
    }
    let step = Step::new();
    let file = std::fs::File::create(step.job.workspace().join("large.json")).unwrap();
    file.set_len(100 << 20).unwrap();
    let step = step.program(after("ulimit -d 98304"));
    let errors = step.input("base_config", "large.json").fail();
    assert!(errors.contains("is larger than 64 KiB"), "{errors}");
}

/// What an earlier step can set, and a value that would change where the credentials go, what the gateway is, or what
/// the post phase does. `{trap}` is an address that must not be used. Proxies are missing: they count on purpose.
pub(crate) const FORGED: [(&str, &str); 51] = [
    ("CURL_CA_BUNDLE", "/nonexistent"),
    ("CURL_HOME", "/nonexistent"),
    ("DOCKER_API_VERSION", "1.0"),
    ("DOCKER_CONFIG", "/nonexistent"),
    ("DOCKER_CONTEXT", "other"),
    ("DOCKER_HOST", "tcp://{trap}"),
    ("DOCKER_TLS_VERIFY", "1"),
    ("GITHUB_ACTIONS", "false"),
    // Not always a variable of the runner's own. Then, the job summary repeats that of the step.
    ("GITHUB_ACTION_PATH", "/nonexistent"),
    ("GITHUB_API_URL", "http://{trap}"),
    ("GITHUB_OUTPUT", "/nonexistent/output"),
    ("GITHUB_STATE", "/nonexistent/state"),
    ("GITHUB_WORKSPACE", "/nonexistent"),
    ("HOME", "/nonexistent"),
    ("HOSTALIASES", "/nonexistent"),
    ("INPUT_API_URL", "http://{trap}"),
    ("INPUT_Api_Url", "http://{trap}"),
    ("INPUT_allowed_actions", "*"),
    ("INPUT_base_config", "{"),
    ("INPUT_ca_certificate", "/nonexistent"),
    ("INPUT_policy", "/nonexistent"),
    ("INPUT_CLIENT_SECRET", "another-secret-of-another-step"),
    ("INPUT_CONNECTION", "direct"),
    ("INPUT_MCP_URL", "http://{trap}"),
    ("INPUT_mcp_url", "http://{trap}"),
    ("LD_LIBRARY_PATH", "/nonexistent"),
    ("LOCALDOMAIN", "example.com"),
    ("NODE_EXTRA_CA_CERTS", "/nonexistent"),
    ("NODE_TLS_REJECT_UNAUTHORIZED", "0"),
    ("PATH", "/nonexistent"),
    ("PORT_MCP_BINARIES", "http://{trap}"),
    ("PORT_MCP_IMAGE_GATEWAY", ""),
    ("PORT_MCP_IMAGE_GATEWAY", "container"),
    ("RES_OPTIONS", "ndots:15"),
    ("RUNNER_DEBUG", "1"),
    ("RUNNER_TEMP", "/nonexistent"),
    ("RUST_BACKTRACE", "full"),
    ("RUST_LOG", "trace"),
    ("SSLKEYLOGFILE", "/nonexistent"),
    ("SSL_CERT_DIR", "/nonexistent"),
    ("SSL_CERT_FILE", "/nonexistent"),
    ("STATE_config_file", "port-mcp-x"),
    ("STATE_gateway_audit", "../catalog/precious"),
    ("STATE_gateway_name", "port-mcp-0123456789abcdef"),
    ("STATE_gateway_stop_key", "another-key"),
    ("STATE_gateway_summary", "false"),
    ("STATE_gateway_url", "http://{trap}/v1"),
    ("STATE_started", ""),
    ("STATE_summary_digest", "0"),
    ("STATE_summary_file", "../catalog/precious"),
    ("TMPDIR", "/nonexistent"),
];

/// Sets a variable for the next steps of the job.
pub(crate) fn forge(step: &Step, name: &str, value: &str) {
    step.earlier_step(&format!("echo '{name}={value}' >> \"$GITHUB_ENV\""));
}

/// With each of these variables set before the step, and between its phases, a gateway of both forms starts and stops,
/// reports its calls, and nothing is sent anywhere else.
#[test]
fn variables_of_an_earlier_step_change_nothing() {
    let trap = TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let address = trap.local_addr().unwrap().to_string();
    for (name, value) in FORGED {
        let value = value.replace("{trap}", &address);
        for is_container in [false, true] {
            for is_before in [true, false] {
                let what = format!("{name}, container: {is_container}, before: {is_before}");
                let engine = is_container.then(|| Engine::start().with(engine::State::stops));
                let step = Step::new().input("config_file", "true");
                let step = match &engine {
                    Some(engine) => engine.run(step),
                    None => step
                        .input("connection", "gateway")
                        .input("allowed_tools", "list_blueprints"),
                };
                if is_before {
                    forge(&step, name, &value);
                }
                let run = step.run();
                assert_eq!(run.exit, Some(0), "{what}: {}", run.log());
                let file = step.job.temp().join(&run.outputs["config_file"]);
                assert!(file.exists(), "{what}");
                if !is_before {
                    forge(&step, name, &value);
                }
                let post = match &engine {
                    Some(engine) => engine::clean_up(engine, &step, &[]),
                    None => step.clean_up(),
                };
                assert_eq!(post.exit, Some(0), "{what}: {}", post.log());
                // The stub of a container says that an agent connected.
                let sessions = usize::from(is_container);
                assert!(
                    post.log()
                        .contains(&format!("Stopped the gateway. Sessions: {sessions}")),
                    "{what}: {}",
                    post.log()
                );
                assert!(post.summary.contains("Port MCP: calls"), "{what}");
                let warnings = annotations(&post, "warning");
                let expected = "no agent connected to Port through the gateway, and none tried\n";
                assert_eq!(warnings.is_empty(), is_container, "{what}: {warnings}");
                assert!(is_container || warnings.starts_with(expected), "{warnings}");
                assert_eq!(
                    warnings.matches("hint: ").count(),
                    1 - sessions,
                    "{warnings}"
                );
                assert!(!file.exists(), "{what}");
                if let Some(engine) = engine {
                    assert_eq!(engine.removed().len(), 1, "{what}");
                }
                assert!(
                    trap.accept().is_err(),
                    "{what}: a connection to another address"
                );
            }
        }
    }
}

/// The main phase did not start, so nothing is saved: what a step has set instead is reported, and nothing is done
/// with it.
#[test]
fn forged_state_without_saved_state_is_a_warning() {
    for (name, value, expected) in [
        (
            "STATE_config_file",
            "x",
            "The saved state names the configuration file `x`",
        ),
        (
            "STATE_config_file",
            "port-mcp-../catalog/x",
            "The saved state names the configuration file",
        ),
        (
            "STATE_gateway_url",
            "http://127.0.0.1:1/v1",
            "does not name its gateway",
        ),
        ("STATE_gateway_stop_key", "x", "does not name its gateway"),
        ("STATE_summary_file", "/etc/passwd", ""),
        ("STATE_gateway_summary", "\u{1f600}", ""),
    ] {
        let step = Step::new().file("x", "precious");
        forge(&step, name, value);
        let post = step.clean_up();
        assert_eq!(post.exit, Some(0), "{name}: {}", post.log());
        let warnings = annotations(&post, "warning");
        assert!(warnings.contains(expected), "{name}: {warnings}");
        assert_eq!(
            warnings.is_empty(),
            expected.is_empty(),
            "{name}: {warnings}"
        );
        assert!(step.job.workspace().join("x").exists());
        assert_eq!(post.summary, "");
    }
    // A step that was killed while the gateway started.
    let step = Step::new();
    forge(&step, "STATE_gateway_url", "starting");
    let warnings = annotations(&step.clean_up(), "warning");
    assert!(warnings.contains("(a value is missing)"), "{warnings}");
    let step = Step::new().input("connection", "Gateway");
    let post = step.clean_up();
    assert!(annotations(&post, "warning").contains("If it runs, it ends `6h` after its start"));
}
