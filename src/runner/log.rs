//! The step's log: masks, annotations, and lines, as the runner's workflow commands.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, IsTerminal as _, Write};

use anyhow::Context as _;
use secrecy::{ExposeSecret as _, SecretString};

use super::Environment;
use super::masks;
use super::message::{
    Level, Message, Place, apart_from_commands, escape_data, for_terminal, json_line,
};
use crate::text::secrets::{self, redact};
use crate::troubleshooting::{self, Page};

/// Who reads the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// People: messages on standard error
    Text,
    /// Programs: the result as JSON, and each message as a line of JSON on standard error
    Json,
    /// GitHub's runner: messages as workflow commands on standard output
    Github,
}

impl Format {
    /// The format for what started this process: a runner sets at least one of these variables. No variable alone decides
    /// it, since without the runner's format, the runner hides no secret.
    #[must_use]
    pub fn of(environment: &Environment) -> Self {
        let variables = ["GITHUB_ACTIONS", super::files::OUTPUT, super::files::STATE];
        if variables.iter().any(|name| environment.get(name).is_some()) {
            Self::Github
        } else {
            Self::Text
        }
    }
}

/// The only way to print.
///
/// All output has four properties:
/// * A registered secret is never printed, even if the runner does not mask it: it is redacted in the text
///   of a line, but not in the syntax of a command.
/// * No text can become a workflow command: data is escaped, and so is `##[`, which the runner interprets
///   in the middle of a line.
/// * No text ends the runner: an annotation contains no character beyond U+FFFF (`message`).
/// * A mask is flushed before the call returns, since the runner reads both output streams concurrently.
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are independent of each other"
)]
pub struct Log<'a> {
    out: Box<dyn Write + 'a>,
    err: Box<dyn Write + 'a>,
    format: Format,
    /// Whether `out` and `err` are terminals with colors.
    has_colors: [bool; 2],
    /// Replaces the names of inputs in messages by those of options.
    words: fn(&str) -> String,
    page: Page,
    debug: bool,
    masks_secrets: bool,
    /// Whether a message was written to `err`.
    has_messages: bool,
    /// The hashes of the masks so far.
    masks: HashSet<u64>,
    /// Whether no mask can reach the runner.
    is_discarded: bool,
}

impl<'a> Log<'a> {
    /// A log for GitHub's runner, on `out`. Debug lines appear only if `environment` enables debug logging.
    pub fn new(environment: &Environment, out: impl Write + 'a) -> Self {
        Self {
            out: Box::new(out),
            err: Box::new(io::sink()),
            format: Format::Github,
            has_colors: [false; 2],
            words: str::to_owned,
            page: Page::new(|name| environment.get(name)),
            has_messages: false,
            debug: environment.is_debug(),
            masks_secrets: true,
            masks: HashSet::new(),
            is_discarded: false,
        }
    }

    /// The log on the standard output of this process, and on standard error if no runner reads it.
    #[must_use]
    pub fn of_process(environment: &Environment) -> Log<'static> {
        let is_set = |name| environment.get(name).is_some();
        Log {
            err: Box::new(io::stderr()),
            format: Format::of(environment),
            has_colors: [io::stdout().is_terminal(), io::stderr().is_terminal()].map(
                |is_terminal| {
                    is_terminal && !is_set("NO_COLOR") && environment.get("TERM") != Some("dumb")
                },
            ),
            is_discarded: is_discarded(),
            ..Log::new(environment, io::stdout())
        }
    }

    /// Writes for a command that people start: redacts secrets, but prints no masks, which only a runner hides. `words`
    /// replaces the names of inputs by those of options, except in messages about a file.
    pub fn for_command(&mut self, format: Option<Format>, words: fn(&str) -> String) {
        self.masks_secrets = false;
        self.format = format.unwrap_or(self.format);
        self.words = words;
    }

    /// Who reads the log.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// Reports a panic with its position only: the message of a panic can contain any value.
    pub fn catch_panics(&self) {
        let format = self.format;
        std::panic::set_hook(Box::new(move |panic| {
            let place = panic
                .location()
                .map(ToString::to_string)
                .unwrap_or_default();
            let text = format!("bug in port-mcp at {place}; please open an issue");
            let _ = match format {
                Format::Github => writeln!(
                    io::stdout(),
                    "::error title=Port MCP::{}",
                    escape_data(&text)
                ),
                Format::Text | Format::Json => writeln!(io::stderr(), "error: {text}"),
            };
        }));
    }

    /// Registers `credential` with this process ([`secrets::register`]) and with the runner, also as people encode
    /// it (`masks::encoded`).
    ///
    /// # Errors
    /// When the command could not be written and flushed, or the runner cannot mask the value. The caller must
    /// stop, or the secret could be shown.
    pub fn mask(&mut self, credential: &SecretString) -> anyhow::Result<()> {
        self.mask_with(credential, masks::encoded(credential), masks::MAX_OTHERS)
    }

    /// As [`Log::mask`], for the credential that the next steps get: also registers the lines in which programs print
    /// it (`masks::lines`).
    ///
    /// # Errors
    /// As for [`Log::mask`].
    pub fn mask_for_next_steps(&mut self, credential: &SecretString) -> anyhow::Result<()> {
        let further = [masks::encoded(credential), masks::lines(credential)].concat();
        self.mask_with(credential, further, masks::MAX)
    }

    /// As [`Log::mask`], for text of which a part can be ordinary text ([`secrets::register_text`]).
    ///
    /// # Errors
    /// As for [`Log::mask`].
    pub fn mask_text(&mut self, secret: &SecretString) -> anyhow::Result<()> {
        secrets::register_text(secret);
        self.print_mask(secret)
    }

    /// Registers `credential`, and `further` masks until the runner has `max`: each of them delays every later line of
    /// the job.
    fn mask_with(
        &mut self,
        credential: &SecretString,
        further: Vec<SecretString>,
        max: usize,
    ) -> anyhow::Result<()> {
        secrets::register(credential);
        self.print_mask(credential)?;
        for mask in further {
            if self.masks.len() >= max {
                break;
            }
            self.print_mask(&mask)?;
        }
        Ok(())
    }

    pub(crate) fn print_mask(&mut self, secret: &SecretString) -> anyhow::Result<()> {
        let value = secret.expose_secret();
        // Without a runner, there are no outputs, and people would read the mask.
        if value.trim().is_empty() || !self.masks_secrets || self.format != Format::Github {
            return Ok(());
        }
        masks::check(value)?;
        let mut hasher = DefaultHasher::new();
        value.hash(&mut hasher);
        if !self.masks.insert(hasher.finish()) {
            return Ok(());
        }
        // A combining character after the colons would make the line no command, and the runner would show it. act
        // does not trim masks, so other values are printed without the line break.
        let start = if value.starts_with(|c: char| c.is_ascii_graphic()) {
            ""
        } else {
            "%0A"
        };
        let printed = if self.is_discarded {
            Err(io::Error::other("standard output is discarded"))
        } else {
            writeln!(self.out, "::add-mask::{start}{}", escape_data(value))
        };
        printed
            .and_then(|()| self.out.flush())
            .context(
                "could not register a mask with the runner\n\
                 hint: check the runner's disk space, and that standard output is not closed or redirected; the \
                 step stopped, so that no secret is printed",
            )
    }

    /// A plain line about what the process did.
    pub fn info(&mut self, line: impl AsRef<str>) {
        if self.format == Format::Github {
            self.plain(line.as_ref());
        } else {
            self.message(Level::Info, None, line.as_ref(), false);
        }
    }

    /// A line of the result.
    pub fn result(&mut self, line: impl AsRef<str>) {
        if self.format == Format::Github {
            return self.plain(line.as_ref());
        }
        let line = redact(line.as_ref()).replace(['\r', '\n'], " ");
        // A closed pipe is no error.
        let _ = writeln!(self.out, "{}", for_terminal(&line)).and_then(|()| self.out.flush());
    }

    /// The result for a program.
    pub fn json(&mut self, value: &serde_json::Value) {
        let line = redact(&json_line(value)).into_owned();
        let _ = writeln!(self.out, "{line}").and_then(|()| self.out.flush());
    }

    fn plain(&mut self, line: &str) {
        let line = redact(line).replace(['\r', '\n'], " ");
        self.line(&apart_from_commands(&line));
    }

    /// Text of the command line, also with the codes of colors: its help, or why its arguments are invalid.
    pub fn usage(&mut self, text: &str, styled: &str, is_error: bool) {
        let [out_has_colors, err_has_colors] = self.has_colors;
        if self.format == Format::Github {
            for line in text.lines() {
                self.plain(line);
            }
        } else if is_error {
            // Without a terminal, a runner can read what repeats an argument.
            let text = if err_has_colors {
                styled.to_owned()
            } else {
                for_terminal(text)
            };
            let _ = write!(self.err, "{text}").and_then(|()| self.err.flush());
        } else {
            let text = if out_has_colors { styled } else { text };
            let _ = write!(self.out, "{text}").and_then(|()| self.out.flush());
        }
    }

    /// A line that appears only with debug logging.
    pub fn debug(&mut self, message: impl AsRef<str>) {
        if self.debug {
            self.message(Level::Debug, None, message.as_ref(), false);
        }
    }

    /// A message for information, of which the run needs no change.
    pub fn notice(&mut self, message: impl AsRef<str>) {
        self.message(Level::Notice, None, message.as_ref(), false);
    }

    /// A problem that does not fail the process.
    pub fn warning(&mut self, message: impl AsRef<str>) {
        self.message(Level::Warning, None, message.as_ref(), false);
    }

    /// As [`Log::warning`], for what is an error in other runs, and with its link.
    pub fn warning_of_error(&mut self, message: impl AsRef<str>) {
        self.message(Level::Warning, None, message.as_ref(), true);
    }

    /// Why the process fails, with a link to the documentation.
    pub fn error(&mut self, message: impl AsRef<str>) {
        self.error_at(None, message);
    }

    /// As [`Log::error`], about a position in a file.
    pub fn error_at(&mut self, place: Option<&Place>, message: impl AsRef<str>) {
        self.message(Level::Error, place, message.as_ref(), true);
    }

    fn message(&mut self, level: Level, place: Option<&Place>, text: &str, has_link: bool) {
        let code = match level {
            Level::Info | Level::Debug => None,
            Level::Error => troubleshooting::error(text).map(|(_, code)| code),
            Level::Warning | Level::Notice => troubleshooting::warning(text),
        };
        let link = has_link.then(|| self.page.link(text));
        // What is about a file has the words of the file.
        let text = match place {
            None => (self.words)(&redact(text)),
            Some(_) => redact(text).into_owned(),
        };
        // Apart from the text: whatever is redacted at its end, the link stays.
        let link = link.map_or_else(String::new, |link| format!("\nsee: {}", redact(&link)));
        let text = format!("{text}{link}");
        let message = Message {
            level,
            code,
            place,
            text: &text,
        };
        let lines = match self.format {
            Format::Github => {
                let command = message.command(|property| redact(property).into_owned());
                return self.line(&command);
            }
            Format::Json => message.json(),
            Format::Text => {
                let [_, has_colors] = self.has_colors;
                let text = message.for_terminal(has_colors);
                let is_plain = level == Level::Info;
                let has_others = std::mem::replace(&mut self.has_messages, !is_plain);
                let space = if has_others && !is_plain { "\n" } else { "" };
                format!("{space}{text}")
            }
        };
        // Nothing can be said if standard error is closed.
        let _ = writeln!(self.err, "{lines}").and_then(|()| self.err.flush());
    }

    /// Prints a line whose secrets are already redacted.
    fn line(&mut self, line: &str) {
        let line = line.replace("##[", "## [");
        // A closed log does not fail the job.
        let _ = writeln!(self.out, "{line}").and_then(|()| self.out.flush());
    }
}

/// Whether standard output is `/dev/null`, which Rust opens in place of a closed one.
#[cfg(unix)]
fn is_discarded() -> bool {
    use std::fs::{File, metadata};
    use std::os::fd::AsFd as _;
    use std::os::unix::fs::MetadataExt as _;

    let output = io::stdout()
        .as_fd()
        .try_clone_to_owned()
        .and_then(|output| File::from(output).metadata());
    let null = metadata("/dev/null");
    output
        .ok()
        .zip(null.ok())
        .is_some_and(|(output, null)| output.rdev() != 0 && output.rdev() == null.rdev())
}

#[cfg(not(unix))]
fn is_discarded() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(write: impl FnOnce(&mut Log<'_>)) -> String {
        let mut out = Vec::new();
        write(&mut Log::new(&Environment::default(), &mut out));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn no_text_becomes_a_command() {
        let text = printed(|log| {
            log.info("  ::set-output name=a::b\n::add-path::/tmp");
            log.info("x ##[add-mask]y");
            log.warning("100%\r\n::stop-commands::x");
        });
        insta::assert_snapshot!(text, @r"
        : :set-output name=a::b ::add-path::/tmp
        x ## [add-mask]y
        ::warning title=Port MCP::100%25%0D%0A::stop-commands::x
        ");
    }

    #[test]
    fn a_masked_secret_is_never_printed_again() {
        let text = printed(|log| {
            log.mask_text(&SecretString::from("masked line one\nsecond%masked"))
                .unwrap();
            log.info("here is second%masked and Masked Line One");
            log.warning("second%masked");
        });
        insta::assert_snapshot!(text, @r"
        ::add-mask::masked line one%0Asecond%25masked
        here is *** and ***
        ::warning title=Port MCP::***
        ");
    }

    #[test]
    fn an_annotation_names_what_would_end_the_runner() {
        let text = printed(|log| {
            log.notice("a\u{1f600}b \u{2039}U+1F600\u{203a} \u{fc}");
            log.warning("\u{300}x");
            log.notice("\u{10ffff}");
            log.info("\u{1f600}");
        });
        insta::assert_snapshot!(text, @"
        ::notice title=Port MCP::a\u{2039}U+1F600\u{203a}b \u{2039}U+2039\u{203a}U+1F600\u{203a} \u{fc}
        ::warning title=Port MCP:: \u{300}x
        ::notice title=Port MCP:: \u{2039}U+10FFFF\u{203a}
        \u{1f600}
        ");
    }

    #[test]
    fn the_runner_reads_a_mask_of_any_value() {
        let text = printed(|log| {
            log.mask(&SecretString::from("\u{300}a-combining-mark"))
                .unwrap();
            log.mask(&SecretString::from("short-password")).unwrap();
        });
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "::add-mask::%0A\u{300}a-combining-mark");
        assert_eq!(lines.last(), Some(&"::add-mask::short-password"));
        let value = SecretString::from("password&+\u{1f600}");
        let text = printed(|log| drop(log.mask(&value).unwrap_err()));
        assert_eq!(text, "");
    }

    #[test]
    fn the_number_of_further_masks_is_limited() {
        let text = printed(|log| {
            for number in 0..6 {
                let credential = format!("a-credential-with-the-number-{number}");
                log.mask(&SecretString::from(credential)).unwrap();
            }
            for _ in 0..2 {
                let mut letters = ('a'..='z').cycle().step_by(7).zip(('0'..='9').cycle());
                let long = std::iter::from_fn(|| letters.next()).take(450);
                let long: String = long.flat_map(|(a, b)| [a, b]).collect();
                log.mask_for_next_steps(&long.into()).unwrap();
            }
        });
        let plain = text.matches("::add-mask::a-credential").count();
        assert_eq!(plain, 6);
        assert_eq!(text.lines().count(), masks::MAX, "{text}");
    }

    /// An error has a code and a link, also after its words were replaced.
    #[test]
    fn each_format_of_an_error() {
        let written = |format, has_colors: bool| {
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let mut log = Log {
                err: Box::new(&mut err),
                has_colors: [has_colors; 2],
                ..Log::new(&Environment::default(), &mut out)
            };
            log.for_command(Some(format), |text| {
                text.replace("input `region`", "`--region`")
            });
            let place = Place {
                file: "a,b.yml".to_owned(),
                line: 3,
                column: 7,
            };
            log.error("input `region` is `\u{1b}[0m`\nhint: use `eu`");
            log.error_at(Some(&place), "policy x is invalid\nhint: set `region`");
            log.warning("other");
            log.info("done");
            log.result("result");
            drop(log);
            let text = |bytes| String::from_utf8(bytes).unwrap();
            text(out) + "--\n" + &text(err).replace('\u{1b}', "ESC")
        };
        let all = [
            written(Format::Github, true),
            written(Format::Text, false),
            written(Format::Text, true),
            written(Format::Json, true),
        ];
        insta::assert_snapshot!(
            all.join("===\n")
                .replace(env!("CARGO_PKG_VERSION"), "VERSION")
        );
    }

    #[test]
    fn debug_lines_need_debug_logging() {
        assert_eq!(printed(|log| log.debug("x")), "");
        let environment: Environment = [("RUNNER_DEBUG", "1")].into_iter().collect();
        let mut out = Vec::new();
        Log::new(&environment, &mut out).debug("a\nb");
        assert_eq!(out, b"::debug::a%0Ab\n");
    }
}
