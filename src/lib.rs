//! Connects an AI agent in a GitHub workflow to Port's MCP server.
//!
//! The rooms of the crate, in the order in which data flows through [`connect`]:
//!
//! | room | knows |
//! |---|---|
//! | [`inputs`] | the environment of the step: strings, then checked [`inputs::Settings`] |
//! | [`port`] | Port's hosts, its two token flows, the history of its tools |
//! | [`mcp`] | the MCP server: whether it can be reached, and which tools it offers |
//! | [`access`] | which tools and actions the agent is granted: patterns, and an organization's policy |
//! | [`agents`] | each agent's configuration, tool notation and arguments |
//! | [`runner`] | the protocol of GitHub's runner: masks, annotations, outputs, summary, temporary files |
//!
//! [`connect`] is the main phase of the action and [`cleanup`] its post phase; [`answer`] takes over
//! what an agent answered, and [`policy`] and [`tools`] are for people. `port`, `mcp`, `access`, `agents` and `runner` meet in `connect`: of one another they know
//! plain values and nothing more. Two leaves are open to all of them: [`text`], which makes foreign
//! text fit to be shown, and [`http`], which gives time limits, retries and errors to every request.

pub mod access;
pub mod agents;
pub mod answer;
pub mod cleanup;
pub mod connect;
pub mod http;
pub mod inputs;
pub mod mcp;
pub mod policy;
pub mod port;
pub mod runner;
pub mod text;
pub mod tools;

use access::Refusals;
use inputs::Mistakes;
use runner::Log;

/// Says on `log` why a phase failed: one annotation, or one for each mistake or refusal.
pub fn report(log: &mut Log<'_>, error: &anyhow::Error) {
    if let Some(mistakes) = error.downcast_ref::<Mistakes>() {
        for mistake in mistakes.iter() {
            log.error("Port MCP: wrong input", mistake.to_string());
        }
    } else if let Some(Refusals(refusals)) = error.downcast_ref() {
        for refusal in refusals {
            log.error("Port MCP: not granted", refusal.to_string());
        }
    } else {
        log.error("Port MCP", format!("{error:#}"));
    }
}
