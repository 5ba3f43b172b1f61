//! Connects an AI agent in a GitHub workflow to Port's MCP server.
//!
//! The rooms of the crate, in the order in which data flows through [`connect`]:
//!
//! | room | knows |
//! |---|---|
//! | [`inputs`] | the environment of the step: strings, then checked [`inputs::Settings`] |
//! | [`port`] | Port's hosts, its two token flows, HTTP with time limits and retries |
//! | [`access`] | which tools and actions the agent is granted |
//! | [`agents`] | each agent's configuration, tool notation and arguments |
//! | [`runner`] | the protocol of GitHub's runner: masks, annotations, outputs, summary, temporary files |
//!
//! [`connect`] is the main phase of the action and [`cleanup`] its post phase. `port`, `access`,
//! `agents` and `runner` do not use one another: they meet in `connect`, through plain values. The
//! one leaf that all of them may use is [`text`], which makes foreign text fit to be shown.

pub mod access;
pub mod agents;
pub mod cleanup;
pub mod connect;
pub mod inputs;
pub mod port;
pub mod runner;
pub mod text;

use inputs::Mistakes;
use runner::Log;

/// Says on `log` why a phase failed: one annotation, or one for each mistake in the inputs.
pub fn report(log: &mut Log<'_>, error: &anyhow::Error) {
    match error.downcast_ref::<Mistakes>() {
        Some(mistakes) => {
            for mistake in mistakes.iter() {
                log.error("Port MCP: wrong input", mistake.to_string());
            }
        }
        None => log.error("Port MCP", format!("{error:#}")),
    }
}
