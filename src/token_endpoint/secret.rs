//! A secret, and where it comes from.

use std::{
    env, fmt,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind};

/// Far more than any secret needs.
const LONGEST: u64 = 64 * 1024;

/// A secret, or where to find it: the client's own, or the value of an id, a parameter or a header.
///
/// An environment variable and a file are read again for every token, so a rotated secret needs no
/// restart. `Debug` shows where a secret comes from, never what it is, and no error repeats a server's
/// text that contains it.
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

    /// The value of this environment variable, without line breaks at its end.
    pub fn env(name: impl Into<String>) -> Self {
        Self(Source::Env(name.into()))
    }

    /// The content of this file, without a byte order mark at its start and line breaks at its end.
    /// It must be a regular file of at most 64 KiB.
    ///
    /// It is read on tokio's threads for blocking work, so a slow disk or network mount does not
    /// hold up the requests of others.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Source::File(path.into()))
    }

    /// The secret as it is now.
    pub(super) fn read(&self) -> Result<SecretString, Error> {
        let (kind, empty, text) = match &self.0 {
            Source::Value(secret) => return Ok(secret.clone()),
            Source::Env(name) => {
                // The cause is not kept: it can hold the value.
                let text = Zeroizing::new(env::var(name).unwrap_or_default());
                // Nobody sets it while the program runs. A file may come yet.
                let empty = format!("the environment variable {name:?} is empty or not set");
                (ErrorKind::Config, empty, text)
            }
            Source::File(path) => {
                let text = content(path).map_err(|cause| {
                    Error::new(ErrorKind::Fetcher)
                        .with_description(format!("the secret file {path:?} cannot be read"))
                        .with_source(cause)
                })?;
                (ErrorKind::Fetcher, format!("the secret file {path:?} is empty"), text)
            }
        };
        match text.trim_start_matches('\u{feff}').trim_end_matches(['\r', '\n']) {
            "" => Err(Error::new(kind).with_description(empty)),
            secret => Ok(secret.into()),
        }
    }

    /// The secret if it is known without looking anywhere, else something in its place; nothing if
    /// there is nowhere to look.
    pub(super) fn stand_in(&self) -> Result<SecretString, Error> {
        let nowhere = match &self.0 {
            Source::Value(secret) => return Ok(secret.clone()),
            Source::Env(name) => name.is_empty(),
            Source::File(path) => path.as_os_str().is_empty(),
        };
        Ok(if nowhere { SecretString::default() } else { "stand-in".into() })
    }

    pub(super) fn is_file(&self) -> bool {
        matches!(self.0, Source::File(_))
    }
}

fn content(path: &Path) -> io::Result<Zeroizing<String>> {
    // Asked before it is opened: a pipe would keep us waiting for whoever writes to it.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
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

impl<T: Into<String>> From<T> for Secret {
    fn from(secret: T) -> Self {
        Self::value(secret)
    }
}
