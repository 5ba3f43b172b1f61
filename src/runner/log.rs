//! The step's log: masks, annotations, and lines, as the runner's workflow commands.

use std::io::{self, Write};

use anyhow::Context as _;
use secrecy::{ExposeSecret as _, SecretString};

use super::Environment;
use crate::text::secrets::{self, redact};

/// The only way to print.
///
/// All output has three properties:
/// * A registered secret is never printed, even if the runner does not mask it: it is redacted in the text
///   of a line, but not in the syntax of a command.
/// * No text can become a workflow command: data is escaped, and so is `##[`, which the runner interprets
///   in the middle of a line.
/// * A mask is flushed before the call returns, since the runner reads both output streams concurrently.
pub struct Log<'a> {
    out: Box<dyn Write + 'a>,
    debug: bool,
    masks_secrets: bool,
    /// Whether no mask can reach the runner.
    is_discarded: bool,
}

impl<'a> Log<'a> {
    /// A log that writes to `out`. Debug lines appear only if `environment` enables debug logging.
    pub fn new(environment: &Environment, out: impl Write + 'a) -> Self {
        Self {
            out: Box::new(out),
            debug: environment.is_debug(),
            masks_secrets: true,
            is_discarded: false,
        }
    }

    /// The log on the standard output of this process.
    #[must_use]
    pub fn stdout(environment: &Environment) -> Log<'static> {
        Log {
            is_discarded: is_discarded(),
            ..Log::new(environment, io::stdout())
        }
    }

    /// Writes for a terminal: redacts secrets, but prints no masks, which only a runner hides.
    pub fn for_terminal(&mut self) {
        self.masks_secrets = false;
    }

    /// Reports a panic as an annotation with its position only: the message of a panic can contain any
    /// value.
    pub fn catch_panics(&self) {
        std::panic::set_hook(Box::new(|panic| {
            let place = panic
                .location()
                .map(ToString::to_string)
                .unwrap_or_default();
            let _ = writeln!(
                io::stdout(),
                "::error title=Port MCP::bug in port-mcp at {}; please open an issue",
                escape_data(&place)
            );
        }));
    }

    /// Registers `credential` with this process ([`secrets::register`]) and with the runner.
    ///
    /// # Errors
    /// When the command could not be written and flushed. The caller must stop, or the secret could be shown.
    pub fn mask(&mut self, credential: &SecretString) -> anyhow::Result<()> {
        secrets::register(credential);
        self.print_mask(credential)
    }

    /// As [`Log::mask`], for text of which a part can be ordinary text ([`secrets::register_text`]).
    ///
    /// # Errors
    /// As for [`Log::mask`].
    pub fn mask_text(&mut self, secret: &SecretString) -> anyhow::Result<()> {
        secrets::register_text(secret);
        self.print_mask(secret)
    }

    fn print_mask(&mut self, secret: &SecretString) -> anyhow::Result<()> {
        let value = secret.expose_secret();
        if value.trim().is_empty() || !self.masks_secrets {
            return Ok(());
        }
        let printed = if self.is_discarded {
            Err(io::Error::other("standard output is discarded"))
        } else {
            writeln!(self.out, "::add-mask::{}", escape_data(value))
        };
        printed
            .and_then(|()| self.out.flush())
            .context(
                "could not register a mask with the runner\n\
                 hint: check the runner's disk space, and that standard output is not closed or redirected; the \
                 step stopped, so that no secret is printed",
            )
    }

    /// A plain line.
    pub fn info(&mut self, line: impl AsRef<str>) {
        // The space prevents the runner from interpreting the line as a command.
        let line = redact(line.as_ref()).replace(['\r', '\n'], " ");
        let line = if line.trim_start().starts_with("::") {
            line.trim_start().replacen("::", ": :", 1)
        } else {
            line
        };
        self.line(&line);
    }

    /// Several plain lines, escaped like any other.
    pub fn lines(&mut self, text: &str) {
        for line in text.lines() {
            self.info(line);
        }
    }

    /// A line that appears only with debug logging.
    pub fn debug(&mut self, message: impl AsRef<str>) {
        if self.debug {
            let message = escape_data(&redact(message.as_ref()));
            self.line(&format!("::debug::{message}"));
        }
    }

    /// An annotation for information.
    pub fn notice(&mut self, title: &str, message: impl AsRef<str>) {
        self.annotation("notice", title, message.as_ref());
    }

    /// An annotation for a problem that does not fail the step.
    pub fn warning(&mut self, title: &str, message: impl AsRef<str>) {
        self.annotation("warning", title, message.as_ref());
    }

    /// An annotation that says why the step fails.
    pub fn error(&mut self, title: &str, message: impl AsRef<str>) {
        self.annotation("error", title, message.as_ref());
    }

    fn annotation(&mut self, kind: &str, title: &str, message: &str) {
        self.line(&format!(
            "::{kind} title={}::{}",
            escape_property(&redact(title)),
            escape_data(&redact(message))
        ));
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

    let output = io::stdout().as_fd().try_clone_to_owned();
    let output = output.and_then(|output| File::from(output).metadata());
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

/// Escapes the data of a workflow command, as `ActionCommand.cs` of the runner unescapes it.
fn escape_data(data: &str) -> String {
    data.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// Escapes a property of a workflow command, as `ActionCommand.cs` of the runner unescapes it.
fn escape_property(property: &str) -> String {
    escape_data(property)
        .replace(':', "%3A")
        .replace(',', "%2C")
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
            log.error("a,b:c=d", "100%\r\n::stop-commands::x");
        });
        insta::assert_snapshot!(text, @r"
        : :set-output name=a::b ::add-path::/tmp
        x ## [add-mask]y
        ::error title=a%2Cb%3Ac=d::100%25%0D%0A::stop-commands::x
        ");
    }

    #[test]
    fn a_masked_secret_is_never_printed_again() {
        let text = printed(|log| {
            log.mask(&SecretString::from("masked line one\nsecond%masked"))
                .unwrap();
            log.info("here is second%masked and Masked Line One");
            log.warning("second%masked", "second%masked");
        });
        insta::assert_snapshot!(text, @r"
        ::add-mask::masked line one%0Asecond%25masked
        here is *** and ***
        ::warning title=***::***
        ");
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
