//! The servers to connect to, from `region`, `api_url`, and `mcp_url`.

use std::fmt;

use url::Url;

use super::error::ValueError;
use crate::port::{self, Endpoints, Region, Service};
use crate::text::or_list;

/// The values of the input `region`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RegionChoice {
    /// The region of `api_url` or `mcp_url`, if it is an address of Port; otherwise the region that accepts
    /// the credentials.
    Auto,
    /// This region only.
    Only(Region),
}

impl RegionChoice {
    pub(super) const ALL: [Self; 3] = [
        Self::Auto,
        Self::Only(Region::ALL[0]),
        Self::Only(Region::ALL[1]),
    ];
}

impl fmt::Display for RegionChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Only(region) => region.fmt(f),
        }
    }
}

/// The servers to try, in this order: more than one only if the region is unknown.
///
/// # Errors
/// The input that contradicts the others, and why.
pub(super) fn select(
    choice: RegionChoice,
    api: Option<Url>,
    mcp: Option<Url>,
) -> Result<Vec<Endpoints>, (&'static str, ValueError)> {
    let region = match (choice, region_of_urls(api.as_ref(), mcp.as_ref())?) {
        (RegionChoice::Only(region), Some(found)) if region != found => {
            let error = ValueError::new(
                format!("is `{region}`, but `api_url` or `mcp_url` is in region `{found}`"),
                format!("use `{found}` or `auto`, or remove `api_url` and `mcp_url`"),
            );
            return Err(("region", error));
        }
        (RegionChoice::Only(region), _) | (RegionChoice::Auto, Some(region)) => Some(region),
        (RegionChoice::Auto, None) => None,
    };
    match (region, api, mcp) {
        (Some(region), api, mcp) => {
            let port = Endpoints::in_region(region);
            let (api, mcp) = (api.unwrap_or(port.api), mcp.unwrap_or(port.mcp));
            Ok(vec![endpoints(Some(region), api, mcp)])
        }
        (None, None, None) => Ok(Region::ALL.into_iter().map(Endpoints::in_region).collect()),
        (None, Some(api), Some(mcp)) => Ok(vec![endpoints(None, api, mcp)]),
        (None, Some(_), None) => Err(("region", unknown_region("api_url", "mcp_url"))),
        (None, None, Some(_)) => Err(("region", unknown_region("mcp_url", "api_url"))),
    }
}

/// The region of those URLs that are Port's.
fn region_of_urls(
    api: Option<&Url>,
    mcp: Option<&Url>,
) -> Result<Option<Region>, (&'static str, ValueError)> {
    let region_of = |url: Option<&Url>| Region::from_host(url?.host_str()?);
    match (region_of(api), region_of(mcp)) {
        (Some(api), Some(mcp)) if api != mcp => {
            let error = ValueError::new(
                format!("is in region `{api}`, but `mcp_url` is in region `{mcp}`"),
                "use addresses of one region, or remove both and set `region`",
            );
            Err(("api_url", error))
        }
        (api, mcp) => Ok(api.or(mcp)),
    }
}

fn unknown_region(given: &str, missing: &str) -> ValueError {
    ValueError::new(
        format!("is `auto`, but the custom `{given}` does not determine the region"),
        format!(
            "set `region` to {} to use Port's `{missing}`, or set `{missing}` too",
            or_list(&Region::ALL)
        ),
    )
}

/// A URL that may receive credentials.
pub(super) fn url(value: &str, service: Service) -> Result<Url, ValueError> {
    let problem = match Url::parse(value) {
        Err(_) => "is not a URL".to_owned(),
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            "contains credentials, which belong in `client_id` and `client_secret`".to_owned()
        }
        Ok(url) if url.query().is_some() || url.fragment().is_some() => {
            "contains a query or a fragment".to_owned()
        }
        Ok(url) if url.scheme() != "https" && !port::is_loopback_http(&url) => {
            "is not https, so credentials would be sent unencrypted".to_owned()
        }
        Ok(url) => match url.host_str().and_then(Service::from_host) {
            Some(other) if other != service => format!("is the address of {other}"),
            _ => return Ok(url),
        },
    };
    let default = service.url(Region::ALL[0]);
    let hint = format!("use an https URL of {service}, such as `{default}`");
    Err(ValueError::new(problem, hint))
}

fn endpoints(region: Option<Region>, api: Url, mcp: Url) -> Endpoints {
    Endpoints {
        region,
        api: without_version(api),
        mcp: with_version(mcp),
    }
}

/// Port's clients accept the API's URL with or without its version, which is added to each request. Port's guides for `curl`
/// name the URL of the token exchange.
fn without_version(mut url: Url) -> Url {
    let without = |path: &str, suffix| path.strip_suffix(suffix).unwrap_or(path).to_owned();
    let base = without(url.path().trim_end_matches('/'), "/auth/access_token");
    url.set_path(&without(&base, "/v1"));
    url
}

/// The MCP server is at `/v1`, unless the URL has another path.
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
