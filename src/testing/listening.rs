//! The server on a socket.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    select,
    task::{JoinHandle, JoinSet},
    time::sleep,
};

use super::AuthorizationServer;

/// An [`AuthorizationServer`] that listens on a loopback port. When it is dropped, the port and
/// every connection are closed.
#[derive(Debug)]
#[must_use = "the server stops listening when this is dropped"]
pub struct Listening {
    addr: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Listening {
    pub(super) async fn start(server: AuthorizationServer) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = listener.local_addr()?;
        let accepting = tokio::spawn(accept(listener, server));
        Ok(Self { addr, accepting })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The URI of a path, which starts with a slash; of the empty one it is the origin.
    pub fn uri(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Accepts until it is aborted; the connections are in its set, so they end with it.
async fn accept(listener: TcpListener, server: AuthorizationServer) {
    let mut connections = JoinSet::new();
    loop {
        select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, server.clone()));
                }
                // No file descriptor is left, most likely: wait until one is.
                Err(_) => sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, server: AuthorizationServer) {
    // Otherwise small answers wait for the acknowledgement of the ones before.
    let _ = stream.set_nodelay(true);
    // How a connection ends is its client's business: a dropped one is an error here.
    let _ = auto::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(server))
        .await;
}
