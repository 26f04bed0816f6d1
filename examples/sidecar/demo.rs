//! The sidecar shows what it does, between a caller and a server on loopback ports that is its
//! authorization server and its upstream.

use std::{future::pending, time::Duration};

use tokio::{net::TcpListener, time::sleep};
use tower::BoxError;
use tower_oauth::testing::AuthorizationServer;

use crate::proxy::{Config, Proxy};
use crate::serve;

pub async fn run() -> Result<(), BoxError> {
    let server = AuthorizationServer::new();
    let listening = server.listen().await?;
    server.down(true);
    let [upstream, url] = [listening.uri("/"), listening.uri("/token")];
    let config = Config::parse(&format!(
        "routes = {{ '/' = '{upstream}' }}
        fetcher = {{ url = '{url}', client_id = 'client', client_secret = 'secret' }}"
    ))?;
    let port = async || TcpListener::bind("127.0.0.1:0").await;
    let [callers, control] = [port().await?, port().await?];
    let sidecar = format!("http://{}", callers.local_addr()?);
    let auth = format!("http://{}/auth", control.local_addr()?);
    tokio::spawn(serve([callers, control], Proxy::new(config)?, pending::<()>()));
    let client = reqwest::Client::new();

    let response = client.get(&auth).send().await?;
    let is_right = response.status() == 503;
    let wait = response.headers()["retry-after"].to_str()?.parse()?;
    show(format!("without a token, 503: {}", response.text().await?), is_right)?;
    server.down(false);
    sleep(Duration::from_secs(wait)).await;

    let response = client.get(&auth).send().await?;
    let value = response.headers().get("authorization").ok_or("no Authorization")?.to_str()?;
    show(format!("/auth tells another proxy to send {value}"), value == "Bearer token-1")?;

    // A caller's own Authorization, and a token that is revoked.
    server.revoke_all();
    let post = client.post(format!("{sidecar}/orders")).basic_auth("own", Some("own"));
    let text = post.body("three apples").send().await?.text().await?;
    let arrived = server.authorizations().join(", ");
    let is_right = text == "received 12 bytes\n" && arrived == "Bearer token-1, Bearer token-2";
    show(format!("a POST with a caller's own Authorization got through with {arrived}"), is_right)
}

/// Prints what happened, and fails if that is wrong.
fn show(what: String, is_right: bool) -> Result<(), BoxError> {
    println!("{} {what}", if is_right { "ok   " } else { "WRONG" });
    if is_right { Ok(()) } else { Err(what.into()) }
}
