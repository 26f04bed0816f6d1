//! Where the client's secret comes from.

use std::{
    env, fmt,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind};

/// No secret is anywhere near it.
const LONGEST: u64 = 64 * 1024;

/// A client's secret, or where to find it; also a parameter's or a header's value.
///
/// An environment variable and a file are read again for every token, so that a rotated secret
/// needs no restart. `Debug` shows where it comes from, never what it is.
///
/// ```
/// use tower_oauth::token_endpoint::Secret;
///
/// let value: Secret = "gX1fBat3bV".into();
/// assert_eq!(format!("{value:?}"), "Secret::value(..)");
/// Secret::env("IDP_SECRET");
/// Secret::file("/run/secrets/idp");
/// ```
#[derive(Clone)]
pub struct Secret(Source);

#[derive(Clone)]
enum Source {
    Value(SecretString),
    Env(String),
    File(PathBuf),
}

impl Secret {
    /// The secret itself.
    pub fn value(secret: impl Into<String>) -> Self {
        Self(Source::Value(secret.into().into()))
    }

    /// The value of this environment variable.
    pub fn env(name: impl Into<String>) -> Self {
        Self(Source::Env(name.into()))
    }

    /// The content of this file, of 64 KiB at most, without a byte order mark at its begin and line
    /// breaks at its end.
    ///
    /// It is read where the fetch runs, which for the memory-backed files that orchestrators mount
    /// secrets as blocks nobody.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Source::File(path.into()))
    }

    /// The secret as it is now.
    pub(super) fn read(&self) -> Result<SecretString, Error> {
        let missing = |why: String, cause: Option<io::Error>| {
            let error = Error::new(ErrorKind::Fetcher).with_description(why);
            Err(match cause {
                Some(cause) => error.with_source(cause),
                None => error,
            })
        };
        match &self.0 {
            Source::Value(secret) => Ok(secret.clone()),
            Source::Env(name) => match env::var(name) {
                Ok(secret) if !secret.is_empty() => Ok(secret.into()),
                // The cause is not kept: it can hold the value.
                _ => missing(format!("the environment variable {name:?} holds no secret"), None),
            },
            Source::File(path) => match content(path) {
                Ok(text) => {
                    match text.trim_start_matches('\u{feff}').trim_end_matches(['\r', '\n']) {
                        "" => missing(format!("the file {path:?} holds no secret"), None),
                        secret => Ok(secret.into()),
                    }
                }
                Err(cause) => {
                    missing(format!("the secret's file {path:?} cannot be read"), Some(cause))
                }
            },
        }
    }

    /// The secret if it is known without looking anywhere, else something in its place.
    pub(super) fn peek(&self) -> SecretString {
        match &self.0 {
            Source::Value(secret) => secret.clone(),
            Source::Env(_) | Source::File(_) => "stand-in".into(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        match &self.0 {
            Source::Value(secret) => secret.expose_secret().is_empty(),
            Source::Env(name) => name.is_empty(),
            Source::File(path) => path.as_os_str().is_empty(),
        }
    }
}

fn content(path: &Path) -> io::Result<Zeroizing<String>> {
    // Asked before it is opened: a pipe would keep us waiting for whoever writes to it.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    let mut text = Zeroizing::new(String::with_capacity(4096));
    File::open(path)?.take(LONGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LONGEST {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is longer than 64 KiB"));
    }
    Ok(text)
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::Value(_) => f.write_str("Secret::value(..)"),
            Source::Env(name) => write!(f, "Secret::env({name:?})"),
            Source::File(path) => write!(f, "Secret::file({path:?})"),
        }
    }
}

impl From<&str> for Secret {
    fn from(secret: &str) -> Self {
        Self::value(secret)
    }
}

impl From<String> for Secret {
    fn from(secret: String) -> Self {
        Self::value(secret)
    }
}

impl From<&String> for Secret {
    fn from(secret: &String) -> Self {
        Self::value(secret)
    }
}
