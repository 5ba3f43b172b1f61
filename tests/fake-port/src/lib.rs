//! A fake Port server for tests and demonstrations.
//!
//! One listener on the loopback interface serves what an agent's job meets of Port: the REST
//! token exchange, the OAuth token endpoint and an MCP server (see [`FakePort::api_url`] and
//! [`FakePort::mcp_url`]). Files come from there as from GitHub's API ([`FakePort::github_url`]), for
//! policies that an organization keeps in a repository. It behaves like Port where Port's behavior is documented, and like the
//! least convenient Port where it is not. On demand it misbehaves ([`FakePort::fault`]), and it
//! remembers every request ([`FakePort::received`]).
//!
//! It runs on a thread of its own, so synchronous code can use it:
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
//! Beside Port it plays the language model of an agent that is tried without one: under
//! `/model/list_blueprints,delete_entity/` any of the common APIs asks for these tools in turn.
//!
//! The program `fake-port` serves the same as a process of its own; there, the two last doors
//! are `POST /control/fault` and `GET /control/received`.

mod auth;
mod catalog;
mod faults;
mod github;
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
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use tokio::sync::oneshot;

pub use faults::{Answer, Endpoint, Fault};
pub use offers::{Role, Tool};
pub use server::Received;
pub use tokens::{Accepts, Flow, Token};

use faults::GHES_PREFIX;
use github::File;
use proxy::{Proxy, Tunnelled};
use server::Port;
use tls::Identity;

/// The client id that the fake Port server knows unless [`Builder::credentials`] says otherwise.
pub const CLIENT_ID: &str = "q7Tn2vXzR4mLk9WbYc8HsJ1dFg5PaE3u";

/// The client secret that the fake Port server knows unless [`Builder::credentials`] says otherwise.
///
/// It holds characters that URL encoding, JSON encoding and workflow commands each change, so
/// code that forgets to encode it, or to mask its encoded forms, is found out.
pub const CLIENT_SECRET: &str = r#"kJ8+vQ2/xT6&nB4=mR0%wL9"zC3-sF7_hD1~gY5.pA8"#;

/// The one token that GitHub's API takes, in the form of a job's `GITHUB_TOKEN`.
pub const GITHUB_TOKEN: &str = "ghs_c4Rw9ZqK2mXv7TbN0sYhF5uJgL8pDe3AoV1i";

/// A running fake Port server; dropping it stops the server and ends its thread.
#[derive(Debug)]
pub struct FakePort {
    port: Arc<Port>,
    api_url: String,
    mcp_url: String,
    ghes_url: String,
    proxy_url: String,
    tunnelled: Tunnelled,
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

    /// a fake Port server that is yet to be started, on a free port, over plain HTTP, with tokens that
    /// last three hours and are accepted whichever flow handed them out.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The base of the REST API, without `/v1`: tokens come from
    /// `POST {api_url}/v1/auth/access_token`.
    #[must_use]
    pub fn api_url(&self) -> &str {
        &self.api_url
    }

    /// The MCP server, `/v1` included; its OAuth token endpoint is `POST {mcp_url}/token`.
    #[must_use]
    pub fn mcp_url(&self) -> &str {
        &self.mcp_url
    }

    /// GitHub's API as GitHub.com has it: `GITHUB_API_URL` without a path.
    #[must_use]
    pub fn github_url(&self) -> &str {
        &self.api_url
    }

    /// GitHub's API as GitHub Enterprise Server has it: `GITHUB_API_URL` ending in `/api/v3`.
    #[must_use]
    pub fn ghes_url(&self) -> &str {
        &self.ghes_url
    }

    /// An HTTP proxy that tunnels to the fake Port server whatever host it is asked for (`CONNECT`).
    ///
    /// With [`Builder::tls`], a client that goes through it (`https_proxy`) and trusts
    /// [`FakePort::ca_pem`] finds the fake Port server under the true addresses of Port, in both regions, and
    /// of GitHub.com's API. The `host` header in [`FakePort::received`] says which one it meant.
    #[must_use]
    pub fn proxy_url(&self) -> &str {
        &self.proxy_url
    }

    /// The host and port (`mcp.port.io:443`) of every tunnel that [`FakePort::proxy_url`] was asked
    /// for so far, in order.
    #[must_use]
    pub fn tunnelled(&self) -> Vec<String> {
        self.tunnelled.authorities()
    }

    /// The certificate authority to trust, made for this port alone; none over plain HTTP.
    #[must_use]
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
    }

    /// The one client id that gets a token.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.port.settings.client_id
    }

    /// The secret that belongs to [`FakePort::client_id`].
    #[must_use]
    pub fn client_secret(&self) -> &str {
        &self.port.settings.client_secret
    }

    /// The token that this flow hands out right now: the same one until it lapses.
    #[must_use]
    pub fn token(&self, flow: Flow) -> String {
        self.port.tokens.hand_out(flow)
    }

    /// Makes every active token lapse now: the MCP server refuses it from here on, and the next
    /// exchange hands out a new one. It spares tests the wait.
    pub fn lapse_tokens(&self) {
        self.port.tokens.lapse();
    }

    /// Queues a fault: the next request to this endpoint, whatever its method, meets it instead
    /// of the normal behavior. Several faults are met in the order in which they were queued.
    ///
    /// # Panics
    ///
    /// When HTTP does not allow the fault's status or one of its headers.
    pub fn fault(&self, endpoint: Endpoint, fault: impl Into<Fault>) {
        if let Err(wrong) = self.port.faults.push(endpoint, fault.into()) {
            panic!("this fault cannot be sent: {wrong}");
        }
    }

    /// Every request so far, in the order of arrival, those that met a fault included.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.port.received()
    }
}

impl Drop for FakePort {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic on the server's thread has already been printed there.
            let _ = thread.join();
        }
    }
}

/// What a [`FakePort`] is to be like.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of its own, and any combination makes a server"
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
    tls: bool,
    port: u16,
}

/// What a token response says about the token's lifetime.
#[derive(Debug, Clone, Copy)]
enum ExpiresIn {
    /// The lifetime of a new token, even for one that was minted long ago: what Port does.
    Lifetime,
    /// This many seconds, or nothing at all.
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

    /// How long a new token is valid; with zero, each exchange hands out a new one.
    pub fn token_lifetime(mut self, lifetime: Duration) -> Self {
        self.token_lifetime = lifetime;
        self
    }

    /// How long the token that is already active stays valid, as if another job had asked for it
    /// earlier. Its successor gets the full [lifetime](Builder::token_lifetime).
    pub fn token_validity_left(mut self, left: Duration) -> Self {
        self.token_validity_left = Some(left);
        self
    }

    /// What tokens look like.
    pub fn token(mut self, token: Token) -> Self {
        self.token = token;
        self
    }

    /// The seconds that `expiresIn` and `expires_in` claim; `None` leaves them out.
    ///
    /// By default they claim the lifetime of a new token, even when less is left: Port's claim
    /// cannot be trusted for a token that it hands out again.
    pub fn expires_in(mut self, seconds: impl Into<Option<u64>>) -> Self {
        self.expires_in = ExpiresIn::Claim(seconds.into());
        self
    }

    /// Which flow's token the MCP server takes.
    pub fn accepts(mut self, accepts: Accepts) -> Self {
        self.accepts = accepts;
        self
    }

    /// Whether read-only mode also withholds `run_action` and `trigger_run`.
    ///
    /// Port does not document it, so by default the fake Port server keeps offering them: nobody may take
    /// read-only mode for a promise that nothing runs.
    pub fn read_only_hides_runs(mut self, hides: bool) -> Self {
        self.read_only_hides_runs = hides;
        self
    }

    /// The role of the identity behind the credentials, which decides what the MCP server offers.
    pub fn role(mut self, role: Role) -> Self {
        self.role = role;
        self
    }

    /// How many tools a page of `tools/list` holds; by default, all are on one page.
    ///
    /// # Panics
    ///
    /// When it is zero.
    pub fn page_size(mut self, tools: usize) -> Self {
        self.page_size = Some(NonZeroUsize::new(tools).expect("a page holds at least one tool"));
        self
    }

    /// Whether `tools/list` answers the first page and the same next cursor for ever.
    pub fn cursor_loop(mut self, loops: bool) -> Self {
        self.cursor_loop = loops;
        self
    }

    /// Offers this many made-up tools instead of Port's: a catalog of any size for benchmarks.
    ///
    /// They are named as Port's are (`list_service_0`, `get_service_1`, `upsert_service_2`,
    /// `delete_service_3`, `list_deployment_4`, …), and each has a description and an input schema
    /// of some 500 bytes together.
    pub fn tools(mut self, count: usize) -> Self {
        self.synthetic_tools = Some(count);
        self
    }

    /// Offers one tool more, after all others and to every role but [`Role::None`]. It is offered
    /// in read-only mode too, whatever it says about itself, and even under a name that is
    /// already taken.
    pub fn offer(mut self, tool: Tool) -> Self {
        self.more_tools.push(tool);
        self
    }

    /// Whether the MCP server gives every client a session (`mcp-session-id`), which the client
    /// closes with `DELETE`; that is the default. A server without sessions answers 405 to it.
    ///
    /// Clients of the protocol of 2026-07-28 have no sessions in either case.
    pub fn sessions(mut self, sessions: bool) -> Self {
        self.sessions = sessions;
        self
    }

    /// Whether the MCP server answers in plain JSON; by default, it answers with event streams.
    pub fn json(mut self, json: bool) -> Self {
        self.json = json;
        self
    }

    /// Whether the MCP server knows `server/discover`, the opening of the protocol of 2026-07-28.
    /// By default it answers that there is no such method, and waits for `initialize`.
    pub fn discovers(mut self, discovers: bool) -> Self {
        self.discovers = discovers;
        self
    }

    /// Puts a file at this path of this repository (`owner/name`) on GitHub, where it can be read
    /// at this branch, tag or commit; a repository's default branch is `main`. The repository is
    /// public unless it is [`Builder::private`].
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

    /// Shows this repository (`owner/name`) to the holder of [`GITHUB_TOKEN`] alone: for everybody
    /// else it does not exist.
    pub fn private(mut self, repository: impl Into<String>) -> Self {
        self.private_repositories.push(repository.into());
        self
    }

    /// Serves HTTPS, with a certificate from an authority made for this port alone. It names the
    /// loopback interface, Port's hosts and `api.github.com`; see [`FakePort::proxy_url`].
    pub fn tls(mut self, tls: bool) -> Self {
        self.tls = tls;
        self
    }

    /// The port to listen on; 0, the default, takes a free one.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Starts the server; it accepts connections by the time this returns.
    ///
    /// # Panics
    ///
    /// When the port cannot be opened; [`Builder::try_start`] returns the error instead.
    #[must_use]
    pub fn start(self) -> FakePort {
        self.try_start()
            .expect("the port listens on the loopback interface")
    }

    /// Starts the server; it accepts connections by the time this returns.
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
        let tunnelled = Tunnelled::default();
        let proxy = Proxy::to(address, tunnelled.clone())?;
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
            tunnelled,
            ca_pem,
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}
