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

/// Long rounds: in a short one the threads hardly meet, and what they share costs nothing.
const REQUESTS: u64 = 600_000;

/// Rounds of kinds of requests on so many threads at once, in nanoseconds: turn and turn about, so
/// that what else the machine does is the same for all.
pub fn turn_about(kinds: &[Kind<'_>], threads: usize, rounds: usize) -> Vec<Vec<f64>> {
    let time = |kind: &Kind<'_>| hot::time(*kind, threads, REQUESTS).as_secs_f64() * 1e9;
    (0..rounds).map(|_| kinds.iter().map(time).collect()).collect()
}

/// Least, middle, most.
pub fn spread(values: impl Iterator<Item = f64>) -> [f64; 3] {
    let mut values: Vec<_> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    [values[0], values[values.len() / 2], values[values.len() - 1]]
}

/// Rows of two threads: headers, whether the service is cloned for each request, and the target.
const ON_TWO_THREADS: [(usize, bool, f64); 4] =
    [(0, false, 0.8), (8, false, 0.95), (0, true, 1.2), (8, true, 1.2)];
const BESIDE: [&str; 3] = ["srh", "never", "least"];

/// The rounds of each row so far: what two threads share costs differently in one process and in
/// another, and from one minute to the next, so they are taken in several, with pauses.
#[derive(Default)]
pub struct Threads([Vec<Vec<f64>>; ON_TWO_THREADS.len()]);

/// The argument that makes this program measure one of these rows.
pub const ROW: &str = "row";

/// Prints three rounds of a row, a line each.
pub fn run_row(args: &[String]) {
    let row: usize = args[0].parse().unwrap();
    let (headers, clones, _) = ON_TWO_THREADS[row];
    let kinds = BESIDE.map(|case| Kind { clones, ..Kind::new(case, headers) });
    for round in turn_about(&kinds, 2, 3) {
        println!("{}", round.iter().map(f64::to_string).collect::<Vec<_>>().join(" "));
    }
}

impl Threads {
    /// Takes three more rounds of each row.
    pub fn measure(&mut self) {
        for (row, rounds) in self.0.iter_mut().enumerate() {
            let output = Command::new(env::current_exe().unwrap())
                .args([ROW, &row.to_string()])
                .output()
                .unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let round = |line: &str| line.split(' ').map(|time| time.parse().unwrap()).collect();
            rounds.extend(String::from_utf8_lossy(&output.stdout).lines().map(round));
        }
    }

    pub fn judge(self, print: &mut dyn FnMut(Row)) {
        for ((headers, clones, target), rounds) in ON_TWO_THREADS.into_iter().zip(self.0) {
            let ratio = |case: usize| spread(rounds.iter().map(|times| times[case] / times[0]));
            let [low, middle, high] = ratio(1);
            let [srh_low, _, srh_high] = spread(rounds.iter().map(|times| times[0]));
            let how = if clones { "clone per request" } else { "long-lived clones" };
            let name = format!("time on 2 threads, Never, {headers} headers, {how}");
            let mut row = Row::new(name, middle, " × SRH", AtMost(target));
            row.note = format!(" ({low:.2} to {high:.2}; SRH {srh_low:.0} to {srh_high:.0} ns");
            if !clones {
                // With a clone per request it would copy the value each time.
                let [low, _, high] = ratio(2);
                row.note += &format!("; the least layer {low:.2} to {high:.2}");
            }
            row.note += ")";
            print(row);
        }
    }
}

/// The best of a few herds, by time.
pub fn best_herd(callers: usize, workers: usize, through: Through) -> Herd {
    let herds = (0..5).map(|_| herd::run(callers, workers, through, Look::Time));
    let best = herds.reduce(|best, herd| Herd {
        time: best.time.min(herd.time),
        cpu: best.cpu.min(herd.cpu),
        ..best
    });
    best.expect("there is more than one")
}

/// The longest of as many; with one thread at most.
pub fn longest_stall(callers: usize, workers: usize, through: Through) -> Duration {
    let stalls = (0..5).map(|_| herd::run(callers, workers, through, Look::Stall).stall);
    stalls.max().unwrap_or_default()
}

pub fn herds(print: &mut dyn FnMut(Row)) {
    const CALLERS: usize = 100_000;
    for (workers, runtime) in [(0, "current thread"), (2, "2 workers")] {
        let herd = best_herd(CALLERS, workers, Through::Cache);
        let micros = herd.time.as_secs_f64() * 1e6 / CALLERS as f64;
        let name = format!("herd of {CALLERS}, {runtime}, TokenCache: time per waiter");
        print(Row::new(name, micros, " µs", AtMost(1.0)));
    }
    for (workers, runtime) in [(0, "current thread"), (1, "1 worker")] {
        for through in [Through::Cache, Through::Service] {
            let stall = longest_stall(CALLERS, workers, through).as_secs_f64() * 1e3;
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
                // What could not be measured is no number, and misses.
                let net = |case| self.net(case, headers).unwrap_or(f64::NAN);
                let name = format!("net instructions of {peer}, {headers} headers");
                print(Row::new(name, net(peer) / net("ours"), " × ours", AtLeast(3.5)));
            }
        }
    }
}
