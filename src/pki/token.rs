//! The bootstrap tokens with which kubelets ask for their first certificate. They have an expiry, always.
//!
//! One token is kept in `pki/` and reaches no medium. From it each node and each worker pool gets one of its own (HMAC-SHA256,
//! RFC 2104), so that who holds it is known by it and a build can be repeated.
//!
//! Format as Kubernetes wants it: `[a-z0-9]{6}.[a-z0-9]{16}`; the first part is public, the second is the secret.

use std::fmt;
use std::io::Read;
use std::path::Path;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Joiner;
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

    /// Takes a token that is [`well_formed`].
    pub(super) fn new(text: String, expires: OffsetDateTime) -> Self {
        Self { text, expires }
    }

    /// The token of one joiner. It ends when this one does, and tells nothing of this one or of another joiner's.
    pub fn derive(&self, joiner: &Joiner) -> Result<Self> {
        let mut stream =
            Stream { key: self.text.as_bytes(), purpose: joiner.to_string(), block: 0, left: Vec::new() };
        Self::generate(&mut stream, self.expires)
            .map_err(|error| Error::internal("deriving a token failed").because(error))
    }

    /// The public part.
    pub fn id(&self) -> &str {
        &self.text[..ID]
    }

    /// The whole token: for the kubeconfig and the Secret, never for messages.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// The secret part.
    pub fn secret(&self) -> &str {
        &self.text[ID + 1..]
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
        if !well_formed(&stored.token) {
            return Err(wrong("the token is not of the form [a-z0-9]{6}.[a-z0-9]{16}"));
        }
        let expires = OffsetDateTime::parse(&stored.expires, &Rfc3339)
            .map_err(|_| wrong("`expires` is no time as RFC 3339 writes it"))?;
        Ok(Self { text: stored.token, expires })
    }
}

pub(super) fn well_formed(token: &str) -> bool {
    let good = |part: &str, len| part.len() == len && part.bytes().all(|b| ALPHABET.contains(&b));
    token.split_once('.').is_some_and(|(id, secret)| good(id, ID) && good(secret, SECRET))
}

/// Bytes without end from a key: HMAC over a purpose and a counter.
struct Stream<'a> {
    key: &'a [u8],
    purpose: String,
    block: u32,
    left: Vec<u8>,
}

impl Read for Stream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.left.is_empty() {
            // A key of any length will do.
            let mut mac = Hmac::<Sha256>::new_from_slice(self.key).map_err(std::io::Error::other)?;
            mac.update(format!("kiln bootstrap token {} {}", self.block, self.purpose).as_bytes());
            self.left = mac.finalize().into_bytes().to_vec();
            self.block = self.block.wrapping_add(1);
        }
        let many = buffer.len().min(self.left.len());
        buffer[..many].copy_from_slice(&self.left[..many]);
        self.left.drain(..many);
        Ok(many)
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
    fn each_joiner_has_a_token_of_its_own_and_always_the_same() {
        let expires = OffsetDateTime::UNIX_EPOCH;
        let token = |text: &str| BootstrapToken { text: text.to_owned(), expires };
        let main = token("abcdef.0123456789abcdef");
        let node: Joiner = "node/a".parse().unwrap();
        let derived = main.derive(&node).unwrap();
        // Computed by: printf 'kiln bootstrap token 0 node/a' | openssl dgst -sha256 -hmac abcdef.0123456789abcdef
        assert_eq!(derived.expose(), "0n8vy2.phoitf5fkrmebd6j");
        assert_eq!(derived, main.derive(&node).unwrap());
        assert!(well_formed(derived.expose()) && derived.expires() == expires);
        let pool: Joiner = "pool/a".parse().unwrap();
        assert_ne!(derived.expose(), main.derive(&pool).unwrap().expose());
        assert_ne!(derived.expose(), token("abcdef.0123456789abcdeg").derive(&node).unwrap().expose());
    }

    #[test]
    fn a_damaged_token_is_refused_without_being_shown() {
        for bad in ["", "token = 'secret-secret'\nexpires = '2027-01-01T00:00:00Z'", "token = 'a'"] {
            let error = BootstrapToken::from_toml(bad, Path::new("t")).unwrap_err();
            assert!(!error.to_string().contains("secret-secret"), "{error}");
        }
    }
}
