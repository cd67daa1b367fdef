//! What lies on a disk, as far as it decides whether the disk may be wiped. Reads, never writes, and mounts nothing.
//!
//! Signatures of file systems, volumes and arrays are found by `wipefs` of util-linux, which every installer has: it knows
//! what libblkid knows, and that is more than kiln could.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::Disk;
use super::record::{self, Record, TableId};
use crate::digest::Sha256;
use crate::error::{Error, IoContext, Result};
use crate::node::child;

/// Signatures that are tables only: what their partitions hold is looked at by itself.
const TABLES: [&str; 3] = ["gpt", "dos", "PMBR"];
/// Longest time that `wipefs` gets for one device.
const PATIENCE: Duration = Duration::from_secs(60);
/// Most partitions that are looked at; a disk with more is not blank.
const MOST_PARTITIONS: usize = 256;
/// Where a GPT of 128 entries ends, for sectors of 512 and of 4096 bytes.
const TABLE_END: u64 = 6 * 4096;
/// How much of a partition without a signature must be zero.
const SAMPLE: usize = 64 << 10;

/// What lies on a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// kiln's record.
    pub record: Option<Record>,
    /// Identifier of its partition table.
    pub table: Option<TableId>,
    /// Digest of what lies before the record's place.
    pub before: Sha256,
    /// Signatures.
    pub found: Vec<Signature>,
    /// Partitions that hold data of no known kind.
    pub unknown: Vec<String>,
    /// Whether the disk holds data of no known kind outside of its partitions.
    pub loose_data: bool,
}

/// A signature that `wipefs` found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Device: `sda1`.
    pub device: String,
    /// Kind: `xfs`, `LVM2_member`, `linux_raid_member`.
    pub kind: String,
    /// Label, if it has one.
    pub label: Option<String>,
}

impl Content {
    /// Looks at a disk and its partitions.
    pub fn look(root: &Path, disk: &Disk) -> Result<Self> {
        let path = root.join("dev").join(&disk.name);
        let file = File::open(&path).at("opening", &path)?;
        let mut content = Self {
            record: Record::read(&file),
            table: TableId::read(&file),
            before: record::before(&file),
            found: signatures(root, &disk.name)?,
            unknown: Vec::new(),
            loose_data: disk.partitions.len() > MOST_PARTITIONS,
        };
        for part in disk.partitions.iter().take(MOST_PARTITIONS) {
            let found = signatures(root, part)?;
            if found.is_empty() && !zeros(&root.join("dev").join(part), 0, SAMPLE)? {
                content.unknown.push(part.clone());
            }
            content.found.extend(found);
        }
        let gap = (record::OFFSET - TABLE_END) as usize;
        content.loose_data |= content.found.is_empty() && !zeros(&path, TABLE_END, gap)?;
        Ok(content)
    }

    /// Whether nothing lies on it but, perhaps, an empty partition table.
    pub fn is_blank(&self) -> bool {
        self.found.is_empty() && self.unknown.is_empty() && !self.loose_data
    }

    /// What lies on it, in words: `sda1 xfs "root", sda2 LVM2_member`.
    pub fn words(&self) -> String {
        let known = self.found.iter().map(|found| {
            let label = found.label.as_deref().map(|label| format!(" \"{}\"", label.escape_debug()));
            format!("{} {}{}", found.device, found.kind.escape_debug(), label.unwrap_or_default())
        });
        let unknown = self.unknown.iter().map(|device| format!("{device} data of an unknown kind"));
        let loose = self.loose_data.then(|| "data of an unknown kind outside of partitions".to_owned());
        known.chain(unknown).chain(loose).collect::<Vec<_>>().join(", ")
    }
}

fn signatures(root: &Path, device: &str) -> Result<Vec<Signature>> {
    let path = root.join("dev").join(device);
    let mut command = Command::new("wipefs");
    command.arg("--parsable").arg(&path).env("LC_ALL", "C");
    let ended = child::run(command, b"", PATIENCE)
        .map_err(|error| error.hint("without wipefs (util-linux) it cannot be told what a disk holds"))?;
    if !ended.success {
        let why = ended.messages.trim().to_owned();
        return Err(Error::tool(format!("wipefs could not look at {}: {why}", path.display())));
    }
    Ok(ended.output.lines().filter_map(|line| parse(device, line)).collect())
}

/// A line of `wipefs --parsable`: `offset,uuid,label,type`. A label may hold commas.
fn parse(device: &str, line: &str) -> Option<Signature> {
    let mut fields = line.splitn(3, ',');
    let (_, _, rest) =
        (fields.next().filter(|offset| offset.starts_with("0x"))?, fields.next()?, fields.next()?);
    let (label, kind) = rest.rsplit_once(',')?;
    if TABLES.contains(&kind) {
        return None;
    }
    let label = Some(label.to_owned()).filter(|label| !label.is_empty());
    Some(Signature { device: device.to_owned(), kind: kind.to_owned(), label })
}

/// Whether a stretch of a device is zero; what lies behind its end counts as zero.
fn zeros(path: &Path, from: u64, len: usize) -> Result<bool> {
    let file = File::open(path).at("opening", path)?;
    let mut buffer = vec![0; len];
    let mut have = 0;
    loop {
        match file.read_at(&mut buffer[have..], from + have as u64).at("reading", path)? {
            0 => return Ok(buffer[..have].iter().all(|byte| *byte == 0)),
            got => have += got,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;
    use crate::testing::Fake;

    /// A disk of 16 MiB, and what is on it.
    fn content(fill: impl Fn(&Path)) -> Content {
        let fake = Fake::new();
        fake.disk("vda", 0, 20).put("dev/vda1", "");
        let path = fake.root().join("dev/vda");
        File::options().write(true).open(&path).unwrap().set_len(16 << 20).unwrap();
        fill(&path);
        let disk = Disk { name: "vda".into(), partitions: vec!["vda1".into()], ..Default::default() };
        Content::look(fake.root(), &disk).unwrap()
    }

    fn write(path: &Path, at: u64, bytes: &[u8]) {
        File::options().write(true).open(path).unwrap().write_all_at(bytes, at).unwrap();
    }

    #[test]
    fn a_blank_disk_is_blank() {
        let blank = content(|_| {});
        assert!(blank.is_blank() && blank.record.is_none() && blank.table.is_none());
    }

    #[test]
    fn a_table_alone_is_blank_and_its_partitions_are_looked_at() {
        let label = |path: &Path| {
            let mut command = Command::new("sfdisk");
            command.arg("--quiet").arg(path);
            assert!(child::run(command, b"label: gpt\nsize=1MiB\n", PATIENCE).unwrap().success);
        };
        let empty = content(label);
        assert!(empty.is_blank() && empty.table.is_some(), "{empty:?}");
        let full = content(|path| {
            label(path);
            let swap = path.with_file_name("vda1");
            File::create(&swap).unwrap().set_len(1 << 20).unwrap();
            let mut command = Command::new("mkswap");
            command.args(["-L", "a,b"]).arg(&swap);
            assert!(child::run(command, b"", PATIENCE).unwrap().success);
        });
        assert_eq!(full.words(), "vda1 swap \"a,b\"");
        assert!(!full.is_blank());
    }

    #[test]
    fn data_of_no_known_kind_is_not_blank() {
        assert_eq!(
            content(|path| write(path, 100_000, b"x")).words(),
            "data of an unknown kind outside of partitions"
        );
        let part = content(|path| std::fs::write(path.with_file_name("vda1"), "x").unwrap());
        assert_eq!(part.words(), "vda1 data of an unknown kind");
    }

    #[test]
    fn what_cannot_be_looked_at_is_an_error() {
        let fake = Fake::new();
        let disk = Disk { name: "vdz".into(), ..Default::default() };
        assert!(Content::look(fake.root(), &disk).is_err());
    }

    #[test]
    fn lines_are_parsed_or_passed_over() {
        let found = parse("sda", "0x438,uuid,my,label,ext4").unwrap();
        assert_eq!((found.kind.as_str(), found.label.as_deref()), ("ext4", Some("my,label")));
        for line in ["", "# offset,uuid,label,type", "0x1fe,,,PMBR", "0x200,,,gpt", "0x1fe,,,dos", "0x1,2"] {
            assert_eq!(parse("sda", line), None, "{line}");
        }
    }
}
