//! Endpoints that differ in some settings and share one HTTP service.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use tower::{ServiceExt, service_fn};
use tower_oauth::{
    ErrorKind, TokenEndpoint,
    token_endpoint::{EndpointRequest, HttpTransport, Secret, TokenEndpointBuilder},
};

use crate::{OK, URL, builder, fetch, form};

/// Counts its copies.
#[derive(Default)]
struct Copies(Arc<AtomicUsize>);

impl Copies {
    fn so_far(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Clone for Copies {
    fn clone(&self) -> Self {
        self.0.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(&self.0))
    }
}

/// The URL and the body of each request, in order.
type Seen = Arc<Mutex<Vec<(Uri, String)>>>;

/// An endpoint over an HTTP service that keeps what it is asked, and counts its copies.
fn endpoint(builder: TokenEndpointBuilder) -> (TokenEndpoint, Seen, Copies) {
    let (seen, copies) = (Seen::default(), Copies::default());
    let (keep, count) = (Arc::clone(&seen), Copies(Arc::clone(&copies.0)));
    let http = service_fn(move |request: Request<Full<Bytes>>| {
        let (keep, _) = (Arc::clone(&keep), &count);
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            keep.lock().unwrap().push((head.uri, String::from_utf8(body.to_vec()).unwrap()));
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(OK))))
        }
    });
    (builder.build_with(http).unwrap(), seen, copies)
}

/// The body of one request.
async fn body(endpoint: TokenEndpoint, seen: &Seen) -> String {
    fetch(endpoint).await.unwrap();
    seen.lock().unwrap().pop().unwrap().1
}

const GRANT: (&str, &str) = ("grant_type", "client_credentials");

#[tokio::test]
async fn the_http_service_is_shared() {
    let (first, seen, copies) = endpoint(builder());
    let before = copies.so_far();
    let tenants: Vec<_> = (0..100)
        .map(|tenant| {
            let url = format!("https://{tenant}.example.com/token");
            first.derive(|builder| builder.url(url)).unwrap()
        })
        .collect();
    assert_eq!(copies.so_far(), before);
    // Each fetch takes one copy, as on the first endpoint.
    for tenant in &tenants {
        fetch(tenant.clone()).await.unwrap();
    }
    fetch(first).await.unwrap();
    assert_eq!(copies.so_far(), before + 101);
    let seen = seen.lock().unwrap();
    assert_eq!(seen[42].0, "https://42.example.com/token");
    assert_eq!(seen[100].0, URL);
}

#[tokio::test]
async fn a_list_is_replaced_by_the_first_call_and_added_to_by_more() {
    let (first, seen, _) = endpoint(
        builder()
            .scope("read")
            .scope("write")
            .audience("a")
            .audience("b")
            .resource("urn:a")
            .resource("urn:b")
            .param("p", "1")
            .param("q", "2"),
    );
    let all = [
        GRANT,
        ("scope", "read write"),
        ("audience", "a"),
        ("audience", "b"),
        ("resource", "urn:a"),
        ("resource", "urn:b"),
        ("p", "1"),
        ("q", "2"),
    ];
    let of =
        |change: fn(TokenEndpointBuilder) -> TokenEndpointBuilder| first.derive(change).unwrap();
    let with = |from: usize, to: usize, new: &[(&'static str, &'static str)]| {
        form(&[&all[..from], new, &all[to..]].concat())
    };
    assert_eq!(body(of(|builder| builder), &seen).await, form(&all));
    let scope = of(|builder| builder.scope("other"));
    assert_eq!(body(scope, &seen).await, with(1, 2, &[("scope", "other")]));
    let scopes = of(|builder| builder.scope("other").scope("more"));
    assert_eq!(body(scopes.clone(), &seen).await, with(1, 2, &[("scope", "other more")]));
    let audience = of(|builder| builder.audience("c").audience("d"));
    let expected = with(2, 4, &[("audience", "c"), ("audience", "d")]);
    assert_eq!(body(audience, &seen).await, expected);
    let resource = of(|builder| builder.resource("urn:c"));
    assert_eq!(body(resource, &seen).await, with(4, 6, &[("resource", "urn:c")]));
    let param = of(|builder| builder.param("r", "3").param("s", "4"));
    assert_eq!(body(param, &seen).await, with(6, 8, &[("r", "3"), ("s", "4")]));
    // Of a derived one all the same; and the first is what it was.
    let again = scopes.derive(|builder| builder.scope("last")).unwrap();
    assert_eq!(body(again, &seen).await, with(1, 2, &[("scope", "last")]));
    assert_eq!(body(first, &seen).await, form(&all));
}

#[tokio::test]
async fn headers_are_a_list_too() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&seen);
    let transport = HttpTransport::new(service_fn(|_: Request<Bytes>| async {
        Ok::<_, Infallible>(Response::new(OK.to_owned()))
    }))
    .map_request(move |request: EndpointRequest| {
        keep.lock().unwrap().push(request.headers.clone());
        request
    });
    let first = builder().header("x-a", "1").header("x-b", "2");
    let first = first.build_with_transport(transport).unwrap();
    fetch(first.derive(|builder| builder.header("x-c", "3")).unwrap()).await.unwrap();
    fetch(first.derive(|builder| builder).unwrap()).await.unwrap();
    let seen = seen.lock().unwrap();
    let has = |index: usize| ["x-a", "x-b", "x-c"].map(|name| seen[index].contains_key(name));
    assert_eq!((has(0), has(1)), ([false, false, true], [true, true, false]));
}

#[tokio::test]
async fn a_client_of_its_own_for_each_tenant() {
    let (first, seen, _) = endpoint(builder().auth(tower_oauth::token_endpoint::ClientAuth::Body));
    let tenant = |builder: TokenEndpointBuilder| {
        builder.client_id("tenant").client_secret(Secret::value("tenant-secret"))
    };
    let sent = body(first.derive(tenant).unwrap(), &seen).await;
    let expected = form(&[GRANT, ("client_id", "tenant"), ("client_secret", "tenant-secret")]);
    assert_eq!(sent, expected);
}

#[test]
fn a_bad_change_names_its_field() {
    let (first, ..) = endpoint(builder());
    let of = |change: fn(TokenEndpointBuilder) -> TokenEndpointBuilder| {
        first.derive(change).unwrap_err()
    };
    for (error, field) in [
        (of(|builder| builder.url("http://idp.example.com/token")), "url"),
        (of(|builder| builder.client_id("")), "client_id"),
        (of(|builder| builder.scope(" ")), "scope"),
        (of(|builder| builder.param("scope", "x")), "param"),
        (of(|builder| builder.header("authorization", "x")), "header"),
    ] {
        assert_eq!((error.kind(), error.field()), (ErrorKind::Config, Some(field)));
    }
}

/// Plain HTTP needs no root certificates; what needs them says so when it is built, not later.
#[cfg(all(any(feature = "client", feature = "client-ring"), target_os = "linux"))]
#[test]
fn without_root_certificates() {
    let nowhere = "/no/such/place";
    if std::env::var("SSL_CERT_FILE").as_deref() != Ok(nowhere) {
        // A process cannot change its own environment safely, so this one starts another.
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "derive::without_root_certificates"])
            .env("SSL_CERT_FILE", nowhere)
            .env("SSL_CERT_DIR", nowhere)
            .status();
        assert!(status.unwrap().success());
        return;
    }
    let plain = builder().url("http://127.0.0.1:1/token").build().unwrap();
    for refused in [plain.derive(|builder| builder.url(URL)), builder().build()] {
        let error = refused.unwrap_err();
        assert_eq!((error.kind(), error.field()), (ErrorKind::Config, Some("client")));
    }
    assert!(plain.derive(|builder| builder.scope("other")).is_ok());
}

/// With root certificates, it does not matter where the first endpoint is.
#[cfg(any(feature = "client", feature = "client-ring"))]
#[test]
fn tls_does_not_depend_on_the_first_url() {
    let built = builder().build().map_err(|error| error.field());
    let plain = builder().url("http://127.0.0.1:1/token").build().unwrap();
    let derived = plain.derive(|builder| builder.url(URL)).map_err(|error| error.field());
    assert_eq!(format!("{derived:?}"), format!("{built:?}"));
}

/// What a vendor's function sets is there to be changed.
#[tokio::test]
async fn the_settings_of_a_vendor_are_replaced_too() {
    use tower_oauth::vendor::{bright_pattern, dqe};

    let (dqe, seen, _) = endpoint(dqe("h", "id", "secret", "client_address").scope("other"));
    let sent = body(dqe, &seen).await;
    assert!(sent.starts_with("scope=other&"), "{sent}");
    let (tenant, seen, _) = endpoint(bright_pattern("h", "id", "secret").scope("tenant"));
    let sent = body(tenant, &seen).await;
    assert!(sent.contains("scope=tenant&"), "{sent}");
}
