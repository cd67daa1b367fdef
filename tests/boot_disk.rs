//! Disk images from stand-in cloud images, started in QEMU: a machine becomes its node, root grows, the other nodes' secrets go.
//! Minutes each. Needs what `tests/standin/cloud.sh` needs, and QEMU and OVMF; no root, no network.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "common/images.rs"]
mod images;
#[path = "install/project.rs"]
#[allow(dead_code, reason = "layouts of install media")]
mod project;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use kiln::format::gpt::Gpt;
use kiln::format::iso9660::read::Iso;
use kiln::format::mbr;
use kiln::format::qcow2::Qcow2;
use kiln::format::read_at::Window;
use project::{EL9, Project, root};

const LB1: &str = "52:54:00:00:31:81";
const SECTOR: u64 = 512;

/// The stand-in for a vendor's cloud image, made once and kept in the cache.
fn cloud(layout: &str) -> PathBuf {
    let made = Command::new("bash").arg(root().join("tests/standin/cloud.sh")).arg(layout).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    String::from_utf8(made.stdout).unwrap().trim().into()
}

/// An image for the load balancers, on that layout.
fn built(dir: &Path, layout: &str, more: &[&str]) -> (Project, PathBuf) {
    std::os::unix::fs::symlink(cloud(layout), dir.join("cloud.qcow2")).unwrap();
    let change = |file: String| file.replace("[base]\n", "[base]\nimage = \"cloud.qcow2\"\n");
    let project = Project::new(dir, EL9, change).with_stand_ins();
    let image = project.build("lb", &[&["--format", "qcow2", "--size", "24G"], more].concat());
    (project, image)
}

/// Starts a machine from the image; what it said, and the disk that it left.
fn boot(project: &Project, image: &Path, words: &[&str]) -> (String, PathBuf) {
    let log = project.dir.join("boot.log");
    let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
    command.arg("boot").arg(image).args([
        "--memory",
        "2048",
        "--timeout",
        "1800",
        "--silence",
        "600",
        "--keep",
    ]);
    let out = command.args(words).arg("--log").arg(&log).output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr).into_owned() + &String::from_utf8_lossy(&out.stdout);
    let all: String = (1..=2)
        .filter_map(|phase| std::fs::read(project.dir.join(format!("boot-{phase}.log"))).ok())
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .collect();
    assert!(out.status.success(), "{said}\n{all}");
    let kept = said.lines().find_map(|line| line.strip_prefix("kept ")).expect("the folder is kept");
    (all, Path::new(kept).with_extension("disk"))
}

/// Starts a machine from the image with another disk, which is not to change, until it is that node.
fn becomes(
    project: &Project,
    (image, disc): (&Path, &str),
    firmware: &str,
    mac: &str,
    node: &str,
) -> (String, PathBuf) {
    let host = format!("host {node}");
    let disc = format!("file={disc},format=raw,ro,unchanged");
    let words = ["--firmware", firmware, "--mac", mac, "--install", "--disk", &disc];
    boot(project, image, &[&words[..], &["--until", &host, "--until", "login:"]].concat())
}

/// The payload's volume on a disk.
fn payload(disk: &Path) -> Iso<Window<Qcow2<File>>> {
    let image = Qcow2::open(File::open(disk).unwrap()).unwrap();
    let boot = kiln::format::read_at::ReadAt::read_vec_at(&image, 0, 512).unwrap();
    let (first, sectors) = match Gpt::read(&image, 1) {
        Some(gpt) => {
            let part = gpt.partitions().into_iter().max_by_key(|part| part.first).unwrap();
            (part.first, part.last - part.first + 1)
        }
        None => {
            let part = mbr::entries(&boot).into_iter().max_by_key(|part| part.start).unwrap();
            (u64::from(part.start), u64::from(part.sectors))
        }
    };
    Iso::open(Window::new(image, first * SECTOR, sectors * SECTOR)).unwrap()
}

fn archive(disk: &Path, name: &str) -> Vec<u8> {
    payload(disk).read_path(&format!("/kiln/nodes/{name}.tar"), 64 << 20).unwrap().unwrap()
}

/// MiB that root has, by the last line that tells.
fn root_mib(said: &str) -> u64 {
    let line = said.lines().rev().find_map(|line| line.split_once("STANDIN root has "));
    line.expect("it says how large root is").1.split(' ').next().unwrap().parse().unwrap()
}

/// The role's own units were up when the machine was switched off, and none of them had failed. (The stand-in's own may: Debian's
/// sshd has two names.)
fn role_is_up(said: &str) {
    for unit in ["nginx.servic", "keepalived.servic", "kiln-agent.servic"] {
        let lines = || said.lines().filter(|line| line.contains(unit));
        assert!(lines().any(|line| line.contains("Stopped")), "{unit}: {said}");
        let failed: Vec<&str> = lines().filter(|line| line.contains("Failed to start")).collect();
        assert!(failed.is_empty(), "{}", failed.join("\n"));
    }
}

/// Takes away what a boot left.
fn done(disk: &Path) {
    std::fs::remove_dir_all(disk.with_extension("")).unwrap();
    std::fs::remove_file(disk).unwrap();
}

/// A machine becomes its node on this layout and firmware.
fn adopted(layout: &str, firmware: &str) {
    let dir = tempfile::tempdir().unwrap();
    let (project, image) = built(dir.path(), layout, &[]);
    assert!(archive(&image, "lb2").iter().any(|byte| *byte != 0));
    let words =
        ["--firmware", firmware, "--mac", LB1, "--install", "--until", "host lb1", "--until", "login:"];
    let (said, disk) = boot(&project, &image, &words);
    assert!(said.contains("this machine is lb1 now"), "{said}");
    // Root has 2.5 GiB in the vendor's image, and grows up to the payload near the end of 24 GiB.
    role_is_up(&said);
    let mib = root_mib(&said);
    assert!(mib > 22_000, "root has {mib} MiB");
    for name in ["lb1", "lb2"] {
        assert!(
            archive(&disk, name).iter().all(|byte| *byte == 0),
            "{name}: its secrets are on the disk still"
        );
    }
    let check = Command::new("qemu-img").args(["check", "-f", "qcow2"]).arg(&disk).output().unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
    is_spared(&project, &disk, firmware);
    done(&disk);
}

/// An install medium that may wipe whatever lies on the disk does not wipe this one: a node of its cluster lies there.
fn is_spared(project: &Project, disk: &Path, firmware: &str) {
    let path = project.dir.join("cluster.toml");
    let file = std::fs::read_to_string(&path).unwrap();
    let lb1 = "address = \"192.168.31.81\"";
    let any = file.replace(lb1, &format!("{lb1}\nwipe = \"any\""));
    assert_ne!(file, any);
    std::fs::write(&path, any).unwrap();
    let medium = project.build("lb", &["--output", "install.iso"]);
    let disc = format!("file={},format=qcow2,unchanged", disk.display());
    let mut kiln = Command::new(env!("CARGO_BIN_EXE_kiln"));
    kiln.arg("boot").arg(medium).args([
        "--install",
        "--firmware",
        firmware,
        "--mac",
        LB1,
        "--memory",
        "2048",
    ]);
    kiln.args(["--disk", &disc, "--expect", "refused", "--until", "carries lb1, installed from"]);
    let out = kiln.output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr).into_owned() + &String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{said}");
}

#[test]
fn a_machine_with_bios_and_an_mbr_becomes_its_node() {
    adopted("mbr", "bios");
}

#[test]
fn a_machine_with_uefi_and_a_gpt_becomes_its_node() {
    adopted("gpt", "uefi");
}

#[test]
fn an_unknown_machine_is_left_as_it_is_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (project, image) = built(dir.path(), "mbr", &[]);
    let words = [
        "--firmware",
        "bios",
        "--mac",
        "52:54:00:99:99:99",
        "--install",
        "--expect",
        "refused",
        "--until",
        "kiln did not make this machine a node",
        "--until",
        "login:",
    ];
    let (_, disk) = boot(&project, &image, &words);
    assert!(archive(&disk, "lb2").iter().any(|byte| *byte != 0), "nothing is wiped");
    done(&disk);
}

#[test]
fn an_image_without_secrets_takes_them_from_its_seed() {
    let dir = tempfile::tempdir().unwrap();
    let (project, image) = built(dir.path(), "gpt", &["--secrets", "seed"]);
    let seed = image.with_extension("seed.iso").display().to_string();
    let (said, disk) = becomes(&project, (&image, &seed), "uefi", LB1, "lb1");
    assert!(said.contains("this machine is lb1 now"), "{said}");
    done(&disk);
}

/// The vendor's image as it is, on a larger disk, and all of kiln's on a volume beside it.
#[test]
fn a_vendors_own_image_becomes_a_node_beside_a_seed() {
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(cloud("mbr"), dir.path().join("cloud.qcow2")).unwrap();
    let change = |file: String| file.replace("[base]\n", "[base]\nimage = \"cloud.qcow2\"\n");
    let project = Project::new(dir.path(), EL9, change).with_stand_ins();
    let seed = project.build("lb", &["--format", "seed", "--payload", "--beside", "image"]);
    let larger = dir.path().join("larger.qcow2");
    std::fs::copy(cloud("mbr"), &larger).unwrap();
    let grown = Command::new("qemu-img").args(["resize", "-q"]).arg(&larger).arg("8G").status().unwrap();
    assert!(grown.success());
    let disc = seed.display().to_string();
    let (said, disk) = becomes(&project, (&larger, &disc), "bios", LB1, "lb1");
    assert!(
        said.contains("this machine is lb1 now") && said.contains("take it away from this machine"),
        "{said}"
    );
    let mib = root_mib(&said);
    assert!(mib > 7000, "root has {mib} MiB");
    done(&disk);
}

/// A hypervisor's own volume for cloud-init wins over the payload. The user-data on it is what `kiln inspect` printed: it leads to the
/// payload, and names a machine that nothing else is known by.
#[test]
fn an_operators_user_data_names_the_node() {
    let dir = tempfile::tempdir().unwrap();
    let (project, image) = built(dir.path(), "mbr", &[]);
    let mut kiln = Command::new(env!("CARGO_BIN_EXE_kiln"));
    let out = kiln.args(["inspect", "--user-data", "--node", "lb2"]).arg(&image).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let own = dir.path().join("own");
    std::fs::create_dir(&own).unwrap();
    std::fs::write(own.join("user-data"), out.stdout).unwrap();
    std::fs::write(own.join("meta-data"), "instance-id: i-0815\nlocal-hostname: vm-0815\n").unwrap();
    let volume = dir.path().join("own.iso");
    let mut xorriso = Command::new("xorriso");
    xorriso.args(["-as", "mkisofs", "-quiet", "-V", "cidata", "-J", "-R", "-o"]).arg(&volume).arg(&own);
    assert!(xorriso.status().expect("this test needs xorriso").success());
    let disc = volume.display().to_string();
    let (said, disk) = becomes(&project, (&image, &disc), "bios", "52:54:00:99:99:99", "lb2");
    assert!(said.contains("this machine is lb2 now"), "{said}");
    for name in ["lb1", "lb2"] {
        assert!(
            archive(&disk, name).iter().all(|byte| *byte == 0),
            "{name}: its secrets are on the disk still"
        );
    }
    done(&disk);
}
