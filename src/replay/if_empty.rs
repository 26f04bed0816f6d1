use http::Request;
use http_body::Body;

use crate::replay::{Replay, head::KeptHead};

/// Replays requests whose body is known to be empty, such as most GET requests. The default.
///
/// A request with a body, and so every gRPC call and most POST requests, is not replayed: its
/// caller gets the response as it came. [`ByClone`](crate::replay::ByClone) and
/// [`Buffered`](crate::replay::Buffered) replay those.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::exhaustive_structs)] // written as a value: `replay(IfEmpty)`
pub struct IfEmpty;

#[diagnostic::do_not_recommend]
impl<B: Body + Default> Replay<B> for IfEmpty {
    type Body = B;
    type Kept = KeptHead;

    fn keep(&self, request: Request<B>) -> (Request<B>, Option<KeptHead>) {
        let kept = request.body().is_end_stream().then(|| KeptHead::of(&request));
        (request, kept)
    }

    fn again(&self, kept: &mut KeptHead) -> Option<Request<B>> {
        kept.again(B::default())
    }
}
