//! Boots a medium in QEMU and judges what came of it.
//!
//! [`run`] is one boot of one medium. Its verdict is the guest's own word (one JSON line on the virtio-serial port `kiln.verdict`, or
//! after a marker on the serial port) together with QEMU's reason for ending (QMP `SHUTDOWN`, `guest-shutdown`). QEMU's exit code
//! is no verdict: it is 0 for a power-off, a reset and a panic alike. [`install`] takes a machine with disks through an install and
//! the boots that follow; [`scenario`] does so with several machines at once.
//!
//! Needs no root and no network. Not a hypervisor front end.

mod accel;
mod arguments;
mod console;
pub mod disk;
mod fingerprint;
mod firmware;
pub mod hardware;
pub mod install;
pub mod junit;
mod machine;
pub mod matrix;
mod processors;
mod qmp;
pub mod scenario;
mod serial;
pub mod served;
mod single;
mod spec;
mod stage;
mod verdict;
mod watch;
mod work;

pub use console::StageTime;
pub use firmware::Image as FirmwareImage;
pub use machine::Order;
pub use single::{BootOutcome, run};
pub use spec::{Accel, Attach, BootSpec, Firmware, Limits};
pub use stage::Stage;
pub use verdict::{Failure, FailureKind, GuestReport, GuestVerdict};
