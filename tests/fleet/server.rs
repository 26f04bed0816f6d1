//! The same over a real Redis server, which the tests start, in real time. Without `redis-server` they
//! say that they did nothing; with `REQUIRE_REDIS=1` that is a failure.

use std::{
    env, fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use http::StatusCode;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::{sleep, timeout},
};
use tower::{ServiceBuilder, ServiceExt};
use tower_oauth::{
    ErrorKind, TokenCache, TokenEndpoint,
    shared::{Look, Looked, RedisStore, SharedTokens, TokenStore},
    testing::AuthorizationServer,
};

use crate::{
    all_well, ask_all, client, get, key, replica, replica_of, replicas,
    support::{capture_log, ms, secs, server},
};

/// A server on a port of its own; it ends with this.
struct Redis {
    child: Child,
    port: u16,
    folder: PathBuf,
    options: Vec<&'static str>,
}

impl Redis {
    /// `None`, loudly, if there is no `redis-server`.
    fn start(options: &[&'static str]) -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        if Command::new("redis-server").arg("--version").stdout(Stdio::null()).status().is_err() {
            assert!(env::var_os("REQUIRE_REDIS").is_none(), "redis-server is not installed");
            eprintln!("SKIPPED: redis-server is not installed");
            return None;
        }
        let number = NUMBER.fetch_add(1, SeqCst);
        let folder = env::temp_dir().join(format!("tower-oauth-{}-{number}", process::id()));
        fs::create_dir_all(&folder).unwrap();
        let options = options.to_vec();
        // Somebody may take the port in between.
        for _ in 0..10 {
            let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
            if let Some(child) = run(port, &folder, &options) {
                return Some(Self { child, port, folder, options });
            }
        }
        panic!("redis-server does not start");
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    fn store(&self) -> RedisStore {
        RedisStore::new(self.url()).unwrap()
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// On the same port, with nothing in it.
    fn restart(&mut self) {
        self.child = run(self.port, &self.folder, &self.options).expect("it starts again");
    }

    fn cli(&self, arguments: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .args(["-p", &self.port.to_string()])
            .args(arguments)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[allow(clippy::zombie_processes)] // only a test that fails leaves one
fn run(port: u16, folder: &Path, options: &[&str]) -> Option<Child> {
    let mut child = Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
        .args(["--dir", folder.to_str().unwrap()])
        .args(options)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let start = Instant::now();
    while start.elapsed() < secs(10) {
        if child.try_wait().unwrap().is_some() {
            return None;
        }
        if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return Some(child);
        }
        thread::sleep(ms(10));
    }
    panic!("redis-server says nothing");
}

/// Its tokens live for an hour, and each takes a while.
fn idp() -> AuthorizationServer {
    server(secs(3600), ms(220))
}

/// Processes with a connection each, which they have made.
async fn fleet(size: usize, server: &AuthorizationServer, redis: &Redis) -> Vec<TokenCache> {
    let mut stores: Vec<RedisStore> = Vec::new();
    for _ in 0..size {
        let store = redis.store();
        store.extend("connect", 1, ms(1)).await.unwrap();
        stores.push(store);
    }
    // How fast the server is, and this machine, is another matter.
    let shared = |store: RedisStore| SharedTokens::new(store, key()).timeout(secs(2));
    stores.into_iter().map(|store| replica_of(server, shared(store))).collect()
}

#[tokio::test]
async fn a_cold_fleet_makes_one_token_request() {
    let Some(redis) = Redis::start(&[]) else { return };
    let server = idp();
    let longest = all_well(&ask_all(&fleet(50, &server, &redis).await).await);
    assert_eq!(server.token_requests(), 1);
    assert!(longest <= secs(2), "{longest:?}");
    // What is there is nobody's to read, ends by itself, and stands in one slot.
    let keys = redis.cli(&["KEYS", "*"]);
    assert_eq!(keys, "{tower-oauth:api}:token");
    assert!(!redis.cli(&["HGETALL", "{tower-oauth:api}:token"]).contains("token-1"));
    let left: u64 = redis.cli(&["PTTL", "{tower-oauth:api}:token"]).parse().unwrap();
    assert!((3_590_000..=3_600_000).contains(&left), "{left}");
}

#[tokio::test]
async fn a_herd_of_rejections_makes_one_token_request() {
    let Some(redis) = Redis::start(&[]) else { return };
    let server = idp();
    let fleet = fleet(50, &server, &redis).await;
    all_well(&ask_all(&fleet).await);
    server.revoke_all();
    let mut sending = JoinSet::new();
    for tokens in &fleet {
        let client = client(&server, tokens);
        sending.spawn(async move { client.oneshot(get()).await.unwrap().status() });
    }
    assert!(sending.join_all().await.iter().all(|status| *status == StatusCode::OK));
    assert_eq!(server.token_requests(), 2);
}

#[tokio::test]
async fn a_fleet_refreshes_its_token_once() {
    let Some(redis) = Redis::start(&[]) else { return };
    let server = server(secs(4), ms(50));
    let fleet = fleet(20, &server, &redis).await;
    let start = Instant::now();
    let mut sending = JoinSet::new();
    for tokens in &fleet {
        let client = client(&server, tokens);
        sending.spawn(async move {
            while start.elapsed() < secs(8) {
                let response = client.clone().oneshot(get()).await.unwrap();
                assert_eq!(response.status(), StatusCode::OK);
                sleep(ms(20)).await;
            }
        });
    }
    sending.join_all().await;
    // Usable for 3 s, due after 2.2 to 2.4.
    assert!((3..=5).contains(&server.token_requests()), "{}", server.token_requests());
}

/// Another process claims the fetch and is killed: see `child_that_fetches_for_ever`.
#[tokio::test]
async fn a_process_that_is_killed_while_it_fetches_holds_others_up_for_three_seconds() {
    let Some(redis) = Redis::start(&[]) else { return };
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "server::child_that_fetches_for_ever", "--ignored"])
        .env("FLEET_REDIS", redis.url())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    while redis.cli(&["EXISTS", "{tower-oauth:api}:claim"]) != "1" {
        sleep(ms(20)).await;
    }
    let server = idp();
    let fleet = fleet(20, &server, &redis).await;
    // For as long as it lives it keeps the claim.
    sleep(secs(4)).await;
    assert_eq!(redis.cli(&["EXISTS", "{tower-oauth:api}:claim"]), "1");
    child.kill().unwrap();
    child.wait().unwrap();
    let longest = all_well(&ask_all(&fleet).await);
    assert_eq!(server.token_requests(), 1);
    assert!(longest > ms(1_500) && longest <= secs(5), "{longest:?}");
}

#[test]
#[ignore = "a part of the test above, in a process of its own"]
fn child_that_fetches_for_ever() {
    let Ok(url) = env::var("FLEET_REDIS") else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let tokens = replica(&server(secs(3600), secs(3600)), &RedisStore::new(url).unwrap());
        let _ = tokens.token().await;
    });
}

#[tokio::test]
async fn a_server_that_dies_and_comes_back_costs_one_fetch_for_each() {
    let Some(mut redis) = Redis::start(&[]) else { return };
    let server = server(secs(3600), ms(500));
    let fleet = fleet(10, &server, &redis).await;
    let asking = tokio::spawn({
        let fleet = fleet.clone();
        async move { ask_all(&fleet).await }
    });
    // In the middle of the flight.
    sleep(ms(200)).await;
    redis.kill();
    let longest = all_well(&asking.await.unwrap());
    assert_eq!(server.token_requests(), 10);
    assert!(longest <= secs(3), "{longest:?}");
    // Nobody who has a token notices.
    for tokens in &fleet {
        let start = Instant::now();
        client(&server, tokens).oneshot(get()).await.unwrap();
        assert!(start.elapsed() <= ms(50), "{:?}", start.elapsed());
    }
    redis.restart();
    // It is left alone for 1 s, or for 2 more.
    sleep(ms(3_200)).await;
    let before = server.token_requests();
    server.revoke_all();
    let mut sending = JoinSet::new();
    for tokens in &fleet {
        let client = client(&server, tokens);
        sending.spawn(async move { client.oneshot(get()).await.unwrap().status() });
    }
    assert!(sending.join_all().await.iter().all(|status| *status == StatusCode::OK));
    let requests = server.token_requests() - before;
    assert!(requests <= 2, "{requests}: it is used again");
}

#[tokio::test]
async fn a_store_that_is_dead_from_the_start_costs_50_ms() {
    let Some(mut redis) = Redis::start(&[]) else { return };
    redis.kill();
    let server = idp();
    let log = capture_log(async {
        let longest = all_well(&ask_all(&[replica(&server, &redis.store())]).await);
        assert!(longest <= secs(1), "{longest:?}");
    });
    let (log, address) = (log.await, format!("127.0.0.1:{}", redis.port));
    assert!(log.contains("the store of shared tokens does not work"), "{log}");
    assert!(log.contains(&address) && !log.contains("fetcher"), "{log}");
}

#[tokio::test]
async fn a_slow_server_costs_50_ms() {
    let Some(redis) = Redis::start(&["--enable-debug-command", "yes"]) else { return };
    let server = idp();
    let store = redis.store();
    store.extend("connect", 1, ms(1)).await.unwrap();
    let fleet = replicas(3, &server, &store);
    let sleeping = thread::spawn(move || {
        redis.cli(&["DEBUG", "SLEEP", "2"]);
        redis
    });
    sleep(ms(200)).await;
    let longest = all_well(&ask_all(&fleet).await);
    assert!(longest <= secs(1), "{longest:?}");
    assert_eq!(server.token_requests(), 3);
    drop(sleeping.join().unwrap());
}

#[tokio::test]
async fn a_full_server_costs_a_fetch_for_each() {
    let Some(redis) = Redis::start(&["--maxmemory", "1mb"]) else { return };
    let server = idp();
    let fleet = fleet(3, &server, &redis).await;
    let log = capture_log(async {
        let longest = all_well(&ask_all(&fleet).await);
        assert!(longest <= secs(1), "{longest:?}");
    });
    let log = log.await;
    assert!(log.contains("OOM"), "{log}");
    assert_eq!(server.token_requests(), 3);
}

/// The server may forget a token, a claim, or all.
#[tokio::test]
async fn a_key_that_is_evicted_costs_one_fetch() {
    let Some(redis) = Redis::start(&[]) else { return };
    let server = idp();
    all_well(&ask_all(&fleet(3, &server, &redis).await).await);
    redis.cli(&["DEL", "{tower-oauth:api}:token"]);
    let later = fleet(3, &server, &redis).await;
    all_well(&ask_all(&later).await);
    assert_eq!(server.token_requests(), 2);
    // A later token has a larger number though nothing was there to count from.
    redis.cli(&["FLUSHALL"]);
    sleep(secs(1)).await;
    server.revoke_all();
    for tokens in &later {
        let response = client(&server, tokens).oneshot(get()).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    }
    assert_eq!(server.token_requests(), 3);
}

/// The certificate is trusted by the platform's own means, here a variable: see `child_over_tls`.
#[tokio::test]
async fn a_server_is_reached_over_tls() {
    let Some(redis) = Redis::start(&[]) else { return };
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (file, key) = (redis.folder.join("tls.pem"), redis.folder.join("tls.key"));
    fs::write(&file, certificate.cert.pem()).unwrap();
    fs::write(&key, certificate.signing_key.serialize_pem()).unwrap();
    let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    redis.cli(&[
        "CONFIG",
        "SET",
        "tls-cert-file",
        file.to_str().unwrap(),
        "tls-key-file",
        key.to_str().unwrap(),
        "tls-ca-cert-file",
        file.to_str().unwrap(),
        "tls-auth-clients",
        "no",
        "tls-port",
        &port.to_string(),
    ]);
    let child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "server::child_over_tls", "--ignored"])
        .env("FLEET_REDIS", format!("rediss://localhost:{port}"))
        .env("SSL_CERT_FILE", &file)
        .output()
        .unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
    assert_eq!(redis.cli(&["KEYS", "*"]), "{tower-oauth:api}:token");
}

#[test]
#[ignore = "a part of the test above, in a process of its own"]
fn child_over_tls() {
    let Ok(url) = env::var("FLEET_REDIS") else { return };
    let error = RedisStore::new(&url).unwrap_err();
    assert!(error.to_string().contains("rustls provider"), "{error}");
    rustls::crypto::ring::default_provider().install_default().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let shared = SharedTokens::new(RedisStore::new(url).unwrap(), key()).timeout(secs(5));
        replica_of(&idp(), shared).token().await.unwrap();
    });
}

/// Whatever somebody has put there, a process gets its token.
#[tokio::test]
async fn junk_in_the_server_stops_nobody() {
    let Some(redis) = Redis::start(&[]) else { return };
    let [token, failure, claim] =
        ["token", "failure", "claim"].map(|key| format!("{{tower-oauth:api}}:{key}"));
    let junk: [&[&str]; 7] = [
        &["SET", &claim, "5"],
        &["SET", &claim, "x", "EX", "1000"],
        &["SET", &failure, "x"],
        &["SET", &failure, "x", "EX", "1000"],
        &["HSET", &token, "number", "x", "value", "v"],
        &["HSET", &token, "number", "inf", "value", "v"],
        &["HSET", &token, "number", "1152921504606846976", "value", "v"],
    ];
    for junk in junk {
        redis.cli(&["FLUSHALL"]);
        redis.cli(junk);
        let server = idp();
        let fleet = fleet(2, &server, &redis).await;
        for tokens in &fleet {
            let longest = all_well(&ask_all(std::slice::from_ref(tokens)).await);
            assert!(longest <= secs(2), "{junk:?}: {longest:?}");
        }
        assert_eq!(server.token_requests(), 1, "{junk:?}");
    }
}

/// What stands between a store and its server.
async fn proxy(to: u16, delay: Duration, is_mute: Arc<AtomicBool>) -> (u16, Arc<AtomicU32>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((from, _)) = listener.accept().await {
            count.fetch_add(1, SeqCst);
            let was_mute = is_mute.load(SeqCst);
            let is_mute = Arc::clone(&is_mute);
            tokio::spawn(async move {
                sleep(delay).await;
                let to = TcpStream::connect(("127.0.0.1", to)).await?;
                let (mut client, mut to_client) = from.into_split();
                let (mut server, mut to_server) = to.into_split();
                tokio::spawn(async move { tokio::io::copy(&mut client, &mut to_server).await });
                let mut bytes = [0; 4096];
                while let Ok(read @ 1..) = server.read(&mut bytes).await {
                    // Only the connections of before.
                    if is_mute.load(SeqCst) && !was_mute {
                        std::future::pending::<()>().await;
                    }
                    to_client.write_all(&bytes[..read]).await?;
                }
                Ok::<_, std::io::Error>(())
            });
        }
    });
    (port, connections)
}

/// As when a firewall forgets it, or a machine goes over to another one.
#[tokio::test]
async fn a_connection_that_nothing_comes_through_is_replaced() {
    let Some(redis) = Redis::start(&[]) else { return };
    let is_mute = Arc::new(AtomicBool::new(false));
    let (port, connections) = proxy(redis.port, ms(0), Arc::clone(&is_mute)).await;
    let store = RedisStore::new(format!("redis://127.0.0.1:{port}")).unwrap();
    store.extend("api", 1, ms(1)).await.unwrap();
    is_mute.store(true, SeqCst);
    let late = timeout(ms(300), store.extend("api", 1, ms(1))).await;
    assert!(late.is_err(), "nothing comes through");
    timeout(secs(5), store.extend("api", 1, ms(1))).await.unwrap().unwrap();
    assert_eq!(connections.load(SeqCst), 2);
}

/// Whoever asks gives up long before.
#[tokio::test]
async fn a_connection_to_a_cluster_that_takes_long_is_made_all_the_same() {
    let Some(redis) = Redis::start(&["--cluster-enabled", "yes"]) else { return };
    redis.cli(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    while !redis.cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok") {
        sleep(ms(50)).await;
    }
    let (port, _) = proxy(redis.port, ms(200), Arc::default()).await;
    let store = RedisStore::cluster([format!("redis://127.0.0.1:{port}")]).unwrap();
    let early = timeout(ms(50), store.extend("api", 1, ms(1))).await;
    assert!(early.is_err(), "it takes longer");
    sleep(secs(1)).await;
    let server = idp();
    let shared = || SharedTokens::new(store.clone(), key()).timeout(secs(2));
    all_well(&ask_all(&[replica_of(&server, shared()), replica_of(&server, shared())]).await);
    assert_eq!(server.token_requests(), 1);
}

#[tokio::test]
async fn a_wrong_password_is_told() {
    let Some(redis) = Redis::start(&["--requirepass", "right"]) else { return };
    let server = idp();
    let wrong = format!("redis://:s3cret-but-wrong@127.0.0.1:{}", redis.port);
    let log = capture_log(async {
        all_well(&ask_all(&[replica(&server, &RedisStore::new(wrong).unwrap())]).await);
    });
    let log = log.await;
    assert!(log.contains("the store of shared tokens does not work"), "{log}");
    assert!(!log.contains("s3cret"), "{log}");
    let right = format!("redis://:right@127.0.0.1:{}", redis.port);
    let store = RedisStore::new(right).unwrap();
    assert!(!store.extend("api", 1, ms(1)).await.unwrap());
}

/// Each step of the store, beside the one in memory.
#[tokio::test]
async fn each_step_is_that_of_the_store_in_memory() {
    let Some(redis) = Redis::start(&[]) else { return };
    let redis = redis_steps(&redis.store()).await;
    assert_eq!(redis, redis_steps(&tower_oauth::shared::MemoryStore::new()).await);
}

async fn redis_steps(store: &impl TokenStore) -> Vec<String> {
    let look = Look { newer_than: 0, despite_failure: false, claim: ms(150) };
    let mut found = Vec::new();
    let mut numbers = Vec::new();
    // Numbers differ from store to store; their order does not.
    let mut tell = |looked: Looked| {
        let mut rank = |number: u64| {
            if !numbers.contains(&number) {
                assert!(numbers.iter().all(|before| *before < number), "{number}: {numbers:?}");
                numbers.push(number);
            }
            numbers.iter().position(|other| *other == number).unwrap()
        };
        found.push(match &looked {
            Looked::Token { number, value, left } => {
                format!("token {} {value:?} {}", rank(*number), left.as_secs())
            }
            Looked::Failed { value, left } => format!("failed {value:?} {}", left.as_secs()),
            Looked::Taken(number) => format!("taken {}", rank(*number)),
            Looked::Claimed(number) => format!("claimed {}", rank(*number)),
        });
        looked
    };
    let number = |looked: Looked| match looked {
        Looked::Claimed(number) => number,
        other => panic!("{other:?}"),
    };
    let first = number(tell(store.look_or_claim("a", look).await.unwrap()));
    tell(store.look_or_claim("a", look).await.unwrap());
    // The claim ends, and whoever had it cannot do anything any more but give its token.
    sleep(ms(200)).await;
    assert!(!store.extend("a", first, secs(1)).await.unwrap());
    let second = number(tell(store.look_or_claim("a", look).await.unwrap()));
    assert!(store.extend("a", second, ms(400)).await.unwrap());
    sleep(ms(200)).await;
    store.fail("a", first, b"late", secs(9), secs(1)).await.unwrap();
    tell(store.look_or_claim("a", look).await.unwrap());
    store
        .fail("a", second, &[0, 159, 146, 150], Duration::from_millis(1_900), ms(300))
        .await
        .unwrap();
    tell(store.look_or_claim("a", look).await.unwrap());
    let despite = Look { despite_failure: true, ..look };
    tell(store.look_or_claim("a", despite).await.unwrap());
    sleep(ms(350)).await;
    let third = number(tell(store.look_or_claim("a", despite).await.unwrap()));
    store.put("a", third, b"new", Duration::from_millis(60_900)).await.unwrap();
    // An older one does not take its place, and the failure is forgotten.
    store.put("a", first, b"old", secs(100)).await.unwrap();
    tell(store.look_or_claim("a", look).await.unwrap());
    let newer = Look { newer_than: third, ..look };
    tell(store.look_or_claim("a", newer).await.unwrap());
    tell(store.look_or_claim("a", newer).await.unwrap());
    // Another name is another matter.
    number(store.look_or_claim("b", look).await.unwrap());
    found
}

#[test]
fn a_url_that_is_none_is_refused_without_its_password() {
    for url in ["http://user:s3cret@host", "redis://user:s3cret@:port", "", "rediss://:s3cret@host"]
    {
        let error = RedisStore::new(url).unwrap_err();
        assert_eq!((error.kind(), error.field()), (ErrorKind::Config, Some("url")), "{url}");
        assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
    }
    assert!(RedisStore::cluster(["redis://127.0.0.1:7000", "nonsense"]).is_err());
    let store = RedisStore::new("redis://:s3cret@127.0.0.1:6379").unwrap();
    assert!(!format!("{store:?}").contains("s3cret"));
}

/// What a user writes: an endpoint by its fingerprint.
#[tokio::test]
async fn an_endpoint_is_shared_by_its_fingerprint() {
    let Some(redis) = Redis::start(&[]) else { return };
    let server = AuthorizationServer::new();
    server.client("id", "secret");
    let tokens = || {
        let shared = SharedTokens::new(redis.store(), key());
        let endpoint = TokenEndpoint::builder("https://idp.example.com/token")
            .client_id("id")
            .client_secret("secret")
            .build_with::<_, http_body_util::Full<bytes::Bytes>, _>(server.clone())
            .unwrap();
        let name = endpoint.fingerprint(&shared).unwrap();
        TokenCache::new(ServiceBuilder::new().layer(shared.named(name)).service(endpoint))
    };
    assert_eq!(tokens().token().await.unwrap().expose_secret(), "token-1");
    assert_eq!(tokens().token().await.unwrap().expose_secret(), "token-1");
    assert_eq!(server.token_requests(), 1);
}
