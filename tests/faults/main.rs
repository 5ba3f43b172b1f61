//! The fault matrix: every request of the action and its gateway, with every fault of a network, a proxy, or a
//! server. One test for each pair, with the real binary.
//!
//! Each test checks what the step or the agent reports, whether the request is sent again, that the step ends
//! in time, that its memory is limited, and that no secret leaks into any stream or file.
//!
//! `cargo test --test faults -- "REST exchange"` runs the tests of one request. `UPDATE_DOCS=1 cargo test --test
//! faults -- table` writes the tables of verdicts into `docs/reliability.md`.

#![expect(clippy::unwrap_used, reason = "a test that cannot continue must fail")]

mod cell;
mod fault;
mod relay;
mod request;
mod tls;
mod verdict;

use libtest_mimic::{Arguments, Failed, Trial};
use port_mcp_action::troubleshooting::contains;

use fault::Fault;
use request::Request;
use verdict::Verdict;

/// How many tests run at the same time, unless the command line says otherwise: most of a test is waiting.
const THREADS: usize = 32;

fn main() {
    let in_tables = Request::PARTS.iter().flat_map(|(_, requests)| *requests);
    assert!(in_tables.eq(&Request::ALL), "a table lacks a request");
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);
    let mut trials = vec![Trial::test("the tables are up to date", || {
        update_table();
        Ok(())
    })];
    // Each relay has a loopback address of its own, which needs Linux.
    if cfg!(target_os = "linux") {
        // The slowest are last in the table, and start first.
        for request in Request::ALL.into_iter().rev() {
            for fault in Fault::ALL {
                let name = format!("{}: {}", request.title(), fault.title());
                match Verdict::of(request, fault) {
                    Verdict::Impossible => {}
                    verdict => {
                        trials.push(Trial::test(name, move || check(request, fault, &verdict)));
                    }
                }
            }
        }
    }
    libtest_mimic::run(&arguments, trials).exit();
}

/// Compares what is seen with the verdict: while the fault persists, and, if the request is sent again, after it
/// has happened once.
fn check(request: Request, fault: Fault, verdict: &Verdict) -> Result<(), Failed> {
    let seen = cell::run(request, fault, usize::MAX);
    let (exit, text, is_retried) = match verdict {
        Verdict::Impossible => unreachable!("it is not run"),
        Verdict::Error(text) => (1, Some(text), false),
        Verdict::Retry(text) => (1, Some(text), true),
        Verdict::Agent(text) => (0, Some(text), false),
        Verdict::RetryForAgent(text) => (0, Some(text), true),
        Verdict::None | Verdict::BrokenOff | Verdict::UntilAgentEnds => (0, None, false),
    };
    let is_as_expected = seen.exit == Some(exit)
        && text.is_none_or(|text| contains(&seen.error, text) || contains(&seen.agent, text))
        && (exit == 1) != seen.error.is_empty()
        && (*verdict == Verdict::BrokenOff) == seen.is_broken_off
        && seen
            .attempts
            .is_none_or(|attempts| (attempts > 1) == is_retried);
    if !is_as_expected {
        return Err(format!("expected {verdict:?}, retried: {is_retried}\nseen {seen:#?}").into());
    }
    // A closed port cannot be opened at the right moment.
    if is_retried && !matches!(fault, Fault::Dns | Fault::Refused | Fault::ProxyRefuses) {
        let seen = cell::run(request, fault, 1);
        let has_result = !request.is_of_gateway() || seen.agent.contains("\"content\"");
        if seen.exit != Some(0) || !has_result {
            return Err(format!("not after one fault: {seen:#?}").into());
        }
    }
    Ok(())
}

/// Compares the tables in the documents, and replaces them with `UPDATE_DOCS=1`.
fn update_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reliability.md");
    let (start, end) = ("<!-- faults -->\n", "<!-- end of faults -->");
    let page = std::fs::read_to_string(path).unwrap();
    let (before, rest) = page.split_once(start).unwrap();
    let (_, after) = rest.split_once(end).unwrap();
    let updated = format!("{before}{start}\n{}{end}{after}", verdict::tables());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, updated).unwrap();
    } else {
        assert!(
            page == updated,
            "run `UPDATE_DOCS=1 cargo test --test faults -- table`"
        );
    }
}
