//! Measures, and judges: one row per target, and a failure if one is missed.
//!
//! ```sh
//! cargo bench --bench targets               # everything, the peers too; writes RESULTS.md
//! cargo bench --bench targets -- --quick    # what is the same in every run
//! ```

mod exact;
mod full;
mod instructions;
mod pictures;
mod report;
mod row;

use std::{env, process::ExitCode};

use full::{Peers, Threads};
use instructions::Instructions;
use row::Row;

const USAGE: &str = "\
usage: cargo bench --bench targets -- [--quick] [--without-valgrind]
  --quick             only what is the same in every run: instructions, allocations, numbers of
                      fetches; no peer is built
  --without-valgrind  judge without the rows that need it, and write nothing";

/// Another compiler may move a count of instructions by so many, one way or the other.
const SLACK: f64 = 30.0;

/// What a quick run lets a count of instructions be: not much more than it was in the last full run,
/// so that what was gained is not lost bit by bit.
fn not_more_than_recorded(name: &str, target: f64) -> f64 {
    report::recorded(name).map_or(target, |recorded| target.min(recorded)) + SLACK
}

fn main() -> ExitCode {
    // cargo says `--bench`, which means nothing here.
    let args: Vec<String> = env::args().skip(1).filter(|arg| arg != "--bench").collect();
    match args.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        Some((instructions::LOOP, rest)) => {
            instructions::run_loop(rest);
            return ExitCode::SUCCESS;
        }
        Some((full::ROW, rest)) => {
            full::run_row(rest);
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    if let Some(unknown) =
        args.iter().find(|arg| !matches!(arg.as_str(), "--quick" | "--without-valgrind"))
    {
        eprintln!("{unknown}: unknown\n{USAGE}");
        return ExitCode::FAILURE;
    }
    let quick = args.iter().any(|arg| arg == "--quick");
    let valgrind = !args.iter().any(|arg| arg == "--without-valgrind");
    if valgrind && instructions::valgrind().is_none() {
        eprintln!("valgrind, which counts instructions, is not installed");
        return ExitCode::FAILURE;
    }

    let mut rows = Vec::new();
    let mut print = |row: Row| {
        println!("{row}");
        rows.push(row);
    };
    let mut counts = valgrind.then(Instructions::default);
    if let Some(counts) = &mut counts {
        let limit = if quick { not_more_than_recorded } else { |_: &str, target| target };
        exact::instructions(counts, limit, &mut print);
    }
    exact::allocations(&mut print);
    exact::memory(&mut print);
    exact::fetches(&mut print);
    if !quick {
        let mut threads = Threads::default();
        threads.measure();
        full::herds(&mut print);
        threads.measure();
        let peers = valgrind.then(Peers::measure);
        threads.measure();
        threads.judge(&mut print);
        if let (Some(counts), Some(peers)) = (&mut counts, &peers) {
            peers.judge(&mut print);
            if let Err(error) = report::write(&rows, counts, peers) {
                eprintln!("RESULTS.md: {error}");
                return ExitCode::FAILURE;
            }
        }
    }

    let missed = rows.iter().filter(|row| !row.is_met()).count();
    println!("{} targets, {missed} missed", rows.len());
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
