//! kiln's record on a disk: whose it is, by which medium, and how far the installation came.
//!
//! It lies in the gap between the partition table and the first partition (64 KiB before the end of the first MiB), which
//! installers keep free: a GPT (UEFI 2.10 §5.3) ends at sector 33, partitions begin at 1 MiB. So it can be read without
//! mounting anything, and it is there before, during and after partitioning. It says nothing secret. What is read is hostile:
//! a record is bounded, has a digest, and is believed only together with the table that it names.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::cluster::types::{ClusterName, HostName};
use crate::digest::Sha256;
use crate::error::{Error, IoContext, Result};

/// Where it lies, in bytes.
pub const OFFSET: u64 = (1 << 20) - (64 << 10);
/// Its bytes, unused ones included; a multiple of all sectors' sizes.
pub const SIZE: usize = 4096;
/// What it begins with.
const MAGIC: &[u8; 8] = b"KILNDISK";
/// Layout; a change that an older kiln would misread raises it.
const FORMAT: u32 = 1;
/// Magic, format, length, digest.
const HEAD: usize = 8 + 4 + 4 + 32;

/// How far an installation came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "is")]
pub enum State {
    /// The disk was given to the installer. What it held then is known by a digest, so that it is seen if nothing was done yet.
    Taken {
        /// Digest of what lies before the record.
        before: Sha256,
    },
    /// The installer has made its partitions.
    Parted {
        /// Identifier of the partition table.
        table: TableId,
    },
    /// The node is installed.
    Complete {
        /// Identifier of the partition table.
        table: TableId,
    },
}

/// Identifier of a partition table: the disk GUID of a GPT, as hex digits in the order of the bytes, or the signature of an MBR,
/// as `mbr-` and hex digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableId(String);

impl TableId {
    /// That of a disk; `None` if it has no table, or one without an identifier.
    pub fn read(disk: &File) -> Option<Self> {
        Self::of_gpt(disk).or_else(|| Self::of_mbr(disk))
    }

    /// That of a disk with an MBR of its own, not one that protects a GPT. The signature lies before the table, at byte 440.
    fn of_mbr(disk: &File) -> Option<Self> {
        let mut sector = [0; 512];
        disk.read_exact_at(&mut sector, 0).ok()?;
        let signature = &sector[440..444];
        let protects = (0..4).any(|row| sector[446 + 16 * row + 4] == 0xee);
        let there = sector.ends_with(&[0x55, 0xaa]) && !protects && signature.iter().any(|byte| *byte != 0);
        there
            .then(|| Self(signature.iter().fold("mbr-".to_owned(), |text, byte| format!("{text}{byte:02x}"))))
    }

    /// That of a disk with a GPT; `None` if it has none. The header lies in the second sector, whatever its size.
    pub fn of_gpt(disk: &File) -> Option<Self> {
        [512u64, 4096].into_iter().find_map(|sector| {
            let mut header = [0; 92];
            disk.read_exact_at(&mut header, sector).ok()?;
            let guid = &header[56..72];
            let there = header.starts_with(b"EFI PART") && guid.iter().any(|byte| *byte != 0);
            there.then(|| Self(guid.iter().map(|byte| format!("{byte:02x}")).collect()))
        })
    }
}

/// The record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Name of the cluster.
    #[serde(with = "crate::payload::manifest::text")]
    pub cluster: ClusterName,
    /// Digest of its certificate authority.
    pub authority: Sha256,
    /// The node.
    #[serde(with = "crate::payload::manifest::text")]
    pub node: HostName,
    /// Folder of the node that lies on this disk.
    pub folder: String,
    /// Label of the medium.
    pub label: String,
    /// Build id of the medium.
    pub build_id: Sha256,
    /// How far the installation came.
    pub state: State,
}

impl Record {
    /// Reads the record of a disk. What is no record, is damaged, or is of a layout that this kiln does not know, is
    /// `None`: the disk is then judged by all else that lies on it.
    pub fn read(disk: &File) -> Option<Self> {
        let mut block = vec![0; SIZE];
        disk.read_exact_at(&mut block, OFFSET).ok()?;
        Self::from_block(&block)
    }

    fn from_block(block: &[u8]) -> Option<Self> {
        let number = |at: usize| Some(u32::from_le_bytes(block.get(at..at + 4)?.try_into().ok()?));
        if !block.starts_with(MAGIC) || number(8)? != FORMAT {
            return None;
        }
        let len = usize::try_from(number(12)?).ok()?;
        let json = block.get(HEAD..HEAD.checked_add(len)?)?;
        if block.get(16..HEAD)? != Sha256::of(json).0 {
            return None;
        }
        serde_json::from_slice(json).ok()
    }

    fn to_block(&self) -> Result<Vec<u8>> {
        let json = serde_json::to_vec(self);
        let json = json.map_err(|error| Error::internal("writing the disk's record").because(error))?;
        if HEAD + json.len() > SIZE {
            return Err(Error::internal("the disk's record is too long"));
        }
        let mut block = Vec::with_capacity(SIZE);
        block.extend_from_slice(MAGIC);
        block.extend_from_slice(&FORMAT.to_le_bytes());
        block.extend_from_slice(&(json.len() as u32).to_le_bytes());
        block.extend_from_slice(&Sha256::of(&json).0);
        block.extend_from_slice(&json);
        block.resize(SIZE, 0);
        Ok(block)
    }

    /// Writes the record to a disk, down to the platters.
    pub fn write(&self, disk: &Path) -> Result<()> {
        let block = self.to_block()?;
        let file = OpenOptions::new().write(true).open(disk).at("opening", disk)?;
        file.write_all_at(&block, OFFSET).and_then(|()| file.sync_all()).at("writing kiln's record to", disk)
    }
}

/// Digest of what lies before the record: tables, boot code. Shorter disks give what they have.
pub fn before(disk: &File) -> Sha256 {
    let mut bytes = vec![0; OFFSET as usize];
    let mut have = 0;
    while let Ok(got @ 1..) = disk.read_at(&mut bytes[have..], have as u64) {
        have += got;
    }
    Sha256::of(&bytes[..have])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record() -> Record {
        Record {
            cluster: "prod".parse().unwrap(),
            authority: Sha256::of(b"ca"),
            node: "k8s-master1".parse().unwrap(),
            folder: "/".into(),
            label: "KILN-PROD-MASTER-0000".into(),
            build_id: Sha256::of(b"build"),
            state: State::Complete { table: TableId("00ff".into()) },
        }
    }

    fn disk(len: u64) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(len).unwrap();
        file
    }

    #[test]
    fn it_is_read_as_it_was_written_and_touches_nothing_else() {
        let disk = disk(2 << 20);
        assert_eq!(Record::read(disk.as_file()), None);
        let empty = before(disk.as_file());
        record().write(disk.path()).unwrap();
        assert_eq!(Record::read(disk.as_file()), Some(record()));
        assert_eq!(before(disk.as_file()), empty);
        let bytes = std::fs::read(disk.path()).unwrap();
        let range = OFFSET as usize..OFFSET as usize + SIZE;
        assert!(bytes.iter().enumerate().all(|(at, byte)| *byte == 0 || range.contains(&at)));
        assert_eq!(bytes.len(), 2 << 20);
    }

    #[test]
    fn a_damaged_or_foreign_record_is_none() {
        let good = record().to_block().unwrap();
        for at in [0, 8, 12, 16, HEAD, HEAD + 10] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert_eq!(Record::from_block(&bad), None, "byte {at}");
        }
        assert_eq!(Record::from_block(&good[..HEAD]), None);
        assert_eq!(Record::from_block(&[]), None);
        let short = disk(4096);
        assert_eq!(Record::read(short.as_file()), None);
    }

    #[test]
    fn tables_are_known_with_small_and_large_sectors() {
        for sector in [512u64, 4096] {
            let disk = disk(1 << 20);
            assert_eq!(TableId::read(disk.as_file()), None);
            disk.as_file().write_all_at(b"EFI PART", sector).unwrap();
            assert_eq!(TableId::read(disk.as_file()), None);
            disk.as_file().write_all_at(&[0xab; 16], sector + 56).unwrap();
            assert_eq!(TableId::read(disk.as_file()), Some(TableId("ab".repeat(16))));
        }
    }

    #[test]
    fn an_mbr_is_known_by_its_signature() {
        let disk = disk(1 << 20);
        let put = |bytes: &[u8], at| disk.as_file().write_all_at(bytes, at).unwrap();
        put(&[0x55, 0xaa], 510);
        assert_eq!(TableId::read(disk.as_file()), None, "without a signature it could be any");
        put(&[0xde, 0xad, 0, 1], 440);
        assert_eq!(TableId::read(disk.as_file()), Some(TableId("mbr-dead0001".into())));
        assert_eq!(TableId::of_gpt(disk.as_file()), None);
        // One that protects a GPT, which is damaged.
        put(&[0xee], 446 + 4);
        assert_eq!(TableId::read(disk.as_file()), None);
        put(&[0x83], 446 + 4);
        put(&[0, 0], 510);
        assert_eq!(TableId::read(disk.as_file()), None, "what lies at 440 is no signature then");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(mut block in proptest::collection::vec(any::<u8>(), 0..SIZE), len in any::<u32>()) {
            for (at, byte) in MAGIC.iter().chain(&FORMAT.to_le_bytes()).chain(&len.to_le_bytes()).enumerate() {
                if let Some(place) = block.get_mut(at) { *place = *byte; }
            }
            prop_assert_eq!(Record::from_block(&block), None);
        }
    }
}
