use std::convert::Infallible;

use http::Request;

use crate::replay::Replay;

/// Replays nothing: a rejected token is refreshed for the next request, and the caller gets the
/// response as it came. Takes any body, and keeps nothing of a request.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::exhaustive_structs)] // written as a value: `replay(Never)`
pub struct Never;

impl<B> Replay<B> for Never {
    type Body = B;
    type Kept = Infallible;

    fn keep(&self, request: Request<B>) -> (Request<B>, Option<Infallible>) {
        (request, None)
    }

    fn again(&self, kept: &mut Infallible) -> Option<Request<B>> {
        match *kept {}
    }
}
