//! The tests that also run in the image: see `main.rs`.

mod agents;
mod answer;
mod attempts;
mod claude_code;
mod config_file;
mod credentials;
mod end;
mod envelopes;
mod exchange;
mod gateway;
mod inputs;
mod memory;
mod outputs;
mod policy;
mod port_responses;
mod preflight;
mod process;
mod run;
mod runner;
mod secrets;
mod summary;
mod tools;
