//! The network of a gateway that is a container, and how clients reach the gateway in it.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context as _;
use bollard::models::ContainerInspectResponse;
use url::Url;

use super::Options;
use super::engine::Engine;
use crate::gateway::PATH;
use crate::gateway::serve::HOST_OF_CONTAINERS;

/// The port on which a gateway listens in a network of its own.
const PORT: u16 = 8787;

/// The network of the gateway: that of the step, so that it reaches Port in the same way.
pub(super) enum Network {
    /// The network of the machine, or of another container. Clients use a loopback address.
    Shared(String),
    /// A network with addresses of its own. A port is published on the machine.
    Bridge(String),
}

/// How clients reach the gateway.
pub(super) struct Address {
    /// `None` if the gateway selects the port.
    pub(super) url: Option<Url>,
    /// For other containers on its network.
    pub(super) url_in_containers: Option<Url>,
    pub(super) hosts: Vec<String>,
}

impl Network {
    pub(super) fn of(own: &ContainerInspectResponse) -> Self {
        let mode = own
            .host_config
            .as_ref()
            .and_then(|host| host.network_mode.clone())
            .unwrap_or_else(|| "bridge".to_owned());
        if mode == "host" || mode.starts_with("container:") {
            return Self::Shared(mode);
        }
        // The mode is the name of the network, except with some other engines.
        let name = own
            .network_settings
            .as_ref()
            .and_then(|settings| settings.networks.as_ref())
            .and_then(|networks| networks.keys().min().cloned());
        Self::Bridge(name.unwrap_or(mode))
    }

    pub(super) fn mode(&self) -> &str {
        match self {
            Self::Shared(mode) | Self::Bridge(mode) => mode,
        }
    }

    pub(super) fn listen(&self) -> SocketAddr {
        match self {
            Self::Shared(_) => SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            Self::Bridge(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT)),
        }
    }

    /// Whether containers find each other by name. They do not on Docker's default network.
    pub(super) fn has_names(&self) -> bool {
        matches!(self, Self::Bridge(name) if name != "bridge" && name != "default")
    }

    /// Whether another container decides how names are resolved.
    pub(super) fn has_foreign_resolver(&self) -> bool {
        self.mode().starts_with("container:")
    }

    /// How the next steps reach the started container `name`.
    pub(super) async fn address(
        &self,
        engine: &Engine,
        name: &str,
        options: &Options,
    ) -> anyhow::Result<Address> {
        if let Self::Shared(_) = self {
            return Ok(Address {
                url: None,
                url_in_containers: None,
                hosts: Vec::new(),
            });
        }
        let settings = engine
            .inspect(name)
            .await?
            .network_settings
            .unwrap_or_default();
        let requested = Some(Ipv4Addr::LOCALHOST.to_string());
        let published = settings
            .ports
            .and_then(|mut ports| ports.remove(&port_key())?)
            .into_iter()
            .flatten()
            .find_map(|binding| {
                let port = binding.host_port.filter(|_| binding.host_ip == requested)?;
                port.parse::<u16>().ok()
            })
            .context(
                "the Docker engine did not publish the port of the gateway on 127.0.0.1\n\
                 hint: check the Docker engine of the runner, or use the binary action (`/binary`)",
            )?;
        // It listens on no other address of its own.
        let by_address = settings
            .networks
            .unwrap_or_default()
            .into_values()
            .find_map(|endpoint| endpoint.ip_address?.parse::<Ipv4Addr>().ok())
            .map(|own| format!("{own}:{PORT}"));
        let by_name = format!("{name}:{PORT}");
        let local = format!("127.0.0.1:{published}");
        let url = |host: &str| Url::parse(&format!("http://{host}{PATH}"));
        let host = if options.has_job_container && self.has_names() {
            &by_name
        } else {
            &local
        };
        let url_in_containers = by_address.as_deref().map(url).transpose()?;
        let on_machine =
            ["localhost", HOST_OF_CONTAINERS].map(|host| format!("{host}:{published}"));
        Ok(Address {
            url: Some(url(host)?),
            url_in_containers,
            hosts: [by_name, local]
                .into_iter()
                .chain(on_machine)
                .chain(by_address)
                .collect(),
        })
    }
}

pub(super) fn port_key() -> String {
    format!("{PORT}/tcp")
}
