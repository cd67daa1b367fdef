//! The reader: the headers of a binary package, and its digests. It trusts nothing: lists that belong together have one length,
//! paths have a greatest length and sum, and a file that is cut or changed is an error.

use sha2::Digest as _;

use super::header::{Header, is_binary};
use super::{Dependency, Evr, FileEntry, FileKind, Package};
use crate::digest::Sha256;
use crate::error::{Error, Result};
use crate::format::md5::Md5;
use crate::format::read_at::ReadAt;

/// Length of the lead.
const LEAD: u64 = 96;
/// Longest path, as on Linux.
const MAX_PATH: usize = 4096;
/// All paths together may take so many times the bytes of the header, which has each folder once.
const PATHS_OF_HEADER: u64 = 16;
/// Bytes read at a time.
const PIECE: usize = 256 << 10;

/// Tags of the header of signatures.
mod sig {
    pub(super) const LONG_SIZE: u32 = 270;
    pub(super) const SHA256: u32 = 273;
    pub(super) const SIZE: u32 = 1000;
    pub(super) const MD5: u32 = 1004;
    pub(super) const PAYLOAD: u32 = 1007;
    pub(super) const LONG_PAYLOAD: u32 = 271;
}

/// Tags of the header.
mod tag {
    pub(super) const NAME: u32 = 1000;
    pub(super) const VERSION: u32 = 1001;
    pub(super) const RELEASE: u32 = 1002;
    pub(super) const EPOCH: u32 = 1003;
    pub(super) const SUMMARY: u32 = 1004;
    pub(super) const DESCRIPTION: u32 = 1005;
    pub(super) const BUILD_TIME: u32 = 1006;
    pub(super) const BUILD_HOST: u32 = 1007;
    pub(super) const SIZE: u32 = 1009;
    pub(super) const VENDOR: u32 = 1011;
    pub(super) const LICENSE: u32 = 1014;
    pub(super) const PACKAGER: u32 = 1015;
    pub(super) const GROUP: u32 = 1016;
    pub(super) const URL: u32 = 1020;
    pub(super) const ARCH: u32 = 1022;
    pub(super) const OLD_FILES: u32 = 1027;
    pub(super) const MODES: u32 = 1030;
    pub(super) const FILE_FLAGS: u32 = 1037;
    pub(super) const SOURCE: u32 = 1044;
    pub(super) const ARCHIVE_SIZE: u32 = 1046;
    pub(super) const DIR_INDEXES: u32 = 1116;
    pub(super) const BASE_NAMES: u32 = 1117;
    pub(super) const DIR_NAMES: u32 = 1118;
    pub(super) const LONG_SIZE: u32 = 5009;
    pub(super) const PAYLOAD_DIGEST: u32 = 5092;
    pub(super) const PAYLOAD_DIGEST_KIND: u32 = 5093;
    /// Name, flags and version of each kind of dependency.
    pub(super) const PROVIDES: [u32; 3] = [1047, 1112, 1113];
    pub(super) const REQUIRES: [u32; 3] = [1049, 1048, 1050];
    pub(super) const CONFLICTS: [u32; 3] = [1054, 1053, 1055];
    pub(super) const OBSOLETES: [u32; 3] = [1090, 1114, 1115];
    /// Recommends, suggests, supplements, enhances.
    pub(super) const WEAK: [[u32; 3]; 4] =
        [[5046, 5048, 5047], [5049, 5051, 5050], [5052, 5054, 5053], [5055, 5057, 5056]];
}

/// Number of SHA-256 among rpm's digests (RFC 4880, 9.4).
const SHA256_KIND: u64 = 8;
/// `RPMFILE_GHOST`.
const GHOST: u64 = 1 << 6;

/// A package, as its headers describe it.
#[derive(Debug, Clone)]
pub struct Rpm {
    /// What it is and needs.
    pub package: Package,
    /// What else repodata says of it.
    pub about: About,
    /// Where the header begins and ends in the file.
    pub header: (u64, u64),
    /// Length of the file.
    pub size: u64,
    digests: Digests,
}

/// What repodata says of a package besides what it needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// One line.
    pub summary: String,
    /// Some lines.
    pub description: String,
    /// Who packaged it.
    pub packager: String,
    /// Home page.
    pub url: String,
    /// Licence.
    pub license: String,
    /// Vendor.
    pub vendor: String,
    /// Group, of old.
    pub group: String,
    /// Where it was built.
    pub build_host: String,
    /// The source package it was built from.
    pub source: String,
    /// When it was built, in seconds since 1970.
    pub build_time: u64,
    /// Bytes that it takes once installed.
    pub installed: u64,
    /// Bytes of its payload once unpacked.
    pub archive: u64,
}

/// Digests that a package carries of itself.
#[derive(Debug, Clone, Default)]
struct Digests {
    /// Of the header.
    header: Option<Sha256>,
    /// Of the payload.
    payload: Option<Sha256>,
    /// Of both.
    md5: Option<[u8; 16]>,
}

/// Reads the headers of a package.
///
/// # Errors
/// Of class input: the file is no binary package, is cut, or contradicts itself.
pub fn open(source: &impl ReadAt) -> Result<Rpm> {
    let lead = source.read_vec_at(0, LEAD as usize);
    let lead = lead.map_err(|_| Error::input("it is too short for a package"))?;
    if !is_binary(&lead) {
        return Err(Error::input("it is no package of rpm, or one of sources"));
    }
    let size = source.size().map_err(|error| Error::input("its length cannot be told").because(error))?;
    let signatures = Header::read(source, LEAD, "header of signatures")?;
    let header = Header::read(source, signatures.end + signatures.padding(), "header")?;
    let told = signatures.number(sig::SIZE)?.or(signatures.number(sig::LONG_SIZE)?);
    let is = size.saturating_sub(header.start);
    if let Some(told) = told.filter(|told| *told != is) {
        return Err(Error::input(format!("it has {is} bytes behind its signatures, and should have {told}"))
            .hint("the file is cut or damaged: copy or download it again"));
    }
    if !header.has(tag::SOURCE) {
        return Err(Error::input("it is a package of sources")
            .hint("build it first: `rpmbuild --rebuild`; only binary packages can be installed"));
    }
    let mut about = about(&header)?;
    about.archive = match signatures.number(sig::PAYLOAD)? {
        Some(size) => size,
        None => signatures.number(sig::LONG_PAYLOAD)?.unwrap_or(about.archive),
    };
    let digests = digests(&signatures, &header)?;
    let rpm = Rpm { package: package(&header)?, about, header: (header.start, header.end), size, digests };
    if rpm.digests.header.is_some_and(|digest| digest != digest_of(&header)) {
        return Err(damaged("header"));
    }
    Ok(rpm)
}

/// Reads the whole file, compares it with the digests that it carries, and gives its own.
pub fn verify(source: &impl ReadAt, rpm: &Rpm) -> Result<Sha256> {
    let (mut file, mut payload, mut both) = (sha2::Sha256::new(), sha2::Sha256::new(), Md5::new());
    let (start, end) = rpm.header;
    let mut at = 0;
    while at < rpm.size {
        // A piece never crosses a border.
        let border = [start, end, rpm.size].into_iter().find(|border| *border > at).unwrap_or(rpm.size);
        let len = (border - at).min(PIECE as u64) as usize;
        let bytes = source.read_vec_at(at, len);
        let bytes = bytes.map_err(|error| Error::input("it cannot be read to its end").because(error))?;
        file.update(&bytes);
        if at >= start && rpm.digests.md5.is_some() {
            both.update(&bytes);
        }
        if at >= end && rpm.digests.payload.is_some() {
            payload.update(&bytes);
        }
        at += len as u64;
    }
    if rpm.digests.payload.is_some_and(|digest| digest != Sha256(payload.finalize().into())) {
        return Err(damaged("payload"));
    }
    if rpm.digests.md5.is_some_and(|sum| sum != both.sum()) {
        return Err(damaged("header or payload"));
    }
    Ok(Sha256(file.finalize().into()))
}

fn damaged(what: &str) -> Error {
    Error::input(format!("its {what} has not the digest that the file says"))
        .hint("the file is damaged: copy or download it again")
}

fn digest_of(header: &Header) -> Sha256 {
    let mut hash = sha2::Sha256::new();
    header.bytes().iter().for_each(|part| hash.update(part));
    Sha256(hash.finalize().into())
}

fn digests(signatures: &Header, header: &Header) -> Result<Digests> {
    let parse = |text: Option<String>| {
        let digest = text.map(|text| text.parse::<Sha256>());
        digest.transpose().map_err(|fault| Error::input(format!("its header is damaged: {fault}")))
    };
    let payload = match header.number(tag::PAYLOAD_DIGEST_KIND)? {
        Some(SHA256_KIND) => parse(header.text(tag::PAYLOAD_DIGEST)?)?,
        _ => None,
    };
    let md5 = signatures.binary(sig::MD5)?.map(|sum| {
        sum.try_into().map_err(|_| Error::input("its header of signatures is damaged: its MD5 is none"))
    });
    Ok(Digests { header: parse(signatures.text(sig::SHA256)?)?, payload, md5: md5.transpose()? })
}

fn about(header: &Header) -> Result<About> {
    let text = |tag| Ok::<_, Error>(header.text(tag)?.unwrap_or_default());
    let long = |long, short| Ok::<_, Error>(header.number(long)?.or(header.number(short)?).unwrap_or(0));
    Ok(About {
        summary: text(tag::SUMMARY)?,
        description: text(tag::DESCRIPTION)?,
        packager: text(tag::PACKAGER)?,
        url: text(tag::URL)?,
        license: text(tag::LICENSE)?,
        vendor: text(tag::VENDOR)?,
        group: text(tag::GROUP)?,
        build_host: text(tag::BUILD_HOST)?,
        source: text(tag::SOURCE)?,
        build_time: header.number(tag::BUILD_TIME)?.unwrap_or(0),
        installed: long(tag::LONG_SIZE, tag::SIZE)?,
        archive: header.number(tag::ARCHIVE_SIZE)?.unwrap_or(0),
    })
}

fn package(header: &Header) -> Result<Package> {
    let word = |tag, what: &str| {
        let text = header.text(tag)?.unwrap_or_default();
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._+-~^%".contains(c);
        if text.is_empty() || text.len() > 255 || !text.chars().all(allowed) {
            return Err(Error::input(format!("its {what} `{}` is none", text.escape_debug())));
        }
        Ok(text)
    };
    let epoch = header.number(tag::EPOCH)?.unwrap_or(0);
    let evr = Evr {
        epoch: Some(u32::try_from(epoch).map_err(|_| Error::input("its epoch is too large"))?),
        version: word(tag::VERSION, "version")?,
        release: Some(word(tag::RELEASE, "release")?),
    };
    let [recommends, suggests, supplements, enhances] = tag::WEAK;
    Ok(Package {
        name: word(tag::NAME, "name")?,
        arch: word(tag::ARCH, "architecture")?,
        evr,
        provides: dependencies(header, tag::PROVIDES)?,
        requires: dependencies(header, tag::REQUIRES)?,
        conflicts: dependencies(header, tag::CONFLICTS)?,
        obsoletes: dependencies(header, tag::OBSOLETES)?,
        weak: [
            dependencies(header, recommends)?,
            dependencies(header, suggests)?,
            dependencies(header, supplements)?,
            dependencies(header, enhances)?,
        ],
        files: files(header)?,
    })
}

fn dependencies(header: &Header, tags: [u32; 3]) -> Result<Vec<Dependency>> {
    let (names, flags) = (header.list(tags[0])?, header.numbers(tags[1])?);
    let versions = header.list(tags[2])?;
    // Packages of old say nothing of versions in what they provide.
    let bare = flags.is_empty() && versions.is_empty();
    if !bare && (flags.len() != names.len() || versions.len() != names.len()) {
        return Err(Error::input("its header is damaged: dependencies have not as many versions as names"));
    }
    let mut list: Vec<Dependency> = Vec::with_capacity(names.len());
    for (at, name) in names.into_iter().enumerate() {
        let flags = flags.get(at).copied().unwrap_or(0) as u32;
        list.push(Dependency::of_header(name, flags, versions.get(at).map_or("", String::as_str)));
    }
    Ok(list)
}

fn files(header: &Header) -> Result<Vec<FileEntry>> {
    let damaged = || Error::input("its header is damaged: its list of files contradicts itself");
    let (modes, flags) = (header.numbers(tag::MODES)?, header.numbers(tag::FILE_FLAGS)?);
    let (names, dirs) = (header.list(tag::BASE_NAMES)?, header.list(tag::DIR_NAMES)?);
    let indexes = header.numbers(tag::DIR_INDEXES)?;
    let old = header.list(tag::OLD_FILES)?;
    let count = names.len() + old.len();
    if indexes.len() != names.len() || modes.len() != count || flags.len() != count {
        return Err(damaged());
    }
    let most = (header.end - header.start) * PATHS_OF_HEADER;
    let mut total = 0;
    let mut list = Vec::with_capacity(count);
    for at in 0..count {
        let path = match names.get(at) {
            Some(name) => {
                let dir = usize::try_from(indexes[at]).ok().and_then(|index| dirs.get(index));
                let dir = dir.ok_or_else(damaged)?;
                total += (dir.len() + name.len()) as u64;
                if dir.len() + name.len() > MAX_PATH || total > most {
                    return Err(damaged());
                }
                format!("{dir}{name}")
            }
            None => old.get(at - names.len()).cloned().unwrap_or_default(),
        };
        let kind = match (modes[at] & 0o170_000, flags[at] & GHOST) {
            (0o040_000, _) => FileKind::Dir,
            (_, GHOST) => FileKind::Ghost,
            _ => FileKind::File,
        };
        list.push(FileEntry { path, kind });
    }
    Ok(list)
}
