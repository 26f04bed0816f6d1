//! What `Buffered` keeps in memory, counted by an allocator.

use std::{
    convert::Infallible,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::Request;
use http_body::{Body, Frame};
use tower_oauth::replay::{Buffered, Replay};

const KIB: u64 = 1024;
const LIMIT: u64 = 64 * KIB;
/// For the request, its head, and what the pieces are listed in.
const OVERHEAD: u64 = 4 * KIB;

/// So many frames of so many bytes; every frame is a buffer of its own, of which it shows a part.
struct Frames {
    left: u64,
    shown: usize,
    buffer: usize,
}

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= 1;
        let mut data = Bytes::from(vec![b'x'; self.buffer]);
        Poll::Ready(Some(Ok(Frame::data(data.split_to(self.shown)))))
    }
}

/// Sends the body: the bytes that were sent, the most memory that was in use at a time, and the
/// memory that is in use at the end, while it could still be replayed.
fn send(body: Frames, limit: u64) -> (u64, u64, u64) {
    let (mut sent, mut kept_at_the_end) = (0, 0);
    let whole = allocation_counter::measure(|| {
        let kept = allocation_counter::measure(|| {
            let (request, kept) = Buffered::new(limit as usize).keep(Request::new(body));
            let mut body = pin!(request.into_body());
            let mut cx = Context::from_waker(Waker::noop());
            while let Poll::Ready(Some(frame)) = body.as_mut().poll_frame(&mut cx) {
                sent += frame.unwrap().into_data().unwrap().len() as u64;
            }
            std::mem::forget(kept);
        });
        kept_at_the_end = kept.bytes_current as u64;
    });
    (sent, whole.bytes_max, kept_at_the_end)
}

#[test]
fn a_gibibyte_goes_through_at_flat_memory() {
    let chunk = 64 * KIB;
    let frames = |left| Frames { left, shown: chunk as usize, buffer: chunk as usize };
    let (sent, peak, _) = send(frames(16 * KIB), LIMIT);
    assert_eq!(sent, 1024 * 1024 * KIB);
    println!("1 GiB in chunks of 64 KiB, limit 64 KiB: {} KiB at most", peak / KIB);
    // What is kept, the chunk on its way, and the one that is being made.
    assert!(peak <= LIMIT + 2 * chunk + OVERHEAD, "{peak}");
    let (_, less, _) = send(frames(16), LIMIT);
    assert_eq!(peak, less, "it grows with the body");
}

#[test]
fn what_is_kept_stays_under_the_limit_however_it_comes() {
    for (left, shown, buffer) in [
        // Bytes one by one, up to the limit.
        (LIMIT, 1, 1),
        (LIMIT / 7, 7, 7),
        (4, 16 * KIB as usize, 16 * KIB as usize),
        // A few bytes of large buffers.
        (LIMIT / 64, 64, 64 * KIB as usize),
        // Nothing, very often.
        (1_000_000, 0, 0),
    ] {
        let (sent, _, kept) = send(Frames { left, shown, buffer }, LIMIT);
        assert_eq!(sent, left * shown as u64);
        println!("{left} frames of {shown} bytes of {buffer}: {kept} bytes are kept");
        assert!(kept <= LIMIT + OVERHEAD, "{left} frames of {shown} of {buffer} bytes: {kept}");
    }
}

/// The limit may be large, and most bodies small.
#[test]
fn a_small_body_costs_little() {
    let (_, peak, _) = send(Frames { left: 3, shown: 100, buffer: 100 }, 1024 * LIMIT);
    assert!(peak <= OVERHEAD, "{peak}");
}

#[test]
fn over_the_limit_nothing_is_kept() {
    let (_, _, kept) = send(Frames { left: LIMIT + 1, shown: 1, buffer: 1 }, LIMIT);
    assert!(kept <= OVERHEAD, "{kept}");
}

/// Once the answer is there and is no rejection, a long upload, or a stream in both directions, has
/// no use for it.
#[test]
fn without_a_replay_to_come_nothing_is_kept() {
    let kept = allocation_counter::measure(|| {
        let body = Frames { left: 100, shown: 100, buffer: 100 };
        let (request, kept) = Buffered::new(LIMIT as usize).keep(Request::new(body));
        let mut body = request.into_body();
        let mut poll = || {
            let frame = Pin::new(&mut body).poll_frame(&mut Context::from_waker(Waker::noop()));
            assert!(frame.is_ready());
        };
        (0..50).for_each(|_| poll());
        drop(kept);
        (0..49).for_each(|_| poll());
        std::mem::forget(body);
    });
    assert!(kept.bytes_current < 1_000, "{} bytes are kept", kept.bytes_current);
}

/// Polls until a body has nothing more, and drops what comes.
fn poll_to_the_end(body: &mut (impl Body + Unpin)) {
    let mut cx = Context::from_waker(Waker::noop());
    while let Poll::Ready(Some(frame)) = Pin::new(&mut *body).poll_frame(&mut cx) {
        assert!(frame.is_ok());
    }
}

/// Attempts share what is kept, and what the last one has sent is freed at once.
#[test]
fn more_attempts_need_no_more_memory() {
    let replay = Buffered::new(LIMIT as usize);
    for left in [LIMIT, LIMIT / 4 * 3] {
        let whole = allocation_counter::measure(|| {
            let (request, kept) = replay.keep(Request::new(Frames { left, shown: 1, buffer: 1 }));
            let (mut first, mut kept) = (request.into_body(), kept.unwrap());
            poll_to_the_end(&mut first);
            let mut second = replay.again(&mut kept).unwrap().into_body();
            poll_to_the_end(&mut second);
            let mut third = replay.again(&mut kept).unwrap().into_body();
            drop(kept);
            let freed = allocation_counter::measure(|| poll_to_the_end(&mut third));
            assert!(-freed.bytes_current >= left as i64, "{left}: {}", freed.bytes_current);
        });
        assert!(whole.bytes_max <= LIMIT + OVERHEAD, "{left}: {}", whole.bytes_max);
    }
}
