//! `port-mcp policy test`: the expectations of a policy's owner.
//!
//! ```yaml
//! policy: port-mcp.yml
//! tests:
//!   - name: agents on main read
//!     run: { repository: acme/catalog, ref: refs/heads/main, event: push }
//!     request: { allowed_tools: "list_*" }
//!     expect: allowed
//!     rule: everyone reads
//! ```

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use serde::Deserialize;
use serde_json::json;
use yaml_serde::Value;

use super::Outcome;
use super::policy_file::{name_in_workspace, parse, read, shown};
use super::request::RequestOptions;
use crate::Error;
use crate::access::policy::place::{Step, position};
use crate::access::policy::{Policy, RunContext};
use crate::connect;
use crate::inputs::Request;
use crate::runner::{Environment, Format, Log, Place};
use crate::text::{Quote, without_mark};

/// A file of expectations.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a file with `policy` and `tests`")]
struct TestFile {
    /// The policy, relative to this file.
    policy: PathBuf,
    tests: Vec<TestCase>,
}

/// A run, its request, and what the policy must decide.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a test with `name` and `expect`")]
struct TestCase {
    name: String,
    #[serde(default)]
    run: RunContext,
    /// Inputs of the step.
    #[serde(default)]
    request: RequestOptions,
    expect: Expectation,
    /// The name or the number of the rule that must match.
    rule: Option<RuleId>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Expectation {
    Allowed,
    #[serde(rename = "refused")]
    Denied,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "the name or the number of a rule")]
enum RuleId {
    Number(usize),
    Name(String),
}

/// Runs the tests in `file`.
///
/// # Errors
/// When a file cannot be read or is invalid.
pub(super) fn run(
    file: &Path,
    environment: &Environment,
    log: &mut Log<'_>,
) -> Result<Outcome, Error> {
    let content = read(file, "test file")?;
    let text = without_mark(&content);
    let shown = shown(file);
    let invalid = |error: yaml_serde::Error| {
        let error = Quote::new(&error.to_string());
        anyhow!("test file {shown} is invalid: {error}\nhint: see the format in docs/policy.md")
    };
    let document: Value = yaml_serde::from_str(text).map_err(invalid)?;
    if has_null(&document) {
        let what = "a key or an entry has no value\nhint: add a value, or remove the key";
        return Err(anyhow!("test file {shown} is invalid: {what}").into());
    }
    let tests: TestFile = yaml_serde::from_str(text).map_err(invalid)?;
    let requests = requests(file, &tests)?;
    let directory = file.parent().unwrap_or(Path::new(""));
    let policy = parse(&directory.join(&tests.policy), environment)?;
    let mut results = Vec::new();
    let mut failed = 0;
    for (index, (test, request)) in tests.tests.iter().zip(&requests).enumerate() {
        let result = evaluate(&policy, test, request);
        let name = Quote::new(&test.name);
        if log.format() == Format::Json {
            results.push(json!({
                "name": test.name,
                "passed": result.is_ok(),
                "reason": result.as_ref().err(),
            }));
        } else {
            let word = if result.is_ok() { "passed" } else { "failed" };
            log.result(format!("{word}  {name}"));
        }
        if let Err(reason) = result {
            failed += 1;
            let path = [Step::Key("tests".to_owned()), Step::Element(index)];
            let place = position(text, &path).map(|(line, column)| Place {
                file: name_in_workspace(file, environment),
                line,
                column,
            });
            let text = format!(
                "the expectation `{name}` is not met: {reason}\n\
                 hint: correct the policy, or the expectation"
            );
            log.error_at(place.as_ref(), text);
        }
    }
    let passed = requests.len() - failed;
    if log.format() == Format::Json {
        log.json(&json!({"passed": passed, "failed": failed, "tests": results}));
    } else {
        log.result(format!("{passed} passed, {failed} failed."));
    }
    Ok(if failed == 0 {
        Outcome::Done
    } else {
        Outcome::No
    })
}

/// Whether a part has no value, which would be the same as no part.
fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Sequence(list) => list.iter().any(has_null),
        Value::Mapping(map) => map.values().any(has_null),
        Value::Tagged(tagged) => has_null(&tagged.value),
        _ => false,
    }
}

/// The request of each test.
///
/// # Errors
/// Every invalid one, and a file without tests.
fn requests(file: &Path, tests: &TestFile) -> anyhow::Result<Vec<Request>> {
    let shown = shown(file);
    if tests.tests.is_empty() {
        return Err(anyhow!(
            "test file {shown} is invalid: `tests` is empty\nhint: see the format in docs/policy.md"
        ));
    }
    let mut requests = Vec::new();
    let mut problems = Vec::new();
    for test in &tests.tests {
        let empty = test
            .request
            .inputs()
            .find(|(_, value)| value.trim().is_empty());
        if let Some((input, _)) = empty {
            problems.push(format!(
                "in `{}`, `{input}` is empty",
                Quote::new(&test.name)
            ));
            continue;
        }
        match test.request.parse() {
            Ok(request) => requests.push(request),
            Err(errors) => problems.extend(errors.iter().map(|error| {
                let error = error.to_string().replace("\nhint: ", ": ");
                format!("in `{}`, {error}", Quote::new(&test.name))
            })),
        }
    }
    if problems.is_empty() {
        return Ok(requests);
    }
    Err(anyhow!(
        "test file {shown} is invalid: {}\nhint: see the inputs in docs/configuration.md",
        problems.join("; ")
    ))
}

/// Compares what the policy decides with what a test expects.
///
/// # Errors
/// How they differ.
fn evaluate(policy: &Policy, test: &TestCase, request: &Request) -> Result<(), String> {
    let rule = policy.explain(&test.run).rule;
    let found = match &rule {
        None => Err("no rule matches the run".to_owned()),
        Some(rule) => connect::policy::check_without_server(rule, request).map_err(|errors| {
            errors
                .0
                .iter()
                .map(ToString::to_string)
                .filter_map(|text| Some(text.lines().next()?.to_owned()))
                .collect::<Vec<String>>()
                .join("; ")
        }),
    };
    match (test.expect, found) {
        (Expectation::Allowed, Err(reason)) => {
            return Err(format!("it is not allowed: {reason}"));
        }
        (Expectation::Denied, Ok(())) => {
            let rule = rule.map_or_else(String::new, |rule| format!(" by {}", rule.title));
            return Err(format!("it is allowed{rule}"));
        }
        _ => {}
    }
    let Some(expected) = &test.rule else {
        return Ok(());
    };
    let is_expected = rule.as_ref().is_some_and(|rule| match expected {
        RuleId::Number(number) => rule.number == *number,
        RuleId::Name(name) => !name.is_empty() && rule.name == name,
    });
    if is_expected {
        return Ok(());
    }
    let expected = match expected {
        RuleId::Number(number) => format!("rule {number}"),
        RuleId::Name(name) => format!("the rule `{}`", Quote::new(name)),
    };
    let found = rule.map_or("no rule".to_owned(), |rule| rule.title);
    Err(format!("{expected} must match the run, and {found} does"))
}
