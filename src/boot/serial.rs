//! What the guest prints: lines without terminal control, the stage they show, and the words that mean failure.
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

/// How far the machine has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// SeaBIOS or OVMF.
    Firmware,
    /// isolinux, shim or GRUB.
    Loader,
    /// Linux, up to its first program.
    Kernel,
    /// The installer, or what stands in for it.
    Installer,
}

impl Stage {
    /// All stages in order.
    pub const ALL: [Stage; 4] = [Stage::Firmware, Stage::Loader, Stage::Kernel, Stage::Installer];

    /// The word in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Stage::Firmware => "firmware",
            Stage::Loader => "loader",
            Stage::Kernel => "kernel",
            Stage::Installer => "installer",
        }
    }
}

/// Words that show that a stage has been reached.
const SIGNS: [(Stage, &[&str]); 3] = [
    (
        Stage::Installer,
        &["KILN-STANDIN", "kiln STAND-IN", "Run /init as init process", "dracut", "anaconda", "systemd[1]: "],
    ),
    (Stage::Kernel, &["Linux version ", "EFI stub:", "Booting the kernel"]),
    (
        Stage::Loader,
        &[
            "ISOLINUX ",
            "SYSLINUX ",
            "GRUB ",
            "BdsDxe: starting Boot",
            "Booting from DVD/CD",
            "Booting from Hard Disk",
        ],
    ),
];

/// The stage that a line shows, if any.
pub fn stage_of(line: &str) -> Option<Stage> {
    SIGNS.iter().find(|(_, words)| words.iter().any(|word| line.contains(word))).map(|&(stage, _)| stage)
}

/// A sign of failure: the words, the last stage in which they mean it, and what it is.
const FAILURES: [(&str, Stage, &str); 14] = [
    (
        "bad shim signature",
        Stage::Loader,
        "GRUB refused the kernel: its signature does not hold (bad shim signature)",
    ),
    (
        "Security Violation",
        Stage::Loader,
        "shim refused the boot loader: its signature does not hold (Security Violation)",
    ),
    (
        "Access Denied",
        Stage::Loader,
        "the firmware refused the boot loader: it is not signed for Secure Boot (Access Denied)",
    ),
    ("No bootable device", Stage::Loader, "the firmware found nothing to boot (No bootable device)"),
    (
        "No bootable option or device",
        Stage::Loader,
        "the firmware found nothing to boot (No bootable option or device)",
    ),
    ("Boot failed: ", Stage::Firmware, "the firmware could not boot the medium (Boot failed)"),
    (
        "Could not find kernel image",
        Stage::Loader,
        "the loader did not find the kernel (Could not find kernel image)",
    ),
    ("Failed to load ldlinux", Stage::Loader, "isolinux did not find its own files (Failed to load ldlinux)"),
    (
        "you need to load the kernel first",
        Stage::Loader,
        "GRUB did not find the kernel (you need to load the kernel first)",
    ),
    (
        "Initramfs unpacking failed",
        Stage::Installer,
        "the kernel could not unpack an initrd (Initramfs unpacking failed)",
    ),
    ("Kernel panic", Stage::Installer, "the kernel panicked (Kernel panic)"),
    (
        "dracut-initqueue timeout",
        Stage::Installer,
        "the installer's initrd waited in vain (dracut-initqueue timeout)",
    ),
    ("Entering emergency mode", Stage::Installer, "the installer's initrd gave up (Entering emergency mode)"),
    ("Pane is dead", Stage::Installer, "the installer crashed (Pane is dead)"),
];

/// The kernel's check of its timer counts QEMU's ticks against a busy loop: on a host without time to spare QEMU is late
/// and the kernel panics. That says nothing about the medium.
pub fn starved(line: &str) -> bool {
    line.contains("IO-APIC + timer doesn't work")
}

/// What a line says went wrong, if it does so at this stage.
pub fn failure_of(line: &str, stage: Stage) -> Option<&'static str> {
    FAILURES.iter().find(|(words, last, _)| stage <= *last && line.contains(words)).map(|&(.., what)| what)
}

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
    fn stages_are_recognised() {
        for (line, stage) in [
            ("ISOLINUX 6.04 EDD", Some(Stage::Loader)),
            ("BdsDxe: starting Boot0001 \"UEFI QEMU DVD-ROM\"", Some(Stage::Loader)),
            ("BdsDxe: loading Boot0001", None),
            ("[    0.000000] Linux version 6.1.0-49-amd64", Some(Stage::Kernel)),
            ("EFI stub: UEFI Secure Boot is enabled.", Some(Stage::Kernel)),
            ("[    1.9] Run /init as init process", Some(Stage::Installer)),
            ("nothing", None),
        ] {
            assert_eq!(stage_of(line), stage, "{line}");
        }
    }

    #[test]
    fn signs_of_failure_count_only_where_they_mean_it() {
        let denied = "BdsDxe: failed to load Boot0001: Access Denied";
        assert!(failure_of(denied, Stage::Firmware).is_some());
        assert!(failure_of("sshd: Access Denied", Stage::Installer).is_none());
        assert!(failure_of("[    2.1] Kernel panic - not syncing: no init", Stage::Kernel).is_some());
        assert!(failure_of("error: bad shim signature.", Stage::Loader).is_some());
        assert!(failure_of("all is well", Stage::Loader).is_none());
    }

    #[test]
    fn a_starved_host_is_told_from_a_panic() {
        assert!(starved(
            "[ 0.0] Kernel panic - not syncing: IO-APIC + timer doesn't work!  Boot with apic=debug"
        ));
        assert!(!starved("[ 0.0] Kernel panic - not syncing: VFS: Unable to mount root fs"));
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
