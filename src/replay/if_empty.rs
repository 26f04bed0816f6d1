use http::Request;
use http_body::Body;

use crate::replay::{Replay, head_of};

/// Replays requests whose body is known to be empty, such as most GET requests. The default.
///
/// A request with a body, which includes every gRPC call and most POST requests, is not replayed:
/// its caller gets the answer as it came. [`ByClone`](crate::replay::ByClone) and
/// [`Buffered`](crate::replay::Buffered) replay those.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::exhaustive_structs)] // written as a value: `replay(Never)`
pub struct IfEmpty;

impl<B: Body + Default> Replay<B> for IfEmpty {
    type Body = B;
    type Kept = Request<()>;

    #[inline]
    fn keep(&self, request: Request<B>) -> (Request<B>, Option<Request<()>>) {
        let kept = request.body().is_end_stream().then(|| head_of(&request));
        (request, kept)
    }

    fn again(kept: Request<()>) -> Option<Request<B>> {
        Some(kept.map(|()| B::default()))
    }
}
