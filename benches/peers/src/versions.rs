//! The versions that are pinned.

pub fn print() {
    for line in include_str!("../Cargo.toml").lines() {
        if let Some((name, version)) = pinned(line) {
            println!("version.{name} {version}");
        }
    }
}

/// The name and the version of a line like `name = "=1.2.3"` or `name = { version = "=1.2.3" }`.
fn pinned(line: &str) -> Option<(&str, &str)> {
    let (name, rest) = line.split_once(" = ")?;
    let (_, version) = rest.split_once("\"=")?;
    Some((name, version.split_once('"')?.0))
}
