//! The machine as QEMU's command line. Pure: no process is started, no file is read.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use super::disk::{Bus, Drive};
use super::hardware::Wire;
use super::machine::Machine;
use super::spec::{Accel, Attach};
use crate::error::{IoContext, Result};

/// QEMU's arguments.
#[derive(Default)]
pub struct Arguments(pub Vec<OsString>);

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

    /// A machine, its processors stopped.
    pub fn of(machine: &Machine<'_>) -> Result<Self> {
        let mut args = Self::default();
        args.board(machine);
        args.ports(machine);
        args.firmware(machine);
        args.controllers(machine);
        args.medium(machine)?;
        for (n, drive) in machine.drives.iter().enumerate() {
            args.disk(drive, n, machine.order.of_disk(n));
        }
        args.identity(machine);
        args.network(machine);
        if machine.vga {
            args.pair("-device", "VGA");
        }
        Ok(args)
    }

    fn board(&mut self, machine: &Machine<'_>) {
        let smm = if machine.image.is_some_and(|image| image.smm) { ",smm=on" } else { "" };
        // Then what iPXE says goes to the serial port.
        let serial = if machine.netboots() && machine.image.is_none() { ",graphics=off" } else { "" };
        self.flag("-nodefaults").flag("-no-user-config").flag("-no-reboot").flag("-S");
        if machine.hold {
            self.flag("-no-shutdown");
        }
        self.pair("-display", "none").pair("-machine", &format!("q35{smm}{serial}"));
        self.pair("-cpu", machine.hardware.cpu.as_str());
        self.pair("-smp", &machine.hardware.cpus.to_string());
        self.pair("-m", &machine.hardware.memory.to_string());
        self.pair("-accel", if machine.accel == Accel::Kvm { "kvm" } else { "tcg,thread=multi" });
        if let Some(rtc) = &machine.hardware.rtc {
            self.pair("-rtc", &format!("base={}", rtc.as_str()));
        }
    }

    fn ports(&mut self, machine: &Machine<'_>) {
        self.pair("-chardev", "stdio,id=qmp,signal=off").pair("-mon", "chardev=qmp,mode=control");
        self.with_path("-chardev", "file,id=serial,path=", &machine.files.serial);
        self.pair("-serial", "chardev:serial");
        if machine.verdict_port {
            self.pair("-device", "virtio-serial-pci");
            self.with_path("-chardev", "file,id=verdict,path=", &machine.files.verdict);
            self.pair("-device", "virtserialport,chardev=verdict,name=kiln.verdict");
        }
    }

    fn firmware(&mut self, machine: &Machine<'_>) {
        let Some(image) = machine.image else {
            // SeaBIOS says on its debug port what it boots from, and that there is nothing to boot.
            self.with_path("-chardev", "file,id=firmware,path=", &machine.files.firmware);
            self.pair("-device", "isa-debugcon,iobase=0x402,chardev=firmware");
            return;
        };
        if image.smm {
            self.pair("-global", "driver=cfi.pflash01,property=secure,value=on");
            self.pair("-global", "ICH9-LPC.disable_s3=1");
        }
        let flash =
            |unit: u8, more: &str| format!("if=pflash,format={},unit={unit}{more},file=", image.format);
        self.with_path("-drive", &flash(0, ",readonly=on"), &image.code);
        self.with_path("-drive", &flash(1, ""), &machine.files.vars);
    }

    /// Controllers are there whether or not something is plugged in, so that PCI addresses, and the names that come from them,
    /// are the same in all phases.
    fn controllers(&mut self, machine: &Machine<'_>) {
        let has = |bus: Bus| machine.drives.iter().any(|drive| drive.disk.bus == bus);
        if machine.attach == Attach::Usb || has(Bus::Usb) {
            self.pair("-device", "qemu-xhci");
        }
        if has(Bus::Scsi) {
            self.pair("-device", "virtio-scsi-pci,id=scsi");
        }
    }

    fn medium(&mut self, machine: &Machine<'_>) -> Result<()> {
        let Some(medium) = machine.medium else { return Ok(()) };
        // Absolute, since QEMU takes "name:rest" for a protocol.
        let path = std::path::absolute(medium).at("finding", medium)?;
        let first = boot_index(machine.order.of_medium(machine.drives.len()));
        match machine.attach {
            Attach::Cd => {
                self.with_path("-drive", "if=none,id=medium,format=raw,media=cdrom,readonly=on,file=", &path);
                // The last port: disks have the first ones, with and without a medium.
                let port = if machine.drives.is_empty() { "" } else { ",bus=ide.5" };
                self.pair("-device", &format!("ide-cd,drive=medium{port}{first}"));
            }
            Attach::Usb => {
                self.with_path("-drive", "if=none,id=medium,format=raw,readonly=on,file=", &path);
                self.pair("-device", &format!("usb-storage,drive=medium{first}"));
            }
            Attach::Network => {}
        }
        Ok(())
    }

    /// `cache=unsafe` shows the guest a write cache that it must flush, and spares the host's own flush: a killed QEMU loses what its
    /// memory held, and the host's memory, which survives, has the rest.
    fn disk(&mut self, drive: &Drive, number: usize, index: Option<usize>) {
        let disk = &drive.disk;
        let read_only = if disk.read_only { ",readonly=on" } else { "" };
        let before = format!(
            "if=none,id=disk{number},format={},cache=unsafe,discard=unmap{read_only},file=",
            drive.format.as_str()
        );
        self.with_path("-drive", &before, &drive.path);
        let mut more = match disk.sector {
            Some(4096) => ",logical_block_size=4096,physical_block_size=4096".to_owned(),
            _ => String::new(),
        };
        more += &boot_index(index);
        let serial = disk.serial.as_ref().map(|serial| format!(",serial={serial}")).unwrap_or_default();
        let wwn = disk.wwn.map(|wwn| format!(",wwn={wwn:#018x}")).unwrap_or_default();
        let device = match disk.bus {
            Bus::Virtio => format!("virtio-blk-pci,drive=disk{number}{serial}{more}"),
            Bus::Sata => format!("ide-hd,bus=ide.{number},drive=disk{number}{serial}{wwn}{more}"),
            Bus::Scsi => format!("scsi-hd,bus=scsi.0,drive=disk{number}{serial}{wwn}{more}"),
            Bus::Usb => format!("usb-storage,drive=disk{number}{serial}{more}"),
            Bus::Nvme => {
                // An NVMe controller must have a serial number.
                let serial = disk.serial.clone().unwrap_or_else(|| format!("kiln-nvme-{number}"));
                self.pair("-device", &format!("nvme,id=nvme{number},serial={serial}"));
                let eui = disk.wwn.map(|wwn| format!(",eui64={wwn:#018x}")).unwrap_or_default();
                format!("nvme-ns,bus=nvme{number},drive=disk{number}{eui}{more}")
            }
        };
        self.pair("-device", &device);
    }

    fn identity(&mut self, machine: &Machine<'_>) {
        let hardware = machine.hardware;
        let doubled = |text: &str| text.replace(',', ",,");
        if let Some(uuid) = &hardware.uuid {
            self.pair("-uuid", &uuid.to_string());
        }
        if let Some(serial) = &hardware.serial {
            self.pair("-smbios", &format!("type=1,serial={}", doubled(serial)));
        }
        if let Some(asset) = &hardware.asset {
            self.pair("-smbios", &format!("type=3,asset={}", doubled(asset)));
        }
        for text in &hardware.oem {
            self.pair("-smbios", &format!("type=11,value={}", doubled(text)));
        }
        for (name, value) in &hardware.fw_cfg {
            self.pair("-fw_cfg", &format!("name={},string={}", doubled(name), doubled(value)));
        }
    }

    fn network(&mut self, machine: &Machine<'_>) {
        let cards = &machine.hardware.nics;
        let mut order: Vec<usize> = (0..cards.len()).collect();
        if machine.swap_nics {
            order.reverse();
        }
        for n in order {
            let card = &cards[n];
            let id = if n == 0 { "net".to_owned() } else { format!("net{n}") };
            match &card.wire {
                // A hub with nothing else on it: the link is up and leads nowhere.
                Wire::Nowhere => {
                    self.pair("-netdev", &format!("hubport,id={id},hubid={n}"));
                }
                Wire::Segment(socket) => {
                    let before = format!("stream,id={id},server=off,addr.type=unix,addr.path=");
                    self.with_path("-netdev", &before, socket);
                }
                Wire::Tap(tap) => {
                    let tap = format!("tap,id={id},ifname={tap},script=no,downscript=no");
                    self.pair("-netdev", &tap);
                }
            }
            let boots = n == 0 && machine.netboots();
            // No boot ROM where the medium is what is tested; UEFI has a network stack of its own.
            let rom = if boots && machine.image.is_none() { "" } else { ",romfile=" };
            let first = machine.order.of_medium(machine.drives.len()).filter(|_| boots);
            let (device, first) = (card.model.device(), boot_index(first));
            self.pair("-device", &format!("{device},netdev={id}{rom},mac={}{first}", card.mac));
        }
    }
}

fn boot_index(index: Option<usize>) -> String {
    index.map(|index| format!(",bootindex={index}")).unwrap_or_default()
}
