//! What a request and a herd cost. Six of the rows have targets, and a missed one is a failure; the
//! others are printed.
//!
//! ```sh
//! cargo bench --bench targets               # everything; writes RESULTS.md
//! cargo bench --bench targets -- --quick    # the judged rows, which are the same in every run
//! ```

mod callgrind;
mod gates;
mod printed;
mod report;

use std::{env, fs, process::ExitCode};

use report::Report;

const RESULTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/RESULTS.md");

fn main() -> ExitCode {
    // cargo says `--bench`, which means nothing here.
    let args: Vec<String> = env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let quick = match args[..] {
        [callgrind::LOOP, ref kind @ ..] => {
            callgrind::run_loop(kind);
            return ExitCode::SUCCESS;
        }
        [] => false,
        ["--quick"] => true,
        _ => panic!("usage: cargo bench --bench targets -- [--quick]"),
    };
    let mut report = Report::default();
    report.head(&callgrind::version());
    gates::judge(&mut report);
    if !quick {
        printed::print(&mut report);
        fs::write(RESULTS, &report.text).expect("RESULTS.md can be written");
    }
    println!("\n{} missed", report.missed);
    if report.missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
