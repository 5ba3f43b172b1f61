//! The post phase: removes the configuration file.
//!
//! It does not revoke the token: Port returns the same token for a set of credentials, so other jobs use it.

use crate::runner::{Environment, Log, temp};

/// The name of the state with the name of the configuration file.
pub const CONFIG_FILE: &str = "config_file";

/// Removes the configuration file, if the main phase wrote one.
///
/// # Errors
/// When the file exists and cannot be removed.
pub fn run(environment: &Environment, log: &mut Log<'_>) -> anyhow::Result<()> {
    let Some(name) = environment.get(&format!("STATE_{CONFIG_FILE}")) else {
        log.debug("no configuration file to remove");
        return Ok(());
    };
    if temp::remove(environment, name)? {
        log.info("Removed the MCP configuration file.");
    } else {
        log.info("The MCP configuration file was already removed.");
    }
    Ok(())
}
