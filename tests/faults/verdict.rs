//! What each fault of each request leads to: what the tests expect, and the table in `docs/reliability.md`.

use std::fmt::Write as _;

use crate::fault::{Fault, Layer, Wait};
use crate::request::Request;

/// What a fault leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It cannot occur.
    Impossible,
    /// It has no effect.
    None,
    /// The step fails at once, with an error that contains this text.
    Error(String),
    /// The request is sent again. If the fault persists, the step fails with an error that contains this text.
    Retry(String),
    /// The agent receives a response that contains this text, and the gateway continues.
    Agent(String),
    /// The request is sent again. If the fault persists, the agent receives a response that contains this text.
    RetryForAgent(String),
    /// The agent receives a response that ends too early.
    BrokenOff,
    /// The agent waits as long as it wants.
    UntilAgentEnds,
}

impl Verdict {
    /// The verdict in the table.
    fn word(&self) -> &'static str {
        match self {
            Self::Impossible => "–",
            Self::None => "no effect",
            Self::Error(_) => "error",
            Self::Retry(_) => "retry",
            Self::Agent(_) => "agent",
            Self::RetryForAgent(_) => "retry, agent",
            Self::BrokenOff => "cut",
            Self::UntilAgentEnds => "open",
        }
    }

    pub(crate) fn of(request: Request, fault: Fault) -> Self {
        if is_impossible(request, fault) {
            return Self::Impossible;
        }
        match request {
            Request::Policy => in_step(of_github(fault)),
            Request::Rest => in_step(of_exchange(fault, "accessToken")),
            Request::Oauth => in_step(of_exchange(fault, "access_token")),
            Request::Initialized if is_in_body(fault) => Self::None,
            Request::Initialize | Request::Initialized | Request::List => {
                in_step(of_mcp(request, fault))
            }
            // The server ends a session that is not closed.
            Request::Close => Self::None,
            Request::Engine => Self::Error(of_engine(fault)),
            Request::Call => of_call(fault),
            Request::Renewal => {
                let cause = of_exchange(fault, "accessToken");
                let text = format!("the token could not be renewed: {}", cause.text);
                if cause.is_retried {
                    Self::RetryForAgent(text)
                } else {
                    Self::Agent(text)
                }
            }
            // The agent then opens a session itself.
            Request::Reopen => Self::Agent("HTTP/1.1 404 Not Found".to_owned()),
        }
    }
}

/// A name is resolved once for all requests to a host, and the engine is a socket on the same machine.
fn is_impossible(request: Request, fault: Fault) -> bool {
    match request {
        Request::Engine => {
            fault == Fault::Dns || matches!(fault.layer(), Layer::Tls | Layer::Proxy)
        }
        Request::Policy | Request::Rest | Request::Oauth | Request::Initialize | Request::Call => {
            false
        }
        _ => fault == Fault::Dns,
    }
}

/// Whether the status and the headers are right. Nothing reads the body of the response to a notification.
fn is_in_body(fault: Fault) -> bool {
    matches!(
        fault,
        Fault::ResetAfter
            | Fault::OneBytePerSecond
            | Fault::EndlessBody
            | Fault::Truncated
            | Fault::WrongType
            | Fault::InvalidUtf8
            | Fault::NotJson
            | Fault::WrongShape
            | Fault::NestingBomb
            | Fault::HugeBody
            | Fault::CompressedBomb
    )
}

/// Why a request failed.
struct Cause {
    text: String,
    is_retried: bool,
}

fn fails(text: impl Into<String>) -> Cause {
    Cause {
        text: text.into(),
        is_retried: false,
    }
}

fn retries(text: impl Into<String>) -> Cause {
    Cause {
        text: text.into(),
        is_retried: true,
    }
}

fn in_step(Cause { text, is_retried }: Cause) -> Verdict {
    if is_retried {
        Verdict::Retry(text)
    } else {
        Verdict::Error(text)
    }
}

/// The errors below HTTP, which are the same for every server.
fn of_network(fault: Fault) -> Option<Cause> {
    Some(match fault {
        Fault::Dns => retries("the host name could not be resolved"),
        Fault::Refused => retries("connection refused"),
        Fault::ResetBefore | Fault::ResetWithin | Fault::ResetAfter | Fault::Truncated => {
            retries("the connection closed before the response was complete")
        }
        Fault::UnknownAuthority => fails("TLS failed (invalid peer certificate: UnknownIssuer)"),
        Fault::Expired => fails("TLS failed (invalid peer certificate: certificate expired"),
        Fault::WrongHost => {
            fails("TLS failed (invalid peer certificate: certificate not valid for name")
        }
        Fault::ProxyRefuses => retries("the proxy … could not connect (Connection refused"),
        Fault::ProxyForbids => {
            fails("the proxy … could not connect (it responded with 403 Forbidden)")
        }
        Fault::ProxyPassword => fails(
            "the proxy … could not connect (it responded with 407 Proxy Authentication Required)",
        ),
        Fault::HandshakeStall
        | Fault::SlowFirstByte
        | Fault::OneBytePerSecond
        | Fault::Endless1xx => retries("no response within"),
        Fault::HeaderBomb => fails("the response is not valid HTTP (message head is too large)"),
        _ => return None,
    })
}

/// The status of the response, and whether the request is sent again after it.
fn status(fault: Fault) -> Option<(u16, bool)> {
    let (status, wait) = match fault {
        Fault::Status(status) => (status, None),
        Fault::Wait(status, wait) => (status, Some(wait)),
        _ => return None,
    };
    let is_transient = matches!(status, 408 | 429 | 500..);
    // A wait of an hour does not fit into `timeout`.
    Some((status, is_transient && wait != Some(Wait::Hour)))
}

/// The error of a server that responds with the status.
fn of_status(fault: Fault, text: impl FnOnce(u16) -> &'static str) -> Option<Cause> {
    let (status, is_retried) = status(fault)?;
    Some(Cause {
        text: format!("{} ({status}", text(status)),
        is_retried,
    })
}

fn of_exchange(fault: Fault, field: &str) -> Cause {
    let text = |status| match status {
        300..=399 => "Port redirected the request to /elsewhere",
        400 | 422 => "Port rejected the credentials as malformed",
        401 => "Port rejected the credentials",
        403 => "Port denied access",
        404 => "Port's token endpoint was not found at this address",
        429 => "Port's rate limit was exceeded",
        500.. => "Port returned a server error",
        _ => "Port returned an unexpected status",
    };
    let known = of_network(fault).or_else(|| of_status(fault, text));
    known.unwrap_or_else(|| match fault {
        Fault::EndlessBody | Fault::HugeBody => fails("the response is larger than 1 MiB"),
        Fault::WrongShape => fails(format!(
            "the response contains no token (missing `{field}`)"
        )),
        _ => fails("the response is not JSON (200 OK)"),
    })
}

fn of_github(fault: Fault) -> Cause {
    let text = |status| match status {
        300..=399 => "the repository of the policy moved to /elsewhere",
        401 => "GitHub rejected `github_token`",
        403 => "GitHub denied access",
        404 => "the policy was not found on GitHub",
        429 => "GitHub's rate limit was exceeded",
        _ => "GitHub returned an error for the policy",
    };
    let network = of_network(fault).map(|cause| Cause {
        text: format!("the policy could not be read: {}", cause.text),
        ..cause
    });
    let known = network.or_else(|| of_status(fault, text));
    known.unwrap_or_else(|| match fault {
        Fault::EndlessBody | Fault::HugeBody | Fault::CompressedBomb => {
            fails("the policy is larger than 256 KiB")
        }
        _ => fails("the policy could not be read: the response is not from GitHub's API"),
    })
}

fn of_mcp(request: Request, fault: Fault) -> Cause {
    if request != Request::Initialize && fault == Fault::Status(404) {
        return retries("the MCP server closed the session during the check (404");
    }
    let text = |status| match status {
        300..=399 => "the MCP server redirected the request to /elsewhere",
        401 => "the MCP server rejected the token",
        403 => "the MCP server denied access",
        404 => "there is no MCP server at this address",
        429 => "the MCP server's rate limit was exceeded",
        500.. => "the MCP server returned a server error",
        _ => "the MCP server returned an unexpected status",
    };
    let known = of_network(fault).or_else(|| of_status(fault, text));
    known.unwrap_or_else(|| match fault {
        Fault::EndlessBody | Fault::HugeBody => {
            fails("the MCP server's responses are too long: more than 8 MiB")
        }
        Fault::WrongType => fails("the server is not an MCP server: it returned text/html"),
        _ => fails("the MCP server returned an invalid response"),
    })
}

fn of_engine(fault: Fault) -> String {
    match fault {
        Fault::Refused => {
            "the Docker engine could not negotiate the version of its API: Connection refused"
        }
        Fault::SlowFirstByte | Fault::OneBytePerSecond | Fault::Endless1xx => {
            "the Docker engine did not respond within 15s (request: create a container)"
        }
        _ => "the Docker engine could not create a container: ",
    }
    .to_owned()
}

/// A call may change data, so it is never sent twice, except where the server has not processed it.
fn of_call(fault: Fault) -> Verdict {
    match fault {
        Fault::Status(401) => Verdict::Agent("Port rejected the credentials".to_owned()),
        // Another session is opened.
        Fault::Status(404) => Verdict::RetryForAgent("HTTP/1.1 404 ".to_owned()),
        Fault::Status(300..=399) => {
            Verdict::Agent("the MCP server redirected the request to ".to_owned())
        }
        Fault::Status(status) | Fault::Wait(status, _) => {
            Verdict::Agent(format!("HTTP/1.1 {status} "))
        }
        Fault::SlowFirstByte | Fault::OneBytePerSecond | Fault::EndlessBody | Fault::Endless1xx => {
            Verdict::UntilAgentEnds
        }
        Fault::ResetAfter | Fault::Truncated => Verdict::BrokenOff,
        Fault::ResetBefore | Fault::ResetWithin | Fault::HeaderBomb => Verdict::Agent(
            "the connection to Port broke, so it is unknown whether the request took effect: "
                .to_owned(),
        ),
        _ => match of_network(fault) {
            Some(cause) => Verdict::Agent(format!("Port could not be reached: {}", cause.text)),
            // What the server sends as the result of the call is for the agent.
            None => Verdict::Agent("HTTP/1.1 200 OK".to_owned()),
        },
    }
}

/// The tables of all verdicts, as Markdown: a narrow one for the requests of each part. Faults with the same verdicts
/// share a row, in the first column.
pub(crate) fn tables() -> String {
    let mut tables = String::new();
    for (part, requests) in Request::PARTS {
        let mut rows: Vec<(Vec<String>, Vec<&str>)> = Vec::new();
        for fault in Fault::ALL {
            let words: Vec<&str> = requests
                .iter()
                .map(|request| Verdict::of(*request, fault).word())
                .collect();
            match rows.iter_mut().find(|(_, known)| *known == words) {
                Some((faults, _)) => faults.push(fault.title()),
                None => rows.push((vec![fault.title()], words)),
            }
        }
        let titles: Vec<&str> = requests.iter().map(|request| request.heading()).collect();
        let _ = writeln!(
            tables,
            "### {part}\n\n| Fault | {} |\n|---|{}",
            titles.join(" | "),
            "---|".repeat(requests.len())
        );
        for (faults, words) in rows {
            let _ = writeln!(tables, "| {} | {} |", faults.join("; "), words.join(" | "));
        }
        tables.push('\n');
    }
    tables
}
