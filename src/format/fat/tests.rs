//! The FAT reader and writer against `mkfs.vfat`, `fsck.vfat` and mtools.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use super::super::{FatType, rebuild};
use super::*;

fn run(program: &str, args: &[&str]) -> String {
    let out = Command::new(program)
        .args(args)
        .env("MTOOLS_SKIP_CHECK", "0")
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}; install the packages dosfstools and mtools"));
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success(), "{program} {args:?}\n{text}\n{}", String::from_utf8_lossy(&out.stderr));
    text
}

/// A vendor-like EFI image made by other people's programs.
fn vendor(dir: &Path, bits: &str, kib: u32, options: &[&str]) -> Vec<u8> {
    let image = dir.join("esp.img");
    let text = image.to_str().unwrap();
    let _ = std::fs::remove_file(&image);
    let size = kib.to_string();
    let mut args = vec!["-F", bits, "-n", "ANACONDA", "-i", "4b494c4e", "-C"];
    args.extend(options);
    args.extend([text, &size]);
    run("mkfs.vfat", &args);
    let tree = dir.join("EFI");
    std::fs::create_dir_all(tree.join("BOOT/fonts")).unwrap();
    std::fs::write(tree.join("BOOT/BOOTX64.EFI"), vec![7; 90_001]).unwrap();
    std::fs::write(tree.join("BOOT/grub.cfg"), "old menu\n").unwrap();
    std::fs::write(tree.join("BOOT/a rather long file name.conf"), "x").unwrap();
    std::fs::write(tree.join("BOOT/fonts/unicode.pf2"), vec![9; 12_345]).unwrap();
    std::fs::write(tree.join("BOOT/empty"), "").unwrap();
    run("mcopy", &["-s", "-m", "-i", text, tree.to_str().unwrap(), "::"]);
    std::fs::read(&image).unwrap()
}

fn check(dir: &Path, image: &[u8], path: &str, want: &[u8]) {
    let file = dir.join("new.img");
    std::fs::write(&file, image).unwrap();
    let text = file.to_str().unwrap();
    run("fsck.vfat", &["-n", text]);
    run("minfo", &["-i", text, "::"]);
    let out = dir.join("out");
    run("mcopy", &["-n", "-o", "-i", text, &format!("::{path}"), out.to_str().unwrap()]);
    assert_eq!(std::fs::read(&out).unwrap(), want, "{path}");
}

#[test]
fn a_menu_is_replaced_in_every_type_and_all_else_stays() {
    let shapes: [(&str, u32, &[&str], FatType); 5] = [
        ("12", 2048, &["-s", "4"], FatType::Fat12),
        ("12", 6144, &["-s", "4", "-f", "1"], FatType::Fat12),
        ("16", 10240, &["-s", "1"], FatType::Fat16),
        ("16", 20480, &["-s", "4", "-S", "1024"], FatType::Fat16),
        ("32", 34000, &["-s", "1"], FatType::Fat32),
    ];
    for (bits, kib, options, kind) in shapes {
        let dir = tempfile::tempdir().unwrap();
        let old = vendor(dir.path(), bits, kib, options);
        let fat = Fat::open(&old).unwrap();
        assert_eq!((fat.geometry().kind, fat.label().as_deref()), (kind, Some("ANACONDA")));
        assert_eq!(fat.read("efi/boot/GRUB.CFG").unwrap(), b"old menu\n");

        let menu = b"new menu\n".repeat(3000);
        let replace = BTreeMap::from([
            ("EFI/BOOT/grub.cfg".to_owned(), menu.clone()),
            ("EFI/kiln/new file.cfg".to_owned(), b"n".to_vec()),
        ]);
        let new = rebuild(&old, &replace).unwrap();
        assert_eq!(new, rebuild(&old, &replace).unwrap());
        assert_eq!(new.len(), old.len().next_multiple_of(2048));
        check(dir.path(), &new, "EFI/BOOT/grub.cfg", &menu);
        check(dir.path(), &new, "EFI/BOOT/BOOTX64.EFI", &vec![7; 90_001]);
        check(dir.path(), &new, "EFI/kiln/new file.cfg", b"n");

        let again = Fat::open(&new).unwrap();
        assert_eq!((again.label(), again.serial()), (fat.label(), Some(0x4b49_4c4e)));
        for item in fat.items() {
            let now = again.find(&item.path).unwrap();
            assert_eq!((&now.path, now.raw[11..20] == item.raw[11..20]), (&item.path, true));
            if !item.is_dir() && !item.path.ends_with("grub.cfg") {
                assert_eq!(again.read(&item.path).unwrap(), fat.read(&item.path).unwrap());
            }
        }
    }
}

#[test]
fn an_image_without_room_grows() {
    for (bits, kib, options) in
        [("12", 256, ["-s", "1"]), ("16", 4400, ["-s", "2"]), ("32", 34000, ["-s", "1"])]
    {
        let dir = tempfile::tempdir().unwrap();
        let options: &[&str] = if bits == "16" { &["-s", "1"] } else { &options };
        let old = vendor(dir.path(), bits, kib.max(256), options);
        let big: Vec<u8> = (0..40u32 << 20).map(|n| (n >> 9) as u8).collect();
        let new = rebuild(&old, &BTreeMap::from([("big.bin".to_owned(), big.clone())])).unwrap();
        assert!(new.len() > old.len() && new.len().is_multiple_of(2048));
        assert_eq!(Fat::open(&new).unwrap().geometry().kind, Fat::open(&old).unwrap().geometry().kind);
        check(dir.path(), &new, "big.bin", &big);
        check(dir.path(), &new, "EFI/BOOT/grub.cfg", b"old menu\n");
    }
}

#[test]
fn a_full_root_folder_grows() {
    let dir = tempfile::tempdir().unwrap();
    let old = vendor(dir.path(), "12", 2048, &["-r", "16"]);
    let replace = (0..100).map(|n| (format!("a long file name {n}"), vec![n])).collect();
    let new = rebuild(&old, &replace).unwrap();
    check(dir.path(), &new, "a long file name 99", &[99]);
}

#[test]
fn broken_images_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let good = vendor(dir.path(), "16", 10240, &["-s", "1"]);
    let refuse = |what: &str, edit: &dyn Fn(&mut Vec<u8>)| {
        let mut bad = good.clone();
        edit(&mut bad);
        assert!(Fat::open(&bad).is_err(), "{what}");
    };
    let geometry = *Fat::open(&good).unwrap().geometry();
    let efi = Fat::open(&good).unwrap().find("EFI").unwrap().clusters[0];
    let table = (geometry.reserved * geometry.sector) as usize;
    refuse("truncated", &|bad| bad.truncate(5000));
    refuse("empty", &|bad| bad.clear());
    refuse("no signature", &|bad| bad[510] = 0);
    refuse("sector size", &|bad| bad[11] = 1);
    refuse("cluster size", &|bad| bad[13] = 3);
    refuse("no tables", &|bad| bad[16] = 0);
    refuse("table too short", &|bad| bad[22] = 1);
    refuse("chain loops", &|bad| {
        bad[table + efi as usize * 2..][..2].copy_from_slice(&(efi as u16).to_le_bytes())
    });
    refuse("chain leaves", &|bad| {
        bad[table + efi as usize * 2..][..2].copy_from_slice(&0x7fffu16.to_le_bytes())
    });
    let root = geometry.root_sector() as usize * 512;
    let entry = (root..).step_by(32).find(|&at| good[at..at + 3] == *b"EFI").unwrap();
    refuse("a folder in itself", &|bad| {
        let sub = geometry.offset_of(efi) + 64;
        bad[sub + 26..sub + 28].copy_from_slice(&(efi as u16).to_le_bytes());
    });
    refuse("slash in a name", &|bad| bad[entry + 1] = b'/');
}

#[test]
fn a_path_that_cannot_be_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let old = vendor(dir.path(), "12", 2048, &[]);
    for bad in ["", "EFI", "EFI/BOOT/grub.cfg/x", "EFI/../x", "a:b"] {
        assert!(rebuild(&old, &BTreeMap::from([(bad.to_owned(), vec![1])])).is_err(), "{bad:?}");
    }
}
