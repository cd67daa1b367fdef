//! The person who may stand at the machine: asked on the screen and on the serial line at once, for a bounded time. Nobody
//! there means no.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::identity::short;
use super::prepare::Operator;
use crate::cluster::types::HostName;
use crate::error::{Error, Result};

/// Longest line that is listened to.
const LONGEST: usize = 256;
/// The virtual terminal that the installer leaves to kickstarts.
const SCREEN: u8 = 6;

/// The machine's consoles.
#[derive(Debug, Clone, Copy)]
pub struct Console<'a> {
    /// Root of the running system: `/`.
    pub root: &'a Path,
    /// How long somebody has to answer.
    pub patience: Duration,
}

impl Operator for Console<'_> {
    fn types_name(&self, name: &HostName, why: &str) -> Result<bool> {
        let mut lines: Vec<Line> = self.paths().iter().filter_map(|path| Line::open(path)).collect();
        if lines.is_empty() {
            return Ok(false);
        }
        // Without a screen there may be a serial line still.
        let _ = Command::new("chvt").arg(SCREEN.to_string()).status();
        let time = match self.patience.as_secs() {
            seconds if seconds < 120 => format!("{seconds} seconds"),
            seconds => format!("{} minutes", seconds / 60),
        };
        let question = format!(
            "\r\n\r\n  {why}.\r\n  To wipe it and install anew, type the name of the node: {name}\r\n  \
             Without an answer within {time} nothing is touched.\r\n  > "
        );
        lines.iter_mut().for_each(|line| line.say(&question));
        answer(&mut lines, name.as_str(), Instant::now() + self.patience)
    }
}

impl Console<'_> {
    /// The terminals to ask on: those that the kernel writes to, the screen by the one that is free.
    fn paths(&self) -> Vec<PathBuf> {
        let active = short(&self.root.join("sys/class/tty/console/active")).unwrap_or_default();
        let device = |name: &str| match name {
            "tty0" => self.root.join(format!("dev/tty{SCREEN}")),
            other => self.root.join("dev").join(other),
        };
        active.split_ascii_whitespace().map(device).collect()
    }
}

/// A terminal, and what was typed since the last line.
struct Line {
    file: File,
    typed: Vec<u8>,
    open: bool,
}

impl Line {
    fn open(path: &Path) -> Option<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path).ok()?;
        Some(Self { file, typed: Vec::new(), open: true })
    }

    /// A terminal that cannot be written to is no reason to stop.
    fn say(&mut self, text: &str) {
        let _ = self.file.write_all(text.as_bytes());
    }

    /// Reads what is there; whole lines come back.
    fn read(&mut self) -> Vec<String> {
        let mut buffer = [0; LONGEST];
        match self.file.read(&mut buffer) {
            Ok(0) | Err(_) => self.open = false,
            Ok(got) => self.typed.extend_from_slice(&buffer[..got]),
        }
        let mut whole = Vec::new();
        while let Some(end) = self.typed.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            let line: Vec<u8> = self.typed.drain(..=end).collect();
            whole.push(String::from_utf8_lossy(&line).trim().to_owned());
        }
        if self.typed.len() > LONGEST {
            self.typed.clear();
        }
        whole.retain(|line| !line.is_empty());
        whole
    }
}

/// Whether the name is typed on any of the lines before the time is over.
fn answer(lines: &mut [Line], name: &str, until: Instant) -> Result<bool> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || lines.iter().all(|line| !line.open) {
            return Ok(false);
        }
        let ready = {
            let mut fds: Vec<PollFd<'_>> = Vec::new();
            fds.extend(
                lines.iter().filter(|line| line.open).map(|line| PollFd::new(&line.file, PollFlags::IN)),
            );
            let wait =
                left.try_into().map_err(|error| Error::internal("waiting for an answer").because(error))?;
            match poll(&mut fds, Some(&wait)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(Error::io("waiting at", Path::new("the console"), error.into())),
            }
            fds.iter().map(|fd| !fd.revents().is_empty()).collect::<Vec<bool>>()
        };
        for (line, _) in lines.iter_mut().filter(|line| line.open).zip(ready).filter(|(_, ready)| *ready) {
            for typed in line.read() {
                if typed == name {
                    line.say("\r\n  The disk will be wiped.\r\n");
                    return Ok(true);
                }
                line.say("\r\n  That is not its name.\r\n  > ");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    /// A console whose other end has typed this.
    fn typed(text: &[u8]) -> (Line, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (&theirs).write_all(text).unwrap();
        (Line { file: File::from(std::os::fd::OwnedFd::from(ours)), typed: Vec::new(), open: true }, theirs)
    }

    fn ask(texts: &[&[u8]]) -> bool {
        let (mut lines, ends): (Vec<Line>, Vec<UnixStream>) = texts.iter().map(|text| typed(text)).unzip();
        let said = answer(&mut lines, "m1", Instant::now() + Duration::from_millis(200)).unwrap();
        drop(ends);
        said
    }

    #[test]
    fn only_the_whole_name_on_one_line_is_a_yes() {
        assert!(ask(&[b"m1\n"]));
        assert!(ask(&[b"", b"no\r\n m1 \r"]));
        for no in [b"".as_slice(), b"m1", b"m11\n", b"m\n1\n", b"yes\n", b"M1\n"] {
            assert!(!ask(&[no]), "{no:?}");
        }
        assert!(!ask(&[b"m", b"1\n"]));
    }

    #[test]
    fn a_flood_is_no_answer_and_ends() {
        let flood = vec![b'x'; 20_000];
        assert!(!ask(&[&flood]));
        assert!(!ask(&[]));
    }

    #[test]
    fn a_line_that_is_gone_is_not_waited_for() {
        let (line, end) = typed(b"");
        drop(end);
        let started = Instant::now();
        assert!(!answer(&mut [line], "m1", started + Duration::from_secs(60)).unwrap());
        assert!(started.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn the_screen_is_asked_on_its_free_terminal() {
        let fake = crate::testing::Fake::new();
        fake.put("sys/class/tty/console/active", "tty0 ttyS0\n");
        let console = Console { root: fake.root(), patience: Duration::from_secs(1) };
        let names: Vec<_> = console.paths().iter().map(|p| p.file_name().unwrap().to_owned()).collect();
        assert_eq!(names, ["tty6", "ttyS0"]);
        assert!(!console.types_name(&"m1".parse().unwrap(), "x").unwrap());
    }
}
