//! What may be secret, from a configuration file. A parser says of a value of the wrong type what it
//! is, so numbers are taken and refused here.

use std::{fmt, marker::PhantomData};

use secrecy::{ExposeSecret, SecretString};
use serde::{
    Deserialize, Deserializer,
    de::{
        Error, IntoDeserializer, MapAccess, SeqAccess, Visitor,
        value::{MapAccessDeserializer, SeqAccessDeserializer},
    },
};

use super::secret::Secret;

macro_rules! not_numbers {
    () => {
        not_numbers!(
            visit_bool bool, visit_i64 i64, visit_i128 i128, visit_u64 u64, visit_u128 u128,
            visit_f64 f64, visit_char char
        );
    };
    ($($visit:ident $type:ty),*) => {$(
        fn $visit<E: Error>(self, _: $type) -> Result<Self::Value, E> {
            Err(E::custom("a secret is a text: put it in quotes"))
        }
    )*};
}

/// A text.
pub(super) struct Text(pub(super) SecretString);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Quoted;

        impl Visitor<'_> for Quoted {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.into()))
            }

            fn visit_string<E: Error>(self, text: String) -> Result<Text, E> {
                Ok(Text(text.into()))
            }

            not_numbers!();
        }

        deserializer.deserialize_any(Quoted)
    }
}

/// One value, or a list of them.
pub(super) struct Many<T>(Vec<T>);

impl<T> Default for Many<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Many<T> {
    pub(super) fn into_vec(self) -> Vec<T> {
        self.0
    }
}

// By hand as well: an untagged enum would keep numbers, and refuse them itself if they are long.
impl<'de, T: Deserialize<'de>> Deserialize<'de> for Many<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrList<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrList<T> {
            type Value = Many<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of texts")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Many<T>, E> {
                Ok(Many(vec![T::deserialize(text.into_deserializer())?]))
            }

            fn visit_string<E: Error>(self, text: String) -> Result<Many<T>, E> {
                Ok(Many(vec![T::deserialize(text.into_deserializer())?]))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Many<T>, A::Error> {
                Ok(Many(vec![T::deserialize(MapAccessDeserializer::new(map))?]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Many<T>, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(Many)
            }

            not_numbers!();
        }

        deserializer.deserialize_any(OneOrList(PhantomData))
    }
}

/// The secret itself as a text, or `{ env = "NAME" }`, or `{ file = "path" }`.
impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Place {
            env: Option<Text>,
            file: Option<Text>,
        }

        // By hand, because an untagged enum would say of a misspelt place only that nothing matched.
        struct AnyOf;

        impl<'de> Visitor<'de> for AnyOf {
            type Value = Secret;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a secret, { env = \"NAME\" } or { file = \"path\" }")
            }

            fn visit_str<E: Error>(self, secret: &str) -> Result<Secret, E> {
                Ok(secret.into())
            }

            fn visit_string<E: Error>(self, secret: String) -> Result<Secret, E> {
                Ok(secret.into())
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Secret, A::Error> {
                match Place::deserialize(MapAccessDeserializer::new(map))? {
                    Place { env: Some(Text(name)), file: None } => {
                        Ok(Secret::env(name.expose_secret()))
                    }
                    Place { env: None, file: Some(Text(path)) } => {
                        Ok(Secret::file(path.expose_secret()))
                    }
                    _ => Err(A::Error::custom("a secret has one place: `env` or `file`")),
                }
            }

            not_numbers!();
        }

        deserializer.deserialize_any(AnyOf)
    }
}
