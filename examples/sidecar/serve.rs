//! Connections: HTTP/1.1, and HTTP/2 without TLS by prior knowledge, on one port.

use std::{convert::Infallible, future::Future, sync::Arc};

use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::{conn::auto, graceful::GracefulShutdown},
};
use tokio::net::TcpListener;

use crate::proxy::Proxy;

/// Serves until `stop`. Then it accepts nothing more, and returns when every request that had come has
/// its response, whether it waits for a token or not.
pub async fn serve(proxy: Arc<Proxy>, listener: TcpListener, stop: impl Future<Output = ()>) {
    let server = auto::Builder::new(TokioExecutor::new());
    let (graceful, mut stop) = (GracefulShutdown::new(), std::pin::pin!(stop));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        // What fails here is that one connection, or that there are too many.
        let Ok((connection, _)) = accepted else {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            continue;
        };
        let _ = connection.set_nodelay(true);
        let proxy = Arc::clone(&proxy);
        let handle = service_fn(move |request: hyper::Request<Incoming>| {
            let response = Arc::clone(&proxy).handle(request);
            async { Ok::<_, Infallible>(response.await) }
        });
        let connection = server.serve_connection_with_upgrades(TokioIo::new(connection), handle);
        let connection = graceful.watch(connection.into_owned());
        tokio::spawn(async move { connection.await.ok() });
    }
    drop(listener);
    graceful.shutdown().await;
}
