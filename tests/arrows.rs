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
    ("service", &["error", "future", "origin", "replay", "source"]),
    ("layer", &["cache", "error", "fetch", "replay", "service"]),
];

/// What knows the core, and what the core does not know.
const ROOMS: &[&str] = &["token_endpoint", "docs", "grpc", "lib", "testing", "vendor"];

/// Inside the cache.
const CACHE: &[(&str, &[&str])] =
    &[("flight", &[]), ("clock", &[]), ("policy", &[]), ("slot", &["clock", "policy"])];

/// Inside the token endpoint: rooms and files, each after what it may name.
const TOKEN_ENDPOINT: &[(&str, &[&str])] = &[
    ("list", &[]),
    ("secret", &[]),
    ("value", &["secret"]),
    ("request", &["list", "secret", "value"]),
    ("response", &[]),
    ("transport", &["request"]),
    ("builder", &["request", "response", "secret", "value"]),
    ("validate", &["builder", "request", "response", "secret"]),
    ("settings", &["builder", "request", "secret", "validate"]),
    ("endpoint", &["builder", "request", "response", "settings", "transport"]),
    ("build", &["builder", "endpoint", "request", "settings", "transport"]),
    ("config", &["builder", "request", "response", "secret", "value"]),
];

/// Inside the rooms of the token endpoint.
const REQUEST: &[(&str, &[&str])] = &[
    ("params", &[]),
    ("renames", &[]),
    ("headers", &[]),
    ("endpoint_request", &["params"]),
    ("encode", &["endpoint_request", "params"]),
    ("authentication", &["encode", "endpoint_request", "headers", "renames"]),
    ("template", &["authentication", "endpoint_request", "headers", "renames"]),
];
const RESPONSE: &[(&str, &[&str])] = &[
    ("field", &[]),
    ("lenient", &[]),
    ("withhold", &[]),
    ("fields", &["lenient"]),
    ("lifetime", &["fields"]),
    ("error", &["fields", "withhold"]),
];
const TRANSPORT: &[(&str, &[&str])] = &[("client", &[]), ("http", &[])];
const CONFIG: &[(&str, &[&str])] = &[("many", &[]), ("secret", &["many"])];

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
    if let Some(rest) = rest.strip_prefix('*') {
        found.insert(path.trim_end_matches("::").to_owned());
        return rest;
    }
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

/// The path of the module that a file of `src` is.
fn module_of(file: &Path) -> Vec<String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let path = file.strip_prefix(source).unwrap().with_extension("");
    let mut parts: Vec<_> = path.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
    if parts.last().is_some_and(|last| last == "mod" || last == "lib") {
        parts.pop();
    }
    parts
}

/// The code of a module with `super::` and `self::` written out from the root. Inner modules are told
/// by their indentation, as rustfmt has it.
fn from_the_root(text: &str, module: &[String]) -> String {
    let (mut out, mut inner) = (String::new(), Vec::new());
    for line in text.lines() {
        let code = line.trim_start();
        let indentation = line.len() - code.len();
        if code == "}" && inner.last() == Some(&indentation) {
            inner.pop();
        }
        let mut here = module.to_vec();
        here.extend(inner.iter().map(|_| "inner".to_owned()));
        let mut rest = line;
        while let Some(at) = ["super::", "self::"].iter().filter_map(|word| rest.find(word)).min() {
            let (before, path) = rest.split_at(at);
            out += before;
            rest = path.strip_prefix("self::").unwrap_or(path);
            if before.ends_with(|char: char| char.is_alphanumeric() || char == '_') {
                out += "self::";
                continue;
            }
            let mut from = here.clone();
            while let Some(after) = rest.strip_prefix("super::") {
                from.pop();
                rest = after;
            }
            out += "crate::";
            from.iter().for_each(|part| out += &format!("{part}::"));
        }
        out += rest;
        out.push('\n');
        let private = code.trim_start_matches("pub(crate) ").trim_start_matches("pub ");
        if private.starts_with("mod ") && code.ends_with('{') {
            inner.push(indentation);
        }
    }
    out
}

/// Checks each module of `folder`, whose paths begin with `prefix`, against `map`.
fn check(folder: &Path, prefix: &str, map: &[(&str, &[&str])]) {
    for (module, may_know) in map {
        let file = folder.join(format!("{module}.rs"));
        let files = if file.exists() { vec![file] } else { sources(&folder.join(module)) };
        assert!(!files.is_empty(), "no module {module}");
        for file in files {
            let text = fs::read_to_string(&file).unwrap();
            for path in named(&from_the_root(&text, &module_of(&file))) {
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

/// Checks a room of which the map has every module, each after what it may name: no circle.
fn whole(room: &str, map: &[(&str, &[&str])]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(room);
    check(&folder, &format!("{}::", room.replace('/', "::")), map);
    for (index, (module, may_know)) in map.iter().enumerate() {
        for known in *may_know {
            let before = map[..index].iter().any(|(earlier, _)| earlier == known);
            assert!(before, "{room}: {module} may know {known}, which is not before it");
        }
    }
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let is_module =
            path.is_dir() || path.extension().is_some_and(|extension| extension == "rs");
        let known = !is_module || name == "mod" || map.iter().any(|(module, _)| *module == name);
        assert!(known, "{} is not on the map", path.display());
    }
}

#[test]
fn the_core_knows_whom_it_may_know_and_no_room() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    check(&source, "", MAP);
    check(&source.join("cache"), "cache::", CACHE);
    whole("token_endpoint", TOKEN_ENDPOINT);
    whole("token_endpoint/request", REQUEST);
    whole("token_endpoint/response", RESPONSE);
    whole("token_endpoint/transport", TRANSPORT);
    whole("token_endpoint/config", CONFIG);
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

#[test]
fn the_reader_of_arrows_sees_those_that_begin_here_or_above() {
    let text = "use super::{a, b::C};\nuse super::super::d;\nuse self::e::F;\nmod inner {\n    use super::*;\n    use super::super::g;\n}\nfn f() -> Self { super::h::i() }\n";
    let module = ["room", "part", "file"].map(str::to_owned);
    let found: Vec<_> = named(&from_the_root(text, &module)).into_iter().collect();
    assert_eq!(
        found,
        [
            "room::d",
            "room::part::a",
            "room::part::b::C",
            "room::part::file",
            "room::part::file::e::F",
            "room::part::g",
            "room::part::h::i",
        ]
    );
}
