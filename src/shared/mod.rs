//! One token for a fleet: processes share a token through a store.
//!
//! [`SharedTokens`] makes layers that go around any fetcher. Of the processes that need a token, one
//! fetches it and puts it, encrypted, into a [`TokenStore`]; the others take it from there.
//! [`docs::fleet`](crate::docs::fleet) says what that costs, and what happens when something fails.

mod breaker;
mod entry;
mod fetcher;
#[cfg(feature = "token-endpoint")]
mod fingerprint;
mod keys;
mod layer;
mod memory;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "redis")]
mod scripts;
mod store;
mod tokens;
mod value;

#[cfg(feature = "redis")]
#[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
pub use self::redis::RedisStore;
pub use self::{
    fetcher::SharedFetcher,
    keys::EncryptionKey,
    layer::SharedLayer,
    memory::MemoryStore,
    store::{Look, Looked, TokenStore},
    tokens::SharedTokens,
};
