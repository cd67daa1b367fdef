//! Directory records (ECMA-119 9.1), kept as they lie on the medium so that a vendor's record can be written again
//! unchanged.

use crate::format::bytes::{le32, put_both32, u8_at};

/// Bytes of a record before the identifier.
pub const FIXED: usize = 33;

/// A directory record: its bytes, known to be long enough for its identifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    raw: Vec<u8>,
}

impl Record {
    /// Takes the record at the start of `bytes`; `None` if its lengths contradict each other or the bytes.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let raw = bytes.get(..usize::from(*bytes.first()?))?;
        let id = usize::from(*raw.get(32)?);
        (raw.len() > FIXED && id > 0 && FIXED + id <= raw.len()).then(|| Self { raw: raw.to_vec() })
    }

    /// The whole record.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// The whole record, to be patched.
    pub fn raw_mut(&mut self) -> &mut [u8] {
        &mut self.raw
    }

    /// First block of the extent.
    pub fn lba(&self) -> u32 {
        le32(&self.raw, 2)
    }

    /// Length of the extent in bytes.
    pub fn len(&self) -> u32 {
        le32(&self.raw, 10)
    }

    /// Whether the extent has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Blocks of an extended attribute record before the data (ECMA-119 9.1.2).
    pub fn xattr_blocks(&self) -> u8 {
        u8_at(&self.raw, 1)
    }

    /// Recording date, as on the medium (ECMA-119 9.1.5).
    pub fn date(&self) -> [u8; 7] {
        let mut date = [0; 7];
        date.copy_from_slice(&self.raw[18..25]);
        date
    }

    /// Points the record at another extent.
    pub fn set_extent(&mut self, lba: u32, len: u32) {
        put_both32(&mut self.raw, 2, lba);
        put_both32(&mut self.raw, 10, len);
    }

    /// File flags (ECMA-119 9.1.6).
    pub fn flags(&self) -> u8 {
        u8_at(&self.raw, 25)
    }

    /// Whether it describes a directory.
    pub fn is_dir(&self) -> bool {
        self.flags() & 0x02 != 0
    }

    /// Whether the file goes on in the next record.
    pub fn goes_on(&self) -> bool {
        self.flags() & 0x80 != 0
    }

    /// Whether the file is interleaved (ECMA-119 9.1.7, 9.1.8); no vendor's is.
    pub fn interleaved(&self) -> bool {
        u8_at(&self.raw, 26) != 0 || u8_at(&self.raw, 27) != 0
    }

    /// File identifier; `0x00` and `0x01` name the directory itself and its parent.
    pub fn id(&self) -> &[u8] {
        &self.raw[FIXED..FIXED + usize::from(self.raw[32])]
    }

    /// Where the system use area begins in the record (ECMA-119 9.1.13).
    pub fn system_use_at(&self) -> usize {
        let id = usize::from(self.raw[32]);
        FIXED + id + (1 - id % 2)
    }
}

/// Splits the bytes of one directory sector into records; the error is the offset of a record that cannot be.
pub fn split(sector: &[u8]) -> std::result::Result<Vec<Record>, usize> {
    let mut records = Vec::new();
    let mut at = 0;
    while at < sector.len() && sector[at] != 0 {
        let record = Record::parse(&sector[at..]).ok_or(at)?;
        at += record.raw.len();
        records.push(record);
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_that_lie_are_refused() {
        let mut raw = vec![0; 34];
        (raw[0], raw[32]) = (34, 1);
        assert!(Record::parse(&raw).is_some());
        assert!(Record::parse(&raw[..33]).is_none());
        raw[32] = 2;
        assert!(Record::parse(&raw).is_none());
        raw[32] = 0;
        assert!(Record::parse(&raw).is_none());
        assert!(Record::parse(&[]).is_none());
        assert_eq!(split(&[5, 0, 0]), Err(0));
    }
}
