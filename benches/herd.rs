//! Callers without a token: the time for all of them. The numbers of fetches, the bytes and the
//! longest stall of the runtime, with one worker, are printed beside it.

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tower_oauth_benches::herd::{Look, Through, run};

fn herd(criterion: &mut Criterion) {
    for (workers, runtime) in [(0, "current thread"), (2, "2 workers")] {
        let mut group = criterion.benchmark_group(format!("herd, {runtime}"));
        for callers in [1000, 10_000, 100_000] {
            for through in [Through::Cache, Through::Service] {
                let bytes = run(callers, workers, through, Look::Bytes);
                let once = run(callers, workers.min(1), through, Look::Stall);
                println!(
                    "{through}, {callers}: {} fetch, {} B per waiter, longest stall {:?}",
                    once.fetches,
                    bytes.bytes / callers as i64,
                    once.stall
                );
                assert_eq!((once.fetches, once.served), (1, callers));
                group.throughput(Throughput::Elements(callers as u64)).sample_size(10);
                group.bench_function(BenchmarkId::new(through.to_string(), callers), |bencher| {
                    bencher.iter_custom(|iterations| {
                        (0..iterations)
                            .map(|_| run(callers, workers, through, Look::Time).time)
                            .sum()
                    });
                });
            }
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = herd
}
criterion_main!(benches);
