//! Which servers to ask: from `region`, `api_url` and `mcp_url`.

use std::fmt;

use url::Url;

use super::Check;
use crate::port::{self, Endpoints, Region, Service};

/// What the input `region` may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// From Port's own addresses where one is given, else by asking.
    Auto,
    /// This region and no other.
    Only(Region),
}

impl Choice {
    pub(super) const ALL: [Self; 3] = [
        Self::Auto,
        Self::Only(Region::ALL[0]),
        Self::Only(Region::ALL[1]),
    ];
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Only(region) => region.fmt(f),
        }
    }
}

impl Check {
    /// The servers to ask, in this order; more than one only where `region` is to be found out.
    pub(super) fn endpoints(
        &mut self,
        choice: Choice,
        api_url: Option<&str>,
        mcp_url: Option<&str>,
    ) -> Vec<Endpoints> {
        let api = api_url.map(|url| self.url("api_url", url, Service::Api));
        let mcp = mcp_url.map(|url| self.url("mcp_url", url, Service::Mcp));
        let region_of = |url: &Option<Url>| Region::of(url.as_ref()?.host_str()?);
        let named = match (region_of(&api), region_of(&mcp)) {
            (Some(api), Some(mcp)) if api != mcp => {
                self.mistakes.add(
                    "api_url",
                    format!("is of the region `{api}`, and `mcp_url` is of `{mcp}`"),
                    "accepted: addresses of one region. Leave both out and set `region`",
                );
                return vec![placeholder(Some(api))];
            }
            (api, mcp) => api.or(mcp),
        };
        let region = match (choice, named) {
            (Choice::Only(region), Some(named)) if region != named => {
                self.mistakes.add(
                    "region",
                    format!("is `{region}`, and `api_url` or `mcp_url` is Port's own of `{named}`"),
                    format!("accepted: `{named}`, `auto`, or no address of Port's own"),
                );
                Some(region)
            }
            (Choice::Only(region), _) | (Choice::Auto, Some(region)) => Some(region),
            (Choice::Auto, None) => None,
        };
        match (region, api, mcp) {
            (None, None, None) => Region::ALL.into_iter().map(Endpoints::of).collect(),
            (None, Some(api), Some(mcp)) => vec![at(None, api, mcp)],
            (None, api, _) => {
                let (given, missing) = match api {
                    Some(_) => ("api_url", "mcp_url"),
                    None => ("mcp_url", "api_url"),
                };
                self.mistakes.add(
                    "region",
                    format!(
                        "is `auto`, which cannot be told from a `{given}` that is not Port's own"
                    ),
                    format!(
                        "accepted: {} for Port's own `{missing}`, or a `{missing}` too",
                        crate::text::either(&Region::ALL)
                    ),
                );
                vec![placeholder(None)]
            }
            (Some(region), api, mcp) => {
                let own = Endpoints::of(region);
                vec![at(
                    Some(region),
                    api.unwrap_or(own.api),
                    mcp.unwrap_or(own.mcp),
                )]
            }
        }
    }

    fn url(&mut self, input: &str, value: &str, service: Service) -> Url {
        let problem = match Url::parse(value) {
            Err(_) => "is not a URL".to_owned(),
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                "holds credentials, which belong into `client_id` and `client_secret`".to_owned()
            }
            Ok(url) if url.query().is_some() || url.fragment().is_some() => {
                "holds a query or a fragment".to_owned()
            }
            Ok(url) if url.scheme() != "https" && !is_loopback_http(&url) => {
                "would send credentials unencrypted".to_owned()
            }
            Ok(url) => match url.host_str().and_then(Service::of) {
                Some(other) if other != service => format!("is the address of {other}"),
                _ => return url,
            },
        };
        let default = service.url(Region::ALL[0]);
        let accepted = format!("accepted: an https URL of {service}, such as `{default}`");
        self.mistakes.add(input, problem, accepted);
        invalid()
    }
}

fn at(region: Option<Region>, api: Url, mcp: Url) -> Endpoints {
    Endpoints {
        region,
        api: without_version(api),
        mcp: with_version(mcp),
    }
}

/// Stands where the addresses are wrong; never used, since the check fails.
fn placeholder(region: Option<Region>) -> Endpoints {
    at(region, invalid(), invalid())
}

/// Stands where a URL was wrong; never used, since the check fails.
pub(super) fn invalid() -> Url {
    #[expect(clippy::expect_used, reason = "a constant")]
    Url::parse("https://invalid.invalid").expect("a constant URL is a URL")
}

pub(super) fn is_loopback_http(url: &Url) -> bool {
    url.scheme() == "http" && port::is_this_machine(url)
}

/// Port's clients give the API's address with or without its version; we add it where it is needed.
fn without_version(mut url: Url) -> Url {
    let path = url.path().trim_end_matches('/');
    let path = path.strip_suffix("/v1").unwrap_or(path).to_owned();
    url.set_path(&path);
    url
}

/// The MCP server is at `/v1` of its host, unless another path is given.
fn with_version(mut url: Url) -> Url {
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(if path.is_empty() { "/v1" } else { &path });
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_accepted_with_and_without_the_version() {
        let url = |text: &str| Url::parse(text).unwrap();
        for api in ["https://h/v1", "https://h/v1/", "https://h", "https://h/"] {
            assert_eq!(without_version(url(api)).as_str(), "https://h/");
        }
        assert_eq!(
            without_version(url("https://h/port/v1")).as_str(),
            "https://h/port"
        );
        for mcp in ["https://h/v1", "https://h/v1/", "https://h", "https://h/"] {
            assert_eq!(with_version(url(mcp)).as_str(), "https://h/v1");
        }
        assert_eq!(
            with_version(url("https://h/mcp/")).as_str(),
            "https://h/mcp"
        );
    }
}
