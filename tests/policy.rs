//! A refresh policy from a file, which needs no HTTP fetcher.
#![cfg(feature = "config")]

use std::time::Duration;

use tower_oauth::cache::RefreshPolicy;

fn read(toml: &str) -> Result<RefreshPolicy, String> {
    toml::from_str(toml).map_err(|error: toml::de::Error| error.message().to_owned())
}

#[test]
fn what_is_left_out_is_the_default() {
    assert_eq!(read(""), Ok(RefreshPolicy::default()));
    let some = RefreshPolicy::default().max_age(Duration::from_secs(3600)).jitter(0.2).unwrap();
    assert_eq!(read("max_age = '1h'\njitter = 0.2"), Ok(some));
    let others = RefreshPolicy::default()
        .default_lifetime(Duration::from_secs(60))
        .fetch_timeout(Duration::from_millis(1500))
        .unwrap();
    assert_eq!(read("default_lifetime = '1m'\nfetch_timeout = '1s 500ms'"), Ok(others));
}

/// What a setter takes, a file may say; what it refuses, a file may not.
#[test]
fn a_file_follows_the_setters() {
    let policy = RefreshPolicy::default();
    assert_eq!(read("max_age = '0s'"), Ok(policy.clone().max_age(Duration::ZERO)));
    let none = policy.clone().default_lifetime(Duration::ZERO);
    assert_eq!(read("default_lifetime = '0s'"), Ok(none));
    for (toml, refused) in [
        ("jitter = 1.5", policy.clone().jitter(1.5)),
        ("fetch_timeout = '0s'", policy.fetch_timeout(Duration::ZERO)),
    ] {
        assert_eq!(read(toml), Err(refused.unwrap_err().to_string()));
    }
}

#[test]
fn an_unknown_key_is_an_error() {
    for (toml, says) in [
        ("max_agee = '1h'", "unknown field `max_agee`"),
        ("max_age = 3600", "expected a duration"),
        ("jitter = 'some'", "invalid type"),
    ] {
        let error = read(toml).unwrap_err();
        assert!(error.contains(says), "{error}");
    }
}
