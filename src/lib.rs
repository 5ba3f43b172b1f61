//! Connects an AI agent in a GitHub workflow to Port's MCP server.
//!
//! The modules, in the order in which data flows through [`connect`], the main phase of the action:
//!
//! | module | contents |
//! |---|---|
//! | [`inputs`] | the step's environment: strings, then typed [`inputs::Settings`] |
//! | [`port`] | Port: its hosts, its two token flows, its renamed tools |
//! | [`mcp`] | the preflight check of the MCP server, and the tools that it offers |
//! | [`access`] | which tools and actions are granted: patterns, and an organization's policy |
//! | [`agents`] | each agent's configuration, tool notation, and arguments |
//! | [`runner`] | the protocol of GitHub's runner: masks, annotations, outputs, summary, temporary files |
//!
//! `port`, `mcp`, `access`, `agents`, and `runner` are independent of each other except for plain values,
//! and come together in `connect`. They share [`text`], which makes untrusted text safe to show, [`tool`], the names of a
//! tool, `file`, which reads a file that others wrote, and [`http`], which gives every request time limits, retries, and
//! errors.
//!
//! [`gateway`] is the local MCP server that enforces the granted tools. `launch` starts it for `connect`, as a process or
//! as a container, and stops it for [`cleanup`], the post phase. [`answer`] checks an agent's answer for secrets. [`cli`] has the command
//! line: the phases, and commands for the terminal. [`Error`] reports the errors of all of them, each with
//! a link from [`troubleshooting`].

pub mod access;
pub mod agents;
pub mod answer;
pub mod cleanup;
pub mod cli;
pub mod connect;
mod connection;
mod error;
mod file;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod gateway;
pub mod http;
pub mod inputs;
mod launch;
pub mod mcp;
pub mod port;
pub mod runner;
pub mod text;
pub mod tool;
pub mod troubleshooting;

pub use connection::Connection;
pub use error::Error;
