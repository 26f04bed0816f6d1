//! How do programs that know nothing about OAuth get tokens? From a small tool beside them. Without
//! arguments it shows what it does, and needs no network: `cargo run --example sidecar`
//!
//! ```sh
//! cargo run --example sidecar -- --config sidecar.toml
//! ```
//!
//! ```toml
//! listen = "127.0.0.1:8080"   # the default; whoever can connect can use the token
//! control = "127.0.0.1:8081"  # the default; whoever can connect gets the token
//! keep_authorization = false  # the default: an Authorization of the caller's own is dropped
//! replay_limit = 65536        # the default: bytes of a request that are kept to send it again
//!
//! [routes]                    # the longest prefix counts, and the path stays as it is
//! "/" = "https://api.example.com"
//!
//! [fetcher]                   # and [refresh]; see `TokenEndpointBuilder` and `RefreshPolicy`
//! url = "https://idp.example.com/oauth2/token"
//! client_id = "orders"
//! client_secret = { file = "/run/secrets/idp" }
//! ```
//!
//! It is a reverse proxy that adds the token, uses its caller's HTTP version (1.1 or 2) with the
//! upstream, and forwards WebSockets over HTTP/1.1.
//!
//! On an address of its own, which is not for callers, it has `/readyz` for probes, `/metrics` for
//! Prometheus, and `/auth` for another proxy that does the work itself: a request to `/auth` gets the
//! `Authorization` to add. Envoy uses it by `ext_authz` with `path_prefix: /auth`, and then the sidecar
//! does not learn of rejections. nginx uses it by `auth_request`, and can send a request whose token is
//! rejected through the sidecar, which gets another token for all:
//!
//! ```nginx
//! location / {
//!     auth_request /_token;
//!     auth_request_set $token $upstream_http_authorization;
//!     proxy_set_header Authorization $token;
//!     proxy_pass https://api.example.com;
//!     proxy_ssl_server_name on;
//!     proxy_ssl_verify on;
//!     proxy_ssl_trusted_certificate /etc/ssl/certs/ca-certificates.crt;
//!     proxy_intercept_errors on;
//!     error_page 401 = @sidecar;
//! }
//! location @sidecar {
//!     proxy_pass http://127.0.0.1:8080;
//! }
//! location = /_token {
//!     internal;
//!     proxy_pass http://127.0.0.1:8081/auth;
//!     proxy_pass_request_body off;
//!     proxy_set_header Content-Length "";
//! }
//! ```
//!
//! Every path of such a location needs a route of the sidecar. A request that went this way is sent three
//! times, and its response keeps the first `WWW-Authenticate`. Without a token `/auth` says 503, which nginx
//! turns into a 500.
//!
//! A wrong secret does not end it: what fails is logged, and `/readyz` says 503. An upstream with `http://`
//! gets the token in the clear.
//!
//! It adds about 3 µs at the median to a request over HTTP/1.1, 8 % of the cost of a proxy that only
//! forwards it: `cargo bench --bench sidecar`.
//!
//! After ctrl-c or SIGTERM it accepts no new connections, finishes the requests in progress, however
//! long they take, and cuts off WebSockets. A second signal ends it at once.

mod demo;
mod proxy;
#[cfg(test)]
mod tests;

use std::{fs, io, path::PathBuf, process};

use clap::Parser;
use tokio::{net::TcpListener, sync::mpsc};
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
    let control = config.control.unwrap_or(([127, 0, 0, 1], 8081).into());
    let proxy = Proxy::new(config).map_err(named)?;
    let bind = async |addr| {
        let bound = TcpListener::bind(addr).await;
        bound.map_err(|error| named(format!("cannot listen on {addr}: {error}").into()))
    };
    let (listener, control) = (bind(listen).await?, bind(control).await?);
    // ctrl-c or SIGTERM. At the second nobody listens any more, and it ends at once.
    let (stop, mut stopped) = mpsc::channel(1);
    ctrlc::set_handler(move || stop.try_send(()).unwrap_or_else(|_| process::exit(1)))?;
    eprintln!("listening on {}, control on {}", listener.local_addr()?, control.local_addr()?);
    // A wrong secret is logged at once. An endpoint that is down may come back.
    let tokens = proxy.tokens.clone();
    tokio::spawn(async move { tokens.warm_up().await });
    Ok(serve(listener, control, proxy, async move { _ = stopped.recv().await }).await?)
}

/// Serves until `stop` completes, and then until the requests that it has are done.
async fn serve(
    listener: TcpListener,
    control: TcpListener,
    proxy: Proxy,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let asked = proxy.clone();
    let asked = Shared::new(service_fn(move |request| asked.clone().control(request)));
    tokio::spawn(async { axum::serve(control, asked).await });
    // A router would set the length of responses that are not its own.
    let respond = Shared::new(service_fn(move |request| proxy.clone().respond(request)));
    axum::serve(listener, respond).with_graceful_shutdown(stop).await
}
