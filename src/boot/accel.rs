//! Chooses what executes the guest. KVM is tried with a machine of one sector: a `/dev/kvm` that is there may still be
//! unusable (no permission, nested and broken), and only a guest that ran proves otherwise.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::spec::Accel;

/// `mov dx, 0xf4; mov al, 0x10; out dx, al; hlt; jmp` — with isa-debug-exit QEMU ends with (0x10 << 1) | 1.
const PROBE: [u8; 9] = [0xba, 0xf4, 0x00, 0xb0, 0x10, 0xee, 0xf4, 0xeb, 0xfd];
const PROBE_EXIT: i32 = 33;
/// With working KVM the probe takes well under a second.
const PROBE_TIME: Duration = Duration::from_secs(5);

/// The accelerator to use: `Tcg` or `Kvm`.
pub fn choose(wanted: Accel, qemu: &Path, work: &Path) -> Accel {
    match wanted {
        Accel::Auto if Path::new("/dev/kvm").exists() && boots(qemu, "kvm", work) => Accel::Kvm,
        Accel::Auto => Accel::Tcg,
        given => given,
    }
}

/// Whether a boot sector runs under an accelerator.
fn boots(qemu: &Path, accel: &str, work: &Path) -> bool {
    let disk = work.join("probe.img");
    let mut sector = [0; 512];
    sector[..PROBE.len()].copy_from_slice(&PROBE);
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    let written = std::fs::File::create(&disk).and_then(|mut file| file.write_all(&sector));
    if written.is_err() {
        return false;
    }
    let mut drive = std::ffi::OsString::from("if=ide,format=raw,readonly=off,file=");
    drive.push(&disk);
    let child = Command::new(qemu)
        .args(["-nodefaults", "-no-user-config", "-display", "none", "-machine", "pc", "-m", "16"])
        .args(["-accel", accel, "-device", "isa-debug-exit,iobase=0xf4,iosize=0x04", "-drive"])
        .arg(drive)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = child else { return false };
    let started = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(None) if started.elapsed() < PROBE_TIME => std::thread::sleep(Duration::from_millis(20)),
            Ok(status) => break status,
            Err(_) => break None,
        }
    };
    let _ = child.kill();
    let _ = child.wait();
    status.and_then(|status| status.code()) == Some(PROBE_EXIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probe_runs_where_a_guest_can_run() {
        let qemu = crate::boot::machine::find_qemu(None)
            .expect("this test needs QEMU: apt-get install qemu-system-x86");
        let dir = tempfile::tempdir().unwrap();
        assert!(boots(&qemu, "tcg", dir.path()));
        assert!(!boots(&qemu, "no-such-accelerator", dir.path()));
        assert!(!boots(Path::new("/bin/true"), "tcg", dir.path()));
        assert_eq!(choose(Accel::Tcg, &qemu, dir.path()), Accel::Tcg);
    }
}
