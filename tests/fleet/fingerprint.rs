//! Which endpoints share a name.

use std::{collections::HashSet, convert::Infallible, env, fs, process};

use bytes::Bytes;
use http::{Request, Response};
use tower::service_fn;
use tower_oauth::{
    ErrorKind, TokenEndpoint,
    shared::{EncryptionKey, MemoryStore, SharedTokens},
    token_endpoint::{ClientAuth, ResponseField, Secret, TokenEndpointBuilder},
};

use crate::key;

fn endpoint(change: impl FnOnce(TokenEndpointBuilder) -> TokenEndpointBuilder) -> TokenEndpoint {
    let http =
        service_fn(|_: Request<Bytes>| async { Ok::<_, Infallible>(Response::new(String::new())) });
    let builder = TokenEndpoint::builder("https://idp.example.com/token")
        .client_id("id")
        .client_secret("secret")
        .scope("a")
        .scope("b");
    change(builder).build_with(http).unwrap()
}

fn name(endpoint: &TokenEndpoint) -> String {
    endpoint.fingerprint(&SharedTokens::new(MemoryStore::new(), key())).unwrap()
}

/// Whatever may give another token has another name.
#[test]
fn no_two_of_these_share_a_name() {
    let same = |builder: TokenEndpointBuilder| builder;
    let user = |name: &str, password: &str| {
        let (name, password) = (name.to_owned(), Secret::value(password));
        endpoint(|it| it.grant_type("password").param("username", name).param("password", password))
    };
    let param = |name: &str, value: &str| {
        let (name, value) = (name.to_owned(), value.to_owned());
        endpoint(|it| it.param(name, value))
    };
    let header = |value: &str| {
        let value = Secret::value(value);
        endpoint(|it| it.header("x-api-key", value))
    };
    let endpoints = [
        endpoint(same),
        endpoint(|it| it.url("https://idp.example.com/token2")),
        endpoint(|it| it.client_id("id2")),
        endpoint(|it| it.client_id(Secret::value("id3"))),
        endpoint(|it| it.scope("c")),
        endpoint(|it| it.audience("a")),
        endpoint(|it| it.audience("a b")),
        endpoint(|it| it.audience("a").audience("b")),
        endpoint(|it| it.resource("a")),
        endpoint(|it| it.auth(ClientAuth::Body)),
        endpoint(|it| it.grant_type("other")),
        user("ann", "password"),
        user("bob", "password"),
        user("ann", "password2"),
        param("subject_token", "one"),
        param("subject_token", "two"),
        param("subject_token2", "one"),
        param("subject", "_tokenone"),
        endpoint(|it| it.response_field(ResponseField::AccessToken, "id_token")),
        endpoint(|it| it.token_type("JWT", "Bearer")),
        header("key 1"),
        header("key 2"),
    ];
    let names: HashSet<_> = endpoints.iter().map(name).collect();
    assert_eq!(names.len(), endpoints.len());
    for name in names {
        assert!(name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit()), "{name}");
    }
}

#[test]
fn these_share_a_name() {
    let usual = name(&endpoint(|it| it));
    let rotated = endpoint(|it| it.client_secret("another"));
    assert_eq!(name(&rotated), usual, "the client's own secret does not count");
    let newer = endpoint(|it| it.user_agent("billing/2"));
    assert_eq!(name(&newer), usual, "another version of the program");
    let listed = endpoint(|it| it).derive(|it| it.scope("a b")).unwrap();
    assert_eq!(name(&listed), usual, "the same scopes in one text");
    let ordered = endpoint(|it| it).derive(|it| it.scope("b").scope("a")).unwrap();
    assert_eq!(name(&ordered), usual, "the order of scopes means nothing");
}

/// Nobody who reads the store can try out what a name stands for.
#[test]
fn a_name_depends_on_the_key() {
    let endpoint = endpoint(|it| it);
    let other = SharedTokens::new(MemoryStore::new(), EncryptionKey::new("1", [9; 32]).unwrap());
    assert_ne!(endpoint.fingerprint(&other).unwrap(), name(&endpoint));
    // The steps of a change of the key: the name changes once.
    let (old, new) = (key, || EncryptionKey::new("1", [9; 32]).unwrap());
    let shared = |first| SharedTokens::new(MemoryStore::new(), first);
    let steps = [
        shared(old()),
        shared(old()).also_reads(new()),
        shared(new()).also_reads(old()),
        shared(new()),
    ];
    let names = steps.map(|shared| endpoint.fingerprint(&shared).unwrap());
    assert!(names[0] == names[1] && names[1] != names[2] && names[2] == names[3], "{names:?}");
}

#[test]
fn a_secret_counts_as_it_is_now() {
    let file = env::temp_dir().join(format!("tower-oauth-fleet-{}", process::id()));
    let missing = endpoint(|it| it.param("password", Secret::file(&file)));
    let shared = SharedTokens::new(MemoryStore::new(), key());
    assert_eq!(missing.fingerprint(&shared).unwrap_err().kind(), ErrorKind::Fetcher);
    fs::write(&file, "one").unwrap();
    let one = name(&missing);
    fs::write(&file, "two").unwrap();
    assert_ne!(name(&missing), one);
    fs::remove_file(&file).unwrap();
}
