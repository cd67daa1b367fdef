//! Compression of clusters: raw deflate with a window of 12 bits as QEMU writes it (RFC 1951), or a Zstandard frame (RFC 8878).

use std::io::{self, Read};

use flate2::{Compress, Decompress, FlushCompress, FlushDecompress, Status};

/// How clusters are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Deflate: every QEMU reads it.
    #[default]
    Zlib,
    /// Zstandard: QEMU 5.1 and later.
    Zstd,
}

/// Level of deflate: QEMU's.
const DEFLATE: u32 = 6;
/// Window of deflate: QEMU's.
const WINDOW: u8 = 12;
/// Level of Zstandard.
const ZSTD: i32 = 3;
/// Largest window that a frame may ask for: a cluster has 2 MiB at most.
const ZSTD_WINDOW: u32 = 22;

/// Fills `out` from compressed bytes, behind which other bytes may follow.
pub fn decode(kind: Compression, bytes: &[u8], out: &mut [u8]) -> io::Result<()> {
    let short = || io::Error::new(io::ErrorKind::InvalidData, "a compressed cluster is damaged");
    match kind {
        Compression::Zlib => {
            let mut inflate = Decompress::new(false);
            // With the whole output at hand the end of the input may be anything.
            let _ = inflate.decompress(bytes, out, FlushDecompress::Finish).map_err(|_| short())?;
            if inflate.total_out() == out.len() as u64 { Ok(()) } else { Err(short()) }
        }
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(bytes)?.single_frame();
            decoder.window_log_max(ZSTD_WINDOW)?;
            decoder.read_exact(out).map_err(|_| short())
        }
    }
}

/// Compresses clusters, one after the other.
pub struct Encoder {
    kind: Kind,
    out: Vec<u8>,
}

enum Kind {
    Zlib(Box<Compress>),
    Zstd(Box<zstd::bulk::Compressor<'static>>),
}

impl Encoder {
    /// For clusters of `cluster` bytes.
    pub fn new(kind: Compression, cluster: usize) -> io::Result<Self> {
        let kind = match kind {
            Compression::Zlib => {
                let level = flate2::Compression::new(DEFLATE);
                Kind::Zlib(Box::new(Compress::new_with_window_bits(level, false, WINDOW)))
            }
            Compression::Zstd => Kind::Zstd(Box::new(zstd::bulk::Compressor::new(ZSTD)?)),
        };
        // What does not become smaller is stored as it is.
        Ok(Self { kind, out: vec![0; cluster - 1] })
    }

    /// The cluster compressed; `None` if it does not become smaller, or looks as if it would not.
    pub fn encode(&mut self, cluster: &[u8]) -> Option<&[u8]> {
        if is_noise(cluster) {
            return None;
        }
        let len = match &mut self.kind {
            Kind::Zlib(deflate) => {
                deflate.reset();
                match deflate.compress(cluster, &mut self.out, FlushCompress::Finish) {
                    Ok(Status::StreamEnd) => usize::try_from(deflate.total_out()).ok(),
                    _ => None,
                }
            }
            Kind::Zstd(zstd) => zstd.compress_to_buffer(cluster, &mut self.out[..]).ok(),
        };
        self.out.get(..len?)
    }
}

/// Whether nothing makes a cluster smaller, as far as a glance tells: all bytes are about as frequent, as in what is compressed or
/// encrypted, and no four bytes of its beginning come twice there. Trying takes thirty times as long.
fn is_noise(cluster: &[u8]) -> bool {
    const GLANCE: usize = 4096;
    if cluster.len() < GLANCE {
        return false;
    }
    let mut counts = [0_u64; 256];
    cluster.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
    // By chance alone the squares add up to n²/256 + n, give or take n/11.
    let (n, squares) = (cluster.len() as u64, counts.iter().map(|count| count * count).sum::<u64>());
    if squares > n * n / 256 + 2 * n {
        return false;
    }
    let mut seen = [0_u32; GLANCE];
    let mut repeated = 0;
    for four in cluster[..GLANCE].windows(4) {
        let word = crate::format::bytes::le32(four, 0);
        let slot = &mut seen[(word.wrapping_mul(0x9e37_79b1) >> 20) as usize];
        repeated += usize::from(*slot == word);
        *slot = word;
    }
    repeated < 8
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn noise_is_told_from_what_becomes_smaller() {
        let mut state = 1_u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u8
        };
        let noise: Vec<u8> = (0..65_536).map(|_| random()).collect();
        let text = b"all work and no play makes the bench a dull one\n".repeat(1366)[..65_536].to_vec();
        let even: Vec<u8> = (0..65_536_u32).map(|n| n as u8).collect();
        let half = [&noise[..32_768], &text[..32_768]].concat();
        let mut encoder = Encoder::new(Compression::Zlib, 65_536).unwrap();
        assert!(is_noise(&noise) && encoder.encode(&noise).is_none());
        for smaller in [&text, &even, &half, &vec![0; 65_536]] {
            assert!(!is_noise(smaller) && encoder.encode(smaller).is_some());
        }
    }
}
