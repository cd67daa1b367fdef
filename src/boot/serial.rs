//! What the guest prints, as lines without terminal control. What the lines mean is the business of `stage`.
//!
//! Output comes from loaders that draw boxes with cursor jumps, and from kernels that interleave. So control sequences go,
//! a cursor jump ends a line, and every bound is fixed: a line, the lines kept, the log as a whole.

use std::collections::VecDeque;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Longest line that is looked at; what is longer is cut into lines.
const LINE_LIMIT: usize = 16 << 10;
/// Lines kept for a report.
const KEPT: usize = 60;
/// Longest log. A guest that prints more is out of order.
pub const LOG_LIMIT: u64 = 64 << 20;

/// A growing file that the guest writes, read as lines.
#[derive(Debug)]
pub struct Tail {
    path: PathBuf,
    offset: u64,
    lines: Lines,
}

impl Tail {
    /// Follows a file from its beginning.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), offset: 0, lines: Lines::default() }
    }

    /// Bytes read so far.
    pub fn length(&self) -> u64 {
        self.offset
    }

    /// Lines complete since the last call. At most 1 MiB is read a call, and nothing beyond [`LOG_LIMIT`].
    pub fn poll(&mut self) -> std::io::Result<Vec<String>> {
        let mut file = std::fs::File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.offset))?;
        let mut bytes = Vec::new();
        let most = (LOG_LIMIT + 1).saturating_sub(self.offset).min(1 << 20);
        self.offset += file.take(most).read_to_end(&mut bytes)? as u64;
        let mut out = Vec::new();
        self.lines.feed(&bytes, &mut out);
        Ok(out)
    }

    /// The line that is not complete yet.
    pub fn partial(&self) -> String {
        String::from_utf8_lossy(&self.lines.line).into_owned()
    }

    /// Ends the last line.
    pub fn finish(&mut self) -> Option<String> {
        let mut out = Vec::new();
        self.lines.end(&mut out);
        out.pop()
    }
}

/// The last lines printed.
#[derive(Debug, Default)]
pub struct Last(VecDeque<String>);

impl Last {
    /// Adds a line and forgets the oldest one.
    pub fn push(&mut self, line: &str) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(line.chars().take(400).collect());
    }

    /// The lines, oldest first.
    pub fn into_lines(self) -> Vec<String> {
        self.0.into()
    }
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    Escape,
    Control,
    /// Until BEL or escape: window titles and the like.
    String,
}

/// Terminal output to lines.
#[derive(Debug, Default)]
struct Lines {
    state: State,
    line: Vec<u8>,
}

impl Lines {
    fn feed(&mut self, bytes: &[u8], out: &mut Vec<String>) {
        for &byte in bytes {
            match self.state {
                State::Text => self.text(byte, out),
                State::Escape => {
                    self.state = match byte {
                        b'[' => State::Control,
                        b']' | b'P' | b'^' | b'_' => State::String,
                        _ => State::Text,
                    }
                }
                State::Control if (0x40..=0x7e).contains(&byte) => {
                    self.state = State::Text;
                    // A cursor jump or a cleared screen begins something new.
                    if matches!(byte, b'H' | b'f' | b'J' | b'd') {
                        self.end(out);
                    }
                }
                State::String if byte == 0x07 => self.state = State::Text,
                State::String if byte == 0x1b => self.state = State::Escape,
                State::Control | State::String => {}
            }
        }
    }

    fn text(&mut self, byte: u8, out: &mut Vec<String>) {
        match byte {
            0x1b => self.state = State::Escape,
            b'\n' => self.end(out),
            b'\t' | 0x20..=0x7e | 0x80.. => {
                self.line.push(byte);
                if self.line.len() >= LINE_LIMIT {
                    self.end(out);
                }
            }
            _ => {}
        }
    }

    fn end(&mut self, out: &mut Vec<String>) {
        let line = std::mem::take(&mut self.line);
        let text = String::from_utf8_lossy(&line);
        if !text.trim().is_empty() {
            out.push(text.trim_end().to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8]) -> Vec<String> {
        let mut lines = Lines::default();
        let mut out = Vec::new();
        // In two parts, so that every state survives a break.
        for half in [&bytes[..bytes.len() / 2], &bytes[bytes.len() / 2..]] {
            lines.feed(half, &mut out);
        }
        lines.end(&mut out);
        out
    }

    #[test]
    fn terminal_control_goes_and_words_stay() {
        assert_eq!(lines(b"\x1b[2J\x1b[01;01HBdsDxe: loading\r\n\r\n"), ["BdsDxe: loading"]);
        assert_eq!(lines(b"\x1b[0;30;47m Security \x1b[1mViolation\x1b[m"), [" Security Violation"]);
        assert_eq!(lines(b"one\x1b[5;10Htwo\x1b]0;title\x07three\x1b[24dx"), ["one", "twothree", "x"]);
        assert_eq!(lines(b"a\x00\x08b\xff"), ["ab\u{fffd}"]);
    }

    #[test]
    fn lines_are_bounded() {
        let long = lines(&vec![b'x'; 3 * LINE_LIMIT + 5]);
        assert_eq!(long.len(), 4);
        assert!(long.iter().all(|line| line.len() <= LINE_LIMIT));
        let mut last = Last::default();
        for n in 0..1000 {
            last.push(&n.to_string());
        }
        let kept = last.into_lines();
        assert_eq!((kept.len(), &*kept[0], &*kept[59]), (60, "940", "999"));
    }

    #[test]
    fn a_file_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        std::fs::write(&path, "one\ntw").unwrap();
        let mut tail = Tail::new(&path);
        assert_eq!(tail.poll().unwrap(), ["one"]);
        assert_eq!(tail.partial(), "tw");
        std::fs::write(&path, "one\ntwo\nthree").unwrap();
        assert_eq!(tail.poll().unwrap(), ["two"]);
        assert_eq!(tail.finish().as_deref(), Some("three"));
        assert_eq!(tail.length(), 13);
    }
}
