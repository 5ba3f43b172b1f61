//! Where an organization's policy stands, and how it is read from there.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use humantime::format_rfc3339_seconds;
use octocrab::models::repos::{Content, ContentItems};
use octocrab::{FromResponse as _, GitHubError, Octocrab};
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use secrecy::SecretString;
use url::Url;

use super::policy::Policy;
use crate::http::{self, Failure, Http, said};
use crate::text::Quote;

/// The largest policy. Thousands of rules fit.
pub const LARGEST_POLICY: usize = 256 * 1024;

/// The most that is read of an answer: such a file in base64, and what GitHub says about it.
const LARGEST_ANSWER: usize = LARGEST_POLICY / 3 * 4 + 64 * 1024;

/// GitHub counts by the hour; a limit that ends much later is not believed.
const LONGEST_LIMIT: Duration = Duration::from_hours(24);

/// The time limit of one request to GitHub.
const TRY_TIMEOUT: Duration = Duration::from_secs(10);

/// Where a policy stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file in a repository on GitHub.
    Repository(Location),
    /// A file in the workspace, read already.
    Workspace {
        /// Its path, as it was given.
        path: String,
        /// What it holds.
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

impl Location {
    /// Reads `owner/repo/path@ref`. `None` if it is not of that form: then it is a path.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (place, reference) = text.split_once('@')?;
        let mut parts = place.splitn(3, '/');
        let (owner, repository, path) = (parts.next()?, parts.next()?, parts.next()?);
        // What may stand in a URL's path and query as it is, and does not climb out of it.
        let is_plain = |text: &str| {
            text.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-._/".contains(&b))
        };
        let is_segment = |part: &str| !part.is_empty() && part != "." && part != "..";
        let is_one = |text: &str| is_plain(text) && is_segment(text) && !text.contains('/');
        let good = is_one(owner)
            && is_one(repository)
            && is_plain(path)
            && path.split('/').all(is_segment)
            && !reference.is_empty()
            && reference.bytes().all(|b| b.is_ascii_graphic());
        good.then(|| Self {
            owner: owner.to_owned(),
            repository: repository.to_owned(),
            path: path.to_owned(),
            reference: reference.to_owned(),
        })
    }

    fn origin(&self) -> String {
        format!(
            "{}/{}/{}@{}",
            self.owner,
            self.repository,
            self.path,
            Quote::new(&self.reference)
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

/// GitHub's REST API, and the token to read with.
#[derive(Clone, Debug)]
pub struct GitHub {
    /// `https://api.github.com`, or that of a GitHub Enterprise Server.
    pub api: Url,
    /// Reads public files without.
    pub token: Option<SecretString>,
}

/// What GitHub answered in place of the policy.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what each one means")]
pub enum Cause {
    #[error("the policy could not be read: {0}")]
    Network(#[from] Failure),
    #[error("GitHub finds no policy there ({})", said(*status, message))]
    Missing { status: StatusCode, message: Quote },
    #[error("GitHub does not accept `github_token` ({})", said(*status, message))]
    Credentials { status: StatusCode, message: Quote },
    #[error("GitHub's rate limit is reached ({})", said(*status, message))]
    RateLimited {
        status: StatusCode,
        message: Quote,
        until: Option<SystemTime>,
    },
    #[error("GitHub forbids reading the policy ({})", said(*status, message))]
    Forbidden { status: StatusCode, message: Quote },
    #[error("the repository of the policy has moved to {to} ({status})")]
    Moved { status: StatusCode, to: Quote },
    #[error("GitHub answers {} in place of the policy", said(*status, message))]
    Status { status: StatusCode, message: Quote },
    #[error("the policy is larger than {} KiB", .0 / 1024)]
    TooLarge(usize),
    #[error("what GitHub has there is not one file")]
    NotFile,
    #[error("the policy is not UTF-8")]
    NotText,
    #[error("the policy could not be asked for ({0})")]
    Request(Quote),
}

impl http::Cause for Cause {
    fn hint(&self, url: &Url) -> String {
        let hint = match self {
            Self::Network(failure) => return failure.hint(url),
            Self::Missing { .. } => {
                "check the spelling of `policy` (`owner/repo/path@ref`). GitHub says the same of a \
                 private repository that the token may not read: the job's own token reads this \
                 repository and public ones, so hand in the token of a GitHub App with `contents: \
                 read` on the policy's repository as `github_token`"
            }
            Self::Credentials { .. } => {
                "the token has lapsed or was mistyped; leave `github_token` out to use the job's own"
            }
            Self::RateLimited { until, .. } => {
                let until = until.map(|at| format!(" after {}", format_rfc3339_seconds(at)));
                return format!(
                    "run the job again{}, or hand in a `github_token` of its own",
                    until.unwrap_or_else(|| " later".to_owned())
                );
            }
            Self::Forbidden { .. } => {
                "give the job `permissions: contents: read`; a token of a person needs single \
                 sign-on for the organization"
            }
            Self::Moved { .. } => "write its new name into `policy`",
            Self::Status { .. } => "see https://www.githubstatus.com, and run the job again later",
            Self::TooLarge(_) => "a policy is a short list of rules: `policy` names another file",
            Self::NotFile => "`policy` names a directory, a symlink or a submodule: name the file",
            Self::NotText => "save the file as UTF-8",
            Self::Request(_) => "check `policy` and the runner's GITHUB_API_URL",
        };
        hint.to_owned()
    }
}

/// Reads the policy.
///
/// # Errors
/// When it cannot be fetched ([`Cause`]) or is broken ([`super::policy::Broken`]): a policy that
/// cannot be read never means that there is none.
pub async fn read(source: &Source, github: &GitHub, http: &Http) -> anyhow::Result<Policy> {
    match source {
        Source::Workspace { path, text } => Ok(Policy::parse(path, text)?),
        Source::Repository(location) => {
            let text = fetch(location, github, http).await?;
            Ok(Policy::parse(&location.origin(), &text)?)
        }
    }
}

/// What came of one request: the file's description, or what octocrab makes of an error.
type Outcome = Result<Content, octocrab::Error>;

async fn fetch(
    location: &Location,
    github: &GitHub,
    http: &Http,
) -> Result<String, http::Error<Cause>> {
    let url = location.url(&github.api);
    let failed = |cause| http::Error::new(cause, Method::GET, &url);
    let octocrab = octocrab(github, http)
        .map_err(|error| failed(Cause::Request(Quote::new(&error.to_string()))))?;
    let attempt = async || http.limited(TRY_TIMEOUT, ask(&octocrab, http, &url)).await;
    let again = |outcome: &Result<Outcome, Cause>| match outcome {
        Ok(Err(octocrab::Error::GitHub { source, .. })) => {
            let headers = source.headers.clone().unwrap_or_default();
            http::again_after(source.status_code, &headers)
        }
        Err(Cause::Network(failure)) => http::again_after_failure(failure),
        _ => None,
    };
    let (outcome, failed_tries) = http.retry(attempt, again).await;
    let tries = failed_tries.len() + 1;
    let content = match outcome.map_err(|cause| failed(cause).after(tries))? {
        Ok(content) => content,
        Err(octocrab::Error::GitHub { source, .. }) => {
            let headers = source.headers.clone().unwrap_or_default();
            let trace = http::trace("X-GitHub-Request-Id", &headers);
            return Err(failed(refusal(&source, &headers))
                .after(tries)
                .traced(trace));
        }
        Err(_) => return Err(failed(Cause::NotFile).after(tries)),
    };
    text(&content).map_err(|cause| failed(cause).after(tries))
}

fn octocrab(github: &GitHub, http: &Http) -> octocrab::Result<Octocrab> {
    let mut builder = Octocrab::builder().base_uri(github.api.as_str())?;
    if let Some(token) = &github.token {
        builder = builder.personal_token(token.clone());
    }
    builder.build_with_reqwest(http.client().clone())
}

/// Asks for the file as JSON, which GitHub and Gitea both send; octocrab's own request would read an
/// answer of any length.
async fn ask(octocrab: &Octocrab, http: &Http, url: &Url) -> Result<Outcome, Cause> {
    let response = octocrab
        ._get(url.as_str())
        .await
        .map_err(|error| cause(&error, http, url))?;
    let (parts, body) = response.into_parts();
    let body = match Limited::new(body, LARGEST_ANSWER).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            return Err(Cause::TooLarge(LARGEST_POLICY));
        }
        Err(error) => return Err(cause(error.as_ref(), http, url)),
    };
    if parts.status.is_redirection() {
        return Err(Cause::Moved {
            status: parts.status,
            to: http::location(&parts.headers),
        });
    }
    let body = Full::new(body).map_err(|never| match never {}).boxed();
    Ok(
        match octocrab::map_github_error(::http::Response::from_parts(parts, body)).await {
            Ok(answer) => ContentItems::from_response(answer)
                .await
                .and_then(|mut items| {
                    // A directory is a list.
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

/// octocrab wraps what our own client says.
fn cause(error: &(dyn std::error::Error + 'static), http: &Http, url: &Url) -> Cause {
    match http::find::<reqwest::Error>(error) {
        Some(error) => Cause::Network(http.failure(error, url)),
        None => Cause::Request(Quote::new(&http::innermost(error).to_string())),
    }
}

fn refusal(error: &GitHubError, headers: &HeaderMap) -> Cause {
    let status = error.status_code;
    let message = Quote::new(&error.message);
    let is_spent = headers
        .get("x-ratelimit-remaining")
        .is_some_and(|left| left == "0");
    let limited = |message| Cause::RateLimited {
        status,
        message,
        until: error
            .rate_limit_reset
            .and_then(|at| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(at)))
            .filter(|at| *at < SystemTime::now() + LONGEST_LIMIT),
    };
    match status {
        StatusCode::NOT_FOUND => Cause::Missing { status, message },
        StatusCode::UNAUTHORIZED => Cause::Credentials { status, message },
        StatusCode::TOO_MANY_REQUESTS => limited(message),
        StatusCode::FORBIDDEN if is_spent => limited(message),
        StatusCode::FORBIDDEN => Cause::Forbidden { status, message },
        _ => Cause::Status { status, message },
    }
}

/// The text of the file that GitHub describes.
fn text(content: &Content) -> Result<String, Cause> {
    if content.r#type != "file" {
        return Err(Cause::NotFile);
    }
    if usize::try_from(content.size).is_ok_and(|size| size > LARGEST_POLICY) {
        return Err(Cause::TooLarge(LARGEST_POLICY));
    }
    if content.encoding.as_deref() != Some("base64") {
        return Err(Cause::NotText);
    }
    let mut base64 = content.content.clone().unwrap_or_default();
    base64.retain(|c| !c.is_ascii_whitespace());
    let bytes = BASE64_STANDARD.decode(base64).map_err(|_| Cause::NotText)?;
    if bytes.len() > LARGEST_POLICY {
        return Err(Cause::TooLarge(LARGEST_POLICY));
    }
    String::from_utf8(bytes).map_err(|_| Cause::NotText)
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
    fn everything_else_is_a_path() {
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
