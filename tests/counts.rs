//! What a cache says of what happened: what it counts, and what it logs.

mod support;

use std::time::Duration;

use http::StatusCode;
use support::{cache, capture_log, get, ms, secs, server};
use tokio::time::sleep;
use tower::{BoxError, Layer, ServiceExt};
use tower_oauth::{
    Error, ErrorKind, OAuthLayer, Token, TokenCache,
    cache::{Counts, RefreshPolicy},
    fetch_fn,
    replay::Never,
    testing::{AuthorizationServer, ResponseTemplate},
};

const HOUR: Duration = secs(60 * 60);

fn counts(cache: &TokenCache) -> Counts {
    cache.status().counts
}

/// What has changed since.
fn changes(cache: &TokenCache, seen: &mut Counts) -> Vec<(&'static str, u64)> {
    let before = std::mem::replace(seen, counts(cache));
    // The label says what it is, or the name without what all names have.
    let short = |name: &'static str| {
        let name = name.strip_prefix("oauth_client_").and_then(|name| name.strip_suffix("_total"));
        name.expect("a name for Prometheus")
    };
    let all = |counts: &Counts| {
        let counters = counts.counters();
        let all = counters
            .map(|(name, label, count)| (label.map_or_else(|| short(name), |it| it.1), count));
        let time = ("fetch_time", counts.fetch_time.as_secs());
        all.chain([time]).collect::<Vec<_>>()
    };
    let pairs = all(seen).into_iter().zip(all(&before));
    let pairs = pairs.map(|((name, now), (_, then))| (name, now - then));
    pairs.filter(|(_, more)| *more > 0).collect()
}

#[tokio::test(start_paused = true)]
async fn fetches_by_their_reasons() {
    let server = server(HOUR, secs(2));
    let cache = cache(server.fetcher()).name("billing").build();
    let status = cache.status();
    assert_eq!((status.name(), status.counts), (Some("billing"), Counts::default()));
    let mut seen = Counts::default();

    let (one, two, three) = tokio::join!(cache.token(), cache.token(), cache.token());
    for token in [one, two, three] {
        token.unwrap();
    }
    assert_eq!(changes(&cache, &mut seen), [("cold", 1), ("waits", 3), ("fetch_time", 2)]);
    for _ in 0..100 {
        cache.token().await.unwrap();
    }
    assert_eq!(changes(&cache, &mut seen), []);

    sleep(secs(50 * 60)).await;
    cache.token().await.unwrap();
    cache.token().await.unwrap();
    sleep(secs(5)).await;
    cache.token().await.unwrap();
    assert_eq!(changes(&cache, &mut seen), [("stale", 1), ("stale_served", 2), ("fetch_time", 2)]);

    sleep(2 * HOUR).await;
    cache.token().await.unwrap();
    assert_eq!(changes(&cache, &mut seen), [("expired", 1), ("waits", 1), ("fetch_time", 2)]);

    sleep(secs(10)).await;
    let token = cache.refresh().await.unwrap();
    assert_eq!(changes(&cache, &mut seen), [("requested", 1), ("fetch_time", 2)]);

    assert!(cache.invalidate(&token));
    cache.token().await.unwrap();
    let rejected = [("rejected", 1), ("waits", 2), ("rejections", 1), ("fetch_time", 2)];
    assert_eq!(changes(&cache, &mut seen), rejected);
    // A token of before: seen, and nothing is ignored.
    assert!(!cache.invalidate(&token));
    assert_eq!(changes(&cache, &mut seen), [("rejections", 1)]);

    server.reuse_tokens(true);
    sleep(secs(50 * 60)).await;
    cache.token().await.unwrap();
    sleep(secs(5)).await;
    let again = [("stale", 1), ("fetches_same_again", 1), ("stale_served", 1), ("fetch_time", 2)];
    assert_eq!(changes(&cache, &mut seen), again);
}

#[tokio::test(start_paused = true)]
async fn failures_by_their_kinds() {
    let server = server(HOUR, ms(0));
    let cache = cache(server.fetcher()).build();
    assert_eq!(cache.status().name(), None);
    let mut seen = Counts::default();
    let denied = ResponseTemplate::oauth_error(StatusCode::UNAUTHORIZED, "invalid_client");
    for (template, label) in [
        (denied, "denied"),
        (ResponseTemplate::status(StatusCode::SERVICE_UNAVAILABLE), "unavailable"),
        (ResponseTemplate::never(), "timeout"),
    ] {
        server.token_endpoint().always(template);
        cache.token().await.unwrap_err();
        // In the cooldown nobody waits, and nothing fails.
        cache.token().await.unwrap_err();
        let changes = changes(&cache, &mut seen);
        assert_eq!(changes[..3], [("cold", 1), (label, 1), ("waits", 1)], "{changes:?}");
        sleep(HOUR).await;
    }
    let failing = |kind: fn() -> Result<Token, BoxError>| {
        support::cache(fetch_fn(move |_| async move { kind() })).build()
    };
    for (cache, label) in [
        (failing(|| Ok(Token::bearer(""))), "invalid_response"),
        (failing(|| Err("no".into())), "other"),
        (failing(|| Err(Error::new(ErrorKind::Denied).into())), "denied"),
        (failing(|| panic!("the fetcher's own")), "other"),
    ] {
        cache.token().await.unwrap_err();
        let changes = changes(&cache, &mut Counts::default());
        assert_eq!(changes, [("cold", 1), (label, 1), ("waits", 1)]);
    }
}

#[tokio::test(start_paused = true)]
async fn rejections_and_replays() {
    let server = server(HOUR, ms(0));
    let cache = cache(server.fetcher()).build();
    let layer = OAuthLayer::with_source(cache.clone());
    let api = layer.clone().layer(server.clone());
    let send = || api.clone().oneshot(get("https://api.example.com/"));
    send().await.unwrap();
    let mut seen = counts(&cache);

    server.reject_next(1);
    assert_eq!(send().await.unwrap().status(), 200);
    let replayed = [("rejected", 1), ("waits", 1), ("rejections", 1), ("replays", 1)];
    assert_eq!(changes(&cache, &mut seen), replayed);
    // Right after it another one is ignored, and nothing is sent again.
    server.reject_next(1);
    assert_eq!(send().await.unwrap().status(), 401);
    assert_eq!(changes(&cache, &mut seen), [("rejections", 1), ("rejections_ignored", 1)]);
    sleep(HOUR / 2).await;
    let never = layer.replay(Never).layer(server.clone());
    server.reject_next(1);
    assert_eq!(never.oneshot(get("https://api.example.com/")).await.unwrap().status(), 401);
    sleep(secs(1)).await;
    assert_eq!(changes(&cache, &mut seen), [("rejected", 1), ("waits", 1), ("rejections", 1)]);
}

#[test]
fn a_fetch_that_is_lost_with_its_runtime() {
    let server = AuthorizationServer::new();
    server.token_endpoint().next(ResponseTemplate::never());
    let cache = TokenCache::new(server.fetcher());
    let first = support::runtime();
    first.block_on(async {
        let _ = tokio::time::timeout(ms(10), cache.token()).await.unwrap_err();
    });
    drop(first);
    support::runtime().block_on(cache.token()).unwrap();
    let changes = changes(&cache, &mut Counts::default());
    assert_eq!(changes, [("cold", 2), ("flights_lost", 1), ("waits", 2)]);
}

/// One span per fetch, one warning per failure, events for rejections and replays; and no token.
#[tokio::test(start_paused = true)]
async fn what_is_logged() {
    let server = server(HOUR, secs(2));
    let cache = cache(server.fetcher()).name("billing").build();
    let api = OAuthLayer::with_source(cache.clone()).layer(server.clone());
    let log = capture_log(async {
        let send = || api.clone().oneshot(get("https://api.example.com/"));
        send().await.unwrap();
        server.reject_next(1);
        assert_eq!(send().await.unwrap().status(), 200);
        sleep(2 * HOUR).await;
        server.down(true);
        send().await.unwrap_err();
        send().await.unwrap_err();
        sleep(HOUR).await;
        server.token_endpoint().always(ResponseTemplate::never());
        send().await.unwrap_err();
        // The tasks of the last fetch end after those who waited for it were told.
        sleep(secs(1)).await;
    })
    .await;
    let lines = |parts: &[&str]| {
        let has = |line: &&str| parts.iter().all(|part| line.contains(part));
        log.lines().filter(has).count()
    };
    let span = r#"oauth.fetch{name="billing" reason=""#;
    for (reason, outcome, millis) in [
        ("cold", "token", 2_000),
        ("rejected", "token", 2_000),
        ("expired", "unavailable", 2_000),
        ("expired", "timeout", 30_000),
    ] {
        let ends =
            format!(r#"{span}{reason}" outcome="{outcome}" ms={millis}}}: tower_oauth: close"#);
        assert_eq!(lines(&[" INFO ", &ends]), 1, "{ends}: {log}");
    }
    assert_eq!(lines(&["tower_oauth: close"]), 4, "{log}");
    let said = "tower_oauth: no access token could be fetched name=\"billing\" error=";
    assert_eq!(lines(&[" WARN ", said]), 2, "{log}");
    assert_eq!(lines(&[" WARN "]), 2, "{log}");
    // In its span, so that the reason is beside it.
    assert_eq!(lines(&[&format!("{span}expired"), said, "503"]), 1, "{log}");
    let rejected =
        "tower_oauth: the resource server rejected a token name=\"billing\" verdict=Suspended";
    assert_eq!(lines(&["DEBUG ", rejected]), 1, "{log}");
    let again = "tower_oauth: a request is sent again with another token name=\"billing\"";
    assert_eq!(lines(&["DEBUG ", again]), 1, "{log}");
    assert!(!log.contains("token-"), "{log}");
}

/// Of a fetch that a request began, only a link tells: it goes on without the request.
#[tokio::test(start_paused = true)]
async fn a_fetch_is_nobody_s_child() {
    let server = server(HOUR, ms(0));
    let cache = cache(server.fetcher()).build();
    let log = capture_log(async {
        use tracing::Instrument;
        cache.token().instrument(tracing::info_span!("request")).await.unwrap();
        sleep(secs(1)).await;
    });
    let log = log.await;
    assert!(log.contains("INFO oauth.fetch{reason=\"cold\" outcome=\"token\" ms=0}"), "{log}");
}

/// Neither a runtime that ends, nor a fetcher that goes on after its timeout.
#[test]
fn every_fetch_has_one_outcome() {
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let outcome = |work: &dyn Fn(tokio::runtime::Runtime)| {
        let mut logged = tokio_test::task::spawn(capture_log(async { work(runtime()) }));
        let log = tokio_test::assert_ready!(logged.poll());
        let closed = log.lines().find(|line| line.contains("close")).unwrap().to_owned();
        assert_eq!(closed.matches("outcome=").count(), 1, "{closed}");
        assert_eq!(closed.matches(" ms=").count(), 1, "{closed}");
        closed
    };
    let lost = outcome(&|runtime| {
        let cache = TokenCache::new(fetch_fn(|_| std::future::pending::<Result<Token, Error>>()));
        runtime.block_on(async { tokio::time::timeout(ms(20), cache.token()).await.unwrap_err() });
        drop(runtime);
    });
    assert!(lost.contains("outcome=\"lost\""), "{lost}");
    let late = outcome(&|runtime| {
        let blocking = fetch_fn(|_| async {
            std::thread::sleep(ms(200));
            Ok::<_, Error>(Token::bearer("abc"))
        });
        let policy = RefreshPolicy::default().fetch_timeout(ms(50)).unwrap();
        let cache = TokenCache::builder(blocking).refresh(policy).build();
        assert_eq!(runtime.block_on(cache.token()).unwrap_err().kind(), ErrorKind::Timeout);
        drop(runtime);
    });
    assert!(late.contains("outcome=\"timeout\""), "{late}");
}

/// A layer whose source is one's own need not count anything.
#[tokio::test]
async fn a_token_that_never_changes_counts_nothing() {
    let server = AuthorizationServer::new();
    let api = OAuthLayer::with_source(Token::bearer("abc")).layer(server);
    let response = api.oneshot(get("https://api.example.com/")).await.unwrap();
    assert_eq!(response.status(), 401);
    let fixed = TokenCache::fixed(Token::bearer("abc"));
    fixed.token().await.unwrap();
    assert_eq!(counts(&fixed), Counts::default());
}
