//! What a store may hand out, and what its failures cost.

use std::time::Duration;

use http::StatusCode;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tower::{BoxError, ServiceBuilder, ServiceExt};
use tower_oauth::{
    ErrorKind, RefreshReason, Token, TokenCache, TokenRequest,
    cache::TokenState,
    fetch_fn,
    shared::{Look, Looked, MemoryStore, SharedTokens, TokenStore},
    testing::{AuthorizationServer, ResponseTemplate, TokioClock},
};

use crate::{
    all_well, ask_all, client,
    faulty::{Faulty, Mode},
    get, key, replica, replicas,
    support::{capture_log, in_time, ms, reasons, runtime, secs, server},
};

async fn secret(tokens: &TokenCache) -> String {
    tokens.token().await.unwrap().expose_secret().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_token_is_as_old_in_every_process() {
    let (server, store) = (server(secs(1000), ms(100)), MemoryStore::new());
    let first = replica(&server, &store);
    secret(&first).await;
    sleep(secs(400)).await;
    let second = replica(&server, &store);
    assert_eq!(secret(&second).await, "token-1");
    assert_eq!(first.token().await.unwrap().lifetime(), second.token().await.unwrap().lifetime());
    let (first, second) = (first.status(), second.status());
    let difference = first.expires_in.unwrap().abs_diff(second.expires_in.unwrap());
    assert!(difference <= ms(101), "{difference:?}");
    assert_eq!(server.token_requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_keeps_its_scheme_and_its_refresh_time() {
    let store = MemoryStore::new();
    let tokens = |fetches: bool| {
        let fetcher = fetch_fn(move |_| async move {
            let token = Token::new("DPoP", "abc").with_lifetime(secs(600));
            let token = token.with_refresh_after(secs(100));
            if fetches { Ok::<_, BoxError>(token) } else { Err("not asked".into()) }
        });
        let shared = SharedTokens::new(store.clone(), key());
        let fetcher = ServiceBuilder::new().layer(shared.named("api")).service(fetcher);
        TokenCache::builder(fetcher).clock(TokioClock::new()).build()
    };
    tokens(true).token().await.unwrap();
    let token = tokens(false).token().await.unwrap();
    assert_eq!((token.scheme(), token.expose_secret()), ("DPoP", "abc"));
    assert_eq!(token.lifetime(), Some(secs(600)));
    assert_eq!(token.refresh_after(), Some(secs(100)));
}

#[tokio::test(start_paused = true)]
async fn a_token_without_a_lifetime_is_kept_for_five_minutes() {
    let (server, store) = (server(secs(600), ms(0)), MemoryStore::new());
    server.lifetime(None);
    secret(&replica(&server, &store)).await;
    sleep(secs(299)).await;
    let token = replica(&server, &store).token().await.unwrap();
    assert_eq!((token.expose_secret(), token.lifetime()), ("token-1", None));
    assert_eq!(token.age(), Some(secs(299)));
    sleep(secs(1)).await;
    assert_eq!(secret(&replica(&server, &store)).await, "token-2");
}

#[tokio::test(start_paused = true)]
async fn a_process_takes_over_what_another_one_has_refreshed() {
    let (server, store) = (server(secs(1000), ms(100)), MemoryStore::new());
    let fleet = replicas(2, &server, &store);
    all_well(&ask_all(&fleet).await);
    // Past the refresh time of both, which one of them sees.
    sleep(secs(800)).await;
    secret(&fleet[0]).await;
    sleep(ms(200)).await;
    assert_eq!(secret(&fleet[0]).await, "token-2");
    // The other one sends what it has, and looks in the background.
    assert_eq!(secret(&fleet[1]).await, "token-1");
    sleep(ms(200)).await;
    assert_eq!(secret(&fleet[1]).await, "token-2");
    assert_eq!(server.token_requests(), 2);
}

/// A store must not answer a rejection with the token that was rejected.
#[tokio::test(start_paused = true)]
async fn a_rejected_token_is_replaced_once_for_all() {
    let (server, store) = (server(secs(1000), ms(100)), MemoryStore::new());
    let fleet = replicas(3, &server, &store);
    all_well(&ask_all(&fleet).await);
    server.revoke_all();
    for tokens in &fleet {
        let response = client(&server, tokens).oneshot(get()).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(secret(tokens).await, "token-2");
    }
    assert_eq!(server.token_requests(), 2);
}

/// A process that was told to refresh gets a token that nobody had before, not even one that another
/// process was fetching when it was told.
#[tokio::test(start_paused = true)]
async fn a_refresh_is_answered_by_no_older_token() {
    let (server, store) = (server(secs(1000), ms(300)), MemoryStore::new());
    let fleet = replicas(3, &server, &store);
    all_well(&ask_all(&fleet).await);
    sleep(secs(10)).await;
    assert_eq!(fleet[0].refresh().await.unwrap().expose_secret(), "token-2");
    sleep(secs(10)).await;
    let (first, second) = tokio::join!(fleet[0].refresh(), async {
        sleep(ms(150)).await;
        fleet[1].refresh().await
    });
    assert_eq!(first.unwrap().expose_secret(), "token-3");
    assert_eq!(second.unwrap().expose_secret(), "token-4");
    assert_eq!(server.token_requests(), 4);
}

/// What is said to all is that another one was told, and what.
#[tokio::test(start_paused = true)]
async fn all_are_told_of_a_failure() {
    let (server, store) = (server(secs(1000), ms(100)), MemoryStore::new());
    server
        .token_endpoint()
        .always(ResponseTemplate::oauth_error(StatusCode::BAD_REQUEST, "invalid_client"));
    let asked = ask_all(&replicas(10, &server, &store)).await;
    let told = asked.iter().filter(|(result, _)| {
        let error = result.as_ref().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert_eq!(error.oauth_code(), Some("invalid_client"));
        error.to_string().contains("another process that shares the token was told: ")
    });
    assert_eq!(told.count(), 9);
    assert_eq!(server.token_requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_is_asked_for_does_not_stop_at_a_failure() {
    let (server, store) = (server(secs(1000), ms(100)), MemoryStore::new());
    server.down(true);
    let fleet = replicas(2, &server, &store);
    ask_all(&fleet).await;
    server.down(false);
    // Whoever failed has the claim for a little longer.
    sleep(ms(600)).await;
    assert_eq!(fleet[1].refresh().await.unwrap().expose_secret(), "token-1");
}

/// One process has a wrong secret, and is fetching when another one, whose secret has been corrected,
/// is told to refresh.
#[tokio::test(start_paused = true)]
async fn a_refresh_does_not_stop_at_the_failure_of_a_fetch_that_began_before() {
    let (server, store) = (server(secs(1000), ms(0)), MemoryStore::new());
    let denied = ResponseTemplate::oauth_error(StatusCode::UNAUTHORIZED, "invalid_client");
    server.token_endpoint().next(denied.after(secs(2)));
    let fleet = replicas(2, &server, &store);
    let (wrong, corrected) = tokio::join!(fleet[0].token(), async {
        sleep(secs(1)).await;
        fleet[1].refresh().await
    });
    assert_eq!(wrong.unwrap_err().kind(), ErrorKind::Denied);
    assert_eq!(corrected.unwrap().expose_secret(), "token-1");
    assert_eq!(server.token_requests(), 2);
}

/// However soon it fails.
#[tokio::test(start_paused = true)]
async fn refreshes_share_the_failure_of_a_fetch_that_began_after_them() {
    let (server, store) = (server(secs(1000), ms(0)), MemoryStore::new());
    let down = ResponseTemplate::status(StatusCode::SERVICE_UNAVAILABLE);
    server.token_endpoint().always(down.clone()).next(down.after(secs(2)));
    let fleet = replicas(20, &server, &store);
    let mut asking = JoinSet::new();
    for (number, tokens) in fleet.into_iter().enumerate() {
        asking.spawn(async move {
            if number == 0 {
                return tokens.token().await.unwrap_err();
            }
            sleep(secs(1)).await;
            tokens.refresh().await.unwrap_err()
        });
    }
    asking.join_all().await;
    assert_eq!(server.token_requests(), 2);
}

/// A fleet in which somebody always wants a token leaves the endpoint alone for as long as one process.
#[tokio::test(start_paused = true)]
async fn all_wait_for_as_long_as_retry_after_asks() {
    for (asked, waited) in [(120, 120), (10_000, 300)] {
        let (server, store) = (server(secs(1000), ms(50)), MemoryStore::new());
        let busy = ResponseTemplate::status(StatusCode::TOO_MANY_REQUESTS).retry_after(asked);
        server.token_endpoint().next(busy);
        let fleet = replicas(20, &server, &store);
        let start = Instant::now();
        while start.elapsed() < secs(waited - 1) {
            for (result, took) in ask_all(&fleet).await {
                let left = result.unwrap_err().retry_after().unwrap();
                let until = start.elapsed() + left;
                assert!(until.abs_diff(secs(waited)) <= secs(1), "{until:?}");
                assert!(took <= secs(1), "{took:?}");
            }
            sleep(secs(7)).await;
        }
        assert_eq!(server.token_requests(), 1);
        sleep((start + secs(waited + 1)) - Instant::now()).await;
        let longest = all_well(&ask_all(&fleet).await);
        assert!(longest <= secs(1), "{longest:?}");
        assert_eq!(server.token_requests(), 2);
    }
}

/// Requests that have a usable token notice nothing of a store that is dead, slow or back.
#[tokio::test(start_paused = true)]
async fn a_store_that_fails_costs_requests_with_a_token_nothing() {
    for mode in [Mode::Refuses, Mode::Hangs, Mode::Works(secs(10))] {
        let (server, store) = (server(secs(600), ms(280)), Faulty::new(Mode::Works(ms(1))));
        let tokens = replica(&server, &store);
        secret(&tokens).await;
        let start = Instant::now();
        while start.elapsed() < secs(7200) {
            let minute = start.elapsed().as_secs() / 60;
            store.set(if minute % 20 < 10 { mode } else { Mode::Works(ms(1)) });
            let sent = Instant::now();
            client(&server, &tokens).oneshot(get()).await.unwrap();
            assert_eq!(sent.elapsed(), ms(0), "{:?}", start.elapsed());
            sleep(secs(1)).await;
        }
        assert!((13..=19).contains(&server.token_requests()), "{}", server.token_requests());
    }
}

/// It is left alone for longer and longer, and found again when it is back.
#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_work_is_left_alone() {
    let (server, store) = (server(secs(1), ms(0)), Faulty::new(Mode::Hangs));
    let tokens = replica(&server, &store);
    let log = capture_log(async {
        let start = Instant::now();
        while start.elapsed() < secs(600) {
            secret(&tokens).await;
            sleep(ms(100)).await;
        }
    });
    let log = log.await;
    // After 1, 2, 4, 8, 16, 30, 30 .. seconds.
    let asked = store.asked();
    assert!((20..=25).contains(&asked), "{asked}");
    assert_eq!(log.matches("the store of shared tokens does not work").count(), asked as usize);
    store.set(Mode::Works(ms(0)));
    sleep(secs(31)).await;
    secret(&tokens).await;
    assert!(store.asked() >= asked + 2, "it looked, claimed and put");
    assert_eq!(tokens.status().state, TokenState::Fresh);
}

/// A store that dies in the middle of a fetch.
#[tokio::test(start_paused = true)]
async fn a_store_that_dies_while_others_wait_costs_a_fetch_for_each() {
    let (server, store) = (server(secs(600), secs(2)), Faulty::new(Mode::Works(ms(1))));
    let fleet = replicas(10, &server, &store);
    let waiting = tokio::spawn(async move { ask_all(&fleet).await });
    sleep(ms(500)).await;
    store.set(Mode::Hangs);
    let longest = all_well(&waiting.await.unwrap());
    assert_eq!(server.token_requests(), 10);
    assert!(longest <= secs(4), "{longest:?}");
}

/// Its fetchers' own reasons reach the fetcher.
#[tokio::test(start_paused = true)]
async fn the_fetcher_is_asked_for_the_reason_of_the_process_that_fetches() {
    let (server, store) = (server(secs(1000), ms(100)), MemoryStore::new());
    let tokens = replica(&server, &store);
    secret(&tokens).await;
    sleep(secs(2)).await;
    tokens.refresh().await.unwrap();
    let previous: Vec<Option<u64>> =
        server.fetches().iter().map(|it| it.previous.as_ref().map(Token::id)).collect();
    assert_eq!(reasons(&server).len(), 2);
    assert!(previous[0].is_none() && previous[1].is_some());
}

/// A keyed cache makes the fetcher anew for each fetch. It remembers nothing, and goes by the secret.
#[tokio::test(start_paused = true)]
async fn a_fetcher_that_is_made_for_each_fetch_does_not_take_the_old_token_again() {
    let (server, store) = (server(secs(1000), ms(100)), MemoryStore::new());
    let shared = SharedTokens::new(store, key());
    let tokens = {
        let server: AuthorizationServer = server.clone();
        let fetcher = fetch_fn(move |request| {
            let layer = ServiceBuilder::new().layer(shared.named("api"));
            layer.service(server.fetcher()).oneshot(request)
        });
        TokenCache::builder(fetcher).clock(TokioClock::new()).build()
    };
    secret(&tokens).await;
    server.revoke_all();
    let response = client(&server, &tokens).oneshot(get()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(secret(&tokens).await, "token-2");
    sleep(secs(2)).await;
    assert_eq!(tokens.refresh().await.unwrap().expose_secret(), "token-3");
    let start: Duration = tokens.status().refresh_in.unwrap();
    sleep(start + secs(1)).await;
    secret(&tokens).await;
    sleep(ms(200)).await;
    assert_eq!(secret(&tokens).await, "token-4");
}

/// A token that a process only looked at is not one that it has.
#[tokio::test(start_paused = true)]
async fn a_refresh_that_fails_does_not_hide_the_token_of_another_process() {
    let (server, store) = (server(secs(1000), ms(100)), MemoryStore::new());
    server.revoke_on_issue(true);
    let fleet = replicas(2, &server, &store);
    all_well(&ask_all(&fleet).await);
    sleep(secs(10)).await;
    fleet[0].refresh().await.unwrap();
    server.down(true);
    fleet[1].refresh().await.unwrap_err();
    sleep(secs(10)).await;
    let response = client(&server, &fleet[1]).oneshot(get()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(secret(&fleet[1]).await, "token-2");
}

/// Whoever asks for another token while the endpoint is down hears of it soon.
#[tokio::test(start_paused = true)]
async fn refreshes_while_the_endpoint_is_down_fail_together() {
    let (server, store) = (server(secs(1000), ms(100)), MemoryStore::new());
    let fleet = replicas(200, &server, &store);
    all_well(&ask_all(&fleet).await);
    sleep(secs(10)).await;
    server.down(true);
    let start = Instant::now();
    let mut refreshing = JoinSet::new();
    for tokens in fleet {
        refreshing.spawn(async move { tokens.refresh().await.unwrap_err() });
    }
    refreshing.join_all().await;
    assert!(start.elapsed() <= secs(5), "{:?}", start.elapsed());
    assert!(server.token_requests() <= 5, "{}", server.token_requests());
}

/// A token that ends as soon as it came is shared for the second that a cache uses it.
#[tokio::test(start_paused = true)]
async fn a_token_that_ends_at_once_holds_nobody_up() {
    let (server, store) = (server(secs(0), ms(100)), MemoryStore::new());
    let longest = all_well(&ask_all(&replicas(20, &server, &store)).await);
    assert!(longest <= ms(500), "{longest:?}");
    assert_eq!(server.token_requests(), 1);
}

/// A token that no header can carry is of no use to others either.
#[tokio::test(start_paused = true)]
async fn a_token_that_cannot_be_shared_ends_its_claim() {
    let store = MemoryStore::new();
    let shared = SharedTokens::new(store.clone(), key());
    let fetcher = fetch_fn(|_| async { Ok::<_, BoxError>(Token::bearer("two words")) });
    let fetcher = ServiceBuilder::new().layer(shared.named("api")).service(fetcher);
    fetcher.oneshot(TokenRequest::new(RefreshReason::Cold)).await.unwrap();
    sleep(ms(2)).await;
    let look = Look { newer_than: 0, despite_failure: false, claim: secs(1) };
    assert!(matches!(store.look_or_claim("api", look).await.unwrap(), Looked::Claimed(_)));
}

/// What cannot be read is nothing, a failure too.
#[tokio::test(start_paused = true)]
async fn a_failure_that_cannot_be_read_stops_nobody() {
    let (server, store) = (server(secs(1000), ms(100)), MemoryStore::new());
    let look = Look { newer_than: 0, despite_failure: false, claim: secs(1) };
    let Looked::Claimed(number) = store.look_or_claim("api", look).await.unwrap() else { panic!() };
    store.fail("api", number, b"junk", secs(100_000), secs(100_000)).await.unwrap();
    assert_eq!(secret(&replica(&server, &store)).await, "token-1");
}

/// After an outage the store has an older token than the process that fetched for itself.
#[tokio::test(start_paused = true)]
async fn a_token_older_than_ones_own_is_no_answer_to_a_rejection() {
    let (server, store) = (server(secs(10_000), ms(100)), Faulty::new(Mode::Works(ms(1))));
    let fleet = replicas(2, &server, &store);
    all_well(&ask_all(&fleet).await);
    store.set(Mode::Refuses);
    sleep(secs(10)).await;
    assert_eq!(fleet[1].refresh().await.unwrap().expose_secret(), "token-2");
    // Until the token before it is no fallback any more.
    sleep(secs(70)).await;
    store.set(Mode::Works(ms(1)));
    server.revoke_all();
    let response = client(&server, &fleet[1]).oneshot(get()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(secret(&fleet[1]).await, "token-3");
    assert_eq!(server.rejected_requests(), 1);
}

/// A store that does not do what it should does not make a process ask for ever.
#[tokio::test(start_paused = true)]
async fn a_store_that_repeats_itself_is_left_alone() {
    let server = server(secs(1000), ms(100));
    let tokens = replica(&server, &Faulty::new(Mode::Repeats));
    secret(&tokens).await;
    sleep(secs(2)).await;
    assert_eq!(tokens.refresh().await.unwrap().expose_secret(), "token-2");
}

/// Nor does one that never lets another task have its thread.
#[test]
fn a_store_that_has_another_token_each_time_and_none_to_read_is_left_alone() {
    in_time(|| {
        runtime().block_on(async {
            let (server, store) = (server(secs(1000), ms(0)), Faulty::new(Mode::Junk));
            assert_eq!(secret(&replica(&server, &store)).await, "token-1");
            assert!(store.asked() <= 10, "{}", store.asked());
        });
    });
}
