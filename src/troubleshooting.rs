//! Links from messages to their sections in `docs/troubleshooting.md`, and their codes.
//!
//! The headings of that page are phrases of the messages, so a search for a message finds its section. `…`
//! in a heading matches any text. Each section has a code, which the titles of its messages contain: it never changes, so
//! that alerts do not need the text of a message.

use url::Url;

/// The page, relative to the root of the repository.
pub const PAGE: &str = "docs/troubleshooting.md";

/// Every section about an error, with its code, in the order of the page. Of several phrases in one message, the first
/// in this list counts.
pub const ERRORS: &[(&str, &str)] = &[
    // Inputs
    ("input … is empty", "input-empty"),
    ("input … is not an input of this action", "input-unknown"),
    (
        "input … contains the client secret",
        "input-contains-secret",
    ),
    (
        "input … contains whitespace or non-ASCII characters",
        "input-characters",
    ),
    ("input … names … which does not exist", "input-file-missing"),
    ("input `region`", "input-region"),
    ("input `allowed_tools`", "input-allowed-tools"),
    ("input `base_config`", "input-base-config"),
    ("does not expand variables", "variables-not-expanded"),
    (
        "is not supported by … which cannot send the required header",
        "header-not-sent",
    ),
    ("can only exclude tools", "allowlist-not-supported"),
    (INVALID_INPUT, "input-invalid"),
    // Credentials and token
    (
        "Port rejected the credentials as malformed",
        "credentials-malformed",
    ),
    ("Port rejected the credentials", "credentials-rejected"),
    ("Port denied access", "port-denied"),
    ("the response contains no token", "token-missing"),
    ("the response is not JSON", "response-not-json"),
    ("the token expired", "token-expired"),
    ("a secret contains `&+`", "secret-not-maskable"),
    (
        "the token contains characters that are invalid in bearer tokens",
        "token-characters",
    ),
    ("the token has only", "token-short"),
    // Network
    ("the host name could not be resolved", "host-not-found"),
    ("connection refused", "connection-refused"),
    ("connection failed", "connection-failed"),
    ("the proxy … could not connect", "proxy-failed"),
    (
        "`https_proxy` is not a URL of an HTTP proxy",
        "proxy-invalid",
    ),
    ("TLS failed", "tls-failed"),
    ("TLS could not be set up", "tls-setup"),
    ("no response within", "timeout"),
    (
        "the connection closed before the response was complete",
        "connection-closed",
    ),
    ("the response is not valid HTTP", "response-not-http"),
    ("the response is larger than", "response-too-large"),
    ("redirected the request", "redirected"),
    // Port
    ("Port's rate limit was exceeded", "port-rate-limit"),
    ("Port returned a server error", "port-server-error"),
    (
        "Port's token endpoint was not found at this address",
        "port-not-found",
    ),
    ("Port returned an unexpected status", "port-status"),
    // MCP server
    ("the MCP server rejected the token", "mcp-token-rejected"),
    ("the MCP server denied access", "mcp-denied"),
    ("there is no MCP server at this address", "mcp-not-found"),
    ("the MCP server's rate limit was exceeded", "mcp-rate-limit"),
    ("the MCP server returned a server error", "mcp-server-error"),
    ("the MCP server returned an unexpected status", "mcp-status"),
    ("the server is not an MCP server", "mcp-not-a-server"),
    (
        "the MCP server returned an invalid response",
        "mcp-response-invalid",
    ),
    (
        "the MCP server closed the session during the check",
        "mcp-session-closed",
    ),
    ("the tool list is endless", "tool-list-endless"),
    (
        "the MCP server's responses are too long",
        "mcp-responses-too-long",
    ),
    (
        "the MCP server offers no tools to these credentials",
        "no-tools-offered",
    ),
    // Tools
    ("tool … is not available", "tool-not-available"),
    ("pattern … matches no tool", "pattern-without-match"),
    ("tool … is ambiguous", "tool-ambiguous"),
    ("`allowed_tools` grants no tools", "no-tools-granted"),
    ("does not enforce `allowed_tools`", "tools-not-enforced"),
    // Policy
    ("the expectation … is not met", "policy-test-failed"),
    ("test file …", "policy-test-file"),
    ("in `base_config`", "base-config-denied"),
    ("is not allowed by", "policy-denied"),
    ("no rule in policy … matches this run", "policy-no-rule"),
    ("policy … is invalid", "policy-invalid"),
    (
        "policy … contains rules without effect",
        "policy-rule-without-effect",
    ),
    ("policy … could not be read", "policy-file-not-read"),
    ("the policy was not found on GitHub", "policy-not-found"),
    ("the repository of the policy moved", "policy-moved"),
    ("the policy is …", "policy-not-usable"),
    ("the policy could not be …", "policy-not-read"),
    ("GitHub rejected `github_token`", "github-token-rejected"),
    ("GitHub denied access", "github-denied"),
    ("GitHub's rate limit was exceeded", "github-rate-limit"),
    ("GitHub returned an error for the policy", "github-error"),
    // Agent's answer
    ("the agent returned no answer", "answer-missing"),
    (
        "the agent could not connect to the MCP server",
        "answer-not-connected",
    ),
    (
        "the agent got no result from the MCP server",
        "answer-without-result",
    ),
    ("the audit could not be read", "audit-not-read"),
    ("the agent failed", "agent-failed"),
    ("the agent's answer is not", "answer-format"),
    ("the file is the output of", "answer-other-agent"),
    (
        "the agent's answer contains a secret of this job",
        "answer-contains-secret",
    ),
    // Gateway
    ("is not available on Windows", "gateway-windows"),
    (
        "no Docker socket in the action's container",
        "docker-socket-missing",
    ),
    ("no Docker engine listens on", "docker-not-listening"),
    ("access to the Docker socket … was denied", "docker-denied"),
    ("the Docker engine did not respond within", "docker-timeout"),
    ("the Docker engine could not", "docker-failed"),
    (
        "the action's container was not found",
        "container-not-found",
    ),
    ("the Docker engine did not publish the port", "docker-port"),
    (
        "`RUNNER_TEMP` is not mounted into the action's container",
        "runner-temp-not-mounted",
    ),
    ("the gateway could not start", "gateway-not-started"),
    (
        "the gateway received no settings",
        "gateway-without-settings",
    ),
    (
        "the gateway rejected the request",
        "gateway-rejected-request",
    ),
    (
        "the agent disconnected before Port responded",
        "agent-disconnected",
    ),
    ("the agent began with a GET", "agent-began-with-get"),
    (
        "no agent connected to Port through the gateway",
        "no-agent-connected",
    ),
    // Runner
    (
        "is not set: not running in GitHub Actions",
        "not-in-github-actions",
    ),
    ("does not name a file", "runner-file-invalid"),
    ("no temporary directory", "no-temporary-directory"),
    ("could not", "runner-failed"),
];

/// Every section about a warning or a notice, with its code.
pub const WARNINGS: &[(&str, &str)] = &[
    ("The token expires in", "token-expires-soon"),
    (
        "Port did not report when the token expires",
        "token-expiry-unknown",
    ),
    ("The runner's clock is", "clock-wrong"),
    (
        "The credentials look like a user's own",
        "credentials-personal",
    ),
    (
        "Tools that are not annotated as read-only are granted",
        "tools-not-annotated",
    ),
    (
        "The server offers tools with invalid names",
        "tool-names-invalid",
    ),
    (
        "cannot distinguish these tools from others",
        "tools-ambiguous",
    ),
    ("can run every action and workflow", "tool-runs-everything"),
    ("Input `allowed_tools` is empty", "allowed-tools-empty"),
    ("If this is not intended:", "base-config-overrides"),
    ("The action takes no arguments", "arguments-ignored"),
    ("The job summary was not written", "summary-not-written"),
    (
        "the limit for an environment variable is",
        "output-too-large",
    ),
    ("already contains a server named", "server-replaced"),
    ("`base_config` contains servers in", "servers-ignored"),
    ("`client_secret` has only", "client-secret-short"),
    ("The gateway rejected calls of tools", "calls-rejected"),
    (
        "Requests of the agent failed without an answer of Port",
        "requests-failed",
    ),
    ("The audit of the gateway lacks lines", "audit-incomplete"),
    ("The gateway ended … after its start", "gateway-lifetime"),
    ("The gateway exited before the job did", "gateway-ended"),
    (
        "The gateway was stopped, but the numbers of its calls are incomplete",
        "gateway-numbers-incomplete",
    ),
    (
        "The saved state of this step does not name its gateway",
        "gateway-not-named",
    ),
    (
        "The saved state names the configuration file",
        "state-invalid",
    ),
    ("The gateway could not be stopped", "gateway-not-stopped"),
    (
        "The answer was not searched for secrets",
        "answer-not-searched",
    ),
    ("The output `answer` contains the first", "answer-cut"),
    (
        "The file does not say whether the agent connected",
        "answer-connection-unknown",
    ),
];

/// The section about invalid inputs without a section of their own.
pub const INVALID_INPUT: &str = "Invalid input";

/// The repository of this program, of which a build for a release knows the owner.
const REPOSITORY: &str = match option_env!("PORT_MCP_REPOSITORY") {
    Some(repository) if !repository.is_empty() => repository,
    _ => "https://github.com/OWNER/port-mcp-action",
};

/// The address of the page.
#[derive(Clone, Debug)]
pub struct Page(String);

impl Page {
    /// The page at the commit or tag that the workflow uses, by GitHub's variables. Without them, the page of this
    /// version.
    #[must_use]
    pub fn new<'a>(variable: impl Fn(&str) -> Option<&'a str>) -> Self {
        let released = || format!("{REPOSITORY}/blob/v{}/{PAGE}", env!("CARGO_PKG_VERSION"));
        Self(of_workflow(variable).unwrap_or_else(released))
    }

    /// The link to the section about the error `text`.
    #[must_use]
    pub fn link(&self, text: &str) -> String {
        let fragment = error(text).map(|(heading, _)| format!("#{}", anchor(heading)));
        format!("{}{}", self.0, fragment.unwrap_or_default())
    }
}

/// The page among the action's files on GitHub.
fn of_workflow<'a>(variable: impl Fn(&str) -> Option<&'a str>) -> Option<String> {
    let server = variable("GITHUB_SERVER_URL")?;
    let repository = variable("GITHUB_ACTION_REPOSITORY")?;
    let reference = variable("GITHUB_ACTION_REF")?;
    let mut url = Url::parse(server).ok()?;
    let mut segments = url.path_segments_mut().ok()?;
    segments.pop_if_empty().extend(repository.split('/'));
    segments.push("blob").extend(reference.split('/'));
    segments.extend(PAGE.split('/'));
    drop(segments);
    Some(url.into())
}

/// How a message begins whose section is only about such messages.
const BEGINNINGS: &[&str] = &["input ", "the expectation ", "test file ", "policy "];

/// The heading whose phrase the first line of an error contains, and the code of the error.
#[must_use]
pub fn error(text: &str) -> Option<(&'static str, &'static str)> {
    let first = own(text);
    let begins = |heading: &str| BEGINNINGS.iter().find(|start| heading.starts_with(**start));
    let is_found = |heading: &str, is_beginning: bool| match begins(heading) {
        Some(start) => is_beginning && first.starts_with(start) && contains(&first, heading),
        None => !is_beginning && contains(&first, heading),
    };
    let find = |is_beginning| {
        ERRORS
            .iter()
            .copied()
            .find(|(heading, _)| is_found(heading, is_beginning))
    };
    find(true).or_else(|| find(false)).or_else(|| {
        ERRORS
            .iter()
            .copied()
            .find(|(heading, _)| first.starts_with("input ") && *heading == INVALID_INPUT)
    })
}

/// The code of a warning or a notice: that of the phrase which is first in it, or of an error.
#[must_use]
pub fn warning(text: &str) -> Option<&'static str> {
    let first = own(text);
    WARNINGS
        .iter()
        .copied()
        .filter_map(|(heading, code)| Some((position(&first, heading)?, code)))
        .min_by_key(|(start, _)| *start)
        .map(|(_, code)| code)
        .or_else(|| error(text).map(|(_, code)| code))
}

/// The first line of a message, without what is in parentheses: a server's own words.
fn own(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let mut depth = 0_usize;
    line.chars()
        .filter(|c| {
            depth += usize::from(*c == '(');
            let is_own = depth == 0;
            depth = depth.saturating_sub(usize::from(*c == ')'));
            is_own
        })
        .collect()
}

/// Whether `text` contains the parts of `phrase` around each `…`, in this order.
#[must_use]
pub fn contains(text: &str, phrase: &str) -> bool {
    position(text, phrase).is_some()
}

/// Where the first part of `phrase` begins, if `text` contains all of its parts in this order.
fn position(text: &str, phrase: &str) -> Option<usize> {
    let mut start = None;
    let mut end = 0;
    for part in phrase.split('…').map(str::trim) {
        let found = end + text[end..].find(part)?;
        start.get_or_insert(found);
        end = found + part.len();
    }
    start
}

/// The anchor that GitHub gives to a heading: lower case, without punctuation, with hyphens for spaces.
#[must_use]
pub fn anchor(heading: &str) -> String {
    heading
        .to_lowercase()
        .chars()
        .filter_map(|c| match c {
            ' ' => Some('-'),
            c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_names_the_version_that_the_workflow_uses() {
        let page = Page::new(|name| match name {
            "GITHUB_SERVER_URL" => Some("https://github.com"),
            "GITHUB_ACTION_REPOSITORY" => Some("acme/port-mcp-action"),
            "GITHUB_ACTION_REF" => Some("release/v1"),
            _ => None,
        });
        assert_eq!(
            page.link("Port rejected the credentials (401)"),
            "https://github.com/acme/port-mcp-action/blob/release/v1/docs/troubleshooting.md\
             #port-rejected-the-credentials"
        );
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            Page::new(|_| None).link("input `region` is `x`"),
            format!(
                "https://github.com/OWNER/port-mcp-action/blob/v{version}/docs/troubleshooting.md#input-region"
            )
        );
    }

    /// The words of a server, a file, or a user select no section.
    #[test]
    fn foreign_text_has_no_code() {
        let code = |text: &str| error(text).map(|(_, code)| code);
        for (text, expected) in [
            (
                "Port returned a server error (500: dial tcp: connection refused)",
                "port-server-error",
            ),
            (
                "the expectation `tool x is not available` is not met: it is allowed",
                "policy-test-failed",
            ),
            (
                "policy my test file.yml is invalid (line 1, column 1): x",
                "policy-invalid",
            ),
            (
                "the policy could not be read: no response within 5s",
                "timeout",
            ),
        ] {
            assert_eq!(code(text), Some(expected), "{text}");
        }
        let text =
            "The gateway rejected calls of tools that are not granted: `The token expires in`.";
        assert_eq!(warning(text), Some("calls-rejected"));
    }

    #[test]
    fn codes_are_unique() {
        let codes = ERRORS.iter().chain(WARNINGS).map(|(_, code)| code);
        let unique: std::collections::HashSet<_> = codes.clone().collect();
        assert_eq!(unique.len(), codes.count());
    }

    #[test]
    fn anchors_are_those_of_github() {
        assert_eq!(anchor("input … is empty"), "input--is-empty");
        assert_eq!(anchor("GitHub's rate limit"), "githubs-rate-limit");
        assert_eq!(anchor("`a_b` is not set"), "a_b-is-not-set");
    }
}
