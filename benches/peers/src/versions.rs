//! The versions that are pinned.

/// `name 1.2.3` for every line like `name = "=1.2.3"` or `name = { version = "=1.2.3" }`, if it is
/// the name of something that is shown.
pub fn of(is_shown: impl Fn(&str) -> bool) -> String {
    let pinned = |line: &str| {
        let (name, rest) = line.split_once(" = ")?;
        let (_, version) = rest.split_once("\"=")?;
        is_shown(name).then_some(format!("{name} {}", version.split_once('"')?.0))
    };
    include_str!("../Cargo.toml").lines().filter_map(pinned).collect::<Vec<_>>().join(", ")
}
