//! GUIDs as partition tables hold them (UEFI 2.10 appendix A): the first three fields little-endian, the rest as it is written.

use std::fmt;

/// A GUID, in the bytes of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guid(pub [u8; 16]);

impl Guid {
    /// The GUID `a-b-c-d`, whose last two groups are `d`.
    pub const fn of(a: u32, b: u16, c: u16, d: u64) -> Self {
        let (a, b, c, d) = (a.to_le_bytes(), b.to_le_bytes(), c.to_le_bytes(), d.to_be_bytes());
        Self([a[0], a[1], a[2], a[3], b[0], b[1], c[0], c[1], d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7]])
    }

    /// A GUID made from bytes that are random enough, such as a digest's (RFC 9562 §5.8).
    pub fn made_of(bytes: [u8; 16]) -> Self {
        let mut guid = bytes;
        guid[7] = guid[7] & 0x0f | 0x80;
        guid[8] = guid[8] & 0x3f | 0x80;
        Self(guid)
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
        for (n, at) in order.into_iter().enumerate() {
            let dash = if matches!(n, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(f, "{dash}{:02x}", self.0[at])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_prints_as_it_is_written() {
        let esp = Guid::of(0xc12a_7328, 0xf81f, 0x11d2, 0xba4b_00a0_c93e_c93b);
        assert_eq!(esp.to_string(), "c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
        assert_eq!(esp.0[..4], [0x28, 0x73, 0x2a, 0xc1]);
        assert_eq!(Guid::made_of([0xff; 16]).to_string(), "ffffffff-ffff-8fff-bfff-ffffffffffff");
    }
}
