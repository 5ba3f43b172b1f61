//! Where an organization's policy is stored, and how it is read.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use humantime::format_rfc3339_seconds;
use octocrab::models::repos::{Content, ContentItems};
use octocrab::{FromResponse as _, GitHubError, Octocrab};
use reqwest::Method;
use reqwest::header::HeaderMap;
use secrecy::SecretString;
use url::Url;

use super::policy::{Policy, PolicyErrors};
use crate::http::{
    self, Http, NetworkError, RequestError, Retry, Service, StatusError, StatusKind, status_line,
};
use crate::text::{Quote, verbatim};

/// The maximum size of a policy in bytes: enough for thousands of rules.
pub const MAX_POLICY: usize = 256 * 1024;

/// The maximum size of a response in bytes: a policy in base64, and the metadata that GitHub adds.
const MAX_RESPONSE: usize = MAX_POLICY / 3 * 4 + 64 * 1024;

/// A rate limit that resets later than this is ignored, since GitHub's limits reset every hour.
const MAX_LIMIT: Duration = Duration::from_hours(24);

/// The time limit of one request to GitHub.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

/// Where a policy is stored.
#[derive(Clone, Debug)]
pub enum PolicySource {
    /// A file in a repository on GitHub.
    Repository {
        /// The file.
        location: Location,
        /// The API to read it with.
        github: GitHub,
    },
    /// A file in the workspace, which was read with the inputs.
    Workspace {
        /// The path in the input `policy`.
        path: String,
        /// The content of the file.
        text: String,
    },
}

/// A file in a repository on GitHub, written `owner/repo/path@ref`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    owner: String,
    repository: String,
    path: String,
    reference: String,
}

/// The maximum length of a Git reference in bytes: a file name on GitHub's servers.
const MAX_REFERENCE: usize = 255;

impl Location {
    /// Parses `owner/repo/path@ref`. Returns `None` for any other text, which is a path.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (place, reference) = text.split_once('@')?;
        let mut parts = place.splitn(3, '/');
        let (owner, repository, path) = (parts.next()?, parts.next()?, parts.next()?);
        // Only characters that need no escaping in a URL. `.` and `..` could lead to another path.
        let is_plain = |text: &str| {
            text.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-._/".contains(&b))
        };
        let is_segment = |part: &str| !part.is_empty() && part != "." && part != "..";
        let is_name = |text: &str| is_plain(text) && is_segment(text) && !text.contains('/');
        let is_valid = is_name(owner)
            && is_name(repository)
            && is_plain(path)
            && path.split('/').all(is_segment)
            && (1..=MAX_REFERENCE).contains(&reference.len())
            && reference.bytes().all(|b| b.is_ascii_graphic());
        is_valid.then(|| Self {
            owner: owner.to_owned(),
            repository: repository.to_owned(),
            path: path.to_owned(),
            reference: reference.to_owned(),
        })
    }

    fn origin(&self) -> String {
        format!(
            "{}/{}/{}@{}",
            self.owner, self.repository, self.path, self.reference
        )
    }

    fn url(&self, api: &Url) -> Url {
        let mut url = api.clone();
        url.set_path(&format!(
            "{}/repos/{}/{}/contents/{}",
            api.path().trim_end_matches('/'),
            self.owner,
            self.repository,
            self.path
        ));
        url.query_pairs_mut().append_pair("ref", &self.reference);
        url
    }
}

/// GitHub's REST API, and the token for it.
#[derive(Clone, Debug)]
pub struct GitHub {
    /// `https://api.github.com`, or the API of a GitHub Enterprise Server.
    pub api: Url,
    /// The token. Without one, only public files can be read.
    pub token: Option<SecretString>,
}

/// GitHub in messages.
const GITHUB: Service = Service {
    name: "GitHub",
    credentials: "`github_token`",
    not_found: "the policy was not found on GitHub",
};

/// Why the policy could not be fetched.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what each one means")]
pub enum FetchError {
    #[error("the policy could not be read: {0}")]
    Network(#[from] NetworkError),
    #[error("{}", status_text(.0))]
    Status(StatusError),
    #[error("the policy is larger than {} KiB", .0 / 1024)]
    TooLarge(usize),
    #[error("the policy could not be read: the response is not from GitHub's API")]
    NotGitHub,
    #[error("the policy is not a file")]
    NotFile,
    #[error("the policy is not UTF-8 text")]
    NotText,
    #[error("the policy could not be requested ({0})")]
    Request(Quote),
}

fn status_text(error: &StatusError) -> String {
    match (error.kind, &error.location) {
        (StatusKind::Redirect, Some(to)) => {
            format!(
                "the repository of the policy moved to {to} ({})",
                error.status
            )
        }
        (StatusKind::Server | StatusKind::Other, _) => format!(
            "GitHub returned an error for the policy ({})",
            status_line(error.status, &error.message)
        ),
        _ => error.to_string(),
    }
}

impl http::Cause for FetchError {
    fn hint(&self, url: &Url) -> String {
        let hint = match self {
            Self::Network(error) => return error.hint(url),
            Self::Status(error) => return status_hint(error),
            Self::NotGitHub => {
                "check the runner's GITHUB_API_URL: a proxy may have returned a login page"
            }
            Self::TooLarge(_) => "check that `policy` names the right file: policies are short",
            Self::NotFile => {
                "use the path of a file: `policy` names a directory, a symlink, or a submodule"
            }
            Self::NotText => "save the file as UTF-8",
            Self::Request(_) => "check `policy` and the runner's GITHUB_API_URL",
        };
        hint.to_owned()
    }
}

fn status_hint(error: &StatusError) -> String {
    let hint = match error.kind {
        StatusKind::NotFound => {
            "check the spelling of `policy` (`owner/repo/path@ref`); for a private repository, pass the \
             token of a GitHub App with `contents: read` on it as `github_token`, since the default \
             token can read only this repository and public ones"
        }
        StatusKind::Unauthorized => {
            "remove `github_token` to use the default token, or renew it: it is expired or invalid"
        }
        StatusKind::RateLimited => {
            let when = error
                .retry_after
                .and_then(|wait| SystemTime::now().checked_add(wait))
                .map(|at| format!(" after {}", format_rfc3339_seconds(at)));
            return format!(
                "run the job again{}, or pass another token as `github_token`",
                when.unwrap_or_else(|| " later".to_owned())
            );
        }
        StatusKind::Forbidden => {
            "give the job `permissions: contents: read`; authorize a personal access token for the \
             organization's single sign-on"
        }
        StatusKind::Redirect => "use the new name in `policy`",
        StatusKind::Server | StatusKind::Other => {
            "check https://www.githubstatus.com and run the job again later"
        }
    };
    hint.to_owned()
}

/// Reads a policy.
///
/// # Errors
/// When it cannot be fetched or is invalid. A policy that cannot be read is never treated as no policy.
pub async fn read(source: &PolicySource, http: &Http) -> Result<Policy, ReadError> {
    match source {
        PolicySource::Workspace { path, text } => {
            let shown = verbatim(path).map_or_else(|reason| reason, str::to_owned);
            let policy = Policy::parse(&shown, text);
            Ok(policy.map_err(|errors| errors.in_file(path))?)
        }
        PolicySource::Repository { location, github } => {
            let text = fetch(location, github, http).await?;
            Ok(Policy::parse(&location.origin(), &text)?)
        }
    }
}

/// Why a policy could not be read.
#[derive(Debug)]
pub enum ReadError {
    /// It could not be fetched.
    Fetch(RequestError<FetchError>),
    /// It is invalid.
    Invalid(PolicyErrors),
}

impl From<RequestError<FetchError>> for ReadError {
    fn from(error: RequestError<FetchError>) -> Self {
        Self::Fetch(error)
    }
}

impl From<PolicyErrors> for ReadError {
    fn from(errors: PolicyErrors) -> Self {
        Self::Invalid(errors)
    }
}

/// The result of one request: the file with its metadata, or the error that octocrab parsed.
type Outcome = Result<Content, octocrab::Error>;

async fn fetch(
    location: &Location,
    github: &GitHub,
    http: &Http,
) -> Result<String, RequestError<FetchError>> {
    let url = location.url(&github.api);
    let failed = |cause| RequestError::new(cause, Method::GET, &url);
    let octocrab = octocrab(github, http)
        .map_err(|error| failed(FetchError::Request(Quote::new(&error.to_string()))))?;
    let attempt = || async {
        http.with_timeout(ATTEMPT_TIMEOUT, request(&octocrab, http, &url))
            .await
    };
    let should_retry = |outcome: &Result<Outcome, FetchError>| match outcome {
        Ok(Err(octocrab::Error::GitHub { source, .. })) => {
            let headers = source.headers.clone().unwrap_or_default();
            Retry::after_status(source.status_code, &headers)
        }
        Err(FetchError::Network(error)) => Retry::after_error(error),
        _ => None,
    };
    let (outcome, failed_attempts) = http.retry(attempt, should_retry).await;
    let mut trace = None;
    let content = outcome.and_then(|outcome| match outcome {
        Ok(content) => Ok(content),
        Err(octocrab::Error::GitHub { source, .. }) => {
            let headers = source.headers.clone().unwrap_or_default();
            trace = http::trace("X-GitHub-Request-Id", &headers);
            Err(FetchError::Status(status_error(&source, &headers)))
        }
        Err(octocrab::Error::Other { .. }) => Err(FetchError::NotFile),
        Err(_) => Err(FetchError::NotGitHub),
    });
    content
        .and_then(|content| text(&content))
        .map_err(|cause| failed(cause).after(failed_attempts).with_trace(trace))
}

fn octocrab(github: &GitHub, http: &Http) -> octocrab::Result<Octocrab> {
    let mut builder = Octocrab::builder().base_uri(github.api.as_str())?;
    if let Some(token) = &github.token {
        builder = builder.personal_token(token.clone());
    }
    builder.build_with_reqwest(http.client().clone())
}

/// Requests the file as JSON, which GitHub and Gitea support. octocrab's own request would read a
/// response of any length.
async fn request(octocrab: &Octocrab, http: &Http, url: &Url) -> Result<Outcome, FetchError> {
    let response = match octocrab._get(url.as_str()).await {
        Ok(response) => response,
        Err(error) => return Err(cause(&error, http, url).await),
    };
    let (parts, body) = response.into_parts();
    let body = match Limited::new(body, MAX_RESPONSE).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            return Err(FetchError::TooLarge(MAX_POLICY));
        }
        Err(error) => return Err(cause(error.as_ref(), http, url).await),
    };
    if parts.status.is_redirection() {
        let error = StatusError::new(&GITHUB, parts.status, &parts.headers, Quote::new(""));
        return Err(FetchError::Status(error));
    }
    let body = Full::new(body).map_err(|never| match never {}).boxed();
    Ok(
        match octocrab::map_github_error(::http::Response::from_parts(parts, body)).await {
            Ok(response) => ContentItems::from_response(response)
                .await
                .and_then(|mut items| {
                    // For a directory, GitHub returns a list.
                    let mut items = items.take_items();
                    match items.len() {
                        1 => Ok(items.remove(0)),
                        _ => Err(octocrab::Error::Other {
                            source: "no file".into(),
                            backtrace: std::backtrace::Backtrace::disabled(),
                        }),
                    }
                }),
            Err(error) => Err(error),
        },
    )
}

/// Finds the HTTP client's error in octocrab's.
async fn cause(error: &(dyn std::error::Error + 'static), http: &Http, url: &Url) -> FetchError {
    match http::find::<reqwest::Error>(error) {
        Some(error) => FetchError::Network(http.send_error(error, url).await),
        None => FetchError::Request(Quote::new(&http::innermost(error).to_string())),
    }
}

fn status_error(error: &GitHubError, headers: &HeaderMap) -> StatusError {
    let message = Quote::new(&error.message);
    let mut status_error = StatusError::new(&GITHUB, error.status_code, headers, message);
    let is_exhausted = headers
        .get("x-ratelimit-remaining")
        .is_some_and(|left| left == "0");
    if status_error.kind == StatusKind::Forbidden && is_exhausted {
        status_error.kind = StatusKind::RateLimited;
    }
    // GitHub sends the reset as a point in time, which octocrab parses.
    status_error.retry_after = error
        .rate_limit_reset
        .and_then(|at| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(at)))
        .and_then(|at| at.duration_since(SystemTime::now()).ok())
        .filter(|wait| *wait < MAX_LIMIT);
    status_error
}

/// The text of the file in GitHub's response.
fn text(content: &Content) -> Result<String, FetchError> {
    if content.r#type != "file" {
        return Err(FetchError::NotFile);
    }
    if usize::try_from(content.size).is_ok_and(|size| size > MAX_POLICY) {
        return Err(FetchError::TooLarge(MAX_POLICY));
    }
    if content.encoding.as_deref() != Some("base64") {
        return Err(FetchError::NotText);
    }
    let mut base64 = content.content.clone().unwrap_or_default();
    base64.retain(|c| !c.is_ascii_whitespace());
    let bytes = BASE64_STANDARD
        .decode(base64)
        .map_err(|_| FetchError::NotText)?;
    if bytes.len() > MAX_POLICY {
        return Err(FetchError::TooLarge(MAX_POLICY));
    }
    String::from_utf8(bytes).map_err(|_| FetchError::NotText)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_names_owner_repository_path_and_reference() {
        let location = Location::parse("acme/.github/policies/port-mcp.yml@release/1.x").unwrap();
        assert_eq!(
            location.origin(),
            "acme/.github/policies/port-mcp.yml@release/1.x"
        );
        let url = |api: &str| location.url(&api.parse().unwrap()).to_string();
        let path = "repos/acme/.github/contents/policies/port-mcp.yml?ref=release%2F1.x";
        assert_eq!(
            url("https://api.github.com"),
            format!("https://api.github.com/{path}")
        );
        assert_eq!(
            url("https://ghe.acme.example/api/v3"),
            format!("https://ghe.acme.example/api/v3/{path}")
        );
    }

    #[test]
    fn other_texts_are_paths() {
        for path in [
            "port-mcp.yml",
            ".github/port-mcp.yml",
            "acme/.github/port-mcp.yml",
            "acme/policy@main",
            "acme/../other/port.yml@main",
            "acme/repo/../../users@main",
            "acme/repo/a b.yml@main",
            "acme/repo/port.yml@",
            "acme//port.yml@main",
            "./acme/repo/port.yml@main",
        ] {
            assert_eq!(Location::parse(path), None, "{path}");
        }
    }
}
