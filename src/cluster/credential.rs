//! What lets people log in: public SSH keys and password hashes, checked so far that a slip (a stray line break, a cut line, a
//! private key) is found before it locks everyone out. Whether the other half of a key is at hand cannot be known here.

use std::fmt;
use std::str::FromStr;

/// A public SSH key in the format of `authorized_keys`: type, base64, optional comment; one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshKey(String);

impl SshKey {
    /// The line as it goes into `authorized_keys`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SshKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        use base64::Engine as _;
        if text.chars().any(char::is_control) {
            return Err("an SSH key is one line: it holds a line break or another control character".into());
        }
        let mut words = text.split(' ').filter(|word| !word.is_empty());
        let (Some(kind), Some(body)) = (words.next(), words.next()) else {
            return Err("an SSH key is written like `ssh-ed25519 AAAA… comment`".into());
        };
        if text.contains("PRIVATE KEY") {
            return Err("this is a private key; give the public one (the .pub file)".into());
        }
        let blob = base64::engine::general_purpose::STANDARD
            .decode(body)
            .map_err(|_| "the middle part of an SSH key is base64, and this is not".to_owned())?;
        // RFC 4253 §6.6: the blob starts with the length of the type's name and the name itself.
        let named = blob.get(..4).map(|len| u32::from_be_bytes([len[0], len[1], len[2], len[3]]) as usize);
        if named.and_then(|len| blob.get(4..4usize.checked_add(len)?)) != Some(kind.as_bytes()) {
            return Err(format!("the key's data is not that of a key of type `{kind}`; was it cut short?"));
        }
        if text.contains('"') {
            return Err("an SSH key's comment may not hold a `\"`: kickstart could not carry it".into());
        }
        Ok(Self(words_joined(text)))
    }
}

fn words_joined(text: &str) -> String {
    text.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// A password hash as crypt(5) writes it: `$6$…` (SHA-512), `$5$…` (SHA-256) or `$y$…` (yescrypt, EL9 on). Not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// The hash as it goes into shadow(5).
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(hidden)")
    }
}

impl FromStr for PasswordHash {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '/' | '$' | '=' | ',');
        let parts: Vec<&str> = text.split('$').collect();
        let length = |id: &str| match id {
            "6" => Some(86),
            "5" => Some(43),
            "y" => Some(43),
            _ => None,
        };
        if !text.chars().all(allowed) || parts.len() < 4 || !parts[0].is_empty() {
            return Err(
                "a password hash is written like $6$salt$hash; make one with `openssl passwd -6`".into()
            );
        }
        let Some(length) = length(parts[1]) else {
            return Err(format!(
                "password hashes of kind `${}$` are not taken: use SHA-512 (`openssl passwd -6`)",
                parts[1]
            ));
        };
        if parts.last().map(|hash| hash.len()) != Some(length) {
            return Err(format!("the hash part has {length} characters for this kind; was it cut short?"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for SshKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ssh_keys_are_one_whole_line() {
        let good = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl ops";
        assert_eq!(good.parse::<SshKey>().unwrap().as_str(), good);
        assert!(format!("{good}\n").parse::<SshKey>().unwrap_err().contains("line break"));
        assert!(good.replace("ssh-ed25519", "ssh-rsa").parse::<SshKey>().is_err());
        assert!("ssh-ed25519 AAAA".parse::<SshKey>().is_err());
    }

    #[test]
    fn password_hashes_are_whole_and_strong() {
        let good = format!("$6$salt${}", "a".repeat(86));
        assert!(good.parse::<PasswordHash>().is_ok());
        for bad in ["hunter2", "$1$salt$abc", "$6$salt$short", "$6$salt$\n"] {
            assert!(bad.parse::<PasswordHash>().is_err(), "{bad}");
        }
        assert!(!format!("{:?}", good.parse::<PasswordHash>().unwrap()).contains("salt"));
    }
}
