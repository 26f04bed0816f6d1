//! The rows that are printed: they depend on the machine, or only describe.

use std::thread;

use tower_oauth_benches::{
    failures,
    herd::{self, CACHE, SERVICE},
    hot::{Kind, allocations, nanoseconds},
};

use crate::{
    callgrind::instructions,
    report::{Report, number},
};

pub fn print(report: &mut Report) {
    policies(report);
    times(report);
    herds(report);
    let (attempt, fetches) = failures::give_up();
    report.table("Failures", "| what | |");
    for (what, count) in [
        ("endpoint down, 1,000 callers: fetches", failures::down(1000)),
        ("callers that wait 30 ms for a fetch of 50: the first that is served", attempt),
        ("the same: fetches", fetches),
        ("50 late 401s: refreshes", failures::late_401s(50)),
    ] {
        report.line(format!("| {what} | {count} |"));
    }
}

fn policies(report: &mut Report) {
    report.table(
        "A request, by replay policy",
        "| | instructions, 0 headers | 8 headers | allocations, 0 headers | 8 headers |",
    );
    for (name, case, large) in [
        ("no layer", "none", false),
        ("SRH", "srh", false),
        ("`Never`", "never", false),
        ("`IfEmpty`", "if_empty", false),
        ("`ByClone`", "by_clone", false),
        ("`Buffered`", "buffered", false),
        ("SRH, inner of 304 B", "srh", true),
        ("`IfEmpty`, inner of 304 B", "if_empty", true),
    ] {
        let kinds = [0, 8].map(|headers| Kind { large, ..Kind::new(case, headers) });
        let [none, eight] = kinds.map(|kind| instructions(&kind));
        let [few, many] = kinds.map(|kind| allocations(&kind));
        report.line(format!("| {name} | {none} | {eight} | {few} | {many} |"));
    }
}

/// Rounds turn and turn about, so that what else the machine does is the same for all.
fn times(report: &mut Report) {
    const CASES: [&str; 4] = ["srh", "least", "never", "if_empty"];
    /// Long rounds: in a short one the threads hardly meet, and what they share costs nothing.
    const REQUESTS: u64 = 200_000;
    report.table(
        "Time",
        "| threads, clones, headers | SRH, ns | `least` × SRH | `Never` × SRH | `IfEmpty` × SRH |",
    );
    for (threads, moved, how) in [
        (1, false, "1 thread, kept"),
        (2, false, "2 threads, kept"),
        (2, true, "2 threads, moved to another thread after their first use"),
    ] {
        for headers in [0, 8] {
            let time = |case| nanoseconds(&Kind::new(case, headers), threads, moved, REQUESTS);
            let rounds: Vec<_> = (0..7).map(|_| CASES.map(time)).collect();
            let spread = |value: &dyn Fn(&[f64; 4]) -> f64| {
                let mut values: Vec<_> = rounds.iter().map(value).collect();
                values.sort_unstable_by(f64::total_cmp);
                let [low, middle, high] = [0, 3, 6].map(|n| number(values[n]));
                format!("{middle} ({low} to {high})")
            };
            let ratios = [1, 2, 3].map(|case| spread(&|times| times[case] / times[0]));
            let srh = spread(&|times| times[0]);
            report.line(format!("| {how}, {headers} | {srh} | {} |", ratios.join(" | ")));
        }
    }
    report.line(
        "\nThe middle of seven rounds, and from the least to the most. `least` reads the cheapest \
         clock and puts in a value that no other thread shares: no layer with a token that ends can \
         do less.",
    );
}

fn herds(report: &mut Report) {
    report.table(
        "100,000 callers without a token",
        "| through | µs per waiter, current thread | 2 workers | longest stall, ms |",
    );
    for through in [CACHE, SERVICE] {
        let best = |workers| {
            let times = (0..5).map(|_| herd::run(100_000, workers, through).time);
            number(times.min().unwrap_or_default().as_secs_f64() * 1e6 / 1e5)
        };
        // On threads of their own, whose heaps are in order: in the heap of another herd the
        // allocator tidies up for 10 ms, once.
        let stall = || thread::spawn(move || herd::run(100_000, 0, through).stall).join().unwrap();
        let stall = (0..5).map(|_| stall()).max().unwrap_or_default().as_secs_f64() * 1e3;
        let (current, workers, stall) = (best(0), best(2), number(stall));
        report.line(format!("| {through} | {current} | {workers} | {stall} |"));
    }
    report.line(
        "\nThe best time of five herds, and the longest stall of the current thread in five others.",
    );
}
