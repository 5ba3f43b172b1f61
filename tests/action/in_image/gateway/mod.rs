//! The gateway: what it lets pass, what it rejects, and how it survives expiry. The real process, started by
//! the real step, against the fake Port server. The files follow the map in `src/gateway/mod.rs`.

mod audit;
mod gate;
mod job;
mod relay;
mod renewal;
mod server;
mod sessions;
mod upstream;
