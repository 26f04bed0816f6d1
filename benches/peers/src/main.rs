//! Drives other crates that attach bearer tokens through one harness, next to `tower-oauth`, so that
//! they can be compared in one run. `README.md` says what is measured and how each peer is driven.

mod api;
mod case;
mod exec_plugin;
mod hot;
mod issuer;
mod peer;
mod picture;
mod resource;
mod row;
mod scenario;
mod versions;

use std::{fs, process::ExitCode};

use tower::BoxError;

use row::Row;

const USAGE: &str = "\
usage: peers [case ...]
  without a case: measures all of them, and writes the table and the picture of the README
  with cases: measures these, and prints the table
       peers hot <case> <requests>
  only the loop, to look at under callgrind";

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");
const PICTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers.svg");
/// What is between these lines of the README is written here.
const MARKS: [&str; 2] = ["<!-- written by benches/peers -->\n", "<!-- end -->\n"];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[&str]) -> Result<(), BoxError> {
    match args {
        ["hot", case, requests] => {
            let requests = requests.parse()?;
            let mut result = Ok(());
            // Counting allocations costs instructions, too.
            allocation_counter::opt_out(|| result = hot::run(case, requests));
            return result;
        }
        // What kube-client runs to get a token; see `peer/kube.rs`.
        ["exec-plugin", address] => return exec_plugin::run(address),
        _ => {}
    }
    if args.iter().any(|arg| case::ALL.iter().all(|(case, _)| case != arg)) {
        return Err(USAGE.into());
    }
    let none = (hot::instructions("none")?, hot::allocations("none")?);
    let mut rows = Vec::new();
    for (case, name) in case::ALL {
        if args.is_empty() || args.contains(&case) {
            eprintln!("{case}");
            rows.push(Row::measure(case, name, none)?);
        }
    }
    let table = row::table(&rows);
    println!("{table}");
    if args.is_empty() {
        let readme = fs::read_to_string(README)?;
        let split = readme.split_once(MARKS[0]).and_then(|(head, rest)| {
            let (_, tail) = rest.split_once(MARKS[1])?;
            Some((head, tail))
        });
        let (head, tail) = split.ok_or("the README has no place for the table")?;
        fs::write(README, [head, MARKS[0], "\n", &table, "\n", MARKS[1], tail].concat())?;
        fs::write(PICTURE, picture::of(&rows))?;
    }
    Ok(())
}
