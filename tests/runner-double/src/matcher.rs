//! Problem matchers, which make annotations of lines.
//!
//! Patterns are those of the `regex` crate: no lookaround, no references. The file of a problem is left
//! out, as the runner does for files outside of a checkout.

use std::fs;
use std::io::{Error, ErrorKind};
use std::path::Path;

use regex::{Captures, Regex};
use serde_json::Value;

use crate::annotation::Level;
use crate::command::Command;
use crate::culture::same_name;
use crate::decode::decode;
use crate::log::Log;
use crate::properties::Properties;
use crate::settings::Settings;

/// The matchers of a job. A later one of the same owner replaces an earlier one.
///
/// Source: `AddMatchers` and `RemoveMatchers` in `src/Runner.Worker/ExecutionContext.cs`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Matchers(Vec<Matcher>);

/// Source: `src/Runner.Worker/IssueMatcher.cs`.
#[derive(Debug, Clone)]
struct Matcher {
    owner: String,
    severity: String,
    patterns: Vec<Pattern>,
    /// What each pattern but the last has found in the lines before.
    found: Vec<Option<Problem>>,
}

#[derive(Debug, Clone)]
struct Pattern {
    regex: Regex,
    loops: bool,
    /// The number of the group for each part of a problem.
    groups: [Option<usize>; PARTS.len()],
}

/// The parts of a problem, in the order of [`PARTS`].
type Problem = [Option<String>; PARTS.len()];

const PARTS: [&str; 5] = ["line", "column", "severity", "code", "message"];
const SEVERITY: usize = 2;
const MESSAGE: usize = 4;

impl Matchers {
    pub(crate) fn add(
        &mut self,
        file: &str,
        settings: &Settings,
        log: &mut Log,
    ) -> Result<(), String> {
        if file.is_empty() {
            log.warning("File path must be specified.");
            return Ok(());
        }
        let added = load(file, settings)?;
        if !added.is_empty() {
            let owners = quoted(&added);
            self.0
                .retain(|known| !added.iter().any(|new| same_name(&new.owner, &known.owner)));
            self.0.splice(0..0, added);
            log.debug(&format!("Added matchers: {owners}. Problem matchers scan action output for known warning or error strings and report these inline."));
        }
        Ok(())
    }

    pub(crate) fn remove(
        &mut self,
        command: &Command,
        settings: &Settings,
        log: &mut Log,
    ) -> Result<(), String> {
        let owners = match (command.property("owner"), command.data.as_str()) {
            (Some(owner), "") => vec![owner.to_owned()],
            (None, "") => {
                log.warning("Either an owner name or a file path must be specified in ##[remove-matcher] command.");
                return Ok(());
            }
            (None, file) => {
                let matchers = load(file, settings)?;
                matchers.into_iter().map(|matcher| matcher.owner).collect()
            }
            (Some(_), _) => {
                log.warning("Either specify an owner name or a file path in ##[remove-matcher] command. Both values cannot be set.");
                return Ok(());
            }
        };
        let is_removed =
            |known: &Matcher| owners.iter().any(|owner| same_name(owner, &known.owner));
        let (removed, kept) = std::mem::take(&mut self.0)
            .into_iter()
            .partition(is_removed);
        self.0 = kept;
        log.debug(&format!("Removed matchers: {}", quoted(&removed)));
        Ok(())
    }

    /// Makes an annotation of a line with a problem.
    ///
    /// Source: `OnDataReceived` in `src/Runner.Worker/Handlers/OutputManager.cs`.
    pub(crate) fn find_problem(&mut self, line: &str, log: &mut Log) -> bool {
        for at in 0..self.0.len() {
            let Some(problem) = self.0[at].find(line) else {
                continue;
            };
            for (other, matcher) in self.0.iter_mut().enumerate() {
                if other != at {
                    matcher.reset();
                }
            }
            if report(problem, line, log) {
                return true;
            }
        }
        false
    }
}

impl Matcher {
    fn parse(value: &Value) -> Result<Self, String> {
        let text = |name| value[name].as_str().unwrap_or_default().to_owned();
        let owner = text("owner");
        if owner.is_empty() {
            return Err("Owner must not be empty".into());
        }
        let patterns = value["pattern"].as_array().into_iter().flatten();
        let patterns = patterns
            .map(Pattern::parse)
            .collect::<Result<Vec<_>, _>>()?;
        let severity = text("severity");
        if !["", "error", "warning", "notice"].contains(&&*severity.to_ascii_lowercase()) {
            return Err(format!(
                "Matcher '{owner}' contains unexpected default severity '{severity}'"
            ));
        }
        if patterns.is_empty() {
            return Err(format!("Matcher '{owner}' does not contain any patterns"));
        }
        if patterns
            .iter()
            .all(|pattern| pattern.groups[MESSAGE].is_none())
        {
            return Err("At least one pattern must set 'message'".into());
        }
        Ok(Self {
            owner,
            severity,
            found: vec![None; patterns.len() - 1],
            patterns,
        })
    }

    fn reset(&mut self) {
        self.found.fill(None);
    }

    /// The problem that ends in this line.
    fn find(&mut self, line: &str) -> Option<Problem> {
        let last = self.patterns.len() - 1;
        for at in (0..=last).rev() {
            let before = match at.checked_sub(1) {
                None => None,
                Some(before) if self.found[before].is_none() => continue,
                Some(before) => self.found[before].clone(),
            };
            let pattern = &self.patterns[at];
            let loops = pattern.loops;
            let found = pattern.read(line, before.clone());
            if at < last {
                self.found[at] = found;
            } else if found.is_none() && at > 0 {
                self.found[at - 1] = None;
            } else if let Some(mut found) = found {
                self.reset();
                if loops && at > 0 {
                    self.found[at - 1] = before;
                }
                let severity = found[SEVERITY].take().filter(|text| !text.is_empty());
                found[SEVERITY] = severity.or_else(|| Some(self.severity.clone()));
                return Some(found);
            }
        }
        None
    }
}

impl Pattern {
    fn parse(value: &Value) -> Result<Self, String> {
        let regex = value["regexp"].as_str().unwrap_or_default();
        Ok(Self {
            regex: Regex::new(regex).map_err(|error| error.to_string())?,
            loops: value["loop"] == true,
            groups: PARTS.map(|part| value[part].as_u64().and_then(|at| at.try_into().ok())),
        })
    }

    /// The parts in a line, after those of the lines before.
    fn read(&self, line: &str, before: Option<Problem>) -> Option<Problem> {
        let captures = self.regex.captures(line)?;
        let mut problem = before.unwrap_or_default();
        for (part, group) in problem.iter_mut().zip(self.groups) {
            if part.is_none() {
                *part = group.and_then(|group| captured(&captures, group));
            }
        }
        Some(problem)
    }
}

fn captured(captures: &Captures, group: usize) -> Option<String> {
    let text = captures.get(group).map_or("", |found| found.as_str());
    (group < captures.len()).then(|| text.to_owned())
}

/// Whether a problem is complete enough for an annotation.
///
/// Source: `ConvertToIssue` in `OutputManager.cs`.
fn report(problem: Problem, line: &str, log: &mut Log) -> bool {
    let [row, column, severity, code, message] = problem.map(Option::unwrap_or_default);
    if message.trim().is_empty() {
        log.debug("Skipping logging an issue for the matched line because the message is empty.");
        return false;
    }
    let level = match severity.to_ascii_lowercase().as_str() {
        "" | "error" => Level::Error,
        "warning" => Level::Warning,
        "notice" => Level::Notice,
        _ => {
            log.debug(&format!("Skipped logging an issue for the matched line because the severity '{severity}' is not supported."));
            return false;
        }
    };
    let mut properties = Properties::new();
    for (name, what, text) in [("line", "line", row), ("col", "column", column)] {
        let is_number = text.bytes().all(|digit| digit.is_ascii_digit());
        match text.parse::<i32>() {
            Ok(number) if is_number => properties.push((name.into(), number.to_string())),
            _ if text.is_empty() => {}
            _ => log.debug(&format!("Unable to parse {what} number '{text}'")),
        }
    }
    if !code.trim().is_empty() {
        properties.push(("code".into(), code.trim().into()));
    }
    log.problem(level, &message, properties, line);
    true
}

/// The matchers in a file.
fn load(file: &str, settings: &Settings) -> Result<Vec<Matcher>, String> {
    let path = settings.workspace.join(settings.to_host(file));
    let bytes = fs::read(&path).map_err(|error| unreadable(&path, &error))?;
    let config: Value = serde_json::from_str(&decode(&bytes)).map_err(|error| error.to_string())?;
    let matchers = config["problemMatcher"].as_array().into_iter().flatten();
    matchers.map(Matcher::parse).collect()
}

/// What .NET says of a file that it cannot read.
pub(crate) fn unreadable(path: &Path, error: &Error) -> String {
    let shown = path.display();
    let has_directory = path.parent().is_some_and(Path::is_dir);
    match error.kind() {
        ErrorKind::NotFound if has_directory => format!("Could not find file '{shown}'."),
        ErrorKind::NotFound => format!("Could not find a part of the path '{shown}'."),
        _ => format!("Access to the path '{shown}' is denied."),
    }
}

fn quoted(matchers: &[Matcher]) -> String {
    let owners = matchers
        .iter()
        .map(|matcher| format!("'{}'", matcher.owner));
    owners.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::annotation::Issue;
    use crate::masker::Masker;
    use serde_json::json;

    fn problems(matcher: &Value, lines: &[&str]) -> Vec<(String, Option<i32>)> {
        let mut matchers = Matchers(vec![Matcher::parse(matcher).expect("a matcher")]);
        let mut log = Log::new(Masker::new(), false);
        for line in lines {
            matchers.find_problem(line, &mut log);
        }
        let annotations = log.issues.iter().filter_map(Issue::annotation);
        annotations
            .map(|found| (format!("{} {}", found.level, found.message), found.line))
            .collect()
    }

    #[test]
    fn a_line_with_a_problem_becomes_an_annotation() {
        let matcher = json!({"owner": "o", "severity": "warning", "pattern": [
            {"regexp": "^E (\\d+) (.+)$", "line": 1, "message": 2},
        ]});
        assert_eq!(
            problems(&matcher, &["E 7 found", "E x", "other"]),
            [("warning found".into(), Some(7))]
        );
    }

    #[test]
    fn a_problem_can_have_several_lines() {
        let matcher = json!({"owner": "o", "pattern": [
            {"regexp": "^in (\\d+)$", "line": 1},
            {"regexp": "^- (.+)$", "message": 1, "loop": true},
        ]});
        assert_eq!(
            problems(&matcher, &["- no", "in 1", "- a", "- b", "end", "- no"]),
            [("error a".into(), Some(1)), ("error b".into(), Some(1))]
        );
    }

    #[test]
    fn a_matcher_needs_an_owner_and_a_pattern_with_a_message() {
        assert!(Matcher::parse(&json!({"pattern": []})).is_err());
        assert!(Matcher::parse(&json!({"owner": "o"})).is_err());
        assert!(Matcher::parse(&json!({"owner": "o", "pattern": [{"regexp": "x"}]})).is_err());
    }
}
