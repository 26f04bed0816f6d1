//! The body of an answer, which may end as it should not.

use std::{
    io, mem,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use crate::BoxError;

/// The body of an answer of the [`AuthorizationServer`](crate::testing::AuthorizationServer).
#[derive(Clone, Debug, Default)]
pub struct Body {
    data: Bytes,
    end: End,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum End {
    #[default]
    Complete,
    CutOff,
    /// Cut off as soon as it is polled again.
    CutOffNext,
    Never,
}

impl Body {
    pub(super) fn new(data: impl Into<Bytes>) -> Self {
        Self { data: data.into(), end: End::Complete }
    }

    pub(super) fn cut_off(&mut self) {
        self.end = End::CutOff;
    }

    pub(super) fn never_ends(&mut self) {
        self.end = End::Never;
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if !self.data.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(mem::take(&mut self.data)))));
        }
        match self.end {
            End::Complete => Poll::Ready(None),
            // Without a break hyper would give up before it has written the bytes until here.
            End::CutOff => {
                self.end = End::CutOffNext;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            End::CutOffNext => {
                self.end = End::Complete;
                Poll::Ready(Some(Err(io::Error::from(io::ErrorKind::ConnectionReset).into())))
            }
            End::Never => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_empty() && self.end == End::Complete
    }

    fn size_hint(&self) -> SizeHint {
        let length = self.data.len() as u64;
        match self.end {
            End::Complete => SizeHint::with_exact(length),
            // Without an exact size hyper announces none, so that only the missing end tells.
            End::CutOff | End::CutOffNext | End::Never => {
                let mut hint = SizeHint::new();
                hint.set_lower(length);
                hint
            }
        }
    }
}
