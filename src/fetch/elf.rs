//! Looks at the head of a program: is it one for x86-64 Linux, whole, and does it need a C library of the node?
//!
//! ELF as the System V ABI defines it. Reads headers only; it judges no code.

use std::io::{Read, Seek, SeekFrom};

/// How a program gets at its libraries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Linking {
    /// It brings all it needs.
    Static,
    /// It needs a loader and libraries of the system it runs on.
    Dynamic,
}

const HEADER: usize = 64;
const PROGRAM_HEADER: usize = 56;
const PT_INTERP: u32 = 3;

/// Checks a program of `len` bytes. The error says what is wrong with it.
pub fn look(mut file: impl Read + Seek, len: u64) -> std::io::Result<Result<Linking, String>> {
    let mut head = [0; HEADER];
    if len < HEADER as u64 {
        return Ok(Err("it is no program: too short".to_owned()));
    }
    file.seek(SeekFrom::Start(0))?;
    file.read_exact(&mut head)?;
    let half = |at: usize| u16::from_le_bytes([head[at], head[at + 1]]);
    if head[..4] != *b"\x7fELF" {
        let script = if head.starts_with(b"#!") { " but a script" } else { "" };
        return Ok(Err(format!("it is no ELF program{script}")));
    }
    // Class 64, little endian, executable or position independent, machine 62.
    if (head[4], head[5]) != (2, 1) || !matches!(half(16), 2 | 3) || half(18) != 62 {
        return Ok(Err("it is no program for x86-64".to_owned()));
    }
    let offset = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&head[at..at + 8]);
        u64::from_le_bytes(bytes)
    };
    let table = |at: u64, size: u16, count: u16| at.saturating_add(u64::from(size) * u64::from(count));
    // The section headers commonly come last: a download that broke off lacks them.
    if table(offset(40), half(58), half(60)) > len || table(offset(32), half(54), half(56)) > len {
        return Ok(Err("it is cut short".to_owned()));
    }
    if usize::from(half(54)) != PROGRAM_HEADER {
        return Ok(Err("its program headers have a size of their own".to_owned()));
    }
    file.seek(SeekFrom::Start(offset(32)))?;
    let mut headers = vec![0; PROGRAM_HEADER * usize::from(half(56))];
    file.read_exact(&mut headers)?;
    let dynamic = headers
        .chunks_exact(PROGRAM_HEADER)
        .any(|header| u32::from_le_bytes([header[0], header[1], header[2], header[3]]) == PT_INTERP);
    Ok(Ok(if dynamic { Linking::Dynamic } else { Linking::Static }))
}
