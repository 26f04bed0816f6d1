use http::Request;
use http_body::Body;

use crate::replay::{
    Replay,
    buffered_body::{BufferedBody, KeptBody},
    head::KeptHead,
};

/// Streams any body through and keeps a copy of its bytes, up to a limit, to send them again.
///
/// The first bytes reach the server before the body has ended. A replay in the middle of an upload
/// sends what was sent before and then goes on with the rest. Once a body exceeds the limit nothing
/// of it is kept any more, and the request is not replayed: its caller gets the response as it came,
/// within a second.
///
/// When a replay begins, the body of the attempt before it fails if it is polled again, as clients
/// do after an early response. And each attempt announces the size that the first one did, whatever is
/// known by then: an upload that broke off fails again. So half an upload never looks complete to the
/// server.
///
/// The inner service gets a [`BufferedBody`]. One that needs another body type, as a tonic channel
/// does, gets it from a `map_request` below this layer:
///
/// ```
/// use http::Request;
/// use tonic::body::Body;
/// use tower::{Service, ServiceBuilder};
/// use tower_oauth::{
///     Error, OAuthLayer, TokenCache,
///     replay::{Buffered, BufferedBody},
/// };
///
/// fn with_token(
///     channel: tonic::transport::Channel,
///     tokens: TokenCache,
/// ) -> Result<impl Service<Request<Body>>, Error> {
///     let layer = OAuthLayer::with_source(tokens).origin("https://api.example.com")?;
///     Ok(ServiceBuilder::new()
///         .layer(layer.replay(Buffered::new(64 * 1024)))
///         .map_request(|request: Request<BufferedBody<Body>>| request.map(Body::new))
///         .service(channel))
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Buffered {
    limit: usize,
}

impl Buffered {
    /// Keeps up to `limit` bytes of each request's body.
    pub fn new(limit: usize) -> Self {
        Self { limit }
    }
}

#[diagnostic::do_not_recommend]
impl<B: Body + Send + 'static> Replay<B> for Buffered {
    type Body = BufferedBody<B>;
    type Kept = (KeptHead, KeptBody<B>);

    fn keep(&self, request: Request<B>) -> (Request<BufferedBody<B>>, Option<Self::Kept>) {
        let kept_head = KeptHead::of(&request);
        let (head, body) = request.into_parts();
        let (body, kept) = BufferedBody::first(body, self.limit);
        (Request::from_parts(head, body), Some((kept_head, kept)))
    }

    fn again(&self, (head, body): &mut Self::Kept) -> Option<Request<BufferedBody<B>>> {
        head.again(body.again()?)
    }
}
