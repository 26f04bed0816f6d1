//! Where a handle found its last lease.

use std::sync::{Arc, Weak};

use crate::cache::{
    core::Core,
    lease::{Record, TokenLease},
};

/// The record that a handle used last, so that it need not look for its thread's lane each time. It
/// is held weakly: no token stays behind in a handle that is idle.
///
/// A clone starts without: two that shared a record would share its reference count.
#[derive(Default)]
pub(super) struct Memo(Weak<Record>);

impl Memo {
    #[inline(always)]
    pub(super) fn lease(&self) -> Option<TokenLease> {
        let lease = TokenLease(self.0.upgrade()?);
        lease.is_fresh().then_some(lease)
    }

    /// A lease from this thread's lane.
    #[inline(never)]
    pub(super) fn renew(&mut self, core: &Arc<Core>) -> Option<TokenLease> {
        let lease = core.peek();
        self.0 = lease.as_ref().map(|lease| Arc::downgrade(&lease.0)).unwrap_or_default();
        lease
    }
}

impl Clone for Memo {
    fn clone(&self) -> Self {
        Self::default()
    }
}
