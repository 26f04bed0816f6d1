//! Every interleaving of what meets in a cache: the flight, the slot, the shards and their
//! wake-ups, as they ship. Only the threads, locks and atomics are the model checker's, and a flight
//! ends as each model says, instead of by tasks of tokio.
//!
//! ```sh
//! RUSTFLAGS="--cfg tower_oauth_loom" CARGO_TARGET_DIR=target/model LOOM_MAX_PREEMPTIONS=4 \
//!     cargo test --release -p tower-oauth --lib model
//! ```
//!
//! Two preemptions take a second, four take a minute, and without a bound it takes hours. The checks of
//! `.ci/run` take two.

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use loom::{future::block_on, thread};

use super::{
    Clock,
    core::Core,
    fetch::{Ends, Here, LAUNCHED, SUSPENSIONS_END, set_ends},
    flight::Outcome,
    in_flight::InFlight,
    token_cache::TokenCache,
};
use crate::{
    error::{Error, ErrorKind},
    fetch::fetch_fn,
    token::Token,
};

/// How many flights of a run brought a token.
static LANDED: AtomicUsize = AtomicUsize::new(0);

/// Checks every interleaving of one run. Models run one after the other, since what is static is
/// one for all.
fn model(ends: Ends, run: fn()) {
    model_with(ends, false, run);
}

fn model_with(ends: Ends, suspensions_end: bool, run: fn()) {
    static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    set_ends(ends);
    SUSPENSIONS_END.store(suspensions_end, SeqCst);
    loom::model(move || {
        LAUNCHED.store(0, SeqCst);
        LANDED.store(0, SeqCst);
        run();
    });
}

/// A clock that goes when a model says so.
#[derive(Clone, Default)]
struct Hand(Arc<AtomicU64>);

impl Hand {
    fn set(&self, seconds: u64) {
        self.0.store(seconds, SeqCst);
    }
}

impl Clock for Hand {
    fn now(&self) -> Duration {
        Duration::from_secs(self.0.load(SeqCst))
    }
}

fn cache_with(clock: Hand) -> TokenCache {
    let fetcher = fetch_fn(|_| async { Err(Error::new(ErrorKind::Fetcher)) });
    TokenCache::builder(fetcher).clock(clock).jitter_source(|| 0.0).build()
}

fn cache() -> TokenCache {
    cache_with(Hand::default())
}

fn token(number: usize) -> Token {
    Token::bearer(format!("token-{number}")).with_lifetime(Duration::from_secs(100))
}

fn land(number: usize, core: &Arc<Core>, flight: &Arc<InFlight>) {
    end(core, flight, Ok(token(number)));
    LANDED.fetch_add(1, SeqCst);
}

fn fail(core: &Arc<Core>, flight: &Arc<InFlight>) {
    end(core, flight, Err(Error::new(ErrorKind::Unavailable)));
}

fn end(core: &Arc<Core>, flight: &Arc<InFlight>, result: Result<Token, Error>) {
    let ended = core.complete(flight, result, core.clock.now(), &tracing::Span::none());
    let Some((woken, next)) = ended else { return };
    drop(woken);
    next.map(|next| Here::find().tend(core, next));
}

fn lands(number: usize, core: Arc<Core>, flight: Arc<InFlight>) {
    thread::spawn(move || land(number, &core, &flight));
}

/// The secret that a waiter gets.
fn secret(cache: &TokenCache) -> Result<String, Error> {
    block_on(cache.token()).map(|token| token.expose_secret().to_owned())
}

fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn two_waiters_share_one_flight() {
    model(lands, || {
        let here = cache();
        let there = here.clone();
        let other = thread::spawn(move || secret(&there).unwrap());
        assert_eq!(secret(&here).unwrap(), "token-1");
        assert_eq!(other.join().unwrap(), "token-1");
        assert_eq!(LAUNCHED.load(SeqCst), 1);
    });
}

#[test]
fn a_flight_that_is_given_up_and_comes_back() {
    fn ends(number: usize, core: Arc<Core>, flight: Arc<InFlight>) {
        if number == 1 {
            let (late, its_flight) = (Arc::clone(&core), Arc::clone(&flight));
            thread::spawn(move || land(1, &late, &its_flight));
            thread::spawn(move || core.give_up(&flight, Outcome::Overdue));
        } else {
            land(number, &core, &flight);
        }
    }
    model(ends, || {
        let cache = cache();
        // Whichever end came first, there is a token, and it is the one that is held.
        let secret = secret(&cache).unwrap();
        assert_eq!(cache.try_authorization().unwrap(), format!("Bearer {secret}"));
        assert_eq!(secret == "token-1", LAUNCHED.load(SeqCst) == 1);
    });
}

#[test]
fn a_flight_that_is_given_up_and_comes_back_beside_a_newcomer() {
    fn ends(number: usize, core: Arc<Core>, flight: Arc<InFlight>) {
        if number == 1 {
            thread::spawn(move || {
                core.give_up(&flight, Outcome::Overdue);
                land(1, &core, &flight);
            });
        } else {
            land(number, &core, &flight);
        }
    }
    model(ends, || {
        let here = cache();
        let there = here.clone();
        let newcomer = thread::spawn(move || secret(&there).unwrap());
        assert_eq!(secret(&here).unwrap(), "token-2");
        assert_eq!(newcomer.join().unwrap(), "token-2");
    });
}

#[test]
fn a_flight_that_is_lost_by_two() {
    fn ends(number: usize, core: Arc<Core>, flight: Arc<InFlight>) {
        if number == 1 {
            let (first, its_flight) = (Arc::clone(&core), Arc::clone(&flight));
            thread::spawn(move || first.give_up(&its_flight, Outcome::Lost));
            core.give_up(&flight, Outcome::Overdue);
        } else {
            lands(number, core, flight);
        }
    }
    model(ends, || {
        assert_eq!(secret(&cache()).unwrap(), "token-2");
    });
}

#[test]
fn a_waiter_that_begins_two_flights_and_loses_both_says_so() {
    fn ends(_: usize, core: Arc<Core>, flight: Arc<InFlight>) {
        thread::spawn(move || core.give_up(&flight, Outcome::Lost));
    }
    model(ends, || {
        assert_eq!(secret(&cache()).unwrap_err().kind(), ErrorKind::NoRuntime);
    });
}

#[test]
fn a_waiter_that_leaves_takes_nobody_with_it() {
    model(lands, || {
        let here = cache();
        let (leaves, stays) = (here.clone(), here.clone());
        let leaves = thread::spawn(move || drop(poll_once(leaves.token())));
        let stays = thread::spawn(move || secret(&stays).unwrap());
        leaves.join().unwrap();
        assert_eq!(stays.join().unwrap(), "token-1");
        assert_eq!(secret(&here).unwrap(), "token-1");
    });
}

#[test]
fn a_failure_wakes_everybody_and_is_remembered() {
    fn ends(_: usize, core: Arc<Core>, flight: Arc<InFlight>) {
        thread::spawn(move || fail(&core, &flight));
    }
    model(ends, || {
        let here = cache();
        let there = here.clone();
        let other = thread::spawn(move || secret(&there).unwrap_err().kind());
        assert_eq!(secret(&here).unwrap_err().kind(), ErrorKind::Unavailable);
        assert_eq!(other.join().unwrap(), ErrorKind::Unavailable);
        assert_eq!(LAUNCHED.load(SeqCst), 1);
    });
}

#[test]
fn a_token_that_was_replaced_is_in_no_shard() {
    fn ends(number: usize, core: Arc<Core>, flight: Arc<InFlight>) {
        land(number, &core, &flight);
    }
    model(ends, || {
        let clock = Hand::default();
        let here = cache_with(clock.clone());
        assert_eq!(secret(&here).unwrap(), "token-1");
        // Stale: the next look refreshes.
        clock.set(80);
        let there = here.clone();
        let other = thread::spawn(move || {
            let landed = LANDED.load(SeqCst);
            let value = there.try_authorization().unwrap();
            assert!(value == "Bearer token-2" || landed < 2, "{landed} landed");
        });
        drop(here.try_authorization());
        other.join().unwrap();
        assert_eq!(here.try_authorization().unwrap(), "Bearer token-2");
        assert_eq!(LAUNCHED.load(SeqCst), 2);
    });
}

#[test]
fn two_rejections_of_one_token_cost_one_flight() {
    fn ends(number: usize, core: Arc<Core>, flight: Arc<InFlight>) {
        match number {
            1 => land(1, &core, &flight),
            _ => lands(number, core, flight),
        }
    }
    model(ends, || {
        let cache = cache();
        let first = block_on(cache.lease()).unwrap();
        let second = first.clone();
        let reject = |lease: super::TokenLease| {
            let another = block_on(lease.reject()).unwrap().unwrap();
            another.token().expose_secret().to_owned()
        };
        let other = thread::spawn(move || reject(second));
        assert_eq!(reject(first), "token-2");
        assert_eq!(other.join().unwrap(), "token-2");
        assert_eq!(cache.try_authorization().unwrap(), "Bearer token-2");
        assert_eq!(LAUNCHED.load(SeqCst), 2);
    });
}

#[test]
fn a_token_that_was_rejected_is_in_no_shard() {
    static REJECTED: AtomicBool = AtomicBool::new(false);
    fn ends(number: usize, core: Arc<Core>, flight: Arc<InFlight>) {
        if number == 1 {
            land(1, &core, &flight);
        } else {
            // It is up already, so the token is suspended.
            REJECTED.store(true, SeqCst);
            lands(number, core, flight);
        }
    }
    model(ends, || {
        REJECTED.store(false, SeqCst);
        let here = cache();
        let lease = block_on(here.lease()).unwrap();
        let there = here.clone();
        let other = thread::spawn(move || {
            drop(there.try_authorization());
            // Takes a lock, so that the other thread can come in between.
            drop(there.status());
            let rejected = REJECTED.load(SeqCst);
            let value = there.try_authorization();
            assert!(!rejected || value.is_none_or(|value| value == "Bearer token-2"));
        });
        assert_eq!(block_on(lease.reject()).unwrap().unwrap().token().expose_secret(), "token-2");
        other.join().unwrap();
    });
}

#[test]
fn a_suspension_that_ends_beside_its_flight() {
    fn ends(number: usize, core: Arc<Core>, flight: Arc<InFlight>) {
        match number {
            1 => land(1, &core, &flight),
            _ => lands(number, core, flight),
        }
    }
    model_with(ends, true, || {
        let here = cache();
        let lease = block_on(here.lease()).unwrap();
        let there = here.clone();
        let other = thread::spawn(move || secret(&there).unwrap());
        // The rejected token is used again, or there is another one by then.
        let another = block_on(lease.reject()).unwrap();
        assert!(another.is_none_or(|lease| lease.token().expose_secret() == "token-2"));
        assert!(["token-1", "token-2"].contains(&&*other.join().unwrap()));
        assert_eq!(LAUNCHED.load(SeqCst), 2);
    });
}

#[test]
fn whoever_joined_a_background_flight_and_has_nothing_begins_one_more() {
    static BACKGROUND: std::sync::Mutex<Option<(Arc<Core>, Arc<InFlight>)>> =
        std::sync::Mutex::new(None);
    fn ends(number: usize, core: Arc<Core>, flight: Arc<InFlight>) {
        match number {
            2 => *BACKGROUND.lock().unwrap() = Some((core, flight)),
            _ => land(number, &core, &flight),
        }
    }
    model(ends, || {
        let clock = Hand::default();
        let here = cache_with(clock.clone());
        assert_eq!(secret(&here).unwrap(), "token-1");
        clock.set(80);
        assert_eq!(here.try_authorization().unwrap(), "Bearer token-1");
        clock.set(95);
        let there = here.clone();
        let mut joined = Box::pin(async move { there.token().await });
        assert!(joined.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let (core, flight) = BACKGROUND.lock().unwrap().take().unwrap();
        let other = thread::spawn(move || fail(&core, &flight));
        assert_eq!(block_on(joined).unwrap().expose_secret(), "token-3");
        other.join().unwrap();
        assert_eq!(LAUNCHED.load(SeqCst), 3);
    });
}

#[test]
fn the_last_handle_ends_the_flight_of_nobody_else() {
    model(lands, || {
        let here = cache();
        let there = here.clone();
        let other = thread::spawn(move || secret(&there).unwrap());
        drop(poll_once(here.token()));
        drop(here);
        assert_eq!(other.join().unwrap(), "token-1");
    });
}
