//! What the step passes to the gateway: one line of JSON on standard input, with all secrets.
//!
//! Nothing secret is in the environment, on the command line, or in a file.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::anyhow;
use rustls::pki_types::CertificateDer;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};

use super::audit::Start;
use crate::access::Grants;
use crate::http::ProxySettings;
use crate::port::{AuthMethod, Credentials, Endpoints, Token};

/// The settings of a gateway.
///
/// Types with secrets cannot be serialized. Only here, where the gateway needs them, their fields can
/// (`#[serde(remote)]`).
#[derive(Deserialize, Serialize)]
pub(crate) struct Settings {
    #[serde(with = "CredentialsInJson")]
    pub(crate) credentials: Credentials,
    pub(crate) endpoints: Endpoints,
    pub(crate) auth_method: AuthMethod,
    #[serde(with = "token")]
    pub(crate) token: Token,
    /// Port's headers, without `Authorization`.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) grants: Grants,
    /// The key of the agent.
    #[serde(serialize_with = "expose")]
    pub(crate) key: SecretString,
    pub(crate) lifetime: Duration,
    #[serde(with = "proxy")]
    pub(crate) proxy: Option<ProxySettings>,
    #[serde(with = "certificates")]
    pub(crate) ca_certificates: Vec<CertificateDer<'static>>,
    pub(crate) audit_arguments: bool,
    /// The first line of the audit.
    pub(crate) start: Start,
    /// The run in requests to Port, as in [`crate::http::HttpSettings`].
    pub(crate) run: Option<String>,
    pub(crate) placement: Placement,
}

/// What depends on where the gateway runs.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Placement {
    /// The address to listen on.
    pub(crate) listen: SocketAddr,
    /// The values of `Host` that clients use, besides those of a loopback address.
    pub(crate) hosts: Vec<String>,
    /// The key that stops the gateway. `None` if only a signal stops it.
    #[serde(serialize_with = "expose_optional")]
    pub(crate) stop_key: Option<SecretString>,
    /// Whether the audit goes to standard output.
    pub(crate) audit_output: bool,
    /// The files to which the audit goes.
    pub(crate) audit_files: Vec<PathBuf>,
}

impl Settings {
    /// The line for standard input. It contains every secret.
    ///
    /// # Errors
    /// When the path of the audit is not UTF-8, which JSON cannot contain.
    pub(crate) fn to_line(&self) -> anyhow::Result<SecretString> {
        // Nothing else in it can fail.
        let line = serde_json::to_string(self).map_err(|_| {
            anyhow!(
                "the gateway could not start: the path of its audit file is not UTF-8\n\
                 hint: rename the directories of the runner"
            )
        })?;
        Ok(format!("{line}\n").into())
    }

    /// Parses the line.
    ///
    /// # Errors
    /// When it is not a line of the same version. The error quotes nothing of it.
    pub(crate) fn parse(line: &SecretString) -> Result<Self, SettingsError> {
        serde_json::from_str(line.expose_secret()).map_err(|_| SettingsError)
    }
}

/// The line on standard input is not the settings of a gateway.
#[derive(Debug, thiserror::Error)]
#[error(
    "the gateway received no settings\n\
     hint: do not start `port-mcp gateway` yourself; set `connection: gateway`"
)]
pub(crate) struct SettingsError;

fn expose<S: Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    secret.expose_secret().serialize(serializer)
}

#[expect(clippy::ref_option, reason = "serde passes the field")]
fn expose_optional<S: Serializer>(
    secret: &Option<SecretString>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    secret
        .as_ref()
        .map(ExposeSecret::expose_secret)
        .serialize(serializer)
}

#[derive(Deserialize, Serialize)]
#[serde(remote = "Credentials")]
struct CredentialsInJson {
    client_id: String,
    #[serde(serialize_with = "expose")]
    client_secret: SecretString,
}

/// A proxy, if there is one.
mod proxy {
    use super::{Deserialize, ProxySettings, SecretString, Serialize, expose};
    use serde::{Deserializer, Serializer};

    #[derive(Deserialize, Serialize)]
    #[serde(remote = "ProxySettings")]
    struct InJson {
        #[serde(serialize_with = "expose")]
        url: SecretString,
        exceptions: String,
    }

    #[derive(Deserialize, Serialize)]
    struct Proxy(#[serde(with = "InJson")] ProxySettings);

    #[expect(clippy::ref_option, reason = "serde passes the field")]
    pub(super) fn serialize<S: Serializer>(
        proxy: &Option<ProxySettings>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        proxy.clone().map(Proxy).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<ProxySettings>, D::Error> {
        Ok(Option::<Proxy>::deserialize(deserializer)?.map(|Proxy(proxy)| proxy))
    }
}

/// A token, with how long it is still valid when it is passed: the clocks of two containers can differ.
mod token {
    use std::time::Duration;

    use super::{Deserialize, SecretString, Serialize, Token, expose};
    use crate::port::Flow;
    use serde::{Deserializer, Serializer};

    #[derive(Deserialize, Serialize)]
    struct Passed {
        #[serde(serialize_with = "expose")]
        secret: SecretString,
        valid_for: Option<Duration>,
        flow: Flow,
    }

    pub(super) fn serialize<S: Serializer>(
        token: &Token,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let passed = Passed {
            secret: token.secret.clone(),
            valid_for: token.valid_for(),
            flow: token.flow,
        };
        passed.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Token, D::Error> {
        let passed = Passed::deserialize(deserializer)?;
        Ok(Token::new(passed.secret, passed.valid_for, passed.flow))
    }
}

/// Certificates as base64 of DER.
mod certificates {
    use super::{CertificateDer, Deserialize};
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;
    use serde::de::Error as _;
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        certificates: &[CertificateDer<'static>],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(certificates.iter().map(|der| BASE64_STANDARD.encode(der)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<CertificateDer<'static>>, D::Error> {
        Vec::<String>::deserialize(deserializer)?
            .iter()
            .map(|text| BASE64_STANDARD.decode(text).map(CertificateDer::from))
            .collect::<Result<_, _>>()
            .map_err(D::Error::custom)
    }
}
