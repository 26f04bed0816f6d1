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
/// it came: at once, or within a second if the policy finds out only when it is to make the request
/// again.
///
/// # Your own policy
///
/// This one is for bodies that can sometimes be cloned, as kube's and reqwest's can:
///
/// ```
/// use http::{Request, request::Parts};
/// use tower_oauth::replay::Replay;
/// # struct Body(Option<&'static str>);
/// # impl Body {
/// #     fn try_clone(&self) -> Option<Self> {
/// #         self.0.map(|text| Self(Some(text)))
/// #     }
/// # }
///
/// #[derive(Clone)]
/// struct TryClone;
///
/// impl Replay<Body> for TryClone {
///     type Body = Body;
///     type Kept = (Parts, Body);
///
///     fn keep(&self, request: Request<Body>) -> (Request<Body>, Option<(Parts, Body)>) {
///         let kept = request.body().try_clone();
///         let (head, body) = request.into_parts();
///         let kept = kept.map(|body| (head.clone(), body));
///         (Request::from_parts(head, body), kept)
///     }
///
///     fn again(&self, (head, body): &mut (Parts, Body)) -> Option<Request<Body>> {
///         Some(Request::from_parts(head.clone(), body.try_clone()?))
///     }
/// }
/// # use tower_oauth::{OAuthLayer, Token};
/// # let _ = OAuthLayer::with_source(Token::bearer("abc")).replay(TryClone);
/// # let (_, kept) = TryClone.keep(Request::new(Body(Some("text"))));
/// # assert_eq!(TryClone.again(&mut kept.unwrap()).unwrap().into_body().0, Some("text"));
/// # assert!(TryClone.keep(Request::new(Body(None))).1.is_none());
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
    /// It is called when there is another token, or after a second without one, before the response is
    /// dropped. So the request that it makes may be dropped without being sent.
    ///
    /// It may be called more than once. After each call, the bodies of all earlier attempts must not
    /// look complete to a server that is still reading them.
    fn again(&self, kept: &mut Self::Kept) -> Option<Request<Self::Body>>;
}
