//! The checksum that isomd5sum implants into an image and `rd.live.check` verifies: MD5 of the volume without its last 15
//! blocks, and of 20 parts of it, as text in the application-use field of the primary volume descriptor (ECMA-119 8.4.31).
//! The format has no document; it is what implantisomd5 writes, byte for byte.

use super::md5::Md5;

/// Byte of the image where the field begins.
pub const FIELD_AT: u64 = 16 * 2048 + 883;
/// Bytes of the field.
pub const FIELD_LEN: usize = 512;
/// Blocks at the end that are left out.
const SKIP: u64 = 15;
/// Number of parts with a sum of their own.
const FRAGMENTS: u64 = 20;
/// Bytes that the checker reads at once; part sums fall on such borders.
const CHUNK: u64 = 32 << 10;

/// Computes the field while the image goes by.
#[derive(Debug)]
pub struct Hasher {
    md5: Md5,
    range: u64,
    done: u64,
    fragment: u64,
    sums: String,
}

impl Hasher {
    /// For a volume of so many blocks.
    pub fn new(blocks: u32) -> Self {
        let range = u64::from(blocks).saturating_sub(SKIP) * 2048;
        Self { md5: Md5::new(), range, done: 0, fragment: 0, sums: String::new() }
    }

    /// Number of bytes from the start that count.
    pub fn range(&self) -> u64 {
        self.range
    }

    /// Takes the next bytes; those past the range are left out. The caller passes the field as spaces.
    pub fn update(&mut self, mut bytes: &[u8]) {
        let size = (self.range / (FRAGMENTS + 1)).max(1);
        while !bytes.is_empty() && self.done < self.range {
            // To the end of the checker's current chunk, for that is where a part may end.
            let room = (CHUNK - self.done % CHUNK).min(self.range - self.done);
            let (now, rest) = bytes.split_at(bytes.len().min(room as usize));
            self.md5.update(now);
            let chunk = self.done / CHUNK * CHUNK;
            self.done += now.len() as u64;
            bytes = rest;
            if self.done.is_multiple_of(CHUNK) || self.done == self.range {
                let current = chunk / size;
                if current != self.fragment && self.sums.len() < FRAGMENTS as usize * 3 {
                    let sum = self.md5.sum();
                    // The first hexadecimal digit, without a leading zero: what `"%x"` cut to one character gives.
                    self.sums.extend(sum[..3].iter().filter_map(|byte| format!("{byte:x}").chars().next()));
                    self.fragment = current;
                }
            }
        }
    }

    /// The field and the sum as text.
    pub fn finish(self) -> ([u8; FIELD_LEN], String) {
        let sum: String = self.md5.sum().iter().map(|byte| format!("{byte:02x}")).collect();
        let text = format!(
            "ISO MD5SUM = {sum};SKIPSECTORS = {SKIP};RHLISOSTATUS=0;FRAGMENT SUMS = {};FRAGMENT COUNT = {FRAGMENTS};\
             THIS IS NOT THE SAME AS RUNNING MD5SUM ON THIS ISO!!",
            self.sums
        );
        let mut field = [b' '; FIELD_LEN];
        super::bytes::put(&mut field, 0, text.as_bytes());
        (field, sum)
    }
}
