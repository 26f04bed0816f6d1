use std::{
    fmt, mem,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use crate::error::BoxError;

/// The body of one attempt: see [`Buffered`](crate::replay::Buffered).
pub struct BufferedBody<B> {
    shared: Arc<Shared<B>>,
    attempt: usize,
    /// How many bytes it has sent.
    sent: u64,
}

/// What [`Buffered`](crate::replay::Buffered) keeps of a request's body. Once it is dropped there
/// is no further attempt.
#[allow(unnameable_types)] // part of an associated type, and nothing to use
pub struct KeptBody<B>(Arc<Shared<B>>);

struct Shared<B> {
    upload: Mutex<Upload<B>>,
    /// Whether there is no further attempt. It is beside the lock, under which the body is polled: a body
    /// may drop the request that it belongs to, or take its time.
    done: AtomicBool,
}

/// One body, and what was sent of it. Only the latest attempt gets anything out of it.
struct Upload<B> {
    /// `None` once it has ended.
    body: Option<Pin<Box<B>>>,
    /// Whether it ended with an error.
    failed: bool,
    /// Its size, as the first attempt announced it. Every attempt says the same: a body that broke off
    /// is known to the last byte, and would look complete.
    announced: SizeHint,
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
    /// Whether all that was sent is kept.
    replayable: bool,
}

impl<B> BufferedBody<B> {
    /// The body of the first attempt, and what those of the others are made from.
    pub(super) fn first(body: B, limit: usize) -> (Self, KeptBody<B>)
    where
        B: Body,
    {
        let upload = Mutex::new(Upload {
            announced: body.size_hint(),
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
        });
        let shared = Arc::new(Shared { upload, done: AtomicBool::new(false) });
        (Self { shared: Arc::clone(&shared), attempt: 0, sent: 0 }, KeptBody(shared))
    }
}

impl<B> KeptBody<B> {
    /// Fences the latest attempt and gives the body of the next one, if all that was sent was kept.
    pub(super) fn again(&self) -> Option<BufferedBody<B>> {
        let mut upload = self.0.lock();
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
        Some(BufferedBody { shared: Arc::clone(&self.0), attempt, sent: 0 })
    }
}

impl<B> Drop for KeptBody<B> {
    fn drop(&mut self) {
        self.0.done.store(true, Ordering::SeqCst);
        // Otherwise the attempt that is polled now sees it, at the latest when it is polled again.
        if let Ok(mut upload) = self.0.upload.try_lock() {
            self.0.free(&mut upload);
        }
    }
}

impl<B> Shared<B> {
    /// The attempts of one request are all that ever meet at this lock.
    fn lock(&self) -> MutexGuard<'_, Upload<B>> {
        self.upload.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Frees what is kept if there is no further attempt.
    fn free(&self, upload: &mut Upload<B>) {
        if upload.replayable && self.done.load(Ordering::SeqCst) {
            upload.stop_keeping();
        }
    }
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
        let this = self.get_mut();
        let mut upload = this.shared.lock();
        let upload = &mut *upload;
        this.shared.free(upload);
        if this.attempt < upload.attempt {
            let fenced = "the request is being sent again with another access token";
            return Poll::Ready(Some(Err(fenced.into())));
        }
        if let Some(frame) = upload.sent_before() {
            this.sent += length(&frame);
            return Poll::Ready(Some(Ok(frame)));
        }
        let Some(body) = &mut upload.body else {
            let failed = "the request's body failed in an earlier attempt";
            return Poll::Ready(upload.failed.then(|| Err(failed.into())));
        };
        upload.waker = Some(cx.waker().clone());
        let polled = body.as_mut().poll_frame(cx);
        this.shared.free(upload);
        match ready!(polled) {
            Some(Ok(frame)) => {
                let frame = frame.map_data(|mut data| data.copy_to_bytes(data.remaining()));
                upload.keep(&frame);
                this.sent += length(&frame);
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
        let upload = self.shared.lock();
        let ended = match &upload.body {
            Some(body) => body.is_end_stream(),
            // It may have ended before it had sent all that was announced.
            None => upload.announced.lower() <= self.sent && !upload.failed,
        };
        let sent_before =
            upload.next.is_none_or(|next| next >= upload.pieces.len() && upload.trailers.is_none());
        ended && sent_before && self.attempt == upload.attempt
    }

    fn size_hint(&self) -> SizeHint {
        let announced = &self.shared.lock().announced;
        let mut left = SizeHint::new();
        left.set_lower(announced.lower().saturating_sub(self.sent));
        if let Some(upper) = announced.upper() {
            left.set_upper(upper.saturating_sub(self.sent));
        }
        left
    }
}

fn length(frame: &Frame<Bytes>) -> u64 {
    frame.data_ref().map_or(0, Bytes::len) as u64
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
