//! Where everything goes that is said, as soon as it is, and without what must not be shown.

use std::{
    io::Write,
    sync::{Arc, Mutex, PoisonError},
};

use crate::mask::Mask;

#[derive(Clone)]
pub(crate) struct Screen {
    mask: Arc<Mutex<Mask>>,
    out: Arc<Mutex<dyn Write + Send>>,
}

impl Screen {
    pub(crate) fn new(out: Arc<Mutex<dyn Write + Send>>, mask: Mask) -> Self {
        Self { mask: Arc::new(Mutex::new(mask)), out }
    }

    pub(crate) fn mask(&self) -> Mask {
        self.mask.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Learns what must not be shown.
    pub(crate) fn learn(&self, learn: impl FnOnce(&mut Mask)) {
        learn(&mut self.mask.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn say(&self, text: &str) {
        let text = self.mask().over(text);
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        // A reader that has seen enough, such as `head`, is no error.
        let _ = out.write_all(text.as_bytes());
        let _ = out.flush();
    }
}
