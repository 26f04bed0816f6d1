//! Where a handle found its last lease.

use std::sync::{Arc, Weak};

use crate::cache::{
    core::Core,
    lease::{Record, TokenLease},
};

/// The record that a handle used last, so that it need not look for its thread's lane each time. It
/// is held weakly: no token stays behind in a handle that is idle.
///
/// A clone starts without: two that shared a record would share its reference count. `None` until
/// the first use, so that a handle that is used only once does not pay for a second.
#[derive(Default)]
pub(super) struct Memo(Option<Weak<Record>>);

impl Memo {
    #[inline(always)]
    pub(super) fn lease(&self) -> Option<TokenLease> {
        let lease = TokenLease(self.0.as_ref()?.upgrade()?);
        lease.is_fresh().then_some(lease)
    }

    /// A lease from this thread's lane.
    #[inline(never)]
    pub(super) fn renew(&mut self, core: &Arc<Core>) -> Option<TokenLease> {
        let lease = core.peek();
        self.0 = Some(match (&self.0, &lease) {
            (Some(_), Some(lease)) => Arc::downgrade(&lease.0),
            _ => Weak::new(),
        });
        lease
    }
}

impl Clone for Memo {
    fn clone(&self) -> Self {
        Self::default()
    }
}
