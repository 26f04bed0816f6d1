//! What it costs to keep a body while it streams through: 1 MiB in frames of 16 KiB, which the inner
//! service copies out frame by frame, as a connection does; plain and buffered.

use std::{
    convert::Infallible,
    hint::black_box,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf, Bytes};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty};
use tokio::runtime::Builder;
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};
use tower_oauth::{
    OAuthLayer, Token,
    replay::{Buffered, Never, Replay},
};

const FRAME: usize = 16 * 1024;
const FRAMES: usize = 64;

/// Frame after frame of one buffer.
struct Stream {
    rest: Bytes,
}

impl Body for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(FRAME)))))
    }
}

async fn read<B>(request: http::Request<B>) -> Result<http::Response<Empty<Bytes>>, BoxError>
where
    B: Body + Unpin,
    B::Error: Into<BoxError>,
{
    let mut body = request.into_body();
    let mut socket = vec![0; FRAME];
    let mut read = 0;
    while let Some(frame) = body.frame().await {
        let Ok(mut data) = frame.map_err(Into::into)?.into_data() else { continue };
        read += data.remaining();
        while data.has_remaining() {
            let part = data.remaining().min(FRAME);
            data.copy_to_slice(&mut socket[..part]);
            black_box(&socket);
        }
    }
    assert_eq!(read, FRAME * FRAMES);
    Ok(http::Response::new(Empty::new()))
}

fn bench<R>(criterion: &mut Criterion, name: &str, replay: R)
where
    R: Replay<Stream, Body: Body<Error: Into<BoxError>> + Unpin + Send + 'static>,
    R: Clone + Send + Sync + 'static,
{
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let sent = Bytes::from(vec![1; FRAME * FRAMES]);
    let layer = OAuthLayer::with_source(Token::bearer("abc")).replay(replay);
    let mut api = layer.layer(service_fn(|request| Box::pin(read::<R::Body>(request))));
    let mut group = criterion.benchmark_group("replay");
    group.throughput(Throughput::Bytes((FRAME * FRAMES) as u64));
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            let body = Stream { rest: sent.clone() };
            let request = http::Request::put("https://api.example.com/").body(body).unwrap();
            runtime.block_on(async { api.ready().await.unwrap().call(request).await.unwrap() })
        });
    });
    group.finish();
}

fn replay(criterion: &mut Criterion) {
    bench(criterion, "plain", Never);
    bench(criterion, "buffered", Buffered::new(2 * FRAME * FRAMES));
    bench(criterion, "over the limit", Buffered::new(64 * 1024));
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = replay
}
criterion_main!(benches);
