//! Boots a medium in QEMU and judges what came of it.
//!
//! The verdict is the guest's own word (one JSON line on the virtio-serial port `kiln.verdict`, or after a marker on the
//! serial port) together with QEMU's reason for ending (QMP `SHUTDOWN`, `guest-shutdown`). QEMU's exit code is no verdict:
//! it is 0 for a power-off, a reset and a panic alike.
//!
//! Needs no root and no network. Not a hypervisor front end: one machine, one medium, one run.

mod accel;
mod firmware;
pub mod junit;
mod machine;
pub mod matrix;
mod qmp;
mod serial;
mod spec;
mod verdict;
mod watch;
mod work;

use crate::error::{IoContext, Result};
use crate::progress::Progress;

pub use firmware::Image as FirmwareImage;
pub use serial::Stage;
pub use spec::{Accel, Attach, BootSpec, Firmware, Limits};
pub use verdict::{Failure, FailureKind, GuestReport, GuestVerdict};
pub use watch::{BootOutcome, StageTime};

/// Boots the medium of `spec`; again only where the host was too busy for the guest.
///
/// # Errors
/// When the boot could not be tried: no QEMU, no firmware, no medium, no room. A boot that failed is an outcome.
pub fn run(spec: &BootSpec, progress: &dyn Progress) -> Result<BootOutcome> {
    spec.check()?;
    let qemu = machine::find_qemu(spec.qemu.as_deref())?;
    let image = firmware::find(spec.firmware, &spec.system_root)?;
    let work = work::Work::make(&spec.work, spec.keep)?;
    let accel = accel::choose(spec.accel, &qemu, work.dir());
    let mut tries = TRIES;
    loop {
        let files = work.files(spec.log.as_deref())?;
        let machine = machine::Machine { spec, accel, image: image.as_ref(), files };
        if let Some(image) = &image {
            std::fs::copy(&image.vars, &machine.files.vars)
                .at("copying the firmware's variables from", &image.vars)?;
        }
        progress.step(&format!("booting {} ({})", spec.medium.display(), machine.summary()));
        let outcome = watch::watch(&machine, machine.spawn(&qemu)?, progress)?;
        tries -= 1;
        match &outcome.failure {
            Some(failure) if failure.kind == FailureKind::Starved && tries > 0 => {
                progress.warn(&format!("{}; trying again", failure.message));
            }
            _ => return Ok(outcome),
        }
    }
}

/// How often a boot is tried when the host is too busy for it. No other failure is tried again.
const TRIES: u32 = 4;
