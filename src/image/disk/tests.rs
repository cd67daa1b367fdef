//! Whole images from small disks. Judges: `qemu-img`, `sgdisk`, `xorriso`.

use std::fs::File;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::process::Command;

use super::*;
use crate::cluster::types::Role;
use crate::format::iso9660::read::Iso;
use crate::format::read_at::{ReadAt, Window};
use crate::payload::manifest::Manifest;
use crate::progress::Silent;
use crate::testing::{cluster, payload, stub_elf};

const MIB: u64 = 1 << 20;

fn run(words: &[&str], files: &[&Path]) -> String {
    let mut command = Command::new(words[0]);
    command.env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin").args(&words[1..]).args(files);
    let out = command.output().unwrap_or_else(|error| panic!("this test needs {}: {error}", words[0]));
    let said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{words:?}: {said}");
    said
}

/// A disk of 64 MiB with a GPT, root last, something in it.
fn vendor(dir: &Path) -> PathBuf {
    let path = dir.join("vendor.raw");
    let file = File::create(&path).unwrap();
    file.set_len(64 * MIB).unwrap();
    run(&["sgdisk", "-n1:2048:+8M", "-t1:ef00", "-n2:0:0", "-t2:8300"], &[&path]);
    for at in [2 * MIB, 20 * MIB, 50 * MIB] {
        file.write_all_at(&at.to_be_bytes().repeat(40_000), at).unwrap();
    }
    path
}

fn request(image: &Path, output: PathBuf, form: Form) -> Request {
    let build_id = Sha256::of(b"build");
    Request {
        image: image.to_owned(),
        output,
        form,
        size: Some(400 * MIB),
        build_id,
        public: false,
        force: false,
    }
}

/// A payload with a short program; it is read when the image is written.
fn files(dir: &Path) -> Vec<MediumFile> {
    let program = dir.join("kiln");
    std::fs::write(&program, stub_elf()).unwrap();
    payload(&cluster(), Role::Master, &program).unwrap().files
}

#[test]
fn every_form_carries_the_same_disk() {
    let dir = tempfile::tempdir().unwrap();
    let raw = vendor(dir.path());
    let packed = dir.path().join("vendor.qcow2");
    run(&["qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2"], &[&raw, &packed]);
    let first = dir.path().join("first.raw");
    make(&request(&raw, first.clone(), Form::Raw), files(dir.path()), &Silent).unwrap();
    assert_eq!(first.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(run(&["sgdisk", "-v"], &[&first]).contains("No problems found"));
    let forms = [Form::Raw, Form::Qcow2, Form::Packed(Compression::Zlib), Form::Packed(Compression::Zstd)];
    for (number, (image, form)) in
        [&raw, &packed].into_iter().flat_map(|image| forms.map(|form| (image, form))).enumerate()
    {
        let output = dir.path().join(format!("{number}.img"));
        let built = make(&request(image, output.clone(), form), files(dir.path()), &Silent).unwrap();
        let sha256 = Sha256::of_reader(File::open(&output).unwrap()).unwrap().0;
        // A raw image becomes a compressed qcow2.
        let packed = matches!(form, Form::Packed(_)) || (form == Form::Qcow2 && image == &raw);
        assert_eq!(built.sha256, packed.then_some(sha256));
        let kind = if form == Form::Raw { "raw" } else { "qcow2" };
        if form != Form::Raw {
            assert!(run(&["qemu-img", "check", "-f", "qcow2"], &[&output]).contains("No errors were found"));
        }
        run(&["qemu-img", "compare", "-f", "raw", "-F", kind], &[&first, &output]);
        let again = dir.path().join("again.img");
        make(&request(image, again.clone(), form), files(dir.path()), &Silent).unwrap();
        assert!(std::fs::read(&again).unwrap() == std::fs::read(&output).unwrap(), "{form:?}");
        assert!(made_by_kiln(&output));
        std::fs::remove_file(again).unwrap();
    }
    // Nothing is left beside what was made.
    let left: Vec<_> =
        std::fs::read_dir(dir.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().ends_with(".part")), "{left:?}");
}

#[test]
fn the_payload_is_a_volume_that_others_read() {
    let dir = tempfile::tempdir().unwrap();
    let raw = vendor(dir.path());
    let output = dir.path().join("out.raw");
    make(&request(&raw, output.clone(), Form::Raw), files(dir.path()), &Silent).unwrap();
    let disk = File::open(&output).unwrap();
    let table = Disk::read(&disk).unwrap();
    let part = table.parts.last().unwrap();
    let (at, len) = (part.first * table::SECTOR, (part.last - part.first + 1) * table::SECTOR);
    let volume = Window::new(&disk, at, len);
    let image = dir.path().join("volume.iso");
    std::fs::write(&image, volume.read_vec_at(0, len as usize).unwrap()).unwrap();
    let said = run(&["xorriso", "-report_about", "WARNING", "-indev"], &[&image]);
    assert!(!said.contains("FATAL") && !said.contains("FAILURE"), "{said}");
    let tree = dir.path().join("tree");
    run(&["xorriso", "-osirrox", "on", "-indev"], &[&image, Path::new("-extract"), Path::new("/"), &tree]);
    let manifest = Manifest::load(&tree).unwrap();
    crate::node::verify::verify(&tree, &manifest, &Silent).unwrap();
    assert!(run(&["blkid", "-p", "-o", "export"], &[&image]).contains("LABEL=cidata\n"));
    assert!(run(&["isoinfo", "-R", "-l", "-i"], &[&image]).contains("manifest.json"));
    let iso = Iso::open(volume).unwrap();
    assert_eq!(iso.label(), "cidata");
    // The vendor's partitions are as they were.
    let before = File::open(&raw).unwrap();
    for part in &table.parts[..2] {
        let read = |file: &File| {
            let len = (part.last - part.first + 1) * table::SECTOR;
            file.read_vec_at(part.first * table::SECTOR, len as usize).unwrap()
        };
        assert!(read(&before) == read(&disk), "partition {}", part.number);
    }
}

#[test]
fn outputs_and_images_that_do_not_do_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let raw = vendor(dir.path());
    let mut small = request(&raw, dir.path().join("small.raw"), Form::Raw);
    small.size = Some(64 * MIB);
    assert!(make(&small, files(dir.path()), &Silent).unwrap_err().to_string().contains("no room"));
    assert!(!small.output.exists());
    let error = make(&request(&raw, raw.clone(), Form::Raw), files(dir.path()), &Silent).unwrap_err();
    assert!(error.to_string().contains("is the base itself"), "{error}");
    let other = dir.path().join("other");
    std::fs::write(&other, "mine").unwrap();
    let error = make(&request(&raw, other.clone(), Form::Raw), files(dir.path()), &Silent).unwrap_err();
    assert!(error.to_string().contains("kiln did not make it"), "{error}");
    let error =
        make(&request(&other, dir.path().join("x"), Form::Raw), files(dir.path()), &Silent).unwrap_err();
    assert!(error.to_string().contains("too short"), "{error}");
    assert!(look(&raw).unwrap().root_grows);
}
