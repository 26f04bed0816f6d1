//! Instructions per request: this program runs itself under callgrind.

use std::process::Command;

use tower::BoxError;

/// What one request costs is the difference between two runs, so that the start, the setup, the
/// first request and the end do not count.
const RUNS: [u64; 2] = [1000, 3000];

pub fn print(cases: &[&str]) -> Result<(), BoxError> {
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("# valgrind is missing: no instructions");
        return Ok(());
    }
    for case in cases {
        for headers in [0, 8] {
            match (count(case, headers, RUNS[0])?, count(case, headers, RUNS[1])?) {
                (Some(few), Some(many)) => {
                    let per_request = many.saturating_sub(few) as f64 / (RUNS[1] - RUNS[0]) as f64;
                    println!("instructions.{case}.headers{headers} {per_request:.1}");
                }
                _ => {
                    println!("# {case} does not survive valgrind");
                    println!("instructions.{case}.headers{headers} n/a");
                }
            }
        }
    }
    Ok(())
}

/// The instructions of a whole run; none if it did not come to its end.
fn count(case: &str, headers: usize, iterations: u64) -> Result<Option<u64>, BoxError> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args(["hot", case, &headers.to_string(), &iterations.to_string()])
        .output()?;
    if !output.status.success() {
        return Ok(None);
    }
    // ==1234== Collected : 56789
    let stderr = String::from_utf8_lossy(&output.stderr);
    let line = stderr.lines().find_map(|line| line.split_once("Collected :"));
    Ok(line.and_then(|(_, count)| count.trim().parse().ok()))
}
