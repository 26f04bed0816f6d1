//! Processes that use one client of a server that keeps one token for it: at any moment only one of
//! them holds a good one.

use std::time::Duration;

use tokio::{task::JoinSet, time::sleep};

use crate::{
    load::{Chance, HOUR, Sent, client, paced, slow_server},
    support::{ms, secs},
};

/// What 50 minutes come to for one replica that sends a request a second.
#[derive(Debug)]
struct Share {
    /// How many were served, in percent.
    served: usize,
    /// The longest time in which none was.
    longest: Duration,
}

impl Share {
    fn of(sent: &[Sent]) -> Self {
        let served: Vec<_> = sent.iter().filter(|sent| sent.is_ok()).map(|sent| sent.at).collect();
        let begin_and_end = [sent[0].at, sent[sent.len() - 1].at];
        let mut moments = [&begin_and_end[..1], &served[..], &begin_and_end[1..]].concat();
        moments.sort();
        let longest = moments.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
        Self { served: served.len() * 100 / sent.len(), longest }
    }
}

/// The shares of so many replicas, and how many token requests they made.
async fn fifty_minutes(replicas: u64, run: u64) -> (Vec<Share>, u64) {
    let server = slow_server(HOUR);
    server.revoke_on_issue(true);
    let mut running = JoinSet::new();
    for replica in 0..replicas {
        let (client, _) = client(&server, Chance::Seed(10 * run + replica));
        running.spawn(async move {
            // They start one after the other, and not in step.
            sleep(ms(1_300 * replica)).await;
            Share::of(&paced(&client, secs(1), secs(3_000)).await)
        });
    }
    (running.join_all().await, server.token_requests())
}

async fn get_on(replicas: u64, most_requests: u64) {
    for run in 0..5 {
        let (shares, token_requests) = fifty_minutes(replicas, run).await;
        let case = format!("run {run}: {token_requests}, {shares:?}");
        for share in shares {
            assert!(share.served >= 15 && share.longest <= secs(120), "{case}");
        }
        assert!(token_requests <= most_requests, "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn two_replicas_whose_tokens_end_each_other_get_on() {
    get_on(2, 80).await;
}

#[tokio::test(start_paused = true)]
async fn three_replicas_get_on_too() {
    get_on(3, 120).await;
}
