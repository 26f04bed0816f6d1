//! A request that finds a token: every case, with and without headers, on one thread and on two,
//! through a clone that is kept and through a clone per request.

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use tower_oauth_benches::{
    case,
    hot::{Kind, time},
};

fn hot(criterion: &mut Criterion) {
    for threads in [1, 2] {
        for headers in [0, 8] {
            for clones in [false, true] {
                let how = if clones { "clone per request" } else { "long-lived" };
                let name = format!("{threads} threads, {headers} headers, {how}");
                let mut group = criterion.benchmark_group(name);
                for case in case::ALL {
                    let kind = Kind { clones, ..Kind::new(case, headers) };
                    group.bench_function(*case, |bencher| {
                        bencher.iter_custom(|iterations| {
                            // Fewer would not meet each other.
                            let each = time(kind, threads, iterations.max(100));
                            each.mul_f64(iterations as f64)
                        });
                    });
                }
                group.finish();
            }
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = hot
}
criterion_main!(benches);
