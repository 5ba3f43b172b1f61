//! The step's log: masks, annotations, and lines, as the runner's workflow commands.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Write};

use anyhow::Context as _;
use secrecy::{ExposeSecret as _, SecretString};

use super::Environment;
use super::masks;
use crate::text::secrets::{self, redact};
use crate::text::{is_beyond_bmp, utf16_len};

/// The maximum length of an annotation in UTF-16 units. The runner cuts at 4,096.
const MAX_ANNOTATION: usize = 4_000;

/// The maximum length of the hint and the link at its end.
const MAX_END: usize = 2_500;

/// What begins and ends the number of a character that an annotation does not contain.
const NUMBER_MARKS: [char; 2] = ['\u{2039}', '\u{203a}'];

/// The only way to print.
///
/// All output has four properties:
/// * A registered secret is never printed, even if the runner does not mask it: it is redacted in the text
///   of a line, but not in the syntax of a command.
/// * No text can become a workflow command: data is escaped, and so is `##[`, which the runner interprets
///   in the middle of a line.
/// * No text ends the runner: an annotation contains no character beyond U+FFFF (`fit`).
/// * A mask is flushed before the call returns, since the runner reads both output streams concurrently.
pub struct Log<'a> {
    out: Box<dyn Write + 'a>,
    debug: bool,
    masks_secrets: bool,
    /// The hashes of the masks so far.
    masks: HashSet<u64>,
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
            masks: HashSet::new(),
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
        if value.trim().is_empty() || !self.masks_secrets {
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

    /// A plain line.
    pub fn info(&mut self, line: impl AsRef<str>) {
        let line = redact(line.as_ref()).replace(['\r', '\n'], " ");
        // The runner removes a byte-order mark at the beginning of the output.
        let is_skipped = |c: char| c.is_whitespace() || c == '\u{feff}';
        let text = line.trim_start_matches(is_skipped);
        match text.strip_prefix("::") {
            // The space prevents the runner from interpreting the line as a command.
            Some(rest) => self.line(&format!(": :{rest}")),
            None => self.line(&line),
        }
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
            let message = apart(&escape_data(&redact(message.as_ref())));
            self.line(&format!("::debug::{message}"));
        }
    }

    /// An annotation for information.
    pub fn notice(&mut self, title: &'static str, message: impl AsRef<str>) {
        self.annotation("notice", title, message.as_ref());
    }

    /// An annotation for a problem that does not fail the step.
    pub fn warning(&mut self, title: &'static str, message: impl AsRef<str>) {
        self.annotation("warning", title, message.as_ref());
    }

    /// An annotation that says why the step fails.
    pub fn error(&mut self, title: &'static str, message: impl AsRef<str>) {
        self.annotation("error", title, message.as_ref());
    }

    /// The runner masks no title, so it is a text of this program.
    fn annotation(&mut self, kind: &str, title: &'static str, message: &str) {
        self.line(&format!(
            "::{kind} title={}::{}",
            escape_property(&redact(title)),
            apart(&escape_data(&fit(&redact(message))))
        ));
    }

    /// Prints a line whose secrets are already redacted.
    fn line(&mut self, line: &str) {
        let line = line.replace("##[", "## [");
        // A closed log does not fail the job.
        let _ = writeln!(self.out, "{line}").and_then(|()| self.out.flush());
    }
}

/// The text of an annotation that the runner can take.
///
/// At the end of a step, the runner cuts errors and warnings to 256 UTF-16 units for a log of its own, after it has
/// masked them. If the cut is inside of a character, the runner ends: no later step runs, and no post phase. So there
/// is no such character: its number is shown, as is that of the mark before a number. A text that is too long loses its
/// middle, and so does a hint, which ends in the link.
///
/// Source: `PublishStepTelemetry` in `src/Runner.Worker/ExecutionContext.cs` of the runner, and what it did when it ran.
fn fit(message: &str) -> String {
    let mut text = String::with_capacity(message.len());
    for c in message.chars() {
        if is_beyond_bmp(c) || c == NUMBER_MARKS[0] {
            let [open, close] = NUMBER_MARKS;
            // Writing to a string cannot fail.
            let _ = write!(text, "{open}U+{:04X}{close}", u32::from(c));
        } else {
            text.push(c);
        }
    }
    if utf16_len(&text) <= MAX_ANNOTATION {
        return text;
    }
    // No character needs two units anymore.
    let hint = text.find("\nhint: ").unwrap_or(text.len());
    let (what, hint) = text.split_at(hint);
    let hint = without_middle(hint, MAX_END);
    without_middle(what, MAX_ANNOTATION - utf16_len(&hint)) + &hint
}

/// A text of at most `max` characters: without its middle, if it is longer.
fn without_middle(text: &str, max: usize) -> String {
    let length = text.chars().count();
    if length <= max {
        return text.to_owned();
    }
    let start = text.chars().take(max / 2);
    let end = text.chars().skip(length - (max - max / 2 - 1));
    start.chain(['\u{2026}']).chain(end).collect()
}

/// The data of a command, which does not begin with a character that could combine with the colon before it: the line
/// would be no command.
fn apart(data: &str) -> String {
    if data.starts_with(|c: char| !c.is_ascii()) {
        format!(" {data}")
    } else {
        data.to_owned()
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
    use proptest::prelude::*;

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
            log.mask_text(&SecretString::from("masked line one\nsecond%masked"))
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
    fn an_annotation_names_what_would_end_the_runner() {
        let text = printed(|log| {
            log.error("t", "a\u{1f600}b \u{2039}U+1F600\u{203a} \u{fc}");
            log.warning("t", "\u{300}x");
            log.notice("t", "\u{10ffff}");
            log.info("\u{1f600}");
        });
        insta::assert_snapshot!(text, @"
        ::error title=t::a\u{2039}U+1F600\u{203a}b \u{2039}U+2039\u{203a}U+1F600\u{203a} \u{fc}
        ::warning title=t:: \u{300}x
        ::notice title=t:: \u{2039}U+10FFFF\u{203a}
        \u{1f600}
        ");
    }

    #[test]
    fn a_long_annotation_loses_its_middle() {
        let names = "name, ".repeat(1_000);
        let end = "\nhint: do this\nsee: https://example.com/page#section";
        let text = fit(&format!("what came back: {names}{end}"));
        assert!(text.starts_with("what came back: name, "), "{text}");
        assert!(text.ends_with(end) && text.contains('\u{2026}'), "{text}");
        assert_eq!(utf16_len(&text), MAX_ANNOTATION);
        let text = fit(&format!("Names: {names}Do this."));
        assert!(text.ends_with("name, Do this."), "{text}");
        assert_eq!(utf16_len(&text), MAX_ANNOTATION);
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

    proptest! {
        #[test]
        fn any_text_can_be_an_annotation(
            what in "(?s).{0,2000}", hint in "[a-z ]{0,200}", beyond in "[\u{10000}-\u{10ffff}]{0,400}",
        ) {
            let message = format!("{what}{beyond}\nhint: {hint}");
            let text = printed(|log| log.error("Port MCP", &message));
            let data = text.trim_end_matches('\n').strip_prefix("::error title=Port MCP::").unwrap();
            prop_assert!(!data.contains(['\n', '\r']));
            prop_assert!(!data.chars().any(is_beyond_bmp));
            prop_assert!(!data.starts_with(|c: char| !c.is_ascii()));
            let end = format!("%0Ahint: {hint}");
            prop_assert!(data.ends_with(&end));
            let plain = data.replace("%0A", "\n").replace("%0D", "\r").replace("%25", "%");
            prop_assert!(utf16_len(&plain) <= MAX_ANNOTATION + 1);
        }
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
