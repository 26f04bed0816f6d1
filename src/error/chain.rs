//! An error in the chain of others, and its own.

use std::{error::Error as StdError, fmt, io, sync::Arc};

use super::Error;

impl Error {
    /// Finds an error of this crate in `error` or anywhere in the chain of its sources, also in a box,
    /// in an [`Arc`] and in an [`io::Error`], which do not show it in that chain.
    pub fn find<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(ours) = ours(error) {
                return Some(ours);
            }
            next = inside(error).or_else(|| error.source());
        }
        None
    }
}

/// An error of this crate, bare or in a pointer.
fn ours<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Error> {
    let boxed = || error.downcast_ref::<Box<Error>>().map(|error| &**error);
    let shared = || error.downcast_ref::<Arc<Error>>().map(|error| &**error);
    error.downcast_ref().or_else(boxed).or_else(shared)
}

/// The error that this one stands for, and leaves out of its chain.
fn inside<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    let io = || Some(error.downcast_ref::<io::Error>()?.get_ref()? as _);
    let shared = || Some(&**error.downcast_ref::<Arc<dyn StdError + Send + Sync>>()? as _);
    io().or_else(shared)
}

/// An error and all of its causes in one line, each of them once.
pub(crate) struct WithCauses<'a>(pub(crate) &'a (dyn StdError + 'static));

impl fmt::Display for WithCauses<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = self.0.to_string();
        let mut next = self.0.source();
        while let Some(cause) = next {
            let text = cause.to_string();
            // Many errors have their cause's text in their own.
            if !line.contains(&text) {
                line = format!("{line}: {text}");
            }
            next = cause.source();
        }
        f.write_str(&line)
    }
}
