//! The header that a token goes into.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{AUTHORIZATION, MaxSizeReached, PROXY_AUTHORIZATION},
};

/// The name of the header: `None` is `Authorization`, since a name that is known when this is compiled
/// costs 58 instructions less for each request.
#[derive(Clone, Default)]
pub(crate) struct TokenHeader(Option<HeaderName>);

impl TokenHeader {
    pub(crate) fn new(name: HeaderName) -> Self {
        Self(Some(name).filter(|name| name != AUTHORIZATION))
    }

    pub(crate) fn name(&self) -> &HeaderName {
        static USUAL: HeaderName = AUTHORIZATION;
        self.0.as_ref().unwrap_or(&USUAL)
    }

    #[cold]
    pub(crate) fn is_for_proxy(&self) -> bool {
        self.name() == PROXY_AUTHORIZATION
    }

    #[cold]
    pub(crate) fn is_in(&self, headers: &HeaderMap) -> bool {
        headers.contains_key(self.name())
    }

    /// Puts a token in, and says whether there is one of these headers already.
    #[inline(always)]
    pub(crate) fn append(
        &self,
        headers: &mut HeaderMap,
        value: HeaderValue,
    ) -> Result<bool, MaxSizeReached> {
        match &self.0 {
            None => headers.try_append(AUTHORIZATION, value),
            Some(name) => headers.try_append(name, value),
        }
    }

    /// Takes the last value out, and leaves everything else as and where it was.
    #[cold]
    pub(crate) fn remove_last(&self, headers: &mut HeaderMap) {
        let name = self.name();
        let values: Vec<_> = headers.get_all(name).iter().cloned().collect();
        let [first, others @ .., _] = &values[..] else { return };
        headers.insert(name, first.clone());
        for value in others {
            headers.append(name, value.clone());
        }
    }
}
