//! The machine's clock against the certificates on the medium. One that is behind is set forward; one past their end cannot be
//! mended here. Anything between may be right and is left alone.

use std::process::Command;
use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_settime};
use time::OffsetDateTime;

use super::{Findings, Hands};
use crate::cluster::preflight::Check;
use crate::error::{Class, Error, Result};
use crate::node::child;
use crate::node::clock::span;
use crate::node::status::stamp;
use crate::payload::validity::Validity;

/// How long `hwclock` may take: some clocks tick once a second, and it waits for that.
const HWCLOCK_LIMIT: Duration = Duration::from_secs(10);

/// Looks at the clock, and sets it forward if it cannot be right.
pub fn check(validity: Option<&Validity>, hands: &dyn Hands, findings: &mut Findings<'_>) {
    let Some(validity) = validity.filter(|_| findings.wants(Check::Clock)) else { return };
    let (now, made, ends) = (hands.now(), validity.made.0, validity.ends.0);
    if now >= ends {
        findings.add(
            Check::Clock,
            format!(
                "the clock says {}; certificates on this medium are good until {} only",
                stamp(now),
                stamp(ends)
            ),
            "set the clock in the firmware if it is wrong; if it is right, `kiln build` the medium again",
        );
    } else if now < made {
        let behind = span((made - now).as_seconds_f64());
        let text = format!("the clock said {}, {behind} before this medium was made", stamp(now));
        match hands.set_clock(made) {
            Ok(()) => findings.note(
                Check::Clock,
                format!("{text}, and was set to {}", stamp(made)),
                "look at the machine's battery, and at the clock in the firmware",
            ),
            Err(error) => findings.add(
                Check::Clock,
                format!("{text}, and cannot be set: {error}"),
                "set the clock in the firmware, in UTC",
            ),
        }
    }
}

/// Sets the system's clock, and the hardware's if there is a program for it. The latter is for the boot to come: a kernel
/// reads it before kiln runs.
pub(super) fn set(to: OffsetDateTime) -> Result<()> {
    let value = Timespec { tv_sec: to.unix_timestamp(), tv_nsec: 0 };
    clock_settime(ClockId::Realtime, value)
        .map_err(|error| Error::new(Class::Failed, "setting the clock failed").because(error))?;
    let mut command = Command::new("hwclock");
    command.args(["--utc", "--systohc"]);
    // A virtual machine may have none; the node sets its clock forward at each boot.
    let _ = child::run(command, b"", HWCLOCK_LIMIT);
    Ok(())
}
