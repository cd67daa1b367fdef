//! `repomd.xml`: the documents of a repository, with place, size and checksum.

use std::collections::BTreeMap;
use std::io::{BufRead, Read};

use sha2::Digest as _;

use super::xml::{Element, Token, Xml};
use crate::error::{Error, Result};

/// Most documents of a repository.
const MAX_ENTRIES: usize = 256;

/// A checksum of one of the kinds that vendors use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checksum {
    /// SHA-256, in hexadecimal.
    Sha256(String),
    /// SHA-512, in hexadecimal.
    Sha512(String),
}

impl Checksum {
    fn named(kind: &str, text: &str) -> Option<Self> {
        let digits = |len| text.len() == len && text.bytes().all(|b| b.is_ascii_hexdigit());
        let text = || text.to_ascii_lowercase();
        match kind {
            "sha256" if digits(64) => Some(Self::Sha256(text())),
            "sha512" if digits(128) => Some(Self::Sha512(text())),
            _ => None,
        }
    }

    /// Whether all that `reader` gives has this checksum, and its length.
    pub(super) fn holds(&self, mut reader: impl Read) -> std::io::Result<(bool, u64)> {
        let (mut short, mut long) = (sha2::Sha256::new(), sha2::Sha512::new());
        let (mut buffer, mut len) = (vec![0; 64 << 10], 0);
        loop {
            let got = match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(got) => got,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            len += got as u64;
            match self {
                Checksum::Sha256(_) => short.update(&buffer[..got]),
                Checksum::Sha512(_) => long.update(&buffer[..got]),
            }
        }
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        Ok(match self {
            Checksum::Sha256(text) => (*text == hex(&short.finalize()), len),
            Checksum::Sha512(text) => (*text == hex(&long.finalize()), len),
        })
    }
}

/// A document of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Path below the repository.
    pub location: String,
    /// Checksum of the file as it lies there.
    pub checksum: Checksum,
    /// Length of the file, if it is told.
    pub size: Option<u64>,
    /// Length once unpacked, if it is told.
    pub open_size: Option<u64>,
}

/// What a repository has, by kind: `primary`, `filelists`, `group`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Index {
    /// The documents.
    pub entries: BTreeMap<String, Entry>,
}

/// What has been read of a document.
#[derive(Default)]
struct Draft {
    kind: String,
    location: Option<String>,
    checksum: Option<(String, String)>,
    size: Option<u64>,
    open_size: Option<u64>,
}

impl Index {
    /// Reads `repomd.xml`. Documents whose place or checksum kiln cannot use are told only when they are wanted, so they are
    /// left out here.
    pub fn read(source: impl BufRead, what: &str) -> Result<Self> {
        let mut xml = Xml::new(source, what);
        let mut index = Index::default();
        let mut draft = Draft::default();
        loop {
            match xml.next()? {
                Token::Start(root) if root.depth == 1 && root.name != "repomd" => {
                    return Err(xml.fault("it is not a list of a repository's documents"));
                }
                Token::Start(mut data) if data.depth == 2 && data.name == "data" => {
                    draft = Draft { kind: data.take("type").unwrap_or_default(), ..Draft::default() };
                }
                Token::Start(element) if element.depth == 3 => part(&mut xml, element, &mut draft)?,
                Token::End if xml.depth() == 1 => {
                    if let Some((kind, entry)) = std::mem::take(&mut draft).finish() {
                        index.entries.entry(kind).or_insert(entry);
                    }
                    if index.entries.len() > MAX_ENTRIES {
                        return Err(xml.fault("it lists more documents than any repository has"));
                    }
                }
                Token::Done => return Ok(index),
                _ => {}
            }
        }
    }

    /// The document of the first of these kinds that is there.
    pub(super) fn first(&self, kinds: &[&str]) -> Option<&Entry> {
        kinds.iter().find_map(|kind| self.entries.get(*kind))
    }

    /// The document of a kind that every repository has.
    pub(super) fn need(&self, kind: &str) -> Result<&Entry> {
        self.entries.get(kind).ok_or_else(|| {
            Error::input(format!(
                "its repomd.xml names no document `{kind}` with a place and a checksum of SHA-256 or SHA-512"
            ))
        })
    }
}

fn part<R: BufRead>(xml: &mut Xml<R>, mut element: Element, draft: &mut Draft) -> Result<()> {
    match element.name.as_str() {
        "location" => draft.location = element.take("href"),
        "checksum" => {
            let kind = element.take("type").unwrap_or_default();
            draft.checksum = Some((kind, xml.text()?));
        }
        "size" => draft.size = xml.text()?.parse().ok(),
        "open-size" => draft.open_size = xml.text()?.parse().ok(),
        _ => {}
    }
    Ok(())
}

impl Draft {
    fn finish(self) -> Option<(String, Entry)> {
        let location = self.location.filter(|path| is_below(path))?;
        let (kind, text) = self.checksum?;
        let checksum = Checksum::named(&kind, &text)?;
        Some((self.kind, Entry { location, checksum, size: self.size, open_size: self.open_size }))
    }
}

/// Whether a place is a path below the repository.
fn is_below(path: &str) -> bool {
    let part = |part: &str| !part.is_empty() && part != "." && part != "..";
    path.len() <= 1024 && path.split('/').all(part) && !path.contains(['\0', ':'])
}
