//! Parsers for the values of single inputs.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use humantime::format_duration;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use secrecy::SecretString;

use super::error::ValueError;
use super::file::{self, FileError};
use crate::access::source::{Location, MAX_POLICY};
use crate::access::{PatternError, Patterns};
use crate::agents::Agent;
use crate::agents::config::Config;
use crate::agents::format::{BaseConfigError, Format};
use crate::port::{self, Actions};
use crate::text::{as_entry, as_given, comma_list_of, nearest, or_list, secrets, without_mark};

/// The maximum size of a base configuration in bytes. It becomes part of a variable of the next step, which
/// Linux limits to 128 KiB.
const MAX_BASE_CONFIG: u64 = 64 * 1024;
/// The maximum size of a file of certificates in bytes.
const MAX_CA_FILE: u64 = 1024 * 1024;

/// An error for a value that is safe to quote.
fn invalid(value: &str, hint: impl Into<String>) -> ValueError {
    ValueError::new(format!("is invalid: {}", as_given(value)), hint)
}

/// A client ID, a client secret, or a token. Finds what is wrong with it before it is sent.
pub(super) fn credential(value: &str, hint: &str) -> Result<(), ValueError> {
    let is_in = |quote: char| value.len() > 1 && value.starts_with(quote) && value.ends_with(quote);
    let (problem, hint) = if value.contains("${{") {
        (
            "contains an expression that was not evaluated",
            "write the expression in the workflow, and store only the value as the secret",
        )
    } else if is_variable(value) {
        (
            "is the name of a variable, which no shell evaluates here",
            "use an expression, such as `${{ secrets.NAME }}` or `${{ env.NAME }}`",
        )
    } else if ['"', '\'', '`'].into_iter().any(is_in) {
        ("is in quotes", "store the value without the quotes")
    } else if value.starts_with(['{', '[']) {
        ("is JSON", "store each credential as a secret of its own")
    } else if value.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(());
    } else {
        ("contains whitespace or non-ASCII characters", hint)
    };
    Err(ValueError::new(problem, hint))
}

/// Whether a value is a variable of a shell, such as `$NAME`, `${NAME}`, `$env:NAME`, or `%NAME%`.
fn is_variable(value: &str) -> bool {
    let name = value
        .strip_prefix("${")
        .and_then(|name| name.strip_suffix('}'))
        .or_else(|| value.strip_prefix("$env:"))
        .or_else(|| value.strip_prefix('$'))
        .or_else(|| value.strip_prefix('%')?.strip_suffix('%'));
    let is_part = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
    name.is_some_and(|name| !name.is_empty() && name.bytes().all(is_part))
}

/// One of several values, in upper or lower case.
pub(super) fn one_of<T: Copy + Display>(value: &str, all: &[T]) -> Result<T, ValueError> {
    let names: Vec<String> = all.iter().map(ToString::to_string).collect();
    let found = names
        .iter()
        .position(|name| name.eq_ignore_ascii_case(value));
    if let Some(index) = found {
        return Ok(all[index]);
    }
    let near = nearest(value, names.iter().map(String::as_str))
        .or_else(|| beginning(value, &names))
        .map(|choice| format!(" (did you mean `{choice}`?)"))
        .unwrap_or_default();
    Err(invalid(value, format!("use {}{near}", or_list(all))))
}

/// The only name that begins with `word`, such as `claude-code` for `claude`.
fn beginning<'a>(word: &str, names: &'a [String]) -> Option<&'a str> {
    let word = word.to_lowercase();
    let mut found = names.iter().filter(|name| name.starts_with(&word));
    let first = found.next().filter(|_| !word.is_empty())?;
    found.next().is_none().then_some(first.as_str())
}

/// A boolean in YAML 1.2's core schema, which workflows use.
pub(super) fn boolean(value: &str) -> Result<bool, ValueError> {
    match value {
        "true" | "True" | "TRUE" => Ok(true),
        "false" | "False" | "FALSE" => Ok(false),
        _ => Err(invalid(value, "use `true` or `false`")),
    }
}

/// A duration with its unit. `range` is in seconds.
pub(super) fn duration(value: &str, range: RangeInclusive<u64>) -> Result<Duration, ValueError> {
    let (from, to) = range.into_inner();
    let range = Duration::from_secs(from)..=Duration::from_secs(to);
    humantime::parse_duration(value)
        .ok()
        .filter(|duration| range.contains(duration))
        .ok_or_else(|| {
            let hint = format!(
                "use a duration with a unit, such as `90s` or `10m`, from {} to {}",
                format_duration(*range.start()),
                format_duration(*range.end())
            );
            invalid(value, hint)
        })
}

/// The entries of a list: separated by commas or newlines, or a JSON array.
fn list(value: &str) -> Result<Vec<String>, ValueError> {
    if value.starts_with('[') {
        return serde_json::from_str(value).map_err(|_| {
            ValueError::new(
                "starts like a JSON array, but is not an array of strings",
                "use an array such as `[\"list_pages\"]`, or separate the entries by commas or newlines",
            )
        });
    }
    Ok(value
        .split([',', '\n', '\r'])
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
        .map(str::to_owned)
        .collect())
}

/// Patterns for tools. Without the preflight check (`verify`), only names.
pub(super) fn tools(value: &str, verify: Option<bool>) -> Result<Patterns, Vec<ValueError>> {
    let entries = list(value)?;
    let patterns = Patterns::parse(entries.iter().map(String::as_str)).map_err(|errors| {
        let errors = errors.iter().map(|error| {
            ValueError::new(
                format!("{error}{}", renamed(error)),
                "use tool names, globs (`list_*`), and exclusions (`!delete_*`), separated by commas or \
                 newlines, or a JSON array",
            )
        });
        errors.collect::<Vec<_>>()
    })?;
    if verify == Some(false) && patterns.only_names().is_none() {
        let error = ValueError::new(
            format!(
                "contains patterns: {}",
                comma_list_of(patterns.patterns().map(|pattern| as_entry(&pattern)))
            ),
            "list exact tool names, or remove `verify: false`: without the preflight check, patterns \
             cannot be resolved",
        );
        return Err(error.into());
    }
    Ok(patterns)
}

/// What happened to the tool of an entry in an agent's notation, if Port replaced or removed it.
fn renamed(error: &PatternError) -> String {
    let PatternError::AgentNotation(_, name) = error else {
        return String::new();
    };
    if port::is_removed(name) {
        return "; but Port removed that tool".to_owned();
    }
    match port::replacement(name) {
        Some(replacement) => format!("; but Port replaced that tool with `{replacement}`"),
        None => String::new(),
    }
}

/// Identifiers of Port actions.
pub(super) fn actions(value: &str) -> Result<Actions, Vec<ValueError>> {
    let entries = list(value)?;
    if entries == ["*"] {
        return Ok(Actions::All);
    }
    let errors: Vec<ValueError> = entries
        .iter()
        .filter(|entry| !Actions::is_identifier(entry))
        .map(|entry| {
            ValueError::new(
                format!(
                    "contains {}, which is not a valid identifier of an action",
                    as_entry(entry)
                ),
                "use identifiers of ASCII letters, digits, and `@_.+:/=-`, separated by commas or \
                 newlines, or a JSON array; or `*` alone",
            )
        })
        .collect();
    if errors.is_empty() {
        Ok(Actions::Only(entries))
    } else {
        Err(errors)
    }
}

/// The name of the server: valid for every agent.
pub(super) fn server_name(value: &str) -> Result<String, ValueError> {
    let is_valid = value.len() <= 20
        && value.starts_with(|c: char| c.is_ascii_lowercase())
        && value
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if is_valid {
        return Ok(value.to_owned());
    }
    Err(invalid(
        value,
        "use up to 20 lowercase letters, digits, and hyphens, starting with a letter",
    ))
}

/// Where `policy` is stored.
pub(super) enum PolicyLocation {
    Repository(Location),
    Workspace { path: String, text: String },
}

pub(super) fn policy(value: &str, workspace: &Path) -> Result<PolicyLocation, ValueError> {
    if let Some(location) = Location::parse(value) {
        return Ok(PolicyLocation::Repository(location));
    }
    match file::read_within(workspace, value, MAX_POLICY as u64) {
        Ok(text) => Ok(PolicyLocation::Workspace {
            path: value.to_owned(),
            text,
        }),
        Err(error) => Err(ValueError::new(
            error.to_string(),
            "use `owner/repo/path@ref`, or the path of a file in the workspace",
        )),
    }
}

/// A base configuration, as text or as the path of a file in the workspace.
pub(super) fn base_config(
    agent: &Agent,
    value: &str,
    workspace: &Path,
    client_secret: Option<&SecretString>,
) -> Result<Config, ValueError> {
    let format = agent.format();
    let invalid = |problem: String| {
        ValueError::new(
            problem,
            format!(
                "use a {format} object, or the path of a file in the workspace that contains one"
            ),
        )
    };
    let text = config_text(format, value, workspace).map_err(|error| invalid(error.to_string()))?;
    if client_secret.is_some_and(|secret| secrets::is_in(secret, &text)) {
        return Err(ValueError::contains_secret());
    }
    agent.parse_base_config(&text).map_err(|error| match error {
        BaseConfigError::TooDeep => ValueError::new(error.to_string(), "reduce the nesting"),
        BaseConfigError::Ambiguous => ValueError::new(error.to_string(), "rename the key"),
        _ => invalid(error.to_string()),
    })
}

fn config_text(format: Format, value: &str, workspace: &Path) -> Result<String, FileError> {
    let value = without_mark(value);
    if format.is_text(value) {
        return if value.len() as u64 <= MAX_BASE_CONFIG {
            Ok(value.to_owned())
        } else {
            Err(FileError::TooLarge(MAX_BASE_CONFIG))
        };
    }
    match file::read_within(workspace, value, MAX_BASE_CONFIG) {
        // It may be the configuration of another agent and contain a secret, so it is not quoted.
        Err(FileError::Missing(_) | FileError::Unreadable(..))
            if value.contains(|c: char| c.is_whitespace() || "{}\"'=,;".contains(c)) =>
        {
            Err(FileError::NotPath)
        }
        text => text,
    }
}

/// Certificates, as PEM text or as the path of a file.
pub(super) fn ca_certificates(
    value: &str,
    workspace: &Path,
) -> Result<Vec<CertificateDer<'static>>, ValueError> {
    let invalid = |problem: String| {
        let hint = "use PEM text (`-----BEGIN CERTIFICATE-----` …), or the path of a file";
        ValueError::new(problem, hint)
    };
    let pem = if value.contains("-----BEGIN") {
        Ok(value.to_owned())
    } else if value.contains('\n') {
        Err(FileError::NotPath)
    } else {
        file::read(&workspace.join(value), value, MAX_CA_FILE)
    }
    .map_err(|error| invalid(error.to_string()))?;
    match CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>() {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(invalid("contains no PEM certificate".to_owned())),
    }
}
