//! A store that one process serves to the others: what Redis is for, in small.

use std::{net::SocketAddr, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tower::BoxError;
use tower_oauth::shared::{Look, Looked, MemoryStore, TokenStore};

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

pub async fn serve() -> Result<String, BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let store = MemoryStore::new();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let store = store.clone();
            tokio::spawn(async move {
                let (mut step, mut reply) = (Vec::new(), Vec::new());
                if stream.read_to_end(&mut step).await.is_ok() {
                    reply = take(&store, &step).await.unwrap_or_default();
                }
                let _ = stream.write_all(&reply).await;
            });
        }
    });
    Ok(address)
}

async fn take(store: &MemoryStore, step: &[u8]) -> Result<Vec<u8>, BoxError> {
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
pub struct Remote(pub SocketAddr);

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
