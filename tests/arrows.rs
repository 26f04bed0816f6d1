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
    ("rejection", &[]),
    ("token", &["error"]),
    ("grpc", &["error"]),
    ("origin", &["error"]),
    ("replay", &["error"]),
    ("source", &["error", "token"]),
    ("fetch", &["error", "token"]),
    ("cache", &["error", "fetch", "runtime", "source", "token"]),
    ("future", &["error", "rejection", "replay", "runtime", "source"]),
    ("service", &["cache", "error", "future", "origin", "replay", "source"]),
    ("layer", &["cache", "error", "fetch", "replay", "service"]),
];

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

/// The modules that the code after `root::` names, with groups in braces taken apart; comments and
/// documentation do not count.
fn named(text: &str, root: &str) -> BTreeSet<String> {
    let code: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| [line, "\n"])
        .collect();
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices(root) {
        if code[..at]
            .chars()
            .next_back()
            .is_some_and(|before| before.is_alphanumeric() || before == '$')
        {
            continue;
        }
        let rest = &code[at + root.len()..];
        let word = |text: &str| {
            text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>()
        };
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut start = true;
            for (at, c) in group.char_indices() {
                match c {
                    '}' if depth == 0 => break,
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    ',' if depth == 0 => start = true,
                    c if start && depth == 0 && c.is_alphabetic() => {
                        found.insert(word(&group[at..]));
                        start = false;
                    }
                    _ => {}
                }
            }
        } else {
            found.insert(word(rest));
        }
    }
    found
}

fn check(folder: &Path, root: &str, map: &[(&str, &[&str])]) {
    for (module, may_know) in map {
        let file = folder.join(format!("{module}.rs"));
        let files = if file.exists() { vec![file] } else { sources(&folder.join(module)) };
        assert!(!files.is_empty(), "no module {module}");
        for file in files {
            let text = fs::read_to_string(&file).unwrap();
            for other in named(&text, root) {
                // Names with capitals are the crate's own re-exports, and hide where they are from.
                assert!(
                    other == *module || may_know.contains(&other.as_str()),
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
    check(&source, "crate::", MAP);
    check(&source.join("cache"), "crate::cache::", CACHE);
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
    let text =
        "use crate::{\n    a::{self, B},\n    c,\n};\n// use crate::d;\nfn f(_: crate::e::F) {}\n";
    let found: Vec<_> = named(text, "crate::").into_iter().collect();
    assert_eq!(found, ["a", "c", "e"]);
}
