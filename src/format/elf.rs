//! Looks at the head of a program: is it one for x86-64 Linux, whole, and does it need a loader of the system it runs on?
//!
//! ELF-64, System V ABI "Object Files" and "Program Header". Reads headers only, bounded; it judges no code and runs nothing.

use std::io::{Read, Seek, SeekFrom};

/// How a program gets at its libraries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Linking {
    /// It brings all it needs.
    Static,
    /// It needs a loader and libraries of the system it runs on.
    Dynamic,
}

/// Why a file is no program that kiln can lay on a node. Displayed after "it ".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Shorter than a header.
    TooShort,
    /// Starts with `#!`.
    Script,
    /// No ELF file at all.
    NotElf,
    /// Of another machine, width or byte order, or a library or object file.
    NotX86,
    /// Headers lie past its end: a download that broke off.
    CutShort,
    /// Program headers of a size or number that no linker makes.
    OddHeaders,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::TooShort => "is no program: too short",
            Self::Script => "is no ELF program but a script",
            Self::NotElf => "is no ELF program",
            Self::NotX86 => "is no program for x86-64 Linux",
            Self::CutShort => "is cut short",
            Self::OddHeaders => "has broken program headers",
        })
    }
}

/// Size of the file header, and of one program header.
const HEADER: usize = 64;
const PROGRAM_HEADER: usize = 56;
/// `e_type` of a program at a fixed address, and of one that may lie anywhere.
const ET_EXEC: u16 = 2;
const ET_DYN: u16 = 3;
/// `e_machine` of x86-64.
const X86_64: u16 = 62;
/// `p_type` of the name of the dynamic loader.
const PT_INTERP: u32 = 3;
/// More program headers than any linker makes.
const MAX_PROGRAM_HEADERS: u16 = 128;

/// Checks a program of `len` bytes.
pub fn look(mut file: impl Read + Seek, len: u64) -> std::io::Result<Result<Linking, Fault>> {
    let mut head = [0; HEADER];
    if len < HEADER as u64 {
        return Ok(Err(Fault::TooShort));
    }
    file.seek(SeekFrom::Start(0))?;
    file.read_exact(&mut head)?;
    let half = |at: usize| u16::from_le_bytes([head[at], head[at + 1]]);
    if !head.starts_with(b"\x7fELF") {
        return Ok(Err(if head.starts_with(b"#!") { Fault::Script } else { Fault::NotElf }));
    }
    // 64 bits, little-endian, version 1.
    if head[4..7] != [2, 1, 1] || !matches!(half(16), ET_EXEC | ET_DYN) || half(18) != X86_64 {
        return Ok(Err(Fault::NotX86));
    }
    let offset = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&head[at..at + 8]);
        u64::from_le_bytes(bytes)
    };
    let (size, count) = (half(54), half(56));
    if usize::from(size) != PROGRAM_HEADER || count == 0 || count > MAX_PROGRAM_HEADERS {
        return Ok(Err(Fault::OddHeaders));
    }
    let table = |at: u64, size: u16, count: u16| at.saturating_add(u64::from(size) * u64::from(count));
    // The section headers commonly come last: a download that broke off lacks them.
    if table(offset(40), half(58), half(60)) > len || table(offset(32), size, count) > len {
        return Ok(Err(Fault::CutShort));
    }
    file.seek(SeekFrom::Start(offset(32)))?;
    let mut headers = vec![0; PROGRAM_HEADER * usize::from(count)];
    file.read_exact(&mut headers)?;
    let interpreted = |entry: &[u8]| entry.starts_with(&PT_INTERP.to_le_bytes());
    let dynamic = headers.chunks_exact(PROGRAM_HEADER).any(interpreted);
    Ok(Ok(if dynamic { Linking::Dynamic } else { Linking::Static }))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn judge(bytes: &[u8]) -> Result<Linking, Fault> {
        look(Cursor::new(bytes), bytes.len() as u64).unwrap()
    }

    fn program(kinds: &[u32]) -> Vec<u8> {
        let mut bytes = vec![0; HEADER + PROGRAM_HEADER * kinds.len()];
        bytes[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        bytes[16] = 2;
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
    fn a_program_with_a_loader_is_dynamic() {
        assert_eq!(judge(&program(&[6, 1, 1, 2])), Ok(Linking::Static));
        assert_eq!(judge(&program(&[6, 3, 1, 2])), Ok(Linking::Dynamic));
    }

    #[test]
    fn real_programs_are_told_apart() {
        let open = |path: &std::path::Path| {
            let file = std::fs::File::open(path).unwrap();
            let len = file.metadata().unwrap().len();
            look(file, len).unwrap()
        };
        // The test itself is linked as kiln is.
        assert_eq!(open(&std::env::current_exe().unwrap()), Ok(Linking::Static));
        assert_eq!(open(std::path::Path::new("/bin/ls")), Ok(Linking::Dynamic));
    }

    #[test]
    fn what_is_no_program_is_named() {
        let changed = |at: usize, to: u8| {
            let mut bytes = program(&[1]);
            bytes[at] = to;
            bytes
        };
        let mut script = b"#!/bin/sh\n".to_vec();
        script.resize(200, b'#');
        for (bytes, fault) in [
            (Vec::new(), Fault::TooShort),
            (script, Fault::Script),
            (vec![0; 100], Fault::NotElf),
            (program(&[1])[..80].to_vec(), Fault::CutShort),
            (changed(18, 183), Fault::NotX86),
            (changed(16, 1), Fault::NotX86),
            (changed(57, 0xff), Fault::OddHeaders),
            (changed(56, 0), Fault::OddHeaders),
            (changed(39, 0xff), Fault::CutShort),
            (changed(47, 0xff), Fault::CutShort),
        ] {
            assert_eq!(judge(&bytes), Err(fault));
        }
    }
}
