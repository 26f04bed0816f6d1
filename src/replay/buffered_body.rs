use std::{
    error::Error as StdError,
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use crate::error::BoxError;

/// The body of one attempt: see [`Buffered`](crate::replay::Buffered).
pub struct BufferedBody<B> {
    shared: Arc<Mutex<Shared<B>>>,
    attempt: Attempt,
}

#[derive(Clone, Copy, PartialEq)]
enum Attempt {
    First,
    /// With the index of the next kept piece.
    Second(usize),
}

/// What the two attempts of one request share. Only one of them gets anything out of it.
pub(super) struct Shared<B> {
    body: Pin<Box<B>>,
    limit: usize,
    /// What was sent by the first attempt; `None` if it was too much.
    kept: Option<Vec<Vec<u8>>>,
    kept_bytes: usize,
    trailers: Option<HeaderMap>,
    /// Set once the replay has begun.
    fenced: bool,
    /// How the body ended.
    end: Option<End>,
    /// Who polled the first attempt last: it is woken to see the fence.
    first: Option<Waker>,
}

#[derive(Clone, Copy, PartialEq)]
enum End {
    Complete,
    Failed,
}

impl<B: Body> BufferedBody<B> {
    pub(super) fn first(body: B, limit: usize) -> Self {
        let shared = Shared {
            body: Box::pin(body),
            limit,
            kept: Some(Vec::new()),
            kept_bytes: 0,
            trailers: None,
            fenced: false,
            end: None,
            first: None,
        };
        Self { shared: Arc::new(Mutex::new(shared)), attempt: Attempt::First }
    }

    pub(super) fn shared(&self) -> Arc<Mutex<Shared<B>>> {
        Arc::clone(&self.shared)
    }

    /// Fences the first attempt, if all that it sent was kept.
    pub(super) fn second(shared: Arc<Mutex<Shared<B>>>) -> Option<Self> {
        let first = {
            let mut shared = lock(&shared);
            shared.kept.as_ref()?;
            shared.fenced = true;
            shared.first.take()
        };
        if let Some(waker) = first {
            waker.wake();
        }
        Some(Self { shared, attempt: Attempt::Second(0) })
    }
}

/// The two attempts of one request are all that ever meet at this lock.
fn lock<B>(shared: &Mutex<Shared<B>>) -> MutexGuard<'_, Shared<B>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<B> Shared<B> {
    /// Copies the data: a frame may be a few bytes of a large buffer, which it would keep alive, and
    /// there may be any number of frames.
    fn keep(&mut self, data: &[u8]) {
        let Some(kept) = &mut self.kept else { return };
        if self.fenced {
            return;
        }
        let kept_bytes = self.kept_bytes.saturating_add(data.len());
        let Some(room) = self.limit.checked_sub(kept_bytes) else {
            self.kept = None;
            return;
        };
        let free = kept.last().map_or(0, |piece| piece.capacity() - piece.len());
        let (first, rest) = data.split_at(free.min(data.len()));
        if let Some(piece) = kept.last_mut() {
            piece.extend_from_slice(first);
        }
        if !rest.is_empty() {
            // As much again as there is, so that pieces are few, but never more than the limit.
            let spare = room.min(self.kept_bytes);
            let mut piece = Vec::with_capacity(rest.len().saturating_add(spare));
            piece.extend_from_slice(rest);
            kept.push(piece);
        }
        self.kept_bytes = kept_bytes;
    }
}

impl<B> Body for BufferedBody<B>
where
    B: Body<Error: Into<BoxError>>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let mut shared = lock(&this.shared);
        let shared = &mut *shared;
        match &mut this.attempt {
            Attempt::First if shared.fenced => {
                return Poll::Ready(Some(Err(BodyError::Fenced.into())));
            }
            Attempt::First => {
                // Nobody is left who could send it again: the answer was no rejection.
                if Arc::strong_count(&this.shared) == 1 {
                    shared.kept = None;
                }
                shared.first = Some(cx.waker().clone());
            }
            Attempt::Second(next) => {
                let kept = shared.kept.as_mut().and_then(|kept| kept.get_mut(*next));
                if let Some(piece) = kept {
                    *next += 1;
                    // Nobody needs it after this.
                    let data = Bytes::from(std::mem::take(piece));
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                if let Some(trailers) = shared.trailers.take() {
                    return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                }
            }
        }
        match shared.end {
            Some(End::Complete) => return Poll::Ready(None),
            Some(End::Failed) => return Poll::Ready(Some(Err(BodyError::Failed.into()))),
            None => {}
        }
        let frame = match ready!(shared.body.as_mut().poll_frame(cx)) {
            None => {
                shared.end = Some(End::Complete);
                return Poll::Ready(None);
            }
            Some(Err(error)) => {
                shared.end = Some(End::Failed);
                return Poll::Ready(Some(Err(error.into())));
            }
            Some(Ok(frame)) => frame.map_data(|mut data| data.copy_to_bytes(data.remaining())),
        };
        match frame.data_ref() {
            Some(data) => shared.keep(data),
            None if !shared.fenced => shared.trailers = frame.trailers_ref().cloned(),
            None => {}
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        let shared = lock(&self.shared);
        let ended = match shared.end {
            Some(end) => end == End::Complete,
            None => shared.body.is_end_stream(),
        };
        match self.attempt {
            Attempt::First => ended && !shared.fenced,
            Attempt::Second(next) => {
                let kept = shared.kept.as_ref().map_or(0, Vec::len);
                ended && next >= kept && shared.trailers.is_none()
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        let shared = lock(&self.shared);
        let rest = match shared.end {
            Some(_) => SizeHint::with_exact(0),
            None => shared.body.size_hint(),
        };
        let Attempt::Second(next) = self.attempt else { return rest };
        let kept = shared.kept.iter().flatten().skip(next).map(|piece| piece.len() as u64).sum();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(kept));
        if let Some(upper) = rest.upper().and_then(|upper| upper.checked_add(kept)) {
            hint.set_upper(upper);
        }
        hint
    }
}

impl<B> fmt::Debug for BufferedBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufferedBody").finish_non_exhaustive()
    }
}

/// Why a [`BufferedBody`] yields an error that is not its own body's.
#[derive(Debug)]
enum BodyError {
    Fenced,
    Failed,
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fenced => "the request is being sent again with another access token",
            Self::Failed => "the request's body failed while it was sent the first time",
        })
    }
}

impl StdError for BodyError {}
