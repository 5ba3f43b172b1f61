//! The part of GitHub's API that returns the files of a repository, and what the agents' actions ask
//! about the user who started a workflow. The name says who it is, so the server keeps no state: names
//! that end in `[bot]` are bots, which, like an `outsider`, have no write access, `Copilot` is an app that is no
//! account, and everyone else is a user with write access.
//!
//! Sources: <https://docs.github.com/rest/repos/contents#get-repository-content>,
//! <https://docs.github.com/rest/users/users#get-a-user>, and
//! <https://docs.github.com/rest/collaborators/collaborators#get-repository-permissions-for-a-user>.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    GITHUB_TOKEN,
    faults::{GHES_PREFIX, REPOS_PREFIX},
    mcp::bearer,
    server::Port,
};

/// An app that starts workflows under a name that is no account.
const APP: &str = "Copilot";

const DEFAULT_BRANCH: &str = "main";

/// Above this size, in bytes, only the raw form contains the content of a file.
const INLINE_LIMIT: usize = 1024 * 1024;

/// Git's id of every file. No test compares two versions of a file.
const SHA: &str = "3d21b3f0c6a94e1d8b27f5a09c8e6d4b1f7a2c05";

/// The media types with which a client requests only the bytes of a file.
const RAW: [&str; 4] = [
    "application/vnd.github.raw",
    "application/vnd.github.raw+json",
    "application/vnd.github.v3.raw",
    "application/vnd.github.v3.raw+json",
];

/// A file of a repository at one of its references.
#[derive(Debug, Clone)]
pub(crate) struct File {
    /// `owner/name`.
    pub(crate) repository: String,
    pub(crate) path: String,
    pub(crate) reference: String,
    pub(crate) content: Vec<u8>,
}

pub(crate) fn routes() -> Router<Arc<Port>> {
    let repos = format!("{REPOS_PREFIX}{{*path}}");
    Router::new()
        .route(&format!("{GHES_PREFIX}{repos}"), get(repository))
        .route(&repos, get(repository))
        .route(&format!("{GHES_PREFIX}/users/{{name}}"), get(user))
        .route("/users/{name}", get(user))
}

/// `GET /users/{name}`.
async fn user(Path(name): Path<String>) -> Response {
    let kind = if name.ends_with("[bot]") {
        "Bot"
    } else {
        "User"
    };
    if name == APP {
        return error_response(StatusCode::NOT_FOUND, "Not Found", "rest");
    }
    Json(json!({"login": name, "type": kind})).into_response()
}

/// `GET /repos/{owner}/{name}/collaborators/{user}/permission`.
fn permission(user: &str) -> Response {
    if user == APP {
        let message = format!("{user} is not a user");
        return error_response(StatusCode::NOT_FOUND, &message, "rest");
    }
    let permission = match user {
        "outsider" => "read",
        bot if bot.ends_with("[bot]") => "none",
        _ => "write",
    };
    Json(json!({"permission": permission, "user": {"login": user}})).into_response()
}

#[derive(Deserialize)]
struct Version {
    r#ref: Option<String>,
}

/// `GET /repos/{owner}/{name}/contents/{path}?ref={reference}`, and what [`permission`] returns.
async fn repository(
    State(port): State<Arc<Port>>,
    Path(path): Path<String>,
    Query(version): Query<Version>,
    headers: HeaderMap,
) -> Response {
    if !headers.contains_key(header::USER_AGENT) {
        return anonymous();
    }
    if let [_, _, "collaborators", user, "permission"] = path.split('/').collect::<Vec<_>>()[..] {
        // Any token of a job can request it.
        return permission(user);
    }
    let known = bearer(&headers) == Some(GITHUB_TOKEN);
    if !known && headers.contains_key(header::AUTHORIZATION) {
        return error_response(StatusCode::UNAUTHORIZED, "Bad credentials", "rest");
    }
    let Some((repository, path)) = contents(&path) else {
        return error_response(StatusCode::NOT_FOUND, "Not Found", "rest");
    };
    let is_it = |name: &String| name.eq_ignore_ascii_case(&repository);
    let hidden = !known && port.settings.private_repositories.iter().any(is_it);
    let files = port.settings.files.iter();
    let files: Vec<_> = files
        .filter(|file| !hidden && is_it(&file.repository))
        .collect();
    if files.is_empty() {
        return not_found();
    }
    let reference = version.r#ref.as_deref().unwrap_or(DEFAULT_BRANCH);
    let files: Vec<_> = files
        .into_iter()
        .filter(|file| file.is_at(reference))
        .collect();
    if files.is_empty() {
        return error_response(
            StatusCode::NOT_FOUND,
            &format!("No commit found for the ref {reference}"),
            "v3/repos/contents/",
        );
    }
    respond(&files, path, raw(&headers))
}

/// The file or the directory at this path.
fn respond(files: &[&File], path: &str, raw: Option<&str>) -> Response {
    match (files.iter().find(|file| file.path == path), raw) {
        (Some(file), Some(media_type)) => {
            let content_type = format!("{media_type}; charset=utf-8");
            ([(header::CONTENT_TYPE, content_type)], file.content.clone()).into_response()
        }
        (Some(file), None) => Json(file.with_content()).into_response(),
        (None, _) => match directory(files, path) {
            entries if entries.is_empty() => not_found(),
            entries => Json(entries).into_response(),
        },
    }
}

/// The repository, and the path in it, of `owner/name/contents/path`.
fn contents(path: &str) -> Option<(String, &str)> {
    let mut parts = path.splitn(4, '/');
    let repository = format!("{}/{}", parts.next()?, parts.next()?);
    let contents = parts.next()? == "contents";
    contents.then(|| {
        (
            repository,
            parts.next().unwrap_or_default().trim_end_matches('/'),
        )
    })
}

/// The accepted media type in [`RAW`], if any.
fn raw(headers: &HeaderMap) -> Option<&str> {
    let accepted = headers.get(header::ACCEPT)?.to_str().ok()?;
    accepted
        .split(',')
        .filter_map(|media_type| media_type.split(';').next())
        .map(str::trim)
        .find(|media_type| RAW.contains(media_type))
}

/// The contents of this directory. Empty if there is no such directory.
fn directory(files: &[&File], path: &str) -> Vec<Value> {
    let prefix = match path {
        "" => String::new(),
        path => format!("{path}/"),
    };
    let mut entries = BTreeMap::new();
    for file in files {
        let Some(below) = file.path.strip_prefix(&prefix) else {
            continue;
        };
        let (name, entry) = match below.split_once('/') {
            None => (below, file.entry("file", &file.path, file.content.len())),
            Some((name, _)) => (name, file.entry("dir", &format!("{prefix}{name}"), 0)),
        };
        entries.insert(name, entry);
    }
    entries.into_values().collect()
}

impl File {
    fn is_at(&self, reference: &str) -> bool {
        let short = reference
            .strip_prefix("refs/heads/")
            .or_else(|| reference.strip_prefix("refs/tags/"))
            .unwrap_or(reference);
        self.reference == short
    }

    fn with_content(&self) -> Value {
        let mut file = self.entry("file", &self.path, self.content.len());
        (file["encoding"], file["content"]) = if self.content.len() > INLINE_LIMIT {
            ("none".into(), "".into())
        } else {
            (
                "base64".into(),
                in_lines(&STANDARD.encode(&self.content)).into(),
            )
        };
        file
    }

    /// A file or directory without its content. The links point to GitHub.com, since no test
    /// follows them.
    fn entry(&self, kind: &str, path: &str, size: usize) -> Value {
        let (repository, reference) = (&self.repository, &self.reference);
        let api = format!("https://api.github.com/repos/{repository}");
        let url = format!("{api}/contents/{path}?ref={reference}");
        let git_url = format!(
            "{api}/git/{}/{SHA}",
            if kind == "dir" { "trees" } else { "blobs" }
        );
        let html_url = format!("https://github.com/{repository}/blob/{reference}/{path}");
        let download_url = (kind == "file")
            .then(|| format!("https://raw.githubusercontent.com/{repository}/{reference}/{path}"));
        json!({
            "name": path.rsplit('/').next(),
            "path": path,
            "sha": SHA,
            "size": size,
            "url": url,
            "html_url": html_url,
            "git_url": git_url,
            "download_url": download_url,
            "type": kind,
            "_links": {"self": url, "git": git_url, "html": html_url},
        })
    }
}

/// Base64 as GitHub sends it: with a line break after every 60 characters and at the end.
fn in_lines(base64: &str) -> String {
    let mut lines = String::new();
    let mut rest = base64;
    while !rest.is_empty() {
        let (line, remainder) = rest.split_at(rest.len().min(60));
        lines.push_str(line);
        lines.push('\n');
        rest = remainder;
    }
    lines
}

fn not_found() -> Response {
    let documentation = "rest/repos/contents#get-repository-content";
    error_response(StatusCode::NOT_FOUND, "Not Found", documentation)
}

/// An error in GitHub's format.
fn error_response(status: StatusCode, message: &str, documentation: &str) -> Response {
    let body = json!({
        "message": message,
        "documentation_url": format!("https://docs.github.com/{documentation}"),
        "status": status.as_str(),
    });
    (status, Json(body)).into_response()
}

/// GitHub's response to a client without a `User-Agent`.
fn anonymous() -> Response {
    (
        StatusCode::FORBIDDEN,
        "\r\nRequest forbidden by administrative rules. Please make sure your request has a \
         User-Agent header (https://docs.github.com/en/rest/overview/resources-in-the-rest-api#user-agent-required). \
         Check https://developer.github.com for other possible causes.\r\n",
    )
        .into_response()
}
