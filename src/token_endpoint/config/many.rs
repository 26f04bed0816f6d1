//! Lists that may be written as the one thing in them.

use serde::Deserialize;

/// One, or a list.
#[derive(Default, Deserialize)]
#[serde(untagged, expecting = "expected a string or a list of strings")]
pub(super) enum Many<T> {
    #[default]
    #[serde(skip_deserializing)]
    None,
    One(T),
    List(Vec<T>),
}

impl<T> Many<T> {
    pub(super) fn into_vec(self) -> Vec<T> {
        match self {
            Self::None => Vec::new(),
            Self::One(one) => vec![one],
            Self::List(list) => list,
        }
    }
}
