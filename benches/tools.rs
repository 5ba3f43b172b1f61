//! The time to resolve `allowed_tools`, by the number of tools that the server offers:
//! `cargo bench --bench tools`.

use std::collections::HashSet;
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use port_mcp_action::access::{self, KnownTools, Patterns};
use port_mcp_action::mcp::Tool;
use port_mcp_action::tool::FunctionName;

/// Half of the entries are names, a quarter are globs that share a prefix with many tools, and a quarter are
/// exclusions.
fn patterns() -> Patterns {
    let entries: Vec<String> = (0..200)
        .map(|n| match n % 4 {
            0 => format!("list_*_{n}"),
            1 => format!("!delete_*{n}"),
            _ => format!("get_service_{n}"),
        })
        .collect();
    match Patterns::parse(entries.iter().map(String::as_str)) {
        Ok(patterns) => patterns,
        Err(errors) => panic!("{errors:?}"),
    }
}

fn offered(count: usize) -> Vec<Tool> {
    let verbs = [
        "list_service",
        "delete_service",
        "get_service",
        "get_service",
    ];
    (0..count)
        .map(|n| Tool {
            read_only: Some(true),
            ..Tool::named(&format!("{}_{n}", verbs[n % 4]))
        })
        .collect()
}

fn resolve(criterion: &mut Criterion) {
    let requested = patterns();
    let known = KnownTools {
        writable: &HashSet::new(),
        replacements: |_| Vec::new(),
        is_removed: |_| false,
        can_be_hidden: false,
    };

    let functions = |name: &str| FunctionName::plain(&format!("mcp__port__{name}"));
    let mut group = criterion.benchmark_group("200 patterns against");
    for count in [1_000, 10_000, 100_000] {
        let offered = offered(count);
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter(|| {
                let resolution = access::resolve(
                    &requested,
                    black_box(&offered),
                    Some(&requested),
                    true,
                    &functions,
                    &known,
                );
                assert!(resolution.1.is_ok());
            });
        });
    }
    group.finish();
}

criterion_group!(benches, resolve);
criterion_main!(benches);
