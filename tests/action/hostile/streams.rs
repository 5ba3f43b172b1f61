//! Standard streams that are closed, full, or not read.

use super::has_secret;
use crate::harness::{Step, after, ours};

/// The step with a log that nobody can read: the runner could not mask the token.
#[test]
fn without_a_mask_nothing_is_output() {
    for script in [
        "exec >&-",
        "exec >/dev/null",
        "exec >/dev/full",
        // A pipe whose reader is gone.
        "mkfifo pipe && exec 3<>pipe && exec >pipe && exec 3<&-",
        "exec <&- >&- 2>&-",
    ] {
        let step = Step::new()
            .input("config_file", "true")
            .program(after(script));
        let run = step.run();
        assert_eq!(run.exit, Some(1), "{script}");
        assert!(run.outputs.is_empty(), "{script}");
        assert!(run.state.values().all(|value| value == "none"), "{script}");
        assert!(ours(&step.job).is_empty(), "{script}");
        assert!(step.port.received().is_empty(), "{script}");
    }
}

#[test]
fn standard_input_and_error_are_not_needed() {
    let step = Step::new().program(after("exec <&- 2>&-"));
    assert!(has_secret(&step.succeed()));
}

#[test]
fn the_post_phase_works_without_a_log() {
    for script in ["exec >&-", "exec >/dev/full"] {
        let step = Step::new()
            .input("config_file", "true")
            .input("connection", "gateway");
        let url = step.succeed().outputs["mcp_url"].clone();
        let step = step.program(after(script));
        assert_eq!(step.clean_up().exit, Some(0), "{script}");
        assert!(ours(&step.job).is_empty(), "{script}");
        let address = url.trim_start_matches("http://").trim_end_matches("/v1");
        let connected = std::net::TcpStream::connect(address);
        assert!(connected.is_err(), "{script}: the gateway runs");
    }
}
