//! Callers without a token: the time until all of them have one, from one fetch.

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput};
use tower_oauth_benches::herd::{CACHE, SERVICE, run};

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    for workers in [0, 2] {
        let mut group = criterion.benchmark_group(format!("herd, workers: {workers}"));
        for callers in [1000, 10_000, 100_000] {
            group.throughput(Throughput::Elements(callers as u64));
            for through in [CACHE, SERVICE] {
                group.bench_function(BenchmarkId::new(through, callers), |bencher| {
                    bencher.iter_custom(|iterations| {
                        let herds = (0..iterations).map(|_| run(callers, workers, through));
                        herds
                            .inspect(|herd| assert_eq!(herd.fetches, 1))
                            .map(|herd| herd.time)
                            .sum()
                    });
                });
            }
        }
    }
    criterion.final_summary();
}
