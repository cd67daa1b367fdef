//! chronyd by its own `chronyc` (3.4 to 4.7), through its socket: how it is, and whether it may serve its own time.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::node::child;
use crate::node::status::clean;

/// chronyc asks three times by itself, a second and more apart.
const LIMIT: Duration = Duration::from_secs(8);

/// How chronyd is.
#[derive(Debug, Clone, PartialEq)]
pub struct Tracking {
    /// Whose time it keeps; empty for its own.
    pub source: String,
    /// Whether it keeps anybody's time at all.
    pub synchronised: bool,
    /// Seconds that the clock is still away from that time.
    pub away: f64,
}

/// chronyd of this machine.
#[derive(Debug, Clone)]
pub struct Chrony {
    socket: Option<PathBuf>,
}

impl Chrony {
    /// The one behind a socket; `None` for where chronyc looks by itself.
    pub fn new(socket: Option<&Path>) -> Self {
        Self { socket: socket.map(Path::to_owned) }
    }

    /// How it is.
    pub fn tracking(&self) -> Result<Tracking> {
        let said = self.run(&["-c", "tracking"])?;
        read(&said).ok_or_else(|| Error::tool(format!("chronyc tracking said `{}`", clean(&said))))
    }

    /// Lets it serve its own clock where there is no better one, or forbids it. Among those that may, the one of the
    /// smallest address does (`orphan`), and the others follow it.
    pub fn serve(&self, may: bool) -> Result<()> {
        self.run(if may { &["local", "stratum", "10", "orphan"] } else { &["local", "off"] }).map(|_| ())
    }

    /// Has it ask its sources at once, rather than at their next turn.
    pub fn hurry(&self) -> Result<()> {
        self.run(&["burst", "4/6"]).map(|_| ())
    }

    fn run(&self, words: &[&str]) -> Result<String> {
        let mut command = Command::new("chronyc");
        if let Some(socket) = &self.socket {
            command.arg("-h").arg(socket);
        }
        // Addresses are not looked up: there may be nobody to answer.
        command.arg("-n").args(words);
        let ended = child::run(command, b"", LIMIT)?;
        if ended.success && !ended.output.contains("501 Not authorised") {
            return Ok(ended.output);
        }
        let said = clean(&format!("{} {}", ended.output.trim(), ended.messages.trim()));
        Err(Error::tool(format!("chronyc {} failed: {said}", words.join(" "))))
    }
}

/// Reads a line of comma-separated values: reference id, source, stratum, time of the last update, offset of the clock, four
/// to nine more, leap status.
fn read(text: &str) -> Option<Tracking> {
    let parts: Vec<&str> = text.trim().split(',').collect();
    let (id, source, stratum, away) = (parts.first()?, parts.get(1)?, parts.get(2)?, parts.get(4)?);
    let stratum: u8 = stratum.parse().ok()?;
    let leap = *parts.get(13)?;
    let own = *id == "7F7F0101";
    Some(Tracking {
        source: if own { String::new() } else { clean(source) },
        synchronised: leap != "Not synchronised" && (1..16).contains(&stratum),
        away: away.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tracking_is_read() {
        let own = "7F7F0101,,10,1795431687.743145779,0.000000000,0.000000000,0.000000000,0.000,0.000,0.000,0.000000000,0.000000000,0.0,Normal\n";
        assert_eq!(read(own), Some(Tracking { source: String::new(), synchronised: true, away: 0.0 }));
        let other = "0A4D0001,10.77.0.1,11,1795431687.7,-0.5,0.0,0.0,0.0,0.0,0.0,0.0,0.0,4.0,Normal";
        assert_eq!(
            read(other),
            Some(Tracking { source: "10.77.0.1".into(), synchronised: true, away: -0.5 })
        );
        let none = "00000000,,0,0.000000000,0.0,0.0,0.0,0.0,0.0,0.0,1.0,1.0,0.0,Not synchronised";
        assert!(!read(none).unwrap().synchronised);
        for bad in ["", "506 Cannot talk to daemon", "a,b,c,d,e,f,g,h,i,j,k,l,m,n"] {
            assert_eq!(read(bad), None);
        }
    }
}
