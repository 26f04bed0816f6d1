use std::{
    fmt, mem,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use crate::error::BoxError;

/// The body of one attempt: see [`Buffered`](crate::replay::Buffered).
pub struct BufferedBody<B> {
    upload: Arc<Mutex<Upload<B>>>,
    attempt: usize,
}

/// What [`Buffered`](crate::replay::Buffered) keeps of a request's body. Once it is dropped there
/// is no further attempt.
#[allow(unnameable_types)] // part of an associated type, and nothing to use
pub struct KeptBody<B>(Arc<Mutex<Upload<B>>>);

/// One body, and what was sent of it. Only the latest attempt gets anything out of it.
struct Upload<B> {
    /// `None` once it has ended.
    body: Option<Pin<Box<B>>>,
    /// Whether it ended with an error.
    failed: bool,
    /// The number of the latest attempt; those before it are fenced.
    attempt: usize,
    /// Who polled the latest attempt last: woken to see the fence.
    waker: Option<Waker>,
    /// Which of the kept pieces the latest attempt sends next; `None` when it reads the body.
    next: Option<usize>,
    /// What was sent of the body, but for the tail.
    pieces: Vec<Bytes>,
    /// The piece that still grows.
    tail: BytesMut,
    trailers: Option<HeaderMap>,
    kept_bytes: usize,
    limit: usize,
    /// Whether there may be another attempt.
    replayable: bool,
}

impl<B> BufferedBody<B> {
    /// The body of the first attempt, and what those of the others are made from.
    pub(super) fn first(body: B, limit: usize) -> (Self, KeptBody<B>) {
        let upload = Arc::new(Mutex::new(Upload {
            body: Some(Box::pin(body)),
            failed: false,
            attempt: 0,
            waker: None,
            next: None,
            pieces: Vec::new(),
            tail: BytesMut::new(),
            trailers: None,
            kept_bytes: 0,
            limit,
            replayable: true,
        }));
        (Self { upload: Arc::clone(&upload), attempt: 0 }, KeptBody(upload))
    }
}

impl<B> KeptBody<B> {
    /// Fences the latest attempt and gives the body of the next one, if all that was sent was kept.
    pub(super) fn again(&self) -> Option<BufferedBody<B>> {
        let mut upload = lock(&self.0);
        if !upload.replayable {
            return None;
        }
        upload.end_piece();
        upload.next = Some(0);
        upload.attempt += 1;
        let (attempt, waker) = (upload.attempt, upload.waker.take());
        drop(upload);
        if let Some(waker) = waker {
            waker.wake();
        }
        Some(BufferedBody { upload: Arc::clone(&self.0), attempt })
    }
}

impl<B> Drop for KeptBody<B> {
    fn drop(&mut self) {
        lock(&self.0).stop_keeping();
    }
}

/// The attempts of one request are all that ever meet at this lock.
fn lock<B>(upload: &Mutex<Upload<B>>) -> MutexGuard<'_, Upload<B>> {
    upload.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<B> Upload<B> {
    /// The next frame of what an earlier attempt sent.
    fn sent_before(&mut self) -> Option<Frame<Bytes>> {
        let next = self.next?;
        let Some(piece) = self.pieces.get_mut(next) else {
            self.next = None;
            return self.trailers.clone().map(Frame::trailers);
        };
        self.next = Some(next + 1);
        Some(Frame::data(if self.replayable { piece.clone() } else { mem::take(piece) }))
    }

    fn keep(&mut self, frame: &Frame<Bytes>) {
        if !self.replayable {
            return;
        }
        match frame.data_ref() {
            Some(data) => self.keep_data(data),
            None => self.trailers = frame.trailers_ref().cloned(),
        }
    }

    /// Copies the data: a frame may be a few bytes of a large buffer, which it would keep alive, and
    /// there may be any number of frames.
    fn keep_data(&mut self, data: &[u8]) {
        let Some(room) = (self.limit - self.kept_bytes).checked_sub(data.len()) else {
            return self.stop_keeping();
        };
        let free = self.tail.capacity() - self.tail.len();
        let (first, rest) = data.split_at(free.min(data.len()));
        self.tail.extend_from_slice(first);
        if !rest.is_empty() {
            self.end_piece();
            // As much again as there is, so that pieces are few, but never more than the limit.
            self.tail = BytesMut::with_capacity(rest.len() + room.min(self.kept_bytes));
            self.tail.extend_from_slice(rest);
        }
        self.kept_bytes += data.len();
    }

    fn end_piece(&mut self) {
        if !self.tail.is_empty() {
            self.pieces.push(self.tail.split().freeze());
        }
    }

    /// There is no further attempt: frees what the latest one does not need.
    fn stop_keeping(&mut self) {
        self.replayable = false;
        self.tail = BytesMut::new();
        if self.next.is_none() {
            (self.pieces, self.trailers) = Default::default();
        }
    }
}

impl<B> Body for BufferedBody<B>
where
    B: Body<Error: Into<BoxError>>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut upload = lock(&self.upload);
        let upload = &mut *upload;
        if self.attempt < upload.attempt {
            let fenced = "the request is being sent again with another access token";
            return Poll::Ready(Some(Err(fenced.into())));
        }
        if let Some(frame) = upload.sent_before() {
            return Poll::Ready(Some(Ok(frame)));
        }
        let Some(body) = &mut upload.body else {
            let failed = "the request's body failed in an earlier attempt";
            return Poll::Ready(upload.failed.then(|| Err(failed.into())));
        };
        upload.waker = Some(cx.waker().clone());
        match ready!(body.as_mut().poll_frame(cx)) {
            Some(Ok(frame)) => {
                let frame = frame.map_data(|mut data| data.copy_to_bytes(data.remaining()));
                upload.keep(&frame);
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                (upload.body, upload.failed) = (None, true);
                Poll::Ready(Some(Err(error.into())))
            }
            None => {
                upload.body = None;
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let upload = lock(&self.upload);
        let ended = upload.body.as_ref().is_none_or(|body| body.is_end_stream());
        let sent_before =
            upload.next.is_none_or(|next| next >= upload.pieces.len() && upload.trailers.is_none());
        ended && sent_before && !upload.failed && self.attempt == upload.attempt
    }

    fn size_hint(&self) -> SizeHint {
        let upload = lock(&self.upload);
        let kept = upload.pieces.iter().skip(upload.next.unwrap_or(usize::MAX));
        let kept: u64 = kept.map(|piece| piece.len() as u64).sum();
        let rest = match &upload.body {
            Some(body) => body.size_hint(),
            None => SizeHint::with_exact(0),
        };
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
        f.debug_struct("BufferedBody").field("attempt", &self.attempt).finish_non_exhaustive()
    }
}

impl<B> fmt::Debug for KeptBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptBody").finish_non_exhaustive()
    }
}
