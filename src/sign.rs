//! Signatures of media, in minisign's form (<https://jedisct1.github.io/minisign/>): Ed25519 (RFC 8032) over BLAKE2b-512 (RFC 7693)
//! of the file, and once more over the signature with its comment. Debian's `minisign` takes and makes the same files.
//!
//! Keys of an operator, not of a cluster: nothing of them reaches a medium. A secret key is read from a file, and leaves this
//! module as the text of a key file alone. Not here: trust. Who verifies has to know the public key from elsewhere.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use minisign::{KeyPair, SecretKeyBox};

use crate::error::{Class, Error, IoContext, Result};
use crate::progress::Progress;

/// Ending of a signature's file, behind the whole name of what is signed.
pub const ENDING: &str = ".minisig";
/// Keys and signatures are a few hundred bytes.
const LARGEST: u64 = 8 << 10;
/// Bytes of a secret key: algorithms, salt and cost of the password, number, key, checksum.
const SECRET_LEN: usize = 158;
/// Of these: what the key is encrypted by, zero if it is not; and the checksum.
const KDF: std::ops::Range<usize> = 2..4;
const CHECKSUM: std::ops::Range<usize> = 126..158;
/// Bytes that are read at once.
const CHUNK: usize = 256 << 10;

/// Number of a key, which tells keys apart and proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyId([u8; 8]);

impl fmt::Display for KeyId {
    /// As minisign writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016X}", u64::from_le_bytes(self.0))
    }
}

/// A key that signs.
pub struct SecretKey(minisign::SecretKey);

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({})", self.id())
    }
}

/// A key that verifies.
#[derive(Debug, Clone)]
pub struct PublicKey {
    key: minisign_verify::PublicKey,
    id: KeyId,
}

/// Two new keys, as the texts of their files.
pub struct Created {
    /// The secret one.
    pub secret: String,
    /// The public one.
    pub public: String,
    /// Their number.
    pub id: KeyId,
}

/// What a signature that is right says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The key that made it.
    pub key: KeyId,
    /// Its trusted comment: who signed wrote it, and nobody else.
    pub comment: String,
}

/// Makes a pair of keys; the secret one is encrypted if there is a password.
pub fn create(password: Option<String>) -> Result<Created> {
    let encrypted = password.is_some();
    let pair = match password {
        Some(password) => KeyPair::generate_encrypted_keypair(Some(password)),
        None => KeyPair::generate_unencrypted_keypair(),
    };
    let failed = |error: minisign::PError| Error::internal("making keys failed").because(error);
    let pair = pair.map_err(failed)?;
    let id = key_id(pair.pk.keynum())?;
    let how = if encrypted { "encrypted" } else { "unencrypted" };
    let secret = pair.sk.to_box(Some(&format!("minisign {how} secret key {id}"))).map_err(failed)?;
    let public = pair.pk.to_box().map_err(failed)?;
    Ok(Created { secret: secret.into_string(), public: public.into_string(), id })
}

/// Writes a pair of keys to new files: the secret one with mode 0600.
pub fn save(created: &Created, secret: &Path, public: &Path) -> Result<()> {
    let put = |path: &Path, mode: u32, text: &str| {
        let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
        let mut file = file.map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => Error::input(format!("{} exists already", path.display()))
                .hint("keys are never replaced: choose another name, or move the old key away"),
            _ => Error::io("making", path, error),
        })?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).at("writing", path)
    };
    put(secret, 0o600, &created.secret)?;
    put(public, 0o644, &created.public).inspect_err(|_| {
        // Half a pair is of no use. The file is of this moment.
        let _ = std::fs::remove_file(secret);
    })
}

impl SecretKey {
    /// Reads a key file; `password` is asked if it is encrypted.
    pub fn load(path: &Path, password: &dyn Fn() -> Result<String>) -> Result<Self> {
        const HINT: &str = "`kiln key create` and `minisign -G` make one; the password comes from the terminal or KILN_KEY_PASSWORD";
        let text = small(path).map_err(|error| error.or_hint(HINT))?;
        let wrong = |why: &dyn fmt::Display| {
            Error::input(format!("{} is no secret key that can be used: {why}", path.display())).hint(HINT)
        };
        // Nobody is asked for the password of what is no key.
        let bytes = second_line(&text).filter(|bytes| bytes.len() == SECRET_LEN);
        let bytes = bytes.ok_or_else(|| wrong(&"it has another form"))?;
        let encrypted = bytes[KDF] != [0, 0];
        let key = if !encrypted && bytes[CHECKSUM].iter().all(|byte| *byte == 0) {
            // minisign before 0.12 gives unencrypted keys no checksum.
            minisign::SecretKey::from_bytes(&bytes)
        } else {
            let password = if encrypted { Some(password()?) } else { None };
            SecretKeyBox::from_string(&text).and_then(|sealed| match password {
                Some(password) => sealed.into_secret_key(Some(password)),
                None => sealed.into_unencrypted_secret_key(),
            })
        };
        let key = key.map_err(|error| wrong(&error))?;
        // A key that was damaged signs what its own public key does not take.
        let public = minisign::PublicKey::from_secret_key(&key).map_err(|error| wrong(&error))?;
        minisign::sign(Some(&public), &key, std::io::empty(), Some(""), None)
            .map_err(|error| wrong(&error))?;
        Ok(Self(key))
    }

    /// Its number.
    pub fn id(&self) -> KeyId {
        key_id(self.0.keynum()).unwrap_or(KeyId([0; 8]))
    }

    /// Signs a file with a comment of one line; gives the text of the signature's file.
    pub fn sign(&self, path: &Path, comment: &str, progress: &dyn Progress) -> Result<String> {
        if comment.chars().any(char::is_control) {
            return Err(Error::internal("the comment of a signature is more than one line"));
        }
        let file = File::open(path).at("opening", path)?;
        progress.total(file.metadata().at("looking at", path)?.len());
        let watched = Watched { file, progress };
        let public = minisign::PublicKey::from_secret_key(&self.0);
        let note = format!("signature of kiln, key {}", self.id());
        public
            .and_then(|public| minisign::sign(Some(&public), &self.0, watched, Some(comment), Some(&note)))
            .map(minisign::SignatureBox::into_string)
            .map_err(|error| {
                Error::new(Class::Io, format!("signing {} failed", path.display())).because(error)
            })
    }
}

impl PublicKey {
    /// Reads a public key file.
    pub fn load(path: &Path) -> Result<Self> {
        let text = small(path)?;
        let wrong = || {
            Error::input(format!("{} is no public key of minisign", path.display()))
                .hint("the public key is the file that ends in .pub, two lines long")
        };
        let key = minisign_verify::PublicKey::decode(&text).map_err(|_| wrong())?;
        let bytes = second_line(&text).ok_or_else(wrong)?;
        let id = key_id(bytes.get(2..10).ok_or_else(wrong)?)?;
        Ok(Self { key, id })
    }

    /// Its number.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Verifies a file against the text of its signature's file.
    pub fn verify(&self, path: &Path, signature: &Path, progress: &dyn Progress) -> Result<Verified> {
        use minisign_verify::Error as Fault;
        let told = |why: &str| {
            Error::input(format!("{} is not what the key {} signed: {why}", path.display(), self.id))
                .hint("do not use it: get it again, with its signature, and make sure that the key is the right one")
        };
        let fault = |error: Fault| match error {
            Fault::UnexpectedKeyId => told("the signature is of another key"),
            Fault::InvalidSignature => told("the file or its signature was changed"),
            Fault::UnsupportedLegacyMode | Fault::UnexpectedAlgorithm | Fault::UnsupportedAlgorithm => told(
                "the signature is not over the file's digest; minisign makes such ones with -H, or since 0.10",
            ),
            _ => told(&format!("{} is no signature", signature.display())),
        };
        let sealed = minisign_verify::Signature::decode(&small(signature)?).map_err(fault)?;
        let mut verifier = self.key.verify_stream(&sealed).map_err(fault)?;
        let mut file = File::open(path).at("opening", path)?;
        progress.total(file.metadata().at("looking at", path)?.len());
        let mut buffer = vec![0; CHUNK];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(len) => {
                    verifier.update(&buffer[..len]);
                    progress.advance(len as u64);
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io("reading", path, error)),
            }
        }
        verifier.finalize().map_err(fault)?;
        Ok(Verified { key: self.id, comment: sealed.trusted_comment().to_owned() })
    }
}

/// Where the signature of a file lies.
pub fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ENDING);
    name.into()
}

/// Refuses a signature's place where something else lies.
pub fn check_place(path: &Path) -> Result<()> {
    if std::fs::symlink_metadata(path).is_err() {
        return Ok(());
    }
    let signature = small(path).is_ok_and(|text| minisign_verify::Signature::decode(&text).is_ok());
    if signature {
        return Ok(());
    }
    Err(Error::input(format!("{} exists already, and is no signature", path.display()))
        .hint("move it away, or choose another output"))
}

/// Puts a signature in its place: written beside it, and renamed when it is complete and on the disk.
pub fn put(path: &Path, text: &str) -> Result<()> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let part = dir.join(format!(".{name}.kiln-{}.part", std::process::id()));
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&part)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&part, path)?;
        File::open(dir)?.sync_all()
    };
    write().at("writing", path).inspect_err(|_| {
        // It may not be there, and the next run makes it anew.
        let _ = std::fs::remove_file(&part);
    })
}

fn small(path: &Path) -> Result<String> {
    let file = File::open(path).at("opening", path)?;
    let mut text = String::new();
    file.take(LARGEST + 1).read_to_string(&mut text).map_err(|error| match error.kind() {
        std::io::ErrorKind::InvalidData => Error::input(format!("{} is no text", path.display()))
            .hint("keys and signatures are a few lines of text"),
        _ => Error::io("reading", path, error),
    })?;
    if text.len() as u64 > LARGEST {
        return Err(Error::input(format!("{} is too long for a key or a signature", path.display()))
            .hint("keys and signatures are a few lines of text"));
    }
    Ok(text)
}

/// The bytes of the second line, which is base64 in all of minisign's files.
fn second_line(text: &str) -> Option<Vec<u8>> {
    base64::engine::general_purpose::STANDARD.decode(text.lines().nth(1)?.trim()).ok()
}

fn key_id(bytes: &[u8]) -> Result<KeyId> {
    let bytes = bytes.try_into().map_err(|_| Error::internal("a key's number is not of 8 bytes"))?;
    Ok(KeyId(bytes))
}

/// A file that tells how far it was read.
struct Watched<'a> {
    file: File,
    progress: &'a dyn Progress,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let len = loop {
            match self.file.read(buffer) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        self.progress.advance(len as u64);
        Ok(len)
    }
}

#[cfg(test)]
#[path = "sign_tests.rs"]
mod tests;
