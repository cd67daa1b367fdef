//! The network of a node as lines of a kickstart, and the names of its NICs as udev is to give them.
//!
//! Static, or DHCP for a member of a pool. Lines name NICs by MAC address where the installer takes one, and by the name of
//! the moment where it does not (members of bonds, parents of VLANs). Profiles are bound to MAC addresses, and [`pins`] keep
//! names with the NICs, so that NICs that change places change nothing.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use super::identity::{Found, Machine};
use crate::cluster::attach::{Attachment, VlanId};
use crate::cluster::types::Mac;
use crate::error::{Error, Result};
use crate::kickstart::Word;
use crate::payload::manifest::Manifest;

/// Name of the bond that carries the node's address.
pub(super) const BOND: &str = "bond0";
/// Longest name of an interface in Linux (IFNAMSIZ less its end).
const LONGEST_NAME: usize = 15;

/// A name that udev gives to a NIC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// The name.
    pub name: String,
    /// Permanent MAC address of the NIC.
    pub mac: Mac,
}

impl Pin {
    /// Path of the file on the node.
    pub fn path(&self) -> String {
        format!("/etc/systemd/network/10-kiln-{}.link", self.name)
    }

    /// The file. `Path` is what only hardware has: bonds, VLANs and bridges may carry the same MAC address.
    pub fn text(&self) -> String {
        let Pin { name, mac } = self;
        format!(
            "# As the installer saw it. A NIC keeps its name where it is moved to another slot.\n\
             [Match]\nMACAddress={mac}\nPath=*\n\n[Link]\nName={name}\n"
        )
    }
}

/// Names to keep. The kernel's own names (`eth0`) cannot be: it gives them to others at the same time.
pub fn pins(machine: &Machine) -> Vec<Pin> {
    let fits = |name: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        !name.is_empty() && name.len() <= LONGEST_NAME && !name.starts_with("eth") && name.chars().all(plain)
    };
    let nics = machine.nics.iter().filter(|nic| fits(&nic.name));
    nics.map(|nic| Pin { name: nic.name.clone(), mac: nic.mac }).collect()
}

/// MAC addresses that may carry the node's address: the members of its bond, or its NIC.
pub fn carriers(found: &Found) -> Vec<Mac> {
    let bond = found.node.as_ref().and_then(|node| node.attachment.bond.as_ref());
    bond.map_or_else(|| vec![found.mac], |bond| bond.members.clone())
}

/// The lines of `network.ks`.
pub fn lines(found: &Found, manifest: &Manifest, machine: &Machine) -> Result<String> {
    let none = Attachment::default();
    let attachment = found.node.as_ref().map_or(&none, |node| &node.attachment);
    let lines = Lines { attachment, machine, bind: manifest.release.el >= 8 };
    let mut text = lines.own(found, manifest)?;
    for nic in &attachment.nics {
        text += &lines.further(found, nic.mac, nic.vlan, nic.address, nic.mtu)?;
    }
    Ok(text + &format!("network --hostname={}\n", found.name))
}

struct Lines<'a> {
    attachment: &'a Attachment,
    machine: &'a Machine,
    /// Whether the installer can bind profiles to MAC addresses; EL 7 cannot, and writes them beside the name by itself.
    bind: bool,
}

impl Lines<'_> {
    /// The line of the node's own address. A VLAN's device can have no larger MTU than what it lies on, so that gets a line
    /// of its own where one is asked for.
    fn own(&self, found: &Found, manifest: &Manifest) -> Result<String> {
        let net = &manifest.network;
        let address = match &found.node {
            None => " --bootproto=dhcp".to_owned(),
            Some(node) => {
                let gateway = net.gateway.map(|gateway| format!(" --gateway={gateway}")).unwrap_or_default();
                let servers: Vec<String> = net.dns.iter().map(Ipv4Addr::to_string).collect();
                let dns = match servers.as_slice() {
                    [] => " --nodns".to_owned(),
                    servers => format!(" --nameserver={}", servers.join(",")),
                };
                let (ip, mask) = (node.address, net.subnet.netmask());
                format!(" --bootproto=static --ip={ip} --netmask={mask}{gateway}{dns}")
            }
        };
        let mtu = net.mtu;
        let device = match &self.attachment.bond {
            None => format!(" --device={}", found.mac),
            Some(bond) => {
                let members: Vec<String> =
                    bond.members.iter().map(|mac| self.name(found, *mac)).collect::<Result<_>>()?;
                format!(" --device={BOND} --bondslaves={} --bondopts={}", members.join(","), bond.options())
            }
        };
        let Some(vlan) = self.attachment.vlan else {
            return Ok(self.line(&address, &device, mtu));
        };
        let parent = self.parent(found, found.mac)?;
        let below = mtu.map(|_| self.line(" --noipv4", &device, mtu)).unwrap_or_default();
        let device = if mtu.is_none() && self.attachment.bond.is_some() {
            device
        } else {
            format!(" --device={parent}")
        };
        Ok(below + &self.line(&address, &format!("{device}{}", vlan_words(&parent, vlan)), mtu))
    }

    /// The line of a further address.
    fn further(
        &self,
        found: &Found,
        mac: Mac,
        vlan: Option<VlanId>,
        address: Ipv4Net,
        mtu: Option<u16>,
    ) -> Result<String> {
        let words = format!(
            " --bootproto=static --ip={} --netmask={} --nodefroute --nodns",
            address.addr(),
            address.netmask()
        );
        let Some(vlan) = vlan else {
            self.name(found, mac)?;
            return Ok(self.line(&words, &format!(" --device={mac}"), mtu));
        };
        let parent = self.parent(found, mac)?;
        Ok(self.line(&words, &format!(" --device={parent}{}", vlan_words(&parent, vlan)), mtu))
    }

    fn line(&self, address: &str, device: &str, mtu: Option<u16>) -> String {
        let mtu = mtu.map(|mtu| format!(" --mtu={mtu}")).unwrap_or_default();
        // Only a NIC can be bound to its address; a bond and a VLAN have those of what they lie on.
        let plain =
            !device.contains("--bondslaves=") && !device.contains("--vlanid=") && !device.contains(BOND);
        let bind = if self.bind && plain { " --bindto=mac" } else { "" };
        format!("network{address}{device}{bind}{mtu} --noipv6 --activate --onboot=yes\n")
    }

    /// What a VLAN lies on: the bond, if the NIC is its member.
    fn parent(&self, found: &Found, mac: Mac) -> Result<String> {
        match &self.attachment.bond {
            Some(bond) if bond.members.contains(&mac) => Ok(BOND.to_owned()),
            _ => self.name(found, mac),
        }
    }

    fn name(&self, found: &Found, mac: Mac) -> Result<String> {
        nic_name(self.machine, found, mac)
    }
}

/// The name that a NIC has now.
pub(super) fn nic_name(machine: &Machine, found: &Found, mac: Mac) -> Result<String> {
    let Some(nic) = machine.nics.iter().find(|nic| nic.mac == mac) else {
        return Err(Error::input(format!("{}: this machine has no NIC {mac}", found.name)).hint(format!(
            "correct the node's mac, bond and nic in cluster.toml; it has\n{}",
            machine.describe()
        )));
    };
    Ok(Word::new("the name of a network interface", &nic.name)?.to_string())
}

/// The name of a VLAN's interface.
pub(super) fn vlan_name(parent: &str, vlan: VlanId) -> String {
    let usual = format!("{parent}.{vlan}");
    if usual.len() > LONGEST_NAME { format!("vlan{vlan}") } else { usual }
}

/// The installer calls it `<parent>.<id>`; a longer name than Linux takes is said.
fn vlan_words(parent: &str, vlan: VlanId) -> String {
    let name = vlan_name(parent, vlan);
    let name = if name.starts_with(parent) { String::new() } else { format!(" --interfacename={name}") };
    format!(" --vlanid={vlan}{name}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::attach::{Bond, BondMode, Nic};
    use crate::cluster::types::Role;
    use crate::testing::{Fake, cluster};

    const A: &str = "52:54:00:00:31:71";
    const B: &str = "52:54:00:00:32:71";

    fn mac(text: &str) -> Mac {
        text.parse().unwrap()
    }

    fn bond() -> Bond {
        let members = vec![mac(A), mac(B)];
        Bond { members, mode: BondMode::ActiveBackup, miimon: 100, lacp_rate: None, xmit_hash_policy: None }
    }

    /// `network.ks` of the first master, attached so.
    fn rendered(attachment: Attachment, mtu: Option<u16>, el: u8) -> Result<String> {
        let mut cluster = cluster();
        let first = cluster.nodes.keys().find(|name| name.as_str() == "k8s-master1").unwrap().clone();
        cluster.nodes.get_mut(&first).unwrap().attachment = attachment;
        cluster.network.mtu = mtu;
        cluster.base.release.el = el;
        let manifest = Manifest::of(&cluster, Role::Master, "X".parse().unwrap());
        let fake = Fake::new();
        fake.nic("ens3", A, true).nic("ens4", B, true).nic("enx525400000033", "52:54:00:00:00:33", true);
        let machine = Machine::look(fake.root()).unwrap();
        let found = machine.find(&manifest).unwrap();
        lines(&found, &manifest, &machine)
    }

    #[test]
    fn a_vlan_on_a_bond_is_one_line() {
        let vlan = VlanId::try_from(100).ok();
        let text = rendered(Attachment { bond: Some(bond()), vlan, nics: vec![] }, None, 9).unwrap();
        assert_eq!(
            text,
            "network --bootproto=static --ip=192.168.31.71 --netmask=255.255.255.0 --gateway=192.168.31.1 --nodns \
             --device=bond0 --bondslaves=ens3,ens4 --bondopts=mode=active-backup,miimon=100 --vlanid=100 \
             --noipv6 --activate --onboot=yes\nnetwork --hostname=k8s-master1\n"
        );
    }

    #[test]
    fn what_a_vlan_lies_on_gets_its_mtu_first() {
        let vlan = VlanId::try_from(100).ok();
        let text = rendered(Attachment { bond: Some(bond()), vlan, nics: vec![] }, Some(9000), 9).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines[0].contains("--noipv4 --device=bond0 --bondslaves") && lines[0].contains("--mtu=9000"),
            "{text}"
        );
        assert!(
            lines[1].contains("--device=bond0 --vlanid=100") && !lines[1].contains("bondslaves"),
            "{text}"
        );
        let text = rendered(Attachment { vlan, ..Default::default() }, Some(9000), 7).unwrap();
        assert!(text.starts_with(&format!("network --noipv4 --device={A} --mtu=9000")), "{text}");
        assert!(text.contains("--device=ens3 --vlanid=100 --mtu=9000") && !text.contains("bindto"), "{text}");
    }

    #[test]
    fn further_addresses_get_no_default_route() {
        let nic = |mac: &str, vlan: Option<u16>, mtu| Nic {
            mac: mac.parse().unwrap(),
            vlan: vlan.and_then(|id| VlanId::try_from(id).ok()),
            address: "10.9.0.71/24".parse().unwrap(),
            mtu,
        };
        let nics =
            vec![nic(B, None, Some(9000)), nic(A, Some(7), None), nic("52:54:00:00:00:33", Some(8), None)];
        let text = rendered(Attachment { nics, ..Default::default() }, None, 10).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines[1].contains(&format!(
                "--ip=10.9.0.71 --netmask=255.255.255.0 --nodefroute --nodns --device={B}"
            )),
            "{text}"
        );
        assert!(lines[1].contains("--mtu=9000") && !lines[1].contains("gateway"), "{text}");
        assert!(lines[2].contains("--device=ens3 --vlanid=7 "), "{text}");
        assert!(lines[3].contains("--device=enx525400000033 --vlanid=8 --interfacename=vlan8"), "{text}");
        let missing = Attachment { nics: vec![nic("52:54:00:00:00:99", None, None)], ..Default::default() };
        let error = rendered(missing, None, 9).unwrap_err();
        assert!(error.to_string().contains("this machine has no NIC 52:54:00:00:00:99"), "{error}");
    }

    #[test]
    fn names_are_kept_but_for_the_kernels_own() {
        let fake = Fake::new();
        fake.nic("eth0", A, true).nic("ens4", B, false).nic("lo", "00:00:00:00:00:00", false);
        let pins = pins(&Machine::look(fake.root()).unwrap());
        assert_eq!(pins, [Pin { name: "ens4".into(), mac: mac(B) }]);
        assert_eq!(pins[0].path(), "/etc/systemd/network/10-kiln-ens4.link");
        assert!(
            pins[0].text().contains(&format!("MACAddress={B}\nPath=*\n\n[Link]\nName=ens4")),
            "{}",
            pins[0].text()
        );
    }
}
