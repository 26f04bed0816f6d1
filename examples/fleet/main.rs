//! How do many processes share one token? Needs no arguments and no network, and takes a few seconds:
//! `cargo run --example fleet`
//!
//! It starts ten processes at once. They share a token through the Redis or Valkey at `REDIS_URL`, or
//! if that is not set, through a store that the first process serves. The process that fetches the token
//! is killed while doing so. The last lines compare the token requests with the number of processes.

mod store;

use std::{
    env,
    io::{self, BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tower::{BoxError, ServiceBuilder};
use tower_oauth::{
    TokenCache, TokenEndpoint,
    shared::{EncryptionKey, RedisStore, SharedTokens, TokenStore},
    testing::AuthorizationServer,
};

use store::Remote;

const PROCESSES: u64 = 10;

fn main() -> Result<(), BoxError> {
    let runtime = tokio::runtime::Runtime::new()?;
    let arguments: Vec<_> = env::args().skip(1).collect();
    match &arguments[..] {
        // What this program starts of itself.
        [token_url, run, store] => match store.parse::<SocketAddr>() {
            Ok(address) => runtime.block_on(process(token_url, run, Remote(address))),
            Err(_) => runtime.block_on(process(token_url, run, RedisStore::new(store)?)),
        },
        _ => runtime.block_on(fleet()),
    }
}

/// One of the processes: it needs a token, and says how long it waited for it.
async fn process(token_url: &str, run: &str, store: impl TokenStore) -> Result<(), BoxError> {
    // A key that is read from a file or a variable, the same for all.
    let key = EncryptionKey::from_base64("1", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")?;
    // Ten processes of a debug build start slowly; usually 50 ms are enough.
    let shared = SharedTokens::new(store, key).timeout(Duration::from_secs(1));
    let endpoint = TokenEndpoint::builder(token_url)
        .client_id("client")
        .client_secret("secret")
        // Runs of this program do not share tokens with each other.
        .header("x-run", run)
        .build()?;
    let layer = shared.named(endpoint.fingerprint(&shared)?);
    let tokens = TokenCache::new(ServiceBuilder::new().layer(layer).service(endpoint));
    let start = Instant::now();
    tokens.token().await?;
    println!("has a token after {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}

async fn fleet() -> Result<(), BoxError> {
    let server = AuthorizationServer::new();
    server.token_endpoint().delay(Duration::from_millis(1500));
    let listener = server.listen().await?;
    let run = listener.addr().to_string();
    let store = match env::var("REDIS_URL") {
        Ok(url) => url,
        Err(_) => store::serve().await?,
    };
    let start = |_| {
        let mut command = Command::new(env::current_exe()?);
        let command = command.args([&listener.uri("/token"), &run, &store]);
        command.stdout(Stdio::piped()).spawn()
    };
    // The first one fetches.
    let mut first: Child = start(0)?;
    while server.token_requests() == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let others = (1..PROCESSES).map(start).collect::<Result<Vec<_>, io::Error>>()?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    first.kill()?;
    first.wait()?;
    println!("process 1 is killed while it fetches");
    let waited = tokio::task::spawn_blocking(move || {
        for (mut child, number) in others.into_iter().zip(2..) {
            let mut line = String::new();
            BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
            println!("process {number} {}", line.trim());
            if !child.wait()?.success() {
                return Err(format!("process {number} failed").into());
            }
        }
        Ok::<_, BoxError>(())
    });
    waited.await??;
    let requests = server.token_requests();
    println!("{PROCESSES} processes, {requests} token requests: that of process 1, and one more");
    println!("without a store there would have been {PROCESSES}");
    if requests == 2 { Ok(()) } else { Err("two token requests should have sufficed".into()) }
}
