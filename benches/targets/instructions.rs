//! Instructions per request: this program runs itself under callgrind.

use std::{collections::HashMap, env, process::Command};

use tower_oauth_benches::hot::{self, Kind};

/// What one request costs is the difference between two runs, so that the start, the setup, the
/// first token and the end do not count.
const RUNS: [u64; 2] = [1000, 3000];

/// The argument that makes this program such a run.
pub const LOOP: &str = "loop";

/// Nothing but the loop, as the arguments after `LOOP` describe it.
pub fn run_loop(args: &[String]) {
    let [case, large, headers, response_headers, clones, iterations] = args else {
        panic!("six arguments: {args:?}")
    };
    let kind = Kind {
        case,
        large: large.parse().unwrap(),
        headers: headers.parse().unwrap(),
        response_headers: response_headers.parse().unwrap(),
        clones: clones.parse().unwrap(),
    };
    hot::run(kind, iterations.parse().unwrap());
}

/// Counts each kind once.
#[derive(Default)]
pub struct Instructions(HashMap<String, f64>);

impl Instructions {
    pub fn of(&mut self, kind: Kind<'_>) -> f64 {
        let name = format!(
            "{} {} {} {} {}",
            kind.case, kind.large, kind.headers, kind.response_headers, kind.clones
        );
        if let Some(count) = self.0.get(&name) {
            return *count;
        }
        let [few, many] = RUNS.map(|iterations| count(&format!("{name} {iterations}")));
        let per_request = (many - few) as f64 / (RUNS[1] - RUNS[0]) as f64;
        self.0.insert(name, per_request);
        per_request
    }

    /// How much more than a constant, of the same request.
    pub fn over_srh(&mut self, kind: Kind<'_>) -> f64 {
        self.of(kind) - self.of(Kind { case: "srh", ..kind })
    }
}

/// valgrind's version, if it is there.
pub fn valgrind() -> Option<String> {
    let output = Command::new("valgrind").arg("--version").output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The instructions of a whole run.
fn count(args: &str) -> u64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(env::current_exe().unwrap())
        .arg(LOOP)
        .args(args.split(' '))
        .output()
        .unwrap();
    // ==1234== Collected : 56789
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let line = stderr.lines().find_map(|line| line.split_once("Collected :"));
    line.and_then(|(_, count)| count.trim().parse().ok()).expect("callgrind says what it collected")
}
