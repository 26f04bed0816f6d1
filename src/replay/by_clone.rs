use http::Request;

use crate::replay::{Replay, head::KeptHead};

/// Replays a clone of the request, for bodies whose clones share their bytes, such as
/// `http_body_util::Full<Bytes>`.
///
/// Each attempt is sent whole: a body that can be cloned is complete from the start.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::exhaustive_structs)] // written as a value: `replay(ByClone)`
pub struct ByClone;

#[diagnostic::do_not_recommend]
impl<B: Clone + Send + 'static> Replay<B> for ByClone {
    type Body = B;
    type Kept = (KeptHead, B);

    fn keep(&self, request: Request<B>) -> (Request<B>, Option<Self::Kept>) {
        let kept = (KeptHead::of(&request), request.body().clone());
        (request, Some(kept))
    }

    fn again(&self, (head, body): &mut Self::Kept) -> Option<Request<B>> {
        head.again(body.clone())
    }
}
