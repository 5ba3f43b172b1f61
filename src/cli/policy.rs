//! `port-mcp policy`: checks, explains, and tests an organization's policy.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Outcome;
use super::policy_file::{in_workspace, parse, read, shown};
use super::policy_test;
use super::request::RequestOptions;
use super::words::words;
use crate::Error;
use crate::access::AccessErrors;
use crate::access::policy::{Explanation, Policy, Rule, RunContext};
use crate::connect;
use crate::inputs::Request;
use crate::runner::{Environment, Format, Log};

/// `port-mcp policy`.
#[derive(Debug, Subcommand)]
pub(super) enum PolicyCommand {
    /// Check a policy: everything that is wrong with it, and rules without effect
    #[command(
        after_help = "Exit status: 0 if the policy is valid, 1 if it is not, 2 if it cannot be read"
    )]
    Check {
        /// Policy file
        file: PathBuf,
        #[command(flatten)]
        output: Output,
    },
    /// Show which rule matches a run, and whether it allows a request
    #[command(
        after_help = "Exit status: 0 if the policy allows it, 1 if it does not, 2 if the policy or an option is invalid"
    )]
    Explain {
        /// Policy file
        file: PathBuf,
        #[command(flatten)]
        run: RunContext,
        #[command(flatten)]
        request: Box<RequestOptions>,
        #[command(flatten)]
        output: Output,
    },
    /// Compare a policy with the expectations in a file
    #[command(
        after_help = "Exit status: 0 if each expectation is met, 1 if one is not, 2 if a file is invalid"
    )]
    Test {
        /// File with `policy` and `tests`
        file: PathBuf,
        #[command(flatten)]
        output: Output,
    },
}

/// How the result is printed.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct Output {
    /// Who reads the result
    #[arg(long, value_enum)]
    format: Option<Format>,
}

impl PolicyCommand {
    pub(super) fn format(&self) -> Option<Format> {
        match self {
            Self::Check { output, .. }
            | Self::Explain { output, .. }
            | Self::Test { output, .. } => output.format,
        }
    }

    /// How its messages name inputs.
    pub(super) fn words(&self) -> fn(&str) -> String {
        match self {
            Self::Explain { .. } => words,
            // Only in files.
            Self::Check { .. } | Self::Test { .. } => str::to_owned,
        }
    }

    /// Runs the command, and reports its errors.
    pub(super) fn run(&self, environment: &Environment, log: &mut Log<'_>) -> Outcome {
        let result = match self {
            Self::Check { file, .. } => check(file, environment, log),
            Self::Explain {
                file, run, request, ..
            } => explain(file, run, request, environment, log),
            Self::Test { file, .. } => policy_test::run(file, environment, log),
        };
        result.unwrap_or_else(|error| {
            error.report(log);
            Outcome::Undecided
        })
    }
}

fn check(file: &Path, environment: &Environment, log: &mut Log<'_>) -> Result<Outcome, Error> {
    let text = read(file, "policy")?;
    let shown = shown(file);
    let checked = Policy::check(&shown, &text);
    let rules = checked.as_ref().map_or(0, Policy::rule_count);
    match (log.format(), &checked) {
        (Format::Json, _) => {
            let is_valid = checked.is_ok();
            log.json(&json!({"file": shown, "valid": is_valid, "rules": rules}));
        }
        (_, Ok(_)) => {
            let rules = match rules {
                1 => "1 rule".to_owned(),
                n => format!("{n} rules"),
            };
            log.result(format!("{shown} is valid ({rules})."));
        }
        _ => {}
    }
    match checked {
        Ok(_) => Ok(Outcome::Done),
        Err(errors) => {
            in_workspace(errors, file, environment).report(log);
            Ok(Outcome::No)
        }
    }
}

fn explain(
    file: &Path,
    run: &RunContext,
    options: &RequestOptions,
    environment: &Environment,
    log: &mut Log<'_>,
) -> Result<Outcome, Error> {
    // Both are reported at once.
    let policy = parse(file, environment);
    let request = options.parse().map_err(Error::from);
    let (policy, request) = match (policy, request) {
        (Ok(policy), Ok(request)) => (policy, request),
        (Err(error), Err(other)) => {
            error.report(log);
            return Err(other);
        }
        (Err(error), _) | (_, Err(error)) => return Err(error),
    };
    let explanation = policy.explain(run);
    let verdict = explanation
        .rule
        .as_ref()
        .filter(|_| options.is_any_given())
        .map(|rule| connect::policy::check_without_server(rule, &request));
    if log.format() == Format::Json {
        log.json(&explained_json(&explanation, verdict.as_ref()));
    } else {
        show(&explanation, log);
    }
    let is_text = log.format() != Format::Json;
    match (&explanation.rule, verdict) {
        (None, _) => Ok(Outcome::No),
        (Some(_), Some(Err(errors))) => {
            if is_text {
                log.result("It does not allow the request.");
            }
            Error::from(errors).report(log);
            Ok(Outcome::No)
        }
        (Some(_), Some(Ok(()))) => {
            if is_text {
                log.result(allowed(&request));
            }
            Ok(Outcome::Done)
        }
        (Some(_), None) => Ok(Outcome::Done),
    }
}

/// That a request is allowed. Patterns are compared with the tools of the server, which only a step knows.
fn allowed(request: &Request) -> &'static str {
    if request.allowed_tools.only_names().is_some() {
        "It allows the request."
    } else {
        "It allows the request. Patterns grant only the tools that the rule allows."
    }
}

fn show(explanation: &Explanation<'_>, log: &mut Log<'_>) {
    for (title, unmet) in &explanation.others {
        log.result(format!("{title} does not match: {}.", unmet.join("; ")));
    }
    match &explanation.rule {
        None => log.result("No rule matches this run, so the step would fail."),
        Some(rule) => {
            log.result(format!("{} matches. It allows:", rule.title));
            for (name, limit) in rule.limits() {
                log.result(format!("  {name}: {limit}"));
            }
        }
    }
}

fn explained_json(
    explanation: &Explanation<'_>,
    verdict: Option<&Result<(), AccessErrors>>,
) -> Value {
    let rule = explanation.rule.as_ref();
    let others: Vec<Value> = explanation
        .others
        .iter()
        .map(|(title, unmet)| json!({"title": title, "unmet": unmet}))
        .collect();
    let limits = |rule: &Rule<'_>| {
        Value::Object(
            rule.limits()
                .into_iter()
                .map(|(name, limit)| (name.to_owned(), limit.into()))
                .collect(),
        )
    };
    json!({
        "allowed": rule.is_some() && !matches!(verdict, Some(Err(_))),
        "rule": rule.map(|rule| json!({
            "number": rule.number,
            "name": rule.name,
            "title": rule.title,
            "limits": limits(rule),
        })),
        "other_rules": others,
    })
}
