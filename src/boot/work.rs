//! The folder of one run: QEMU's writable files. Removed at the end whatever happens, unless it is to be kept.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::error::{IoContext, Result};

/// A run's folder.
#[derive(Debug)]
pub struct Work {
    dir: PathBuf,
    keep: bool,
}

/// Files of a run. All paths are absolute.
#[derive(Debug, Clone)]
pub struct Files {
    /// The guest's serial port.
    pub serial: PathBuf,
    /// SeaBIOS's debug port.
    pub firmware: PathBuf,
    /// The virtio-serial port `kiln.verdict`.
    pub verdict: PathBuf,
    /// This run's copy of the UEFI variables.
    pub vars: PathBuf,
    /// What QEMU itself complains about.
    pub stderr: PathBuf,
}

impl Work {
    /// Makes the folder, for this user only.
    pub fn make(dir: &Path, keep: bool) -> Result<Self> {
        std::fs::DirBuilder::new().mode(0o700).create(dir).at("making the folder", dir)?;
        let dir = std::fs::canonicalize(dir).at("opening", dir)?;
        Ok(Self { dir, keep })
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Paths of the files of one start of the machine; the serial log may be kept elsewhere. `prefix` tells starts apart, which
    /// share the UEFI variables.
    pub fn files(&self, prefix: &str, log: Option<&Path>) -> Result<Files> {
        let at = |name: &str| self.dir.join(format!("{prefix}{name}"));
        let serial = match log {
            Some(log) => std::path::absolute(log).at("finding", log)?,
            None => at("serial.log"),
        };
        let files = Files {
            serial,
            firmware: at("firmware.log"),
            verdict: at("verdict.json"),
            vars: self.dir.join("vars.fd"),
            stderr: at("qemu.log"),
        };
        for file in [&files.serial, &files.firmware, &files.verdict] {
            std::fs::write(file, b"").at("writing", file)?;
        }
        Ok(files)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if !self.keep {
            // Nothing can be done about a failure here; the next run's sweep tries again.
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}
