//! Black-box tests: the real binary, or the real image, started as GitHub's runner starts it, against a fake Port server.
//! One file per subject.
//!
//! A test that starts the step (with `Step`, `Gateway`, or `program`) belongs in `in_image`, whose tests `tests/e2e/run`
//! also runs in the image (`PORT_MCP_IMAGE=port-mcp-action:e2e cargo test --test action -- in_image::`). Outside are only
//! the tests that start no step, that need a process or a tool of this machine, or that run the step for many values, which is
//! slow in containers.

#![expect(
    clippy::expect_used,
    clippy::format_collect,
    clippy::unwrap_used,
    reason = "a test that cannot continue must fail"
)]

mod agents;
mod answer;
mod base_config;
mod binary;
mod config_file;
mod documents;
mod engine;
mod findings;
mod gateway;
mod gateway_process;
mod grants;
mod harness;
mod hostile;
mod in_image;
mod inputs;
mod interface;
mod leaks;
mod merging;
mod modules;
mod outputs;
mod policy;
mod process;
mod region;
mod reusable;
mod secrets;
mod servers;
mod terminal;
mod tools;
