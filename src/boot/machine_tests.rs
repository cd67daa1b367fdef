use super::*;
use crate::boot::Firmware;
use crate::boot::accel::choose;

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

fn line(spec: &BootSpec) -> String {
    let image = (spec.firmware != Firmware::Bios).then(|| image(spec.firmware == Firmware::SecureBoot));
    let machine = Machine { spec, accel: Accel::Tcg, image: image.as_ref(), files: files() };
    let words: Vec<String> =
        machine.arguments().unwrap().iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
    words.join(" ")
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
