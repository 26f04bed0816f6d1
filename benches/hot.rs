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
        let name = format!("hot, threads: {threads}, headers: {headers}");
        let mut group = criterion.benchmark_group(name);
        for case in ["none", "srh", "never", "if_empty"] {
            group.bench_function(case, |bencher| {
                bencher.iter_custom(|iterations| {
                    // Fewer would not meet each other.
                    let requests = iterations.max(100);
                    let each = nanoseconds(&Kind::new(case, headers), threads, false, requests);
                    Duration::from_secs_f64(each * iterations as f64 / 1e9)
                });
            });
        }
        group.finish();
    }
    criterion.final_summary();
}
