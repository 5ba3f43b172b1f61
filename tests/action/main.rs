//! Black-box tests: the real binary (or, where `PORT_MCP_IMAGE` names one, the real image), started
//! as GitHub's runner starts it, against a fake Port server. One file per subject.

#![expect(
    clippy::expect_used,
    clippy::format_collect,
    clippy::unwrap_used,
    reason = "a test that cannot continue must fail"
)]

mod agents;
mod answer;
mod answer_links;
mod attempts;
mod binary;
mod cases;
mod claude_code;
mod config_file;
mod credentials;
mod documents;
mod end;
mod engine;
mod envelopes;
mod exchange;
mod findings;
mod gateway;
mod harness;
mod hostile;
mod inputs;
mod interface;
mod leaks;
mod memory;
mod merging;
mod modules;
mod policy;
mod port_responses;
mod preflight;
mod process;
mod reusable;
mod run;
mod runner;
mod secrets;
mod summary;
mod terminal;
mod tools;
