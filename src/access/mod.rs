//! Who may do what: which of the server's tools the agent is granted.

mod pattern;
pub mod policy;
pub mod source;

use std::collections::{HashMap, HashSet};

use crate::mcp::Tool;
use crate::text::{Quote, nearest};

pub use pattern::{Glob, NotAPattern, Patterns};

/// How many names of tools an error shows at most.
const MOST_NAMES: usize = 40;

/// What the agent gets: always explicit names, in the order in which the server offers them, so
/// that no tool that appears there later slips in.
#[derive(Debug, Default)]
pub struct Grant<'a> {
    /// The tools that the agent may use.
    pub tools: Vec<&'a Tool>,
    /// What a glob asked for and the ceiling withholds.
    pub narrowed: Vec<&'a Tool>,
    /// What a glob asked for although read-only mode should have kept it from being offered.
    pub risky: Vec<&'a Tool>,
    /// What a glob asked for and the agent's program cannot tell from another tool.
    pub colliding: Vec<&'a Tool>,
    /// What the server offers under names that no tool may have; never granted.
    pub misnamed: Vec<&'a Tool>,
}

impl Grant<'_> {
    /// The names of what is `offered` and not granted, those aside that no list of names can hold.
    #[must_use]
    pub fn withheld(&self, offered: &[Tool]) -> Vec<String> {
        let granted: HashSet<&str> = self.tools.iter().map(|tool| tool.name.as_str()).collect();
        let names = offered.iter().map(|tool| &tool.name);
        names
            .filter(|name| !granted.contains(name.as_str()) && pattern::is_name(name))
            .cloned()
            .collect()
    }
}

/// Why a request is not granted.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what each one means")]
pub enum Refusal {
    #[error("`{tool}` is not offered: {why}")]
    NotOffered { tool: String, why: Missing },
    #[error("`{glob}` matches none of the {offered} tools that are offered: {names}")]
    NoMatch {
        glob: String,
        offered: usize,
        names: String,
    },
    #[error(
        "{what} is above the ceiling of {rule}{allowed}\n\
         hint: ask for less, or ask whoever keeps the policy"
    )]
    AboveCeiling {
        what: String,
        rule: String,
        allowed: String,
    },
    #[error(
        "`{tool}` is for this agent the same as {others}, which the server offers too: it writes \
         both as `{notation}`, so a call of the one could run the other\n\
         hint: use an agent that tells them apart, or ask the server's operator to rename one"
    )]
    Collides {
        tool: String,
        others: String,
        notation: Quote,
    },
    #[error("{what} of `base_config` {effect}; {rule} does not allow that\nhint: {hint}")]
    Configuration {
        what: String,
        effect: String,
        rule: String,
        hint: String,
    },
    #[error("nothing is left of `allowed_tools`: {0}")]
    NothingLeft(String),
}

/// Why a tool that was asked for by name is not offered.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what each one means")]
pub enum Missing {
    #[error("Port replaced it by `{0}`")]
    Replaced(String),
    #[error("Port has removed it; the server offers {0}")]
    Gone(String),
    #[error(
        "the server withholds it in read-only mode; set `read_only: false` if the agent is to write"
    )]
    ReadOnly,
    #[error("did you mean `{0}`?")]
    Near(String),
    #[error("the server offers {0}")]
    Unknown(String),
}

/// All refusals of a request, to be said at once.
#[derive(Debug)]
pub struct Refusals(pub Vec<Refusal>);

impl std::error::Error for Refusals {}

impl std::fmt::Display for Refusals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let lines: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

/// What is known about tools that are not offered.
pub struct Lore<'a> {
    /// The names that the server offers once it is not asked for read-only mode.
    pub writable: &'a HashSet<String>,
    /// What may have replaced a tool of earlier times, the likeliest first.
    pub replacements: fn(&str) -> Vec<String>,
    /// Whether a tool of earlier times is gone without one that replaced it.
    pub is_gone: fn(&str) -> bool,
}

/// How the agent's program names a tool; two that it gives one name are one to it.
pub type Notation<'a> = &'a dyn Fn(&str) -> String;

/// Resolves what is `wanted` against what is `offered`, below the `ceiling`.
///
/// A name that is not offered is refused, and so is a glob that matches nothing, and a name that the
/// agent's program cannot tell from another tool's. A glob never grants what is above the ceiling,
/// what the program cannot tell apart, nor, in read-only mode, a tool that may change something by
/// its own annotations: such a tool must be named.
///
/// # Errors
/// Every name and glob that cannot be granted, each with its reason.
pub fn grant<'a>(
    wanted: &Patterns,
    offered: &'a [Tool],
    ceiling: Option<&Patterns>,
    read_only: bool,
    notation: Notation<'_>,
    lore: &Lore<'_>,
) -> Result<Grant<'a>, Refusals> {
    let twins = twins(offered, notation);
    let literal: HashSet<&str> = wanted.names.iter().map(String::as_str).collect();
    let mut grant = Grant::default();
    let mut unmatched = vec![true; wanted.globs.len()];
    for tool in offered {
        let name = tool.name.as_str();
        let mut globbed = false;
        for ((_, glob), unmatched) in wanted.globs.iter().zip(&mut unmatched) {
            // Whether it matched anything is asked of every glob, whether the tool is granted of
            // any one: the rest need not be tried.
            if (*unmatched || !globbed) && glob.matches(name) {
                *unmatched = false;
                globbed = true;
            }
        }
        let named = literal.contains(name);
        if !pattern::is_name(name) {
            grant.misnamed.push(tool);
        } else if !(named || globbed) || wanted.exclude(name) {
        } else if ceiling.is_some_and(|ceiling| !ceiling.grant(name)) {
            grant.narrowed.push(tool);
        } else if twins.contains_key(name) && !named {
            grant.colliding.push(tool);
        } else if read_only && tool.may_write() && !named {
            grant.risky.push(tool);
        } else {
            grant.tools.push(tool);
        }
    }
    let mut refusals = refusals(wanted, offered, &unmatched, lore);
    refusals.extend(grant.tools.iter().filter_map(|tool| {
        let others = twins.get(tool.name.as_str())?;
        Some(Refusal::Collides {
            tool: tool.name.clone(),
            others: list(others.iter().copied()),
            notation: Quote::new(&notation(&tool.name)),
        })
    }));
    if !refusals.is_empty() {
        return Err(Refusals(refusals));
    }
    if grant.tools.is_empty() {
        return Err(Refusals(vec![Refusal::NothingLeft(nothing_left(&grant))]));
    }
    Ok(grant)
}

/// For each tool that the agent's program cannot tell from others, their names.
fn twins<'a>(offered: &'a [Tool], notation: Notation<'_>) -> HashMap<&'a str, Vec<&'a str>> {
    let mut by_notation: HashMap<String, Vec<&str>> = HashMap::new();
    for tool in offered {
        let names = by_notation.entry(notation(&tool.name)).or_default();
        names.push(&tool.name);
    }
    let shared = by_notation.into_values().filter(|names| names.len() > 1);
    shared
        .flat_map(|names| {
            let all = names.clone();
            names.into_iter().map(move |name| {
                let others = all.iter().copied().filter(|other| *other != name);
                (name, others.collect())
            })
        })
        .collect()
}

fn refusals(
    wanted: &Patterns,
    offered: &[Tool],
    unmatched: &[bool],
    lore: &Lore<'_>,
) -> Vec<Refusal> {
    let known: HashSet<&str> = offered.iter().map(|tool| tool.name.as_str()).collect();
    let missing = wanted
        .names
        .iter()
        .filter(|name| !known.contains(name.as_str()) && !wanted.exclude(name))
        .map(|name| Refusal::NotOffered {
            tool: name.clone(),
            why: why_missing(name, offered, lore),
        });
    let globs = wanted.globs.iter().zip(unmatched);
    let without_match = globs
        .filter(|(_, unmatched)| **unmatched)
        .map(|((glob, _), _)| Refusal::NoMatch {
            glob: glob.clone(),
            offered: offered.len(),
            names: list(offered.iter().map(|tool| tool.name.as_str())),
        });
    missing.chain(without_match).collect()
}

fn why_missing(name: &str, offered: &[Tool], lore: &Lore<'_>) -> Missing {
    let names = || offered.iter().map(|tool| tool.name.as_str());
    let is_real =
        |name: &String| names().any(|known| known == name) || lore.writable.contains(name);
    if lore.writable.contains(name) {
        Missing::ReadOnly
    } else if let Some(now) = (lore.replacements)(name).into_iter().find(is_real) {
        Missing::Replaced(now)
    } else if (lore.is_gone)(name) {
        Missing::Gone(list(names()))
    } else if let Some(near) = nearest(name, names()) {
        Missing::Near(Quote::new(near).to_string())
    } else {
        Missing::Unknown(list(names()))
    }
}

fn nothing_left(grant: &Grant<'_>) -> String {
    let names = |tools: &[&Tool]| list(tools.iter().map(|tool| tool.name.as_str()));
    let mut why = Vec::new();
    if !grant.narrowed.is_empty() {
        why.push(format!("the policy withholds {}", names(&grant.narrowed)));
    }
    if !grant.risky.is_empty() {
        why.push(format!(
            "in read-only mode no pattern grants a tool that may change something, as every tool may \
             that does not say it only reads; name it: {}",
            names(&grant.risky)
        ));
    }
    if !grant.colliding.is_empty() {
        why.push(format!(
            "this agent cannot tell these from others: {}",
            names(&grant.colliding)
        ));
    }
    if !grant.misnamed.is_empty() {
        why.push(format!(
            "these have names that MCP does not allow: {}",
            names(&grant.misnamed)
        ));
    }
    if why.is_empty() {
        "its exclusions (`!`) take all that it includes".to_owned()
    } else {
        why.join("; ")
    }
}

/// Names of tools as a sentence lists them, the first few of many. They may be a server's.
pub fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut names = names.map(|name| format!("`{}`", Quote::new(name)));
    let mut shown: Vec<String> = names.by_ref().take(MOST_NAMES).collect();
    let more = names.count();
    if more > 0 {
        shown.push(format!("and {more} more"));
    }
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::sample::{select, subsequence};

    const NAMES: [&str; 8] = [
        "list_entities",
        "list_blueprints",
        "get_page",
        "run_action",
        "upsert_entity",
        "delete_entity",
        "list_plugins",
        "bad name",
    ];

    /// Tools under some of the names, each with whatever annotations.
    fn offers() -> impl Strategy<Value = Vec<Tool>> {
        let hint = proptest::option::of(any::<bool>());
        let hints = proptest::collection::vec((hint.clone(), hint), NAMES.len());
        (subsequence(NAMES.to_vec(), 0..=NAMES.len()), hints).prop_map(|(names, hints)| {
            let tools = names.into_iter().zip(hints);
            tools
                .map(|(name, (read_only, destructive))| Tool {
                    read_only,
                    destructive,
                    ..Tool::named(name)
                })
                .collect()
        })
    }

    fn entries() -> impl Strategy<Value = Vec<String>> {
        let pattern = select(vec![
            "*",
            "list_*",
            "*_entity",
            "get_page",
            "run_action",
            "delete_*",
            "list_entities",
            "*e*",
        ]);
        let entry = (any::<bool>(), pattern).prop_map(|(excludes, pattern)| {
            let mark = if excludes { "!" } else { "" };
            format!("{mark}{pattern}")
        });
        proptest::collection::vec(entry, 1..6)
    }

    fn patterns(entries: &[String]) -> Option<Patterns> {
        Patterns::read(entries.iter().map(String::as_str)).ok()
    }

    fn granted(
        wanted: &Patterns,
        offered: &[Tool],
        ceiling: Option<&Patterns>,
        read_only: bool,
    ) -> Vec<String> {
        let lore = Lore {
            writable: &HashSet::new(),
            replacements: |_| Vec::new(),
            is_gone: |_| false,
        };
        let notation = |name: &str| name.to_owned();
        let grant = grant(wanted, offered, ceiling, read_only, &notation, &lore);
        let tools = grant.map(|grant| grant.tools).unwrap_or_default();
        tools.into_iter().map(|tool| tool.name.clone()).collect()
    }

    proptest! {
        #[test]
        fn what_is_granted_is_offered_wanted_and_below_the_ceiling(
            offered in offers(), wanted in entries(), ceiling in entries(), read_only: bool,
        ) {
            let (Some(wanted), Some(ceiling)) = (patterns(&wanted), patterns(&ceiling)) else {
                return Ok(());
            };
            for name in granted(&wanted, &offered, Some(&ceiling), read_only) {
                let tool = offered.iter().find(|tool| tool.name == name);
                prop_assert!(wanted.grant(&name) && ceiling.grant(&name) && pattern::is_name(&name));
                // What changes something in read-only mode was asked for by its name.
                let named = wanted.names().contains(&name);
                prop_assert!(tool.is_some_and(|tool| !read_only || !tool.may_write() || named));
            }
        }

        #[test]
        fn a_ceiling_never_widens(
            offered in offers(), wanted in entries(), ceiling in entries(), read_only: bool,
        ) {
            let (Some(wanted), Some(ceiling)) = (patterns(&wanted), patterns(&ceiling)) else {
                return Ok(());
            };
            let without = granted(&wanted, &offered, None, read_only);
            for name in granted(&wanted, &offered, Some(&ceiling), read_only) {
                prop_assert!(without.contains(&name));
            }
        }

        #[test]
        fn an_exclusion_always_wins(offered in offers(), wanted in entries(), read_only: bool) {
            let Some(read) = patterns(&wanted) else { return Ok(()) };
            let excluded: Vec<Glob> = wanted
                .iter()
                .filter_map(|entry| entry.strip_prefix('!'))
                .map(Glob::new)
                .collect();
            for name in granted(&read, &offered, None, read_only) {
                prop_assert!(!excluded.iter().any(|glob| glob.matches(&name)), "{}", name);
            }
        }

        #[test]
        fn the_order_of_the_entries_means_nothing(
            offered in offers(),
            (wanted, shuffled) in entries().prop_flat_map(|entries| {
                (Just(entries.clone()), Just(entries).prop_shuffle())
            }),
            read_only: bool,
        ) {
            let (Some(wanted), Some(shuffled)) = (patterns(&wanted), patterns(&shuffled)) else {
                return Ok(());
            };
            prop_assert_eq!(
                granted(&wanted, &offered, None, read_only),
                granted(&shuffled, &offered, None, read_only)
            );
        }

        #[test]
        fn a_glob_matches_what_its_parts_say(
            parts in proptest::collection::vec("[ab]{0,3}", 1..4),
            fillings in proptest::collection::vec("[abc]{0,3}", 4),
        ) {
            let glob = Glob::new(&parts.join("*"));
            let mut text = parts[0].clone();
            for (part, filling) in parts[1..].iter().zip(&fillings) {
                text.push_str(filling);
                text.push_str(part);
            }
            prop_assert!(glob.matches(&text));
            let outside = format!("{text}c");
            prop_assert!(!glob.matches(&outside) || parts.last().is_some_and(String::is_empty));
        }
    }

    #[test]
    fn long_lists_of_names_are_cut() {
        let names: Vec<String> = (0..50).map(|n| format!("tool_{n}")).collect();
        let text = list(names.iter().map(String::as_str));
        assert!(text.ends_with("`tool_39`, and 10 more"), "{text}");
    }
}
