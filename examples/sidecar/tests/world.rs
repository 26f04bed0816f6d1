//! What is around a sidecar in these tests.

use std::{
    io,
    sync::{Arc, Mutex, OnceLock},
};

use tokio::{sync::oneshot, task::JoinHandle};

use super::*;
use crate::serve;

pub type BoxBody = UnsyncBoxBody<Bytes, BoxError>;

/// A sidecar, and what is around it.
pub struct World {
    pub server: AuthorizationServer,
    /// Takes the tokens of `server` and sends back what it gets, over a WebSocket too.
    pub upstream: SocketAddr,
    pub sidecar: Sidecar,
    _token_endpoint: Listener,
}

impl World {
    pub async fn start(settings: &str) -> Self {
        let server = AuthorizationServer::new();
        let token_endpoint = server.listen().await.unwrap();
        let token_url = token_endpoint.uri("/token");
        let upstream = upstream(server.clone()).await;
        let origin = format!("http://{upstream}");
        let sidecar = Sidecar::start(settings, &token_url, &origin).await.unwrap();
        Self { server, upstream, sidecar, _token_endpoint: token_endpoint }
    }
}

pub async fn upstream(server: AuthorizationServer) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let app = Router::new().fallback(echo).with_state(server);
    tokio::spawn(async move { axum::serve(listener, app).await });
    addr
}

async fn echo(State(server): State<AuthorizationServer>, mut request: Incoming) -> Outgoing {
    let mut head = Request::new(Empty::<Bytes>::new());
    *head.headers_mut() = request.headers().clone();
    let judged = server.oneshot(head).await.unwrap();
    if judged.status() != StatusCode::OK {
        // All of it has been sent when the rejection arrives.
        request.into_body().collect().await.unwrap();
        return judged.map(Body::new);
    }
    let mut response = Outgoing::default();
    let authority = request.uri().authority().map(|it| it.as_str().parse().unwrap());
    response.headers_mut().extend(authority.map(|it| (HeaderName::from_static("got-host"), it)));
    for (name, value) in request.headers() {
        // HTTP/1.1 passes only those trailers on that were announced.
        if name == header::TRAILER {
            response.headers_mut().insert(name, value.clone());
        }
        response
            .headers_mut()
            .insert(HeaderName::try_from(format!("got-{name}")).unwrap(), value.clone());
    }
    let Some(protocol) = request.headers().get(header::UPGRADE).cloned() else {
        return response.map(|_| request.into_body());
    };
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let (mut from, mut to) = split(TokioIo::new(upgrade.await.unwrap()));
        copy(&mut from, &mut to).await.unwrap();
        to.write_all(b", and that was all").await.unwrap();
        to.shutdown().await.unwrap();
    });
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    response.headers_mut().insert(header::UPGRADE, protocol);
    response
}

/// What this thread logs.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub fn capture(&self) -> tracing::subscriber::DefaultGuard {
        // While there is only one subscriber, threads without one decide for all.
        static ANOTHER: OnceLock<tracing::Dispatch> = OnceLock::new();
        ANOTHER.get_or_init(|| tracing::Dispatch::new(tracing::subscriber::NoSubscriber::new()));
        let log = self.clone();
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).with_writer(move || log.clone());
        tracing::subscriber::set_default(subscriber.finish())
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A sidecar on a loopback port.
pub struct Sidecar {
    pub addr: SocketAddr,
    /// Where it answers for itself.
    pub control: SocketAddr,
    /// Stops it as a signal does.
    pub stop: oneshot::Sender<()>,
    pub serving: JoinHandle<()>,
}

impl Sidecar {
    pub async fn start(settings: &str, token_url: &str, upstream: &str) -> Result<Self, BoxError> {
        let config = format!(
            "{settings}\nroutes = {{ '/' = '{upstream}' }}\n\
             fetcher = {{ url = '{token_url}', client_id = 'client', client_secret = 'secret' }}",
        );
        Self::with_config(&config).await
    }

    pub async fn with_config(config: &str) -> Result<Self, BoxError> {
        let proxy = Proxy::new(Config::parse(config)?)?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let own = TcpListener::bind("127.0.0.1:0").await?;
        let control = own.local_addr()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = serve([listener, own], proxy, stopped);
        Ok(Self { addr, control, stop, serving: tokio::spawn(serving) })
    }

    /// What it says to a probe, to Prometheus, or to another proxy.
    pub async fn ask(&self, path: &str) -> http::Response<hyper::body::Incoming> {
        let request = Request::get(format!("http://{}{path}", self.control)).body(full(""));
        client(false).request(request.unwrap()).await.unwrap()
    }

    pub fn request(&self, method: Method, path: &str) -> http::request::Builder {
        Request::builder().method(method).uri(format!("http://{}{path}", self.addr))
    }
}

pub async fn text(response: http::Response<hyper::body::Incoming>) -> Result<String, BoxError> {
    Ok(String::from_utf8(response.into_body().collect().await?.to_bytes().into())?)
}

pub fn client(http2: bool) -> Client<HttpConnector, BoxBody> {
    Client::builder(TokioExecutor::new()).http2_only(http2).build_http()
}

pub fn full(text: &'static str) -> BoxBody {
    Full::from(text).map_err(|never| match never {}).boxed_unsync()
}
