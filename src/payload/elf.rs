//! Tells whether a program is statically linked (ELF-64, System V ABI "Object Files", "Program Header"). It reads the
//! headers, bounded, and runs nothing.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use crate::error::{Error, IoContext, Result};

/// Size of the file header, and of one program header.
const HEADER: usize = 64;
const PROGRAM_HEADER: usize = 56;
/// `e_machine` of x86-64.
const X86_64: u16 = 62;
/// `p_type` of the name of the dynamic loader.
const PT_INTERP: u32 = 3;
/// More program headers than any linker makes.
const MAX_PROGRAM_HEADERS: u16 = 128;

/// Refuses a file that is no program for x86-64, or that needs a dynamic loader: it would not start in the installer.
pub(super) fn require_static(file: &mut (impl Read + Seek), path: &Path) -> Result<()> {
    let mut header = [0; HEADER];
    let len = fill(file, &mut header).at("reading", path)?;
    let half = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
    // Magic, 64 bits, little-endian, version 1.
    if len < HEADER || !header.starts_with(b"\x7fELF\x02\x01\x01") || half(18) != X86_64 {
        return Err(wrong(path, "is no program for x86-64 Linux"));
    }
    let mut offset = [0; 8];
    offset.copy_from_slice(&header[32..40]);
    let (size, count) = (half(54), half(56));
    if usize::from(size) != PROGRAM_HEADER || count == 0 || count > MAX_PROGRAM_HEADERS {
        return Err(wrong(path, "has broken program headers"));
    }
    file.seek(SeekFrom::Start(u64::from_le_bytes(offset)))
        .map_err(|_| wrong(path, "has broken program headers"))?;
    let mut table = vec![0; PROGRAM_HEADER * usize::from(count)];
    if fill(file, &mut table).at("reading", path)? < table.len() {
        return Err(wrong(path, "ends within its program headers"));
    }
    let interpreted = |entry: &[u8]| entry.starts_with(&PT_INTERP.to_le_bytes());
    if table.chunks_exact(PROGRAM_HEADER).any(interpreted) {
        return Err(wrong(path, "is dynamically linked, so it would not start in the installer"));
    }
    Ok(())
}

fn wrong(path: &Path, what: &str) -> Error {
    Error::input(format!("{} {what}", path.display())).hint(
        "kiln puts itself on the medium; build a static one with `cargo build --release` in kiln's repository \
         (its .cargo/config.toml links statically) and run that",
    )
}

/// Reads until the buffer is full or the file ends.
fn fill(file: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read(&mut buffer[done..]) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn look(bytes: Vec<u8>) -> Result<()> {
        require_static(&mut Cursor::new(bytes), Path::new("kiln"))
    }

    fn program(kinds: &[u32]) -> Vec<u8> {
        let mut bytes = vec![0; HEADER + PROGRAM_HEADER * kinds.len()];
        bytes[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        bytes[18] = 62;
        bytes[32] = 64;
        bytes[54] = 56;
        bytes[56] = kinds.len() as u8;
        for (at, kind) in kinds.iter().enumerate() {
            let start = HEADER + PROGRAM_HEADER * at;
            bytes[start..start + 4].copy_from_slice(&kind.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn a_program_with_a_loader_is_refused() {
        look(program(&[6, 1, 1, 2])).unwrap();
        let error = look(program(&[6, 3, 1, 2])).unwrap_err();
        assert!(error.to_string().contains("dynamically linked"), "{error}");
        assert!(error.hint_text().unwrap().contains("cargo build --release"));
    }

    #[test]
    fn real_programs_are_told_apart() {
        let open = |path: &str| std::fs::File::open(path).unwrap();
        // The test itself is linked as kiln is.
        let this = std::env::current_exe().unwrap();
        require_static(&mut open(this.to_str().unwrap()), &this).unwrap();
        assert!(require_static(&mut open("/bin/ls"), Path::new("/bin/ls")).is_err());
    }

    #[test]
    fn what_is_no_program_is_refused() {
        let mut arm = program(&[1]);
        arm[18] = 183;
        let mut many = program(&[1]);
        many[57] = 0xff;
        let mut far = program(&[1]);
        far[39] = 0xff;
        for bytes in [Vec::new(), b"#!/bin/sh\n".to_vec(), program(&[1])[..80].to_vec(), arm, many, far] {
            assert!(look(bytes).is_err());
        }
    }
}
