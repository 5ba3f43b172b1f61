//! The direction of the house: what a module imports, who prints, and who starts a gateway.

use std::fs;
use std::path::{Path, PathBuf};

/// Each module, and all that it imports of the crate. It comes after everything that it imports, so there is no circle.
const IMPORTS: &[(&str, &[&str])] = &[
    ("text", &[]),
    ("connection", &[]),
    ("file", &[]),
    ("tool", &["text"]),
    ("troubleshooting", &["text"]),
    ("http", &["text"]),
    ("port", &["http", "text"]),
    ("mcp", &["http", "text"]),
    ("agents", &["connection", "text", "tool"]),
    (
        "access",
        &["connection", "http", "mcp", "port", "text", "tool"],
    ),
    ("runner", &["file", "text", "troubleshooting"]),
    (
        "gateway",
        &["access", "http", "mcp", "port", "text", "tool"],
    ),
    (
        "inputs",
        &[
            "access",
            "agents",
            "connection",
            "file",
            "http",
            "port",
            "runner",
            "text",
        ],
    ),
    ("launch", &["gateway", "http", "port", "runner", "text"]),
    ("error", &["access", "http", "inputs", "runner"]),
    (
        "connect",
        &[
            "access",
            "agents",
            "connection",
            "error",
            "gateway",
            "http",
            "inputs",
            "launch",
            "mcp",
            "port",
            "runner",
            "text",
            "tool",
        ],
    ),
    ("cleanup", &["error", "gateway", "launch", "runner", "text"]),
    (
        "answer",
        &["agents", "file", "inputs", "port", "runner", "text"],
    ),
    (
        "cli",
        &[
            "access",
            "agents",
            "answer",
            "cleanup",
            "connect",
            "connection",
            "error",
            "gateway",
            "inputs",
            "mcp",
            "port",
            "runner",
            "text",
        ],
    ),
];

/// What is exported at the top of the crate, and its module.
const EXPORTED: [(&str, &str); 2] = [("Connection", "connection"), ("Error", "error")];

/// Every file of the crate but tests of modules and what only tests and fuzzers compile, with its path below `src`.
fn sources() -> Vec<(String, String)> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut directories: Vec<PathBuf> = vec![source.clone()];
    let mut sources = Vec::new();
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let place = path.strip_prefix(&source).unwrap().to_str().unwrap();
            let place = place.replace('\\', "/");
            if path.is_dir() {
                directories.push(path);
            } else if place.strip_suffix(".rs").is_some() && !place.starts_with("fuzzing/") {
                let text = fs::read_to_string(&path).unwrap();
                let product = text.split("#[cfg(test)]\nmod tests").next().unwrap();
                sources.push((place, product.to_owned()));
            }
        }
    }
    sources
}

fn module_of(place: &str) -> &str {
    let name = place.split('/').next().unwrap();
    name.strip_suffix(".rs").unwrap_or(name)
}

/// The modules that a text names after `crate::`.
fn imports(text: &str) -> Vec<&str> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut names = Vec::new();
    for after in text.split("crate::").skip(1) {
        let path = match after.strip_prefix('{') {
            Some(list) => list.split('}').next().unwrap_or_default(),
            None => after.split(|c| !is_word(c)).next().unwrap_or_default(),
        };
        names.extend(path.split(|c| !is_word(c)).filter(|name| !name.is_empty()));
    }
    names
        .into_iter()
        .map(|name| {
            let exported = EXPORTED.iter().find(|(known, _)| *known == name);
            exported.map_or(name, |(_, module)| module)
        })
        .collect()
}

#[test]
fn data_flows_one_way() {
    for (index, (module, imported)) in IMPORTS.iter().enumerate() {
        for name in *imported {
            let is_before = IMPORTS[..index].iter().any(|(known, _)| known == name);
            assert!(is_before, "{module} imports {name}, which is not before it");
        }
    }
    for (place, text) in sources() {
        let module = module_of(&place);
        if ["main", "lib"].contains(&module) {
            continue;
        }
        let known = IMPORTS.iter().find(|(known, _)| *known == module);
        let (_, allowed) = known.unwrap_or_else(|| panic!("{module} is not in the list"));
        for name in imports(&text) {
            let is_allowed = name == module || allowed.contains(&name);
            assert!(is_allowed, "src/{place}: {module} imports {name}");
        }
    }
}

/// The log masks nothing that another module prints. The gateway's standard output is its own protocol.
#[test]
fn only_the_runner_prints() {
    let printers = ["runner/log.rs", "gateway/serve.rs", "gateway/audit/sink.rs"];
    for (place, text) in sources() {
        for print in ["print!(", "println!(", "io::stdout()", "io::stderr()"] {
            let prints = text.contains(print) && !printers.contains(&place.as_str());
            assert!(!prints, "src/{place} contains {print}");
        }
    }
}

#[test]
fn only_connect_and_cleanup_launch() {
    for (place, text) in sources() {
        let launches = imports(&text).contains(&"launch");
        let may = ["connect", "cleanup", "launch"].contains(&module_of(&place));
        assert!(may || !launches, "src/{place}");
    }
}
