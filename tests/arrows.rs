//! The map of the modules: who may know whom. An arrow that is not here is a mistake, or a change of
//! the map that wants a reason.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Module, and what it may name. A room's inner modules count as the room.
const MAP: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("runtime", &[]),
    ("token", &["error"]),
    ("grpc", &["error"]),
    ("origin", &["error"]),
    ("replay", &["error"]),
    ("source", &["error", "token"]),
    ("rejection", &["source"]),
    ("fetch", &["error", "token"]),
    ("cache", &["error", "fetch", "runtime", "source", "token"]),
    ("http_service", &["error"]),
    ("resend", &["error", "http_service", "replay", "runtime", "source"]),
    ("future", &["error", "http_service", "rejection", "replay", "resend", "source"]),
    (
        "service",
        &[
            "cache",
            "error",
            "future",
            "http_service",
            "origin",
            "rejection",
            "replay",
            "resend",
            "source",
        ],
    ),
    ("layer", &["cache", "error", "fetch", "origin", "replay", "service", "source"]),
];

/// What knows the core, and what the core does not know.
const ROOMS: &[&str] = &["token_endpoint", "docs", "grpc", "lib", "testing", "vendor"];

/// Inside the cache.
const CACHE: &[(&str, &[&str])] =
    &[("flight", &[]), ("clock", &[]), ("policy", &[]), ("slot", &["clock", "policy"])];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// The paths that the code names after `crate::`, with groups in braces taken apart; comments and
/// documentation do not count.
fn named(text: &str) -> BTreeSet<String> {
    let code: Vec<_> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join(" ");
    let mut found = BTreeSet::new();
    for (at, root) in code.match_indices("crate::") {
        let before = code[..at].chars().next_back();
        if !before.is_some_and(|before| before.is_alphanumeric() || before == '$') {
            expand("", &code[at + root.len()..], &mut found);
        }
    }
    found
}

/// Adds the path that `rest` begins with, or all of its group. Gives what comes after it.
fn expand<'a>(path: &str, rest: &'a str, found: &mut BTreeSet<String>) -> &'a str {
    let rest = rest.trim_start();
    if let Some(mut rest) = rest.strip_prefix('{') {
        loop {
            rest = rest.trim_start();
            if let Some(rest) = rest.strip_prefix('}') {
                return rest;
            }
            let after = expand(path, rest, found).trim_start();
            rest = after.strip_prefix(',').unwrap_or(after);
            assert!(!rest.is_empty(), "a group without an end");
        }
    }
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    assert!(end > 0, "cannot read {rest:.40}");
    let path = format!("{path}{}", &rest[..end]);
    match rest[end..].strip_prefix("::") {
        Some(rest) => expand(&format!("{path}::"), rest, found),
        None => {
            found.insert(path);
            &rest[end..]
        }
    }
}

/// Checks each module of `folder`, whose paths begin with `prefix`, against `map`.
fn check(folder: &Path, prefix: &str, map: &[(&str, &[&str])]) {
    for (module, may_know) in map {
        let file = folder.join(format!("{module}.rs"));
        let files = if file.exists() { vec![file] } else { sources(&folder.join(module)) };
        assert!(!files.is_empty(), "no module {module}");
        for file in files {
            let text = fs::read_to_string(&file).unwrap();
            assert!(!text.contains("super::super"), "{}: a way round the map", file.display());
            for path in named(&text) {
                let Some(path) = path.strip_prefix(prefix) else { continue };
                let other = path.split("::").next().unwrap();
                assert!(
                    other == *module || may_know.contains(&other),
                    "{}: {module} may not know {other}",
                    file.display()
                );
            }
        }
    }
}

#[test]
fn the_core_knows_whom_it_may_know_and_no_room() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    check(&source, "", MAP);
    check(&source.join("cache"), "cache::", CACHE);
    for entry in fs::read_dir(source).unwrap() {
        let name = entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned();
        let known = MAP.iter().any(|(module, _)| *module == name) || ROOMS.contains(&&*name);
        assert!(known, "{name} is not on the map");
    }
}

#[test]
fn no_file_has_more_than_three_hundred_lines_before_its_tests() {
    for file in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        let text = fs::read_to_string(&file).unwrap();
        let lines = text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).count();
        assert!(lines <= 300, "{}: {lines} lines", file.display());
    }
}

#[test]
fn the_reader_of_arrows_sees_them() {
    let text = "use crate::{\n    a::{self, b::{C, D}},\n    e,\n};\n// use crate::f;\nfn f(_: crate::g::H) {}\n";
    let found: Vec<_> = named(text).into_iter().collect();
    assert_eq!(found, ["a::b::C", "a::b::D", "a::self", "e", "g::H"]);
}
