//! huskarl: an authorizer that makes headers and looks at responses.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use huskarl::{
    authorizer::HttpAuthorizer,
    cache::{GrantTokenSource, InMemoryRefreshTokenStore, InMemoryTokenCache},
    core::{
        Error,
        client_auth::ClientSecret,
        http::{HttpClient, HttpResponse, Idempotency},
        platform::MaybeSendBoxFuture,
        secrets::{ProvidedSecret, SecretString},
    },
    grant::client_credentials::{ClientCredentialsGrant, ClientCredentialsGrantParameters},
};
use tower::{BoxError, ServiceExt, service_fn};

use crate::{
    api::{Api, Request},
    issuer::Issuer,
};

/// Its whole chain, grant and circuit breaker included; only the HTTP client below is a mock.
///
/// Wrapper: it makes headers before the request and wants to see every response (`process_response`),
/// so that a filter will not do and a `service_fn` around both is the least. It does not send a
/// rejected request again: that part of the documented loop is the application's.
pub fn service(issuer: &Issuer, resource: impl Api) -> Result<impl Api, BoxError> {
    let grant = ClientCredentialsGrant::builder()
        .client_id("id")
        .client_auth(ClientSecret::new(ProvidedSecret::new(SecretString::from("secret"))))
        .token_endpoint("https://idp.example.com/token".parse()?)
        .http_client(Mock(issuer.clone()))
        .build();
    let source = GrantTokenSource::builder()
        .grant(grant)
        .grant_parameters(ClientCredentialsGrantParameters::builder().build())
        .refresh_store(InMemoryRefreshTokenStore::default())
        .build();
    let cache = InMemoryTokenCache::builder().source(source).build();
    let authorizer = Arc::new(HttpAuthorizer::builder().cache(cache).build());
    Ok(service_fn(move |mut request: Request| {
        let authorizer = authorizer.clone();
        let mut resource = resource.clone();
        async move {
            let uri = request.uri().clone();
            let headers = authorizer.get_headers(request.method(), &uri).await?;
            request.headers_mut().extend(headers);
            let response = resource.ready().await?.call(request).await?;
            authorizer.process_response(&uri, response.headers());
            Ok::<_, BoxError>(response)
        }
    }))
}

struct Mock(Issuer);

impl HttpClient for Mock {
    fn execute(
        &self,
        _: http::Request<Bytes>,
        _: Idempotency,
    ) -> MaybeSendBoxFuture<'_, Result<HttpResponse, Error>> {
        Box::pin(async {
            let (status, body) = self.0.response().await;
            Ok(HttpResponse { status, headers: HeaderMap::new(), body: body.into() })
        })
    }
}
