//! aws-smithy-runtime: its lazy identity cache with bearer tokens.

use std::{sync::Arc, time::SystemTime};

use aws_smithy_async::{rt::sleep::TokioSleep, time::SystemTimeSource};
use aws_smithy_runtime::client::{
    auth::http::BearerAuthScheme, identity::IdentityCache,
    orchestrator::endpoints::StaticUriEndpointResolver, retries::strategy::NeverRetryStrategy,
};
use aws_smithy_runtime_api::client::{
    auth::{http::HTTP_BEARER_AUTH_SCHEME_ID, static_resolver::StaticAuthSchemeOptionResolver},
    identity::{
        Identity, IdentityFuture, ResolveCachedIdentity, ResolveIdentity, SharedIdentityResolver,
        http::Token,
    },
    runtime_components::{GetIdentityResolver, RuntimeComponents},
};
use aws_smithy_types::config_bag::ConfigBag;
use http::{HeaderValue, header::AUTHORIZATION};
use tower::{BoxError, Layer, filter::AsyncFilterLayer};

use crate::{
    api::{Api, Request},
    issuer::{Issuer, LIFETIME},
};

/// Wrapper: an identity is resolved by an async fn, so that a tower stack needs an `AsyncFilter`.
///
/// Less is done than a generated client does: the resolver is looked up once, the config bag is
/// shared, and the header is put in as `BearerAuthScheme`'s signer does it but without turning the
/// request into smithy's own and back.
pub fn service(issuer: &Issuer, resource: impl Api) -> Result<impl Api, BoxError> {
    let tokens = Arc::new(Tokens::new(issuer)?);
    let layer = AsyncFilterLayer::new(move |mut request: Request| {
        let tokens = tokens.clone();
        async move {
            let identity = tokens.resolve().await?;
            let token = identity.data::<Token>().ok_or("not a token")?;
            let value = HeaderValue::from_str(&format!("Bearer {}", token.token()))?;
            request.headers_mut().insert(AUTHORIZATION, value);
            Ok::<_, BoxError>(request)
        }
    });
    Ok(layer.layer(resource))
}

struct Tokens {
    components: RuntimeComponents,
    resolver: SharedIdentityResolver,
    config: ConfigBag,
}

impl Tokens {
    fn new(issuer: &Issuer) -> Result<Self, BoxError> {
        let scheme = HTTP_BEARER_AUTH_SCHEME_ID;
        // Only the cache, the clock, the timer and the resolver are used; the rest has to be there.
        let components = RuntimeComponents::builder("peers")
            .with_identity_cache(Some(IdentityCache::lazy().build()))
            .with_time_source(Some(SystemTimeSource::new()))
            .with_sleep_impl(Some(TokioSleep::new()))
            .with_identity_resolver(scheme.clone(), Resolver(issuer.clone()))
            .with_auth_scheme(BearerAuthScheme::new())
            .with_auth_scheme_option_resolver(Some(StaticAuthSchemeOptionResolver::new(vec![
                scheme.clone(),
            ])))
            .with_endpoint_resolver(Some(StaticUriEndpointResolver::uri("https://api.example.com")))
            .with_retry_strategy(Some(NeverRetryStrategy::new()))
            .build()?;
        let resolver = components.identity_resolver(scheme).ok_or("no resolver")?;
        Ok(Self { components, resolver, config: ConfigBag::base() })
    }

    async fn resolve(&self) -> Result<Identity, BoxError> {
        let cache = self.components.identity_cache();
        cache.resolve_cached_identity(self.resolver.clone(), &self.components, &self.config).await
    }
}

#[derive(Debug)]
struct Resolver(Issuer);

impl ResolveIdentity for Resolver {
    fn resolve_identity<'a>(
        &'a self,
        _: &'a RuntimeComponents,
        _: &'a ConfigBag,
    ) -> IdentityFuture<'a> {
        IdentityFuture::new(async {
            let secret = self.0.issue().await?;
            Ok(Token::new(secret, Some(SystemTime::now() + LIFETIME)).into())
        })
    }
}
