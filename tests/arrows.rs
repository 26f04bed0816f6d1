//! The map of the modules: who may know whom. An arrow that is not here is a mistake, or a change of
//! the map that wants a reason.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// A folder of `src`, and for each module in it whom of its neighbours it may name: only those above
/// it, so that there is no circle. A module that is a folder counts as one.
type Room = (&'static str, &'static [(&'static str, &'static [&'static str])]);

const MAP: &[Room] = &[
    (
        "",
        &[
            // The core.
            ("error", &[]),
            ("runtime", &[]),
            ("token", &["error"]),
            ("header", &[]),
            ("origin", &["error", "header"]),
            ("replay", &["error"]),
            ("source", &["error", "token"]),
            ("rejection", &["source"]),
            ("fetch", &["error", "token"]),
            ("cache", &["error", "fetch", "runtime", "source", "token"]),
            ("http_service", &["error"]),
            ("deadline", &["error", "runtime"]),
            (
                "resend",
                &[
                    "deadline",
                    "error",
                    "header",
                    "http_service",
                    "rejection",
                    "replay",
                    "runtime",
                    "source",
                ],
            ),
            ("future", &["error", "http_service", "rejection", "resend", "source"]),
            (
                "service",
                &[
                    "cache",
                    "deadline",
                    "error",
                    "future",
                    "header",
                    "http_service",
                    "origin",
                    "rejection",
                    "replay",
                    "resend",
                    "source",
                ],
            ),
            (
                "layer",
                &[
                    "cache",
                    "error",
                    "fetch",
                    "header",
                    "origin",
                    "rejection",
                    "replay",
                    "service",
                    "source",
                ],
            ),
            // The rooms, of which the core knows nothing.
            ("grpc", &["error"]),
            ("token_endpoint", &["cache", "error", "fetch", "origin", "token"]),
            ("vendor", &["token_endpoint"]),
            ("shared", &["error", "fetch", "token", "token_endpoint"]),
            ("testing", &["cache", "error", "fetch", "source", "token"]),
            ("docs", &[]),
        ],
    ),
    (
        "cache",
        &[
            ("sync", &[]),
            ("counts", &[]),
            ("watch", &[]),
            ("clock", &[]),
            ("policy", &[]),
            ("pauses", &["clock", "policy"]),
            ("suspension", &[]),
            ("held", &["policy"]),
            ("fallback", &["held"]),
            ("slot", &["clock", "fallback", "held", "pauses", "policy", "suspension"]),
            ("flight", &["sync"]),
            ("in_flight", &["flight", "held", "sync"]),
            ("state", &["counts", "flight", "held", "in_flight", "policy", "slot", "sync"]),
            ("shards", &["held", "sync"]),
            (
                "core",
                &[
                    "clock",
                    "flight",
                    "held",
                    "in_flight",
                    "policy",
                    "shards",
                    "slot",
                    "state",
                    "sync",
                ],
            ),
            ("fetch", &["core", "flight", "held", "in_flight", "sync", "watch"]),
            ("waiting", &["core", "fetch", "flight", "held", "in_flight"]),
            ("lease", &["core", "fetch", "shards"]),
            ("acquire", &["core", "fetch", "lease", "waiting"]),
            ("replacement", &["acquire", "fetch", "lease", "slot"]),
            ("refresh", &["core", "fetch", "policy", "state", "waiting"]),
            ("status", &["core", "counts", "policy", "slot"]),
            ("builder", &["clock", "core", "policy", "slot"]),
            (
                "token_cache",
                &["acquire", "builder", "core", "fetch", "lease", "refresh", "slot", "status"],
            ),
        ],
    ),
    (
        "shared",
        &[
            ("store", &[]),
            ("memory", &["store"]),
            ("scripts", &[]),
            ("redis", &["scripts", "store"]),
            ("breaker", &[]),
            ("keys", &[]),
            ("value", &[]),
            ("tokens", &["breaker", "keys", "store"]),
            ("entry", &["store", "tokens", "value"]),
            ("fetcher", &["entry", "store", "tokens"]),
            ("layer", &["fetcher", "store", "tokens"]),
            ("fingerprint", &["keys", "store", "tokens"]),
        ],
    ),
    (
        "token_endpoint",
        &[
            ("list", &[]),
            ("secret", &[]),
            ("value", &["secret"]),
            ("request", &["list", "secret", "value"]),
            ("response", &[]),
            ("transport", &["request", "secret"]),
            ("builder", &["request", "response", "secret", "transport", "value"]),
            ("validate", &["builder", "request", "response", "secret"]),
            ("settings", &["builder", "request", "secret", "validate"]),
            ("endpoint", &["builder", "request", "response", "settings", "transport"]),
            ("identity", &["endpoint", "value"]),
            ("build", &["builder", "endpoint", "request", "settings", "transport"]),
            ("build_client", &["builder", "endpoint", "request", "secret", "transport"]),
            ("config", &["builder", "request", "response", "secret", "value"]),
        ],
    ),
    (
        "token_endpoint/request",
        &[
            ("params", &[]),
            ("renames", &[]),
            ("headers", &[]),
            ("endpoint_request", &["params"]),
            ("encode", &["endpoint_request", "params"]),
            ("authentication", &["encode", "endpoint_request", "headers", "renames"]),
            ("template", &["authentication", "endpoint_request", "headers", "renames"]),
        ],
    ),
    (
        "token_endpoint/response",
        &[
            ("field", &[]),
            ("lenient", &[]),
            ("time", &[]),
            ("withhold", &[]),
            ("fields", &["lenient"]),
            ("lifetime", &["fields", "time"]),
            ("code", &[]),
            ("members", &[]),
            ("said", &["code", "field", "fields", "members"]),
            ("hints", &["said"]),
            ("error", &["code", "hints", "said", "time", "withhold"]),
        ],
    ),
    ("token_endpoint/transport", &[("client", &[]), ("cause", &["client"]), ("http", &["cause"])]),
    (
        "token_endpoint/transport/client",
        &[
            ("settings", &[]),
            ("pem", &["settings"]),
            ("proxy", &["settings"]),
            ("tls", &["pem", "settings"]),
        ],
    ),
    ("token_endpoint/config", &[("many", &[]), ("secret", &["many"])]),
];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The modules in a folder.
fn modules(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let code = entries.filter(|path| path.is_dir() || path.extension().unwrap() == "rs");
    let mut names: BTreeSet<_> =
        code.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    names.remove("mod");
    names.remove("lib");
    names
}

/// The code of a file, without comments, and without its tests, which come last.
fn code(text: &str) -> String {
    let before_tests = text.split("\n#[cfg(test)]").next().unwrap();
    let lines = before_tests.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.map(|line| format!("{line}\n")).collect()
}

/// The paths that some code names after `crate::`, `self::` and `super::`, from the root on. `at` is
/// the code's own module.
fn named(code: &str, at: &[String]) -> BTreeSet<Vec<String>> {
    let mut found = BTreeSet::new();
    for root in ["crate::", "self::", "super::"] {
        for (position, _) in code.match_indices(root) {
            let before = code[..position].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$' || c == ':') {
                continue;
            }
            let mut module = [at, &inline_modules(code, position)].concat();
            let mut rest = &code[position..];
            loop {
                if let Some(after) = rest.strip_prefix("crate::") {
                    module.clear();
                    rest = after;
                } else if let Some(after) = rest.strip_prefix("self::") {
                    rest = after;
                } else if let Some(after) = rest.strip_prefix("super::") {
                    assert!(module.pop().is_some(), "above the root: {rest:.40}");
                    rest = after;
                } else {
                    break;
                }
            }
            expand(&module, rest, &mut found);
        }
    }
    found
}

/// The modules inside the file that a position is in.
fn inline_modules(code: &str, position: usize) -> Vec<String> {
    let mut modules = Vec::new();
    for (start, _) in code.match_indices("mod ") {
        let header = code[start + 4..].split(['{', ';']).next().unwrap();
        let body = start + 4 + header.len();
        if body < position && code[body..].starts_with('{') {
            let mut depth = 0;
            let ended = code[body..position].chars().any(|c| {
                depth += i32::from(c == '{') - i32::from(c == '}');
                depth == 0
            });
            if !ended {
                modules.push(header.trim().to_owned());
            }
        }
    }
    modules
}

/// Adds the path that `rest` goes on with, or all of its group. Gives what comes after it.
fn expand<'a>(path: &[String], rest: &'a str, found: &mut BTreeSet<Vec<String>>) -> &'a str {
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
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '*');
    let (name, rest) = rest.split_at(end.unwrap_or(rest.len()));
    assert!(!name.is_empty(), "cannot read {rest:.40}");
    let path = [path, &[name.to_owned()]].concat();
    if let Some(rest) = rest.strip_prefix("::") {
        return expand(&path, rest, found);
    }
    found.insert(path);
    // Another name for it here is no other arrow.
    match rest.strip_prefix(" as ") {
        Some(rest) => {
            &rest[rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())..]
        }
        None => rest,
    }
}

/// The module that a name in `folder` stands for: itself, or where its `mod.rs` or `lib.rs` has it
/// from.
fn owner(folder: &str, name: &str) -> Option<String> {
    let place = source().join(folder);
    let known = modules(&place);
    if known.contains(name) {
        return Some(name.to_owned());
    }
    let list = place.join(if folder.is_empty() { "lib.rs" } else { "mod.rs" });
    // What `lib.rs` lists is named without `self::`.
    let code = code(&fs::read_to_string(list).unwrap()).replace("pub use self::", "pub use ");
    let uses = code.split("pub use ").skip(1);
    uses.flat_map(|rest| {
        let mut found = BTreeSet::new();
        expand(&[], rest, &mut found);
        found
    })
    .find(|path| path.last().unwrap() == name && known.contains(&path[0]))
    .map(|path| path[0].clone())
}

/// What is wrong with the arrows of one file in `folder`, by what its module may know.
fn mistakes(file: &Path, text: &str, folder: &str, module: &str, may_know: &[&str]) -> Vec<String> {
    let source = source();
    let inside = file.strip_prefix(&source).unwrap().with_extension("");
    let mut at: Vec<_> = inside.iter().collect();
    if at.last().is_some_and(|name| *name == "mod") {
        at.pop();
    }
    let at: Vec<_> = at.iter().map(|name| name.to_str().unwrap().to_owned()).collect();
    let folders: Vec<_> = folder.split('/').filter(|name| !name.is_empty()).collect();
    let mut mistakes = Vec::new();
    for path in named(&code(text), &at) {
        let Some(name) =
            path.get(folders.len()).filter(|_| path.iter().zip(&folders).all(|(a, b)| a == b))
        else {
            continue;
        };
        let known = match owner(folder, name) {
            Some(other) => other == module || may_know.contains(&&*other),
            // Something of the folder's own `mod.rs`.
            None => false,
        };
        if !known {
            mistakes.push(format!("{}: {module} may not know {}", file.display(), path.join("::")));
        }
    }
    mistakes
}

/// The files of a module, the list in its own `mod.rs` included.
fn files_of(folder: &str, module: &str) -> Vec<PathBuf> {
    let place = source().join(folder);
    let file = place.join(format!("{module}.rs"));
    if file.exists() { vec![file] } else { files(&place.join(module)) }
}

#[test]
fn each_module_knows_only_whom_it_may_know() {
    for (folder, rows) in MAP {
        let on_map: BTreeSet<_> = rows.iter().map(|(module, _)| (*module).to_owned()).collect();
        assert_eq!(modules(&source().join(folder)), on_map, "the map of src/{folder}");
        for (row, (module, may_know)) in rows.iter().enumerate() {
            for other in *may_know {
                let above = rows[..row].iter().any(|(module, _)| module == other);
                assert!(above, "src/{folder}: {other} is not above {module}");
            }
            for file in files_of(folder, module) {
                let text = fs::read_to_string(&file).unwrap();
                let mistakes = mistakes(&file, &text, folder, module, may_know);
                assert!(mistakes.is_empty(), "{mistakes:#?}");
            }
        }
    }
}

#[test]
fn an_arrow_upwards_is_seen_however_it_is_written() {
    for (folder, rows) in MAP {
        for (row, (module, may_know)) in rows.iter().enumerate() {
            let Some((above, _)) = rows.get(row + 1) else { continue };
            for file in files_of(folder, module) {
                let path = if folder.is_empty() {
                    format!("crate::{above}")
                } else {
                    format!("crate::{}::{above}", folder.replace('/', "::"))
                };
                let depth = file.strip_prefix(source().join(folder)).unwrap().iter().count();
                let is_list = file.file_stem().unwrap() == "mod";
                let up = "super::".repeat(depth - usize::from(is_list));
                for planted in [
                    format!("use {path}::Thing;"),
                    format!("use {path}::{{a::B, C}};"),
                    format!("fn f(_: {path}::Thing) {{}}"),
                    format!("use {up}{above}::Thing;"),
                    format!("mod inner {{\n    use super::{up}{above}::Thing;\n}}"),
                ] {
                    let mistakes = mistakes(&file, &planted, folder, module, may_know);
                    assert_eq!(mistakes.len(), planted.matches([',']).count() + 1, "{planted}");
                }
            }
        }
    }
}

#[test]
fn no_file_has_more_than_three_hundred_lines_before_its_tests() {
    for file in files(&source()) {
        let text = fs::read_to_string(&file).unwrap();
        let lines = text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).count();
        assert!(lines <= 300, "{}: {lines} lines", file.display());
    }
}

#[test]
fn the_reader_of_arrows_sees_them() {
    let text = "use crate::{\n    a::{self, b::{C, D}},\n    e as f,\n};\n// use crate::f;\n\
                fn f(_: crate::g::H) {}\nuse super::i;\nuse self::k;\n\
                mod l {\n    use super::M;\n}\n";
    let at = ["x".to_owned(), "y".to_owned()];
    let found: Vec<_> = named(&code(text), &at).iter().map(|path| path.join("::")).collect();
    let expected = ["a::b::C", "a::b::D", "a::self", "e", "g::H"];
    assert_eq!(found, [&expected[..], &["x::i", "x::y::M", "x::y::k"]].concat());
}
