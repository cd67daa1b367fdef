//! `kiln node adopt`: the hands of [`crate::node::adopt`] on a real machine.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::cluster::types::HostName;
use crate::error::{Error, IoContext, Result};
use crate::node::adopt::{Hands, Outcome, Volume, adopt};
use crate::node::child;
use crate::payload::MANIFEST;
use crate::report::Report;

/// Arguments of `kiln node adopt`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Label of the medium: what `kiln build` said
    #[arg(long)]
    pub label: String,
    /// The node that this machine is, unless it is known as another
    #[arg(long, value_name = "NAME")]
    pub node: Option<HostName>,
}

/// Where the payload is mounted.
const MOUNT: &str = "/run/kiln-adopt";
/// Longest time for a program but the set-up script.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longest time for the set-up script: it may install packages.
const SET_UP: Duration = Duration::from_secs(1800);
/// How long the seed of an image without secrets is waited for. The next start waits again.
const SEED_WAIT: Duration = Duration::from_secs(60);
/// Label of the payload's volume, as cloud-init wants it.
const VOLUME: &str = "LABEL=cidata";

struct Machine;

impl Hands for Machine {
    fn mount(&self, label: &str) -> Result<Volume> {
        let mounted = PathBuf::from(MOUNT);
        std::fs::create_dir_all(&mounted).at("making the folder", &mounted)?;
        // `blkid` ends with 2 when there is none.
        let found = run("blkid", &["-t", VOLUME, "-o", "device"])?;
        for device in found.output.lines() {
            // A try that failed half-way has left it mounted.
            let _ = run("umount", &[MOUNT])?;
            if !run("mount", &["-t", "iso9660", "-o", "ro", device, MOUNT])?.success {
                continue;
            }
            let manifest = std::fs::read_to_string(mounted.join(MANIFEST.trim_start_matches('/')));
            if manifest.is_ok_and(|text| text.contains(&format!("\"label\": \"{label}\""))) {
                return Ok(Volume { device: device.into(), mounted });
            }
            let _ = run("umount", &[MOUNT])?;
        }
        Err(Error::input(format!("no volume of this machine is the payload {label}"))
            .hint("the last partition of a disk image holds it, or the seed beside the vendor's image: attach it, or write the image again"))
    }

    fn unmount(&self, volume: &Volume) -> Result<()> {
        done("umount", &run("umount", &[&volume.mounted.to_string_lossy()])?)
    }

    fn set_up(&self, script: &Path, step: &str, volume: &Volume) -> Result<()> {
        let mut command = Command::new("/bin/sh");
        command.arg(script).arg(step).arg(&volume.mounted);
        done("setting the system up", &child::run(command, b"", SET_UP)?)
    }
}

/// Adopts the machine, and starts it anew as the node. An unknown machine is left alone, and says so on its console.
pub fn run_adopt(args: &Args, report: &Report) -> Result<()> {
    match adopt(Path::new("/"), &args.label, args.node.as_ref(), SEED_WAIT, &Machine, report) {
        Ok(Outcome::Already) => {
            report.data("this machine is a node already\n");
            Ok(())
        }
        Ok(Outcome::Adopted(node)) => {
            report.note(&format!("kiln: this machine is {} now; it starts anew as it", node.name));
            done("reboot", &run("systemctl", &["--no-block", "reboot"])?)
        }
        Err(error) => {
            report.note("");
            report.note("  kiln did not make this machine a node. The next start tries again.");
            Err(error)
        }
    }
}

fn run(program: &str, args: &[&str]) -> Result<child::Ended> {
    let mut command = Command::new(program);
    command.args(args);
    child::run(command, b"", PATIENCE)
}

fn done(what: &str, ended: &child::Ended) -> Result<()> {
    match ended.success {
        true => Ok(()),
        false => Err(Error::tool(format!("{what} failed: {}", ended.messages.trim()))),
    }
}
