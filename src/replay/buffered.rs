use std::{
    fmt,
    sync::{Arc, Mutex},
};

use http::Request;
use http_body::Body;

use crate::replay::{
    Replay,
    buffered_body::{BufferedBody, Shared},
    head_of,
};

/// Streams any body through and keeps a copy of what was sent of it, up to a limit, to send it again.
///
/// The first bytes reach the server before the body has ended. A replay in the middle of an upload
/// sends what was already sent and then goes on with the rest. Beyond the limit nothing is kept any
/// more and the request is not replayed.
///
/// When the replay begins, the body of the first attempt yields an error if it is still polled, as
/// clients do after an early answer, so that half an upload never looks complete to the server.
///
/// The inner service gets a [`BufferedBody`]. [`into_body`](Self::into_body) turns it into the body
/// type that the inner service wants:
///
/// ```
/// use tower::{Layer, Service};
/// use tower_oauth::{Error, OAuthLayer, TokenCache, replay::Buffered};
///
/// fn with_token(
///     channel: tonic::transport::Channel,
///     tokens: TokenCache,
/// ) -> Result<impl Service<http::Request<tonic::body::Body>>, Error> {
///     let layer = OAuthLayer::with_source(tokens)
///         .origin("https://api.example.com")?
///         .replay(Buffered::new(64 * 1024).into_body(tonic::body::Body::new));
///     Ok(layer.layer(channel))
/// }
/// ```
#[derive(Clone, Copy)]
pub struct Buffered<W = AsIs> {
    limit: usize,
    wrap: W,
}

impl Buffered {
    /// Keeps up to `limit` bytes of each request's body.
    pub fn new(limit: usize) -> Self {
        Self { limit, wrap: AsIs(()) }
    }

    /// Gives the inner service `into_body(buffered)` instead of a [`BufferedBody`].
    pub fn into_body<F>(self, into_body: F) -> Buffered<IntoBody<F>> {
        Buffered { limit: self.limit, wrap: IntoBody(into_body) }
    }
}

impl<W> fmt::Debug for Buffered<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffered").field("limit", &self.limit).finish_non_exhaustive()
    }
}

/// What a [`Buffered`] gives the inner service for a [`BufferedBody`]. Sealed.
pub trait WrapBody<B>: private::Sealed {
    /// The body that the inner service gets.
    type Body;

    #[doc(hidden)]
    fn wrap(&self, body: BufferedBody<B>) -> Self::Body;
}

mod private {
    #[allow(unnameable_types)] // what seals `WrapBody`
    pub trait Sealed: Clone + Send + 'static {}
}

/// The [`BufferedBody`] itself.
#[derive(Clone, Copy, Debug)]
pub struct AsIs(());

/// What the closure of [`Buffered::into_body`] makes of it.
#[derive(Clone, Copy)]
pub struct IntoBody<F>(F);

impl<F> fmt::Debug for IntoBody<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IntoBody").finish_non_exhaustive()
    }
}

impl private::Sealed for AsIs {}
impl<F: Clone + Send + 'static> private::Sealed for IntoBody<F> {}

impl<B> WrapBody<B> for AsIs {
    type Body = BufferedBody<B>;

    fn wrap(&self, body: BufferedBody<B>) -> BufferedBody<B> {
        body
    }
}

impl<B, F, O> WrapBody<B> for IntoBody<F>
where
    F: Fn(BufferedBody<B>) -> O + Clone + Send + 'static,
{
    type Body = O;

    fn wrap(&self, body: BufferedBody<B>) -> O {
        (self.0)(body)
    }
}

impl<B, W> Replay<B> for Buffered<W>
where
    B: Body + Send + 'static,
    W: WrapBody<B>,
{
    type Body = W::Body;
    type Kept = KeptBody<B, W>;

    fn keep(&self, request: Request<B>) -> (Request<W::Body>, Option<KeptBody<B, W>>) {
        let head = head_of(&request);
        let mut shared = None;
        let request = request.map(|body| {
            let body = BufferedBody::first(body, self.limit);
            shared = Some(body.shared());
            self.wrap.wrap(body)
        });
        (request, shared.map(|shared| KeptBody { head, shared, wrap: self.wrap.clone() }))
    }

    fn again(kept: KeptBody<B, W>) -> Option<Request<W::Body>> {
        let body = BufferedBody::second(kept.shared)?;
        Some(kept.head.map(|()| kept.wrap.wrap(body)))
    }
}

/// What [`Buffered`] keeps of a request.
pub struct KeptBody<B, W> {
    head: Request<()>,
    shared: Arc<Mutex<Shared<B>>>,
    wrap: W,
}

impl<B, W> fmt::Debug for KeptBody<B, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptBody").finish_non_exhaustive()
    }
}
