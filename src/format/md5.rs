//! MD5 (RFC 1321), for the media check only: it tells a damaged medium, and vouches for nothing.
//!
//! A sum is one chain over a whole medium, and its speed decides how long a build takes. The crates let the compiler put the
//! constants at the end of each step, on the chain; here whatever does not need the newest word is added before it. That
//! takes 4.5 cycles a byte and not 5.6, which is what the chain's length allows.

/// Bytes of a block.
const BLOCK: usize = 64;

/// The table T of RFC 1321, 3.4: 2^32 times the sine of 1 to 64, its sign dropped.
#[rustfmt::skip]
static TABLE: [u32; 64] = [
    0xd76a_a478, 0xe8c7_b756, 0x2420_70db, 0xc1bd_ceee, 0xf57c_0faf, 0x4787_c62a, 0xa830_4613, 0xfd46_9501,
    0x6980_98d8, 0x8b44_f7af, 0xffff_5bb1, 0x895c_d7be, 0x6b90_1122, 0xfd98_7193, 0xa679_438e, 0x49b4_0821,
    0xf61e_2562, 0xc040_b340, 0x265e_5a51, 0xe9b6_c7aa, 0xd62f_105d, 0x0244_1453, 0xd8a1_e681, 0xe7d3_fbc8,
    0x21e1_cde6, 0xc337_07d6, 0xf4d5_0d87, 0x455a_14ed, 0xa9e3_e905, 0xfcef_a3f8, 0x676f_02d9, 0x8d2a_4c8a,
    0xfffa_3942, 0x8771_f681, 0x6d9d_6122, 0xfde5_380c, 0xa4be_ea44, 0x4bde_cfa9, 0xf6bb_4b60, 0xbebf_bc70,
    0x289b_7ec6, 0xeaa1_27fa, 0xd4ef_3085, 0x0488_1d05, 0xd9d4_d039, 0xe6db_99e5, 0x1fa2_7cf8, 0xc4ac_5665,
    0xf429_2244, 0x432a_ff97, 0xab94_23a7, 0xfc93_a039, 0x655b_59c3, 0x8f0c_cc92, 0xffef_f47d, 0x8584_5dd1,
    0x6fa8_7e4f, 0xfe2c_e6e0, 0xa301_4314, 0x4e08_11a1, 0xf753_7e82, 0xbd3a_f235, 0x2ad7_d2bb, 0xeb86_d391,
];

/// A sum under way.
#[derive(Debug, Clone)]
pub struct Md5 {
    state: [u32; 4],
    len: u64,
    /// The first bytes of a block that is not complete.
    held: [u8; BLOCK],
}

impl Default for Md5 {
    fn default() -> Self {
        Self::new()
    }
}

impl Md5 {
    /// The sum of nothing yet.
    pub fn new() -> Self {
        Self { state: [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476], len: 0, held: [0; BLOCK] }
    }

    /// Takes the next bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        let held = (self.len % BLOCK as u64) as usize;
        self.len = self.len.wrapping_add(bytes.len() as u64);
        if held > 0 {
            let (now, rest) = bytes.split_at(bytes.len().min(BLOCK - held));
            self.held[held..held + now.len()].copy_from_slice(now);
            if held + now.len() < BLOCK {
                return;
            }
            blocks(&mut self.state, &[self.held]);
            bytes = rest;
        }
        let (whole, rest) = bytes.as_chunks();
        blocks(&mut self.state, whole);
        self.held[..rest.len()].copy_from_slice(rest);
    }

    /// The sum of what came so far.
    pub fn sum(&self) -> [u8; 16] {
        let mut last = self.clone();
        let mut tail = [0; 2 * BLOCK];
        let held = (self.len % BLOCK as u64) as usize;
        // A one bit, then zeros until eight bytes are left of a block for the length in bits.
        tail[0] = 0x80;
        let end = if held < BLOCK - 8 { BLOCK } else { 2 * BLOCK } - held;
        tail[end - 8..end].copy_from_slice(&self.len.wrapping_mul(8).to_le_bytes());
        last.update(&tail[..end]);
        let mut sum = [0; 16];
        sum.as_chunks_mut().0.iter_mut().zip(last.state).for_each(|(slot, word)| *slot = word.to_le_bytes());
        sum
    }
}

/// Takes whole blocks (RFC 1321, 3.4).
#[inline(never)]
fn blocks(state: &mut [u32; 4], blocks: &[[u8; BLOCK]]) {
    // To the compiler these are no constants, or it would add them last.
    let table: &[u32; 64] = std::hint::black_box(&TABLE);
    for block in blocks {
        let mut words = [0; 16];
        words
            .iter_mut()
            .zip(block.as_chunks().0)
            .for_each(|(word, bytes)| *word = u32::from_le_bytes(*bytes));
        let mut now = *state;
        // Each function comes as two terms with no bit in common, or one that holds all: only the second needs `x`, the
        // newest word.
        round(&mut now, &words, table, &Round::<0, 0, 1>([7, 12, 17, 22]), |x, y, z| (0, z ^ (x & (y ^ z))));
        round(&mut now, &words, table, &Round::<16, 1, 5>([5, 9, 14, 20]), |x, y, z| (y & !z, x & z));
        round(&mut now, &words, table, &Round::<32, 5, 3>([4, 11, 16, 23]), |x, y, z| (0, x ^ (y ^ z)));
        round(&mut now, &words, table, &Round::<48, 0, 7>([6, 10, 15, 21]), |x, y, z| (0, y ^ (x | !z)));
        state.iter_mut().zip(now).for_each(|(word, now)| *word = word.wrapping_add(now));
    }
}

/// What tells a round from the others: its place in the table, its first word, the step to the next one, and its rotations.
struct Round<const TABLE: usize, const FIRST: usize, const STEP: usize>([u32; 4]);

/// Sixteen steps.
#[inline(always)]
fn round<const TABLE: usize, const FIRST: usize, const STEP: usize>(
    state: &mut [u32; 4],
    words: &[u32; 16],
    table: &[u32; 64],
    round: &Round<TABLE, FIRST, STEP>,
    mix: impl Fn(u32, u32, u32) -> (u32, u32),
) {
    let [mut a, mut b, mut c, mut d] = *state;
    for step in 0..16 {
        let (early, late) = mix(b, c, d);
        let word = words[(FIRST + STEP * step) % 16];
        let sum = a.wrapping_add(word).wrapping_add(table[TABLE + step]).wrapping_add(early);
        let next = sum.wrapping_add(late).rotate_left(round.0[step % 4]).wrapping_add(b);
        (a, d, c, b) = (d, c, b, next);
    }
    *state = [a, b, c, d];
}

#[cfg(test)]
mod tests {
    use md_5::Digest as _;
    use proptest::prelude::*;

    use super::*;

    fn hex(bytes: &[u8]) -> String {
        let mut md5 = Md5::new();
        md5.update(bytes);
        md5.sum().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn the_table_is_made_of_sines() {
        for (i, word) in TABLE.iter().enumerate() {
            assert_eq!(*word, ((i as f64 + 1.0).sin().abs() * 4_294_967_296.0) as u32, "{i}");
        }
    }

    #[test]
    fn the_standards_own_examples() {
        // RFC 1321, A.5.
        let digits = "1234567890".repeat(8);
        for (text, sum) in [
            ("", "d41d8cd98f00b204e9800998ecf8427e"),
            ("a", "0cc175b9c0f1b6a831c399e269772661"),
            ("abc", "900150983cd24fb0d6963f7d28e17f72"),
            ("message digest", "f96b697d7cb7938d525a2f31aaf161d0"),
            ("abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b"),
            (digits.as_str(), "57edf4a22be3c955ac49da2e2107b67a"),
        ] {
            assert_eq!(hex(text.as_bytes()), sum, "{text}");
        }
    }

    #[test]
    fn every_length_about_a_block() {
        let bytes: Vec<u8> = (0..300_usize).map(|n| (n * 131 % 251) as u8).collect();
        for len in 0..bytes.len() {
            let want: [u8; 16] = md_5::Md5::digest(&bytes[..len]).into();
            let mut md5 = Md5::new();
            md5.update(&bytes[..len]);
            assert_eq!(md5.sum(), want, "{len}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_parts_as_another_program_has_it(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..12),
        ) {
            let (mut ours, mut theirs) = (Md5::new(), md_5::Md5::new());
            for part in parts {
                ours.update(&part);
                theirs.update(&part);
                // A sum on the way changes nothing.
                let want: [u8; 16] = theirs.clone().finalize().into();
                prop_assert_eq!(ours.sum(), want);
            }
        }
    }
}
