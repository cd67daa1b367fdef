use super::*;
use crate::cluster::attach::{BondMode, Nic};
use crate::cluster::types::Role;
use crate::testing::{Fake, cluster};

const A: &str = "52:54:00:00:31:71";
const B: &str = "52:54:00:00:32:71";

fn mac(text: &str) -> Mac {
    text.parse().unwrap()
}

/// The files of the first master with this attachment on this release: name of the file → its text.
fn files_of(release: &str, attachment: Attachment) -> Vec<(String, String)> {
    let mut cluster = cluster();
    cluster.base.release = release.parse().unwrap();
    cluster.network.gateway = Some([192, 168, 31, 1].into());
    cluster.network.dns = vec![[192, 168, 31, 2].into(), [192, 168, 31, 3].into()];
    let fake = Fake::new();
    fake.nic("ens3", A, true).nic("ens4", B, true);
    let name = cluster.nodes.values().find(|node| node.identity.mac == Some(mac(A))).unwrap().name.clone();
    cluster.nodes.get_mut(&name).unwrap().attachment = attachment;
    let manifest = Manifest::of(&cluster, Role::Master, "X".parse().unwrap());
    let machine = Machine::look(fake.root()).unwrap();
    let found = machine.find(&manifest).unwrap();
    let files = super::files(&found, &manifest, &machine).unwrap();
    files.into_iter().map(|file| (file.path.rsplit('/').next().unwrap().to_owned(), file.text)).collect()
}

fn bond() -> Bond {
    let members = vec![mac(A), mac(B)];
    Bond { members, mode: BondMode::ActiveBackup, miimon: 100, lacp_rate: None, xmit_hash_policy: None }
}

#[test]
fn one_nic_by_keyfile_and_by_ifcfg() {
    let files = files_of("centos-stream-9", Attachment::default());
    assert_eq!(files.len(), 1);
    assert_eq!(
        files[0].1,
        "# kiln\n[connection]\nid=kiln-ens3\ntype=ethernet\nautoconnect-priority=100\n\n[ethernet]\n\
         mac-address=52:54:00:00:31:71\n\n[ipv4]\nmethod=manual\naddress1=192.168.31.71/24,192.168.31.1\n\
         dns=192.168.31.2;192.168.31.3;\n\n[ipv6]\nmethod=disabled\n"
    );
    let files = files_of("centos-7", Attachment::default());
    assert_eq!(files[0].0, "ifcfg-ens3");
    assert_eq!(
        files[0].1,
        "# kiln\nNAME=kiln-ens3\nDEVICE=ens3\nTYPE=Ethernet\nHWADDR=52:54:00:00:31:71\nONBOOT=yes\nBOOTPROTO=none\n\
         IPADDR=192.168.31.71\nPREFIX=24\nGATEWAY=192.168.31.1\nDNS1=192.168.31.2\nDNS2=192.168.31.3\n\
         DEFROUTE=yes\nIPV6INIT=no\n"
    );
}

#[test]
fn a_vlan_on_a_bond_and_a_further_address() {
    let vlan = 31_u16.try_into().unwrap();
    let nic = Nic {
        mac: mac(B),
        vlan: Some(40_u16.try_into().unwrap()),
        address: "10.0.0.5/16".parse().unwrap(),
        mtu: Some(9000),
    };
    let attachment = Attachment { bond: Some(bond()), vlan: Some(vlan), nics: vec![nic] };
    let files = files_of("rocky-8", attachment.clone());
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    let all = ["bond0", "ens3", "ens4", "bond0.31", "bond0.40"];
    assert_eq!(names, all.map(|name| format!("kiln-{name}.nmconnection")));
    assert!(files[0].1.contains("[bond]\nmode=active-backup\nmiimon=100\n"), "{}", files[0].1);
    assert!(files[0].1.contains("[ipv4]\nmethod=disabled\n") && !files[0].1.contains("address1"));
    assert!(files[1].1.contains("master=bond0\nslave-type=bond\n") && !files[1].1.contains("[ipv4]"));
    assert!(
        files[3].1.contains("[vlan]\nid=31\nparent=bond0\n")
            && files[3].1.contains("address1=192.168.31.71/24,")
    );
    assert!(
        files[4].1.contains("address1=10.0.0.5/16\nnever-default=true\n") && files[4].1.contains("mtu=9000")
    );
    let files = files_of("centos-7", attachment);
    assert!(files[0].1.contains("BONDING_OPTS=\"mode=active-backup miimon=100\"\n"));
    assert!(files[2].1.contains("MASTER=bond0\nSLAVE=yes\n"));
    assert!(files[3].1.contains("VLAN_ID=31\nPHYSDEV=bond0\n") && files[4].1.contains("DEFROUTE=no\n"));
}
