//! What an error response says: a code, and words.

use bytes::Bytes;
use http::{Response, StatusCode, header};

use super::{
    code::{is_code, is_failure, is_success, letters, normalise, same},
    field::{Places, ResponseField},
    fields::{Fields, ResponseFormat},
    members::{Member, is_page, members},
};
use crate::error::ErrorKind;

/// Where servers have a code, most telling first: RFC 6749 §5.2, and customs. From a title, which is
/// prose, only a standard code is taken.
const CODES: &str =
    "error errorcode errcode errno code faultcode fault errortype name type status title";

/// Where they have words: RFC 6749 §5.2, RFC 9457 §3.1, and customs.
const WORDS: &str = "errordescription detail errorsummary errormessage errormsg errmsg message msg \
                     description faultstring reason title error fault";

/// Where they say that all is well.
const OUTCOMES: &str = "error errorcode errcode errno code message msg";

/// Everything in a response that may say why there is no token.
pub(super) struct Said<'a> {
    text: &'a str,
    members: Vec<Member>,
    is_html: bool,
}

impl<'a> Said<'a> {
    pub(super) fn of(response: &Response<Bytes>, text: &'a str, places: &Places) -> Self {
        let mut members = members(text);
        let fields = [ResponseFormat::Json, ResponseFormat::Form]
            .into_iter()
            .find_map(|format| Fields::of(text, format));
        // What the settings name goes first, under the standard's name.
        for (field, name) in
            [(ResponseField::Error, "error"), (ResponseField::ErrorDescription, "errordescription")]
        {
            let text = places.0.get(&field).and_then(|place| fields.as_ref()?.text(place));
            let own = text.map(|text| Member { name: name.to_owned(), text, is_of_error: true });
            members.splice(0..0, own);
        }
        Self { text, members, is_html: is_html(response, text) }
    }

    /// Whether a response without a token is an error, in spite of its good status.
    pub(super) fn is_error(&self) -> bool {
        let all_is_well = self.named(OUTCOMES).any(|member| is_success(&member.text));
        let speaks = |member: &Member| {
            member.is_of_error || member.name == "code" || is_failure(&member.text)
        };
        self.standard_code(StatusCode::OK).is_some()
            || (!all_is_well && self.members.iter().any(speaks))
    }

    /// The code, in its standard spelling if it has one, and what that means.
    pub(super) fn code(&self, status: StatusCode) -> Option<(String, Option<ErrorKind>)> {
        if let Some((code, kind)) = self.standard_code(status) {
            return Some((code.to_owned(), Some(kind)));
        }
        let mut codes = self.named(CODES).filter(|member| member.name != "title");
        let code = &codes.find(|member| is_code(&member.text, status))?.text;
        // So WeChat and others say that they are busy.
        let kind = (**code == "-1").then_some(ErrorKind::Unavailable);
        Some((code.to_string(), kind))
    }

    /// What the server says in words, beyond its code.
    pub(super) fn words(&self, code: Option<&str>) -> Option<&str> {
        let says_more = |text: &&str| {
            !text.is_empty() && !is_failure(text) && !code.is_some_and(|code| same(text, code))
        };
        let known = self.named(WORDS).map(|member| &**member.text).find(says_more);
        known.or_else(|| self.prose().filter(says_more))
    }

    /// Whether the error is the token endpoint's, and not that of a gateway that has no such page.
    pub(super) fn is_of_endpoint(&self, status: StatusCode) -> bool {
        let reason = letters(status.canonical_reason().unwrap_or_default());
        let is_own = |text: &str| letters(text) != reason && text != status.as_str();
        self.members.iter().any(|member| member.is_of_error && is_own(&member.text))
    }

    /// Whether it is a page for people, without anything in a known place.
    pub(super) fn is_page(&self, status: StatusCode) -> bool {
        self.is_html && self.code(status).is_none() && self.words(None).is_none()
    }

    fn prose(&self) -> Option<&str> {
        let is_for_machines = self.text.starts_with(['{', '[', '<']);
        (!is_for_machines && !self.is_html).then_some(self.text)
    }

    fn standard_code(&self, status: StatusCode) -> Option<(&'static str, ErrorKind)> {
        let texts = self.named(CODES).map(|member| &**member.text);
        texts.chain(self.prose()).find_map(|text| normalise(text, status))
    }

    fn named(&self, names: &'static str) -> impl Iterator<Item = &Member> {
        let of = |name: &'static str| self.members.iter().filter(move |of| of.name == name);
        names.split(' ').flat_map(of)
    }
}

/// Whether a response claims to be a page or looks like one.
pub(super) fn is_html(response: &Response<Bytes>, text: &str) -> bool {
    let declared = response.headers().get(header::CONTENT_TYPE).is_some_and(|value| {
        value.to_str().is_ok_and(|value| value.to_ascii_lowercase().contains("html"))
    });
    let is_xml = text.starts_with("<?xml") && !is_page(text);
    (declared || text.starts_with('<')) && !is_xml
}
