//! Drives other crates that attach bearer tokens through one harness, next to `tower-oauth`, so that
//! they can be compared in one run. `README.md` says what is measured and how each peer is driven.

mod allocations;
mod api;
mod case;
mod exec_plugin;
mod hot;
mod instructions;
mod issuer;
mod peer;
mod resource;
mod scenario;
mod versions;

use std::process::ExitCode;

use tower::BoxError;

const USAGE: &str = "\
usage: peers <command>
  cases                                      the names of the cases
  versions                                   the versions of the peers that are pinned
  hot <case> [headers = 0] [iterations = 1000]
                                             only the loop, for callgrind
  instructions [case ...]                    instructions per request, by callgrind
  allocations [case ...]                     allocations and bytes per request
  herd | down | giveup | late401 [case ...]  numbers of token requests, and times
  all [case ...]                             everything but `instructions`
Without a case, all of them. Output: lines of `name value`; a line that starts with # is a note.";

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
    let (command, args) = args.split_first().ok_or(USAGE)?;
    match *command {
        "cases" => case::ALL.iter().for_each(|case| println!("{case}")),
        "versions" => versions::print(),
        "hot" => {
            let case = args.first().ok_or(USAGE)?;
            let headers = args.get(1).map_or(Ok(0), |n| n.parse())?;
            let iterations = args.get(2).map_or(Ok(1000), |n| n.parse())?;
            hot::run(case, headers, iterations)?;
        }
        "instructions" => instructions::print(&case::chosen(case::ALL, args)?)?,
        "allocations" => allocations::print(&case::chosen(case::ALL, args)?)?,
        "herd" => scenario::herd(&case::chosen(case::CACHES, args)?)?,
        "down" => scenario::down(&case::chosen(case::CACHES, args)?)?,
        "giveup" => scenario::giveup(&case::chosen(case::CACHES, args)?)?,
        "late401" => scenario::late401(&case::chosen(case::CACHES, args)?)?,
        "all" => {
            let cases = case::chosen(case::ALL, args)?;
            let caches: Vec<_> =
                cases.iter().copied().filter(|c| case::CACHES.contains(c)).collect();
            versions::print();
            allocations::print(&cases)?;
            scenario::herd(&caches)?;
            scenario::down(&caches)?;
            scenario::giveup(&caches)?;
            scenario::late401(&caches)?;
        }
        // What kube-client runs to get a token; see `peer/kube.rs`.
        "exec-plugin" => exec_plugin::run(args.first().ok_or(USAGE)?)?,
        _ => return Err(USAGE.into()),
    }
    Ok(())
}
