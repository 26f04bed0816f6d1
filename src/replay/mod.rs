//! Sending a rejected request again, once, with another token.

mod buffered;
mod buffered_body;
mod by_clone;
mod if_empty;
mod never;

use http::Request;

pub use self::{
    buffered::{AsIs, Buffered, IntoBody, KeptBody, WrapBody},
    buffered_body::BufferedBody,
    by_clone::ByClone,
    if_empty::IfEmpty,
    never::Never,
};

/// How a request is sent a second time when its token was rejected.
///
/// | policy | body it takes | what it does |
/// |---|---|---|
/// | [`IfEmpty`] (default) | `http_body::Body + Default` | replays requests whose body is known to be empty |
/// | [`ByClone`] | `Clone` | replays by clone |
/// | [`Buffered`] | any `http_body::Body` | streams through and keeps the bytes up to a limit |
/// | [`Never`] | any | replays nothing; the token is refreshed for the next request |
///
/// A policy that cannot replay a request keeps nothing of it, and the answer goes to the caller as
/// it came.
pub trait Replay<B> {
    /// The body that the inner service gets.
    type Body;
    /// What is kept of a request until its answer is there.
    type Kept: Send + 'static;

    /// Called before the token is put in. The request that it gives is sent; what it keeps is
    /// `None` if the request cannot be replayed.
    fn keep(&self, request: Request<B>) -> (Request<Self::Body>, Option<Self::Kept>);

    /// The request once more, without a token; called at most once per request. From then on the
    /// body of the first attempt must not look complete. `None` if it turned out that it cannot be
    /// replayed.
    fn again(kept: Self::Kept) -> Option<Request<Self::Body>>;
}

/// The request's head as a request of its own.
fn head_of<B>(request: &Request<B>) -> Request<()> {
    let mut head = Request::new(());
    *head.method_mut() = request.method().clone();
    *head.uri_mut() = request.uri().clone();
    *head.version_mut() = request.version();
    *head.headers_mut() = request.headers().clone();
    *head.extensions_mut() = request.extensions().clone();
    head
}
