//! A store that can be broken.

use std::{
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::time::sleep;
use tower::BoxError;
use tower_oauth::shared::{Look, Looked, MemoryStore, TokenStore};

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Mode {
    /// It responds after this time.
    Works(Duration),
    /// It says that it does not work.
    Refuses,
    /// It says nothing.
    Hangs,
    /// It gives a token though a newer one is wanted.
    Repeats,
    /// It gives a newer token each time, and none that can be read.
    Junk,
}

#[derive(Clone)]
pub(crate) struct Faulty {
    store: MemoryStore,
    mode: Arc<Mutex<Mode>>,
    asked: Arc<AtomicU64>,
}

impl Faulty {
    pub(crate) fn new(mode: Mode) -> Self {
        let mode = Arc::new(Mutex::new(mode));
        Self { store: MemoryStore::new(), mode, asked: Arc::default() }
    }

    pub(crate) fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }

    /// How often it was asked.
    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(SeqCst)
    }

    async fn work(&self) -> Result<(), BoxError> {
        self.asked.fetch_add(1, SeqCst);
        let mode = *self.mode.lock().unwrap();
        match mode {
            Mode::Works(time) => sleep(time).await,
            Mode::Refuses => return Err("connection refused".into()),
            Mode::Hangs => pending().await,
            Mode::Repeats | Mode::Junk => {}
        }
        Ok(())
    }
}

impl TokenStore for Faulty {
    async fn look_or_claim(&self, name: &str, look: Look) -> Result<Looked, BoxError> {
        self.work().await?;
        let mode = *self.mode.lock().unwrap();
        if mode == Mode::Junk {
            let (number, value) = (look.newer_than + 1, b"junk".to_vec());
            return Ok(Looked::Token { number, value, left: Duration::from_secs(600) });
        }
        let newer_than = if mode == Mode::Repeats { 0 } else { look.newer_than };
        self.store.look_or_claim(name, Look { newer_than, ..look }).await
    }

    async fn put(
        &self,
        name: &str,
        number: u64,
        value: &[u8],
        keep: Duration,
    ) -> Result<(), BoxError> {
        self.work().await?;
        self.store.put(name, number, value, keep).await
    }

    async fn extend(&self, name: &str, number: u64, claim: Duration) -> Result<bool, BoxError> {
        self.work().await?;
        self.store.extend(name, number, claim).await
    }

    async fn fail(
        &self,
        name: &str,
        number: u64,
        value: &[u8],
        keep: Duration,
        claim: Duration,
    ) -> Result<(), BoxError> {
        self.work().await?;
        self.store.fail(name, number, value, keep, claim).await
    }
}
