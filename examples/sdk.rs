//! How does an SDK offer several ways to authenticate without a type parameter for each? Needs no
//! arguments and no network: `cargo run --example sdk`
//!
//! The client of this SDK is one type, whether its token is supplied, fetched by the SDK, fetched by the
//! user's own code, or not needed, and whatever HTTP client is underneath.

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tower::{BoxError, Layer, ServiceExt, util::BoxCloneSyncService};
use tower_oauth::{
    Error, FetchToken, OAuthLayer, Token, TokenCache, TokenEndpoint, fetch_fn, future::HttpService,
    testing::AuthorizationServer, token_endpoint::Secret,
};

const API: &str = "https://api.example.com";
const TOKEN_URL: &str = "https://api.example.com/token";

/// Clones share connections and the token. It is `Sync`, so it can be in an `Arc` or a server's state.
#[derive(Clone)]
pub struct Client {
    http: BoxCloneSyncService<Request<Full<Bytes>>, Response<Bytes>, BoxError>,
}

/// How a client authenticates.
pub struct Auth(Option<TokenCache>);

impl Auth {
    /// Not at all.
    pub fn none() -> Self {
        Self(None)
    }

    /// With this token, which never changes.
    pub fn token(token: impl AsRef<str>) -> Self {
        Self(Some(TokenCache::fixed(Token::bearer(token))))
    }

    /// With tokens that something else fetches.
    pub fn fetcher(fetcher: impl FetchToken) -> Self {
        Self(Some(TokenCache::new(fetcher)))
    }

    /// As this client of the API, over this HTTP client.
    pub fn client<C>(id: &str, secret: impl Into<Secret>, http: C) -> Result<Self, Error>
    where
        C: HttpService<Full<Bytes>, ResponseBody: Body<Data: Send, Error: Into<BoxError>>>,
        C: HttpService<Full<Bytes>, Future: 'static>,
    {
        let endpoint = TokenEndpoint::builder(TOKEN_URL).client_id(id).client_secret(secret);
        Ok(Self::fetcher(endpoint.build_with(http)?))
    }
}

impl Client {
    pub fn new<C>(auth: Auth, http: C) -> Result<Self, Error>
    where
        C: HttpService<Full<Bytes>, ResponseBody: Body<Data: Send, Error: Into<BoxError>>>,
        C: HttpService<Full<Bytes>, Future: 'static> + Sync,
    {
        let whole = |response: Response<C::ResponseBody>| async {
            let (head, body) = response.into_parts();
            let body = body.collect().await.map_err(Into::into)?;
            Ok::<_, BoxError>(Response::from_parts(head, body.to_bytes()))
        };
        let http = match auth.0 {
            None => BoxCloneSyncService::new(http.map_err(Into::into).and_then(whole)),
            Some(tokens) => {
                let layer = OAuthLayer::with_source(tokens).origin(API)?;
                BoxCloneSyncService::new(layer.layer(http).and_then(whole))
            }
        };
        Ok(Self { http })
    }

    pub async fn invoices(&self) -> Result<StatusCode, BoxError> {
        let request = Request::get(format!("{API}/invoices")).body(Full::default())?;
        Ok(self.http.clone().oneshot(request).await?.status())
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    // It is the API, its token endpoint, and the HTTP client of all three.
    let server = AuthorizationServer::new();
    let given = server.issue();
    let own = fetch_fn({
        // What a fetcher needs it captures; each fetch gets a clone.
        let server = server.clone();
        move |_request| {
            let server = server.clone();
            async move { Ok::<_, BoxError>(server.issue()) }
        }
    });
    let ways = [
        ("no token", Auth::none(), StatusCode::UNAUTHORIZED),
        ("a given token", Auth::token(given.expose_secret()), StatusCode::OK),
        ("a fetcher", Auth::fetcher(own), StatusCode::OK),
        ("a client", Auth::client("client", "secret", server.clone())?, StatusCode::OK),
    ];
    for (name, auth, expected) in ways {
        let status = Client::new(auth, server.clone())?.invoices().await?;
        println!("{name}: {status}");
        if status != expected {
            return Err(format!("{name} should have got {expected}").into());
        }
    }
    Ok(())
}
