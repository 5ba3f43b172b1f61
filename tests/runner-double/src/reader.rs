use crate::annotation::Level;
use crate::command::{Command, Parsed, REGISTERED};
use crate::culture::{find, same_name};
use crate::log::Log;
use crate::masker::masks_of;
use crate::matcher::Matchers;
use crate::messages::{INVALID_STOP_TOKEN, deprecated, disabled};
use crate::place::{relative, validate};
use crate::properties::{get, set};
use crate::settings::Settings;
use crate::utf16::{Units, units};

/// Reads what a step prints: runs the commands, and writes the other lines to the log.
///
/// Source: `src/Runner.Worker/Handlers/OutputManager.cs` and
/// `src/Runner.Worker/ActionCommandManager.cs`.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) log: Log,
    settings: Settings,
    pub(crate) matchers: Matchers,
    registered: Vec<String>,
    echo: bool,
    /// The token that resumes commands, if they are stopped.
    stop_token: Option<String>,
}

/// The end of all reading: a token that can never resume commands. The process lives on.
#[derive(Debug)]
pub(crate) struct Stopped(pub(crate) &'static str);

impl Reader {
    /// Step debugging also enables the echo of commands.
    pub(crate) fn new(log: Log, settings: Settings, matchers: Matchers) -> Self {
        Self {
            echo: log.debug,
            log,
            settings,
            matchers,
            registered: REGISTERED.map(str::to_owned).into(),
            stop_token: None,
        }
    }

    pub(crate) fn read_line(&mut self, line: &str) -> Result<(), Stopped> {
        let can_be_command = find(line, "##[").is_some() || find(line, "::").is_some();
        if can_be_command && self.read_command(line)? {
            return Ok(());
        }
        // A step cannot print the markers of the runner itself.
        let line = line
            .replace("##[start-action", "##[\\start-action")
            .replace("##[end-action", "##[\\end-action");
        if self.matchers.find_problem(&line, &mut self.log) {
            return Ok(());
        }
        if line
            .to_ascii_lowercase()
            .contains("fatal: unsafe repository")
        {
            self.log.reported.push(line.clone());
        }
        self.log.write(&line);
        Ok(())
    }

    /// Whether the line was a command. If not, it is an ordinary line.
    fn read_command(&mut self, line: &str) -> Result<bool, Stopped> {
        let Some(parsed) = Parsed::from_line(line, |name| self.is_registered(name)) else {
            return Ok(false);
        };
        let command = &parsed.command;
        match self.stop_token.take() {
            Some(token) if !token.is_empty() && same_name(&token, &command.name) => {
                self.log.write(line);
                self.log.debug("Resume processing commands");
                self.registered.retain(|name| !same_name(name, &token));
            }
            Some(token) => {
                self.log.debug(&format!(
                    "Process commands has been stopped and waiting for '##[{token}]' to resume."
                ));
                self.stop_token = Some(token);
                return Ok(false);
            }
            None if command.is("stop-commands") => {
                self.stop(&command.data, line)?;
                self.log.commands.push(parsed.command);
            }
            None => self.run(line, parsed),
        }
        Ok(true)
    }

    fn is_registered(&self, name: &str) -> bool {
        self.registered.iter().any(|known| same_name(known, name))
    }

    /// Stops commands. A token that is the name of a command could never resume them.
    fn stop(&mut self, token: &str, line: &str) -> Result<(), Stopped> {
        let is_invalid =
            token.is_empty() || same_name(token, "pause-logging") || self.is_registered(token);
        if is_invalid && !self.settings.allows_any_stop_token {
            return Err(Stopped(INVALID_STOP_TOKEN));
        }
        self.registered.push(token.to_owned());
        if units(token).len() > 6 {
            self.log.masker.add(token);
        }
        self.log.write(line);
        self.log.debug("Paused processing commands until the token you called ::stopCommands:: with is received");
        self.stop_token = Some(token.to_owned());
        Ok(())
    }

    fn run(&mut self, line: &str, parsed: Parsed) {
        let name = parsed.command.name.to_ascii_lowercase();
        // These commands print another line, or none.
        let is_silent = matches!(
            name.as_str(),
            "add-mask" | "debug" | "error" | "notice" | "warning"
        );
        if self.echo && !is_silent {
            self.log.write(line);
        }
        if let Err(reason) = self.act(&name, &parsed) {
            let shown = if is_silent { &name } else { line };
            let message = format!("Unable to process command '{shown}' successfully.");
            self.log.fail(&message, &reason);
        }
        self.log.commands.push(parsed.command);
    }

    fn act(&mut self, name: &str, parsed: &Parsed) -> Result<(), String> {
        let command = &parsed.command;
        let data = command.data.as_str();
        match name {
            "add-mask" => self.add_mask(data),
            "add-matcher" => self.matchers.add(data, &self.settings, &mut self.log)?,
            "remove-matcher" => self
                .matchers
                .remove(command, &self.settings, &mut self.log)?,
            "debug" => self.log.debug(data),
            "error" => self.annotate(Level::Error, parsed),
            "warning" => self.annotate(Level::Warning, parsed),
            "notice" => self.annotate(Level::Notice, parsed),
            "group" => self.log.write(&format!("##[group]{data}")),
            "endgroup" => self.log.write("##[endgroup]"),
            "set-output" => self.set_output(command)?,
            "save-state" => {
                self.log.warning(&deprecated("save-state"));
                self.log.save_state(name_in(command)?, data.to_owned());
            }
            "set-env" => self.set_env(command)?,
            "add-path" => {
                self.allow_old(name)?;
                not_empty(data, "path")?;
                self.log.prepend_path(data);
            }
            "echo" => self.set_echo(data)?,
            _ => self.log.warning(&format!(
                "Can't find command extension for ##[{name}.command]."
            )),
        }
        Ok(())
    }

    fn add_mask(&mut self, value: &str) {
        if value.trim().is_empty() {
            self.log
                .warning("Can't add secret mask for empty string in ##[add-mask] command.");
            return;
        }
        if self.echo {
            self.log.write("::add-mask::***");
        }
        for mask in masks_of(value) {
            self.log.masker.add(&mask);
            self.log.masks.push(mask);
        }
    }

    /// Source: `IssueCommandExtension` in `ActionCommandManager.cs`.
    fn annotate(&mut self, level: Level, parsed: &Parsed) {
        let mut properties = parsed.command.properties.clone();
        for said in validate(&level.to_string(), &mut properties) {
            self.log.debug(&said);
        }
        if let Some(file) = get(&properties, "file").filter(|file| !file.is_empty()) {
            let file = self.settings.to_host(file);
            let file = relative(&file, &self.settings.workspace);
            set(&mut properties, "file", file);
        }
        self.log.issue(level, &data_units(parsed), properties);
    }

    fn set_output(&mut self, command: &Command) -> Result<(), String> {
        self.log.warning(&deprecated("set-output"));
        let name = name_in(command)?;
        self.log.set_output(name, command.data.clone());
        let reference = self.settings.reference(name);
        self.log.debug(&format!("{reference}='{}'", command.data));
        Ok(())
    }

    fn set_env(&mut self, command: &Command) -> Result<(), String> {
        self.allow_old("set-env")?;
        let name = name_in(command)?;
        if same_name(name, "NODE_OPTIONS") {
            self.log
                .error("Can't update NODE_OPTIONS environment variable using ::set-env:: command.");
        } else {
            self.log.set_env(name, command.data.clone());
        }
        Ok(())
    }

    fn allow_old(&self, command: &str) -> Result<(), String> {
        let is_allowed = self.settings.allows_old_commands;
        is_allowed.then_some(()).ok_or_else(|| disabled(command))
    }

    fn set_echo(&mut self, value: &str) -> Result<(), String> {
        not_empty(value, "value")?;
        self.echo = match value.trim().to_ascii_lowercase().as_str() {
            "on" => true,
            "off" => false,
            _ => {
                return Err(format!(
                    "Invalid echo command value. Possible values can be: 'on', 'off'. Current value is: '{value}'."
                ));
            }
        };
        let shown = if self.echo { "on" } else { "off" };
        self.log
            .debug(&format!("Setting echo command value to '{shown}'"));
        Ok(())
    }
}

fn name_in(command: &Command) -> Result<&str, String> {
    let kind = command.name.to_ascii_lowercase();
    let missing = || format!("Required field 'name' is missing in ##[{kind}] command.");
    command.property("name").ok_or_else(missing)
}

fn not_empty(value: &str, parameter: &str) -> Result<(), String> {
    let missing = || format!("Value cannot be null. (Parameter '{parameter}')");
    (!value.is_empty()).then_some(()).ok_or_else(missing)
}

/// The data in units, with the half of a pair that a line can leave before it.
fn data_units(parsed: &Parsed) -> Units {
    let mut data = units(&parsed.command.data);
    if let (Some(half), Some(first)) = (parsed.half, data.first_mut()) {
        *first = half;
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::lines;
    use crate::masker::Masker;

    fn read(output: &str, debug: bool) -> Log {
        let log = Log::new(Masker::new(), debug);
        let mut reader = Reader::new(log, Settings::default(), Matchers::default());
        for line in lines(output) {
            if reader.read_line(line).is_err() {
                break;
            }
        }
        reader.log
    }

    fn log(output: &str) -> Log {
        read(output, false)
    }

    fn text(output: &str) -> String {
        log(output).lines.join("\n")
    }

    #[test]
    fn a_carriage_return_ends_a_line() {
        assert_eq!(log("harmless\r::error::not so\n").commands.len(), 1);
    }

    #[test]
    fn a_mask_applies_from_its_line_on() {
        let log = log("secret\n::add-mask::secret\nsecret and c2VjcmV0\n");
        assert_eq!(log.lines, ["secret", "*** and ***"]);
        assert_eq!(log.masks, ["secret"]);
    }

    #[test]
    fn each_line_of_a_mask_is_hidden() {
        let log = log("::add-mask::first%0Asecond\nsecond, then first\n::error::first%0Asecond!\n");
        assert_eq!(log.lines, ["***, then ***", "##[error]***!"]);
        assert_eq!(log.masks, ["first\nsecond", "first", "second"]);
    }

    #[test]
    fn an_empty_mask_is_a_warning() {
        assert!(text("::add-mask:: \n").starts_with("##[warning]Can't add secret mask"));
    }

    #[test]
    fn issues_are_shown_without_their_title() {
        let text = text("::error title=T::one\n::warning::two\n::notice::three\n::notice::\n");
        assert_eq!(text, "##[error]one\n##[warning]two\n##[notice]three");
    }

    #[test]
    fn debug_shows_and_echoes_only_when_on() {
        let output = "::debug::a%0D%0Ab\n::add-mask::secret\n::group::g\n";
        assert_eq!(log(output).lines, ["##[group]g"]);
        let lines = [
            "##[debug]a",
            "##[debug]b",
            "::add-mask::***",
            "::group::g",
            "##[group]g",
        ];
        assert_eq!(read(output, true).lines, lines);
    }

    #[test]
    fn groups_and_ordinary_lines_are_shown() {
        let text = text("::group::G\nline\n::endgroup::\n::unknown::x\n");
        assert_eq!(text, "##[group]G\nline\n##[endgroup]\n::unknown::x");
    }

    #[test]
    fn stopped_commands_are_ordinary_lines() {
        let log = log("::stop-commands::a-long-token\n::error::x\n::a-long-token::\n::error::y\n");
        let lines = [
            "::stop-commands::***",
            "::error::x",
            "::***::",
            "##[error]y",
        ];
        assert_eq!(log.lines, lines);
        assert_eq!(log.commands.len(), 2);
    }

    #[test]
    fn a_token_that_cannot_resume_commands_ends_the_reading() {
        assert_eq!(text("before\n::stop-commands::error\nafter\n"), "before");
    }

    #[test]
    fn invalid_commands_are_errors() {
        let log = log("::set-env name=A::b\n::set-output::x\n::echo::maybe\n");
        assert_eq!(log.command_errors.len(), 3);
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
        assert_eq!(log.issues.len(), 2);
    }

    #[test]
    fn a_step_cannot_print_the_markers_of_the_runner() {
        assert_eq!(text("x ##[start-action a]\n"), "x ##[\\start-action a]");
    }
}
