//! How do many processes share one token? Needs no arguments and no network, and takes a few seconds:
//! `cargo run --example fleet`
//!
//! It starts ten processes at once. They share a token through the Redis or Valkey at `REDIS_URL`, or
//! without one through a store that the first process serves. The one that fetches the token is killed
//! while it does so. The last lines compare the token requests with the number of processes.

use std::{
    env,
    io::{self, BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tower::{BoxError, ServiceBuilder};
use tower_oauth::{
    TokenCache, TokenEndpoint,
    shared::{EncryptionKey, Look, Looked, MemoryStore, RedisStore, SharedTokens, TokenStore},
    testing::AuthorizationServer,
};

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
        Err(_) => serve_store().await?,
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

// ---- A store that one process serves to the others: what Redis is for, in small ------------------

#[derive(Serialize, Deserialize)]
enum Step {
    LookOrClaim { newer_than: u64, despite_failure: bool, claim: Duration },
    Put { number: u64, value: Vec<u8>, keep: Duration },
    Extend { number: u64, claim: Duration },
    Fail { number: u64, value: Vec<u8>, keep: Duration, claim: Duration },
}

#[derive(Serialize, Deserialize)]
enum Reply {
    Token { number: u64, value: Vec<u8>, left: Duration },
    Failed { value: Vec<u8>, left: Duration },
    Taken(u64),
    Claimed(u64),
    Extended(bool),
    Done,
}

async fn serve_store() -> Result<String, BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let store = MemoryStore::new();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let store = store.clone();
            tokio::spawn(async move {
                let (mut step, mut reply) = (Vec::new(), Vec::new());
                if stream.read_to_end(&mut step).await.is_ok() {
                    reply = serve(&store, &step).await.unwrap_or_default();
                }
                let _ = stream.write_all(&reply).await;
            });
        }
    });
    Ok(address)
}

async fn serve(store: &MemoryStore, step: &[u8]) -> Result<Vec<u8>, BoxError> {
    let (name, step): (String, Step) = serde_json::from_slice(step)?;
    let reply = match step {
        Step::LookOrClaim { newer_than, despite_failure, claim } => {
            match store.look_or_claim(&name, Look { newer_than, despite_failure, claim }).await? {
                Looked::Token { number, value, left } => Reply::Token { number, value, left },
                Looked::Failed { value, left } => Reply::Failed { value, left },
                Looked::Taken(number) => Reply::Taken(number),
                Looked::Claimed(number) => Reply::Claimed(number),
            }
        }
        Step::Put { number, value, keep } => {
            store.put(&name, number, &value, keep).await.map(|()| Reply::Done)?
        }
        Step::Extend { number, claim } => {
            store.extend(&name, number, claim).await.map(Reply::Extended)?
        }
        Step::Fail { number, value, keep, claim } => {
            store.fail(&name, number, &value, keep, claim).await.map(|()| Reply::Done)?
        }
    };
    Ok(serde_json::to_vec(&reply)?)
}

/// The store of another process.
#[derive(Clone)]
struct Remote(SocketAddr);

impl Remote {
    async fn ask(&self, name: &str, step: Step) -> Result<Reply, BoxError> {
        let mut stream = TcpStream::connect(self.0).await?;
        stream.write_all(&serde_json::to_vec(&(name, step))?).await?;
        stream.shutdown().await?;
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply).await?;
        Ok(serde_json::from_slice(&reply)?)
    }
}

impl TokenStore for Remote {
    async fn look_or_claim(&self, name: &str, look: Look) -> Result<Looked, BoxError> {
        let Look { newer_than, despite_failure, claim } = look;
        Ok(match self.ask(name, Step::LookOrClaim { newer_than, despite_failure, claim }).await? {
            Reply::Token { number, value, left } => Looked::Token { number, value, left },
            Reply::Failed { value, left } => Looked::Failed { value, left },
            Reply::Taken(number) => Looked::Taken(number),
            Reply::Claimed(number) => Looked::Claimed(number),
            Reply::Extended(_) | Reply::Done => return Err("the store does not understand".into()),
        })
    }

    async fn put(
        &self,
        name: &str,
        number: u64,
        value: &[u8],
        keep: Duration,
    ) -> Result<(), BoxError> {
        self.ask(name, Step::Put { number, value: value.to_vec(), keep }).await.map(drop)
    }

    async fn extend(&self, name: &str, number: u64, claim: Duration) -> Result<bool, BoxError> {
        let reply = self.ask(name, Step::Extend { number, claim }).await?;
        Ok(matches!(reply, Reply::Extended(true)))
    }

    async fn fail(
        &self,
        name: &str,
        number: u64,
        value: &[u8],
        keep: Duration,
        claim: Duration,
    ) -> Result<(), BoxError> {
        self.ask(name, Step::Fail { number, value: value.to_vec(), keep, claim }).await.map(drop)
    }
}
