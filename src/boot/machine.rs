//! The virtual machine: QEMU's program, its command line, its process. Knows nothing of what the guest prints.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::firmware::Image;
use super::spec::{Accel, Attach, BootSpec};
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

/// A machine ready to be started.
#[derive(Debug)]
pub struct Machine<'a> {
    /// What to boot.
    pub spec: &'a BootSpec,
    /// `Tcg` or `Kvm`.
    pub accel: Accel,
    /// UEFI firmware; none means BIOS.
    pub image: Option<&'a Image>,
    /// The run's files.
    pub files: Files,
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
        let mut text =
            format!("{}, {}, {}", self.spec.firmware.as_str(), self.spec.attach.as_str(), self.accel());
        if let Some(image) = self.image {
            text += &format!(", {}", image.code.display());
        }
        text
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
            .args(self.arguments()?)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::from(OwnedFd::from(output)))
            .stderr(stderr)
            .spawn()
            .map_err(|e| Error::tool(format!("cannot start {}", qemu.display())).because(e))?;
        Ok(Running { child, monitor: ours })
    }

    /// QEMU's arguments.
    pub fn arguments(&self) -> Result<Vec<OsString>> {
        let spec = self.spec;
        let mut args = Arguments::default();
        let smm = if self.image.is_some_and(|image| image.smm) { ",smm=on" } else { "" };
        args.flag("-nodefaults").flag("-no-user-config").flag("-no-reboot").flag("-S");
        args.pair("-display", "none").pair("-machine", &format!("q35{smm}")).pair("-cpu", "max");
        args.pair("-smp", &spec.cpus.to_string()).pair("-m", &spec.memory.to_string());
        args.pair("-accel", if self.accel == Accel::Kvm { "kvm" } else { "tcg,thread=multi" });
        args.pair("-chardev", "stdio,id=qmp,signal=off").pair("-mon", "chardev=qmp,mode=control");
        args.with_path("-chardev", "file,id=serial,path=", &self.files.serial);
        args.pair("-serial", "chardev:serial").pair("-device", "virtio-serial-pci");
        args.with_path("-chardev", "file,id=verdict,path=", &self.files.verdict);
        args.pair("-device", "virtserialport,chardev=verdict,name=kiln.verdict");
        self.firmware_arguments(&mut args);
        self.medium_arguments(&mut args)?;
        self.identity_arguments(&mut args);
        if spec.screenshot.is_some() {
            args.pair("-device", "VGA");
        }
        Ok(args.0)
    }

    fn firmware_arguments(&self, args: &mut Arguments) {
        let Some(image) = self.image else {
            // SeaBIOS says on its debug port what it boots from, and that there is nothing to boot.
            args.with_path("-chardev", "file,id=firmware,path=", &self.files.firmware);
            args.pair("-device", "isa-debugcon,iobase=0x402,chardev=firmware");
            return;
        };
        if image.smm {
            args.pair("-global", "driver=cfi.pflash01,property=secure,value=on");
            args.pair("-global", "ICH9-LPC.disable_s3=1");
        }
        let flash =
            |unit: u8, more: &str| format!("if=pflash,format={},unit={unit}{more},file=", image.format);
        args.with_path("-drive", &flash(0, ",readonly=on"), &image.code);
        args.with_path("-drive", &flash(1, ""), &self.files.vars);
    }

    fn medium_arguments(&self, args: &mut Arguments) -> Result<()> {
        // Absolute, since QEMU takes "name:rest" for a protocol.
        let medium = std::path::absolute(&self.spec.medium).at("finding", &self.spec.medium)?;
        match self.spec.attach {
            Attach::Cd => {
                let drive = "if=none,id=medium,format=raw,media=cdrom,readonly=on,file=";
                args.with_path("-drive", drive, &medium);
                args.pair("-device", "ide-cd,drive=medium,bootindex=1");
            }
            Attach::Usb => {
                args.pair("-device", "qemu-xhci");
                args.with_path("-drive", "if=none,id=medium,format=raw,readonly=on,file=", &medium);
                args.pair("-device", "usb-storage,drive=medium,bootindex=1");
            }
        }
        Ok(())
    }

    fn identity_arguments(&self, args: &mut Arguments) {
        if let Some(uuid) = &self.spec.uuid {
            args.pair("-uuid", &uuid.to_string());
        }
        if let Some(serial) = &self.spec.serial {
            args.pair("-smbios", &format!("type=1,serial={}", serial.replace(',', ",,")));
        }
        if let Some(mac) = self.spec.mac {
            // A hub with nothing else on it: the link is up and leads nowhere. No boot ROM: the medium is what is tested.
            args.pair("-netdev", "hubport,id=net,hubid=0");
            args.pair("-device", &format!("virtio-net-pci,netdev=net,romfile=,mac={mac}"));
        }
    }
}

#[derive(Default)]
struct Arguments(Vec<OsString>);

impl Arguments {
    fn flag(&mut self, flag: &str) -> &mut Self {
        self.0.push(flag.into());
        self
    }

    fn pair(&mut self, flag: &str, value: &str) -> &mut Self {
        self.flag(flag).flag(value)
    }

    /// An option whose value holds a path; QEMU wants a comma in it doubled.
    fn with_path(&mut self, flag: &str, before: &str, path: &Path) {
        let mut value = before.as_bytes().to_vec();
        for &byte in path.as_os_str().as_bytes() {
            value.push(byte);
            if byte == b',' {
                value.push(byte);
            }
        }
        self.flag(flag);
        self.0.push(OsString::from_vec(value));
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
