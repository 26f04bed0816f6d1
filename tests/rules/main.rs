//! The rules of a cache, each with the figure that it is there for: how long an outage is felt, how
//! many callers see a 401, how many token requests a server gets.
//!
//! Time is paused, and chance is 0, 1 or drawn from a seed: a figure that holds once holds always.

mod fallback;
mod frozen;
mod lifetimes;
mod load;
mod outage;
mod readiness;
mod repeated;
mod replicas;
mod requested;
mod revocation;
#[path = "../support/mod.rs"]
mod support;
