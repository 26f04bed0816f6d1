//! Ten thousand requests, while tokens expire and are revoked and their endpoint is away.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use tokio::{
    task::{AbortHandle, JoinSet},
    time::sleep,
};

use super::*;

/// The token endpoint on a port that it can come back to.
async fn token_endpoint(
    server: AuthorizationServer,
    addr: &str,
) -> io::Result<(SocketAddr, AbortHandle)> {
    let listener = TcpListener::bind(addr).await?;
    let addr = listener.local_addr()?;
    let serve = |State(server): State<AuthorizationServer>, request: Incoming| async {
        server.oneshot(request).await.unwrap().map(Body::new)
    };
    let app = Router::new().fallback(serve).with_state(server);
    let serving = tokio::spawn(async move { axum::serve(listener, app).await });
    Ok((addr, serving.abort_handle()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_tokens_expire_and_are_revoked_and_their_endpoint_restarts() {
    let server = AuthorizationServer::new();
    server.lifetime(Duration::from_secs(2));
    let (addr, running) = token_endpoint(server.clone(), "127.0.0.1:0").await.unwrap();
    let upstream = upstream(server.clone()).await;
    let settings = "refresh = { max_age = '1s' }";
    let (token_url, origin) = (format!("http://{addr}/token"), format!("http://{upstream}"));
    let sidecar = Sidecar::start(settings, &token_url, &origin).await.unwrap();
    let sidecar = Arc::new(sidecar);

    let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut callers = JoinSet::new();
    for caller in 0..16 {
        let (sidecar, stop, served) = (sidecar.clone(), stop.clone(), served.clone());
        callers.spawn(async move {
            let client = client(caller % 2 == 0);
            while !stop.load(Ordering::Relaxed) {
                let request = sidecar.request(Method::POST, "/").body(full("hello")).unwrap();
                let response = client.request(request).await.unwrap();
                let status = response.status();
                let body = text(response).await.unwrap();
                assert_eq!((status, &*body), (StatusCode::OK, "hello"));
                served.fetch_add(1, Ordering::Relaxed);
                sleep(Duration::from_millis(2)).await;
            }
        });
    }

    // Tokens that are used for a second.
    sleep(Duration::from_millis(2500)).await;
    // Tokens that are refreshed after a second, and one of them revoked.
    server.lifetime(Duration::from_secs(10));
    sleep(Duration::from_millis(1000)).await;
    server.revoke_all();
    sleep(Duration::from_millis(500)).await;
    // The endpoint restarts, and is away while the refresh is due.
    running.abort();
    sleep(Duration::from_millis(1200)).await;
    assert!(TcpStream::connect(addr).await.is_err());
    let (_, _running) = token_endpoint(server.clone(), &addr.to_string()).await.unwrap();
    sleep(Duration::from_millis(1500)).await;
    while served.load(Ordering::Relaxed) < 10_000 {
        sleep(Duration::from_millis(50)).await;
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(caller) = callers.join_next().await {
        caller.unwrap();
    }

    let page = text(sidecar.ask("/metrics").await).await.unwrap();
    let count = |name: &str| -> f64 {
        let line =
            page.lines().find_map(|line| line.strip_prefix(&format!("oauth_client_{name} ")));
        line.unwrap_or_else(|| panic!("{name} in {page}")).parse().unwrap()
    };
    let served = served.load(Ordering::Relaxed);
    println!("{served} requests\n{page}");
    assert!(count(r#"fetches_total{cache="sidecar",reason="stale"}"#) >= 4.0);
    assert!(count(r#"fetches_total{cache="sidecar",reason="rejected"}"#) == 1.0);
    assert!(count(r#"fetch_failures_total{cache="sidecar",error="unavailable"}"#) >= 1.0);
    assert!(count(r#"replays_total{cache="sidecar"}"#) >= 1.0);
}
