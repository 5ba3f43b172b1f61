//! The two endpoints that exchange credentials for a token.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{ConnectInfo, Form, State, rejection::FormRejection},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{limits::Client, server::Port, tokens::Flow};

const TOKEN_TYPE: &str = "Bearer";

/// The properties of a REST exchange. No others are allowed.
const PROPERTIES: [&str; 2] = ["clientId", "clientSecret"];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RestToken {
    ok: bool,
    access_token: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in: Option<u64>,
    token_type: &'static str,
}

const TOO_MANY: &str = "Too many requests, please try again later";

/// `POST /v1/auth/access_token`: Port's own exchange. Its limit counts by address.
pub(crate) async fn rest(
    State(port): State<Arc<Port>>,
    ConnectInfo(client): ConnectInfo<Client>,
    body: Bytes,
) -> Response {
    let Some(limiter) = &port.rest_limit else {
        return rest_token(&port, &body);
    };
    let accepted = || rest_token(&port, &body);
    let rejected = |status| error_response(status, "too_many_requests", TOO_MANY);
    let key = client.address.ip().to_string();
    limiter.respond(client, &key, accepted, rejected).await
}

fn rest_token(port: &Port, body: &[u8]) -> Response {
    let Ok(Value::Object(given)) = serde_json::from_slice(body) else {
        return invalid_request("body must be object");
    };
    for property in PROPERTIES {
        match given.get(property) {
            None => {
                return invalid_request(&format!("body must have required property '{property}'"));
            }
            Some(Value::String(_)) => {}
            Some(_) => return invalid_request(&format!("body/{property} must be string")),
        }
    }
    if given.len() > PROPERTIES.len() {
        return invalid_request("body must NOT have additional properties");
    }
    if PROPERTIES.map(|property| given[property].as_str()) != port.credentials().map(Some) {
        return error_response(
            StatusCode::UNAUTHORIZED,
            "invalid_credentials",
            "Invalid credentials supplied to the generate token API",
        );
    }
    Json(RestToken {
        ok: true,
        access_token: port.tokens.issue(Flow::Rest),
        expires_in: port.claimed_expires_in(),
        token_type: TOKEN_TYPE,
    })
    .into_response()
}

fn invalid_request(message: &str) -> Response {
    error_response(StatusCode::UNPROCESSABLE_ENTITY, "invalid_request", message)
}

/// An error in the format of Port's REST API.
pub(crate) fn error_response(status: StatusCode, error: &str, message: &str) -> Response {
    let body = json!({"ok": false, "error": error, "message": message});
    (status, Json(body)).into_response()
}

/// The parameters of a client credentials request (RFC 6749, section 4.4.2).
#[derive(Deserialize)]
pub(crate) struct ClientCredentials {
    grant_type: String,
    #[serde(default)]
    client_id: String,
    #[serde(default)]
    client_secret: String,
}

#[derive(Serialize)]
struct OauthToken {
    access_token: String,
    token_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in: Option<u64>,
}

/// `POST /v1/token`: OAuth 2.0 client credentials at the MCP server. Its limit counts by client id.
pub(crate) async fn oauth(
    State(port): State<Arc<Port>>,
    ConnectInfo(client): ConnectInfo<Client>,
    grant: Result<Form<ClientCredentials>, FormRejection>,
) -> Response {
    let grant = match grant {
        Ok(Form(grant)) => grant,
        Err(rejection) => {
            return oauth_error(
                StatusCode::BAD_REQUEST,
                "invalid_request",
                &rejection.body_text(),
            );
        }
    };
    let Some(limiter) = &port.oauth_limit else {
        return oauth_token(&port, &grant);
    };
    let accepted = || oauth_token(&port, &grant);
    let rejected = |status| oauth_error(status, "too_many_requests", TOO_MANY);
    limiter
        .respond(client, &grant.client_id, accepted, rejected)
        .await
}

fn oauth_token(port: &Port, grant: &ClientCredentials) -> Response {
    if grant.grant_type != "client_credentials" {
        return oauth_error(
            StatusCode::BAD_REQUEST,
            "unsupported_grant_type",
            "Only client_credentials is supported",
        );
    }
    if [&*grant.client_id, &*grant.client_secret] != port.credentials() {
        return oauth_error(
            StatusCode::UNAUTHORIZED,
            "invalid_client",
            "Client authentication failed",
        );
    }
    let token = OauthToken {
        access_token: port.tokens.issue(Flow::Oauth),
        token_type: TOKEN_TYPE,
        expires_in: port.claimed_expires_in(),
    };
    ([(header::CACHE_CONTROL, "no-store")], Json(token)).into_response()
}

/// An error in the format of RFC 6749, section 5.2.
pub(crate) fn oauth_error(status: StatusCode, error: &str, description: &str) -> Response {
    let body = json!({"error": error, "error_description": description});
    (status, Json(body)).into_response()
}
