//! How do the counts of a `TokenCache` get into Prometheus? Needs no arguments and no network:
//! `cargo run --example metrics`
//!
//! The program serves `/metrics` with the `metrics` facade and its Prometheus exporter. It reads the
//! status of its caches only when it is scraped, so that metrics cost a request nothing. It makes a few
//! requests, has a token revoked, takes the token endpoint down, and then scrapes itself and shows what
//! Prometheus would get. OpenTelemetry's observable instruments read the same status in their callbacks.

use std::time::Duration;

use axum::{Router, routing::get};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use metrics::{Label, counter, describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::net::TcpListener;
use tower::{BoxError, Layer, ServiceExt};
use tower_oauth::{OAuthLayer, TokenCache, testing::AuthorizationServer};

/// Sets every metric of a cache. The names are those of the table at `tower_oauth::cache::Counts`.
fn export(tokens: &TokenCache) {
    let status = tokens.status();
    let cache = status.name().unwrap_or("unnamed").to_owned();
    let with = |label: Option<(&'static str, &'static str)>| {
        let labels = [("cache", cache.clone())].into_iter().map(|label| Label::from(&label));
        labels.chain(label.map(|label| Label::from(&label))).collect::<Vec<_>>()
    };
    for (name, label, count) in status.counts.counters() {
        counter!(name, with(label)).absolute(count);
    }
    gauge!("oauth_client_ready", with(None)).set(f64::from(u8::from(status.is_ready())));
    let expires_in = status.expires_in.unwrap_or_default().as_secs_f64();
    gauge!("oauth_client_token_expires_in_seconds", with(None)).set(expires_in);
}

/// Says once what the metrics are.
fn describe(tokens: &TokenCache) {
    for (name, _, _) in tokens.status().counts.counters() {
        describe_counter!(name, "See tower_oauth::cache::Counts.");
    }
    describe_gauge!("oauth_client_ready", "Whether there is a token, or one can be expected.");
    describe_gauge!("oauth_client_token_expires_in_seconds", "Until the token expires.");
}

/// The facade's counters are whole numbers, and this one is not.
fn fetch_seconds(caches: &[TokenCache]) -> String {
    let name = "oauth_client_fetch_seconds_total";
    let mut page = format!("# HELP {name} How long all fetches took.\n# TYPE {name} counter\n");
    for status in caches.iter().map(TokenCache::status) {
        let cache = status.name().unwrap_or("unnamed");
        let seconds = status.counts.fetch_time.as_secs_f64();
        page += &format!("{name}{{cache=\"{cache}\"}} {seconds}\n");
    }
    page
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let server = AuthorizationServer::new();
    server.token_endpoint().delay(Duration::from_millis(50));
    let billing = TokenCache::builder(server.fetcher()).name("billing").build();
    let reports = TokenCache::builder(server.fetcher()).name("reports").build();

    let prometheus = PrometheusBuilder::new().install_recorder()?;
    let caches = [billing.clone(), reports.clone()];
    describe(&caches[0]);
    let scraped = move || {
        caches.iter().for_each(export);
        let page = prometheus.render() + &fetch_seconds(&caches);
        async { page }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/metrics", listener.local_addr()?);
    let app = Router::new().route("/metrics", get(scraped));
    tokio::spawn(async move { axum::serve(listener, app).await });

    // What there is to count: a token that is revoked, and a token endpoint that is down.
    let api = OAuthLayer::with_source(billing).layer(server.clone());
    let send = || {
        let request = Request::get("https://api.example.com/invoices").body(Empty::<Bytes>::new());
        api.clone().oneshot(request.expect("a good request"))
    };
    for _ in 0..1000 {
        send().await?;
    }
    server.revoke_all();
    send().await?;
    server.down(true);
    if let Err(error) = reports.token().await {
        println!("{error}\n");
    }

    let scrape = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let response = scrape.get(url.parse()?).await?.into_body().collect().await?.to_bytes();
    let page = String::from_utf8(response.to_vec())?;
    print!("{page}");
    for line in [
        r#"oauth_client_fetches_total{cache="billing",reason="rejected"} 1"#,
        r#"oauth_client_fetch_failures_total{cache="reports",error="unavailable"} 1"#,
        r#"oauth_client_replays_total{cache="billing"} 1"#,
        r#"oauth_client_ready{cache="reports"} 0"#,
        "# TYPE oauth_client_fetch_seconds_total counter",
    ] {
        if !page.lines().any(|found| found == line) {
            return Err(format!("the scrape lacks {line}").into());
        }
    }
    Ok(())
}
