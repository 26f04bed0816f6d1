//! A server, a gateway or a file that hands out one token until it ends.

use std::{
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::sleep;
use tower::ServiceExt;
use tower_oauth::{
    Error, ErrorKind, FetchToken, RefreshReason, Token, TokenRequest, fetch_fn,
    testing::{AuthorizationServer, ResponseTemplate},
};

use crate::{
    load::{CHANCES, HOUR, client, client_of, paced, rejected, send, slow_server},
    support::{cache, cache_with, ms, reasons, secs, server},
};

/// A request a second for ten hours. At that rate whoever waits waits alone.
async fn ten_hours<F: FetchToken>(fetcher: impl Fn(&AuthorizationServer) -> F) {
    for chance in CHANCES {
        let server = slow_server(HOUR);
        server.reuse_tokens(true);
        let cache = cache_with(fetcher(&server), chance.source()).build();
        let sent = paced(&client_of(&cache, &server), secs(1), 10 * HOUR).await;
        assert!(sent.iter().all(|sent| sent.is_ok()), "{chance:?}: {}", rejected(&sent));
        let waits = sent.iter().filter(|sent| sent.took > ms(50)).count();
        let token_requests = server.token_requests();
        assert!(token_requests <= 100, "{chance:?}: {token_requests}");
        assert!(waits <= 22, "{chance:?}: {waits}");
    }
}

#[tokio::test(start_paused = true)]
async fn whose_lifetime_is_always_the_same() {
    ten_hours(|server| server.fetcher().map_response(|token| token.with_lifetime(HOUR))).await;
}

#[tokio::test(start_paused = true)]
async fn whose_lifetime_falls() {
    ten_hours(AuthorizationServer::fetcher).await;
}

#[tokio::test(start_paused = true)]
async fn whose_lifetime_is_not_said() {
    let unsaid = |token: Token| Token::bearer(token.expose_secret());
    ten_hours(move |server| server.fetcher().map_response(unsaid)).await;
}

/// What a token that is the same again says of its lifetime may be less than it said before.
#[tokio::test(start_paused = true)]
async fn the_later_of_two_ends_holds() {
    let server = server(secs(100), ms(0));
    let cache = cache(server.fetcher()).build();
    cache.warm_up().await.unwrap();
    let again = |expires_in| {
        ResponseTemplate::json(format!(
            r#"{{"access_token": "token-1", "expires_in": {expires_in}}}"#
        ))
    };
    server.token_endpoint().next(again(50)).next(again(200));
    sleep(secs(10)).await;
    cache.refresh().await.unwrap();
    assert_eq!(
        (cache.status().usable_for, cache.status().expires_in),
        (Some(secs(80)), Some(secs(90)))
    );
    // Four fifths of what is left, and not of what was said.
    assert_eq!(cache.status().refresh_in, Some(secs(64)));
    sleep(secs(10)).await;
    cache.refresh().await.unwrap();
    assert_eq!(
        (cache.status().usable_for, cache.status().expires_in),
        (Some(secs(180)), Some(secs(200)))
    );
    assert_eq!(cache.status().refresh_in, Some(secs(144)));
}

#[tokio::test(start_paused = true)]
async fn the_next_try_waits_for_5_s_at_least_but_not_past_the_end() {
    let server = server(secs(10), ms(0));
    server.reuse_tokens(true);
    let cache = cache(server.fetcher()).build();
    cache.warm_up().await.unwrap();
    let refreshed_at = async |at: Duration, next: Duration| {
        sleep(at).await;
        cache.token().await.unwrap();
        sleep(ms(1)).await;
        assert_eq!(cache.status().refresh_in, Some(next));
    };
    // Used for nine seconds. Four fifths of what is left would be less than five.
    refreshed_at(ms(7_200), ms(1_799)).await;
    assert_eq!(server.token_requests(), 2);
    let same = r#"{"access_token": "token-1", "expires_in": 6}"#;
    server.token_endpoint().next(ResponseTemplate::json(same));
    // Used for five seconds more.
    refreshed_at(ms(1_799), ms(4_999)).await;
}

/// One that does not say how long it lives lives as long again as it has lived.
#[tokio::test(start_paused = true)]
async fn without_a_lifetime_it_is_asked_for_less_and_less_often() {
    let fetcher = fetch_fn(|_| ready(Ok::<_, Error>(Token::bearer("abc"))));
    let cache = cache(fetcher).build();
    cache.warm_up().await.unwrap();
    let mut ends = vec![cache.status().expires_in.unwrap().as_secs()];
    for _ in 0..4 {
        sleep(cache.status().refresh_in.unwrap()).await;
        cache.token().await.unwrap();
        sleep(ms(1)).await;
        ends.push(cache.status().expires_in.unwrap().as_secs());
    }
    // Five minutes at least.
    assert_eq!(ends, [300, 299, 431, 753, 1332]);
}

/// A gateway knows nothing of it, but its token endpoint does.
#[tokio::test(start_paused = true)]
async fn a_token_that_came_again_and_is_then_revoked_is_refreshed_at_once() {
    for chance in CHANCES {
        let server = slow_server(HOUR);
        server.reuse_tokens(true);
        let (client, cache) = client(&server, chance);
        cache.warm_up().await.unwrap();
        sleep(cache.status().refresh_in.unwrap()).await;
        assert!(send(&client).await.is_ok());
        sleep(secs(1)).await;
        assert_eq!(server.token_requests(), 2);
        server.reuse_tokens(false).revoke_all();
        let sent = paced(&client, ms(100), secs(60)).await;
        assert!(sent.iter().all(|sent| sent.is_ok() && sent.took <= ms(150)), "{chance:?}");
        assert_eq!(server.rejected_requests(), 1, "{chance:?}");
        assert_eq!(reasons(&server)[2..], [RefreshReason::Rejected]);
    }
}

/// It stays the token that it was. Otherwise a request that was sent before would be taken for one
/// with a token that has been replaced, and sent again with the very same.
#[tokio::test(start_paused = true)]
async fn a_late_rejection_finds_a_token_that_came_again() {
    let server = server(HOUR, ms(0));
    server.reuse_tokens(true);
    let cache = cache(server.fetcher()).build();
    let late = cache.lease().await.unwrap();
    sleep(cache.status().refresh_in.unwrap()).await;
    cache.token().await.unwrap();
    sleep(ms(1)).await;
    assert_eq!(server.token_requests(), 2);
    assert_eq!(cache.token().await.unwrap().id(), late.token().id());
    assert!(late.is_usable());
    server.reuse_tokens(false);
    let another = late.reject().await.unwrap().expect("another token");
    assert_eq!(another.token().expose_secret(), "token-2");
}

/// It says nothing new, whatever it says: its deadlines stay, and it is not used after its end.
#[tokio::test(start_paused = true)]
async fn a_fetcher_that_gives_the_previous_token_back_does_not_keep_it_alive() {
    let as_it_is = |token: Token| token;
    let as_new = |token: Token| token.with_lifetime(secs(600)).with_age(ms(0));
    for again in [as_it_is, as_new] {
        let fetches = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&fetches);
        let fetcher = fetch_fn(move |request: TokenRequest| {
            counter.fetch_add(1, Ordering::SeqCst);
            let new = || Token::bearer("abc").with_lifetime(secs(600));
            ready(Ok::<_, Error>(request.previous.map_or_else(new, again)))
        });
        let cache = cache(fetcher).build();
        for second in 0..600 {
            match cache.token().await {
                Ok(_) => assert!(second < 570, "at {second} s"),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::InvalidResponse);
                    assert!(second >= 570, "at {second} s: {error}");
                }
            }
            sleep(secs(1)).await;
        }
        let fetches = fetches.load(Ordering::SeqCst);
        assert!(fetches <= 20, "{fetches}");
    }
}
