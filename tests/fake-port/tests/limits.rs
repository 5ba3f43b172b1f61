//! The limits of token exchanges.

#![expect(
    clippy::unwrap_used,
    reason = "a failed step is a failed test, in helpers too"
)]

use std::time::{Duration, Instant};

use fake_port::{Decision, FakePort, Flow, RateLimit};
use reqwest::{Client, Response};
use serde_json::{Value, json};

const HOUR: Duration = Duration::from_hours(1);

fn limited(flow: Flow, limit: RateLimit) -> FakePort {
    FakePort::builder().rate_limit(flow, limit).start()
}

async fn rest(port: &FakePort, client: &Client) -> Response {
    let url = format!("{}/v1/auth/access_token", port.api_url());
    let body = json!({"clientId": port.client_id(), "clientSecret": port.client_secret()});
    client.post(url).json(&body).send().await.unwrap()
}

async fn oauth(port: &FakePort, id: &str) -> Response {
    let url = format!("{}/token", port.mcp_url());
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", id),
        ("client_secret", port.client_secret()),
    ];
    Client::new().post(url).form(&form).send().await.unwrap()
}

/// The status, and the limit, the period, what remains, and the reset in the headers.
fn state(response: &Response) -> (u16, [u64; 4]) {
    let header = |name: &str| {
        let value = &response.headers()[&format!("x-ratelimit-{name}")];
        value.to_str().unwrap().parse().unwrap()
    };
    let headers = ["limit", "period", "remaining", "reset"].map(header);
    (response.status().as_u16(), headers)
}

#[tokio::test]
async fn a_window_accepts_only_so_many_exchanges() {
    let limit = RateLimit {
        most: 2,
        window: HOUR,
        ..RateLimit::of(Flow::Rest)
    };
    let port = limited(Flow::Rest, limit);
    let client = Client::new();
    let first = rest(&port, &client).await;
    assert_eq!(state(&first), (200, [2, 3600, 1, 3600]));
    let token: Value = first.json().await.unwrap();
    assert_eq!(token["accessToken"], port.token(Flow::Rest));
    let (status, [.., remaining, _]) = state(&rest(&port, &client).await);
    assert_eq!((status, remaining), (200, 0));
    let third = rest(&port, &client).await;
    let (status, [_, _, remaining, reset]) = state(&third);
    assert_eq!((status, remaining), (429, 0));
    assert!((3000..=3600).contains(&reset), "{reset}");
    assert_eq!(
        third.json::<Value>().await.unwrap()["error"],
        "too_many_requests"
    );

    let exchanges = port.exchanges(Flow::Rest);
    let decisions: Vec<_> = exchanges.iter().map(|exchange| exchange.decision).collect();
    let (accepted, used_up) = (Decision::Accepted, Decision::UsedUp { reset });
    assert_eq!(decisions, [accepted, accepted, used_up]);
    assert!(exchanges.is_sorted_by_key(|exchange| exchange.at));
    assert_eq!(exchanges[0].connection, exchanges[2].connection);
}

#[tokio::test]
async fn an_exchange_counts_for_one_window() {
    let limit = RateLimit {
        most: 1,
        window: Duration::from_nanos(1),
        ..RateLimit::of(Flow::Oauth)
    };
    let port = limited(Flow::Oauth, limit);
    for _ in 0..3 {
        assert_eq!(oauth(&port, port.client_id()).await.status(), 200);
    }
}

#[tokio::test]
async fn other_jobs_may_have_used_up_the_limit() {
    let used_up_until = |at| RateLimit {
        free_at: Some(at),
        ..RateLimit::of(Flow::Oauth)
    };
    let now = Instant::now();
    let port = limited(Flow::Oauth, used_up_until(now));
    assert_eq!(oauth(&port, port.client_id()).await.status(), 200);
    let port = limited(Flow::Oauth, used_up_until(now + HOUR));
    let (status, [most, period, remaining, reset]) = state(&oauth(&port, port.client_id()).await);
    assert_eq!((status, most, period, remaining), (429, 50, 900, 0));
    assert!((3000..=3600).contains(&reset), "{reset}");
}

#[tokio::test]
async fn oauth_counts_by_client_id() {
    let limit = RateLimit {
        most: 1,
        ..RateLimit::of(Flow::Oauth)
    };
    let port = limited(Flow::Oauth, limit);
    assert_eq!(oauth(&port, port.client_id()).await.status(), 200);
    assert_eq!(oauth(&port, port.client_id()).await.status(), 429);
    assert_eq!(oauth(&port, "another").await.status(), 401);
}

// Only Linux has more than one IPv4 address on its loopback interface by default.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn rest_counts_by_address() {
    let limit = RateLimit {
        most: 1,
        ..RateLimit::of(Flow::Rest)
    };
    let port = limited(Flow::Rest, limit);
    for address in [[127, 0, 0, 1], [127, 0, 0, 2]] {
        let client = Client::builder().local_address(std::net::IpAddr::from(address));
        let client = client.build().unwrap();
        assert_eq!(rest(&port, &client).await.status(), 200);
        assert_eq!(rest(&port, &client).await.status(), 429);
    }
}

#[tokio::test]
async fn only_so_many_exchanges_are_processed_at_once() {
    let limit = RateLimit {
        at_once: Some(2),
        service_time: HOUR,
        ..RateLimit::of(Flow::Rest)
    };
    let port = std::sync::Arc::new(limited(Flow::Rest, limit));
    let client = Client::new();
    for started in 1..=2 {
        let (port, client) = (port.clone(), client.clone());
        let exchanges = port.clone();
        tokio::spawn(async move { rest(&port, &client).await });
        while exchanges.exchanges(Flow::Rest).len() < started {
            tokio::task::yield_now().await;
        }
    }
    let (status, [_, _, remaining, _]) = state(&rest(&port, &client).await);
    assert_eq!((status, remaining), (429, 98), "the window is not used up");
    let last = port.exchanges(Flow::Rest)[2].decision;
    assert_eq!(last, Decision::TooManyAtOnce);
}
