//! What a request waits while tokens of two seconds are refreshed at an endpoint that takes 50 ms,
//! beside a cache that blocks. A mean says nothing here, so criterion gets no say: p50, p99 and the
//! longest are printed.

use std::time::Duration;

use tower_oauth_benches::refresh::run;

fn main() {
    let time = Duration::from_secs(10);
    let (ours, blocking) = run(time);
    for (name, latencies) in [("tower-oauth", ours), ("a cache that blocks", blocking)] {
        println!(
            "{name}: {} requests in {time:?}, p50 {:?}, p99 {:?}, longest {:?}",
            latencies.0.len(),
            latencies.quantile(0.5),
            latencies.quantile(0.99),
            latencies.quantile(1.0),
        );
    }
}
