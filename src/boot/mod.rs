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

use crate::error::Result;
use crate::progress::Progress;

pub use firmware::Image as FirmwareImage;
pub use serial::Stage;
pub use spec::{Accel, Attach, BootSpec, Firmware, Limits};
pub use verdict::{Failure, FailureKind, GuestReport, GuestVerdict};
pub use watch::{BootOutcome, StageTime};

/// Boots the medium of `spec` once.
///
/// # Errors
/// When the boot could not be tried: no QEMU, no firmware, no medium, no room. A boot that failed is an outcome.
pub fn run(spec: &BootSpec, progress: &dyn Progress) -> Result<BootOutcome> {
    spec.check()?;
    let qemu = machine::find_qemu(spec.qemu.as_deref())?;
    let image = firmware::find(spec.firmware, &spec.system_root)?;
    let work = work::Work::make(&spec.work, spec.keep)?;
    let accel = accel::choose(spec.accel, &qemu, work.dir());
    let machine =
        machine::Machine { spec, accel, image: image.as_ref(), files: work.files(spec.log.as_deref())? };
    if let Some(image) = &image {
        std::fs::copy(&image.vars, &machine.files.vars)
            .map_err(|e| crate::error::Error::io("copying the firmware's variables", &image.vars, e))?;
    }
    progress.step(&format!("booting {} ({})", spec.medium.display(), machine.summary()));
    let child = machine.spawn(&qemu)?;
    watch::watch(&machine, child, progress)
}
