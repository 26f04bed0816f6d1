//! A connection that ends before a response: one more attempt at once, above every layer.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tower::{BoxError, Service, service_fn};
use tower_oauth::{
    ErrorKind, TokenCache,
    token_endpoint::{EndpointRequest, HttpTransport, Secret},
};

use crate::{OK, builder, fetch, response};

type Http = Response<Full<Bytes>>;

/// An HTTP service whose first attempts end like this, and how often it was asked.
fn failing(
    ends: Vec<fn() -> Result<Http, BoxError>>,
) -> (
    impl Service<Request<Bytes>, Response = Http, Error = BoxError, Future: Send + 'static>
    + Clone
    + Send
    + 'static,
    Arc<AtomicUsize>,
) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let http = service_fn(move |_: Request<Bytes>| {
        let end = ends.get(count.fetch_add(1, Ordering::SeqCst)).copied();
        async move { end.map_or_else(|| Ok(response(200, OK).map(Full::new)), |end| end()) }
    });
    (http, asked)
}

fn io_error(kind: io::ErrorKind) -> Result<Http, BoxError> {
    Err(io::Error::from(kind).into())
}

#[tokio::test]
async fn what_is_tried_again() {
    for end in [
        || io_error(io::ErrorKind::ConnectionReset),
        || io_error(io::ErrorKind::ConnectionAborted),
        || io_error(io::ErrorKind::BrokenPipe),
        || io_error(io::ErrorKind::UnexpectedEof),
        // As TLS stacks and HTTP clients wrap it.
        || Err(io::Error::other(io::Error::from(io::ErrorKind::ConnectionReset)).into()),
        || Err(Box::new(Outer(io::Error::from(io::ErrorKind::UnexpectedEof).into())).into()),
        || Err(Box::new(Outer("connection closed before message completed".into())).into()),
    ] {
        let (http, asked) = failing(vec![end]);
        fetch(builder().build_with(http).unwrap()).await.unwrap();
        assert_eq!(asked.load(Ordering::SeqCst), 2);
        // Once, and then the error is an error.
        let (http, asked) = failing(vec![end, end, end]);
        let error = fetch(builder().build_with(http).unwrap()).await.unwrap_err();
        assert_eq!((error.kind(), error.is_transient()), (ErrorKind::Unavailable, true));
        assert_eq!(asked.load(Ordering::SeqCst), 2);
        // As little is said of it as of any other cause, with a secret in the URL.
        let (http, asked) = failing(vec![end, end]);
        let by_get = builder().method(http::Method::GET);
        let error = fetch(by_get.build_with(http).unwrap()).await.unwrap_err();
        assert_eq!(asked.load(Ordering::SeqCst), 2);
        assert!(std::error::Error::source(&error).is_none());
    }
}

#[derive(Debug)]
struct Outer(BoxError);

impl std::fmt::Display for Outer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("client error (SendRequest)")
    }
}

impl std::error::Error for Outer {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.0)
    }
}

#[tokio::test]
async fn what_is_not_tried_again() {
    for end in [
        || io_error(io::ErrorKind::ConnectionRefused),
        || io_error(io::ErrorKind::TimedOut),
        || io_error(io::ErrorKind::HostUnreachable),
        || Err("the pool is full".into()),
        || Err(tower::timeout::error::Elapsed::new().into()),
        || Ok(response(503, "").map(Full::new)),
        || Ok(response(408, "").map(Full::new)),
        || Ok(response(200, "").map(Full::new)),
    ] {
        let (http, asked) = failing(vec![end]);
        fetch(builder().build_with(http).unwrap()).await.unwrap_err();
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }
}

struct Broken;
impl http_body::Body for Broken {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, io::Error>>> {
        std::task::Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into())))
    }
}

/// A response that breaks off in its body was a response.
#[tokio::test]
async fn a_body_that_breaks_off() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let http = service_fn(move |_: Request<Bytes>| {
        count.fetch_add(1, Ordering::SeqCst);
        async { Ok::<_, BoxError>(Response::new(Broken)) }
    });
    let error = fetch(builder().build_with(http).unwrap()).await.unwrap_err();
    assert_eq!((error.kind(), error.status().unwrap().as_u16()), (ErrorKind::Unavailable, 200));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

/// What proves who asks is never sent twice: a layer sees two requests, and makes two proofs.
#[tokio::test]
async fn each_attempt_is_a_request_of_its_own() {
    let proofs = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&proofs);
    let number = Arc::new(AtomicUsize::new(0));
    let http = service_fn(move |request: Request<Bytes>| {
        let mut proofs = sink.lock().unwrap();
        proofs.push(request.headers()["dpop"].to_str().unwrap().to_owned());
        let first = proofs.len() == 1;
        async move {
            match first {
                true => io_error(io::ErrorKind::ConnectionReset),
                false => Ok(response(200, OK).map(Full::new)),
            }
        }
    });
    let signing = tower::ServiceBuilder::new()
        // Errors of layers are whatever they like.
        .map_err(|error: BoxError| io::Error::other(error.to_string()))
        .map_request(move |mut request: EndpointRequest| {
            assert!(!request.headers.contains_key("dpop"));
            let proof = number.fetch_add(1, Ordering::SeqCst).to_string();
            request.headers.insert("dpop", proof.parse().unwrap());
            request
        })
        .map_err(BoxError::from)
        .service(HttpTransport::new(http));
    fetch(builder().build_with_transport(signing).unwrap()).await.unwrap();
    assert_eq!(*proofs.lock().unwrap(), ["0", "1"]);
}

/// A secret that was replaced meanwhile is the one that the second attempt sends.
#[tokio::test]
async fn each_attempt_reads_the_secret() {
    let path = std::env::temp_dir().join(format!("tower-oauth-retry-{}", std::process::id()));
    std::fs::write(&path, "first").unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (sink, file) = (Arc::clone(&seen), path.clone());
    let http = service_fn(move |request: Request<Bytes>| {
        sink.lock().unwrap().push(request.headers()["x-key"].to_str().unwrap().to_owned());
        let first = sink.lock().unwrap().len() == 1;
        std::fs::write(&file, "second").unwrap();
        async move {
            match first {
                true => io_error(io::ErrorKind::BrokenPipe),
                false => Ok(response(200, OK).map(Full::new)),
            }
        }
    });
    let builder = builder().header("x-key", Secret::file(&path));
    fetch(builder.build_with(http).unwrap()).await.unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(*seen.lock().unwrap(), ["first", "second"]);
}

/// A retry of the user's own may stand below: what its last attempt came to is what counts.
#[tokio::test]
async fn a_retry_below() {
    #[derive(Clone)]
    struct Once(bool);
    impl<T> tower::retry::Policy<EndpointRequest, T, BoxError> for Once {
        type Future = std::future::Ready<()>;
        fn retry(
            &mut self,
            _request: &mut EndpointRequest,
            result: &mut Result<T, BoxError>,
        ) -> Option<Self::Future> {
            (result.is_err() && std::mem::take(&mut self.0)).then(|| std::future::ready(()))
        }
        fn clone_request(&mut self, request: &EndpointRequest) -> Option<EndpointRequest> {
            Some(request.clone())
        }
    }
    for (last, says) in [
        (
            (|| Err(io::Error::from(io::ErrorKind::TimedOut).into())) as fn() -> Result<_, _>,
            "timed out",
        ),
        (|| Ok(Response::new(Broken)), "200 OK"),
    ] {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let http = service_fn(move |_: Request<Bytes>| {
            let first = count.fetch_add(1, Ordering::SeqCst) == 0;
            let ended = || Err(BoxError::from(io::Error::from(io::ErrorKind::ConnectionReset)));
            let result = if first { ended() } else { last() };
            async { result }
        });
        let stack = tower::ServiceBuilder::new()
            .retry(Once(true))
            .map_err(BoxError::from)
            .service(HttpTransport::new(http));
        let error = fetch(builder().build_with_transport(stack).unwrap()).await.unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
        assert_eq!(asked.load(Ordering::SeqCst), 2, "{error}");
    }
}

#[tokio::test]
async fn nobody_who_waits_notices() {
    let (http, asked) = failing(vec![|| io_error(io::ErrorKind::ConnectionReset)]);
    let tokens = TokenCache::new(builder().build_with(http).unwrap());
    let waiting: Vec<_> = (0..100)
        .map(|_| {
            let tokens = tokens.clone();
            tokio::spawn(async move { tokens.token().await })
        })
        .collect();
    for waiting in waiting {
        waiting.await.unwrap().unwrap();
    }
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    tokens.token().await.unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn ready_is_asked_for_each_attempt() {
    let (http, mut server) = tower_test::mock::pair::<Request<Bytes>, Http>();
    server.allow(2);
    let fetching = tokio::spawn(fetch(builder().build_with(http).unwrap()));
    let (_, first) = server.next_request().await.unwrap();
    first.send_error(io::Error::from(io::ErrorKind::ConnectionReset));
    let (_, second) = server.next_request().await.unwrap();
    second.send_response(response(200, OK).map(Full::new));
    assert!(fetching.await.unwrap().is_ok());
}
