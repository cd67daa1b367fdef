use super::*;
use crate::boot::accel::choose;
use crate::boot::disk::Disk;
use crate::boot::hardware::{Nic, NicModel, Wire};
use crate::boot::{BootSpec, Firmware};

fn image(smm: bool) -> Image {
    let code = if smm { "/fw/CODE.secboot.fd" } else { "/fw/CODE.fd" };
    Image { code: code.into(), vars: "/fw/VARS.fd".into(), format: "raw".into(), smm, enrolled: smm }
}

fn files() -> Files {
    let at = |name: &str| PathBuf::from("/w").join(name);
    Files {
        serial: at("serial.log"),
        firmware: at("firmware.log"),
        verdict: at("verdict.json"),
        vars: at("vars.fd"),
        stderr: at("qemu.log"),
    }
}

fn machine(hardware: &Hardware) -> Machine<'_> {
    Machine {
        hardware,
        medium: None,
        attach: Attach::Cd,
        drives: &[],
        order: Order::Medium,
        accel: Accel::Tcg,
        image: None,
        files: files(),
        verdict_port: true,
        vga: false,
        hold: false,
        swap_nics: false,
    }
}

fn words(machine: &Machine<'_>) -> String {
    let words = Arguments::of(machine).unwrap().0;
    let words: Vec<String> = words.iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
    words.join(" ")
}

fn line(spec: &BootSpec) -> String {
    let image = (spec.firmware != Firmware::Bios).then(|| image(spec.firmware == Firmware::SecureBoot));
    let hardware = spec.hardware();
    let mut machine = machine(&hardware);
    machine.image = image.as_ref();
    machine.medium = Some(&spec.medium);
    machine.attach = spec.attach;
    machine.vga = spec.screenshot.is_some();
    words(&machine)
}

const HEAD: &str = "-nodefaults -no-user-config -no-reboot -S -display none -machine q35";
const MIDDLE: &str = " -cpu max -smp 2 -m 1024 -accel tcg,thread=multi -chardev stdio,id=qmp,signal=off \
-mon chardev=qmp,mode=control -chardev file,id=serial,path=/w/serial.log -serial chardev:serial -device virtio-serial-pci \
-chardev file,id=verdict,path=/w/verdict.json -device virtserialport,chardev=verdict,name=kiln.verdict ";
const BIOS: &str =
    "-chardev file,id=firmware,path=/w/firmware.log -device isa-debugcon,iobase=0x402,chardev=firmware ";
const UEFI: &str = "-drive if=pflash,format=raw,unit=0,readonly=on,file=/fw/CODE.fd \
-drive if=pflash,format=raw,unit=1,file=/w/vars.fd ";
const SECURE: &str = "-global driver=cfi.pflash01,property=secure,value=on -global ICH9-LPC.disable_s3=1 \
-drive if=pflash,format=raw,unit=0,readonly=on,file=/fw/CODE.secboot.fd -drive if=pflash,format=raw,unit=1,file=/w/vars.fd ";
const CD: &str = "-drive if=none,id=medium,format=raw,media=cdrom,readonly=on,file=/m.iso -device ide-cd,drive=medium,bootindex=1";
const USB: &str = "-device qemu-xhci -drive if=none,id=medium,format=raw,readonly=on,file=/m.iso \
-device usb-storage,drive=medium,bootindex=1";

#[test]
fn command_lines_of_the_matrix() {
    for (firmware, attach) in crate::boot::matrix::combinations() {
        let (smm, boot) = match firmware {
            Firmware::Bios => ("", BIOS),
            Firmware::Uefi => ("", UEFI),
            Firmware::SecureBoot => (",smm=on", SECURE),
        };
        let medium = if attach == Attach::Cd { CD } else { USB };
        let expected = format!("{HEAD}{smm}{MIDDLE}{boot}{medium}");
        assert_eq!(line(&BootSpec::new("/m.iso", firmware, attach, "/w")), expected);
    }
}

#[test]
fn identity_and_screen_are_added_on_demand() {
    let mut spec = BootSpec::new("/m.iso", Firmware::Bios, Attach::Cd, "/w");
    spec.mac = Some("52:54:00:00:31:71".parse().unwrap());
    spec.serial = Some("A,id=x".to_owned());
    spec.uuid = Some("4c4c4544-0034-3010-8048-b7c04f503233".parse().unwrap());
    spec.screenshot = Some("/x.png".into());
    let text = line(&spec);
    let expected = " -uuid 4c4c4544-0034-3010-8048-b7c04f503233 -smbios type=1,serial=A,,id=x \
-netdev hubport,id=net,hubid=0 -device virtio-net-pci,netdev=net,romfile=,mac=52:54:00:00:31:71 -device VGA";
    assert!(text.ends_with(expected), "{text}");
}

#[test]
fn a_path_cannot_smuggle_options() {
    let spec = BootSpec::new("nbd:h,readonly=off.iso", Firmware::Bios, Attach::Usb, "/w");
    let text = line(&spec);
    assert!(text.contains("/nbd:h,,readonly=off.iso -device usb-storage"), "{text}");
    assert!(text.contains("file=/"), "{text}");
}

#[test]
fn a_missing_qemu_is_a_missing_tool() {
    let error = find_qemu(Some(Path::new("/nonexistent/qemu"))).unwrap_err();
    assert_eq!(error.class().exit_code(), 3);
    assert_eq!(choose(Accel::Kvm, Path::new("/nonexistent"), Path::new("/nonexistent")), Accel::Kvm);
}

fn drives(words: &[&str]) -> Vec<Drive> {
    let drive = |(n, word): (usize, &&str)| {
        let disk: Disk = word.parse().unwrap();
        let format = crate::boot::disk::Format::Qcow2;
        Drive { disk, path: format!("/d,{n}").into(), format }
    };
    words.iter().enumerate().map(drive).collect()
}

#[test]
fn disks_of_all_buses_have_their_names_and_order() {
    let hardware = Hardware::new(Firmware::Bios);
    let all = drives(&[
        "1G,serial=V",
        "1G,bus=sata,serial=S,wwn=5000c50015ea71ac",
        "1G,bus=nvme,sector=4096,wwn=0x0000000000000001",
        "1G,bus=scsi,serial=C",
        "1G,bus=usb,ro",
    ]);
    let mut machine = machine(&hardware);
    machine.drives = &all;
    machine.medium = Some(Path::new("/m.iso"));
    let text = words(&machine);
    for part in [
        " -device qemu-xhci -device virtio-scsi-pci,id=scsi -drive ",
        "-device ide-cd,drive=medium,bus=ide.5,bootindex=1 ",
        "-drive if=none,id=disk0,format=qcow2,cache=unsafe,discard=unmap,file=/d,,0 ",
        "-device virtio-blk-pci,drive=disk0,serial=V,bootindex=2 ",
        "-device ide-hd,bus=ide.1,drive=disk1,serial=S,wwn=0x5000c50015ea71ac,bootindex=3 ",
        "-device nvme,id=nvme2,serial=kiln-nvme-2 -device nvme-ns,bus=nvme2,drive=disk2,eui64=0x0000000000000001,",
        "eui64=0x0000000000000001,logical_block_size=4096,physical_block_size=4096,bootindex=4 ",
        "-device scsi-hd,bus=scsi.0,drive=disk3,serial=C,bootindex=5 ",
        "discard=unmap,readonly=on,file=/d,,4 -device usb-storage,drive=disk4,bootindex=6",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    machine.order = Order::Disk;
    let text = words(&machine);
    assert!(text.contains("drive=medium,bus=ide.5,bootindex=6 "), "{text}");
    assert!(text.contains("drive=disk0,serial=V,bootindex=1 "), "{text}");
    machine.order = Order::Firmware;
    assert!(!words(&machine).contains("bootindex"));
}

#[test]
fn controllers_stay_when_the_medium_goes() {
    let hardware = Hardware::new(Firmware::Bios);
    let all = drives(&["1G"]);
    let mut machine = machine(&hardware);
    machine.drives = &all;
    machine.attach = Attach::Usb;
    let text = words(&machine);
    assert!(text.contains("-device qemu-xhci ") && !text.contains("usb-storage"), "{text}");
}

#[test]
fn cards_swap_slots_and_keep_their_wires() {
    let mut hardware = Hardware::new(Firmware::Bios);
    hardware.nics = vec![
        Nic { wire: Wire::Segment("/w/lan,1".into()), ..Nic::new("52:54:00:00:00:01".parse().unwrap()) },
        Nic { model: NicModel::E1000e, ..Nic::new("52:54:00:00:00:02".parse().unwrap()) },
    ];
    let first = "-netdev stream,id=net,server=off,addr.type=unix,addr.path=/w/lan,,1 \
-device virtio-net-pci,netdev=net,romfile=,mac=52:54:00:00:00:01";
    let second = "-netdev hubport,id=net1,hubid=1 -device e1000e,netdev=net1,romfile=,mac=52:54:00:00:00:02";
    let mut machine = machine(&hardware);
    assert!(words(&machine).ends_with(&format!("{first} {second}")), "{}", words(&machine));
    machine.swap_nics = true;
    assert!(words(&machine).ends_with(&format!("{second} {first}")), "{}", words(&machine));
}

#[test]
fn a_tree_comes_by_the_first_card() {
    let mut spec = BootSpec::new("/tree", Firmware::Uefi, Attach::Network, "/w");
    spec.mac = Some("52:54:00:00:00:01".parse().unwrap());
    let text = line(&spec);
    let card = "-netdev tap,id=net,ifname=tap0,script=no,downscript=no \
-device virtio-net-pci,netdev=net,romfile=,mac=52:54:00:00:00:01,bootindex=1";
    assert!(text.contains(card) && !text.contains("id=medium") && !text.contains("graphics"), "{text}");
    spec.way = crate::boot::served::Way::Http;
    assert!(line(&spec).contains("name=opt/org.tianocore/IPv4PXESupport,string=no"), "{}", line(&spec));
    // BIOS boots by the card's ROM, which is iPXE and speaks on the serial port.
    spec.firmware = Firmware::Bios;
    let text = line(&spec);
    assert!(text.contains("-machine q35,graphics=off ") && !text.contains("romfile="), "{text}");
}

#[test]
fn what_firmware_tells_and_the_clock_are_given() {
    let mut hardware = Hardware::new(Firmware::Bios);
    hardware.asset = Some("RACK1,U7".into());
    hardware.oem = vec!["kiln:x".into()];
    hardware.fw_cfg.insert("opt/kiln/a".into(), "b,c".into());
    hardware.rtc = Some("2020-01-01T00:00:00".parse().unwrap());
    let mut machine = machine(&hardware);
    machine.hold = true;
    machine.verdict_port = false;
    let text = words(&machine);
    assert!(text.contains(" -no-shutdown ") && !text.contains("verdict"), "{text}");
    assert!(text.contains(" -rtc base=2020-01-01T00:00:00 "), "{text}");
    let end =
        " -smbios type=3,asset=RACK1,,U7 -smbios type=11,value=kiln:x -fw_cfg name=opt/kiln/a,string=b,,c";
    assert!(text.ends_with(end), "{text}");
}
