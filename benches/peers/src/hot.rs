//! The loop that is measured: requests of which every one finds a token.

use std::{hint::black_box, process::Command, time::Duration};

use tower::{BoxError, ServiceExt};

use crate::{
    api::{Api, Drive, request},
    case,
    issuer::Issuer,
    resource::Instant,
};

/// What one request costs is the difference between two runs, so that the start, the setup, the
/// first request and the end do not count.
const RUNS: [usize; 2] = [1000, 3000];

/// Sends requests to get the token, and `requests` more, one after the other.
pub fn run(case: &str, requests: usize) -> Result<(), BoxError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let issuer = Issuer::new(Duration::ZERO);
    runtime.block_on(case::with(case, &issuer, Instant, Loop(requests)))?
}

struct Loop(usize);

impl Drive for Loop {
    type Output = Result<(), BoxError>;

    async fn drive(self, mut api: impl Api) -> Self::Output {
        // Two: some peers set something up with the first token that is read, not with the fetch.
        for _ in 0..2 {
            api.ready().await?.call(request()).await?;
        }
        // Without it tokio's locks and channels would yield to the runtime every 128 requests, and
        // the runtime's work would be counted as theirs.
        tokio::task::unconstrained(async {
            for _ in 0..self.0 {
                let response = api.ready().await?.call(request()).await?;
                black_box(&response);
            }
            Ok(())
        })
        .await
    }
}

/// Allocations of a request.
pub fn allocations(case: &str) -> Result<f64, BoxError> {
    let mut counts = [0; 2];
    for (requests, count) in RUNS.into_iter().zip(&mut counts) {
        let mut result = Ok(());
        *count = allocation_counter::measure(|| result = run(case, requests)).count_total;
        result?;
    }
    Ok(per_request(counts).round())
}

/// Instructions of a request: this program runs itself under callgrind.
pub fn instructions(case: &str) -> Result<f64, BoxError> {
    let mut counts = [0; 2];
    for (requests, count) in RUNS.into_iter().zip(&mut counts) {
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(std::env::current_exe()?)
            .args(["hot", case, &requests.to_string()])
            .output()?;
        // ==1234== Collected : 56789
        let stderr = String::from_utf8_lossy(&output.stderr);
        let collected = stderr.lines().find_map(|line| line.split_once("Collected :"));
        let collected = collected.filter(|_| output.status.success());
        *count = collected.ok_or_else(|| format!("{case}: {stderr}"))?.1.trim().parse()?;
    }
    Ok(per_request(counts))
}

fn per_request([few, many]: [u64; 2]) -> f64 {
    many.saturating_sub(few) as f64 / (RUNS[1] - RUNS[0]) as f64
}
