//! The sidecar shows what it does, between a caller and a server on loopback ports that is its
//! authorization server and its upstream.

use std::{future::pending, time::Duration};

use tokio::{net::TcpListener, time::sleep};
use tower::BoxError;
use tower_oauth::testing::AuthorizationServer;

use crate::{
    proxy::{Config, Proxy},
    serve,
};

pub async fn run() -> Result<(), BoxError> {
    let server = AuthorizationServer::new();
    let listening = server.listen().await?;
    server.down(true);
    let config = Config::parse(&format!(
        "routes = {{ '/' = '{}' }}
        fetcher = {{ url = '{}', client_id = 'client', client_secret = 'secret' }}",
        listening.uri("/"),
        listening.uri("/token"),
    ))?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let sidecar = format!("http://{}", listener.local_addr()?);
    let control = TcpListener::bind("127.0.0.1:0").await?;
    let auth = format!("http://{}/auth", control.local_addr()?);
    tokio::spawn(serve(listener, control, Proxy::new(config)?, pending()));
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

    client.get(format!("{sidecar}/orders")).basic_auth("own", Some("own")).send().await?;
    let arrived = server.authorizations().join(", ");
    show(format!("a caller's own Authorization became {arrived}"), arrived == "Bearer token-1")?;

    server.revoke_all();
    let post = client.post(format!("{sidecar}/orders")).body("three apples").send().await?;
    let is_right = post.text().await? == "received 12 bytes\n";
    show("the token was revoked, and a POST got through with another one".to_owned(), is_right)
}

/// Prints what happened, and fails if that is wrong.
fn show(what: String, is_right: bool) -> Result<(), BoxError> {
    println!("{} {what}", if is_right { "ok   " } else { "WRONG" });
    if is_right { Ok(()) } else { Err(what.into()) }
}
