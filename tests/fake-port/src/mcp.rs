//! The MCP server: authentication, the list of tools, and calls of tools.

use std::sync::{Arc, atomic::Ordering};

use axum::{
    Json,
    body::{Body, to_bytes},
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock,
        DiscoverRequestMethod, DiscoverResult, Implementation, ListToolsResult,
        PaginatedRequestParams, ServerCapabilities, ServerConfig,
    },
    service::RequestContext,
    transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
    },
};
use serde_json::json;

use crate::{catalog, server::Port};

const EVENT_STREAM: &str = "text/event-stream";

/// The MCP server without authentication, which [`respond`] adds.
pub(crate) type Service = StreamableHttpService<Server, LocalSessionManager>;

/// The MCP server, with sessions and event streams unless the settings say otherwise.
pub(crate) fn service(port: Arc<Port>) -> Service {
    // Without `sse_retry`, streams start without an empty event, after which Gemini CLI 0.61 would
    // consider the server lost.
    let mut sessions = LocalSessionManager::default();
    sessions.session_config.sse_retry = None;
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(port.settings.sessions)
        .with_json_response(port.settings.json)
        .with_sse_retry(None)
        // The server listens only on the loopback interface, for any host name.
        .disable_allowed_hosts();
    StreamableHttpService::new(
        move || Ok(Server(Arc::clone(&port))),
        Arc::new(sessions),
        config,
    )
}

/// Passes requests with a valid token to the MCP server, and rejects all others.
pub(crate) async fn respond(port: &Port, service: &Service, request: Request) -> Response {
    match bearer(request.headers()) {
        Some(token) if port.tokens.is_accepted(token) => {
            let posted = request.method() == Method::POST;
            let response = service.handle(request).await.map(Body::new);
            if posted && port.settings.json {
                as_json(response).await
            } else {
                response
            }
        }
        Some(_) => unauthorized(
            r#"Bearer realm="port", error="invalid_token", error_description="The access token is unknown or has expired""#,
        ),
        None => unauthorized(r#"Bearer realm="port""#),
    }
}

/// Converts an event stream with one message into that message: in a session, the SDK sends only
/// event streams.
async fn as_json(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let kind = parts.headers.get(header::CONTENT_TYPE);
    if kind.is_none_or(|kind| kind != EVENT_STREAM) {
        return Response::from_parts(parts, body);
    }
    let stream = to_bytes(body, usize::MAX)
        .await
        .expect("the SDK's streams do not fail");
    let message = stream
        .split(|byte| *byte == b'\n')
        .filter_map(|line| line.strip_prefix(b"data: "))
        .rfind(|message| !message.is_empty())
        .map(<[u8]>::to_vec)
        .unwrap_or_default();
    parts.headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    Response::from_parts(parts, message.into())
}

pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

fn unauthorized(challenge: &'static str) -> Response {
    let body = json!({
        "error": "invalid_token",
        "error_description": "The access token is unknown or has expired",
    });
    (
        StatusCode::UNAUTHORIZED,
        [(header::WWW_AUTHENTICATE, challenge)],
        Json(body),
    )
        .into_response()
}

/// The limits in the headers of a request. They apply only to this request.
struct Limits {
    read_only: bool,
    /// The actions that may run. `None` means all actions.
    actions: Option<Vec<String>>,
}

impl Limits {
    fn of(context: &RequestContext<RoleServer>) -> Self {
        let headers = context
            .extensions
            .get::<Parts>()
            .map(|parts| &parts.headers);
        let header = |name| headers?.get(name)?.to_str().ok();
        Self {
            read_only: header("x-read-only-mode") == Some("1"),
            actions: header("x-allowed-actions-to-run").map(|list| {
                list.split(',')
                    .map(str::trim)
                    .filter(|action| !action.is_empty())
                    .map(str::to_owned)
                    .collect()
            }),
        }
    }

    fn may_run(&self, action: &str) -> bool {
        self.actions
            .as_ref()
            .is_none_or(|actions| actions.iter().any(|allowed| allowed == action))
    }
}

pub(crate) struct Server(Arc<Port>);

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("Port MCP Server", "fake"))
            .with_instructions("Query and change the software catalog.")
    }

    // As far as known, Port supports only the `initialize` handshake. An older server responds to
    // the newer first request with this error, and clients must handle it.
    async fn discover(
        &self,
        _context: RequestContext<RoleServer>,
    ) -> Result<DiscoverResult, ErrorData> {
        if self.0.settings.discovers {
            let versions = self.supported_protocol_versions().into_owned();
            Ok(DiscoverResult::from_server_info(versions, self.get_info()))
        } else {
            Err(ErrorData::method_not_found::<DiscoverRequestMethod>())
        }
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let cursor = request.and_then(|request| request.cursor);
        self.0
            .offers
            .page(Limits::of(&context).read_only, cursor.as_deref())
            .ok_or_else(|| ErrorData::invalid_params("Invalid cursor", None))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let limits = Limits::of(&context);
        let name = request.name.as_ref();
        if !self.0.offers.include(false, name) {
            let message = format!("Unknown tool: {name}");
            return Err(ErrorData::invalid_params(message, None));
        }
        if !self.0.offers.include(limits.read_only, name) {
            let message = format!("Tool {name} is not available in read-only mode");
            return Err(ErrorData::invalid_params(message, None));
        }
        let arguments = request.arguments.unwrap_or_default();
        // The list applies to `run_action`. It is not documented whether it applies to
        // `trigger_run`.
        if name == "run_action" {
            let action = arguments
                .get("actionIdentifier")
                .and_then(|action| action.as_str())
                .unwrap_or_default();
            if !limits.may_run(action) {
                let message = format!("Action '{action}' is not allowed to run");
                return Ok(CallToolResult::error(vec![ContentBlock::text(message)]).into());
            }
        }
        self.0.calls.fetch_add(1, Ordering::Relaxed);
        // A timer of zero would take up to a millisecond.
        if !self.0.settings.call_time.is_zero() {
            tokio::time::sleep(self.0.settings.call_time).await;
        }
        let data = catalog::call(self.0.settings.role, name, &arguments);
        Ok(CallToolResult::success(vec![ContentBlock::text(data.to_string())]).into())
    }
}
