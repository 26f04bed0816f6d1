//! How do programs that know nothing about OAuth get tokens? From a small tool beside them. Without
//! arguments it shows what it does, and needs no network: `cargo run --example sidecar`
//!
//! ```sh
//! cargo run --example sidecar -- --config sidecar.toml
//! ```
//!
//! ```toml
//! listen = "127.0.0.1:8080"   # the default; whoever can connect can use the token
//! keep_authorization = false  # the default: an Authorization of the caller's own is dropped
//! replay_limit = 65536        # the default: bytes of a request that are kept to send it again
//!
//! [routes]                    # the longest prefix counts, and the path stays as it is
//! "/orders" = "https://api.example.com"
//!
//! [fetcher]                   # and [refresh]; see `TokenEndpointBuilder`
//! url = "https://idp.example.com/oauth2/token"
//! client_id = "orders"
//! client_secret = { file = "/run/secrets/idp" }
//! ```
//!
//! It is a reverse proxy that adds the token, uses its caller's HTTP version (1.1 or 2) with the
//! upstream, and forwards WebSockets over HTTP/1.1.
//!
//! If another proxy does that work, `/auth` gives it the `Authorization` to add: Envoy uses `ext_authz`
//! with `path_prefix: /auth`, nginx uses `auth_request`. A request whose token is rejected then goes
//! through the sidecar, which gets another token and sends the request again:
//!
//! ```nginx
//! location / {
//!     auth_request /token;
//!     auth_request_set $token $upstream_http_authorization;
//!     proxy_set_header Authorization $token;
//!     proxy_pass https://api.example.com;
//!     proxy_intercept_errors on;
//!     error_page 401 = @sidecar;
//!     error_page 500 =503 /unavailable;   # what nginx makes of the sidecar's 503
//! }
//! location @sidecar { proxy_pass http://127.0.0.1:8080; }
//! location = /unavailable { internal; return 503; }
//! location = /token {
//!     internal;
//!     proxy_pass http://127.0.0.1:8080/auth;
//!     proxy_pass_request_body off;
//!     proxy_set_header Content-Length "";
//! }
//! ```
//!
//! `/readyz` and `/metrics` are for probes and Prometheus. These and `/auth` are never forwarded. What
//! happens to tokens is logged.
//!
//! It adds about 3 µs at the median to a request over HTTP/1.1, 8 % of the cost of a proxy that only
//! forwards it: `cargo bench --bench sidecar`.
//!
//! After ctrl-c or SIGTERM it accepts no new connections, finishes the requests in progress, however
//! long they take, and cuts off WebSockets.

mod demo;
mod proxy;
#[cfg(test)]
mod tests;

use std::{fs, io, path::PathBuf};

use clap::Parser;
use tokio::{net::TcpListener, select};
use tower::{BoxError, make::Shared, service_fn};

use proxy::{Config, Proxy};

/// Sends requests on with an access token, or tells another proxy which one to add.
#[derive(Parser)]
struct Arguments {
    /// The configuration, in TOML; without one it shows what it does
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let Some(path) = Arguments::parse().config else { return demo::run().await };
    tracing_subscriber::fmt().with_writer(io::stderr).init();
    let named = |why: BoxError| format!("{}: {why}", path.display());
    let text = fs::read_to_string(&path).map_err(|error| named(error.into()))?;
    let config = Config::parse(&text).map_err(|why| named(why.into()))?;
    let listen = config.listen.unwrap_or(([127, 0, 0, 1], 8080).into());
    let proxy = Proxy::new(config).map_err(named)?;
    let listener = TcpListener::bind(listen)
        .await
        .map_err(|error| named(format!("cannot listen on {listen}: {error}").into()))?;
    let stop = signal()?;
    eprintln!("listening on http://{}", listener.local_addr()?);
    // A wrong secret is logged at once. An endpoint that is down may come back.
    let tokens = proxy.tokens.clone();
    tokio::spawn(async move { tokens.warm_up().await });
    Ok(serve(listener, proxy, stop).await?)
}

/// Completes after ctrl-c or SIGTERM. From now on neither ends the process by itself.
fn signal() -> io::Result<impl Future<Output = ()>> {
    #[cfg(unix)]
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    #[cfg(windows)]
    let mut terminate = tokio::signal::windows::ctrl_shutdown()?;
    Ok(async move {
        select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Serves until `stop` completes, and then until the requests that it has are done.
async fn serve(
    listener: TcpListener,
    proxy: Proxy,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    // A router would set the length of responses that are not its own.
    let respond = service_fn(move |request| proxy.clone().respond(request));
    axum::serve(listener, Shared::new(respond)).with_graceful_shutdown(stop).await
}
