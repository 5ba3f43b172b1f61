//! HTTPS with a temporary certificate authority.

use std::{io, net::SocketAddr, sync::Arc};

use axum::serve::Listener;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivateKeyDer},
    },
    server::TlsStream,
};

use crate::server::send_at_once;

/// The hosts of the fake Port server: the loopback interface and, through its proxy, the hosts that
/// it imitates.
const NAMES: [&str; 11] = [
    "localhost",
    "127.0.0.1",
    "api.port.io",
    "api.getport.io",
    "mcp.getport.io",
    "api.us.getport.io",
    "mcp.us.getport.io",
    "mcp.port.io",
    "api.us.port.io",
    "mcp.us.port.io",
    "api.github.com",
];

/// A server certificate for [`NAMES`], and the authority that signed it.
pub(crate) struct Identity {
    pub(crate) ca_pem: String,
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    pub(crate) fn new() -> Self {
        Self::generate().expect("fixed names and fresh keys make a certificate")
    }

    fn generate() -> Result<Self, rcgen::Error> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params
            .distinguished_name
            .push(DnType::CommonName, "fake-port CA");
        let key = KeyPair::generate()?;
        let ca_pem = params.self_signed(&key)?.pem();
        let authority = Issuer::new(params, key);

        let mut params = CertificateParams::new(NAMES.map(str::to_owned))?;
        params
            .distinguished_name
            .push(DnType::CommonName, "fake-port");
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        Ok(Self {
            ca_pem,
            certificate: params.signed_by(&key, &authority)?.into(),
            key: PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        })
    }

    fn into_acceptor(self) -> TlsAcceptor {
        // Explicit, because other crates can add a second provider to the build.
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| {
                builder
                    .with_no_client_auth()
                    .with_single_cert(vec![self.certificate], self.key)
            })
            .expect("the certificate belongs to the key");
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }
}

/// A listener that accepts connections after the TLS handshake.
pub(crate) struct TlsListener {
    connections: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    address: io::Result<SocketAddr>,
}

impl TlsListener {
    /// Runs each handshake in a separate task, so that a client that rejects the certificate, or
    /// sends nothing, does not delay the others.
    pub(crate) fn new(mut listener: TcpListener, identity: Identity) -> Self {
        let acceptor = identity.into_acceptor();
        let address = listener.local_addr();
        let (sender, connections) = mpsc::channel(16);
        tokio::spawn(async move {
            loop {
                let (stream, client) = Listener::accept(&mut listener).await;
                send_at_once(&stream);
                let (acceptor, sender) = (acceptor.clone(), sender.clone());
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        // The receiver is dropped only when the fake Port server stops.
                        let _ = sender.send((stream, client)).await;
                    }
                });
            }
        });
        Self {
            connections,
            address,
        }
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        self.connections
            .recv()
            .await
            .expect("the accepting task never ends")
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        match &self.address {
            Ok(address) => Ok(*address),
            Err(error) => Err(error.kind().into()),
        }
    }
}
