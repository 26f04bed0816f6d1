//! Sending a rejected request again, with another token.

mod buffered;
mod buffered_body;
mod by_clone;
mod head;
mod if_empty;
mod never;

use http::Request;

pub use self::{
    buffered::Buffered, buffered_body::BufferedBody, by_clone::ByClone, if_empty::IfEmpty,
    never::Never,
};

/// How a request is sent again when its token was rejected.
///
/// It is sent at most three times: with a token, with the one before, which may still be good
/// ([`docs::rules`](crate::docs::rules)), and with the one after both.
///
/// | policy | body it takes | what it does |
/// |---|---|---|
/// | [`IfEmpty`] (default) | `http_body::Body + Default` | replays requests whose body is known to be empty |
/// | [`ByClone`] | `Clone` | replays a clone |
/// | [`Buffered`] | any `http_body::Body` | streams the body through and keeps its bytes, up to a limit |
/// | [`Never`] | any | replays nothing; the token is refreshed for the next request |
///
/// A policy that cannot replay a request keeps nothing of it, and the caller gets the response as
/// it came.
///
/// # Your own policy
///
/// This one replays whatever has no side effects, and nothing else:
///
/// ```
/// use http::Request;
/// use tower_oauth::replay::Replay;
///
/// #[derive(Clone)]
/// struct IfSafe;
///
/// impl<B: Clone + Send + 'static> Replay<B> for IfSafe {
///     type Body = B;
///     type Kept = Request<B>;
///
///     fn keep(&self, request: Request<B>) -> (Request<B>, Option<Request<B>>) {
///         let kept = request.method().is_safe().then(|| request.clone());
///         (request, kept)
///     }
///
///     fn again(&self, kept: &mut Request<B>) -> Option<Request<B>> {
///         Some(kept.clone())
///     }
/// }
/// # use tower_oauth::{OAuthLayer, Token};
/// # let _ = OAuthLayer::with_source(Token::bearer("abc")).replay(IfSafe);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot replay requests whose body is `{B}`",
    label = "no replay policy for requests whose body is `{B}`",
    note = "`IfEmpty`, the default, needs a body that is `http_body::Body + Default`, and `ByClone` \
            one that is `Clone`; `OAuthLayer::replay` takes another policy: \
            `Buffered::new(limit)` for any `http_body::Body`, or `Never` for any type"
)]
pub trait Replay<B> {
    /// The body that the inner service gets.
    type Body;
    /// What is kept of a request until its response arrives.
    type Kept: Send + 'static;

    /// Takes a request before it has a token. Returns what to send and what to keep, which is `None` if
    /// the request cannot be replayed.
    fn keep(&self, request: Request<B>) -> (Request<Self::Body>, Option<Self::Kept>);

    /// Makes the request again, without a token. Returns `None` if it turns out that the request cannot be
    /// replayed.
    ///
    /// It may be called more than once. After each call, the bodies of all earlier attempts must not
    /// look complete to a server that is still reading them.
    fn again(&self, kept: &mut Self::Kept) -> Option<Request<Self::Body>>;
}
