//! The server on a socket.

use std::{
    future::Future,
    io,
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    select,
    task::{JoinHandle, JoinSet},
    time::{Sleep, sleep},
};
use tower_service::Service;

use super::{AuthorizationServer, Body};

/// What a connection is given to write what it has, and to find a file descriptor.
const MOMENT: Duration = Duration::from_millis(10);

/// An [`AuthorizationServer`] that listens on a loopback port. When it is dropped, the port and
/// every connection are closed.
#[derive(Debug)]
#[must_use = "the server stops listening when this is dropped"]
pub struct Listener {
    scheme: &'static str,
    addr: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Listener {
    pub(super) async fn start<H, F, IO>(
        server: AuthorizationServer,
        scheme: &'static str,
        handshake: H,
    ) -> io::Result<Self>
    where
        H: Fn(TcpStream) -> F + Send + 'static,
        F: Future<Output = io::Result<IO>> + Send + 'static,
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = listener.local_addr()?;
        let accepting = tokio::spawn(accept(listener, server, handshake));
        Ok(Self { scheme, addr, accepting })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The URI of a path, which starts with a slash; of the empty one it is the origin.
    pub fn uri(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.addr)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Accepts until it is aborted; the connections are in its set, so they end with it.
async fn accept<H, F, IO>(listener: TcpListener, server: AuthorizationServer, handshake: H)
where
    H: Fn(TcpStream) -> F,
    F: Future<Output = io::Result<IO>> + Send + 'static,
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        select! {
            accepted = listener.accept() => match accepted {
                Ok((tcp, _)) => {
                    // Otherwise small responses wait for the acknowledgement of the ones before.
                    let _ = tcp.set_nodelay(true);
                    let (connection, server) = (handshake(tcp), server.clone());
                    connections.spawn(async move {
                        if let Ok(io) = connection.await {
                            serve(io, server).await;
                        }
                    });
                }
                // No file descriptor is left, most likely: wait until one is.
                Err(_) => sleep(MOMENT).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(
    io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    server: AuthorizationServer,
) {
    let service = service_fn(|request| {
        let response = server.clone().call(request);
        async {
            let response = response.await.map_err(io::Error::other)?;
            Ok::<_, io::Error>(response.map(|body| Written { body, broken: None }))
        }
    });
    // How a connection ends is its client's business: a dropped one is an error here.
    let _ =
        auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(io), service).await;
}

/// A body that breaks off a moment late: hyper does not write what it still holds of a response
/// once it has seen that it fails.
struct Written {
    body: Body,
    broken: Option<(Pin<Box<Sleep>>, io::Error)>,
}

impl http_body::Body for Written {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.broken.is_none() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Err(error)) => self.broken = Some((Box::pin(sleep(MOMENT)), error)),
                frame => return Poll::Ready(frame),
            }
        }
        if let Some((moment, _)) = &mut self.broken {
            ready!(moment.as_mut().poll(cx));
        }
        Poll::Ready(self.broken.take().map(|(_, error)| Err(error)))
    }

    fn is_end_stream(&self) -> bool {
        self.broken.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
