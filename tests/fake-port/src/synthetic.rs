//! Any number of generated tools, for benchmarks.

use std::sync::Arc;

use rmcp::model::Tool;

use crate::{
    catalog::{hints, schema},
    offers::{Kind, Offer},
};

/// The nouns in the names of the tools.
const NOUNS: [&str; 8] = [
    "service",
    "deployment",
    "incident",
    "environment",
    "cluster",
    "package",
    "team",
    "vulnerability",
];

/// The verbs in the names of the tools, each with its kind, whether it is destructive, and the
/// start of the description.
const VERBS: [(&str, Kind, bool, &str); 4] = [
    ("list", Kind::Read, false, "Lists or counts entities"),
    (
        "get",
        Kind::Read,
        false,
        "Gets one entity with its relations",
    ),
    (
        "upsert",
        Kind::Write,
        false,
        "Creates an entity or merges properties into it",
    ),
    (
        "delete",
        Kind::Write,
        true,
        "Deletes an entity, with its dependents if asked",
    ),
];

/// This many tools, each with a unique name.
pub(crate) fn offers(count: usize) -> Vec<Offer> {
    // Shared, because separate schemas would use most of the memory of a large catalog.
    let schema = Arc::new(schema(&[
        "blueprintIdentifier: string",
        "identifiers?: array",
        "query?: object",
        "properties?: object",
        "countOnly?: boolean",
        "limit?: integer",
    ]));
    (0..count)
        .map(|number| {
            let (verb, kind, destructive, does) = VERBS[number % VERBS.len()];
            let noun = NOUNS[number / VERBS.len() % NOUNS.len()];
            let description = format!(
                "{does} of the blueprint {noun} in the part of the catalog with the number \
                 {number}. Filter with a query where there may be many, and ask for no more than \
                 is needed."
            );
            let tool = Tool::new(
                format!("{verb}_{noun}_{number}"),
                description,
                Arc::clone(&schema),
            )
            .with_title(format!("{verb} {noun} {number}"))
            .with_annotations(hints(kind, destructive));
            Offer { kind, tool }
        })
        .collect()
}
