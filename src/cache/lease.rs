//! One request's use of a cached token.

use std::{fmt, sync::Arc};

use http::HeaderValue;

use super::{core::Core, fetch::Here, shards::Record};
use crate::token::Token;

/// One request's use of the token of a [`TokenCache`](crate::TokenCache).
///
/// It is one pointer, and keeps the cache's flight alive like the cache itself does.
#[derive(Clone)]
pub struct TokenLease(pub(super) Arc<Record<Core>>);

impl TokenLease {
    /// The token that it is on, with its age: whoever hands it on hands that on too.
    pub fn token(&self) -> Token {
        self.0.held.token_at(self.0.owner.clock.now())
    }

    /// The value of the request's `Authorization` header, marked sensitive.
    #[inline]
    pub fn header_value(&self) -> HeaderValue {
        self.0.header_value.clone()
    }

    /// Whether the token may still be sent: it has neither expired nor been replaced, and is not
    /// suspended.
    pub fn is_usable(&self) -> bool {
        self.0.owner.is_usable(&self.0.held.token)
    }
}

/// A token that can be used now. Starts its refresh, if that is due and there is a runtime here.
#[inline(always)]
pub(super) fn try_acquire(core: &Arc<Core>) -> Option<TokenLease> {
    core.fresh().map(TokenLease).or_else(|| try_acquire_slowly(core))
}

#[cold]
fn try_acquire_slowly(core: &Arc<Core>) -> Option<TokenLease> {
    let here = Here::find();
    let (record, refresh) = core.usable(here.id())?;
    if let Some(refresh) = refresh {
        here.tend(core, refresh);
    }
    Some(TokenLease(record))
}

impl fmt::Debug for TokenLease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TokenLease").field(&self.0.held.token).finish()
    }
}
