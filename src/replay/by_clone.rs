use http::Request;

use crate::replay::Replay;

/// Replays by a clone of the body, for bodies whose clones share their bytes, such as
/// `http_body_util::Full<Bytes>`.
///
/// The first attempt is sent whole: a body that can be cloned is there from the start, so that
/// nothing of it can look complete that is not.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::exhaustive_structs)] // written as a value: `replay(Never)`
pub struct ByClone;

impl<B: Clone + Send + 'static> Replay<B> for ByClone {
    type Body = B;
    type Kept = Request<B>;

    #[inline]
    fn keep(&self, request: Request<B>) -> (Request<B>, Option<Request<B>>) {
        let kept = request.clone();
        (request, Some(kept))
    }

    fn again(kept: Request<B>) -> Option<Request<B>> {
        Some(kept)
    }
}
