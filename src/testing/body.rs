//! The body of a response, which may end as it should not.

use std::{
    io, mem,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

/// The body of a response of the [`AuthorizationServer`](crate::testing::AuthorizationServer).
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
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if !self.data.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(mem::take(&mut self.data)))));
        }
        match self.end {
            End::Complete => Poll::Ready(None),
            End::CutOff => {
                self.end = End::Complete;
                Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into())))
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
            End::CutOff | End::Never => {
                let mut hint = SizeHint::new();
                hint.set_lower(length);
                hint
            }
        }
    }
}
