//! The key with which API servers encrypt Secrets before they reach etcd, and the file that gives it to them: an
//! `EncryptionConfiguration` of `apiserver.config.k8s.io/v1`, provider `secretbox` (XSalsa20 and Poly1305, 32 bytes).
//!
//! It is made once and, like the authorities, never replaced: a second key would make what the first wrote unreadable.

use std::io::Read;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::cert::PemKey;
use crate::error::{Error, Result};

/// Bytes of a secretbox key.
const LENGTH: usize = 32;

/// Makes a key from secure random bytes, in base64.
pub(super) fn generate(random: &mut dyn Read) -> std::io::Result<String> {
    let mut key = [0; LENGTH];
    random.read_exact(&mut key)?;
    Ok(STANDARD.encode(key) + "\n")
}

/// Takes a key as it is stored. The error quotes nothing of it.
pub(super) fn read(text: &str, path: &Path) -> Result<PemKey> {
    let text = text.trim();
    if STANDARD.decode(text).is_ok_and(|key| key.len() == LENGTH) {
        return Ok(PemKey::new(text.to_owned()));
    }
    Err(Error::input(format!("{} does not hold {LENGTH} bytes in base64", path.display()))
        .hint("restore it from a backup: with another key the cluster's Secrets cannot be read"))
}

/// The file for API servers. What was stored before there was a key is still read, by `identity`.
pub(super) fn configuration(key: &PemKey) -> String {
    format!(
        "apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources:
  - secrets
  providers:
  - secretbox:
      keys:
      - name: kiln1
        secret: \"{}\"
  - identity: {{}}
",
        key.expose()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_back_and_damage_is_refused_without_being_shown() {
        let text = generate(&mut &[7; LENGTH][..]).unwrap();
        let key = read(&text, Path::new("k")).unwrap();
        assert!(configuration(&key).contains("secret: \"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\"\n"));
        assert!(!format!("{key:?}").contains("BwcH"));
        for bad in ["", "BwcHBw==", "no base64 at all, and 44 characters long....."] {
            let error = read(bad, Path::new("k")).unwrap_err();
            assert!(bad.is_empty() || !error.to_string().contains(bad), "{error}");
        }
        assert!(generate(&mut &[7; LENGTH - 1][..]).is_err());
    }
}
