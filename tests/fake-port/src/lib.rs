//! A fake Port server for tests and demonstrations.
//!
//! One listener on the loopback interface serves the parts of Port that an agent's job uses: the
//! REST token exchange, the OAuth token endpoint, and an MCP server (see [`FakePort::api_url`] and
//! [`FakePort::mcp_url`]). It also serves files as GitHub's API does ([`FakePort::github_url`]),
//! for policies in a repository. It behaves like Port where Port's behavior is documented. Where it
//! is not, it behaves in the way that is hardest for clients. It produces faults on request
//! ([`FakePort::fault`]), and records every request ([`FakePort::received`]).
//!
//! It runs on its own thread, so synchronous code can use it:
//!
//! ```
//! use fake_port::{Endpoint, Fault, Flow, FakePort};
//!
//! let port = FakePort::start();
//! port.fault(Endpoint::Rest, Fault::status(503).header("retry-after", "0"));
//!
//! // … run something against port.api_url() and port.mcp_url() …
//!
//! assert_eq!(port.token(Flow::Rest), port.token(Flow::Rest));
//! assert!(port.received().is_empty());
//! ```
//!
//! It also serves a scripted language model, for tests of agents without a real model: at
//! `/model/list_blueprints,delete_entity/`, every common API calls these tools, one after the
//! other.
//!
//! The program `fake-port` runs the server as a separate process, with `POST /control/fault` and
//! `GET /control/received` for faults and recorded requests.
//!
//! [`client`] is the other side: an agent, for tests of what stands between an agent and Port.

mod auth;
mod catalog;
pub mod client;
mod faults;
mod github;
mod limits;
mod mcp;
mod model;
mod offers;
mod proxy;
mod server;
mod synthetic;
mod tls;
mod tokens;

use std::{
    io,
    net::{Ipv4Addr, TcpListener},
    num::NonZeroUsize,
    sync::{Arc, atomic::Ordering},
    thread::JoinHandle,
    time::Duration,
};

use tokio::sync::oneshot;

pub use faults::{Endpoint, Fault, FixedResponse};
pub use limits::{Decision, Exchange, RateLimit};
pub use offers::{Role, Tool};
pub use server::Received;
pub use tokens::{Accepts, Flow, Token};

use faults::GHES_PREFIX;
use github::File;
use limits::Limiter;
use proxy::{Proxy, Tunneled};
use server::Port;
use tls::Identity;

/// The client id that gets a token, unless [`Builder::credentials`] sets another.
pub const CLIENT_ID: &str = "q7Tn2vXzR4mLk9WbYc8HsJ1dFg5PaE3u";

/// The client secret that gets a token, unless [`Builder::credentials`] sets another.
///
/// It contains characters that URL encoding, JSON encoding, and workflow commands each change, so
/// tests detect code that does not encode it, or does not mask its encoded forms.
pub const CLIENT_SECRET: &str = r#"kJ8+vQ2/xT6&nB4=mR0%wL9"zC3-sF7_hD1~gY5.pA8"#;

/// The only token that GitHub's API accepts, in the format of a job's `GITHUB_TOKEN`.
pub const GITHUB_TOKEN: &str = "ghs_c4Rw9ZqK2mXv7TbN0sYhF5uJgL8pDe3AoV1i";

/// A running fake Port server. Dropping it stops the server and ends its thread.
#[derive(Debug)]
pub struct FakePort {
    port: Arc<Port>,
    api_url: String,
    mcp_url: String,
    ghes_url: String,
    proxy_url: String,
    tunneled: Tunneled,
    ca_pem: Option<String>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl FakePort {
    /// Starts a fake Port server with the defaults of [`FakePort::builder`].
    ///
    /// # Panics
    ///
    /// When no port can be opened on the loopback interface.
    #[must_use]
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// The settings of a new fake Port server. By default, it listens on a free port, over
    /// plain HTTP, and its tokens are valid for three hours and accepted from either flow.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The base of the REST API, without `/v1`: the token endpoint is
    /// `POST {api_url}/v1/auth/access_token`.
    #[must_use]
    pub fn api_url(&self) -> &str {
        &self.api_url
    }

    /// The URL of the MCP server, including `/v1`. Its OAuth token endpoint is
    /// `POST {mcp_url}/token`.
    #[must_use]
    pub fn mcp_url(&self) -> &str {
        &self.mcp_url
    }

    /// The URL of GitHub's API as on GitHub.com: `GITHUB_API_URL` without a path.
    #[must_use]
    pub fn github_url(&self) -> &str {
        &self.api_url
    }

    /// The URL of GitHub's API as on GitHub Enterprise Server: `GITHUB_API_URL` with `/api/v3` at
    /// the end.
    #[must_use]
    pub fn ghes_url(&self) -> &str {
        &self.ghes_url
    }

    /// The URL of an HTTP proxy (`CONNECT`) that connects to the fake Port server for every host.
    ///
    /// With [`Builder::tls`], a client that uses the proxy (`https_proxy`) and trusts
    /// [`FakePort::ca_pem`] reaches the fake Port server at the real addresses of Port, in both
    /// regions, and of GitHub.com's API. In [`FakePort::received`], the `host` header contains the
    /// requested host.
    #[must_use]
    pub fn proxy_url(&self) -> &str {
        &self.proxy_url
    }

    /// The host and port (`mcp.port.io:443`) of every requested tunnel through
    /// [`FakePort::proxy_url`], in order.
    #[must_use]
    pub fn tunneled(&self) -> Vec<String> {
        self.tunneled.authorities()
    }

    /// The certificate authority to trust, only for this server, as PEM. None over plain HTTP.
    #[must_use]
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
    }

    /// The only client id that gets a token.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.port.settings.client_id
    }

    /// The client secret for [`FakePort::client_id`].
    #[must_use]
    pub fn client_secret(&self) -> &str {
        &self.port.settings.client_secret
    }

    /// The token that this flow returns now. It is the same until it expires.
    #[must_use]
    pub fn token(&self, flow: Flow) -> String {
        self.port.tokens.issue(flow)
    }

    /// Makes every active token expire now, so that tests need not wait: the MCP server rejects it,
    /// and the next exchange returns a new one.
    pub fn expire_tokens(&self) {
        self.port.tokens.expire_all();
    }

    /// Queues a fault for the next request to this endpoint, with any method. Faults are used in
    /// the order in which they were queued, one for each request.
    ///
    /// # Panics
    ///
    /// When HTTP does not allow the fault's status or one of its headers.
    pub fn fault(&self, endpoint: Endpoint, fault: impl Into<Fault>) {
        if let Err(wrong) = self.port.faults.push(endpoint, fault.into()) {
            panic!("this fault cannot be sent: {wrong}");
        }
    }

    /// Every request so far, including those with a fault, in the order of arrival.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.port.received()
    }

    /// Every token exchange of this flow so far, in the order of arrival. Empty without a
    /// [`Builder::rate_limit`].
    #[must_use]
    pub fn exchanges(&self, flow: Flow) -> Vec<Exchange> {
        let limiter = match flow {
            Flow::Rest => &self.port.rest_limit,
            Flow::Oauth => &self.port.oauth_limit,
        };
        limiter.as_ref().map(Limiter::exchanges).unwrap_or_default()
    }

    /// The number of tokens that were created so far, of both flows.
    #[must_use]
    pub fn created_tokens(&self) -> u64 {
        self.port.tokens.created()
    }

    /// The number of tool calls that the MCP server executed.
    #[must_use]
    pub fn executed_calls(&self) -> u64 {
        self.port.calls.load(Ordering::Relaxed)
    }
}

impl Drop for FakePort {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // The server's thread has already printed its panic.
            let _ = thread.join();
        }
    }
}

/// The settings of a [`FakePort`].
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an independent setting, and any combination is valid"
)]
#[must_use = "a builder does nothing until it is started"]
pub struct Builder {
    client_id: String,
    client_secret: String,
    token: Token,
    token_lifetime: Duration,
    token_validity_left: Option<Duration>,
    expires_in: ExpiresIn,
    accepts: Accepts,
    read_only_hides_runs: bool,
    role: Role,
    page_size: Option<NonZeroUsize>,
    cursor_loop: bool,
    synthetic_tools: Option<usize>,
    more_tools: Vec<Tool>,
    sessions: bool,
    json: bool,
    discovers: bool,
    files: Vec<File>,
    private_repositories: Vec<String>,
    rest_limit: Option<RateLimit>,
    oauth_limit: Option<RateLimit>,
    call_time: Duration,
    records: bool,
    tls: bool,
    port: u16,
}

/// The lifetime of a token in a token response.
#[derive(Debug, Clone, Copy)]
enum ExpiresIn {
    /// The lifetime of a new token, even for a token that was issued earlier, as Port does.
    Lifetime,
    /// This many seconds, or no property.
    Claim(Option<u64>),
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            client_id: CLIENT_ID.to_owned(),
            client_secret: CLIENT_SECRET.to_owned(),
            token: Token::Jwt,
            token_lifetime: Duration::from_hours(3),
            token_validity_left: None,
            expires_in: ExpiresIn::Lifetime,
            accepts: Accepts::Any,
            read_only_hides_runs: false,
            role: Role::default(),
            page_size: None,
            cursor_loop: false,
            synthetic_tools: None,
            more_tools: Vec::new(),
            sessions: true,
            json: false,
            discovers: false,
            files: Vec::new(),
            private_repositories: Vec::new(),
            rest_limit: None,
            oauth_limit: None,
            call_time: Duration::ZERO,
            records: true,
            tls: false,
            port: 0,
        }
    }
}

impl Builder {
    /// The credentials that get a token ([`CLIENT_ID`] and [`CLIENT_SECRET`] by default).
    pub fn credentials(mut self, id: impl Into<String>, secret: impl Into<String>) -> Self {
        self.client_id = id.into();
        self.client_secret = secret.into();
        self
    }

    /// The lifetime of a new token. With zero, each exchange returns a new token.
    pub fn token_lifetime(mut self, lifetime: Duration) -> Self {
        self.token_lifetime = lifetime;
        self
    }

    /// The remaining validity of the first token, as if another job had requested it earlier. The
    /// next token gets the full [lifetime](Builder::token_lifetime).
    pub fn token_validity_left(mut self, left: Duration) -> Self {
        self.token_validity_left = Some(left);
        self
    }

    /// The format of tokens.
    pub fn token(mut self, token: Token) -> Self {
        self.token = token;
        self
    }

    /// The value of `expiresIn` and `expires_in`, in seconds. `None` omits them.
    ///
    /// By default, it is the lifetime of a new token, even if less time is left: Port's value is
    /// not reliable for a token that it returns again.
    pub fn expires_in(mut self, seconds: impl Into<Option<u64>>) -> Self {
        self.expires_in = ExpiresIn::Claim(seconds.into());
        self
    }

    /// The flows whose tokens the MCP server accepts.
    pub fn accepts(mut self, accepts: Accepts) -> Self {
        self.accepts = accepts;
        self
    }

    /// Whether read-only mode also hides `run_action` and `trigger_run`.
    ///
    /// Port does not document it. By default, the fake Port server offers them, so that no code
    /// relies on read-only mode to prevent runs.
    pub fn read_only_hides_runs(mut self, hides: bool) -> Self {
        self.read_only_hides_runs = hides;
        self
    }

    /// The role of the identity behind the credentials, which decides which tools the MCP server
    /// offers.
    pub fn role(mut self, role: Role) -> Self {
        self.role = role;
        self
    }

    /// The number of tools on a page of `tools/list`. By default, all tools are on one page.
    ///
    /// # Panics
    ///
    /// When it is zero.
    pub fn page_size(mut self, tools: usize) -> Self {
        self.page_size = Some(NonZeroUsize::new(tools).expect("a page has at least one tool"));
        self
    }

    /// Whether `tools/list` always returns the first page and the same next cursor.
    pub fn cursor_loop(mut self, loops: bool) -> Self {
        self.cursor_loop = loops;
        self
    }

    /// Offers this many generated tools instead of Port's: a catalog of any size for benchmarks.
    ///
    /// Their names are similar to Port's (`list_service_0`, `get_service_1`, `upsert_service_2`,
    /// `delete_service_3`, `list_deployment_4`, …). The description and the input schema of each
    /// have together about 500 bytes.
    pub fn tools(mut self, count: usize) -> Self {
        self.synthetic_tools = Some(count);
        self
    }

    /// Offers one more tool, after all others, to every role except [`Role::None`]. It is also
    /// offered in read-only mode, with any annotations, and even if another tool has the same name.
    pub fn offer(mut self, tool: Tool) -> Self {
        self.more_tools.push(tool);
        self
    }

    /// Whether the MCP server gives every client a session (`mcp-session-id`), which the client
    /// closes with `DELETE`. The default is true. A server without sessions responds to `DELETE`
    /// with 405.
    ///
    /// Clients with protocol version 2026-07-28 never have sessions.
    pub fn sessions(mut self, sessions: bool) -> Self {
        self.sessions = sessions;
        self
    }

    /// Whether the MCP server responds in plain JSON. By default, it responds with event streams.
    pub fn json(mut self, json: bool) -> Self {
        self.json = json;
        self
    }

    /// Whether the MCP server supports `server/discover`, the first request of protocol version
    /// 2026-07-28. By default, it responds that the method does not exist, and waits for
    /// `initialize`.
    pub fn discovers(mut self, discovers: bool) -> Self {
        self.discovers = discovers;
        self
    }

    /// Adds a file to GitHub, at a path in a repository (`owner/name`) and at a branch, tag, or
    /// commit. The default branch of a repository is `main`. The repository is public unless it is
    /// [`Builder::private`].
    pub fn policy_file(
        mut self,
        repository: impl Into<String>,
        path: impl Into<String>,
        reference: impl Into<String>,
        content: impl Into<Vec<u8>>,
    ) -> Self {
        self.files.push(File {
            repository: repository.into(),
            path: path.into(),
            reference: reference.into(),
            content: content.into(),
        });
        self
    }

    /// Makes this repository (`owner/name`) private: without [`GITHUB_TOKEN`], requests for it get
    /// 404.
    pub fn private(mut self, repository: impl Into<String>) -> Self {
        self.private_repositories.push(repository.into());
        self
    }

    /// Enforces a limit of token exchanges in this flow, and records them in
    /// [`FakePort::exchanges`]. By default, there is no limit.
    pub fn rate_limit(mut self, flow: Flow, limit: RateLimit) -> Self {
        match flow {
            Flow::Rest => self.rest_limit = Some(limit),
            Flow::Oauth => self.oauth_limit = Some(limit),
        }
        self
    }

    /// How long a tool runs: the simulated latency of each call. The default is zero.
    pub fn call_time(mut self, time: Duration) -> Self {
        self.call_time = time;
        self
    }

    /// Whether requests are recorded in [`FakePort::received`]. The default is true. Without
    /// records, a long run does not fill the memory.
    pub fn records(mut self, records: bool) -> Self {
        self.records = records;
        self
    }

    /// Serves HTTPS, with a certificate from an authority that is only for this server. The
    /// certificate names the loopback interface, Port's hosts, and `api.github.com`; see
    /// [`FakePort::proxy_url`].
    pub fn tls(mut self, tls: bool) -> Self {
        self.tls = tls;
        self
    }

    /// The port to listen on. The default, 0, means a free port.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Starts the server. It accepts connections when this function returns.
    ///
    /// # Panics
    ///
    /// When the port cannot be opened. [`Builder::try_start`] returns the error instead.
    #[must_use]
    pub fn start(self) -> FakePort {
        self.try_start()
            .expect("the port listens on the loopback interface")
    }

    /// Starts the server. It accepts connections when this function returns.
    ///
    /// # Errors
    ///
    /// When the port cannot be opened or the thread cannot be started.
    pub fn try_start(self) -> io::Result<FakePort> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, self.port))?;
        listener.set_nonblocking(true)?;
        let scheme = if self.tls { "https" } else { "http" };
        let address = listener.local_addr()?;
        let api_url = format!("{scheme}://{address}");
        let tunneled = Tunneled::default();
        let proxy = Proxy::to(address, tunneled.clone())?;
        let proxy_url = proxy.url()?;

        let identity = self.tls.then(Identity::new);
        let ca_pem = identity.as_ref().map(|identity| identity.ca_pem.clone());
        let port = Arc::new(Port::new(self));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let server = server::serve(listener, identity, Arc::clone(&port));
        let thread = std::thread::Builder::new()
            .name("fake-port".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = server => {}
                        () = proxy.serve() => {}
                        _ = stopped => {}
                    }
                });
            })?;

        Ok(FakePort {
            port,
            mcp_url: format!("{api_url}/v1"),
            ghes_url: format!("{api_url}{GHES_PREFIX}"),
            api_url,
            proxy_url,
            tunneled,
            ca_pem,
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}
