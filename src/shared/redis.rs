//! A store in Redis or Valkey.

use std::{
    fmt, mem,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, FromRedisValue,
    IntoConnectionInfo, RedisError, ScriptInvocation, aio::MultiplexedConnection,
    cluster::ClusterClient, cluster_async::ClusterConnection,
};
use rustls::crypto::CryptoProvider;

use super::{
    scripts::{EXTEND, FAIL, LOOK_OR_CLAIM, PUT, of_name},
    store::{Look, Looked, TokenStore},
};
use crate::error::{BoxError, Error};

/// How long connecting may take. No caller waits for it that long.
const CONNECT_TIME: Duration = Duration::from_secs(2);

/// A [`TokenStore`] in Redis 6.2 or later, or Valkey, on one server or in a cluster.
///
/// It connects when it is first used, and again when the connection is lost. For each name it keeps
/// three keys, `{tower-oauth:NAME}:token`, `:failure` and `:claim`, all of which expire by themselves.
/// The braces keep them in one slot of a cluster. It needs a user that may run scripts
/// (`EVALSHA`, `EVAL`, `SCRIPT LOAD`) with `HMGET`, `HGET`, `HSET`, `GET`, `SET`, `DEL`, `PTTL`,
/// `PEXPIRE` and `TIME` on these keys.
///
/// Give each environment its own store, its own database on a server, or its own names.
///
/// ```no_run
/// use tower_oauth::shared::{EncryptionKey, RedisStore, SharedTokens};
///
/// # fn main() -> Result<(), tower_oauth::Error> {
/// # let key_from_a_file = String::new();
/// let store = RedisStore::new("rediss://user:password@redis.example.com")?;
/// let key = EncryptionKey::from_base64("2026-11", &key_from_a_file)?;
/// let shared = SharedTokens::new(store, key);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RedisStore {
    server: Server,
    /// `None` while there is none. Clones of a connection share it.
    connection: Arc<Mutex<Option<Connection>>>,
}

#[derive(Clone)]
enum Server {
    One(Arc<Client>),
    Cluster(Arc<ClusterClient>),
}

/// Leaves out what may be a password.
impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(client) => client.get_connection_info().addr().fmt(f),
            Self::Cluster(_) => f.write_str("the cluster"),
        }
    }
}

#[derive(Clone)]
enum Connection {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl RedisStore {
    /// The store at this URL: `redis://[user:password@]host[:port][/database]`, `rediss://` with
    /// TLS, or `unix:` for a socket. It does not connect yet.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if it is not such a URL, or if it is `rediss://`
    /// and the program has installed no rustls provider.
    pub fn new(url: impl AsRef<str>) -> Result<Self, Error> {
        Ok(Self::of(Server::One(Arc::new(Client::open(checked(url.as_ref())?).map_err(invalid)?))))
    }

    /// The store in a cluster, given some of its nodes.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new).
    pub fn cluster<U: AsRef<str>>(urls: impl IntoIterator<Item = U>) -> Result<Self, Error> {
        let nodes = urls.into_iter().map(|url| checked(url.as_ref()));
        let client = ClusterClient::builder(nodes.collect::<Result<Vec<_>, _>>()?)
            .connection_timeout(CONNECT_TIME)
            .build();
        Ok(Self::of(Server::Cluster(Arc::new(client.map_err(invalid)?))))
    }

    fn of(server: Server) -> Self {
        Self { server, connection: Arc::default() }
    }

    fn connected(&self) -> Option<Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// In a task of its own: the caller gives up before a slow connection is made, and the next caller
    /// finds it.
    async fn connect(&self) -> Result<Connection, BoxError> {
        if let Some(connection) = self.connected() {
            return Ok(connection);
        }
        let this = self.clone();
        let connecting = tokio::spawn(async move {
            let connection = match &this.server {
                Server::One(client) => {
                    let config = AsyncConnectionConfig::new()
                        .set_connection_timeout(Some(CONNECT_TIME))
                        .set_response_timeout(None);
                    let connecting =
                        client.get_multiplexed_async_connection_with_config(&config).await;
                    Connection::One(connecting?)
                }
                Server::Cluster(client) => {
                    Connection::Cluster(client.get_async_connection().await?)
                }
            };
            this.keep(Some(connection.clone()));
            Ok::<_, RedisError>(connection)
        });
        Ok(connecting.await?.map_err(|error| format!("{}: {error}", self.server))?)
    }

    fn keep(&self, connection: Option<Connection>) {
        let mut kept = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        // It is closed after the lock is given back.
        let _old = mem::replace(&mut *kept, connection);
        drop(kept);
    }

    async fn run<R: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<R, BoxError> {
        let is_old = self.connected().is_some();
        match self.run_once(script).await {
            // A lost connection is only noticed when it is used.
            Err(error) if is_old && error.is::<RedisError>() => self.run_once(script).await,
            ran => ran,
        }
    }

    async fn run_once<R: FromRedisValue>(
        &self,
        script: &ScriptInvocation<'_>,
    ) -> Result<R, BoxError> {
        let connection = self.connect().await?;
        // A connection on which a step failed, or took too long, is not used again: nothing may come
        // through it any more, or it may lead to a server that has become a replica.
        let mut unfinished = Unfinished(Some(self));
        let done = match connection {
            Connection::One(mut connection) => script.invoke_async(&mut connection).await?,
            Connection::Cluster(mut connection) => script.invoke_async(&mut connection).await?,
        };
        unfinished.0 = None;
        Ok(done)
    }
}

/// Forgets the store's connection when it is dropped.
struct Unfinished<'a>(Option<&'a RedisStore>);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(store) = self.0 {
            store.keep(None);
        }
    }
}

/// What a URL says about a server. An error must not repeat the URL: a password may be in it.
fn checked(url: &str) -> Result<ConnectionInfo, Error> {
    let info = url.into_connection_info().map_err(invalid)?;
    if matches!(info.addr(), ConnectionAddr::TcpTls { .. })
        && CryptoProvider::get_default().is_none()
    {
        let why = "rediss:// needs a rustls provider; install one at the start of the program, for \
                   example by `rustls::crypto::ring::default_provider().install_default()`";
        return Err(Error::config("url", why));
    }
    Ok(info)
}

fn invalid(_error: RedisError) -> Error {
    Error::config(
        "url",
        "it is not the URL of a Redis server, as in redis://user:password@host:6379/0",
    )
}

fn millis(time: Duration) -> u64 {
    // At least one, and no more than the server can add to its clock.
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).clamp(1, 1 << 50)
}

impl TokenStore for RedisStore {
    async fn look_or_claim(&self, name: &str, look: Look) -> Result<Looked, BoxError> {
        let mut script = of_name(&LOOK_OR_CLAIM, name);
        script.arg(look.newer_than).arg(u8::from(look.despite_failure)).arg(millis(look.claim));
        let (what, number, left, value): (String, u64, i64, Vec<u8>) = self.run(&script).await?;
        // Negative if it expired at this very moment.
        let left = Duration::from_millis(u64::try_from(left).unwrap_or_default());
        Ok(match &*what {
            "token" => Looked::Token { number, value, left },
            "failed" => Looked::Failed { value, left },
            "taken" => Looked::Taken(number),
            _ => Looked::Claimed(number),
        })
    }

    async fn put(
        &self,
        name: &str,
        number: u64,
        value: &[u8],
        keep: Duration,
    ) -> Result<(), BoxError> {
        let mut script = of_name(&PUT, name);
        self.run(script.arg(number).arg(value).arg(millis(keep))).await
    }

    async fn extend(&self, name: &str, number: u64, claim: Duration) -> Result<bool, BoxError> {
        let mut script = of_name(&EXTEND, name);
        self.run(script.arg(number).arg(millis(claim))).await
    }

    async fn fail(
        &self,
        name: &str,
        number: u64,
        value: &[u8],
        keep: Duration,
        claim: Duration,
    ) -> Result<(), BoxError> {
        let mut script = of_name(&FAIL, name);
        self.run(script.arg(number).arg(value).arg(millis(keep)).arg(millis(claim))).await
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.server {
            Server::One(_) => "one server",
            Server::Cluster(_) => "a cluster",
        };
        f.debug_struct("RedisStore").field("server", &kind).finish_non_exhaustive()
    }
}
