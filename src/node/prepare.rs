//! `kiln node prepare`, run by `%pre`: which node this is, whether the medium is whole, which disk may be used; the
//! answers are files that the kickstart includes.
//!
//! `disk.ks` is written last, when all else is known to be right: without it no installation starts.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::attach::{self, Pin};
use super::disk::{self, Disk};
use super::identity::{Found, Machine};
use super::preflight::{self, Finding, Hands, Subject};
use super::verify::{Verified, verify};
use crate::digest::Sha256;
use crate::error::{Error, IoContext, Result};
use crate::kickstart::Word;
use crate::payload::manifest::Manifest;
use crate::progress::Progress;

/// What to prepare.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// Where the medium is mounted.
    pub media: &'a Path,
    /// Folder for the answers; made if it is missing.
    pub out: &'a Path,
    /// Root of the running system: `/`.
    pub root: &'a Path,
    /// The node to be, instead of what the kernel's command line says.
    pub node: Option<&'a str>,
    /// Whether to check every file of the medium.
    pub check_medium: bool,
    /// What of the machine is asked and changed to see whether it is fit; `None`: nothing is looked at.
    pub preflight: Option<&'a dyn Hands>,
}

/// Who a node is: `node.json` of the answers, and `/opt/kiln/node.json` on the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeFile {
    /// Host name.
    pub name: String,
    /// Profile.
    pub profile: String,
    /// Cluster.
    pub cluster: String,
    /// Worker pool, if it is a member of one.
    pub pool: Option<String>,
    /// Address; members of a pool have it from DHCP.
    pub address: Option<std::net::Ipv4Addr>,
    /// MAC address of the interface that carries it.
    pub mac: String,
    /// Names of its NICs.
    #[serde(default)]
    pub pins: Vec<Pin>,
    /// Label of the medium.
    pub label: String,
    /// Build id of the medium.
    pub build_id: Sha256,
}

/// What was found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// Who the machine is.
    pub node: NodeFile,
    /// The disk that will be installed to.
    pub disk: Disk,
    /// What speaks against the machine, but does not stop it.
    pub findings: Vec<Finding>,
    /// What was checked; `None` if nothing was to be.
    pub verified: Option<Verified>,
    /// Number of files that the manifest names.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Finds out all, then writes `node`, `node.json`, `network.ks` and `disk.ks`.
pub fn prepare(options: &Options<'_>, progress: &dyn Progress) -> Result<Prepared> {
    let Options { media, out, root, .. } = *options;
    let manifest = Manifest::load(media)?;
    // What an earlier attempt left must not be taken for an answer.
    fs::create_dir_all(out).at("making the folder", out)?;
    for name in ["node", "node.json", "network.ks", "preflight.json", "disk.ks"] {
        match fs::remove_file(out.join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io("removing", &out.join(name), error));
            }
            _ => {}
        }
    }
    progress.step("finding out which node this is");
    let mut machine = Machine::look(root)?;
    if let Some(name) = options.node {
        machine.asked_node = Some(name.to_owned());
    }
    let disks = disk::list(root, media)?;
    let found = machine.find(&manifest).map_err(|error| with_disks(error, &disks))?;
    let node = node_file(&found, &manifest, &machine);
    let save = |name: &str, text: &str| fs::write(out.join(name), text).at("writing", &out.join(name));
    let json = serde_json::to_string(&node);
    save("node", &format!("{}\n", node.name))?;
    save("node.json", &(json.map_err(|error| Error::internal("writing node.json").because(error))? + "\n"))?;
    save("network.ks", &attach::lines(&found, &manifest, &machine)?)?;
    progress.step(&format!("choosing the disk of {}", node.name));
    let disk = disk::choose(&disks, &found.disk)?;
    let answer = disk_kickstart(&disk)?;
    let subject = Subject { root, manifest: &manifest, found: &found, machine: &machine, disks: &[&disk] };
    let findings = options.preflight.map(|hands| preflight::run(&subject, hands, progress));
    let findings = findings.unwrap_or_default();
    save("preflight.json", &preflight::json(&findings)?)?;
    let verified = match options.check_medium {
        true => {
            progress.step("checking the medium");
            verify(media, &manifest, progress).map(Some)
        }
        false => Ok(None),
    };
    let verified = preflight::settle(&node.name, &findings, verified)?;
    save("disk.ks", &answer)?;
    let bytes = manifest.files.values().map(|file| file.size).fold(0, u64::saturating_add);
    Ok(Prepared { node, disk, findings, verified, files: manifest.files.len() as u64, bytes })
}

/// Whoever adds an unknown machine to `cluster.toml` needs to know its disks too.
fn with_disks(error: Error, disks: &[Disk]) -> Error {
    let Some(hint) = error.hint_text().filter(|hint| hint.contains("[[node]]\n")) else { return error };
    let rows = disks.iter().map(|disk| {
        let serial = disk.serial.as_deref().unwrap_or("none");
        let size = crate::report::human_size(disk.size);
        format!("\n# disk {}: {size}, {}, serial {}", disk.name, disk.model, serial.escape_debug())
    });
    let hint = rows.fold(hint.to_owned(), |hint, row| hint + &row);
    error.hint(hint)
}

fn node_file(found: &Found, manifest: &Manifest, machine: &Machine) -> NodeFile {
    NodeFile {
        name: found.name.to_string(),
        profile: manifest.role.to_string(),
        cluster: manifest.cluster.to_string(),
        pool: found.pool.as_ref().map(ToString::to_string),
        address: found.node.as_ref().map(|node| node.address),
        mac: found.mac.to_string(),
        pins: attach::pins(machine),
        label: manifest.label.to_string(),
        build_id: manifest.build_id,
    }
}

/// Everything on the one disk, nothing on any other. `reqpart` adds what the firmware needs: a BIOS boot partition or an
/// EFI system partition, and /boot.
fn disk_kickstart(disk: &Disk) -> Result<String> {
    let name = Word::new("disk", &disk.name)?;
    Ok(format!(
        "ignoredisk --only-use={name}\nzerombr\nclearpart --all --initlabel --disklabel=gpt --drives={name}\n\
         reqpart --add-boot\npart / --fstype=xfs --size=6144 --grow --ondisk={name}\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::types::Role;
    use crate::progress::Silent;
    use crate::testing::{Fake, cluster, medium};

    fn options<'a>(media: &'a Path, out: &'a Path, fake: &'a Fake) -> Options<'a> {
        Options { media, out, root: fake.root(), node: None, check_medium: true, preflight: None }
    }

    #[test]
    fn a_known_machine_gets_its_answers() {
        let (media, out, fake) =
            (medium(&cluster(), Role::Master), tempfile::tempdir().unwrap(), Fake::new());
        fake.nic("eth0", "52:54:00:00:31:71", true).disk("vda", 0, 40).disk("vdb", 16, 80);
        let out = out.path().join("kiln");
        let prepared = prepare(&options(media.path(), &out, &fake), &Silent).unwrap();
        assert_eq!((prepared.node.name.as_str(), prepared.disk.name.as_str()), ("k8s-master1", "vda"));
        assert_eq!(prepared.verified.unwrap().files, 6);
        let read = |name: &str| fs::read_to_string(out.join(name)).unwrap();
        assert_eq!(read("node"), "k8s-master1\n");
        assert_eq!(
            read("network.ks"),
            "network --bootproto=static --ip=192.168.31.71 --netmask=255.255.255.0 --gateway=192.168.31.1 --nodns \
             --device=52:54:00:00:31:71 --bindto=mac --noipv6 --activate --onboot=yes\nnetwork --hostname=k8s-master1\n"
        );
        assert!(
            read("disk.ks").starts_with("ignoredisk --only-use=vda\nzerombr\nclearpart --all --initlabel")
        );
        let node: NodeFile = serde_json::from_str(&read("node.json")).unwrap();
        assert_eq!(node, prepared.node);
    }

    #[test]
    fn without_a_disk_the_node_is_named_and_nothing_can_be_installed() {
        let (media, out, fake) =
            (medium(&cluster(), Role::Master), tempfile::tempdir().unwrap(), Fake::new());
        fake.nic("eth0", "52:54:00:00:31:71", true);
        fs::write(out.path().join("disk.ks"), "old").unwrap();
        let error = prepare(&options(media.path(), out.path(), &fake), &Silent).unwrap_err();
        assert!(error.to_string().contains("no disk"), "{error}");
        assert_eq!(fs::read_to_string(out.path().join("node")).unwrap(), "k8s-master1\n");
        assert!(!out.path().join("disk.ks").exists());
    }

    #[test]
    fn a_damaged_medium_installs_nothing() {
        let (media, out, fake) =
            (medium(&cluster(), Role::Master), tempfile::tempdir().unwrap(), Fake::new());
        fake.nic("eth0", "52:54:00:00:31:71", true).disk("vda", 0, 40);
        fs::write(media.path().join("ks.cfg"), "x").unwrap();
        assert!(prepare(&options(media.path(), out.path(), &fake), &Silent).is_err());
        assert!(!out.path().join("disk.ks").exists());
        let unchecked = Options { check_medium: false, ..options(media.path(), out.path(), &fake) };
        assert_eq!(prepare(&unchecked, &Silent).unwrap().verified, None);
    }

    #[test]
    fn an_unknown_machine_is_told_how_to_become_a_node() {
        let (media, out, fake) =
            (medium(&cluster(), Role::Master), tempfile::tempdir().unwrap(), Fake::new());
        fake.nic("eth0", "52:54:00:00:31:99", true).disk("vda", 0, 40);
        let error = prepare(&options(media.path(), out.path(), &fake), &Silent).unwrap_err();
        let hint = error.hint_text().unwrap();
        assert!(hint.contains("[[node]]") && hint.contains("# disk vda: 40.0 GiB, QEMU HARDDISK"), "{hint}");
        assert!(fs::read_dir(out.path()).unwrap().next().is_none());
        let asked = Options { node: Some("k8s-master2"), ..options(media.path(), out.path(), &fake) };
        assert_eq!(prepare(&asked, &Silent).unwrap().node.name, "k8s-master2");
    }

    #[test]
    fn a_member_of_a_pool_asks_dhcp() {
        let (media, out, fake) =
            (medium(&cluster(), Role::Worker), tempfile::tempdir().unwrap(), Fake::new());
        fake.nic("eth0", "52:54:00:00:31:99", true).disk("vda", 0, 40);
        let prepared = prepare(&options(media.path(), out.path(), &fake), &Silent).unwrap();
        assert_eq!(prepared.node.name, "pool-a-003199");
        let network = fs::read_to_string(out.path().join("network.ks")).unwrap();
        assert!(network.starts_with("network --bootproto=dhcp --device=52:54:00:00:31:99"), "{network}");
    }
}
