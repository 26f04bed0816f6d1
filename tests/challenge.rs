//! Reading `WWW-Authenticate`, as a resource sees it that answers 401 with one: is the token refreshed?

mod support;

use std::{
    convert::Infallible,
    future::{Future, ready},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, Version, header::WWW_AUTHENTICATE};
use http_body_util::Full;
use proptest::prelude::*;
use support::{Body, get};
use tower::{Layer, ServiceExt, service_fn};
use tower_oauth::{
    Error, OAuthLayer, rejection,
    replay::Never,
    source::{Lease, RequestHead, ResponseHead, TokenSource},
};

/// A source that counts rejections, and gives no other token.
#[derive(Clone, Default)]
struct Counting(Arc<AtomicUsize>);

impl TokenSource for Counting {
    type Lease = Self;
    type Acquire = std::future::Ready<Result<Self, Error>>;

    fn try_acquire(&self, _: &RequestHead<'_>) -> Option<Self> {
        Some(self.clone())
    }

    fn acquire(&self, _: &RequestHead<'_>) -> Self::Acquire {
        ready(Ok(self.clone()))
    }
}

impl Lease for Counting {
    type Replacement = std::future::Ready<Result<Option<Self>, Error>>;

    fn header_value(&self) -> HeaderValue {
        HeaderValue::from_static("Bearer abc")
    }

    fn is_usable(&self) -> bool {
        true
    }

    fn reject(self) -> Self::Replacement {
        self.0.fetch_add(1, Ordering::SeqCst);
        ready(Ok(None))
    }

    fn reacquire(self) -> Self::Replacement {
        ready(Ok(Some(self)))
    }
}

/// Whether a 401 with these lines is taken as the token's rejection.
fn refreshes<L: AsRef<[u8]>>(lines: &[L]) -> bool {
    let mut answer = Response::new(Body::new());
    *answer.status_mut() = StatusCode::UNAUTHORIZED;
    for line in lines {
        let line = HeaderValue::from_bytes(line.as_ref()).expect("a header value");
        answer.headers_mut().append(WWW_AUTHENTICATE, line);
    }
    let standard = rejection::standard(&ResponseHead::from(&answer));
    let refreshed = rejects(answer, |layer| layer);
    assert_eq!(refreshed, standard, "what is public differs from what is done");
    refreshed
}

/// Whether the token is rejected by this answer.
fn rejects(
    answer: Response<Body>,
    set: impl FnOnce(OAuthLayer<Counting, Never>) -> OAuthLayer<Counting, Never>,
) -> bool {
    let source = Counting::default();
    let resource = service_fn(move |_: Request<Body>| ready(Ok::<_, Infallible>(answer.clone())));
    let layer = set(OAuthLayer::with_source(source.clone()).replay(Never));
    let answer = pin!(layer.layer(resource).oneshot(get("https://api.example.com/")));
    let Poll::Ready(Ok(_)) = answer.poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("no answer")
    };
    source.0.load(Ordering::SeqCst) == 1
}

/// With a body that has ended.
fn empty(status: u16, name: &'static str, value: &'static str) -> Response<Body> {
    Response::builder().status(status).header(name, value).body(Body::new()).unwrap()
}

#[test]
fn a_rule_of_ones_own_can_build_on_the_standard_one() {
    let expected = [
        (empty(403, "x-any", ""), true),
        (empty(401, "x-any", ""), true),
        (empty(401, "www-authenticate", "Bearer error=insufficient_scope"), false),
        (empty(200, "grpc-status", "16"), true),
        (empty(200, "grpc-status", "7"), false),
        (empty(400, "x-any", ""), false),
    ];
    for (answer, expected) in expected {
        let said = format!("{answer:?}");
        let rejected = rejects(answer, |layer| {
            layer.rejected_when(|head| head.status == 403 || rejection::standard(&head))
        });
        assert_eq!(rejected, expected, "{said}");
    }
}

/// All of a response but its body, and none of it in `Debug`.
#[test]
fn a_rule_of_ones_own_sees_the_head() {
    let mut answer = empty(404, "x-secret", "hunter2");
    *answer.version_mut() = Version::HTTP_2;
    answer.extensions_mut().insert("hunter2");
    assert!(rejects(answer, |layer| layer.rejected_when(|head| {
        let said = format!("{head:?}");
        assert!(said.contains("404") && !said.contains("hunter2"), "{said}");
        (head.status, head.version) == (StatusCode::NOT_FOUND, Version::HTTP_2)
            && head.headers["x-secret"] == "hunter2"
            && head.extensions.get() == Some(&"hunter2")
            && head.is_end_stream
    })));
}

/// What stands in the headers of a response that has a body is no trailer.
#[test]
fn the_standard_rule_asks_for_the_end_of_the_body() {
    let grpc = Response::builder().header("grpc-status", "16");
    let answer = grpc.body(Full::<Bytes>::from("a message")).unwrap();
    assert!(!rejection::standard(&ResponseHead::from(&answer)));
    assert!(rejection::standard(&ResponseHead::from(&answer.map(|_| Body::new()))));
}

/// That the token is refreshed for each of these lines.
#[track_caller]
fn yes(lines: &[&str]) {
    for line in lines {
        assert!(refreshes(&[line]), "no refresh for {line}");
    }
}

/// That it is not.
#[track_caller]
fn no(lines: &[&str]) {
    for line in lines {
        assert!(!refreshes(&[line]), "a refresh for {line}");
    }
}

#[test]
fn without_a_challenge_a_401_is_a_rejection() {
    assert!(refreshes::<&str>(&[]));
    yes(&["", " ", ",", " , ,\t,"]);
}

/// The sections' own examples, each as one line.
#[test]
fn examples_of_the_rfcs() {
    // RFC 9110 §11.6.1.
    yes(&[
        r#"Basic realm="simple", Newauth realm="apps", type=1, title="Login to \"apps\"""#,
        r#"Newauth realm="apps", type=1, title="Login to \"apps\"", Basic realm="simple""#,
    ]);
    // RFC 6750 §3.
    yes(&[
        r#"Bearer realm="example""#,
        r#"Bearer realm="example", error="invalid_token", error_description="The access token expired""#,
    ]);
    // RFC 9449 §7.1, the second of them as both schemes are offered.
    yes(&[
        r#"DPoP error="invalid_token", error_description="Invalid DPoP key binding", algs="ES256""#,
        r#"DPoP algs="ES256 PS256""#,
        r#"Bearer, DPoP algs="ES256 PS256""#,
    ]);
}

#[test]
fn a_bearer_challenge_may_name_another_reason() {
    no(&[
        r#"Bearer error="insufficient_scope""#,
        r#"Bearer error="invalid_request""#,
        r#"Bearer realm="example", error="insufficient_scope", scope="a b""#,
        "Bearer error=insufficient_scope",
    ]);
    yes(&["Bearer error=invalid_token", r#"Bearer error="invalid_token", scope="a, b""#]);
}

/// Whether another token would help, by everything that is said in the field.
#[test]
fn what_the_errors_say() {
    for scheme in ["Bearer", "DPoP", "bearer", "dpop"] {
        for (error, expected) in [
            // RFC 6750 §3.1.
            ("invalid_token", true),
            ("invalid_request", false),
            ("insufficient_scope", false),
            // RFC 9470 §3.
            ("insufficient_user_authentication", false),
            // RFC 9449 §7.1 and §9.
            ("use_dpop_nonce", false),
            ("invalid_dpop_proof", false),
            // Names of one's own for the same thing.
            ("token_expired", true),
            ("expired_token", true),
            ("unauthorized", true),
            ("", true),
            ("invalid_tokens", true),
            ("insufficient_scopes", true),
            ("insufficient", true),
            ("invalid_grant", true),
        ] {
            let line = format!("{scheme} realm=\"x\", error=\"{error}\"");
            assert_eq!(refreshes(&[&line]), expected, "{line}");
            // It has the last word, unless another one blames the token.
            let narrow = "Bearer error=\"insufficient_scope\"";
            assert_eq!(refreshes(&[&line, narrow]), expected, "{line}");
            assert_eq!(refreshes(&[narrow, &line]), expected, "{line}");
            assert_eq!(refreshes(&[&format!("{line}, {narrow}")]), expected, "{line}");
            // What other schemes say changes nothing.
            for other in ["Bearer", "DPoP algs=ES256", "Basic error=\"invalid_token\""] {
                assert_eq!(refreshes(&[&line, other]), expected, "{line}, {other}");
                assert_eq!(refreshes(&[other, &line]), expected, "{line}, {other}");
            }
        }
    }
}

#[test]
fn other_schemes_and_other_parameters_name_none() {
    yes(&[
        r#"Basic error="insufficient_scope""#,
        r#"MAC error="insufficient_scope""#,
        r#"Bearerish error="insufficient_scope""#,
        r#"Bearer error_description="insufficient_scope""#,
        r#"Bearer error_uri="error=insufficient_scope""#,
        r#"Bearer realm="x, error=insufficient_scope""#,
        r#"Bearer realm="x\", error=\"insufficient_scope""#,
        r#"Bearer realm="Bearer error=", scope="insufficient_scope""#,
        r#"Basic realm="Bearer error=insufficient_scope""#,
    ]);
}

#[test]
fn any_case_and_any_space() {
    no(&[
        r#"bearer ERROR="insufficient_scope""#,
        r#"BEARER Error="insufficient_scope""#,
        r#"  Bearer   error="insufficient_scope"  "#,
        "Bearer\terror\t=\t\"insufficient_scope\"\t,\t",
        r#",, ,Bearer ,, realm="x" ,, error = insufficient_scope,"#,
    ]);
    yes(&[r#"bEARER error="INVALID_TOKEN""#]);
}

#[test]
fn quoted_strings_with_escapes() {
    // A backslash takes the special meaning from whatever follows it, and is not part of it.
    no(&[
        r#"Bearer error="insufficient\_scope""#,
        r#"Bearer realm="a\\", error="insufficient_scope""#,
        r#"Bearer realm="a\",b=\"c", error="insufficient_scope""#,
        r#"Bearer realm="", error="insufficient_scope""#,
    ]);
    yes(&[r#"Bearer error="invalid\_\token""#]);
    // Bytes that are no ASCII.
    assert!(!refreshes(&[b"Bearer realm=\"caf\xe9\", error=\"insufficient_scope\""]));
    assert!(!refreshes(&["Bearer realm=\"日本\", error=\"insufficient_scope\""]));
}

#[test]
fn several_challenges_in_one_line() {
    no(&[
        r#"Basic realm="x", Bearer error="insufficient_scope""#,
        r#"Bearer error="insufficient_scope", Basic realm="x", error="invalid_token""#,
        r#"Negotiate, Bearer error="insufficient_scope""#,
        r#"Bearer error="insufficient_scope", Negotiate"#,
        r#"Bearer, Basic realm="x", Bearer error=insufficient_scope"#,
    ]);
    yes(&[
        r#"Basic realm="x", error="insufficient_scope", Bearer realm="y""#,
        r#"Bearer realm="y", Basic realm="x", error="insufficient_scope""#,
        // One that is about the token is enough.
        r#"Bearer error="insufficient_scope", Bearer error="invalid_token""#,
        r#"Bearer error="invalid_token", Bearer error="insufficient_scope""#,
    ]);
}

#[test]
fn several_challenges_in_many_lines() {
    let narrow = r#"Bearer error="insufficient_scope""#;
    let broad = r#"Bearer error="invalid_token""#;
    assert!(!refreshes(&[r#"Basic realm="x""#, narrow]));
    assert!(!refreshes(&[narrow, r#"Basic realm="x""#]));
    assert!(!refreshes(&[narrow, narrow, "Negotiate"]));
    assert!(refreshes(&[narrow, broad]));
    assert!(refreshes(&[broad, narrow]));
    // A malformed line means nothing, and takes nothing from the others.
    for malformed in ["error=invalid_token", r#"Bearer error="invalid_token"#, "\"", "Bearer =x"] {
        assert!(!refreshes(&[narrow, malformed]), "{malformed}");
        assert!(!refreshes(&[malformed, narrow]), "{malformed}");
    }
    // Each line has schemes of its own: this is no parameter of the first one's challenge.
    assert!(refreshes(&["Bearer", r#"error="insufficient_scope""#]));
    assert!(!refreshes(&[narrow, r#"error="invalid_token""#]));
}

#[test]
fn token68() {
    no(&[
        r#"Negotiate abc==, Bearer error="insufficient_scope""#,
        r#"Negotiate a+b/c-d._~, Bearer error="insufficient_scope""#,
        r#"Bearer error="insufficient_scope", Negotiate abc="#,
        r#"Negotiate abc== , Bearer error="insufficient_scope""#,
        // A token68 may look like a name.
        r#"NTLM error, Bearer error="insufficient_scope""#,
    ]);
    yes(&["Negotiate error=", "Bearer error=", "Bearer error==", "Bearer insufficient_scope"]);
}

/// What cannot be read means nothing: the 401 stands for itself.
#[test]
fn malformed_lines_mean_nothing() {
    yes(&[
        "error=invalid_token",
        "error=insufficient_scope",
        r#"error="insufficient_scope""#,
        r#"realm="x", Bearer error="insufficient_scope""#,
        r#"Bearer error="insufficient_scope"#,
        r#"Bearer error="insufficient_scope\"#,
        r#"Bearer error="insufficient_scope\""#,
        r#"Bearer realm="x, error="insufficient_scope""#,
        r#"Bearer error=insufficient_scope""#,
        r#"Bearer error="insufficient"_scope"#,
        r#"Bearer error="insufficient_scope" scope="a""#,
        "Bearer error insufficient_scope",
        "Bearer error=insufficient scope",
        "Bearer error==insufficient_scope",
        "Bearer: error=insufficient_scope",
        "Bearer; error=insufficient_scope",
        r#"{"error":"insufficient_scope"}"#,
        "= = =",
        "Bearer =",
        "Bearer ,=",
        r#"Bearer error='insufficient_scope'; x"#,
    ]);
}

/// Letters that the grammar knows, so that random strings get somewhere.
fn likely() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        prop::sample::select(vec![
            "Bearer",
            "bearer",
            "Basic",
            "error",
            "realm",
            "invalid_token",
            "insufficient_scope",
            " ",
            "\t",
            ",",
            "=",
            "==",
            "\"",
            "\\",
            "\\\"",
            ", ",
            "=\"",
            "\",",
            "~",
            "/",
            "\u{e9}",
        ])
        .prop_map(|part| part.as_bytes().to_vec()),
        any::<u8>().prop_map(|byte| vec![byte]),
    ];
    prop::collection::vec(part, 0..24).prop_map(|parts| parts.concat())
}

fn as_header(mut bytes: Vec<u8>) -> Vec<u8> {
    // What a header value cannot hold never gets here.
    bytes.retain(|byte| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f));
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(10_000)
    })]

    #[test]
    fn random_bytes_never_panic(
        likely in likely().prop_map(as_header),
        random in prop::collection::vec(any::<u8>(), 0..200).prop_map(as_header),
    ) {
        refreshes(&[&likely]);
        refreshes(&[&random]);
        // Nor do they change what another line says.
        let narrow = b"Bearer error=\"insufficient_scope\"".to_vec();
        if refreshes(&[&likely]) {
            let both = refreshes(&[&narrow, &likely]);
            prop_assert_eq!(both, refreshes(&[&likely, &narrow]));
        } else {
            prop_assert!(!refreshes(&[&likely, &narrow]));
        }
    }

    /// What is written by the grammar is read as it was meant.
    #[test]
    fn what_is_well_formed_is_understood(
        realm in "[ -~]{0,12}",
        other in "(Basic|Negotiate|DPoP|X)( [a-zA-Z0-9._~+/-]{1,8}={0,2})?",
        first in any::<bool>(),
        invalid in any::<bool>(),
        comma in "[ \t]{0,2},[ \t]{0,2}(,[ \t]{0,2})?",
    ) {
        let realm: String = realm
            .chars()
            .flat_map(|c| ('"' == c || '\\' == c).then_some('\\').into_iter().chain([c]))
            .collect();
        let error = if invalid { "invalid_token" } else { "insufficient_scope" };
        let bearer = format!("Bearer realm=\"{realm}\"{comma}error=\"{error}\"");
        let line =
            if first { format!("{bearer}{comma}{other}") } else { format!("{other}{comma}{bearer}") };
        prop_assert_eq!(refreshes(&[&line]), invalid, "{}", line);
    }
}
