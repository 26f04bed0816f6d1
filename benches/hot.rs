//! A request that finds a token, beside one that gets a constant and one that gets nothing.

use std::time::Duration;

use criterion::Criterion;
use tower_oauth_benches::hot::{Kind, nanoseconds};

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    for (threads, headers) in [(1, 0), (1, 8), (2, 0), (2, 8)] {
        let mut group =
            criterion.benchmark_group(format!("hot: {threads} threads, {headers} headers"));
        for case in ["none", "srh", "never", "if_empty"] {
            group.bench_function(case, |bencher| {
                bencher.iter_custom(|iterations| {
                    // Fewer requests would not meet each other.
                    let (kind, requests) = (Kind::new(case, headers), iterations.max(100));
                    let each = nanoseconds(&kind, threads, false, requests);
                    Duration::from_secs_f64(each * iterations as f64 / 1e9)
                });
            });
        }
    }
    criterion.final_summary();
}
