//! Which node is this machine? Answered from its permanent MAC addresses, SMBIOS serial number, UUID and asset tag, or by
//! the boot menu.
//!
//! `root` is `/` on a machine; tests give a folder with a `sys` and a `proc` of their own.

use std::fs;
use std::path::Path;

use crate::cluster::storage::Storage;
use crate::cluster::types::{HostName, Mac, Role, SystemUuid};
use crate::error::{Error, IoContext, Result};
use crate::payload::manifest::{Manifest, ManifestNode};

/// What a hypervisor may say of a machine (QEMU `-fw_cfg name=opt/kiln/node,string=NAME`).
const FW_CFG: &str = "sys/firmware/qemu_fw_cfg/by_name/opt/kiln/node/raw";
/// OEM strings (SMBIOS 3.7, type 11), as the kernel shows the table.
const OEM: &str = "sys/firmware/dmi/entries/11-0/raw";

/// A network interface that has hardware behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nic {
    /// Name the kernel gave it.
    pub name: String,
    /// Its address.
    pub mac: Mac,
    /// Whether it has a link.
    pub carrier: bool,
}

/// What a machine tells about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machine {
    /// Interfaces, by name.
    pub nics: Vec<Nic>,
    /// SMBIOS system serial number.
    pub serial: Option<String>,
    /// SMBIOS system UUID.
    pub uuid: Option<SystemUuid>,
    /// SMBIOS asset tag of the chassis.
    pub asset_tag: Option<String>,
    /// `kiln.node=` of the kernel's command line, of an SMBIOS OEM string, or QEMU's `opt/kiln/node`.
    pub asked_node: Option<String>,
    /// `kiln.pool=` of the kernel's command line.
    pub asked_pool: Option<String>,
}

/// The node that a machine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Host name.
    pub name: HostName,
    /// The node of the inventory; `None` for a member of a pool.
    pub node: Option<ManifestNode>,
    /// The pool it is a member of.
    pub pool: Option<HostName>,
    /// Address of the interface that is to carry the node's address.
    pub mac: Mac,
    /// What to install it to.
    pub storage: Storage,
}

impl Machine {
    /// Looks at the machine.
    pub fn look(root: &Path) -> Result<Self> {
        let dmi = |name: &str| short(&root.join("sys/class/dmi/id").join(name));
        let mut machine = Machine {
            nics: nics(&root.join("sys/class/net"))?,
            serial: dmi("product_serial"),
            uuid: dmi("product_uuid").and_then(|uuid| uuid.parse().ok()),
            asset_tag: dmi("chassis_asset_tag"),
            ..Default::default()
        };
        let line = short(&root.join("proc/cmdline")).unwrap_or_default();
        for word in line.split_ascii_whitespace() {
            match word.split_once('=') {
                Some(("kiln.node", name)) => machine.asked_node = Some(name.to_owned()),
                Some(("kiln.pool", name)) => machine.asked_pool = Some(name.to_owned()),
                _ => {}
            }
        }
        if machine.asked_node.is_none() {
            machine.asked_node = oem_node(root).or_else(|| short(&root.join(FW_CFG)));
        }
        Ok(machine)
    }

    fn is(&self, node: &ManifestNode) -> bool {
        let mac = node.macs().iter().any(|mac| self.nics.iter().any(|nic| nic.mac == *mac));
        let serial = node.serial.is_some() && node.serial == self.serial;
        let tag = node.asset_tag.is_some() && node.asset_tag == self.asset_tag;
        mac || serial || tag || (node.uuid.is_some() && node.uuid == self.uuid)
    }

    /// The node that this machine is, or is asked to be by the boot menu.
    ///
    /// Refuses a machine that matches several nodes, that is a node of another role, or that is unknown; the error of the
    /// last says what to write into `cluster.toml`.
    pub fn find(&self, manifest: &Manifest) -> Result<Found> {
        let matches: Vec<&ManifestNode> = manifest.nodes.iter().filter(|node| self.is(node)).collect();
        let known = match matches.as_slice() {
            [] => None,
            [one] => Some(*one),
            [first, second, ..] => {
                return Err(Error::input(format!(
                    "this machine matches two nodes, {} and {}",
                    first.name, second.name
                ))
                .hint("give each [[node]] in cluster.toml the identity of one machine"));
            }
        };
        let node = match &self.asked_node {
            None => known,
            Some(asked) => Some(asked_for(asked, known, manifest)?),
        };
        match node {
            Some(node) if node.role != manifest.role => Err(Error::input(format!(
                "this machine is {}, of profile {}, but the medium is for profile {}",
                node.name, node.role, manifest.role
            ))
            .hint(format!("boot the {} medium of cluster {}", node.role, manifest.cluster))),
            Some(node) if manifest.reinstall.as_ref().is_some_and(|only| *only != node.name) => {
                Err(reinstalls_another(node, manifest))
            }
            Some(node) => {
                let bond = node.attachment.bond.iter().flat_map(|bond| bond.members.iter().copied());
                let mut carriers = node.mac.into_iter().chain(bond);
                let own = carriers.find_map(|mac| self.nics.iter().find(|nic| nic.mac == mac));
                let mac = match own {
                    Some(nic) => nic.mac,
                    None => self.likely_nic(&node.name)?.mac,
                };
                let (name, storage) = (node.name.clone(), node.storage.clone());
                Ok(Found { name, node: Some(node.clone()), pool: None, mac, storage })
            }
            None if manifest.role == Role::Worker
                && manifest.reinstall.is_none()
                && !manifest.pools.is_empty() =>
            {
                self.pool_member(manifest)
            }
            None => Err(self.unknown(manifest)),
        }
    }

    /// The interface to use where the inventory does not say: the only one, or the only one with a link.
    fn likely_nic(&self, name: &HostName) -> Result<&Nic> {
        let linked: Vec<&Nic> = self.nics.iter().filter(|nic| nic.carrier).collect();
        match (self.nics.as_slice(), linked.as_slice()) {
            ([one], _) => Ok(one),
            (_, [one]) => Ok(*one),
            ([], _) => Err(Error::input(format!("{name}: this machine has no network interface"))
                .hint("its driver may be missing in the installer")),
            _ => Err(Error::input(format!(
                "{name}: which of this machine's {} network interfaces carries its address cannot be told",
                self.nics.len()
            ))
            .hint(format!("give the node the MAC address of one in cluster.toml:\n{}", self.describe()))),
        }
    }

    /// A member of a pool: named after the pool and the last half of its MAC address.
    fn pool_member(&self, manifest: &Manifest) -> Result<Found> {
        let names = || manifest.pools.iter().map(|pool| pool.name.to_string()).collect::<Vec<_>>().join(", ");
        let pool = match (&self.asked_pool, manifest.pools.as_slice()) {
            (None, [one]) => one,
            (None, _) => {
                return Err(Error::input(format!("this machine may join any of the pools {}", names()))
                    .hint("say which at boot: kiln.pool=NAME on the kernel's command line"));
            }
            (Some(asked), pools) => {
                pools.iter().find(|pool| pool.name.as_str() == asked).ok_or_else(|| {
                    let asked = asked.escape_debug();
                    Error::input(format!(
                        "kiln.pool={asked}: cluster {} has the pools {}",
                        manifest.cluster,
                        names()
                    ))
                })?
            }
        };
        let mac = self.likely_nic(&pool.name)?.mac;
        let name = pool_member(&pool.name, mac);
        let name: HostName = name.parse().map_err(|rule| Error::input(format!("{name}: {rule}")))?;
        if manifest.nodes.iter().any(|node| node.name == name) {
            return Err(Error::input(format!(
                "a member of a pool would be {name}, which is another node's name"
            )));
        }
        Ok(Found { name, node: None, pool: Some(pool.name.clone()), mac, storage: pool.storage.clone() })
    }

    /// What the machine is known by, as it would be written into `cluster.toml`.
    pub fn describe(&self) -> String {
        let mut lines = Vec::new();
        for nic in &self.nics {
            let link = if nic.carrier { "" } else { ", no link" };
            lines.push(format!("mac = \"{}\"  # {}{link}", nic.mac, nic.name.escape_debug()));
        }
        lines.extend(self.serial.as_ref().map(|serial| format!("serial = \"{}\"", serial.escape_debug())));
        lines.extend(self.uuid.as_ref().map(|uuid| format!("uuid = \"{uuid}\"")));
        let tag = self.asset_tag.as_ref().map(|tag| format!("asset_tag = \"{}\"", tag.escape_debug()));
        lines.extend(tag);
        lines.join("\n")
    }

    fn unknown(&self, manifest: &Manifest) -> Error {
        Error::input(format!("no node of cluster {} is this machine", manifest.cluster)).hint(format!(
            "if it is to be one, add it to cluster.toml (one of the last lines is enough) and build again:\n\
             [[node]]\nname = \"\"\nprofile = \"{}\"\naddress = \"\"  # in {}\n{}",
            manifest.role,
            manifest.network.subnet.trunc(),
            self.describe()
        ))
    }
}

fn reinstalls_another(node: &ManifestNode, manifest: &Manifest) -> Error {
    let only = manifest.reinstall.as_ref().map(ToString::to_string).unwrap_or_default();
    Error::input(format!(
        "this machine is {}, but the medium was made to reinstall {only} and no other",
        node.name
    ))
    .hint(format!("boot the {} medium of cluster {}", node.role, manifest.cluster))
}

/// The node that an OEM string asks for: `kiln.node=NAME`. The strings lie behind the table's fixed part, each with a zero.
fn oem_node(root: &Path) -> Option<String> {
    use std::io::Read;
    let mut table = Vec::new();
    fs::File::open(root.join(OEM)).ok()?.take(64 << 10).read_to_end(&mut table).ok()?;
    let strings = table.get(usize::from(*table.get(1)?)..)?.split(|byte| *byte == 0);
    let mut texts = strings.filter_map(|string| std::str::from_utf8(string).ok());
    texts.find_map(|text| text.trim().strip_prefix("kiln.node=").map(str::to_owned))
}

/// Name of a member of a pool: the pool's and the last half of its MAC address.
fn pool_member(pool: &HostName, mac: Mac) -> String {
    let [.., a, b, c] = mac.octets();
    format!("{pool}-{a:02x}{b:02x}{c:02x}")
}

/// Whether a member of the pool may be called so.
pub fn is_pool_member(pool: &HostName, name: &str) -> bool {
    let tail = name.strip_prefix(pool.as_str()).and_then(|rest| rest.strip_prefix('-'));
    tail.is_some_and(|tail| tail.len() == 6 && tail.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
}

/// The node that the boot menu asks for. A machine that is known may not become another node.
fn asked_for<'a>(
    asked: &str,
    known: Option<&ManifestNode>,
    manifest: &'a Manifest,
) -> Result<&'a ManifestNode> {
    let Some(node) = manifest.nodes.iter().find(|node| node.name.as_str() == asked) else {
        return Err(Error::input(format!(
            "kiln.node={}: cluster {} has no such node",
            asked.escape_debug(),
            manifest.cluster
        )));
    };
    match known {
        Some(known) if known.name != node.name => {
            Err(Error::input(format!("this machine is {}, but {} was asked for", known.name, node.name))
                .hint("choose the entry that matches the machine, or correct cluster.toml and build again"))
        }
        _ => Ok(node),
    }
}

fn nics(dir: &Path) -> Result<Vec<Nic>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("listing", dir, error)),
    };
    let mut nics = Vec::new();
    for entry in entries {
        let path = entry.at("listing", dir)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // Bridges, tunnels and the loopback have no device behind them.
        // A member of a bond shows the bond's address; its own is beside it.
        let own = ["bonding_slave/perm_hwaddr", "address"].iter().find_map(|file| short(&path.join(file)));
        let mac = own.and_then(|mac| mac.parse().ok());
        if let (true, Some(mac)) = (path.join("device").exists(), mac) {
            let carrier = short(&path.join("carrier")).as_deref() == Some("1");
            nics.push(Nic { name, mac, carrier });
        }
    }
    nics.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(nics)
}

/// A short file of the kernel's, trimmed; `None` if it is empty or cannot be read (an interface that is down has no
/// carrier to read, a virtual machine no serial number).
pub(super) fn short(path: &Path) -> Option<String> {
    use std::io::Read;
    let mut text = String::new();
    fs::File::open(path).ok()?.take(4096).read_to_string(&mut text).ok()?;
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Fake, cluster};

    fn manifest(role: Role) -> Manifest {
        Manifest::of(&cluster(), role, "X".parse().unwrap())
    }

    fn find(fake: &Fake, role: Role) -> Result<Found> {
        Machine::look(fake.root()).unwrap().find(&manifest(role))
    }

    #[test]
    fn a_machine_is_known_by_its_mac() {
        let fake = Fake::new();
        fake.nic("lo", "00:00:00:00:00:00", false).nic("eth0", "52:54:00:00:31:99", true);
        fake.nic("eth1", "52:54:00:00:31:74", true);
        let found = find(&fake, Role::Master).unwrap();
        assert_eq!(found.name.as_str(), "k8s-master2");
        assert_eq!(found.mac.to_string(), "52:54:00:00:31:74");
    }

    #[test]
    fn or_by_serial_number_or_uuid() {
        let mut cluster = cluster();
        let names: Vec<HostName> = cluster.nodes.keys().cloned().collect();
        cluster.nodes.get_mut(&names[2]).unwrap().identity.serial = Some("CZ1234".into());
        let uuid = "4c4c4544-0034-3010-8048-b7c04f503233";
        cluster.nodes.get_mut(&names[3]).unwrap().identity.uuid = Some(uuid.parse().unwrap());
        let manifest = Manifest::of(&cluster, Role::Master, "X".parse().unwrap());
        let fake = Fake::new();
        fake.nic("eth0", "52:54:00:00:31:99", true).put("sys/class/dmi/id/product_serial", "CZ1234  \n");
        let found = Machine::look(fake.root()).unwrap().find(&manifest).unwrap();
        assert_eq!((&found.name, found.mac.to_string().as_str()), (&names[2], "52:54:00:00:31:99"));
        fake.put("sys/class/dmi/id/product_uuid", &uuid.to_uppercase());
        let error = Machine::look(fake.root()).unwrap().find(&manifest).unwrap_err();
        assert!(error.to_string().contains("two nodes"), "{error}");
    }

    #[test]
    fn unknown_and_misplaced_machines_are_refused() {
        let fake = Fake::new();
        fake.nic("eth0", "52:54:00:00:31:99", true).put("sys/class/dmi/id/product_serial", "CZ1234");
        let error = find(&fake, Role::Master).unwrap_err();
        assert!(error.to_string().contains("no node of cluster prod is this machine"), "{error}");
        let hint = error.hint_text().unwrap();
        assert!(hint.contains("mac = \"52:54:00:00:31:99\"  # eth0\nserial = \"CZ1234\""), "{hint}");
        fake.nic("eth1", "52:54:00:00:31:72", true);
        let error = find(&fake, Role::Master).unwrap_err();
        assert!(error.to_string().contains("k8s-worker1, of profile worker"), "{error}");
    }

    #[test]
    fn the_boot_menu_may_name_an_unknown_machine_but_not_rename_a_known_one() {
        let fake = Fake::new();
        fake.nic("eth0", "52:54:00:00:31:99", true).put("proc/cmdline", "quiet kiln.node=k8s-master3 x\n");
        assert_eq!(find(&fake, Role::Master).unwrap().name.as_str(), "k8s-master3");
        fake.nic("eth1", "52:54:00:00:31:71", true);
        let error = find(&fake, Role::Master).unwrap_err();
        assert!(error.to_string().contains("is k8s-master1, but k8s-master3 was asked for"), "{error}");
        fake.put("proc/cmdline", "quiet").nic("eth1", "52:54:00:00:31:98", true);
        fake.put("sys/firmware/qemu_fw_cfg/by_name/opt/kiln/node/raw", "k8s-master2");
        assert_eq!(Machine::look(fake.root()).unwrap().asked_node.as_deref(), Some("k8s-master2"));
        let table = "\u{b}\u{5}\0\u{1}\u{2}hello\0kiln.node=k8s-master1\0\0";
        fake.put("sys/firmware/dmi/entries/11-0/raw", table);
        assert_eq!(Machine::look(fake.root()).unwrap().asked_node.as_deref(), Some("k8s-master1"));
        fake.put("proc/cmdline", "kiln.node=nobody");
        assert!(find(&fake, Role::Master).unwrap_err().to_string().contains("no such node"));
    }

    #[test]
    fn members_of_a_pool_are_named_after_their_mac() {
        let fake = Fake::new();
        fake.nic("eth0", "52:54:00:0a:bc:99", true);
        let found = find(&fake, Role::Worker).unwrap();
        assert_eq!(found.name.as_str(), "pool-a-0abc99");
        let pool: HostName = "pool-a".parse().unwrap();
        assert!(is_pool_member(&pool, "pool-a-0abc99"));
        for other in [
            "pool-a",
            "pool-a-",
            "pool-a-0abc9",
            "pool-a-0abc999",
            "pool-a-0ABC99",
            "pool-b-0abc99",
            "pool-a0abc99",
        ] {
            assert!(!is_pool_member(&pool, other), "{other}");
        }
        assert_eq!(found.pool.unwrap().as_str(), "pool-a");
        fake.nic("eth1", "52:54:00:0a:bc:98", false);
        assert_eq!(find(&fake, Role::Worker).unwrap().name.as_str(), "pool-a-0abc99");
        fake.nic("eth1", "52:54:00:0a:bc:98", true);
        let error = find(&fake, Role::Worker).unwrap_err();
        assert!(error.to_string().contains("2 network interfaces"), "{error}");
        fake.put("proc/cmdline", "kiln.pool=b");
        assert!(find(&fake, Role::Worker).unwrap_err().to_string().contains("has the pools pool-a"));
    }
}
