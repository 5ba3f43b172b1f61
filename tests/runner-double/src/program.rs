use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::job::Phase;

/// The program of a step: the action's binary on this machine, its image, or its JavaScript.
#[derive(Debug, Clone)]
pub struct Program {
    kind: Kind,
    image_variables: BTreeMap<String, String>,
}

#[derive(Debug, Clone)]
enum Kind {
    Binary(PathBuf),
    Wrapped(Vec<OsString>),
    Image(String),
    JavaScript(PathBuf),
    Shell { main: String, post: String },
    Run(String),
}

/// How the runner reports the end of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Of a container action, when debugging.
    Docker,
    /// Of a JavaScript action, when debugging.
    Node,
    /// Of a `run` step, as an error unless it is 0.
    Run,
}

/// Docker's `PATH` for an image that does not set it. The runner does not pass its own `PATH`.
pub(crate) const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A directory of the runner, which has another path in the container.
#[derive(Debug, Clone)]
pub(crate) struct Mount {
    pub(crate) host: PathBuf,
    pub(crate) container: &'static str,
}

/// The start of a program, independent of the kind of program.
#[derive(Debug)]
pub(crate) struct Start<'a> {
    pub(crate) phase: Phase,
    pub(crate) environment: &'a BTreeMap<String, String>,
    /// The most specific first, because the first one that matches translates a path.
    pub(crate) mounts: &'a [Mount],
    pub(crate) workspace: &'a Path,
    /// The name of the container.
    pub(crate) name: &'a str,
}

impl Program {
    /// The binary at `path`, run as `path connect` and `path cleanup`. It gets the same variables
    /// as the image, with the paths of this machine.
    #[must_use]
    pub fn binary(path: impl Into<PathBuf>) -> Self {
        Self::of(Kind::Binary(path.into()))
    }

    /// A program that starts the binary, such as `env` or `strace`: its words, which end with the path of the
    /// binary. They are followed by `connect` or `cleanup`.
    #[must_use]
    pub fn wrapped(words: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        Self::of(Kind::Wrapped(words.into_iter().map(Into::into).collect()))
    }

    /// The image `name`, run by docker with the entry points `/connect` and `/cleanup`. Unlike on a
    /// runner, it uses the network of this machine, so that the action reaches the servers of the
    /// test.
    ///
    /// Source: `src/Runner.Worker/Handlers/ContainerActionHandler.cs` and `DockerRun` in
    /// `src/Runner.Worker/Container/DockerCommandManager.cs`.
    #[must_use]
    pub fn image(name: impl Into<String>) -> Self {
        Self::of(Kind::Image(name.into()))
    }

    /// The JavaScript action in `directory`, run as `node main.js` and `node post.js`. Unlike a container, it
    /// gets the search path of the runner. The Node.js is that of this machine, not the runner's own.
    ///
    /// Source: `src/Runner.Worker/Handlers/NodeScriptActionHandler.cs`.
    #[must_use]
    pub fn javascript(directory: impl Into<PathBuf>) -> Self {
        Self::of(Kind::JavaScript(directory.into()))
    }

    /// A JavaScript action whose two scripts are shell scripts, run as `sh -e`.
    #[must_use]
    pub fn shell(main: impl Into<String>, post: impl Into<String>) -> Self {
        let (main, post) = (main.into(), post.into());
        Self::of(Kind::Shell { main, post })
    }

    /// The script of a `run` step with `shell: sh`.
    ///
    /// Source: `src/Runner.Worker/Handlers/ScriptHandler.cs`.
    #[must_use]
    pub fn run(script: impl Into<String>) -> Self {
        Self::of(Kind::Run(script.into()))
    }

    fn of(kind: Kind) -> Self {
        Self {
            kind,
            image_variables: BTreeMap::new(),
        }
    }

    /// Sets variables that the image of a container action would set with `ENV`, for a binary in its
    /// place. The runner's own variables, inputs, and `GITHUB_ENV` override them.
    #[must_use]
    pub fn with_image_variables<'a>(
        mut self,
        variables: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let variables = variables.into_iter();
        self.image_variables
            .extend(variables.map(|(name, value)| (name.to_owned(), value.to_owned())));
        self
    }

    /// The image that the environment variable `variable` names, if it is set. With it, the same
    /// tests run against the binary and against the image.
    #[must_use]
    pub fn image_from(variable: &str) -> Option<Self> {
        std::env::var(variable)
            .ok()
            .filter(|name| !name.is_empty())
            .map(Self::image)
    }

    /// Whether the program runs in a container.
    #[must_use]
    pub fn is_image(&self) -> bool {
        matches!(self.kind, Kind::Image(_))
    }

    pub(crate) fn is_run(&self) -> bool {
        self.ending() == Ending::Run
    }

    /// Whether the program runs on the machine of the runner, not in a container or in place of one.
    pub(crate) fn is_on_machine(&self) -> bool {
        self.ending() != Ending::Docker
    }

    pub(crate) fn image_variables(&self) -> &BTreeMap<String, String> {
        &self.image_variables
    }

    pub(crate) fn ending(&self) -> Ending {
        match self.kind {
            Kind::Binary(_) | Kind::Wrapped(_) | Kind::Image(_) => Ending::Docker,
            Kind::JavaScript(_) | Kind::Shell { .. } => Ending::Node,
            Kind::Run(_) => Ending::Run,
        }
    }

    pub(crate) fn command(&self, start: &Start) -> Command {
        match &self.kind {
            Kind::Binary(path) => {
                let mut command = Command::new(path);
                command.arg(start.phase.entry_point());
                on_this_machine(command, start)
            }
            Kind::Wrapped(words) => {
                let mut command = Command::new("env");
                command.args(words).arg(start.phase.entry_point());
                on_this_machine(command, start)
            }
            Kind::JavaScript(directory) => {
                let mut command = Command::new("node");
                command.arg(directory.join(start.phase.script()));
                on_this_machine(command, start)
            }
            Kind::Shell { post, .. } if start.phase == Phase::Post => shell(post, start),
            Kind::Shell { main: script, .. } | Kind::Run(script) => shell(script, start),
            Kind::Image(image) => docker_run(image, start),
        }
    }
}

fn shell(script: &str, start: &Start) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-e", "-c", script]);
    on_this_machine(command, start)
}

fn on_this_machine(mut command: Command, start: &Start) -> Command {
    command
        .current_dir(start.workspace)
        .env_clear()
        .env("PATH", SEARCH_PATH)
        .envs(start.environment);
    command
}

fn docker_run(image: &str, start: &Start) -> Command {
    let mut command = Command::new("docker");
    command.args([
        "run",
        "--rm",
        "--network",
        "host",
        "--workdir",
        "/github/workspace",
        // `ContainerActionHandler.cs` of the runner.
        "-v",
        "/var/run/docker.sock:/var/run/docker.sock",
    ]);
    command.args(["--name", start.name]);
    command
        .arg("--entrypoint")
        .arg(format!("/{}", start.phase.entry_point()));
    for (name, value) in start.environment {
        // By name, because every process can read a value on the command line.
        command
            .args(["-e", name])
            .env(name, to_container(value, start.mounts));
    }
    for mount in start.mounts {
        let mut volume = OsString::from(&mount.host);
        volume.push(":");
        volume.push(mount.container);
        command.arg("-v").arg(volume);
    }
    command.arg(image);
    command
}

/// The value of a variable in the container. It is translated if the whole value is a path of the
/// runner. A path in a longer text is not translated.
///
/// Source: `TranslateToContainerPath` in `src/Runner.Worker/Container/ContainerInfo.cs`.
fn to_container(value: &str, mounts: &[Mount]) -> String {
    for mount in mounts {
        match value.strip_prefix(&*mount.host.to_string_lossy()) {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => {
                return format!("{}{rest}", mount.container);
            }
            _ => {}
        }
    }
    value.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mounts() -> Vec<Mount> {
        [
            ("/w/_temp/_github_home", "/github/home"),
            ("/w/_temp", "/github/runner_temp"),
        ]
        .map(|(host, container)| Mount {
            host: host.into(),
            container,
        })
        .into()
    }

    #[test]
    fn only_a_whole_path_is_translated() {
        let translate = |value| to_container(value, &mounts());
        assert_eq!(translate("/w/_temp"), "/github/runner_temp");
        assert_eq!(translate("/w/_temp/a b"), "/github/runner_temp/a b");
        assert_eq!(translate("/w/_temp/_github_home/x"), "/github/home/x");
        assert_eq!(translate("/w/_temporary"), "/w/_temporary");
        assert_eq!(
            translate("{\"path\":\"/w/_temp\"}"),
            "{\"path\":\"/w/_temp\"}"
        );
    }

    #[test]
    fn no_value_is_on_the_command_line_of_docker() {
        let environment = BTreeMap::from([("INPUT_CLIENT_SECRET".to_owned(), "hush".to_owned())]);
        let start = Start {
            phase: Phase::Post,
            environment: &environment,
            mounts: &mounts(),
            workspace: Path::new("/w/catalog"),
            name: "step-1",
        };
        let command = Program::image("image:tag").command(&start);
        let arguments: Vec<_> = command
            .get_args()
            .map(|argument| argument.to_string_lossy())
            .collect();
        assert_eq!(
            arguments.join(" "),
            "run --rm --network host --workdir /github/workspace -v /var/run/docker.sock:/var/run/docker.sock \
             --name step-1 --entrypoint /cleanup \
             -e INPUT_CLIENT_SECRET -v /w/_temp/_github_home:/github/home -v /w/_temp:/github/runner_temp image:tag"
        );
        assert!(
            command
                .get_envs()
                .any(|(_, value)| value.is_some_and(|value| value == "hush"))
        );
    }
}
