//! What the server knows: one lock's worth.

use std::{collections::HashMap, time::Duration};

use http::{HeaderMap, HeaderName, Response, header::AUTHORIZATION};

use super::{
    Body, Fetcher, ResponseTemplate,
    endpoint::Script,
    issuer::Issuer,
    resource::{self, Presented},
    response_template::Kind,
};
use crate::TokenRequest;

#[derive(Default)]
pub(super) struct State {
    /// By their ids; those without a secret have none.
    pub(super) clients: HashMap<String, Option<String>>,
    pub(super) issuer: Issuer,
    pub(super) fetches: Vec<TokenRequest>,

    pub(super) token_path: String,
    pub(super) token_endpoint: Script,
    pub(super) token_requests: u64,
    pub(super) under_way: u64,
    pub(super) most_under_way: u64,

    /// Where the resource looks for a token, if that is not `Authorization`.
    pub(super) header: Option<HeaderName>,
    pub(super) resource: Script,
    pub(super) reject_next: u64,
    /// Zero: none is.
    pub(super) reject_every: u64,
    pub(super) rejection: ResponseTemplate,
    pub(super) rejected_requests: u64,
    /// One for each request to the resource.
    pub(super) authorizations: Vec<String>,
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            clients: HashMap::from([(Fetcher::CLIENT.to_owned(), Some("secret".to_owned()))]),
            issuer: Issuer::new(Duration::from_secs(60 * 60)),
            token_path: "/token".to_owned(),
            ..Self::default()
        }
    }

    pub(super) fn knows(&self, id: &str, secret: Option<&str>) -> bool {
        self.clients.get(id).is_some_and(|known| known.as_deref() == secret)
    }

    pub(super) fn resource_requests(&self) -> u64 {
        self.authorizations.len() as u64
    }

    /// What a token request is responded with; `Usual` is still to be worked out. The request is
    /// under way until the caller says otherwise.
    pub(super) fn token_request(&mut self) -> ResponseTemplate {
        self.token_requests += 1;
        self.under_way += 1;
        self.most_under_way = self.most_under_way.max(self.under_way);
        self.token_endpoint.take().later(self.token_endpoint.delay)
    }

    /// What a request to the resource is responded with; `Usual` means that it is served.
    pub(super) fn resource_request(&mut self, headers: &HeaderMap) -> ResponseTemplate {
        let name = self.header.clone().unwrap_or(AUTHORIZATION);
        self.authorizations.push(resource::authorization(headers, &name));
        self.judge(&resource::presented(headers, &name)).later(self.resource.delay)
    }

    fn judge(&mut self, presented: &Presented<'_>) -> ResponseTemplate {
        if self.reject_next > 0 {
            self.reject_next -= 1;
            return self.reject();
        }
        if self.resource_requests().checked_rem(self.reject_every) == Some(0) {
            return self.reject();
        }
        let template = self.resource.take();
        let Kind::Usual = template.kind else {
            return template;
        };
        let refusal = match presented {
            Presented::Secret(secret) if self.issuer.is_alive(secret) => return template,
            Presented::Secret(_) => self.reject(),
            Presented::Nothing => self.refuse(resource::no_token()),
            Presented::Malformed => self.refuse(resource::invalid_request()),
        };
        refusal.later(template.after)
    }

    fn reject(&mut self) -> ResponseTemplate {
        let template = match &self.rejection {
            ResponseTemplate { kind: Kind::Usual, after } => {
                ResponseTemplate::response(resource::invalid_token()).after(*after)
            }
            other => other.clone(),
        };
        self.rejected_requests += 1;
        template
    }

    fn refuse(&mut self, response: Response<Body>) -> ResponseTemplate {
        self.rejected_requests += 1;
        ResponseTemplate::response(response)
    }
}
