//! Plain text and secrets from a configuration file.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer, de::Error};

use super::many::Many;
use crate::token_endpoint::{secret::Secret, value::Value};

/// Replaces a parser's error as a whole: it would show a value of the wrong type, and a secret
/// without its quotes may be one.
fn without_value<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    T::deserialize(from).map_err(|_| {
        D::Error::custom(
            "expected a string in quotes, { secret = \"..\" }, { env = \"NAME\" } or \
             { file = \"path\" }",
        )
    })
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Raw {
    Text(String),
    Place(Place),
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Place {
    Secret(String),
    Env(String),
    File(PathBuf),
}

/// A string is plain text; `{ secret = ".." }`, `{ env = "NAME" }` and `{ file = "path" }` are
/// secrets.
impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match without_value(deserializer)? {
            Raw::Text(text) => Self::Plain(text),
            Raw::Place(Place::Secret(secret)) => Secret::value(secret).into(),
            Raw::Place(Place::Env(name)) => Secret::env(name).into(),
            Raw::Place(Place::File(path)) => Secret::file(path).into(),
        })
    }
}

/// The secret itself as a string or as `{ secret = ".." }`; or `{ env = "NAME" }`, or
/// `{ file = "path" }`.
impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Value::deserialize(deserializer)? {
            Value::Plain(secret) => Self::value(secret),
            Value::Secret(secret) => secret,
        })
    }
}

/// One value or a list of them.
pub(super) struct Values(pub(super) Vec<Value>);

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        without_value(deserializer).map(|values: Many<_>| Self(values.into_vec()))
    }
}
