//! The token endpoint is down.

use std::time::Duration;

use http::StatusCode;
use tokio::time::{Instant, sleep};
use tower_oauth::testing::ResponseTemplate;

use crate::{
    load::{CHANCES, Chance, HOUR, client, paced, slow_server},
    support::{ms, secs},
};

/// How long after an outage the first request is sent from which on all are served, one being sent
/// every second; and how many token requests there were in the outage.
///
/// The token endpoint loses its tokens in it: the resource does not accept the one that is held.
async fn heals_after(
    outage: Duration,
    is_cold: bool,
    response: ResponseTemplate,
    chance: Chance,
) -> (Duration, u64) {
    let server = slow_server(HOUR);
    let (client, cache) = client(&server, chance);
    if !is_cold {
        cache.warm_up().await.unwrap();
    }
    server.revoke_all().token_endpoint().always(response);
    let before = server.token_requests();
    let callers = tokio::spawn(async move { paced(&client, secs(1), outage + secs(400)).await });
    sleep(outage).await;
    let (end, asked) = (Instant::now(), server.token_requests() - before);
    server.token_endpoint().always(ResponseTemplate::usual());
    let sent = callers.await.unwrap();
    let last_failure = sent.iter().rposition(|sent| !sent.is_ok()).unwrap();
    (sent[last_failure + 1].at.saturating_duration_since(end), asked)
}

const OUTAGES: [Duration; 6] = [secs(10), secs(31), secs(60), secs(122), secs(300), secs(900)];

async fn every_outage_heals_within_31_s(response: ResponseTemplate) {
    for chance in CHANCES {
        for is_cold in [false, true] {
            for outage in OUTAGES {
                let case = format!("after {outage:?}, {chance:?}, cold: {is_cold}");
                let (healed, _) = heals_after(outage, is_cold, response.clone(), chance).await;
                assert!(healed <= secs(31), "{case}: {healed:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_was_unavailable_is_forgotten_within_31_s() {
    every_outage_heals_within_31_s(ResponseTemplate::status(StatusCode::SERVICE_UNAVAILABLE)).await;
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_hung_is_forgotten_within_31_s() {
    every_outage_heals_within_31_s(ResponseTemplate::never()).await;
}

/// It said how long to wait, or that asking again is of no use.
#[tokio::test(start_paused = true)]
async fn a_denial_and_a_retry_after_are_believed_for_five_minutes() {
    let denied = ResponseTemplate::oauth_error(StatusCode::UNAUTHORIZED, "invalid_client");
    let busy = ResponseTemplate::status(StatusCode::SERVICE_UNAVAILABLE).retry_after(300);
    for (response, most) in [(denied, 10), (busy, 3)] {
        for chance in CHANCES {
            let (healed, asked) = heals_after(secs(900), false, response.clone(), chance).await;
            assert!(healed <= secs(301), "{chance:?}: {healed:?}");
            assert!(asked <= most, "{chance:?}: {asked}");
        }
    }
}

/// For how long nothing is fetched after a fetch that failed like this, on its first try.
async fn cooldown(response: ResponseTemplate) -> Duration {
    let server = slow_server(HOUR);
    server.token_endpoint().delay(ms(0)).next(response);
    let (_, cache) = client(&server, Chance::Always(1.0));
    cache.token().await.unwrap_err();
    let start = Instant::now();
    while cache.token().await.is_err() {
        sleep(ms(1)).await;
    }
    assert_eq!(server.token_requests(), 2);
    start.elapsed()
}

/// A fetch that took long has waited already.
#[tokio::test(start_paused = true)]
async fn the_back_off_is_counted_from_the_start_of_the_fetch() {
    let down = ResponseTemplate::status(StatusCode::SERVICE_UNAVAILABLE);
    let busy = down.clone().retry_after(20);
    for (response, expected) in [
        (down.clone(), secs(1)),
        (down.clone().after(ms(300)), ms(700)),
        (down.clone().after(ms(700)), ms(500)),
        (down.after(secs(20)), ms(500)),
        (ResponseTemplate::never(), ms(500)),
        // From when it was said.
        (busy.clone(), secs(20)),
        (busy.after(secs(20)), secs(20)),
    ] {
        assert_eq!(cooldown(response.clone()).await, expected, "{response:?}");
    }
}
