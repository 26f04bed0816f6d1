//! The deadline of a gRPC call, as its `grpc-timeout` header says it: the only one that the layer can
//! see.

use std::{
    future::Future,
    pin::{Pin, pin},
    time::Duration,
};

use http::{HeaderMap, HeaderValue, Method, Request, Version, header::HeaderName};
use tokio::time::Instant;

use crate::{
    error::{Error, ErrorKind},
    runtime::in_time,
};

const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// The header has at most that many digits.
const DIGITS: usize = 8;
const MOST: u128 = 99_999_999;

/// Its units, in nanoseconds.
const UNITS: [(char, u128); 6] = [
    ('n', 1),
    ('u', 1_000),
    ('m', 1_000_000),
    ('S', 1_000_000_000),
    ('M', 60 * 1_000_000_000),
    ('H', 3_600 * 1_000_000_000),
];

#[derive(Clone, Copy)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    /// Counts from now on. A header that is malformed sets none.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        Instant::now().checked_add(parse(headers.get(GRPC_TIMEOUT)?)?).map(Self)
    }

    /// The same for what may be a gRPC call. Others do not pay for the look.
    #[inline]
    pub(crate) fn of_call<B>(request: &Request<B>) -> Option<Self> {
        let is_grpc = request.version() == Version::HTTP_2 && request.method() == Method::POST;
        if is_grpc { Self::of(request.headers()) } else { None }
    }

    /// Tells the server how much time is left.
    pub(crate) fn write(self, headers: &mut HeaderMap) -> Result<(), Error> {
        let left = format(self.left()).ok_or_else(exceeded)?;
        headers
            .try_insert(GRPC_TIMEOUT, left)
            .map_err(|_| Error::new(ErrorKind::TooManyHeaders))?;
        Ok(())
    }

    fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}

/// Waits for this until the deadline, if there is one. Only then there is a box, so that requests
/// without a deadline, of which many may wait, need not make room for a timer.
pub(crate) async fn within<F>(deadline: Option<Deadline>, work: F) -> Result<F::Output, Error>
where
    F: Future + Send,
{
    match deadline {
        None => Ok(work.await),
        Some(deadline) => {
            let work = async move { in_time(deadline.left(), pin!(work)).await };
            let work: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(work);
            work.await.ok_or_else(exceeded)
        }
    }
}

fn exceeded() -> Error {
    Error::new(ErrorKind::DeadlineExceeded)
}

fn parse(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok()?;
    let (_, nanos) = UNITS.into_iter().find(|(unit, _)| text.ends_with(*unit))?;
    let digits = &text[..text.len() - 1];
    // A sign is no digit, though a number may have one.
    if digits.len() > DIGITS || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanos = digits.parse::<u128>().ok()? * nanos;
    Some(Duration::new((nanos / 1_000_000_000) as u64, (nanos % 1_000_000_000) as u32))
}

/// In the finest unit that has room for it, rounded down. Nothing if no time is left.
fn format(left: Duration) -> Option<HeaderValue> {
    let fits = |(unit, nanos): (char, u128)| {
        let value = left.as_nanos() / nanos;
        (value <= MOST).then(|| format!("{value}{unit}"))
    };
    let text = UNITS.into_iter().find_map(fits).filter(|_| !left.is_zero())?;
    HeaderValue::try_from(text).ok()
}
