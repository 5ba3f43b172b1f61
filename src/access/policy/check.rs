//! Whether a rule allows what a run requests.

use super::Rule;
use crate::access::pattern::Patterns;
use crate::access::{AccessError, AccessErrors};
use crate::agents::Connection;
use crate::port::{Actions, Region};
use crate::text::{Quote, or_list};

/// The inputs of a run that a rule can limit.
#[derive(Clone, Copy, Debug)]
pub struct AccessRequest<'a> {
    /// The input `allowed_tools`.
    pub tools: &'a Patterns,
    /// The input `allowed_actions`.
    pub actions: &'a Actions,
    /// The input `read_only`.
    pub read_only: bool,
    /// The regions whose servers would receive the credentials, in this order. Empty if both addresses are
    /// custom and `region` is not set.
    pub regions: &'a [Region],
    /// The hosts in `api_url` and `mcp_url` that do not belong to Port.
    pub custom_hosts: &'a [&'a str],
    /// The input `connection`.
    pub connection: Connection,
}

/// The part of a request that a rule allows.
#[derive(Debug)]
pub struct Allowed {
    /// The actions that the agent may run: the requested ones, or the rule's if `*` was requested.
    pub actions: Actions,
    /// The requested regions that the rule allows.
    pub regions: Vec<Region>,
}

impl Rule<'_> {
    /// Checks a request, except for the tools that its globs may match: those are resolved when the
    /// server's tools are known.
    ///
    /// # Errors
    /// Everything that the rule does not allow.
    pub fn check(&self, request: &AccessRequest<'_>) -> Result<Allowed, AccessErrors> {
        let regions = self.allowed_regions(request.regions);
        let denied: Vec<AccessError> = [
            self.denied_tools(request.tools),
            self.denied_mode(request.read_only),
            self.denied_regions(request.regions, &regions),
            self.denied_connection(request.connection),
            self.denied_hosts(request.custom_hosts),
            self.denied_actions(request.actions),
        ]
        .into_iter()
        .flatten()
        .collect();
        if denied.is_empty() {
            let actions = self.allowed_actions(request.actions);
            Ok(Allowed { actions, regions })
        } else {
            Err(AccessErrors(denied))
        }
    }

    fn deny(&self, what: String, allowed: String) -> AccessError {
        AccessError::NotAllowed {
            what,
            rule: self.title.clone(),
            allowed,
        }
    }

    fn denied_tools(&self, tools: &Patterns) -> Vec<AccessError> {
        let allowed = self.tools();
        let denied = tools.names().iter().filter(|name| !allowed.allows(name));
        denied
            .map(|name| {
                let reason = if self.allow.tools.allows(name) {
                    ", which limits `actions`: this tool runs every action and workflow"
                } else {
                    ""
                };
                self.deny(format!("tool `{name}`"), reason.to_owned())
            })
            .collect()
    }

    fn denied_mode(&self, read_only: bool) -> Vec<AccessError> {
        if read_only || self.allow.write {
            return Vec::new();
        }
        vec![self.deny("`read_only: false`".to_owned(), String::new())]
    }

    fn allowed_regions(&self, regions: &[Region]) -> Vec<Region> {
        let allowed = self.allow.regions.as_ref();
        let is_allowed = |region: &Region| allowed.is_none_or(|all| all.contains(region));
        regions.iter().copied().filter(is_allowed).collect()
    }

    fn denied_regions(&self, regions: &[Region], allowed: &[Region]) -> Vec<AccessError> {
        let Some(all) = self.allow.regions.as_ref().filter(|_| allowed.is_empty()) else {
            return Vec::new();
        };
        let what = match regions {
            [] => "a custom server without `region`".to_owned(),
            [only] => format!("`region: {only}`"),
            _ => "`region: auto`".to_owned(),
        };
        vec![self.deny(what, allows("regions", all))]
    }

    fn denied_connection(&self, connection: Connection) -> Vec<AccessError> {
        match &self.allow.connection {
            Some(all) if !all.contains(&connection) => {
                let what = format!("`connection: {connection}`");
                vec![self.deny(what, allows("connections", all))]
            }
            _ => Vec::new(),
        }
    }

    fn denied_hosts(&self, hosts: &[&str]) -> Vec<AccessError> {
        let servers: Vec<Quote> = self.allow.servers.iter().map(|s| Quote::new(s)).collect();
        let denied = hosts.iter().filter(|host| !self.allow.has_server(host));
        denied
            .map(|host| {
                self.deny(
                    format!("the server {host}"),
                    allows("custom servers", &servers),
                )
            })
            .collect()
    }

    fn denied_actions(&self, actions: &Actions) -> Vec<AccessError> {
        let Actions::Only(requested) = actions else {
            return Vec::new();
        };
        if self.allow.has_every_action() {
            return Vec::new();
        }
        let known: Vec<Quote> = self.allow.actions.iter().map(|a| Quote::new(a)).collect();
        let denied = requested
            .iter()
            .filter(|action| !self.allow.actions.contains(action));
        denied
            .map(|action| {
                let what = format!("`allowed_actions: {action}`");
                self.deny(what, allows("actions", &known))
            })
            .collect()
    }

    fn allowed_actions(&self, actions: &Actions) -> Actions {
        match actions {
            Actions::All if !self.allow.has_every_action() => {
                Actions::Only(self.allow.actions.clone())
            }
            requested => requested.clone(),
        }
    }
}

fn allows<T: std::fmt::Display>(what: &str, all: &[T]) -> String {
    match all {
        [] => format!(", which allows no {what}"),
        all => format!(", which allows {}", or_list(all)),
    }
}
