//! Large fleets over a store whose responses take a millisecond, and a token endpoint whose responses
//! take 280.

use std::{fmt::Write, time::Duration};

use http::StatusCode;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tower::ServiceExt;
use tower_oauth::testing::{AuthorizationServer, ResponseTemplate};

use crate::{
    all_well, ask_all, client,
    faulty::{Faulty, Mode},
    get, replica, replicas,
    support::{ms, secs, server},
};

const HOUR: Duration = secs(3600);

fn endpoint(lifetime: Duration) -> AuthorizationServer {
    server(lifetime, ms(280))
}

fn store() -> Faulty {
    Faulty::new(Mode::Works(ms(1)))
}

#[tokio::test(start_paused = true)]
async fn a_cold_fleet_makes_one_token_request() {
    for size in [10, 1_000, 10_000] {
        for delay in [0, 100, 160, 220, 280] {
            let (server, store) = (server(HOUR, ms(delay)), store());
            let longest = all_well(&ask_all(&replicas(size, &server, &store)).await);
            assert_eq!(server.token_requests(), 1, "{size} after {delay} ms");
            assert!(longest <= ms(500), "{size} after {delay} ms: {longest:?}");
            let each = store.asked() as f64 / size as f64;
            assert!(
                each <= 5.0,
                "{size} after {delay} ms: the store was asked {each} times by each"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_fleet_that_starts_by_and_by_waits_only_for_the_first() {
    let (server, store) = (endpoint(HOUR), store());
    let mut waits = JoinSet::new();
    for number in 0..1_000 {
        let tokens = replica(&server, &store);
        waits.spawn(async move {
            sleep(ms(5 * number)).await;
            all_well(&ask_all(&[tokens]).await)
        });
    }
    let waits = waits.join_all().await;
    assert_eq!(server.token_requests(), 1);
    assert!(waits.iter().filter(|wait| **wait > ms(1)).count() <= 60);
}

#[tokio::test(start_paused = true)]
async fn if_the_process_that_fetches_dies_another_one_does_after_three_seconds() {
    let (server, store) = (endpoint(HOUR), store());
    let first = replica(&server, &store);
    let asking = tokio::spawn({
        let first = first.clone();
        async move { first.token().await }
    });
    sleep(ms(50)).await;
    let others = replicas(1_000, &server, &store);
    let waiting = tokio::spawn(async move { ask_all(&others).await });
    sleep(ms(50)).await;
    asking.abort();
    drop(first);
    let longest = all_well(&waiting.await.unwrap());
    assert_eq!(server.token_requests(), 2);
    assert!(longest > secs(3) && longest <= secs(4), "{longest:?}");
}

#[tokio::test(start_paused = true)]
async fn a_claim_lasts_for_as_long_as_the_fetch() {
    let (server, store) = (server(HOUR, secs(20)), store());
    let longest = all_well(&ask_all(&replicas(100, &server, &store)).await);
    assert_eq!(server.token_requests(), 1);
    assert!(longest <= ms(20_750), "{longest:?}");
}

#[tokio::test(start_paused = true)]
async fn without_the_store_each_process_fetches_50_ms_later() {
    for mode in [Mode::Refuses, Mode::Hangs, Mode::Works(secs(1))] {
        let (server, store) = (endpoint(HOUR), Faulty::new(mode));
        let longest = all_well(&ask_all(&replicas(1_000, &server, &store)).await);
        assert_eq!(server.token_requests(), 1_000);
        assert!(longest <= ms(280 + 50 + 2), "{longest:?}");
        assert_eq!(store.asked(), 1_000);
    }
}

/// A fleet in which somebody always wants a token.
#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_down_for_a_minute_gets_ten_token_requests() {
    let down = ResponseTemplate::status(StatusCode::SERVICE_UNAVAILABLE);
    for template in [down.after(ms(220)), ResponseTemplate::connection_dropped()] {
        let (server, store) = (endpoint(HOUR), store());
        server.token_endpoint().always(template);
        let start = Instant::now();
        let mut callers = JoinSet::new();
        for tokens in replicas(1_000, &server, &store) {
            callers.spawn(async move {
                while let Err(error) = tokens.token().await {
                    sleep(error.retry_after().unwrap().max(ms(10))).await;
                }
                start.elapsed()
            });
        }
        sleep(secs(60)).await;
        let requests = server.token_requests();
        assert!((5..=10).contains(&requests), "{requests}");
        server.token_endpoint().always(ResponseTemplate::usual());
        let mut healed = callers.join_all().await;
        healed.sort();
        // Those who could have a token and were told of a failure wait for their own next attempt.
        assert!(healed[0] <= secs(68), "{:?}", healed[0]);
        assert!(healed[999] <= secs(68 + 30), "{:?}", healed[999]);
        assert_eq!(server.token_requests(), requests + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_rejections_make_one_token_request() {
    let (server, store) = (endpoint(HOUR), store());
    let fleet = replicas(1_000, &server, &store);
    all_well(&ask_all(&fleet).await);
    sleep(secs(60)).await;
    server.revoke_all();
    let mut sending = JoinSet::new();
    for tokens in &fleet {
        let client = client(&server, tokens);
        sending.spawn(async move { client.oneshot(get()).await.unwrap().status() });
    }
    assert!(sending.join_all().await.iter().all(|status| *status == StatusCode::OK));
    assert_eq!(server.token_requests(), 2);
}

/// Three hours of a fleet that sends requests all the time: one refresh for all each time.
#[tokio::test(start_paused = true)]
async fn a_fleet_refreshes_its_token_once_for_all() {
    let (server, store) = (endpoint(secs(600)), store());
    let (hours, size) = (3, 20);
    let mut sending = JoinSet::new();
    for tokens in replicas(size, &server, &store) {
        let client = client(&server, &tokens);
        sending.spawn(async move {
            let start = Instant::now();
            while start.elapsed() < HOUR * hours {
                let sent = Instant::now();
                let response = client.clone().oneshot(get()).await.unwrap();
                assert_eq!(response.status(), StatusCode::OK);
                // Nobody waits but for the first token.
                assert!(sent.elapsed() <= ms(1) || start.elapsed() <= secs(1));
                sleep(secs(2)).await;
            }
        });
    }
    sending.join_all().await;
    // Of 600 seconds 540 are usable; it is due after four fifths, less up to a tenth by chance.
    let most = u64::from(hours) * 3600 / 388 + 1;
    assert!((24..=most).contains(&server.token_requests()), "{}", server.token_requests());
}

/// The newest token of a client ends the one before, as with WSO2: every process goes over to it, and
/// every request succeeds.
#[tokio::test(start_paused = true)]
async fn where_only_the_newest_token_is_good_a_hundred_processes_get_on() {
    let (server, store) = (endpoint(secs(900)), store());
    server.revoke_on_issue(true).resource().delay(ms(50));
    let mut sending = JoinSet::new();
    for (number, tokens) in replicas(100, &server, &store).into_iter().enumerate() {
        let (client, start) = (client(&server, &tokens), Instant::now());
        sending.spawn(async move {
            sleep(ms(17 * number as u64)).await;
            while start.elapsed() < HOUR {
                let response = client.clone().oneshot(get()).await.unwrap();
                assert_eq!(response.status(), StatusCode::OK, "{:?}", start.elapsed());
                sleep(secs(2)).await;
            }
        });
    }
    sending.join_all().await;
    assert!((5..=7).contains(&server.token_requests()), "{}", server.token_requests());
}

/// The same token is handed out until it ends.
#[tokio::test(start_paused = true)]
async fn where_the_same_token_comes_again_a_fleet_asks_as_often_as_one_process() {
    let (server, store) = (endpoint(HOUR), store());
    server.reuse_tokens(true);
    let mut sending = JoinSet::new();
    for tokens in replicas(50, &server, &store) {
        let (client, start) = (client(&server, &tokens), Instant::now());
        sending.spawn(async move {
            while start.elapsed() < HOUR * 10 {
                let response = client.clone().oneshot(get()).await.unwrap();
                assert_eq!(response.status(), StatusCode::OK);
                sleep(secs(20)).await;
            }
        });
    }
    sending.join_all().await;
    assert!(server.token_requests() <= 100, "{}", server.token_requests());
}

/// Writes the figures of `docs::fleet`:
/// `cargo test --features shared --test fleet figures -- --ignored`.
#[tokio::test(start_paused = true)]
#[ignore = "writes a page of the docs"]
async fn figures() {
    let mut page = String::from(
        "| processes that start at once | token requests | without a store | median wait | longest wait | \
         store steps per process |\n|---|---|---|---|---|---|\n",
    );
    let mut picture = String::new();
    for size in [1, 10, 100, 1_000, 10_000] {
        let (server, store) = (server(HOUR, ms(220)), store());
        let asked = ask_all(&replicas(size, &server, &store)).await;
        let longest = all_well(&asked).as_millis();
        let mut waits: Vec<_> = asked.iter().map(|(_, wait)| wait.as_millis()).collect();
        waits.sort_unstable();
        let (requests, steps) = (server.token_requests(), store.asked() as f64 / size as f64);
        writeln!(
            page,
            "| {size} | {requests} | {size} | {} ms | {longest} ms | {steps:.1} |",
            waits[size / 2]
        )
        .unwrap();
        let bar = |count: f64| "#".repeat(1 + (10.0 * count.log10()) as usize);
        writeln!(picture, "{size:>6}  without  {:<42} {size}", bar(size as f64)).unwrap();
        writeln!(picture, "        shared   {:<42} {requests}", bar(requests as f64)).unwrap();
    }
    let page =
        format!("{page}\nToken requests, on a logarithmic scale:\n\n```text\n{picture}```\n");
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/fleet_figures.md");
    std::fs::write(file, page).unwrap();
}
