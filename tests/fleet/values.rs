//! What a store sees.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use tower::{BoxError, ServiceBuilder, ServiceExt};
use tower_oauth::{
    ErrorKind, RefreshReason, Token, TokenRequest, fetch_fn,
    shared::{EncryptionKey, Look, Looked, MemoryStore, SharedTokens, TokenStore},
};

use crate::{
    key,
    support::{capture_log, secs},
};

const SECRET: &str = "2YotnFZFEjr1zCsicMWpAA-and-more-of-it";

/// Fetches through these, and gives what the one who fetched was told, and how often somebody did.
async fn fetch(shared: &SharedTokens<MemoryStore>, name: &str) -> (Token, usize) {
    let fetches = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&fetches);
    let fetcher = fetch_fn(move |_| {
        *counted.lock().unwrap() += 1;
        async { Ok::<_, BoxError>(Token::bearer(SECRET).with_lifetime(secs(600))) }
    });
    let fetcher = ServiceBuilder::new().layer(shared.named(name)).service(fetcher);
    let token = fetcher.oneshot(TokenRequest::new(RefreshReason::Cold)).await.unwrap();
    let fetches = *fetches.lock().unwrap();
    (token, fetches)
}

/// What is kept under a name.
async fn value(store: &MemoryStore, name: &str) -> Vec<u8> {
    let look = Look { newer_than: 0, despite_failure: false, claim: Duration::ZERO };
    match store.look_or_claim(name, look).await.unwrap() {
        Looked::Token { value, .. } => value,
        other => panic!("{other:?}"),
    }
}

async fn put(store: &MemoryStore, name: &str, value: &[u8]) {
    store.put(name, 1_000, value, secs(600)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_value_shows_nothing_of_the_token() {
    let store = MemoryStore::new();
    fetch(&SharedTokens::new(store.clone(), key()), "a").await;
    let kept = value(&store, "a").await;
    for piece in SECRET.as_bytes().windows(4) {
        assert!(!kept.windows(4).any(|window| window == piece));
    }
    assert!(!kept.windows(6).any(|window| window == b"Bearer"));
    // The same token looks different each time.
    let other = MemoryStore::new();
    fetch(&SharedTokens::new(other.clone(), key()), "a").await;
    assert_ne!(kept, value(&other, "a").await);
    assert!(!format!("{store:?} {:?}", SharedTokens::new(other, key())).contains("7, 7"));
}

#[tokio::test(start_paused = true)]
async fn a_value_cannot_be_used_elsewhere_or_changed() {
    let store = MemoryStore::new();
    let shared = SharedTokens::new(store.clone(), key());
    fetch(&shared, "a").await;
    let kept = value(&store, "a").await;
    // Under the same name it is read.
    put(&store, "a", &kept).await;
    assert_eq!(fetch(&shared, "a").await.1, 0);
    // It cannot be read under another name, with any bit changed, or with a part missing.
    let log = capture_log(async {
        put(&store, "b", &kept).await;
        assert_eq!(fetch(&shared, "b").await.1, 1);
        for at in 0..kept.len() {
            let mut changed = kept.clone();
            changed[at] ^= 1;
            put(&store, &format!("c{at}"), &changed).await;
            assert_eq!(fetch(&shared, &format!("c{at}")).await.1, 1, "{at}");
            put(&store, &format!("d{at}"), &kept[..at]).await;
            assert_eq!(fetch(&shared, &format!("d{at}")).await.1, 1, "{at}");
        }
    });
    let log = log.await;
    assert!(log.contains("a token in the store cannot be read"), "{log}");
    assert!(!log.contains(SECRET));
}

#[tokio::test(start_paused = true)]
async fn plaintext_is_for_those_who_say_so() {
    let store = MemoryStore::new();
    let plain = SharedTokens::plaintext_on_purpose(store.clone());
    fetch(&plain, "a").await;
    let kept = value(&store, "a").await;
    assert!(String::from_utf8_lossy(&kept).contains(SECRET));
    assert_eq!(fetch(&plain, "a").await.1, 0);
    // Whoever encrypts does not take what somebody has put there in clear, nor the other way round.
    assert_eq!(fetch(&SharedTokens::new(store.clone(), key()), "a").await.1, 1);
    assert_eq!(fetch(&plain, "a").await.1, 1);
}

/// A fleet changes its program process by process.
#[tokio::test(start_paused = true)]
async fn a_failure_is_read_from_an_older_and_a_newer_version() {
    for other in ["", r#","what_comes_later":1"#] {
        let text = format!(r#"{{"is_denied":true,"code":"invalid_client","said":"no"{other}}}"#);
        let store = MemoryStore::new();
        let look = Look { newer_than: 0, despite_failure: false, claim: secs(3) };
        let looked = store.look_or_claim("a", look).await.unwrap();
        let Looked::Claimed(number) = looked else { panic!("{looked:?}") };
        let value = [&[1, 0], text.as_bytes()].concat();
        store.fail("a", number, &value, secs(1), secs(1)).await.unwrap();
        let layer = SharedTokens::plaintext_on_purpose(store).named("a");
        let fetcher = fetch_fn(|_| async { Ok::<_, BoxError>(Token::bearer(SECRET)) });
        let fetcher = ServiceBuilder::new().layer(layer).service(fetcher);
        let told = fetcher.oneshot(TokenRequest::new(RefreshReason::Cold)).await.unwrap_err();
        assert_eq!((told.kind(), told.oauth_code()), (ErrorKind::Denied, Some("invalid_client")));
    }
}

/// Whoever fetches such a token shares it with nobody, and nobody takes it from the store.
#[tokio::test(start_paused = true)]
async fn a_token_that_no_header_can_carry_counts_as_absent() {
    let duration = |secs: u64| format!(r#"{{"secs":{secs},"nanos":0}}"#);
    let text = |secret: &str| {
        let (kept, age) = (duration(600), duration(0));
        let times = format!(r#""lifetime":{kept},"refresh_after":null,"kept":{kept},"age":{age}"#);
        format!(r#"{{"scheme":"Bearer","secret":"{secret}",{times}}}"#)
    };
    for (secret, fetches) in [("good", 0), ("two words", 1), ("", 1), ("\\n", 1)] {
        let store = MemoryStore::new();
        put(&store, "a", &[&[1, 0], text(secret).as_bytes()].concat()).await;
        let log = capture_log(async {
            let (token, made) = fetch(&SharedTokens::plaintext_on_purpose(store), "a").await;
            assert_eq!(made, fetches, "{secret:?}");
            token.header_value().unwrap();
        });
        let log = log.await;
        let told = log.matches("a token in the store cannot be read").count();
        assert_eq!(told, fetches, "{secret:?}: {log}");
    }
}

#[tokio::test(start_paused = true)]
async fn keys_change_without_a_moment_in_which_somebody_cannot_read() {
    let store = MemoryStore::new();
    let (old, new) = (key(), EncryptionKey::new("2", [8; 32]).unwrap());
    let steps = [
        SharedTokens::new(store.clone(), old.clone()),
        SharedTokens::new(store.clone(), old.clone()).also_reads(new.clone()),
        SharedTokens::new(store.clone(), new.clone()).also_reads(old),
        SharedTokens::new(store.clone(), new),
    ];
    for (step, pair) in steps.windows(2).enumerate() {
        for (writer, reader) in [(0, 1), (1, 0)] {
            let name = format!("{step} {writer}");
            assert_eq!(fetch(&pair[writer], &name).await.1, 1);
            assert_eq!(fetch(&pair[reader], &name).await.1, 0, "step {step}");
        }
    }
    // Without the steps in between they cannot.
    fetch(&steps[0], "a").await;
    assert_eq!(fetch(&steps[3], "a").await.1, 1);
}

#[test]
fn a_key_is_32_bytes() {
    EncryptionKey::from_base64("1", &format!("{}\n", STANDARD.encode([1; 32]))).unwrap();
    for wrong in [STANDARD.encode([1; 31]), "not base64!".into(), String::new()] {
        let error = EncryptionKey::from_base64("1", &wrong).unwrap_err();
        assert_eq!((error.kind(), error.field()), (ErrorKind::Config, Some("encryption_key")));
        assert!(wrong.is_empty() || !error.to_string().contains(&wrong));
    }
    for wrong in [String::new(), "x".repeat(256)] {
        assert_eq!(EncryptionKey::new(wrong, [1; 32]).unwrap_err().kind(), ErrorKind::Config);
    }
    assert!(!format!("{:?}", key()).contains('7'));
}
