use std::collections::BTreeMap;

use crate::annotation::{Issue, Level};
use crate::command::Command;
use crate::culture::{equal, same_name};
use crate::encoders::json_string;
use crate::masker::Masker;
use crate::properties::Properties;
use crate::utf16::{Units, half_pair, shown, units};

/// The longest message of an annotation, in UTF-16 units. The runner also cuts the line in the log.
const MAX_ISSUE: usize = 4096;
/// The annotations of each level that GitHub gets of a step. The log has all.
const MAX_ISSUES: usize = 10;
/// The errors and warnings of a step that the runner writes to its own log, and the length of each.
const MAX_QUOTED: usize = 3;
const MAX_QUOTED_LENGTH: usize = 256;

/// What the runner knows of a step: its log, its annotations, and its results.
///
/// Source: `src/Runner.Worker/ExecutionContext.cs`.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) masker: Masker,
    pub(crate) lines: Vec<String>,
    pub(crate) issues: Vec<Issue>,
    pub(crate) commands: Vec<Command>,
    pub(crate) masks: Vec<String>,
    pub(crate) outputs: BTreeMap<String, String>,
    pub(crate) state: BTreeMap<String, String>,
    pub(crate) env: BTreeMap<String, String>,
    /// The directories for `PATH`, the last one first.
    pub(crate) path: Vec<String>,
    /// The error of each command, or file of commands, that failed.
    pub(crate) command_errors: Vec<String>,
    /// Lines that the runner reports to its own log, unlike other lines.
    pub(crate) reported: Vec<String>,
    pub(crate) debug: bool,
}

impl Log {
    pub(crate) fn new(masker: Masker, debug: bool) -> Self {
        Self {
            masker,
            debug,
            ..Self::default()
        }
    }

    /// Writes a line, masked.
    ///
    /// Source: `Write` in `ExecutionContext.cs`.
    pub(crate) fn write(&mut self, line: &str) {
        self.write_units(&units(line));
    }

    fn write_units(&mut self, line: &[u16]) {
        self.lines.push(shown(&self.masker.mask_units(line)));
    }

    /// Writes a message line by line, if step debugging is on.
    pub(crate) fn debug(&mut self, message: &str) {
        if self.debug {
            for line in message.replace("\r\n", "\n").split('\n') {
                self.write(&format!("##[debug]{line}"));
            }
        }
    }

    pub(crate) fn error(&mut self, message: &str) {
        self.issue(Level::Error, &units(message), Properties::new());
    }

    pub(crate) fn warning(&mut self, message: &str) {
        self.issue(Level::Warning, &units(message), Properties::new());
    }

    /// The errors of a command, or file of commands, that failed.
    pub(crate) fn fail(&mut self, message: &str, reason: &str) {
        self.error(message);
        self.error(reason);
        self.command_errors.push(format!("{message} {reason}"));
    }

    /// Adds an annotation, and writes its line to the log. The line does not contain the title, which
    /// is not masked.
    ///
    /// Source: `AddIssue` in `ExecutionContext.cs`.
    pub(crate) fn issue(&mut self, level: Level, message: &[u16], properties: Properties) {
        let message = self.masked_message(message);
        let line = tagged(level, &message);
        self.add_issue(level, message, properties, &line);
    }

    /// As [`Log::issue`], with another line in the log: the one in which a problem was found.
    pub(crate) fn problem(
        &mut self,
        level: Level,
        message: &str,
        properties: Properties,
        line: &str,
    ) {
        let message = self.masked_message(&units(message));
        let line = tagged(level, &units(line));
        self.add_issue(level, message, properties, &line);
    }

    fn add_issue(&mut self, level: Level, message: Units, properties: Properties, line: &[u16]) {
        let same = self.issues.iter().filter(|issue| issue.level == level);
        if same.count() < MAX_ISSUES {
            self.issues.push(Issue {
                level,
                message,
                properties,
            });
        }
        if !line.is_empty() {
            self.write_units(line);
        }
    }

    fn masked_message(&self, message: &[u16]) -> Units {
        let mut masked = self.masker.mask_units(message);
        masked.truncate(MAX_ISSUE);
        masked
    }

    pub(crate) fn set_output(&mut self, name: &str, value: String) {
        set(&mut self.outputs, name, value);
    }

    pub(crate) fn save_state(&mut self, name: &str, value: String) {
        self.debug(&format!("Save intra-action state {name} = {value}"));
        set(&mut self.state, name, value);
    }

    pub(crate) fn set_env(&mut self, name: &str, value: String) {
        self.debug(&format!("{name}='{value}'"));
        self.env.insert(name.to_owned(), value);
    }

    pub(crate) fn prepend_path(&mut self, directory: &str) {
        prepend(&mut self.path, directory);
    }

    /// Whether the runner dies at the end of the step. It writes the first errors and warnings to its own
    /// log, each cut, and that log cannot contain half of a surrogate pair.
    ///
    /// Source: `PublishStepTelemetry` in `ExecutionContext.cs`, and
    /// `src/Runner.Common/HostTraceListener.cs`.
    pub(crate) fn kills_the_runner(&self) -> bool {
        let mut quoted: Vec<Units> = self.reported.iter().map(|line| units(line)).collect();
        let issues = self.issues.iter();
        for issue in issues.filter(|issue| issue.level != Level::Notice) {
            if !issue.message.is_empty() {
                let end = issue.message.len().min(MAX_QUOTED_LENGTH);
                quoted.push(issue.message[..end].to_vec());
                if quoted.len() >= MAX_QUOTED {
                    break;
                }
            }
        }
        let written: Units = quoted
            .iter()
            .flat_map(|text| [units("    \""), json_string(text), units("\",\n")].concat())
            .collect();
        half_pair(&self.masker.mask_units(&written)).is_some()
    }
}

/// The line of an annotation: nothing without a text.
fn tagged(level: Level, text: &[u16]) -> Units {
    if text.is_empty() {
        return Units::new();
    }
    let mut line = units(&format!("##[{level}]"));
    line.extend(text);
    line
}

/// Sets a value. A name that is known in another case keeps its case.
pub(crate) fn set(values: &mut BTreeMap<String, String>, name: &str, value: String) {
    let known = values.keys().find(|known| same_name(known, name)).cloned();
    values.insert(known.unwrap_or_else(|| name.to_owned()), value);
}

/// Adds a directory for `PATH`. An equal one moves to the new place.
pub(crate) fn prepend(path: &mut Vec<String>, directory: &str) {
    path.retain(|known| !equal(known, directory));
    path.push(directory.to_owned());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> Log {
        Log::new(Masker::new(), false)
    }

    #[test]
    fn a_long_issue_is_cut() {
        let mut log = log();
        log.error(&"x".repeat(5000));
        assert_eq!(log.lines[0].len(), "##[error]".len() + MAX_ISSUE);
    }

    #[test]
    fn ten_issues_of_a_level_are_kept_and_all_are_shown() {
        let mut log = log();
        for _ in 0..12 {
            log.error("e");
            log.warning("w");
        }
        assert_eq!((log.issues.len(), log.lines.len()), (20, 24));
    }

    #[test]
    fn a_cut_pair_in_one_of_the_first_three_kills_the_runner() {
        let cut = format!("{}😀", "x".repeat(255));
        let dies = |before: usize, message: &str| {
            let mut log = log();
            (0..before).for_each(|_| log.warning("w"));
            log.error(message);
            log.kills_the_runner()
        };
        assert!(dies(0, &cut) && dies(2, &cut));
        assert!(!dies(3, &cut));
        assert!(!dies(0, &format!("x{cut}")));
        assert!(!dies(0, &cut[1..]));
    }

    #[test]
    fn a_mask_moves_the_cut() {
        let mut log = log();
        log.masker.add("SecretValue1");
        log.warning(&format!("SecretValue1{}😀", "x".repeat(252)));
        assert!(log.kills_the_runner());
    }

    #[test]
    fn names_that_differ_in_case_are_one() {
        let mut log = log();
        log.set_output("a", "1".into());
        log.set_output("A", "2".into());
        assert_eq!(log.outputs, BTreeMap::from([("a".into(), "2".into())]));
    }

    #[test]
    fn a_repeated_directory_moves() {
        let mut log = log();
        for directory in ["/a", "/b", "/a"] {
            log.prepend_path(directory);
        }
        assert_eq!(log.path, ["/b", "/a"]);
    }
}
