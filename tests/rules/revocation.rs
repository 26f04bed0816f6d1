//! Tokens that end before their time.

use std::time::Duration;

use http::StatusCode;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tower_oauth::{RefreshReason, cache::TokenState, testing::ResponseTemplate};

use crate::{
    load::{CHANCES, Chance, HOUR, client, paced, rejected, send, slow_server},
    support::{capture_log, ms, reasons, secs},
};

/// Where each token ends the one before, the requests that are under way at a refresh are rejected.
///
/// A thousand requests a second are sent around every refresh: in between nothing changes.
#[tokio::test(start_paused = true)]
async fn a_server_that_keeps_one_token_shows_no_caller_a_401() {
    for lifetime in [30, 60, 120, 300] {
        for chance in CHANCES {
            let server = slow_server(secs(lifetime));
            server.revoke_on_issue(true);
            let (client, cache) = client(&server, chance);
            cache.warm_up().await.unwrap();
            let start = Instant::now();
            while start.elapsed() < secs(1800) {
                sleep(cache.status().refresh_in.unwrap() - ms(10)).await;
                let sent = paced(&client, ms(1), ms(250)).await;
                let case = format!("{lifetime} s, {chance:?}, {:?}", start.elapsed());
                assert!(sent.iter().all(|sent| sent.is_ok()), "{case}: {}", rejected(&sent));
                assert!(sent.iter().all(|sent| sent.took <= ms(150)), "{case}");
            }
            assert!(reasons(&server)[1..].iter().all(|reason| *reason == RefreshReason::Stale));
            assert!(server.rejected_requests() > 0, "some were under way");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_401_and_an_endpoint_that_hangs_stop_requests_for_5_s() {
    for chance in CHANCES {
        let server = slow_server(HOUR);
        let (client, cache) = client(&server, chance);
        cache.warm_up().await.unwrap();
        server.reject_next(1).token_endpoint().always(ResponseTemplate::never());
        let sent = paced(&client, ms(100), secs(60)).await;
        // The one that was rejected waits no longer than the others.
        assert_eq!(sent.iter().filter(|sent| !sent.is_ok()).count(), 1);
        for sent in &sent {
            assert!(sent.took <= ms(5_100), "{chance:?}: {sent:?}");
        }
        assert_eq!(sent.iter().filter(|sent| sent.took > ms(50)).count(), 1 + 50);
    }
}

/// The five seconds are for all suspensions together, until a token comes.
#[tokio::test(start_paused = true)]
async fn the_next_suspension_gets_what_the_last_one_left() {
    let server = slow_server(HOUR);
    let (client, cache) = client(&server, Chance::Always(0.0));
    cache.warm_up().await.unwrap();
    let down = ResponseTemplate::status(StatusCode::SERVICE_UNAVAILABLE);
    server.token_endpoint().delay(ms(0)).next(down.after(secs(3)));
    server.token_endpoint().always(ResponseTemplate::never());
    let rejected = async || {
        server.reject_next(1);
        send(&client).await.took
    };
    assert_eq!(rejected().await, ms(3_050));
    sleep(secs(2)).await;
    assert_eq!(rejected().await, ms(2_050));
    assert_eq!(cache.status().state, TokenState::Fresh);
    // None is left, so nobody waits, but another token is fetched all the same.
    assert_eq!(rejected().await, ms(50));
    assert!(cache.status().fetching);
    server.token_endpoint().always(ResponseTemplate::usual());
    sleep(secs(31)).await;
    assert_eq!(rejected().await, ms(50));
    sleep(ms(1)).await;
    assert!(send(&client).await.is_ok());
    assert_eq!(server.authorizations().last().unwrap(), "Bearer token-2");
    // Another token, another five seconds.
    server.token_endpoint().always(ResponseTemplate::never());
    sleep(secs(2)).await;
    assert_eq!(rejected().await, ms(5_050));
}

/// Ten workers for ten minutes, every hundredth of whose requests gets a 401. For how long they
/// stood still in all, the one for longest that did so for longest.
///
/// Their requests take half a second, so that there is a 401 every five seconds, as with a thousand
/// requests of 50 ms and one in a thousand.
async fn stalled(template: ResponseTemplate, chance: Chance) -> Duration {
    const WAY: Duration = ms(500);
    let server = slow_server(HOUR);
    let (client, cache) = client(&server, chance);
    cache.warm_up().await.unwrap();
    server.reject_every(100).resource().delay(WAY);
    server.token_endpoint().always(template);
    let start = Instant::now();
    let mut workers = JoinSet::new();
    for _ in 0..10 {
        let client = client.clone();
        workers.spawn(async move {
            let mut stalled = Duration::ZERO;
            while start.elapsed() < secs(600) {
                stalled += send(&client).await.took - WAY;
            }
            stalled
        });
    }
    workers.join_all().await.into_iter().max().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_401_now_and_then_and_an_endpoint_that_is_down_cost_6_s_of_ten_minutes() {
    let down = ResponseTemplate::status(StatusCode::SERVICE_UNAVAILABLE);
    let after = |time| (format!("503 after {time:?}"), down.clone().after(time));
    for (what, template) in [
        ("hangs".to_owned(), ResponseTemplate::never()),
        after(ms(0)),
        after(ms(950)),
        after(ms(2_450)),
        after(ms(4_850)),
    ] {
        for chance in CHANCES {
            let stalled = stalled(template.clone(), chance).await;
            assert!(stalled <= secs(6), "{what}, {chance:?}: {stalled:?}");
        }
    }
}

/// 1,000 requests under way with one token, whose 401s come this late.
#[tokio::test(start_paused = true)]
async fn a_thousand_late_401s_cost_one_token_request() {
    for late in [ms(20), secs(10), secs(90)] {
        let server = slow_server(HOUR);
        let (client, cache) = client(&server, Chance::Always(0.0));
        cache.warm_up().await.unwrap();
        server.revoke_all().resource().delay(late);
        let mut callers = JoinSet::new();
        for _ in 0..1_000 {
            let client = client.clone();
            callers.spawn(async move { send(&client).await });
        }
        sleep(ms(1)).await;
        server.resource().delay(ms(20));
        // One that comes back soon has the token refreshed before.
        assert!(send(&client).await.is_ok());
        assert!(callers.join_all().await.iter().all(|sent| sent.is_ok()), "{late:?}");
        assert_eq!(server.token_requests(), 2, "{late:?}");
    }
}

/// A resource that is set up wrong says so whatever the token, and so does one of its replicas. By
/// chance the pauses only become longer.
#[tokio::test(start_paused = true)]
async fn ten_minutes_of_401s_cost_15_token_requests() {
    for rejected in [1, 10] {
        let server = slow_server(HOUR);
        let (client, cache) = client(&server, Chance::Always(0.0));
        cache.warm_up().await.unwrap();
        server.reject_every(rejected);
        assert_eq!(paced(&client, ms(10), secs(600)).await.len(), 60_000);
        let requests = server.token_requests();
        assert!((5..=15).contains(&requests), "every {rejected}th: {requests}");
    }
}

/// Somebody has to share the token, or to give each process a client of its own.
#[tokio::test(start_paused = true)]
async fn four_rejections_within_minutes_are_told_of_once() {
    let told = async |between: Duration| {
        let log = capture_log(async {
            let server = slow_server(HOUR);
            let (client, _) = client(&server, Chance::Always(0.0));
            for _ in 0..6 {
                assert!(send(&client).await.is_ok());
                server.revoke_all();
                sleep(between).await;
            }
        });
        log.await.matches("does another process use this client").count()
    };
    assert_eq!(told(secs(120)).await, 1);
    assert_eq!(told(secs(301)).await, 0);
}
