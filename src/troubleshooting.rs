//! Links from errors to their sections in `docs/troubleshooting.md`.
//!
//! The headings of that page are phrases of the messages, so a search for a message finds its section. `…`
//! in a heading matches any text.

use url::Url;

use crate::runner::Environment;

/// The page, relative to the root of the repository.
pub const PAGE: &str = "docs/troubleshooting.md";

/// Every section about an error, in the order of the page. Of several phrases in one message, the first in
/// this list counts.
pub const HEADINGS: [&str; 93] = [
    // Inputs
    "input … is empty",
    "input … is not an input of this action",
    "input … contains the client secret",
    "input … contains whitespace or non-ASCII characters",
    "input … names … which does not exist",
    "input `region`",
    "input `allowed_tools`",
    "input `base_config`",
    "does not expand variables",
    "is not supported by … which cannot send the required header",
    "can only exclude tools",
    INVALID_INPUT,
    // Credentials and token
    "Port rejected the credentials as malformed",
    "Port rejected the credentials",
    "Port denied access",
    "the response contains no token",
    "the response is not JSON",
    "the token expired",
    "a secret contains `&+`",
    "the token contains characters that are invalid in bearer tokens",
    "the token has only",
    // Network
    "the host name could not be resolved",
    "connection refused",
    "connection failed",
    "the proxy … could not connect",
    "`https_proxy` is not a URL of an HTTP proxy",
    "TLS failed",
    "TLS could not be set up",
    "no response within",
    "the connection closed before the response was complete",
    "the response is not valid HTTP",
    "the response is larger than",
    "redirected the request",
    // Port
    "Port's rate limit was exceeded",
    "Port returned a server error",
    "Port's token endpoint was not found at this address",
    "Port returned an unexpected status",
    // MCP server
    "the MCP server rejected the token",
    "the MCP server denied access",
    "there is no MCP server at this address",
    "the MCP server's rate limit was exceeded",
    "the MCP server returned a server error",
    "the MCP server returned an unexpected status",
    "the server is not an MCP server",
    "the MCP server returned an invalid response",
    "the MCP server closed the session during the check",
    "the tool list is endless",
    "the MCP server's responses are too long",
    "the MCP server offers no tools to these credentials",
    // Tools
    "tool … is not available",
    "pattern … matches no tool",
    "tool … is ambiguous",
    "`allowed_tools` grants no tools",
    "does not enforce `allowed_tools`",
    // Policy
    "in `base_config`",
    "is not allowed by",
    "no rule in policy … matches this run",
    "policy … is invalid",
    "policy … contains rules without effect",
    "policy … could not be read",
    "the policy was not found on GitHub",
    "the repository of the policy moved",
    "the policy is …",
    "the policy could not be …",
    "GitHub rejected `github_token`",
    "GitHub denied access",
    "GitHub's rate limit was exceeded",
    "GitHub returned an error for the policy",
    // Agent's answer
    "the agent returned no answer",
    "the agent could not connect to the MCP server",
    "the agent got no result from the MCP server",
    "the audit could not be read",
    "the agent failed",
    "the agent's answer is not",
    "the agent's answer contains a secret of this job",
    // Gateway
    "is not available on Windows",
    "no Docker socket in the action's container",
    "no Docker engine listens on",
    "access to the Docker socket … was denied",
    "the Docker engine did not respond within",
    "the Docker engine could not",
    "the action's container was not found",
    "the Docker engine did not publish the port",
    "`RUNNER_TEMP` is not mounted into the action's container",
    "the gateway could not start",
    "the gateway received no settings",
    "the gateway rejected the request",
    "the agent disconnected before Port responded",
    "the agent began with a GET",
    // Runner
    "is not set: not running in GitHub Actions",
    "does not name a file",
    "no temporary directory",
    "could not",
];

/// The section about invalid inputs without a section of their own.
pub const INVALID_INPUT: &str = "Invalid input";

/// The link to the section about the error `text`. Without GitHub's variables, it is a relative path.
#[must_use]
pub fn link(text: &str, environment: &Environment) -> String {
    let fragment = heading(text).map(|heading| format!("#{}", anchor(heading)));
    let path = format!("{PAGE}{}", fragment.unwrap_or_default());
    base(environment)
        .and_then(|base| base.join(&path).ok())
        .map_or(path, String::from)
}

/// The directory of the action's files on GitHub, at the commit or tag that the workflow uses.
fn base(environment: &Environment) -> Option<Url> {
    let server = environment.get("GITHUB_SERVER_URL")?;
    let repository = environment.get("GITHUB_ACTION_REPOSITORY")?;
    let reference = environment.get("GITHUB_ACTION_REF")?;
    let mut url = Url::parse(server).ok()?;
    let mut segments = url.path_segments_mut().ok()?;
    segments.pop_if_empty().extend(repository.split('/'));
    segments.push("blob").extend(reference.split('/')).push("");
    drop(segments);
    Some(url)
}

/// The heading whose phrase the first line of `text` contains.
#[must_use]
pub fn heading(text: &str) -> Option<&'static str> {
    let first = text.lines().next()?;
    let is_input = first.starts_with("input ");
    HEADINGS
        .into_iter()
        .filter(|heading| is_input || !heading.starts_with("input "))
        .find(|heading| contains(first, heading))
        .or(is_input.then_some(INVALID_INPUT))
}

/// Whether `text` contains the parts of `phrase` around each `…`, in this order.
#[must_use]
pub fn contains(text: &str, phrase: &str) -> bool {
    let mut rest = text;
    phrase.split('…').map(str::trim).all(|part| {
        let found = rest.find(part);
        if let Some(start) = found {
            rest = &rest[start + part.len()..];
        }
        found.is_some()
    })
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
        let environment: Environment = [
            ("GITHUB_SERVER_URL", "https://github.com"),
            ("GITHUB_ACTION_REPOSITORY", "acme/port-mcp-action"),
            ("GITHUB_ACTION_REF", "release/v1"),
        ]
        .into_iter()
        .collect();
        assert_eq!(
            link("Port rejected the credentials (401)", &environment),
            "https://github.com/acme/port-mcp-action/blob/release/v1/docs/troubleshooting.md\
             #port-rejected-the-credentials"
        );
        assert_eq!(
            link("input `region` is `x`", &Environment::default()),
            "docs/troubleshooting.md#input-region"
        );
    }

    #[test]
    fn anchors_are_those_of_github() {
        assert_eq!(anchor("input … is empty"), "input--is-empty");
        assert_eq!(anchor("GitHub's rate limit"), "githubs-rate-limit");
        assert_eq!(anchor("`a_b` is not set"), "a_b-is-not-set");
    }
}
