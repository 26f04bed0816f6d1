//! What happens around a fetch: a dead endpoint, impatience, rejections.

mod down;
mod giveup;
mod late401;

use tower::BoxError;

pub use self::{down::down, giveup::giveup, late401::late401};

/// As a service runs: several threads.
fn runtime() -> Result<tokio::runtime::Runtime, BoxError> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}
