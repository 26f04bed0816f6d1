//! The server on a socket.

use std::{
    future::{Future, ready},
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
    async fn start<H, F, IO>(
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

/// On a socket.
impl AuthorizationServer {
    /// Serves HTTP/1.1 and HTTP/2 (with prior knowledge) on a free port of 127.0.0.1, until what
    /// this returns is dropped.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// # use tower_oauth::testing::AuthorizationServer;
    /// let server = AuthorizationServer::new();
    /// let listener = server.listen().await?;
    /// let (token_url, api) = (listener.uri("/token"), listener.uri("/orders"));
    /// # let _ = (token_url, api);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// If no port can be had.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with I/O and time enabled, as everything does that opens a socket.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done it leaves nothing behind.
    pub async fn listen(&self) -> io::Result<Listener> {
        Listener::start(self.clone(), "http", |tcp| ready(Ok(tcp))).await
    }

    /// Like [`listen`](Self::listen), over TLS: `handshake` makes a TLS connection of each TCP
    /// connection. The certificates are its business, those that it asks the clients for as well.
    ///
    /// ```
    /// # use std::{future::{Ready, ready}, io};
    /// # use tokio::net::TcpStream;
    /// use tower_oauth::testing::AuthorizationServer;
    ///
    /// # // In place of a `tokio_rustls::TlsAcceptor`, which would need certificates.
    /// # struct Acceptor;
    /// # impl Acceptor {
    /// #     fn accept(&self, tcp: TcpStream) -> Ready<io::Result<TcpStream>> {
    /// #         ready(Ok(tcp))
    /// #     }
    /// # }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> io::Result<()> {
    /// # let acceptor = Acceptor;
    /// // `acceptor` is a `tokio_rustls::TlsAcceptor`.
    /// let server = AuthorizationServer::new();
    /// let listener = server.listen_tls(move |tcp| acceptor.accept(tcp)).await?;
    /// assert!(listener.uri("/token").starts_with("https://127.0.0.1:"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// If no port can be had. A handshake that fails ends its connection and nothing else.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with I/O and time enabled.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done it leaves nothing behind.
    pub async fn listen_tls<H, F, IO>(&self, handshake: H) -> io::Result<Listener>
    where
        H: Fn(TcpStream) -> F + Send + 'static,
        F: Future<Output = io::Result<IO>> + Send + 'static,
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        Listener::start(self.clone(), "https", handshake).await
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
