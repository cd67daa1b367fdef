//! Unpacking within limits: gzip (RFC 1952), zstd (RFC 8878), xz, or nothing. Which it is, is told by the first bytes. A stream that
//! grows beyond its limit, or out of proportion to what it is made of, ends with an error.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

use super::Limits;

/// Bytes that are read at a time.
const PIECE: usize = 64 << 10;
/// A document may grow to this size whatever it is made of.
const SMALL: u64 = 1 << 20;

/// Unpacks `source`, of `packed` bytes; `open` is how long it says that it is.
pub(in crate::format) fn unpack<'a>(
    source: impl Read + 'a,
    packed: u64,
    open: Option<u64>,
    limits: &Limits,
) -> io::Result<Box<dyn BufRead + 'a>> {
    let mut source = BufReader::with_capacity(PIECE, source);
    let head = source.fill_buf()?;
    let inner: Box<dyn Read + 'a> = if head.starts_with(&[0x1f, 0x8b]) {
        Box::new(MultiGzDecoder::new(source))
    } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Box::new(Frames { decoder: None, source: Some(source), window: limits.window })
    } else if head.starts_with(&[0xfd, b'7', b'z', b'X', b'Z', 0]) {
        let window = u32::try_from(limits.window >> 10).unwrap_or(u32::MAX);
        Box::new(XzReader::new_mem_limit(source, true, window))
    } else if head.starts_with(b"BZh") || head.starts_with(b"\0ZCK1") {
        let fault = "it is packed with bzip2 or zchunk, which kiln does not read";
        return Err(io::Error::new(io::ErrorKind::InvalidData, fault));
    } else {
        Box::new(source)
    };
    let proportion = packed.saturating_mul(limits.ratio).max(SMALL);
    let left = limits.open.min(proportion).min(open.unwrap_or(u64::MAX));
    Ok(Box::new(BufReader::with_capacity(PIECE, Bounded { inner, left })))
}

/// The frames of a zstd file, one after the other.
struct Frames<R: Read> {
    decoder: Option<StreamingDecoder<R, FrameDecoder>>,
    /// The source, between frames.
    source: Option<R>,
    window: u64,
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(decoder) = &mut self.decoder {
                let got = decoder.read(buffer)?;
                if got > 0 || buffer.is_empty() {
                    return Ok(got);
                }
            }
            let ended = self.decoder.take().map(StreamingDecoder::into_inner);
            let Some(mut source) = ended.or_else(|| self.source.take()) else { return Ok(0) };
            if source.fill_buf()?.is_empty() {
                return Ok(0);
            }
            let decoder = StreamingDecoder::new_with_max_window_size(source, self.window);
            self.decoder = Some(decoder.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?);
        }
    }
}

/// Fails where `take` would only stop.
struct Bounded<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.inner.read(buffer)?;
        match self.left.checked_sub(got as u64) {
            Some(left) => {
                self.left = left;
                Ok(got)
            }
            None => {
                Err(io::Error::new(io::ErrorKind::InvalidData, "it unpacks to more than it should, or says"))
            }
        }
    }
}
