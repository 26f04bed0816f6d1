//! How do programs that cannot be changed get tokens, in any language?
//!
//! `cargo run --example sidecar -- --config sidecar.toml`; without arguments it shows itself against
//! servers of its own, and ends.
//!
//! A reverse proxy that puts tokens into what it forwards, and an answer to the forward-auth of another
//! proxy, such as nginx's `auth_request`: `/auth/` and the path say `200` with the `Authorization` to use.
//!
//! ```toml
//! listen = "127.0.0.1:8080"
//! [[route]]
//! prefix = "/things"
//! upstream = "https://api.example.com"
//! [route.fetcher]
//! url = "https://idp.example.com/oauth2/token"
//! client_id = "id"
//! client_secret = { file = "/run/secrets/idp" }
//! ```

use clap::Parser;
use http::Request;
use http_body_util::Empty;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::{net::TcpListener, sync::oneshot};
use tower::BoxError;
use tower_oauth::testing::AuthorizationServer;

mod config;
mod proxy;
mod serve;

use self::{config::Config, proxy::Proxy};

#[derive(Parser)]
struct Arguments {
    /// The configuration file.
    #[arg(long)]
    config: Option<std::path::PathBuf>,
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let Some(path) = Arguments::parse().config else {
        return demonstrate().await;
    };
    let text = std::fs::read_to_string(&path);
    let text = text.map_err(|error| format!("{}: {error}", path.display()))?;
    let config = Config::read(&text)?;
    let listener = TcpListener::bind(config.listen).await?;
    println!("listening on {}", listener.local_addr()?);
    serve::serve(Proxy::new(config.route)?, listener, stop()).await;
    Ok(())
}

/// What asks a process to end.
async fn stop() {
    #[cfg(unix)]
    if let Ok(mut term) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
    {
        tokio::select! {
            _ = term.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        return;
    }
    let _ = tokio::signal::ctrl_c().await;
}

async fn demonstrate() -> Result<(), BoxError> {
    let upstream = AuthorizationServer::new();
    let listening = upstream.listen().await?;
    let config = Config::read(&format!(
        r#"
        [[route]]
        prefix = "/things"
        upstream = "{}"
        fetcher = {{ url = "{}", client_id = "client", client_secret = "secret" }}
        "#,
        listening.uri(""),
        listening.uri("/token"),
    ))?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let here = format!("http://{}", listener.local_addr()?);
    let (stop, stopped) = oneshot::channel::<()>();
    let proxy = Proxy::new(config.route)?;
    let running = tokio::spawn(serve::serve(proxy, listener, async { drop(stopped.await) }));

    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<bytes::Bytes>>();
    for path in ["/things/1", "/auth/things/1", "/readyz", "/metrics"] {
        let request = Request::get(format!("{here}{path}")).header("authorization", "Bearer mine");
        let response = client.request(request.body(Empty::new())?).await?;
        println!("{path}: {}", response.status());
        assert_eq!(response.status(), 200);
    }
    assert_eq!((upstream.token_requests(), upstream.rejected_requests()), (1, 0));
    println!(
        "The caller had a token of its own, which did not leave: {:?}",
        upstream.authorizations()
    );
    assert_eq!(upstream.authorizations(), ["Bearer token-1"]);
    let _ = stop.send(());
    running.await?;
    Ok(())
}
