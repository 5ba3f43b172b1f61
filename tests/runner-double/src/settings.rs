use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::program::Mount;

/// What the runner knows of a step before it starts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    /// The id of the step.
    pub(crate) step: String,
    pub(crate) workspace: PathBuf,
    /// The directories with another path in the container. None outside of a container.
    pub(crate) mounts: Vec<Mount>,
    pub(crate) debug: bool,
    pub(crate) allows_old_commands: bool,
    pub(crate) allows_any_stop_token: bool,
}

impl Settings {
    /// Reads the variables of a step.
    pub(crate) fn from_variables(variables: &BTreeMap<String, String>) -> Self {
        let value = |name| variables.get(name).map(|value| value.to_ascii_lowercase());
        let is_any = |name, yes: &[&str]| value(name).is_some_and(|value| yes.contains(&&*value));
        let old_commands = value("ACTIONS_ALLOW_UNSECURE_COMMANDS");
        Self {
            step: variables.get("GITHUB_ACTION").cloned().unwrap_or_default(),
            allows_old_commands: old_commands.is_some_and(|value| value.trim() == "true"),
            allows_any_stop_token: is_any(
                "ACTIONS_ALLOW_UNSECURE_STOPCOMMAND_TOKENS",
                &["1", "true", "$true"],
            ),
            ..Self::default()
        }
    }

    /// The path on this machine of a path in the container.
    ///
    /// Source: `TranslateToHostPath` in `src/Runner.Worker/Container/ContainerInfo.cs`.
    pub(crate) fn to_host(&self, path: &str) -> String {
        for mount in &self.mounts {
            match path.strip_prefix(mount.container) {
                Some(rest) if rest.is_empty() || rest.starts_with('/') => {
                    return format!("{}{rest}", mount.host.display());
                }
                _ => {}
            }
        }
        path.to_owned()
    }

    /// The expression for an output of the step.
    ///
    /// Source: `SetOutput` in `src/Runner.Worker/StepsContext.cs`.
    pub(crate) fn reference(&self, output: &str) -> String {
        let step = &self.step;
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let is_property =
            output.chars().all(is_plain) && !output.starts_with(|c: char| c.is_ascii_digit());
        if is_property {
            format!("steps.{step}.outputs.{output}")
        } else {
            format!("steps['{step}']['outputs']['{output}']")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_with_a_simple_name_is_a_property() {
        let settings = Settings {
            step: "v".into(),
            ..Settings::default()
        };
        assert_eq!(settings.reference("a_1"), "steps.v.outputs.a_1");
        assert_eq!(settings.reference("a-b"), "steps['v']['outputs']['a-b']");
        assert_eq!(settings.reference("1a"), "steps['v']['outputs']['1a']");
    }

    #[test]
    fn a_path_in_the_container_is_translated() {
        let settings = Settings {
            mounts: vec![Mount {
                host: "/w".into(),
                container: "/github/workspace",
            }],
            ..Settings::default()
        };
        assert_eq!(settings.to_host("/github/workspace/a"), "/w/a");
        assert_eq!(settings.to_host("/github/workspaces"), "/github/workspaces");
    }
}
