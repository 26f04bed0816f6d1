//! DHL eCommerce, from its page.

use std::{
    sync::Arc,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tower_oauth::{
    ErrorKind,
    vendor::{dhl_ecommerce, dhl_ecommerce_sandbox},
};

use crate::server::{
    ID, Received, Response, SECRET, Server, fetch, json, leaks_nothing, names_are, only,
};

const TOKEN: &str = "OGH0T5hPVJ2oL0DYhRfYJgJMJYhC";

/// The page's sample of a good response, byte for byte.
const GOOD: &str = r#"{
"access_token": "OGH0T5hPVJ2oL0DYhRfYJgJMJYhC",
"client_id": "G8PaGaNdIg5CS5q5mAibmJ9jywTFiO97",
"token_type": "Bearer",
"expires_in": 3600
}"#;

/// The page's sample of a bad response, byte for byte.
const BAD: &str = r#"{
"type": "https://api-sandbox.dhlecs.com/docs/errors/400.0000005",
"title": "Invalid credentials"
}"#;

fn token_endpoint(request: &Received, token: &str) -> Response {
    // The page does not say with which status the bad response comes; its `type` begins with 400.
    // What is not "mandatory" as the page has it gets the same response.
    let bad = json(400, BAD);
    if request.path != "/auth/v4/accesstoken" || request.method != "POST" {
        return json(404, r#"{"title": "Not Found"}"#);
    }
    let form = request.form();
    let right = request.content_type() == "application/x-www-form-urlencoded"
        && request.query.is_empty()
        && !request.headers.contains_key("authorization")
        && names_are(&form, &["client_id", "client_secret", "grant_type"])
        && only(&form, "grant_type") == Some("client_credentials")
        && only(&form, "client_id") == Some(ID)
        && only(&form, "client_secret") == Some(SECRET);
    if right { json(200, GOOD.replace(TOKEN, token)) } else { bad }
}

fn expired() -> Response {
    // The text is the page's; the status is not on it, and 401 is what RFC 6750 §3.1 says.
    json(401, r#"{"title": "Access token expired"}"#)
}

#[tokio::test]
async fn the_samples() {
    let server = Server::start(TOKEN, 3600, expired(), token_endpoint).await;
    for builder in [dhl_ecommerce_sandbox(ID, SECRET), dhl_ecommerce("host", ID, SECRET)] {
        leaks_nothing(None, &[&builder]);
        let token = fetch(builder.base_url(server.base_url())).await.unwrap();
        assert!(token.expose_secret().starts_with(TOKEN));
        assert_eq!(token.lifetime(), Some(Duration::from_secs(3600)));
        assert_eq!(token.refresh_after(), Some(Duration::from_secs(1200)));
    }
    // The table calls the type `BearerToken` where the sample says `Bearer`.
    let other = Server::start(TOKEN, 3600, expired(), |request, token| {
        let (status, content_type, body) = token_endpoint(request, token);
        (status, content_type, body.replace("\"Bearer\"", "\"BearerToken\""))
    });
    let builder = dhl_ecommerce(other.await.base_url(), ID, SECRET);
    assert_eq!(fetch(builder).await.unwrap().expose_secret(), TOKEN);

    for builder in [
        dhl_ecommerce(server.base_url(), "other", SECRET),
        dhl_ecommerce(server.base_url(), ID, "other hunter2key"),
        dhl_ecommerce(server.base_url(), ID, SECRET).scope("x"),
        dhl_ecommerce(server.base_url(), ID, SECRET).no_grant_type(),
    ] {
        let error = fetch(builder).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert_eq!(error.status().unwrap(), 400);
        assert_eq!(error.description(), Some("Invalid credentials"));
        assert!(error.to_string().contains("check client id and client secret"), "{error}");
        leaks_nothing(Some(&error), &[]);
    }
}

#[tokio::test]
async fn refreshed_between_minute_15_and_30() {
    let server = Server::start(TOKEN, 3600, expired(), token_endpoint).await;
    let fetcher = dhl_ecommerce(server.base_url(), ID, SECRET).build().unwrap();
    for draw in 0..1000 {
        let chance = f64::from(draw) / 999.0;
        let tokens = tower_oauth::TokenCache::builder(fetcher.clone())
            .clock(server.clock())
            .jitter_source(move || chance)
            .build();
        tokens.warm_up().await.unwrap();
        let minutes = tokens.status().refresh_in.unwrap().as_secs_f64() / 60.0;
        assert!((15.0..30.0).contains(&minutes), "{draw}: {minutes}");
    }
}

#[tokio::test]
async fn refreshed_earlier_if_the_lifetime_shrinks() {
    let lifetime = Arc::new(AtomicU64::new(0));
    let told = Arc::clone(&lifetime);
    let server = Server::start(TOKEN, 3600, expired(), move |request, token| {
        let (status, content_type, body) = token_endpoint(request, token);
        (status, content_type, body.replace("3600", &told.load(Ordering::SeqCst).to_string()))
    })
    .await;
    for seconds in [60, 600, 1199, 1300, 1700] {
        lifetime.store(seconds, Ordering::SeqCst);
        for chance in [0.0, 1.0] {
            let tokens = server.cache(dhl_ecommerce_sandbox(ID, SECRET), chance);
            tokens.warm_up().await.unwrap();
            let status = tokens.status();
            let refreshed = status.refresh_in.unwrap();
            assert!(refreshed < status.usable_for.unwrap(), "{seconds}: {status:?}");
            assert!(refreshed <= Duration::from_secs(1200));
        }
    }
}

#[tokio::test]
async fn through_the_whole_stack() {
    let server = Server::start(TOKEN, 3600, expired(), token_endpoint).await;
    let tokens = server.cache(dhl_ecommerce_sandbox(ID, SECRET), 0.0);
    let mut resource = server.client(&tokens);
    assert_eq!(resource.get().await, 200);
    server.clock().advance(20 * 60 + 1);
    // Sent with the old token; the refresh runs beside it.
    assert_eq!(resource.get().await, 200);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(server.token_requests(), 2);
    server.clock().advance(3601);
    assert_eq!(resource.get().await, 200);
    assert_eq!(server.token_requests(), 3);
    leaks_nothing(None, &[&tokens]);
}
