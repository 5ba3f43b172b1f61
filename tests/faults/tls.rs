//! The certificates of the relay: a valid one, and one for each fault.

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::fault::Fault;

/// The hosts that clients reach through the proxy.
const HOSTS: [&str; 3] = ["api.port.io", "mcp.port.io", "api.github.com"];

/// A certificate authority.
pub(crate) struct Authority {
    pub(crate) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// The authority that the action trusts.
pub(crate) static TRUSTED: LazyLock<Authority> = LazyLock::new(|| Authority::new("trusted"));
static UNKNOWN: LazyLock<Authority> = LazyLock::new(|| Authority::new("unknown"));

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            pem,
            issuer: Issuer::new(params, key),
        }
    }
}

/// What a server at `address` presents: without a fault of its certificate, a valid one.
pub(crate) fn config(address: IpAddr, fault: Option<Fault>) -> Arc<ServerConfig> {
    let names = match fault {
        Some(Fault::WrongHost) => vec!["elsewhere.example".to_owned()],
        _ => HOSTS
            .map(str::to_owned)
            .into_iter()
            .chain([address.to_string()])
            .collect(),
    };
    let mut params = CertificateParams::new(names).unwrap();
    params.use_authority_key_identifier_extension = true;
    if fault == Some(Fault::Expired) {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    }
    let authority = match fault {
        Some(Fault::UnknownAuthority) => &UNKNOWN,
        _ => &TRUSTED,
    };
    let key = KeyPair::generate().unwrap();
    let certificate: CertificateDer<'static> =
        params.signed_by(&key, &authority.issuer).unwrap().into();
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key);
    Arc::new(config.unwrap())
}
