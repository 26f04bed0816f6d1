//! Secrets: where they come from, when they are read, and that nothing prints them.

use std::{
    convert::Infallible,
    error::Error as _,
    fmt::Debug,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tokio::runtime::Runtime;
use tower::{Service, ServiceExt, service_fn};
use tower_oauth::{
    ErrorKind, RefreshReason, TokenEndpoint, TokenRequest,
    token_endpoint::{ClientAuth, EndpointRequest, HttpTransport, Secret, Value},
};

use crate::{
    OK, SECRET, URL, basic, builder, fetch, form_value, printed, read, response, sent,
    shows_no_secret,
};

#[tokio::test]
async fn a_file_is_read_for_every_token() {
    let path = std::env::temp_dir().join(format!("tower-oauth-wire-{}", std::process::id()));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let http = {
        let seen = Arc::clone(&seen);
        service_fn(move |request: Request<Full<Bytes>>| {
            seen.lock().unwrap().push(request.headers()["authorization"].clone());
            async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(OK)))) }
        })
    };
    let fetcher = builder().client_secret(Secret::file(&path)).build_with(http).unwrap();

    let error = fetch(fetcher.clone()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fetcher);
    assert!(error.is_transient() && error.source().is_some());
    for secret in ["one", "two\r\n"] {
        std::fs::write(&path, secret).unwrap();
        fetch(fetcher.clone()).await.unwrap();
    }
    std::fs::write(&path, "\n").unwrap();
    assert_eq!(fetch(fetcher).await.unwrap_err().kind(), ErrorKind::Fetcher);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(*seen.lock().unwrap(), [basic("id", "one"), basic("id", "two")]);

    // Every cargo test has this one, and no test has the other one.
    let env = |name| builder().client_secret(Secret::env(name));
    let manifest = env!("CARGO_MANIFEST_DIR");
    let (_, _, headers, _) = sent(env("CARGO_MANIFEST_DIR")).await;
    assert_eq!(headers["authorization"], basic("id", &form_value(manifest)));
    let error = read(env("TOWER_OAUTH_NO_SUCH"), response(200, OK)).await.unwrap_err();
    assert!(error.to_string().contains("TOWER_OAUTH_NO_SUCH"), "{error}");
    assert_eq!((error.kind(), error.is_transient()), (ErrorKind::Config, false));
}

/// A file that goes with its test.
struct TempFile(std::path::PathBuf);

impl TempFile {
    fn new(name: &str, content: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tower-oauth-{}-{name}", std::process::id()));
        std::fs::write(&path, content).unwrap();
        Self(path)
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn a_secret_s_file_that_is_none() {
    let with = |path: &Path| builder().client_secret(Secret::file(path));
    let long = TempFile::new("long", &"a".repeat(64 * 1024 + 1));
    for (path, says) in [
        #[cfg(unix)]
        (Path::new("/dev/zero"), "not a regular file"),
        (&*std::env::temp_dir(), "not a regular file"),
        (&long.0, "longer than 64 KiB"),
    ] {
        let error = read(with(path), response(200, OK)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Fetcher);
        assert!(printed(&error).contains(says), "{}", printed(&error));
    }
    let marked = TempFile::new("marked", "\u{feff}abc\r\n");
    let (.., body) = sent(with(&marked.0).auth(ClientAuth::Body)).await;
    assert!(body.contains("client_secret=abc") && !body.contains("%0"), "{body}");
}

#[tokio::test]
async fn parameters_and_headers_that_are_read_for_every_token() {
    let key = TempFile::new("key", "first-key");
    let file = || Secret::file(&key.0);
    let builder = builder().param("apikey", file()).header("X-Key", file());
    for content in ["first-key", "second-key"] {
        std::fs::write(&key.0, content).unwrap();
        let (_, _, headers, body) = sent(builder.clone()).await;
        assert_eq!(headers["x-key"], content);
        assert!(body.contains(&format!("apikey={content}")), "{body}");
        let error = read(builder.clone(), response(400, content)).await.unwrap_err();
        assert_eq!(error.description(), None);
    }
    std::fs::write(&key.0, "a\nb").unwrap();
    let error = read(builder.clone(), response(200, OK)).await.unwrap_err();
    assert_eq!(error.field(), Some("param"));
    let error = read(crate::builder().header("X-Key", file()), response(200, OK)).await;
    assert_eq!(error.unwrap_err().field(), Some("header"));
    drop(key);
    let error = read(builder, response(200, OK)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fetcher);
}

#[tokio::test]
async fn debug_shows_no_secret() {
    let builder = builder()
        .url(format!("{URL}?key=s3cr3t"))
        .client_id(Secret::value(SECRET))
        .auth(ClientAuth::Query)
        .param("p", Secret::value(SECRET))
        .param("plain", "in plain sight")
        .header("h", Secret::value("s3cr3t"));
    assert!(format!("{builder:?}").contains("in plain sight"));
    let seen = Arc::new(Mutex::new(String::new()));
    let wire = HttpTransport::new(service_fn(|_: Request<Full<Bytes>>| async {
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(OK))))
    }));
    let transport = {
        let seen = Arc::clone(&seen);
        wire.clone().map_request(move |request: EndpointRequest| {
            *seen.lock().unwrap() = format!("{request:?}{request:#?}");
            request
        })
    };
    let fetcher = builder.clone().build_with_transport(transport).unwrap();
    let all: [&dyn Debug; 4] = [&builder, &fetcher, &wire, &Secret::value(SECRET)];
    for shown in all {
        shows_no_secret(&format!("{shown:?}{shown:#?}"));
    }
    let token = fetch(fetcher).await.unwrap();
    assert!(!format!("{token:?}").contains("\"tok"));
    shows_no_secret(&seen.lock().unwrap());
    assert!(seen.lock().unwrap().contains("client_secret"));
}

#[tokio::test]
async fn an_id_that_is_read_for_every_token() {
    let id = TempFile::new("id", "one\n");
    let builder = builder().client_id(Secret::file(&id.0));
    for content in ["one", "two"] {
        std::fs::write(&id.0, content).unwrap();
        let (_, _, headers, _) = sent(builder.clone()).await;
        assert_eq!(headers["authorization"], basic(content, &form_value(SECRET)));
    }
    std::fs::write(&id.0, "").unwrap();
    let error = read(builder, response(200, OK)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fetcher);
    assert!(error.to_string().contains("is empty"), "{error}");
}

/// A runtime whose one thread for blocking work is taken until something is sent.
fn runtime_that_is_blocked() -> (Runtime, mpsc::Sender<()>) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
    let (release, released) = mpsc::channel::<()>();
    runtime.spawn_blocking(move || released.recv());
    (runtime, release)
}

/// An endpoint that counts its requests.
fn counting(secret: Secret) -> (TokenEndpoint, Arc<AtomicUsize>) {
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let http = service_fn(move |_: Request<Bytes>| {
        count.fetch_add(1, Ordering::SeqCst);
        async { Ok::<_, Infallible>(Response::new(OK.to_owned())) }
    });
    (builder().client_secret(secret).build_with(http).unwrap(), sent)
}

#[test]
fn a_file_is_read_off_the_workers() {
    let file = TempFile::new("off", "secret-from-a-file");
    let (runtime, release) = runtime_that_is_blocked();
    let mut cx = Context::from_waker(Waker::noop());

    // What is no file does not wait for a thread.
    let (mut endpoint, sent) = counting(Secret::env("CARGO_MANIFEST_DIR"));
    let mut fetching = endpoint.call(TokenRequest::new(RefreshReason::Cold));
    let entered = runtime.enter();
    assert!(fetching.as_mut().poll(&mut cx).is_ready());
    assert_eq!(sent.load(Ordering::SeqCst), 1);

    let (mut endpoint, sent) = counting(Secret::file(&file.0));
    let mut fetching = endpoint.call(TokenRequest::new(RefreshReason::Cold));
    assert!(fetching.as_mut().poll(&mut cx).is_pending());
    assert_eq!(sent.load(Ordering::SeqCst), 0);
    drop(entered);
    release.send(()).unwrap();
    runtime.block_on(fetching).unwrap();
    assert_eq!(sent.load(Ordering::SeqCst), 1);
}

#[test]
fn a_runtime_that_has_ended() {
    let file = TempFile::new("ended", "secret-from-a-file");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let handle = runtime.handle().clone();
    runtime.shutdown_background();
    let _entered = handle.enter();
    let (mut endpoint, sent) = counting(Secret::file(&file.0));
    let mut fetching = endpoint.call(TokenRequest::new(RefreshReason::Cold));
    let done = fetching.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    let Poll::Ready(Err(error)) = done else { panic!("{done:?}") };
    assert_eq!((error.kind(), error.is_transient()), (ErrorKind::Fetcher, true));
    assert!(error.to_string().contains("the runtime shut down"), "{error}");
    assert_eq!(sent.load(Ordering::SeqCst), 0);
}

#[test]
fn a_file_outside_of_any_runtime() {
    let file = TempFile::new("outside", "secret-from-a-file");
    let (mut endpoint, sent) = counting(Secret::file(&file.0));
    let mut fetching = endpoint.call(TokenRequest::new(RefreshReason::Cold));
    let done = fetching.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(done, Poll::Ready(Ok(_))));
    assert_eq!(sent.load(Ordering::SeqCst), 1);
}

#[test]
fn what_is_plain_and_what_is_secret() {
    for plain in
        [Value::from("shown"), Value::from("shown".to_owned()), (&"shown".to_owned()).into()]
    {
        assert!(format!("{plain:?}").contains("shown"));
    }
    for secret in [
        Secret::value("hidden"),
        "hidden".into(),
        "hidden".to_owned().into(),
        (&"hidden".to_owned()).into(),
    ] {
        assert!(!format!("{:?}", Value::from(secret)).contains("hidden"));
    }
}
