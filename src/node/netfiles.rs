//! The network of a node as files: what [`super::attach`] tells the installer, for a system that is there already.
//!
//! Keyfiles of NetworkManager on EL 8 and later, where it is the only one. `ifcfg` files on EL 7: its cloud images run the `network`
//! service or NetworkManager, and both read them.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::attach::{BOND, nic_name, vlan_name};
use super::identity::{Found, Machine};
use crate::cluster::attach::{Attachment, Bond};
use crate::cluster::types::Mac;
use crate::error::Result;
use crate::payload::manifest::Manifest;

/// A file of the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetFile {
    /// Its path.
    pub path: String,
    /// Its content.
    pub text: String,
}

/// What an interface lies on.
enum Under<'a> {
    /// A NIC.
    Nic(Mac),
    /// NICs as one.
    Bond(&'a Bond),
    /// A VLAN of an interface.
    Vlan(u16, String),
    /// A member of the bond.
    Member(Mac),
}

/// The addresses of an interface.
enum Addresses {
    None,
    Dhcp,
    Static { address: Ipv4Net, gateway: Option<Ipv4Addr>, dns: Vec<Ipv4Addr> },
}

struct Interface<'a> {
    name: String,
    under: Under<'a>,
    addresses: Addresses,
    mtu: Option<u16>,
    /// Whether it may carry the default route.
    route: bool,
}

/// The files of a node's network.
///
/// # Errors
/// Of class input: the machine has not the NICs that the inventory names.
pub fn files(found: &Found, manifest: &Manifest, machine: &Machine) -> Result<Vec<NetFile>> {
    let all = interfaces(found, manifest, machine)?;
    let file = if manifest.release.el >= 8 { keyfile } else { ifcfg };
    Ok(all.iter().map(file).collect())
}

fn interfaces<'a>(found: &'a Found, manifest: &Manifest, machine: &Machine) -> Result<Vec<Interface<'a>>> {
    let net = &manifest.network;
    let attachment: Option<&Attachment> = found.node.as_ref().map(|node| &node.attachment);
    let bond = attachment.and_then(|attachment| attachment.bond.as_ref());
    let nic = |mac| nic_name(machine, found, mac);
    let below = |mac: Mac| match bond {
        Some(bond) if bond.members.contains(&mac) => Ok(BOND.to_owned()),
        _ => nic(mac),
    };
    let mut all: Vec<Interface<'_>> = Vec::new();
    let plain = |name: String, mac, mtu| Interface {
        name,
        under: Under::Nic(mac),
        addresses: Addresses::None,
        mtu,
        route: false,
    };
    match bond {
        Some(bond) => {
            let bonded = Interface { under: Under::Bond(bond), ..plain(BOND.to_owned(), found.mac, net.mtu) };
            all.push(bonded);
            for mac in &bond.members {
                all.push(Interface { under: Under::Member(*mac), ..plain(nic(*mac)?, *mac, net.mtu) });
            }
        }
        None => all.push(plain(nic(found.mac)?, found.mac, net.mtu)),
    }
    let vlan = attachment.and_then(|attachment| attachment.vlan);
    if let Some(vlan) = vlan {
        let parent = below(found.mac)?;
        let under = Under::Vlan(vlan.into(), parent.clone());
        all.push(Interface { under, ..plain(vlan_name(&parent, vlan), found.mac, net.mtu) });
    }
    let at = if vlan.is_some() { all.len() - 1 } else { 0 };
    all[at].route = true;
    all[at].addresses = match &found.node {
        None => Addresses::Dhcp,
        Some(node) => Addresses::Static {
            address: Ipv4Net::new_assert(node.address, net.subnet.prefix_len()),
            gateway: net.gateway,
            dns: net.dns.clone(),
        },
    };
    for further in attachment.iter().flat_map(|attachment| &attachment.nics) {
        let addresses = Addresses::Static { address: further.address, gateway: None, dns: Vec::new() };
        let parent = below(further.mac)?;
        let interface = match further.vlan {
            None => plain(nic(further.mac)?, further.mac, further.mtu),
            Some(vlan) => {
                if !all.iter().any(|known| known.name == parent) {
                    all.push(plain(parent.clone(), further.mac, further.mtu));
                }
                let under = Under::Vlan(vlan.into(), parent.clone());
                Interface { under, ..plain(vlan_name(&parent, vlan), further.mac, further.mtu) }
            }
        };
        all.push(Interface { addresses, ..interface });
    }
    Ok(all)
}

fn keyfile(interface: &Interface<'_>) -> NetFile {
    let Interface { name, under, addresses, mtu, route } = interface;
    let mtu = mtu.map(|mtu| format!("mtu={mtu}\n")).unwrap_or_default();
    let ethernet = |mac: &Mac| format!("[ethernet]\nmac-address={mac}\n{mtu}");
    let (kind, more, own) = match under {
        Under::Nic(mac) => ("ethernet", String::new(), ethernet(mac)),
        Under::Member(mac) => ("ethernet", format!("master={BOND}\nslave-type=bond\n"), ethernet(mac)),
        Under::Bond(bond) => {
            let options = bond.options().replace(',', "\n");
            ("bond", format!("interface-name={name}\n"), format!("[bond]\n{options}\n\n[ethernet]\n{mtu}"))
        }
        Under::Vlan(id, parent) => {
            let own = format!("[vlan]\nid={id}\nparent={parent}\n\n[ethernet]\n{mtu}");
            ("vlan", format!("interface-name={name}\n"), own)
        }
    };
    let mut ip = match addresses {
        Addresses::None => "method=disabled\n".to_owned(),
        Addresses::Dhcp => "method=auto\n".to_owned(),
        Addresses::Static { address, gateway, dns } => {
            let gateway = gateway.map(|gateway| format!(",{gateway}")).unwrap_or_default();
            let dns: String = dns.iter().map(|server| format!("{server};")).collect();
            let dns = if dns.is_empty() { String::new() } else { format!("dns={dns}\n") };
            format!("method=manual\naddress1={address}{gateway}\n{dns}")
        }
    };
    if !route && !matches!(addresses, Addresses::None) {
        ip += "never-default=true\n";
    }
    let ip = match under {
        Under::Member(_) => String::new(),
        _ => format!("\n[ipv4]\n{ip}\n[ipv6]\nmethod=disabled\n"),
    };
    NetFile {
        path: format!("/etc/NetworkManager/system-connections/kiln-{name}.nmconnection"),
        text: format!(
            "# kiln\n[connection]\nid=kiln-{name}\ntype={kind}\nautoconnect-priority=100\n{more}\n{own}{ip}"
        ),
    }
}

fn ifcfg(interface: &Interface<'_>) -> NetFile {
    let Interface { name, under, addresses, mtu, route } = interface;
    let own = match under {
        Under::Nic(mac) => format!("TYPE=Ethernet\nHWADDR={mac}\n"),
        Under::Member(mac) => format!("TYPE=Ethernet\nHWADDR={mac}\nMASTER={BOND}\nSLAVE=yes\n"),
        Under::Bond(bond) => {
            format!("TYPE=Bond\nBONDING_MASTER=yes\nBONDING_OPTS=\"{}\"\n", bond.options().replace(',', " "))
        }
        Under::Vlan(id, parent) => format!("TYPE=Vlan\nVLAN=yes\nVLAN_ID={id}\nPHYSDEV={parent}\n"),
    };
    let mut ip = match addresses {
        Addresses::None => "BOOTPROTO=none\n".to_owned(),
        Addresses::Dhcp => "BOOTPROTO=dhcp\n".to_owned(),
        Addresses::Static { address, gateway, dns } => {
            let (addr, prefix) = (address.addr(), address.prefix_len());
            let gateway = gateway.map(|gateway| format!("GATEWAY={gateway}\n")).unwrap_or_default();
            let dns: String = (1..).zip(dns).map(|(n, server)| format!("DNS{n}={server}\n")).collect();
            format!("BOOTPROTO=none\nIPADDR={addr}\nPREFIX={prefix}\n{gateway}{dns}")
        }
    };
    ip += &mtu.map(|mtu| format!("MTU={mtu}\n")).unwrap_or_default();
    let route = if *route { "yes" } else { "no" };
    NetFile {
        path: format!("/etc/sysconfig/network-scripts/ifcfg-{name}"),
        text: format!(
            "# kiln\nNAME=kiln-{name}\nDEVICE={name}\n{own}ONBOOT=yes\n{ip}DEFROUTE={route}\nIPV6INIT=no\n"
        ),
    }
}

#[cfg(test)]
#[path = "netfiles_tests.rs"]
mod tests;
