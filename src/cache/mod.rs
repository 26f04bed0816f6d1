//! Keeping one token: fetched when it is needed, refreshed before it expires, never twice at once.
//!
//! [`TokenCache`](crate::TokenCache) is the cache, and [`RefreshPolicy`] says when it refreshes.
//! [`docs::rules`](crate::docs::rules) has every rule, with its reason.
//!
//! ```text
//! came                       refresh_at                usable_until   expires_at
//!   |--------- fresh -----------|--------- stale ----------|-- margin --|
//!         use it                   use it, one refreshes      wait        never sent
//! ```

mod acquire;
mod builder;
mod clock;
mod core;
mod counts;
mod fallback;
#[cfg_attr(tower_oauth_loom, path = "../../tests/model/fetch.rs")]
mod fetch;
mod flight;
mod held;
mod in_flight;
mod lease;
#[cfg(all(test, tower_oauth_loom))]
#[path = "../../tests/model/mod.rs"]
mod model;
mod pauses;
mod policy;
mod refresh;
mod replacement;
mod shards;
mod slot;
mod state;
mod status;
mod suspension;
#[cfg_attr(tower_oauth_loom, path = "../../tests/model/sync.rs")]
mod sync;
pub(crate) mod token_cache;
mod waiting;
mod watch;

pub use self::{
    acquire::Acquire,
    builder::TokenCacheBuilder,
    clock::{Clock, SystemClock},
    counts::{Counts, Failures, Fetches},
    lease::TokenLease,
    policy::RefreshPolicy,
    replacement::Replacement,
    status::{CacheStatus, TokenState},
};
