//! The post phase: removes what the main phase left for the job.
//!
//! The token is not revoked: Port hands out one token for a set of credentials, and other jobs hold
//! it too.

use crate::runner::{Environment, Log, temp};

/// The name under which the main phase saves the name of its configuration file.
pub const CONFIG_FILE: &str = "config_file";

/// Removes the configuration file, if the main phase wrote one.
///
/// # Errors
/// When there is a file and it cannot be removed.
pub fn run(environment: &Environment, log: &mut Log<'_>) -> anyhow::Result<()> {
    let Some(name) = environment.get(&format!("STATE_{CONFIG_FILE}")) else {
        log.debug("no configuration file was written, so there is nothing to remove");
        return Ok(());
    };
    if temp::remove(environment, name)? {
        log.info("Removed the MCP configuration file.");
    } else {
        log.info("The MCP configuration file is gone already.");
    }
    Ok(())
}
