//! The bootstrap token with which kubelets ask for their first certificate. It has an expiry, always.
//!
//! Format as Kubernetes wants it: `[a-z0-9]{6}.[a-z0-9]{16}`; the first part is public, the second is the secret.

use std::fmt;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::error::{Error, IoContext, Result};

const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
const ID: usize = 6;
const SECRET: usize = 16;

/// A bootstrap token. `Debug` shows the public part only.
#[derive(Clone, PartialEq, Eq)]
pub struct BootstrapToken {
    text: String,
    expires: OffsetDateTime,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    token: String,
    expires: String,
}

impl BootstrapToken {
    /// Makes a token from secure random bytes.
    pub fn generate(random: &mut dyn Read, expires: OffsetDateTime) -> std::io::Result<Self> {
        let mut text = String::new();
        while text.len() < ID + 1 + SECRET {
            if text.len() == ID {
                text.push('.');
                continue;
            }
            let mut byte = [0];
            random.read_exact(&mut byte)?;
            // 252 = 7 x 36: bytes above would make some letters likelier than others.
            if byte[0] < 252 {
                text.push(char::from(ALPHABET[usize::from(byte[0]) % ALPHABET.len()]));
            }
        }
        let expires = expires - time::Duration::nanoseconds(i64::from(expires.nanosecond()));
        Ok(Self { text, expires })
    }

    /// The public part.
    pub fn id(&self) -> &str {
        &self.text[..ID]
    }

    /// The whole token: for the kubeconfig and the Secret, never for messages.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// When it ends.
    pub fn expires(&self) -> OffsetDateTime {
        self.expires
    }

    /// The token as it is stored.
    pub(super) fn to_toml(&self) -> Result<String> {
        let expires = self
            .expires
            .format(&Rfc3339)
            .map_err(|error| Error::internal("writing a time failed").because(error))?;
        toml::to_string(&Stored { token: self.text.clone(), expires })
            .map_err(|error| Error::internal("writing the bootstrap token failed").because(error))
    }

    /// Reads a stored token. The error quotes nothing of the file.
    pub(super) fn from_toml(text: &str, path: &Path) -> Result<Self> {
        let wrong = |why: &str| {
            Error::input(format!("{} cannot be used: {why}", path.display()))
                .hint("restore it from a backup, or move it away: kiln then makes a new token")
        };
        let stored: Stored =
            toml::from_str(text).map_err(|_| wrong("it does not hold `token` and `expires`"))?;
        let good = |part: &str, len| part.len() == len && part.bytes().all(|b| ALPHABET.contains(&b));
        match stored.token.split_once('.') {
            Some((id, secret)) if good(id, ID) && good(secret, SECRET) => {}
            _ => return Err(wrong("the token is not of the form [a-z0-9]{6}.[a-z0-9]{16}")),
        }
        let expires = OffsetDateTime::parse(&stored.expires, &Rfc3339)
            .map_err(|_| wrong("`expires` is no time as RFC 3339 writes it"))?;
        Ok(Self { text: stored.token, expires })
    }
}

impl fmt::Debug for BootstrapToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BootstrapToken({}.hidden until {})", self.id(), self.expires)
    }
}

/// The kernel's random numbers. Read as a file, so that it works on kernels before getrandom(2), too.
pub(super) fn kernel_random() -> Result<std::fs::File> {
    let path = Path::new("/dev/urandom");
    std::fs::File::open(path).at("opening", path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_have_the_form_kubernetes_wants_and_no_bias() {
        let expires = OffsetDateTime::UNIX_EPOCH;
        // Bytes of 252 and above are passed over.
        let bytes = [255_u8, 0, 251, 252, 35, 36, 1, 2].repeat(20);
        let token = BootstrapToken::generate(&mut &bytes[..], expires).unwrap();
        assert_eq!(token.expose(), "a99abc.a99abca99abca99a");
        let again = BootstrapToken::from_toml(&token.to_toml().unwrap(), Path::new("t")).unwrap();
        assert_eq!(again, token);
        assert!(!format!("{token:?}").contains("a99abca99"), "{token:?}");
    }

    #[test]
    fn a_damaged_token_is_refused_without_being_shown() {
        for bad in ["", "token = 'secret-secret'\nexpires = '2027-01-01T00:00:00Z'", "token = 'a'"] {
            let error = BootstrapToken::from_toml(bad, Path::new("t")).unwrap_err();
            assert!(!error.to_string().contains("secret-secret"), "{error}");
        }
    }
}
