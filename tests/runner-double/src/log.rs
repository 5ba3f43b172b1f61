use std::collections::BTreeMap;

use crate::command::{Command, is_registered};
use crate::masker::{Masker, masks_of};

/// The longest message of an annotation, in characters. The runner also cuts the line in the log.
///
/// Source: `AddIssue` in `src/Runner.Worker/ExecutionContext.cs`.
const LONGEST_ISSUE: usize = 4096;

/// The log of a step. It reads the step's output, runs the commands, and writes the lines.
///
/// Source: `src/Runner.Worker/Handlers/OutputManager.cs` and
/// `src/Runner.Worker/ActionCommandManager.cs`.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) masker: Masker,
    pub(crate) text: String,
    pub(crate) commands: Vec<Command>,
    pub(crate) masks: Vec<String>,
    pub(crate) outputs: BTreeMap<String, String>,
    pub(crate) state: BTreeMap<String, String>,
    pub(crate) command_errors: Vec<String>,
    debug: bool,
    echo: bool,
    stop_token: Option<String>,
}

impl Log {
    /// Step debugging also enables the echo of commands.
    pub(crate) fn new(masker: Masker, debug: bool) -> Self {
        Self {
            masker,
            debug,
            echo: debug,
            ..Self::default()
        }
    }

    pub(crate) fn read(&mut self, output: &str) {
        for line in lines(output) {
            self.read_line(line);
        }
    }

    fn read_line(&mut self, line: &str) {
        let token = self.stop_token.as_deref();
        let resumes = |name: &str| token.is_some_and(|token| token.eq_ignore_ascii_case(name));
        match Command::parse_known(line, |name| is_registered(name) || resumes(name)) {
            Some(command) if resumes(&command.name) => {
                self.write(line);
                self.stop_token = None;
            }
            Some(command) if token.is_none() => self.run(line, command),
            _ => self.write(line),
        }
    }

    fn run(&mut self, line: &str, command: Command) {
        let name = command.name.to_ascii_lowercase();
        // These commands print another line, or none.
        let silent = matches!(
            name.as_str(),
            "add-mask" | "debug" | "error" | "notice" | "warning"
        );
        if self.echo && !silent && name != "stop-commands" {
            self.write(line);
        }
        if let Err(reason) = self.act(&name, &command, line) {
            let shown = if silent { &name } else { line };
            let message = format!("Unable to process command '{shown}' successfully.");
            self.issue("error", &message);
            self.issue("error", &reason);
            self.command_errors.push(format!("{message} {reason}"));
        }
        self.commands.push(command);
    }

    fn act(&mut self, name: &str, command: &Command, line: &str) -> Result<(), String> {
        let data = command.data.as_str();
        let named = || {
            let missing = || format!("Required field 'name' is missing in ##[{name}] command.");
            command
                .property("name")
                .map(str::to_owned)
                .ok_or_else(missing)
        };
        match name {
            "add-mask" => self.add_mask(data),
            "debug" => self.debug(data),
            "error" | "notice" | "warning" => self.issue(name, data),
            "group" => self.write(&format!("##[group]{data}")),
            "endgroup" => self.write("##[endgroup]"),
            "set-output" => {
                self.outputs.insert(named()?, data.to_owned());
            }
            "save-state" => {
                self.state.insert(named()?, data.to_owned());
            }
            "stop-commands" => self.stop(data, line)?,
            "echo" => match data.trim().to_ascii_lowercase().as_str() {
                "on" => self.echo = true,
                "off" => self.echo = false,
                _ => return Err(format!("Invalid echo command value: '{data}'.")),
            },
            "set-env" | "add-path" => return Err(format!("The `{name}` command is disabled.")),
            _ => {}
        }
        Ok(())
    }

    fn add_mask(&mut self, value: &str) {
        if value.trim().is_empty() {
            self.issue(
                "warning",
                "Can't add secret mask for empty string in ##[add-mask] command.",
            );
            return;
        }
        if self.echo {
            self.write("::add-mask::***");
        }
        for mask in masks_of(value) {
            self.masker.add(&mask);
            self.masks.push(mask);
        }
    }

    /// Stops commands. A token that is the name of a command could never resume them.
    fn stop(&mut self, token: &str, line: &str) -> Result<(), String> {
        if token.is_empty() || token.eq_ignore_ascii_case("pause-logging") || is_registered(token) {
            return Err(format!(
                "'{token}' cannot be the token that resumes commands."
            ));
        }
        if token.encode_utf16().count() > 6 {
            self.masker.add(token);
        }
        self.write(line);
        self.stop_token = Some(token.to_owned());
        Ok(())
    }

    /// Writes an annotation's line to the log. The line does not contain the title, which is not
    /// masked.
    fn issue(&mut self, level: &str, message: &str) {
        let masked: String = self
            .masker
            .mask(message)
            .chars()
            .take(LONGEST_ISSUE)
            .collect();
        if !masked.is_empty() {
            self.write(&format!("##[{level}]{masked}"));
        }
    }

    fn debug(&mut self, message: &str) {
        if self.debug {
            for line in message.split('\n') {
                self.write(&format!("##[debug]{}", line.trim_end_matches('\r')));
            }
        }
    }

    fn write(&mut self, line: &str) {
        self.text.push_str(&self.masker.mask(line));
        self.text.push('\n');
    }
}

/// The lines of a stream. A carriage return alone also ends a line, so a command can be in the
/// apparent middle of a line.
///
/// Source: `StreamReader.ReadLine`, used in `src/Runner.Sdk/ProcessInvoker.cs`.
pub(crate) fn lines(output: &str) -> impl Iterator<Item = &str> {
    let mut rest = output;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = rest.find(['\r', '\n']).unwrap_or(rest.len());
        let (line, tail) = rest.split_at(end);
        rest = tail
            .strip_prefix("\r\n")
            .unwrap_or_else(|| tail.get(1..).unwrap_or_default());
        Some(line)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(output: &str) -> Log {
        let mut log = Log::new(Masker::new(), false);
        log.read(output);
        log
    }

    fn debug_log(output: &str) -> String {
        let mut log = Log::new(Masker::new(), true);
        log.read(output);
        log.text
    }

    #[test]
    fn a_carriage_return_ends_a_line() {
        assert_eq!(
            lines("a\r\nb\rc\n\nd").collect::<Vec<_>>(),
            ["a", "b", "c", "", "d"]
        );
        assert_eq!(log("harmless\r::error::not so\n").commands.len(), 1);
    }

    #[test]
    fn a_mask_applies_from_its_line_on() {
        let log = log("secret\n::add-mask::secret\nsecret and c2VjcmV0\n");
        assert_eq!(log.text, "secret\n*** and ***\n");
        assert_eq!(log.masks, ["secret"]);
    }

    #[test]
    fn each_line_of_a_mask_is_hidden() {
        let log = log("::add-mask::first%0Asecond\nsecond, then first\n::error::first%0Asecond!\n");
        assert_eq!(log.text, "***, then ***\n##[error]***!\n");
        assert_eq!(log.masks, ["first\nsecond", "first", "second"]);
    }

    #[test]
    fn an_empty_mask_is_a_warning() {
        assert!(
            log("::add-mask:: \n")
                .text
                .starts_with("##[warning]Can't add secret mask")
        );
    }

    #[test]
    fn issues_are_shown_without_their_title() {
        let text = log("::error title=T::one\n::warning::two\n::notice::three\n::notice::\n").text;
        assert_eq!(text, "##[error]one\n##[warning]two\n##[notice]three\n");
    }

    #[test]
    fn a_long_issue_is_cut() {
        let text = log(&format!("::error::{}\n", "x".repeat(5000))).text;
        assert_eq!(text.trim_end().len(), "##[error]".len() + LONGEST_ISSUE);
    }

    #[test]
    fn debug_shows_and_echoes_only_when_on() {
        let output = "::debug::a%0D%0Ab\n::add-mask::secret\n::set-output name=n::v\n";
        assert_eq!(log(output).text, "");
        assert_eq!(
            debug_log(output),
            "##[debug]a\n##[debug]b\n::add-mask::***\n::set-output name=n::v\n"
        );
    }

    #[test]
    fn groups_and_ordinary_lines_are_shown() {
        let text = log("::group::G\nline\n::endgroup::\n::unknown::x\n").text;
        assert_eq!(text, "##[group]G\nline\n##[endgroup]\n::unknown::x\n");
    }

    #[test]
    fn stopped_commands_are_ordinary_lines() {
        let log = log("::stop-commands::a-long-token\n::error::x\n::a-long-token::\n::error::y\n");
        assert_eq!(
            log.text,
            "::stop-commands::***\n::error::x\n::***::\n##[error]y\n"
        );
        assert_eq!(log.commands.len(), 2);
    }

    #[test]
    fn invalid_commands_are_errors() {
        let log =
            log("::set-env name=A::b\n::set-output::x\n::echo::maybe\n::stop-commands::error\n");
        assert_eq!(log.command_errors.len(), 4);
        assert!(
            log.command_errors[1]
                .contains("Required field 'name' is missing in ##[set-output] command.")
        );
    }

    #[test]
    fn the_older_commands_still_set_outputs_and_state() {
        let log = log("::set-output name=a::1\n::save-state name=b::2\n");
        assert_eq!(log.outputs["a"], "1");
        assert_eq!(log.state["b"], "2");
    }
}
