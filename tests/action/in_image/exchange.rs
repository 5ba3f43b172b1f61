//! The exchange of credentials for a token: both flows, retries, and errors.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use fake_port::{Endpoint, FakePort, Fault, Flow, Token};
use serde_json::json;

use crate::harness::{Step, annotations, assert_snapshot, closed_port, errors, outputs};

fn rest() -> Step {
    quiet(Step::against(
        FakePort::builder().read_only_hides_runs(true),
    ))
}

/// A step without the preflight check: its warnings can only be about the token.
fn quiet(step: Step) -> Step {
    step.input("allowed_tools", "list_blueprints, list_entities")
        .input("verify", "false")
}

fn failing(fault: impl Into<Fault>) -> String {
    let step = rest();
    step.port.fault(Endpoint::Rest, fault);
    step.fail()
}

/// The number of requests for a token.
fn exchanges(step: &Step) -> usize {
    let requests = step.port.received();
    requests
        .iter()
        .filter(|request| request.path == "/v1/auth/access_token")
        .count()
}

#[test]
fn a_token_is_exchanged_and_passed_on() {
    let step = rest();
    let run = step.succeed();
    assert_snapshot!("main_job.log", run.log());
    assert_snapshot!("main_job.outputs", outputs(&run));
    assert_eq!(run.outputs["access_token"], step.port.token(Flow::Rest));

    let requests = step.port.received();
    assert_eq!(
        (requests[0].method.as_str(), requests[0].path.as_str()),
        ("POST", "/v1/auth/access_token")
    );
    let body: serde_json::Value = serde_json::from_str(&requests[0].body).unwrap();
    let expected =
        json!({"clientId": step.port.client_id(), "clientSecret": step.port.client_secret()});
    assert_eq!(body, expected);
    assert_eq!(requests[0].header("content-type"), Some("application/json"));
    assert!(
        requests[0]
            .header("user-agent")
            .unwrap()
            .starts_with("port-mcp-action/")
    );
}

#[test]
fn oauth_at_the_mcp_server() {
    let step = rest().input("auth_method", "oauth");
    let run = step.succeed();
    assert_eq!(run.outputs["access_token"], step.port.token(Flow::Oauth));
    assert_eq!(step.port.received()[0].path, "/v1/token");
}

#[test]
fn the_api_url_may_contain_the_version() {
    let step = rest();
    let api = format!("{}/v1/", step.port.api_url());
    step.input("api_url", api).succeed();
}

#[test]
fn the_expiry_in_the_token_takes_precedence() {
    let port = FakePort::builder().token_validity_left(Duration::from_mins(2));
    let run = quiet(Step::against(port)).succeed();
    let left: u64 = run.outputs["expires_in"].parse().unwrap();
    assert!((100..=120).contains(&left), "{left}");
    assert_snapshot!(annotations(&run, "warning"), @"The token expires in [LEFT] (less than `min_validity`, 10m). Port returns the same token until it expires; set `connection: gateway`, which renews it, or start longer jobs after [TIME].");
}

#[test]
fn an_opaque_token_expires_as_port_reports() {
    let port = FakePort::builder().token(Token::Opaque).expires_in(5000);
    let run = Step::against(port).succeed();
    let left: u64 = run.outputs["expires_in"].parse().unwrap();
    assert!((4990..=5000).contains(&left), "{left}");
}

#[test]
fn a_token_of_unknown_validity_is_used_with_a_warning() {
    let port = FakePort::builder().token(Token::Opaque).expires_in(None);
    let run = quiet(Step::against(port)).succeed();
    assert_eq!(run.outputs["expires_at"], "");
    assert_snapshot!(annotations(&run, "warning"), @"Port did not report when the token expires, so `expires_at` and `expires_in` are empty.");
}

#[test]
fn the_clock_of_the_server_decides_whether_a_token_has_expired() {
    // It expires in 2001.
    let token = format!(
        "e30.{}.c2ln",
        BASE64_URL_SAFE_NO_PAD.encode(r#"{"exp":1000000000}"#)
    );
    let with_date = |date: &str| {
        let response = Fault::status(200).header("date", date);
        let step = rest();
        step.port
            .fault(Endpoint::Rest, response.json(json!({"accessToken": token})));
        step
    };
    let run = with_date("Sat, 08 Sep 2001 23:46:40 GMT").succeed();
    assert_eq!(run.outputs["expires_at"], "2001-09-09T01:46:40Z");
    let left: u64 = run.outputs["expires_in"].parse().unwrap();
    assert!((7_100..=7_200).contains(&left), "{left}");
    let warnings = annotations(&run, "warning");
    assert!(warnings.starts_with("The runner's clock is "), "{warnings}");
    assert!(warnings.contains(" ahead of Port's, "), "{warnings}");
    assert!(!warnings.contains("min_validity"), "{warnings}");
    let errors = with_date("Sun, 09 Sep 2001 01:47:40 GMT").fail();
    let expected = "the token expired 1m ago, according to Port's clock\n";
    assert!(errors.starts_with(expected), "{errors}");
    assert!(errors.contains("hint: run the job again; "), "{errors}");
    let errors = with_date("today").fail();
    assert!(errors.starts_with("the token expired "), "{errors}");
    assert!(
        errors.contains(" ago, according to the runner's clock\n"),
        "{errors}"
    );
    assert!(
        errors.contains("hint: check the runner's clock, "),
        "{errors}"
    );
}

#[test]
fn a_token_that_cannot_be_masked_reliably_is_rejected() {
    for token in [
        "abc\u{7}def",
        "abc\ndef",
        "a b",
        "tok\u{e9}n",
        "a\"b",
        "${HOME}",
    ] {
        let port = FakePort::builder().token(Token::Literal(token.to_owned()));
        let errors = Step::against(port).fail();
        assert!(
            errors.starts_with("the token contains characters that are invalid in bearer tokens"),
            "{errors}"
        );
    }
}

#[test]
fn transient_errors_are_retried() {
    let step = rest();
    for status in [408, 429, 500] {
        step.port.fault(
            Endpoint::Rest,
            Fault::status(status).header("retry-after", "0"),
        );
    }
    step.port.fault(Endpoint::Rest, Fault::Close);
    let run = step.succeed();
    assert_eq!(exchanges(&step), 5);
    assert_snapshot!("retries.log", run.log());
}

#[test]
fn a_requested_wait_is_read_from_both_headers() {
    let step = rest();
    let date = "Fri, 15 Jan 2021 08:00:00 GMT";
    step.port.fault(
        Endpoint::Rest,
        Fault::status(503).header("retry-after", date),
    );
    step.port.fault(
        Endpoint::Rest,
        Fault::status(429).header("x-ratelimit-reset", "0"),
    );
    step.port.fault(
        Endpoint::Rest,
        Fault::status(429).header("x-ratelimit-reset", "1600000000"),
    );
    step.succeed();
    assert_eq!(exchanges(&step), 4);
}

#[test]
fn too_many_requests_at_once_do_not_wait_for_the_window() {
    let step = rest();
    let fault = Fault::status(429)
        .header("x-ratelimit-remaining", "73")
        .header("x-ratelimit-reset", "300");
    step.port.fault(Endpoint::Rest, fault);
    step.succeed();
    assert_eq!(exchanges(&step), 2);
}

#[test]
fn a_wait_beyond_the_deadline_is_not_started() {
    let step = rest();
    step.port.fault(
        Endpoint::Rest,
        Fault::status(429).header("x-ratelimit-reset", "240"),
    );
    let errors = step.fail();
    assert_eq!(step.port.received().len(), 1);
    assert_snapshot!(errors, @"
    Port's rate limit was exceeded (429 Too Many Requests)
    request: POST http://[PORT]/v1/auth/access_token
    X-Trace-Id: [TRACE]
    hint: wait 4m; lower `max-parallel` in the matrix, use one connect step for several agent steps, or raise `timeout`; Port may count requests by IP address and by credentials
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#ports-rate-limit-was-exceeded
    ");
}

#[test]
fn permanent_errors_are_not_retried() {
    for status in [400, 401, 403, 404, 422] {
        let step = rest();
        step.port.fault(Endpoint::Rest, Fault::status(status));
        step.fail();
        assert_eq!(step.port.received().len(), 1, "{status}");
    }
}

#[test]
fn the_error_after_retries_gives_the_number_of_attempts() {
    let step = rest();
    for _ in 0..5 {
        step.port.fault(
            Endpoint::Rest,
            Fault::status(503).header("retry-after", "0"),
        );
    }
    assert_snapshot!(step.fail(), @"
    Port returned a server error (503 Service Unavailable)
    request: POST http://[PORT]/v1/auth/access_token (5 attempts)
    X-Trace-Id: [TRACE]
    hint: check https://status.port.io and run the job again later; if the error persists, send the trace ID to Port's support
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#port-returned-a-server-error
    ");
}

#[test]
fn the_error_at_the_deadline_says_why_earlier_attempts_failed() {
    // Long enough for the first attempts under load. The last lasts until the deadline.
    let step = rest().input("timeout", "8s");
    let unavailable = Fault::status(503).header("retry-after", "0");
    step.port.fault(Endpoint::Rest, unavailable.clone());
    step.port.fault(Endpoint::Rest, Fault::Close);
    step.port.fault(Endpoint::Rest, unavailable);
    step.port.fault(Endpoint::Rest, Fault::Hang);
    let errors = step.fail();
    assert!(errors.starts_with("no response within "), "{errors}");
    let (_, rest) = errors.split_once('\n').unwrap();
    assert_snapshot!(rest, @"
    request: POST http://[PORT]/v1/auth/access_token (4 attempts)
    earlier attempts: 503 Service Unavailable; the connection closed before the response was complete (connection closed before message completed)
    hint: check that no firewall drops packets to 127.0.0.1, or raise `timeout`
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#no-response-within
    ");
}

#[test]
fn wrong_credentials() {
    let errors = rest().input("client_secret", "another-secret").fail();
    assert_snapshot!(errors, @"
    Port rejected the credentials (401 Unauthorized: Invalid credentials supplied to the generate token API)
    request: POST http://[PORT]/v1/auth/access_token
    X-Trace-Id: [TRACE]
    hint: check that `api_url` and `mcp_url` belong to the organization of these credentials; otherwise check `client_id` and `client_secret`: the secret may have been rotated, or may belong to another client ID
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#port-rejected-the-credentials
    ");
    let errors = rest()
        .input("client_secret", "another-secret")
        .input("auth_method", "oauth")
        .fail();
    assert_snapshot!(errors, @"
    Port rejected the credentials (401 Unauthorized: Client authentication failed)
    request: POST http://[PORT]/v1/token
    X-Trace-Id: [TRACE]
    hint: check that `api_url` and `mcp_url` belong to the organization of these credentials; otherwise check `client_id` and `client_secret`: the secret may have been rotated, or may belong to another client ID
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#port-rejected-the-credentials
    ");
}

#[test]
fn forbidden() {
    assert_snapshot!(failing(Fault::status(403).json(json!({"ok": false, "message": "IP not allowed"}))), @"
    Port denied access (403 Forbidden: IP not allowed)
    request: POST http://[PORT]/v1/auth/access_token
    X-Trace-Id: [TRACE]
    hint: ask an administrator of your Port organization whether an IP allowlist or a policy blocks these credentials or the runner's address
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#port-denied-access
    ");
}

#[test]
fn malformed_credentials() {
    assert_snapshot!(failing(Fault::status(422).json(json!({"ok": false, "error": "invalid_request"}))), @"
    Port rejected the credentials as malformed (422 Unprocessable Entity: invalid_request)
    request: POST http://[PORT]/v1/auth/access_token
    X-Trace-Id: [TRACE]
    hint: check `client_id` and `client_secret` for surrounding quotes, whitespace, or JSON
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#port-rejected-the-credentials-as-malformed
    ");
}

#[test]
fn not_found() {
    assert_snapshot!(failing(Fault::status(404).text("nothing here")), @"
    Port's token endpoint was not found at this address (404 Not Found)
    request: POST http://[PORT]/v1/auth/access_token
    X-Trace-Id: [TRACE]
    hint: check the path of `api_url` and `mcp_url`, if you set them
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#ports-token-endpoint-was-not-found-at-this-address
    ");
}

#[test]
fn not_json() {
    assert_snapshot!(failing(Fault::NotJson), @"
    the response is not JSON (200 OK)
    request: POST http://[PORT]/v1/auth/access_token
    X-Trace-Id: [TRACE]
    hint: check that 127.0.0.1 is Port: a proxy may have returned a login page, or `api_url` or `mcp_url` may point to another server
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#the-response-is-not-json
    ");
}

#[test]
fn no_token_in_the_response() {
    assert_snapshot!(failing(Fault::status(200).json(json!({"ok": true, "token": "somewhere else"}))), @"
    the response contains no token (missing `accessToken`)
    request: POST http://[PORT]/v1/auth/access_token
    X-Trace-Id: [TRACE]
    hint: check `api_url` and `mcp_url`, or try the other `auth_method` (`api` or `oauth`); if the error persists, open an issue with the trace ID
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#the-response-contains-no-token
    ");
}

#[test]
fn a_redirect_is_not_followed() {
    let step = rest();
    let other = FakePort::start();
    step.port
        .fault(Endpoint::Rest, Fault::Redirect(other.api_url().to_owned()));
    assert_snapshot!(step.fail(), @"
    Port redirected the request to http://[PORT] (307 Temporary Redirect)
    request: POST http://[PORT]/v1/auth/access_token
    X-Trace-Id: [TRACE]
    hint: set `api_url` or `mcp_url` to the final address; redirects are not followed, because the request carries credentials
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#redirected-the-request
    ");
    assert!(
        other.received().is_empty(),
        "the credentials were sent to the other server"
    );
}

#[test]
fn a_large_response_is_not_read_completely() {
    assert_snapshot!(failing(Fault::Huge), @"
    the response is larger than 1 MiB
    request: POST http://[PORT]/v1/auth/access_token
    hint: check that 127.0.0.1 is Port: a proxy may have returned a login page, or `api_url` or `mcp_url` may point to another server
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#the-response-is-larger-than
    ");
}

#[test]
fn a_truncated_response_is_retried() {
    let step = rest();
    step.port.fault(Endpoint::Rest, Fault::Truncated);
    step.succeed();
    assert_eq!(exchanges(&step), 2);
}

#[test]
fn a_secret_in_a_response_is_redacted() {
    let errors = failing(Fault::Echo);
    assert!(
        errors.starts_with("Port rejected the credentials"),
        "{errors}"
    );
    assert!(errors.contains("***"), "{errors}");
}

#[test]
fn a_server_cannot_inject_workflow_commands() {
    let message = "x\n::add-path::/tmp\r::set-output name=a::b ##[add-mask]c \u{1b}[2J\u{202e}";
    let step = rest();
    step.port.fault(
        Endpoint::Rest,
        Fault::status(401).json(json!({"message": message})),
    );
    let run = step.run();
    let mut names: Vec<&str> = run
        .commands
        .iter()
        .map(|command| command.name.as_str())
        .collect();
    names.dedup();
    assert_eq!(names, ["add-mask", "error"]);
    assert!(!run.stdout.contains(['\u{1b}', '\u{202e}', '\r']));
}

#[test]
fn no_response_in_time() {
    let step = rest().input("timeout", "1s");
    step.port.fault(Endpoint::Rest, Fault::Hang);
    let errors = step.fail();
    assert!(errors.starts_with("no response within "), "{errors}");
    assert!(errors.contains("or raise `timeout`"), "{errors}");
}

#[test]
fn connection_refused() {
    let (_reserved, free) = closed_port();
    let step = rest()
        .input("api_url", format!("http://{free}"))
        .input("timeout", "1s");
    let errors = step.fail();
    assert!(
        errors.starts_with("connection refused\nrequest: POST http://127.0.0.1:"),
        "{errors}"
    );
}

#[test]
fn an_unknown_host() {
    let step = rest()
        .input("api_url", "https://port.invalid")
        .input("timeout", "1s");
    let errors = step.fail();
    assert!(
        errors.starts_with("the host name could not be resolved"),
        "{errors}"
    );
    assert!(errors.contains("its DNS resolves port.invalid"), "{errors}");
}

#[test]
fn an_unreachable_proxy() {
    let (_reserved, free) = closed_port();
    let step = rest()
        .input("api_url", "https://port.invalid")
        .input("timeout", "1s")
        .variable("https_proxy", &format!("http://user:pa55word@{free}"));
    let errors = step.fail();
    assert!(
        errors.starts_with(&format!("the proxy http://{free} could not connect (")),
        "{errors}"
    );
    assert!(!errors.contains("pa55word"), "{errors}");
}

#[test]
fn spaces_around_a_proxys_url_and_a_missing_scheme_do_not_matter() {
    for (before, after) in [("", "\n"), (" \t", " ")] {
        let step = Step::behind_a_proxy(FakePort::builder());
        let host = step.port.proxy_url().strip_prefix("http://").unwrap();
        let url = format!("{before}user:p%40ssw0rd-of-proxy@{host}{after}");
        let step = step
            .variable("https_proxy", &url)
            .variable("HTTP_PROXY", "http://other:an0ther-password@proxy.example");
        let run = step.succeed();
        assert!(!step.port.tunneled().is_empty());
        for password in [
            "p%40ssw0rd-of-proxy",
            "p@ssw0rd-of-proxy",
            "an0ther-password",
        ] {
            assert!(run.masks.iter().any(|mask| mask == password), "{password}");
        }
    }
}

#[test]
fn a_proxy_that_does_not_speak_tls() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // Answers each connection as a proxy does, until the process ends.
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let errors = rest()
        .input("api_url", "https://port.invalid")
        .variable("https_proxy", &format!("https://{address}"))
        .fail();
    let expected =
        format!("the proxy https://{address} could not connect (its response is not TLS)\n");
    assert!(errors.starts_with(&expected), "{errors}");
    assert!(errors.contains("its URL begins with `http://`"), "{errors}");
    assert!(!errors.contains("attempts"), "{errors}");
}

#[test]
fn an_invalid_proxy_url() {
    for url in [
        "socks5://127.0.0.1:9",
        "\"http://127.0.0.1:9\"",
        "http://",
        "file:///x",
    ] {
        let errors = rest().variable("https_proxy", url).fail();
        assert!(
            errors.contains("`https_proxy` is not a URL of an HTTP proxy"),
            "{errors}"
        );
    }
    let step = rest().variable("https_proxy", "http://us er:pa55word@");
    assert_snapshot!(step.fail(), @"
    the runner's `https_proxy` is not a URL of an HTTP proxy
    hint: use the form `http://proxy.example:3128`
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#https_proxy-is-not-a-url-of-an-http-proxy
    ");
}

#[test]
fn a_proxy_url_whose_credentials_are_not_encoded() {
    for url in [
        "http://corp\\bob:pa55word-of-bob@proxy.example:3128",
        "corp\\bob:pa55word-of-bob@proxy.example:3128",
        "http://bob:pa55word-of-bob#@proxy.example:3128",
        "http://bob:pa55word-of-bob/@proxy.example:3128",
        "http://bob:pa55word-of-bob?@proxy.example:3128",
    ] {
        let run = rest().variable("HTTPS_PROXY", url).run();
        let errors = annotations(&run, "error");
        assert!(errors.contains("percent-encode both"), "{errors}");
        assert!(!errors.contains("pa55word"), "{errors}");
        assert!(
            run.masks
                .iter()
                .any(|mask| mask.starts_with("pa55word-of-bob"))
        );
    }
    let step = rest().variable("https_proxy", "http://corp\\bob:pa55word@proxy:3128");
    assert_snapshot!(step.fail(), @r"
    the runner's `https_proxy` is not a URL of an HTTP proxy: its user name or its password contains a character that ends the host
    hint: percent-encode both, such as `%5C` for `\`, `%2F` for `/`, `%23` for `#`, and `%3F` for `?`
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#https_proxy-is-not-a-url-of-an-http-proxy
    ");
}

#[test]
fn a_proxy_that_rejects_the_host() {
    for (status, expected) in [
        ("403 Forbidden", "it responded with 403 Forbidden"),
        (
            "503 Service Unavailable",
            "it responded with 503 Service Unavailable",
        ),
        (
            "407 Proxy Authentication Required",
            "it responded with 407 Proxy Authentication Required",
        ),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let response = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        // Answers each connection, until the process ends.
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let _ = stream.read(&mut [0; 1024]);
                let _ = stream.write_all(response.as_bytes());
            }
        });
        let step = rest()
            .input("api_url", "https://port.invalid")
            .input("timeout", "1s")
            .variable("https_proxy", &format!("http://{address}"));
        let errors = step.fail();
        assert!(
            errors.starts_with(&format!("the proxy http://{address} could not connect (")),
            "{errors}"
        );
        assert!(errors.contains(expected), "{errors}");
    }
}

#[test]
fn a_connection_that_closes_during_the_handshake() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // Closes each connection at once, until the process ends.
    std::thread::spawn(move || listener.incoming().for_each(drop));
    let step = rest()
        .input("api_url", format!("https://{address}"))
        .input("timeout", "1s");
    let errors = step.fail();
    assert!(errors.starts_with("connection failed ("), "{errors}");
}

#[test]
fn an_invalid_certificate() {
    let pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert_snapshot!(rest().input("ca_certificate", pem).fail(), @"
    TLS could not be set up (invalid peer certificate: BadEncoding)
    hint: check that `ca_certificate` contains valid certificates, and that the system has a certificate store
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#tls-could-not-be-set-up
    ");
}

#[test]
fn an_unexpected_status() {
    assert_snapshot!(failing(Fault::from(Fault::status(418))), @"
    Port returned an unexpected status (418 I'm a teapot)
    request: POST http://[PORT]/v1/auth/access_token
    X-Trace-Id: [TRACE]
    hint: check the path of `api_url` and `mcp_url`, if you set them
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#port-returned-an-unexpected-status
    ");
}

#[test]
fn an_unknown_certificate_authority_is_not_retried() {
    let step = Step::against(FakePort::builder().tls(true));
    assert_snapshot!(step.fail(), @"
    TLS failed (invalid peer certificate: UnknownIssuer)
    request: POST https://[PORT]/v1/auth/access_token
    hint: if your company's proxy inspects TLS, pass its CA certificate as `ca_certificate`: the certificate of 127.0.0.1 was issued by an unknown authority
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#tls-failed
    ");
}

#[test]
fn a_custom_certificate_authority() {
    let step = Step::against(FakePort::builder().tls(true));
    let ca = step.port.ca_pem().unwrap().to_owned();
    let step = step
        .file("certs/ca.pem", &ca)
        .input("ca_certificate", "certs/ca.pem");
    step.succeed();
    step.input("ca_certificate", ca).succeed();
}

#[test]
fn a_server_without_tls() {
    let step = rest();
    let api = step.port.api_url().replace("http:", "https:");
    assert_snapshot!(step.input("api_url", api).fail(), @"
    TLS failed (received corrupt message of type InvalidContentType)
    request: POST https://[PORT]/v1/auth/access_token
    hint: check that 127.0.0.1 speaks TLS on this port, and whether a proxy inspects the connection
    see: https://github.com/acme/port-mcp-action/blob/v1/docs/troubleshooting.md#tls-failed
    ");
}

/// No variable of the job selects the trusted certificate authorities, and the step says so.
#[test]
fn no_variable_selects_the_trusted_roots() {
    let step = Step::behind_a_proxy(FakePort::builder()).input("ca_certificate", "");
    let pem = step.port.ca_pem().unwrap().to_owned();
    let file = step.job.workspace().join("evil.pem");
    std::fs::write(&file, pem).unwrap();
    let step = step.variable("SSL_CERT_FILE", file.to_str().unwrap());
    let run = step.run();
    assert!(errors(&run).contains("TLS failed"), "{}", run.log());
    assert!(
        run.log().starts_with("`SSL_CERT_FILE` is ignored"),
        "{}",
        run.log()
    );
    assert!(step.port.received().is_empty(), "no credentials were sent");
}
