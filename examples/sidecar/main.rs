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
//! upstream, and forwards WebSockets over HTTP/1.1. A `Location` stays as the upstream wrote it, also if
//! that is the upstream's own address, to which a caller would go without a token.
//!
//! For an upstream with a certificate of a private authority set `SSL_CERT_FILE` to the authority's
//! (PEM). It takes the place of the system's, for the token endpoint too, so put those in as well if they
//! are needed. No client certificate is shown to an upstream; `client_identity` of `[fetcher]` is for the
//! token endpoint.
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
//! A wrong secret does not end it: what fails is logged, and `/readyz` says 503. Why there is no
//! token or no response is not told to callers, who get a 503 or a 502. An upstream with `http://` gets the
//! token in the clear.
//!
//! It adds about 3 µs at the median to a request over HTTP/1.1, 8 % of the cost of a proxy that only
//! forwards it: `cargo bench --bench sidecar`.
//!
//! A connection that has sent something is closed after half a minute without a whole head (HTTP/1.1), or
//! without an answer to a ping (HTTP/2).
//!
//! After ctrl-c or SIGTERM it accepts no new connections, finishes the requests in progress, however
//! long they take, and cuts off WebSockets. Meanwhile its control address answers as before, so that
//! another proxy can finish too, and `/readyz` does not show that it stops. A second signal ends it at once.

mod demo;
mod proxy;
#[cfg(test)]
mod tests;

use std::{fs, io, net::SocketAddr, path::PathBuf, pin::pin, process, time::Duration};

use axum::{body::Body, serve::Listener};
use clap::Parser;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::{conn::auto::Builder, graceful::GracefulShutdown};
use tokio::{net::TcpListener, select, sync::mpsc};
use tower::{BoxError, make::Shared, service_fn};

use proxy::{Config, Proxy};

/// How long HTTP/2 is idle before it is asked, and how long it may take to answer. A head that comes
/// in HTTP/1.1 has both.
const WAIT: Duration = Duration::from_secs(15);

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
    let bind = async |addr: Option<SocketAddr>, port| {
        let addr = addr.unwrap_or(([127, 0, 0, 1], port).into());
        let bound = TcpListener::bind(addr).await;
        bound.map_err(|error| named(format!("cannot listen on {addr}: {error}").into()))
    };
    let [callers, control] = [bind(config.listen, 8080).await?, bind(config.control, 8081).await?];
    let proxy = Proxy::new(config).map_err(named)?;
    // ctrl-c or SIGTERM. At the second nobody listens any more, and it ends at once.
    let (stop, mut stopped) = mpsc::channel(1);
    ctrlc::set_handler(move || stop.try_send(()).unwrap_or_else(|_| process::exit(1)))?;
    eprintln!("listening on {}, control on {}", callers.local_addr()?, control.local_addr()?);
    // A wrong secret is logged at once. An endpoint that is down may come back.
    let tokens = proxy.tokens.clone();
    tokio::spawn(async move { tokens.warm_up().await });
    serve([callers, control], proxy, stopped.recv()).await;
    Ok(())
}

/// Serves until `stop` completes, and then until the requests that it has are done.
async fn serve([mut callers, control]: [TcpListener; 2], proxy: Proxy, stop: impl Future) {
    let asked = proxy.clone();
    let asked = Shared::new(service_fn(move |request| asked.clone().control(request)));
    tokio::spawn(async { axum::serve(control, asked).await });
    let mut server = Builder::new(TokioExecutor::new());
    // Shutdown would wait for ever for a caller that sends half a head, or a preface and nothing else.
    server.http1().timer(TokioTimer::new()).header_read_timeout(2 * WAIT);
    server.http2().timer(TokioTimer::new()).keep_alive_interval(WAIT).keep_alive_timeout(WAIT);
    let respond = hyper::service::service_fn(move |request: http::Request<Incoming>| {
        proxy.clone().respond(request.map(Body::new))
    });
    let (connections, mut stop) = (GracefulShutdown::new(), pin!(stop));
    loop {
        let (tcp, _) =
            select! { it = Listener::accept(&mut callers) => it, _ = &mut stop => break };
        let serving = server.serve_connection_with_upgrades(TokioIo::new(tcp), respond.clone());
        tokio::spawn(connections.watch(serving.into_owned()));
    }
    drop(callers);
    connections.shutdown().await;
}
