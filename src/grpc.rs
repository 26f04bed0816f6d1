//! Errors of this crate as gRPC responses.

use std::fmt::Write as _;

use http::{
    HeaderValue, Response, Version,
    header::{CONTENT_TYPE, HeaderName},
};

use crate::error::{BoxError, Error, ErrorKind};

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

// gRPC status codes.
const DEADLINE_EXCEEDED: u16 = 4;
const INTERNAL: u16 = 13;
const UNAVAILABLE: u16 = 14;
const UNAUTHENTICATED: u16 = 16;

/// Turns an error of this crate into the gRPC status with the same meaning, for
/// `ServiceBuilder::map_result` around an [`OAuthLayer`](crate::OAuthLayer).
///
/// Without this function a gRPC client reports a transport error, usually UNKNOWN. With it the client
/// reports what happened to its credentials:
///
/// | what happened | status |
/// |---|---|
/// | the call's [deadline](ErrorKind::DeadlineExceeded) passed while it waited for a token | 4 DEADLINE_EXCEEDED |
/// | any other [transient](Error::is_transient) error: the same call may succeed later | 14 UNAVAILABLE |
/// | the authorization server [refused](ErrorKind::Denied), a [rejected](ErrorKind::Rejected) token cannot be replaced because of that, or the token would have gone over plain HTTP ([`InsecureOrigin`](ErrorKind::InsecureOrigin)) | 16 UNAUTHENTICATED |
/// | all other kinds: the program must be changed | 13 INTERNAL |
///
/// The response is trailers-only. Its message is the error's own, which holds no secret.
/// Responses, and errors of other crates, pass through unchanged.
///
/// ```
/// use http::Request;
/// use tonic::{body::Body, transport::Channel};
/// use tower::{BoxError, ServiceBuilder};
/// use tower_oauth::{
///     OAuthLayer, Token, fetch_fn, grpc_status,
///     replay::{Buffered, BufferedBody},
/// };
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// # let fetcher = fetch_fn(|_| async { Ok::<_, BoxError>(Token::bearer("abc")) });
/// # let channel = Channel::from_static("https://api.example.com").connect_lazy();
/// let layer = OAuthLayer::new(fetcher)
///     .origin("https://api.example.com")?
///     .replay(Buffered::new(64 * 1024));
/// let channel = ServiceBuilder::new()
///     .map_result(grpc_status)
///     .layer(layer)
///     .map_request(|request: Request<BufferedBody<Body>>| request.map(Body::new))
///     .service(channel);
/// let mut client = tonic::client::Grpc::new(channel);
/// client.ready().await?;
/// # Ok(())
/// # }
/// ```
///
/// To name the type of such a channel, box it with an error type that is not itself a box:
/// `BoxCloneSyncService<Request<Body>, Response<Body>, Status>`, with `map_err(Status::from_error)` above
/// `map_result`. With a boxed error rustc does not see that its futures are `Send`. If nothing is
/// replayed, and errors need not be statuses, `OAuthService<Channel, TokenCache, Never>` is its type.
///
/// A generated client makes requests without a host unless it is built with `with_origin(channel, uri)`.
/// Without a host neither [`origin`](crate::OAuthLayer::origin) nor the rule against plain HTTP can apply:
/// the token goes wherever the channel leads.
///
/// # Deadlines
///
/// A call with a `grpc-timeout`, as `tonic::Request::set_timeout` sets it, waits for a token no longer
/// than that, and is then sent with the time that is left. This happens with or without this function.
/// A deadline that passes after that is up to tonic, which reports CANCELLED.
///
/// # What is sent again
///
/// A server that rejects a token sends UNAUTHENTICATED before anything else. The layer sees that for
/// every kind of call and has the token refreshed. With [`Buffered`](crate::replay::Buffered) the call
/// is also sent again, and so is a client stream, as long as the part already sent is within the limit.
/// The default, [`IfEmpty`](crate::replay::IfEmpty), replays no gRPC call, since every one has a body.
///
/// Once a server has begun to respond, nothing can be sent again. A server stream or a bidirectional
/// stream may end with UNAUTHENTICATED after its first messages, because its token expired or was
/// revoked in the meantime. The layer does not see that, since the status is in the trailers: the caller
/// gets it, has to open another stream, and has to know what to repeat. If the token is still rejected
/// then, the layer sees that at the start of the new stream.
///
/// # Without the layer
///
/// A client that takes only an `Interceptor` gets its header from
/// [`try_authorization`](crate::TokenCache::try_authorization), which neither waits nor learns of
/// rejections. Your own code can do both, with a lease:
///
/// ```
/// use http::HeaderValue;
/// use tonic::{Code, Request, Response, Status};
/// use tower_oauth::{Error, TokenCache};
///
/// # async fn send(request: Request<()>) -> Result<Response<()>, Status> {
/// #     match request.metadata().get("authorization").unwrap().as_bytes() {
/// #         b"Bearer 1" => Err(Status::unauthenticated("")),
/// #         _ => Ok(Response::new(())),
/// #     }
/// # }
/// async fn call(tokens: &TokenCache) -> Result<Response<()>, Status> {
///     let failed = |error: Error| match error.is_transient() {
///         true => Status::unavailable(error.to_string()),
///         false => Status::unauthenticated(error.to_string()),
///     };
///     let lease = tokens.lease().await.map_err(failed)?;
///     match send(with(lease.header_value())?).await {
///         Err(status) if status.code() == Code::Unauthenticated => match lease.reject().await {
///             Ok(Some(another)) => send(with(another.header_value())?).await,
///             _ => Err(status),
///         },
///         done => done,
///     }
/// }
///
/// fn with(token: HeaderValue) -> Result<Request<()>, Status> {
///     let mut request = Request::new(());
///     let value = token.as_bytes().try_into();
///     let value = value.map_err(|_| Status::internal("no metadata can carry the token"))?;
///     request.metadata_mut().insert("authorization", value);
///     Ok(request)
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// #     let number = std::sync::atomic::AtomicU32::new(1);
/// #     let token = move || number.fetch_add(1, std::sync::atomic::Ordering::SeqCst).to_string();
/// #     let token = std::sync::Arc::new(token);
/// #     let fetcher = tower_oauth::fetch_fn(move |_| {
/// #         let token = token();
/// #         async { Ok::<_, Error>(tower_oauth::Token::bearer(token)) }
/// #     });
/// #     call(&TokenCache::new(fetcher)).await.unwrap();
/// # }
/// ```
#[allow(clippy::missing_errors_doc)] // said above
pub fn grpc_status<B: Default>(
    result: Result<Response<B>, BoxError>,
) -> Result<Response<B>, BoxError> {
    result.or_else(|error| Error::find(&*error).map(response).ok_or(error))
}

fn response<B: Default>(error: &Error) -> Response<B> {
    let mut response = Response::new(B::default());
    *response.version_mut() = Version::HTTP_2;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(GRPC_STATUS, HeaderValue::from(code(error)));
    if let Ok(message) = HeaderValue::try_from(percent_encoded(&error.to_string())) {
        headers.insert(GRPC_MESSAGE, message);
    }
    response
}

fn code(error: &Error) -> u16 {
    match error.kind() {
        ErrorKind::DeadlineExceeded => DEADLINE_EXCEEDED,
        _ if error.is_transient() => UNAVAILABLE,
        // gRPC itself reports this for credentials on a channel that is not secure.
        ErrorKind::Denied | ErrorKind::InsecureOrigin | ErrorKind::Rejected => UNAUTHENTICATED,
        _ => INTERNAL,
    }
}

/// The message as gRPC sends it: bytes outside printable ASCII, and the percent sign, are encoded.
fn percent_encoded(message: &str) -> String {
    let mut encoded = String::with_capacity(message.len());
    for byte in message.bytes() {
        match byte {
            b'%' | ..b' ' | 0x7f.. => {
                let _ = write!(encoded, "%{byte:02X}");
            }
            _ => encoded.push(byte.into()),
        }
    }
    encoded
}
