//! The kickstart of every profile on every release: as pykickstart reads it, and as it was checked in.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::process::Command;

use kiln::assets::Assets;
use kiln::cluster::types::{Release, Role};
use kiln::image::label::VolumeLabel;
use kiln::kickstart::{self, Way};
use kiln::payload::manifest::Spread;
use kiln::plan::{Versions, plan};

/// The kickstart of a role of the reference cluster on a release.
fn rendered(release: Release, role: Role) -> String {
    spread(release, role, Spread::Whole)
}

/// The same, for what lies on other volumes.
fn spread(release: Release, role: Role, spread: Spread) -> String {
    let mut cluster = common::reference_cluster();
    cluster.base.release = release;
    let assets = Assets::new(None).unwrap();
    let versions = Versions::from([("containerd".to_owned(), "2.3.4".to_owned())]);
    let plan = plan(&cluster, &assets, role, &versions).unwrap();
    let label = VolumeLabel::for_medium(&cluster.name, role, "0000");
    let way = Way { spread, network: None };
    kickstart::render_for(&cluster, &plan, &label, &assets, way).unwrap()
}

fn cases() -> Vec<(Release, Role)> {
    Release::all().flat_map(|release| Role::ALL.map(|role| (release, role))).collect()
}

#[test]
fn pykickstart_takes_every_profile_on_every_release() {
    for el in 7..=10 {
        let dir = tempfile::tempdir().unwrap();
        let mut check = Command::new("ksvalidator");
        check.args(["-v", &format!("RHEL{el}")]);
        for (release, role) in cases().into_iter().filter(|(release, _)| release.el == el) {
            let file = dir.path().join(format!("{release}-{role}.ks"));
            std::fs::write(&file, rendered(release, role)).unwrap();
            check.arg(file);
        }
        let out = check.output().expect("ksvalidator does not run: pip install pykickstart");
        let said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "RHEL{el}: {said}");
    }
}

/// Every way of being attached, as `kiln node prepare` includes it.
#[test]
fn pykickstart_takes_every_network_on_every_release() {
    use kiln::cluster::attach::{Attachment, Bond, BondMode, HashPolicy, LacpRate, Nic, VlanId};
    let macs = ["52:54:00:00:31:71", "52:54:00:00:32:71", "52:54:00:00:33:71"];
    let mac = |n: usize| macs[n].parse().unwrap();
    let vlan = |id: u16| VlanId::try_from(id).ok();
    let bond = |mode: BondMode| Bond {
        members: vec![mac(0), mac(1)],
        mode,
        miimon: 100,
        lacp_rate: (mode == BondMode::Lacp).then_some(LacpRate::Fast),
        xmit_hash_policy: mode.hashes().then_some(HashPolicy::Layer34),
    };
    let nic = |n: usize, vlan, mtu| Nic { mac: mac(n), vlan, address: "10.9.0.71/24".parse().unwrap(), mtu };
    let mut ways: Vec<Attachment> = BondMode::ALL
        .iter()
        .map(|mode| Attachment { bond: Some(bond(*mode)), ..Default::default() })
        .collect();
    ways.extend([
        Attachment::default(),
        Attachment { vlan: vlan(4094), ..Default::default() },
        Attachment {
            vlan: vlan(31),
            bond: Some(bond(BondMode::Lacp)),
            nics: vec![nic(1, vlan(9), Some(9000)), nic(2, None, None)],
        },
    ]);
    let root = tempfile::tempdir().unwrap();
    for (n, mac) in macs.iter().enumerate() {
        let dir = root.path().join(format!("sys/class/net/ens{n}"));
        std::fs::create_dir_all(dir.join("device")).unwrap();
        std::fs::write(dir.join("address"), mac).unwrap();
    }
    let machine = kiln::node::identity::Machine::look(root.path()).unwrap();
    for el in 7..=10 {
        let dir = tempfile::tempdir().unwrap();
        let mut check = Command::new("ksvalidator");
        check.args(["-v", &format!("RHEL{el}")]);
        for (n, way) in ways.iter().enumerate() {
            for mtu in [None, Some(9000)] {
                let mut cluster = common::reference_cluster();
                cluster.base.release.el = el;
                cluster.network.mtu = mtu;
                let node =
                    cluster.nodes.values_mut().find(|node| node.name.as_str() == "k8s-master1").unwrap();
                node.attachment = way.clone();
                let label = VolumeLabel::for_medium(&cluster.name, Role::Master, "0000");
                let manifest = kiln::payload::manifest::Manifest::of(&cluster, Role::Master, label);
                let found = machine.find(&manifest).unwrap();
                let lines = kiln::node::attach::lines(&found, &manifest, &machine).unwrap();
                let file = dir.path().join(format!("{n}-{mtu:?}.ks"));
                std::fs::write(&file, lines).unwrap();
                check.arg(file);
            }
        }
        let out = check.output().expect("ksvalidator does not run: pip install pykickstart");
        let said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        // Several VLANs on one bond are several lines with one device. pykickstart warns of that and takes them all; the
        // installer logs the warning.
        let told =
            said.lines().filter(|line| !line.is_empty() && !line.starts_with("Checking kickstart file"));
        let known = |line: &str| line == "A network device with the name bond0 has already been defined.";
        let others: Vec<&str> = told.filter(|line| !known(line)).collect();
        assert!(out.status.success() || (said.contains("bond0") && others.is_empty()), "RHEL{el}: {said}");
    }
}

#[test]
fn kickstarts_are_as_checked_in() {
    for (release, role) in cases() {
        // The vendors differ in one line of comment.
        if release.to_string().starts_with("centos") {
            common::golden(&format!("kickstart/el{}-{role}.ks", release.el), &rendered(release, role));
        }
    }
    // What differs where secrets, or all, lie on a seed is the same on every release.
    let release = "centos-stream-9".parse().unwrap();
    for (name, way) in [("split", Spread::Split), ("beside", Spread::Beside)] {
        common::golden(&format!("kickstart/{name}-el9-master.ks"), &spread(release, Role::Master, way));
    }
}
