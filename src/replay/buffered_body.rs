use std::{
    error::Error as StdError,
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
#[allow(unnameable_types)] // an associated type of `Buffered`, and no more
pub struct KeptBody<B>(Arc<Mutex<Upload<B>>>);

/// One body, and what was sent of it. Only the latest attempt gets anything out of it.
struct Upload<B> {
    body: Pin<Box<B>>,
    /// How the body ended.
    end: Option<End>,
    /// Which attempt is the latest; those before it are fenced.
    attempt: usize,
    /// Who polled it last: woken to see the fence.
    waker: Option<Waker>,
    /// What was sent of the body, but for the tail.
    pieces: Vec<Piece>,
    /// The piece that the latest attempt sends next; after the last one it reads the body.
    next: usize,
    /// The piece that still grows.
    tail: BytesMut,
    kept_bytes: usize,
    limit: usize,
    /// Whether there may be another attempt.
    replayable: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum End {
    Complete,
    Failed,
}

#[derive(Clone)]
enum Piece {
    Data(Bytes),
    Trailers(Box<HeaderMap>),
}

impl<B> BufferedBody<B> {
    /// The body of the first attempt, and what the others are made of.
    pub(super) fn first(body: B, limit: usize) -> (Self, KeptBody<B>) {
        let upload = Arc::new(Mutex::new(Upload {
            body: Box::pin(body),
            end: None,
            attempt: 0,
            waker: None,
            pieces: Vec::new(),
            next: 0,
            tail: BytesMut::new(),
            kept_bytes: 0,
            limit,
            replayable: true,
        }));
        (Self { upload: Arc::clone(&upload), attempt: 0 }, KeptBody(upload))
    }
}

impl<B> KeptBody<B> {
    /// The body of the next attempt, if everything that was sent was kept. Fences the one before.
    pub(super) fn again(&self) -> Option<BufferedBody<B>> {
        let mut upload = lock(&self.0);
        if !upload.replayable {
            return None;
        }
        upload.end_piece();
        upload.next = 0;
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
    /// The next frame of what was sent before.
    fn sent_before(&mut self) -> Option<Frame<Bytes>> {
        let piece = self.pieces.get_mut(self.next)?;
        self.next += 1;
        let none = Piece::Data(Bytes::new());
        let piece = if self.replayable { piece.clone() } else { mem::replace(piece, none) };
        Some(match piece {
            Piece::Data(data) => Frame::data(data),
            Piece::Trailers(trailers) => Frame::trailers(*trailers),
        })
    }

    fn keep(&mut self, frame: &Frame<Bytes>) {
        if !self.replayable {
            return;
        }
        if let Some(data) = frame.data_ref() {
            self.keep_data(data);
        } else if let Some(trailers) = frame.trailers_ref() {
            self.end_piece();
            self.pieces.push(Piece::Trailers(Box::new(trailers.clone())));
        }
        self.next = self.pieces.len();
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
            self.pieces.push(Piece::Data(self.tail.split().freeze()));
        }
    }

    /// Frees what no attempt needs any more.
    fn stop_keeping(&mut self) {
        self.replayable = false;
        if self.next >= self.pieces.len() {
            (self.pieces, self.tail) = Default::default();
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
            return Poll::Ready(Some(Err(BodyError::Fenced.into())));
        }
        if let Some(frame) = upload.sent_before() {
            return Poll::Ready(Some(Ok(frame)));
        }
        match upload.end {
            Some(End::Complete) => return Poll::Ready(None),
            Some(End::Failed) => return Poll::Ready(Some(Err(BodyError::Failed.into()))),
            None => {}
        }
        upload.waker = Some(cx.waker().clone());
        Poll::Ready(match ready!(upload.body.as_mut().poll_frame(cx)) {
            None => {
                upload.end = Some(End::Complete);
                None
            }
            Some(Err(error)) => {
                upload.end = Some(End::Failed);
                Some(Err(error.into()))
            }
            Some(Ok(frame)) => {
                let frame = frame.map_data(|mut data| data.copy_to_bytes(data.remaining()));
                upload.keep(&frame);
                Some(Ok(frame))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        let upload = lock(&self.upload);
        let ended = match upload.end {
            Some(end) => end == End::Complete,
            None => upload.body.is_end_stream(),
        };
        ended && upload.next >= upload.pieces.len() && self.attempt == upload.attempt
    }

    fn size_hint(&self) -> SizeHint {
        let upload = lock(&self.upload);
        let mut hint = match upload.end {
            Some(_) => SizeHint::with_exact(0),
            None => upload.body.size_hint(),
        };
        let bytes = |piece: &Piece| match piece {
            Piece::Data(data) => data.len() as u64,
            Piece::Trailers(_) => 0,
        };
        let sent_before: u64 = upload.pieces.iter().skip(upload.next).map(bytes).sum();
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper.saturating_add(sent_before));
        }
        hint.set_lower(hint.lower().saturating_add(sent_before));
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

/// Why a [`BufferedBody`] fails with an error that is not its own body's.
#[derive(Debug)]
enum BodyError {
    Fenced,
    Failed,
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fenced => "the request is being sent again with another access token",
            Self::Failed => "the request's body failed in an earlier attempt",
        })
    }
}

impl StdError for BodyError {}
