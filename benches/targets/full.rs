//! The rows that are made of times, and those against other crates, which take minutes.

use std::{collections::BTreeMap, env, path::Path, process::Command, time::Duration};

use tower_oauth_benches::{
    herd::{self, Herd, Look, Through},
    hot::{self, Kind},
};

use crate::row::{
    Row,
    Target::{AtLeast, AtMost},
};

const ROUNDS: usize = 9;
/// Long rounds: in a short one the threads hardly meet, and what they share costs nothing.
const REQUESTS: u64 = 600_000;

/// Kinds of requests on so many threads at once, turn and turn about, so that what else the machine
/// does is the same for all: of each the median time, and the median of its ratio to the first one
/// in the same round.
pub fn turn_about(kinds: &[Kind<'_>], threads: usize, rounds: usize) -> Vec<(Duration, f64)> {
    let rounds: Vec<Vec<Duration>> = (0..rounds)
        .map(|_| kinds.iter().map(|kind| hot::time(*kind, threads, REQUESTS)).collect())
        .collect();
    let of_kind = |kind: usize| {
        let mut times: Vec<_> = rounds.iter().map(|round| round[kind]).collect();
        let mut ratios: Vec<_> =
            rounds.iter().map(|round| round[kind].div_duration_f64(round[0])).collect();
        times.sort_unstable();
        ratios.sort_unstable_by(f64::total_cmp);
        (times[rounds.len() / 2], ratios[rounds.len() / 2])
    };
    (0..kinds.len()).map(of_kind).collect()
}

pub fn threads(print: &mut dyn FnMut(Row)) {
    for (headers, clones, target) in
        [(0, false, 0.8), (8, false, 0.95), (0, true, 1.2), (8, true, 1.2)]
    {
        let kinds = ["srh", "never", "own"].map(|case| Kind { clones, ..Kind::new(case, headers) });
        let times = turn_about(&kinds, 2, ROUNDS);
        let how = if clones { "clone per request" } else { "long-lived clones" };
        let name = format!("time on 2 threads, Never, {headers} headers, {how}");
        let mut row = Row::new(name, times[1].1, " × SRH", AtMost(target));
        // A clone per request would copy it each time.
        row.floor = (!clones).then_some(times[2].1);
        print(row);
    }
}

/// The best of a few herds, by time.
pub fn best_herd(callers: usize, workers: usize, through: Through) -> Herd {
    let herds = (0..5).map(|_| herd::run(callers, workers, through, Look::Time));
    let best = herds.reduce(|best, herd| Herd {
        time: best.time.min(herd.time),
        cpu: best.cpu.min(herd.cpu),
        stall: best.stall.min(herd.stall),
        ..best
    });
    best.expect("there is more than one")
}

pub fn herds(print: &mut dyn FnMut(Row)) {
    const CALLERS: usize = 100_000;
    for (workers, runtime) in [(0, "current thread"), (2, "2 workers")] {
        let herd = best_herd(CALLERS, workers, Through::Cache);
        let micros = herd.time.as_secs_f64() * 1e6 / CALLERS as f64;
        let name = format!("herd of {CALLERS}, {runtime}, TokenCache: time per waiter");
        print(Row::new(name, micros, " µs", AtMost(1.0)));
        for (through, herd) in [
            (Through::Cache, herd),
            (Through::Service, best_herd(CALLERS, workers, Through::Service)),
        ] {
            let stall = herd.stall.as_secs_f64() * 1e3;
            let name = format!("herd of {CALLERS}, {runtime}, {through}: longest stall");
            print(Row::new(name, stall, " ms", AtMost(5.0)));
        }
    }
}

/// What `benches/peers` says: names and values, as printed; and its notes.
pub struct Peers {
    pub values: BTreeMap<String, String>,
    pub notes: Vec<String>,
}

pub const PEERS: &[&str] = &["kube", "google", "smithy", "huskarl", "hand"];

impl Peers {
    /// Builds the package and runs it.
    pub fn measure() -> Self {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/Cargo.toml");
        let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        let mut peers = Self { values: BTreeMap::new(), notes: Vec::new() };
        for command in ["instructions", "all"] {
            println!("# benches/peers: {command}");
            let output = Command::new(&cargo)
                .args(["run", "--release", "--locked", "--quiet", "--manifest-path"])
                .arg(&manifest)
                .args(["--", command])
                .output()
                .unwrap();
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{stderr}");
            for line in String::from_utf8_lossy(&output.stdout).lines() {
                if let Some(note) = line.strip_prefix('#') {
                    peers.notes.push(note.trim().to_owned());
                } else if let Some((name, value)) = line.split_once(' ') {
                    peers.values.insert(name.to_owned(), value.to_owned());
                }
            }
        }
        peers
    }

    pub fn value(&self, name: &str) -> &str {
        self.values.get(name).map_or("n/a", String::as_str)
    }

    /// Instructions of a request beyond those of a request without a layer.
    pub fn net(&self, case: &str, headers: usize) -> Option<f64> {
        let count = |case: &str| {
            self.value(&format!("instructions.{case}.headers{headers}")).parse::<f64>().ok()
        };
        Some(count(case)? - count("none")?)
    }

    pub fn judge(&self, print: &mut dyn FnMut(Row)) {
        for headers in [0, 8] {
            for peer in PEERS {
                let (Some(ours), Some(theirs)) =
                    (self.net("ours", headers), self.net(peer, headers))
                else {
                    println!("# {peer} does not survive valgrind");
                    continue;
                };
                let name = format!("net instructions of {peer}, {headers} headers");
                print(Row::new(name, theirs / ours, " × ours", AtLeast(3.5)));
            }
        }
    }
}
