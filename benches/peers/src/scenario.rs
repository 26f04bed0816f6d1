//! What happens around a fetch: many callers at once, a dead endpoint, impatience, rejections.

mod down;
mod giveup;
mod herd;
mod late401;

use tower::BoxError;

pub use self::{
    down::print as down, giveup::print as giveup, herd::print as herd, late401::print as late401,
};

/// As a service runs: several threads.
fn runtime() -> Result<tokio::runtime::Runtime, BoxError> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}
