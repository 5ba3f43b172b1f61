//! A stand-in Port for tests and demonstrations.
//!
//! One listener on the loopback interface serves what an agent's job meets of Port: the REST
//! token exchange, the OAuth token endpoint and an MCP server (see [`Sandbox::api_url`] and
//! [`Sandbox::mcp_url`]). It behaves like Port where Port's behaviour is documented, and like the
//! least convenient Port where it is not. On demand it misbehaves ([`Sandbox::fault`]), and it
//! remembers every request ([`Sandbox::received`]).
//!
//! It runs on a thread of its own, so synchronous code can use it:
//!
//! ```
//! use port_sandbox::{Endpoint, Fault, Flow, Sandbox};
//!
//! let sandbox = Sandbox::start();
//! sandbox.fault(Endpoint::Rest, Fault::status(503).header("retry-after", "0"));
//!
//! // … run something against sandbox.api_url() and sandbox.mcp_url() …
//!
//! assert_eq!(sandbox.token(Flow::Rest), sandbox.token(Flow::Rest));
//! assert!(sandbox.received().is_empty());
//! ```
//!
//! Beside Port it plays the language model of an agent that is tried without one: under
//! `/model/list_blueprints,delete_entity/` any of the common APIs asks for these tools in turn.
//!
//! The program `port-sandbox` serves the same as a process of its own; there, the two last doors
//! are `POST /sandbox/fault` and `GET /sandbox/received`.

mod auth;
mod catalogue;
mod faults;
mod mcp;
mod model;
mod server;
mod tls;
mod tokens;

use std::{
    io,
    net::{Ipv4Addr, TcpListener},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use tokio::sync::oneshot;

pub use faults::{Answer, Endpoint, Fault};
pub use server::Received;
pub use tokens::{Accepts, Flow, Token};

use server::Port;
use tls::Identity;

/// The client id that the sandbox knows unless [`Builder::credentials`] says otherwise.
pub const CLIENT_ID: &str = "q7Tn2vXzR4mLk9WbYc8HsJ1dFg5PaE3u";

/// The client secret that the sandbox knows unless [`Builder::credentials`] says otherwise.
///
/// It holds characters that URL encoding, JSON encoding and workflow commands each change, so
/// code that forgets to encode it, or to mask its encoded forms, is found out.
pub const CLIENT_SECRET: &str = r#"kJ8+vQ2/xT6&nB4=mR0%wL9"zC3-sF7_hD1~gY5.pA8"#;

/// A running stand-in Port; dropping it stops the server and ends its thread.
#[derive(Debug)]
pub struct Sandbox {
    port: Arc<Port>,
    api_url: String,
    mcp_url: String,
    ca_pem: Option<String>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Sandbox {
    /// Starts a sandbox with the defaults of [`Sandbox::builder`].
    ///
    /// # Panics
    ///
    /// When no port can be opened on the loopback interface.
    #[must_use]
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// A sandbox that is yet to be started, on a free port, over plain HTTP, with tokens that
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

    /// The certificate authority to trust, made for this sandbox alone; none over plain HTTP.
    #[must_use]
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
    }

    /// The one client id that gets a token.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.port.settings.client_id
    }

    /// The secret that belongs to [`Sandbox::client_id`].
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
    /// of the normal behaviour. Several faults are met in the order in which they were queued.
    pub fn fault(&self, endpoint: Endpoint, fault: impl Into<Fault>) {
        self.port.faults.push(endpoint, fault.into());
    }

    /// Every request so far, in the order of arrival, those that met a fault included.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.port.received()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic on the server's thread has already been printed there.
            let _ = thread.join();
        }
    }
}

/// What a [`Sandbox`] is to be like.
#[derive(Debug, Clone)]
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
    /// Port does not document it, so by default the sandbox keeps offering them: nobody may take
    /// read-only mode for a promise that nothing runs.
    pub fn read_only_hides_runs(mut self, hides: bool) -> Self {
        self.read_only_hides_runs = hides;
        self
    }

    /// Serves HTTPS, with a certificate from an authority made for this sandbox alone.
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
    pub fn start(self) -> Sandbox {
        self.try_start()
            .expect("the sandbox listens on the loopback interface")
    }

    /// Starts the server; it accepts connections by the time this returns.
    ///
    /// # Errors
    ///
    /// When the port cannot be opened or the thread cannot be started.
    pub fn try_start(self) -> io::Result<Sandbox> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, self.port))?;
        listener.set_nonblocking(true)?;
        let scheme = if self.tls { "https" } else { "http" };
        let api_url = format!("{scheme}://{}", listener.local_addr()?);

        let identity = self.tls.then(Identity::new);
        let ca_pem = identity.as_ref().map(|identity| identity.ca_pem.clone());
        let port = Arc::new(Port::new(self));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let server = server::serve(listener, identity, Arc::clone(&port));
        let thread = std::thread::Builder::new()
            .name("port-sandbox".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = server => {}
                        _ = stopped => {}
                    }
                });
            })?;

        Ok(Sandbox {
            port,
            mcp_url: format!("{api_url}/v1"),
            api_url,
            ca_pem,
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}
