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

    /// The cluster compressed; `None` if it does not become smaller.
    pub fn encode(&mut self, cluster: &[u8]) -> Option<&[u8]> {
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
