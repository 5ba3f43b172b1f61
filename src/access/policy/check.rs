//! Whether a rule allows what a run requests.

use super::Rule;
use crate::Connection;
use crate::access::pattern::Patterns;
use crate::access::{AccessError, AccessErrors, instead_of_no_enforcement};
use crate::port::{Actions, Region};
use crate::text::Quote;

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
    /// The input `agent`.
    pub agent: AgentTraits,
}

/// What matters of an agent for a rule.
#[derive(Clone, Copy, Debug)]
pub struct AgentTraits {
    /// Its name in the input `agent`.
    pub name: &'static str,
    /// Whether it enforces `allowed_tools`, by an allowlist or a denylist.
    pub enforces_tools: bool,
    /// Whether it sends Port's headers, which limit the actions.
    pub sends_headers: bool,
    /// Whether it runs where a gateway can.
    pub runs_on_runner: bool,
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
            self.denied_without_header(request),
        ]
        .into_iter()
        .flatten()
        .collect();
        AccessErrors::check(denied)?;
        let actions = self.allowed_actions(request.actions);
        Ok(Allowed { actions, regions })
    }

    /// `instead` is what the run can request, as an imperative clause.
    fn deny(&self, what: String, allowed: String, instead: impl Into<String>) -> AccessError {
        AccessError::NotAllowed {
            what,
            rule: self.title.clone(),
            allowed,
            instead: instead.into(),
            contact: self.contact.clone(),
        }
    }

    /// As [`Rule::check`], without a server: an agent that enforces no list is denied, since a server offers other tools.
    ///
    /// # Errors
    /// Everything that the rule does not allow, and such an agent.
    pub fn check_without_server(&self, request: &AccessRequest<'_>) -> Result<(), AccessErrors> {
        let mut errors = self
            .check(request)
            .err()
            .map_or(Vec::new(), |errors| errors.0);
        let agent = request.agent;
        let is_enforced = agent.enforces_tools || request.connection == Connection::Gateway;
        let is_everything = request.tools.is_everything() && self.tools().is_everything();
        if !is_enforced && !is_everything {
            let can_use_gateway = agent.runs_on_runner && self.allows_gateway();
            let instead = instead_of_no_enforcement(can_use_gateway);
            let reason = ", since this agent does not enforce `allowed_tools`";
            errors.push(self.deny(
                format!("`agent: {}`", agent.name),
                reason.to_owned(),
                instead,
            ));
        }
        AccessErrors::check(errors)
    }

    /// Whether a run with `connection: gateway` is allowed.
    #[must_use]
    pub fn allows_gateway(&self) -> bool {
        self.allow
            .connection
            .as_ref()
            .is_none_or(|all| all.contains(&Connection::Gateway))
    }

    fn denied_tools(&self, tools: &Patterns) -> Vec<AccessError> {
        let allowed = self.tools();
        // The rule lists these, but limits the actions.
        let (everything, others): (Vec<&String>, Vec<&String>) = tools
            .names()
            .iter()
            .filter(|name| !allowed.allows(name))
            .partition(|name| self.allow.tools.allows(name));
        let mut errors = Vec::new();
        if !others.is_empty() {
            let entries: Vec<String> = self.allow.tools.entries().collect();
            let allowed = allows("tools", &entries);
            let what = match others.as_slice() {
                [only] => format!("tool `{only}`"),
                all => in_input("allowed_tools", all),
            };
            errors.push(self.deny(what, allowed, LESS));
        }
        // Without names, the step fails if the patterns grant nothing.
        if tools.names().is_empty() && !tools.can_overlap(&allowed) {
            let patterns: Vec<String> = tools.entries().collect();
            let entries: Vec<String> = self.allow.tools.entries().collect();
            let what = in_input("allowed_tools", &patterns.iter().collect::<Vec<_>>());
            errors.push(self.deny(what, allows("tools", &entries), LESS));
        }
        errors.extend(everything.into_iter().map(|name| {
            let reason = ", which limits `actions`: this tool runs every action and workflow";
            self.deny(format!("tool `{name}`"), reason.to_owned(), LESS)
        }));
        errors
    }

    fn denied_mode(&self, read_only: bool) -> Vec<AccessError> {
        if read_only || self.allow.write {
            return Vec::new();
        }
        let what = "`read_only: false`".to_owned();
        vec![self.deny(what, String::new(), "set `read_only: true`")]
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
        let instead = match all.as_slice() {
            [] => LESS.to_owned(),
            [first, ..] => format!("set `region: {first}`"),
        };
        vec![self.deny(what, allows("regions", all), instead)]
    }

    fn denied_connection(&self, connection: Connection) -> Vec<AccessError> {
        match &self.allow.connection {
            Some(all) if !all.contains(&connection) => {
                let what = format!("`connection: {connection}`");
                // The gateway enforces the most.
                let instead = match all.as_slice() {
                    [] => LESS.to_owned(),
                    all if all.contains(&Connection::Gateway) => {
                        format!("set `connection: {}`", Connection::Gateway)
                    }
                    [first, ..] => format!("set `connection: {first}`"),
                };
                vec![self.deny(what, allows("connections", all), instead)]
            }
            _ => Vec::new(),
        }
    }

    fn denied_hosts(&self, hosts: &[&str]) -> Vec<AccessError> {
        let servers: Vec<Quote> = self.allow.servers.iter().map(|s| Quote::new(s)).collect();
        hosts
            .iter()
            .filter(|host| !self.allow.has_server(host))
            .map(|host| {
                self.deny(
                    format!("the server {host}"),
                    allows("custom servers", &servers),
                    "correct `api_url` and `mcp_url`, or remove them",
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
        let denied: Vec<&String> = requested
            .iter()
            .filter(|action| !self.allow.actions.contains(action))
            .collect();
        if denied.is_empty() {
            return Vec::new();
        }
        let known: Vec<Quote> = self.allow.actions.iter().map(|a| Quote::new(a)).collect();
        vec![self.deny(
            in_input("allowed_actions", &denied),
            allows("actions", &known),
            LESS,
        )]
    }

    /// The rule limits `allowed_actions: *`, but nothing would limit the agent.
    fn denied_without_header(&self, request: &AccessRequest<'_>) -> Vec<AccessError> {
        let is_limited = request.agent.sends_headers || request.connection == Connection::Gateway;
        if is_limited || *request.actions != Actions::All || self.allow.has_every_action() {
            return Vec::new();
        }
        let agent = request.agent;
        let reason = format!(
            ", and `{}` cannot send the header that would limit it",
            agent.name
        );
        let instead = if agent.runs_on_runner && self.allows_gateway() {
            "set `connection: gateway`, or use another agent"
        } else {
            "use another agent"
        };
        vec![self.deny("`allowed_actions: *`".to_owned(), reason, instead)]
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

/// What a run can do about a denial that has no other way out.
const LESS: &str = "request less";

/// The maximum number of names in a denial.
const MAX_NAMES: usize = 20;

/// Names, as the input has them: at most 20.
fn in_input(input: &str, names: &[&String]) -> String {
    let shown: Vec<&str> = names
        .iter()
        .take(MAX_NAMES)
        .map(|name| name.as_str())
        .collect();
    let more = match names.len().saturating_sub(MAX_NAMES) {
        0 => String::new(),
        more => format!(" with {more} more"),
    };
    format!("`{input}: {}`{more}", shown.join(", "))
}

fn allows<T: std::fmt::Display>(what: &str, all: &[T]) -> String {
    match all {
        [] => format!(", which allows no {what}"),
        all => format!(", which allows {}", listed(all)),
    }
}

/// Names in backticks: at most 20, and then how many more there are.
fn listed<T: std::fmt::Display>(names: &[T]) -> String {
    let more = names.len().saturating_sub(MAX_NAMES);
    let mut shown: Vec<String> = names
        .iter()
        .take(MAX_NAMES)
        .map(|name| format!("`{name}`"))
        .collect();
    if more > 0 {
        shown.push(format!("{more} more"));
    }
    match shown.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, first)) => format!("{} and {last}", first.join(", ")),
        None => String::new(),
    }
}
