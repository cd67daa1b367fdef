//! The virtual machine: QEMU's program and its process. Knows nothing of what the guest prints.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::arguments::Arguments;
use super::disk::Drive;
use super::firmware::Image;
use super::hardware::Hardware;
use super::spec::{Accel, Attach};
use super::work::Files;
use crate::error::{Error, IoContext, Result};

/// Where QEMU lies apart from `PATH`: EL keeps it away from users.
const ELSEWHERE: [&str; 2] = ["/usr/libexec/qemu-kvm", "/usr/bin/qemu-kvm"];

/// QEMU for x86-64.
pub fn find_qemu(given: Option<&Path>) -> Result<PathBuf> {
    if let Some(path) = given {
        let missing = || {
            Error::tool(format!("{} is no program", path.display()))
                .hint("name QEMU's program, or leave it out")
        };
        return path.is_file().then(|| path.to_owned()).ok_or_else(missing);
    }
    in_path("qemu-system-x86_64")
        .or_else(|| ELSEWHERE.iter().map(PathBuf::from).find(|path| path.is_file()))
        .ok_or_else(|| {
            Error::tool("QEMU for x86-64 is not installed").hint(
                "install it: `apt-get install qemu-system-x86 ovmf` on Debian, `dnf install qemu-kvm edk2-ovmf` on EL",
            )
        })
}

fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())
}

/// What the firmware tries first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// The medium, then the disks.
    #[default]
    Medium,
    /// The disks, then the medium.
    Disk,
    /// What the firmware has remembered or prefers: nothing is asked of it.
    Firmware,
}

impl Order {
    /// QEMU's `bootindex` of the medium beside so many disks.
    pub fn of_medium(self, disks: usize) -> Option<usize> {
        match self {
            Order::Medium => Some(1),
            Order::Disk => Some(disks + 1),
            Order::Firmware => None,
        }
    }

    /// QEMU's `bootindex` of a disk, counted from 0.
    pub fn of_disk(self, number: usize) -> Option<usize> {
        match self {
            Order::Medium => Some(number + 2),
            Order::Disk => Some(number + 1),
            Order::Firmware => None,
        }
    }
}

/// A machine ready to be started.
#[derive(Debug)]
pub struct Machine<'a> {
    /// Everything but its disks.
    pub hardware: &'a Hardware,
    /// The medium, if one is plugged in.
    pub medium: Option<&'a Path>,
    /// How a medium is plugged in, now or another time.
    pub attach: Attach,
    /// Its disks.
    pub drives: &'a [Drive],
    /// What it boots first.
    pub order: Order,
    /// `Tcg` or `Kvm`.
    pub accel: Accel,
    /// UEFI firmware; none means BIOS.
    pub image: Option<&'a Image>,
    /// The run's files.
    pub files: Files,
    /// Whether it has the port `kiln.verdict`.
    pub verdict_port: bool,
    /// Whether it has a screen.
    pub vga: bool,
    /// Whether QEMU stays when the guest has gone off, so that its screen can be looked at.
    pub hold: bool,
    /// Whether the network cards are in each other's slots.
    pub swap_nics: bool,
}

/// A started QEMU and the connection to its monitor. Killed when dropped.
#[derive(Debug)]
pub struct Running {
    /// The process.
    pub child: Child,
    /// The monitor's end of QEMU's standard input and output.
    pub monitor: UnixStream,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Machine<'_> {
    /// One phrase: "uefi, usb, tcg, /usr/share/OVMF/OVMF_CODE_4M.fd".
    pub fn summary(&self) -> String {
        let mut text = format!(
            "{}, {}, {}",
            self.hardware.firmware.as_str(),
            if self.medium.is_some() { self.attach.as_str() } else { "no medium" },
            self.accel()
        );
        if let Some(image) = self.image {
            text += &format!(", {}", image.code.display());
        }
        text
    }

    /// Whether it boots from the network now.
    pub fn netboots(&self) -> bool {
        self.medium.is_some() && self.attach == Attach::Network
    }

    /// Name of the accelerator.
    pub fn accel(&self) -> &'static str {
        if self.accel == Accel::Kvm { "kvm" } else { "tcg" }
    }

    /// Starts QEMU with its processors stopped. The monitor is on its standard input and output: no socket file to lose.
    pub fn spawn(&self, qemu: &Path) -> Result<Running> {
        let (ours, theirs) = UnixStream::pair().at("making a socket for", qemu)?;
        let output = theirs.try_clone().at("making a socket for", qemu)?;
        let stderr = std::fs::File::create(&self.files.stderr).at("writing", &self.files.stderr)?;
        // QEMU must die with kiln, even when kiln is killed: setpriv asks the kernel for that, then becomes QEMU.
        // Without it a terminal's Ctrl-C still reaches QEMU, which stays in kiln's process group.
        let mut command = match in_path("setpriv") {
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                command.args(["--pdeathsig", "KILL", "--"]).arg(qemu);
                command
            }
            None => Command::new(qemu),
        };
        let child = command
            .args(Arguments::of(self)?.0)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::from(OwnedFd::from(output)))
            .stderr(stderr)
            .spawn()
            .map_err(|e| Error::tool(format!("cannot start {}", qemu.display())).because(e))?;
        Ok(Running { child, monitor: ours })
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
