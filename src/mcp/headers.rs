//! The headers of MCP's streamable HTTP transport, and the types of its bodies
//! ([transports](https://modelcontextprotocol.io/specification/2025-11-25/basic/transports)).

use reqwest::header::HeaderName;

/// The session of a request, or the one that a response opens.
pub(crate) const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
/// The `Content-Type` of a message.
pub(crate) const JSON: &str = "application/json";
/// The `Content-Type` of a stream of messages.
pub(crate) const EVENT_STREAM: &str = "text/event-stream";
