//! `kiln-tree.json`: what a PXE tree holds, for whom, and which machines it is for. Written by [`super`], read by [`crate::serve`].
//!
//! Machines and digests are in it, secrets are not. What was read is typed: no path of it leads out of the tree.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::cluster::types::{HostName, Mac};
use crate::digest::Sha256;
use crate::error::{Error, Result};

/// Name of the list, at the top of the tree.
pub const LIST: &str = "kiln-tree.json";
/// The format that this kiln writes, and the only one it reads.
pub const FORMAT: u32 = 1;
/// More than any list: some 150 bytes a file.
pub const MAX_LIST: u64 = 64 << 20;
/// Longest path of a file in a tree.
const MAX_PATH: usize = 1024;

/// A tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TreeList {
    /// Version of this format.
    pub format: u32,
    /// Version of the kiln that made the tree.
    pub kiln: String,
    /// Digest over everything in it besides the base.
    pub build_id: Sha256,
    /// Its label, as media have one.
    pub label: String,
    /// The cluster.
    pub cluster: String,
    /// The role that it is for.
    pub profile: String,
    /// Where machines find it.
    pub url: TreeUrl,
    /// The nodes' network.
    pub subnet: Ipv4Net,
    /// Its gateway.
    pub gateway: Option<Ipv4Addr>,
    /// Its name servers.
    pub dns: Vec<Ipv4Addr>,
    /// What loaders begin with.
    pub loaders: LoaderFiles,
    /// The machines that it installs.
    pub machines: Vec<Machine>,
    /// Every file by its path in the tree, without a leading `/`.
    pub files: BTreeMap<String, Listed>,
}

/// First files of each way to boot; `None` where the tree has none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoaderFiles {
    /// BIOS by TFTP.
    pub bios: Option<String>,
    /// UEFI by TFTP.
    pub uefi: Option<String>,
    /// UEFI HTTP Boot: the same, if its GRUB can fetch by HTTP.
    pub uefi_http: Option<String>,
    /// Script for iPXE.
    pub ipxe: String,
}

/// A machine that a tree installs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Host name.
    pub name: HostName,
    /// Address.
    pub address: Ipv4Addr,
    /// MAC addresses of its network cards.
    pub macs: Vec<Mac>,
    /// SMBIOS system UUID.
    pub uuid: Option<String>,
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 of the content.
    pub sha256: Sha256,
    /// Who may have it.
    #[serde(default, skip_serializing_if = "Audience::is_machines")]
    pub to: Audience,
}

/// Who may have a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Audience {
    /// Machines of the tree; all if the server is told so.
    #[default]
    Machines,
    /// Machines of the tree and never others: it holds secrets of the role.
    Role,
    /// One node, once: its keys.
    Node(HostName),
    /// Members of a pool, who are not known by name: only if the server is told to let in all.
    Pool(HostName),
}

impl Audience {
    fn is_machines(&self) -> bool {
        *self == Audience::Machines
    }

    /// Whether the file holds secrets.
    pub fn is_secret(&self) -> bool {
        !self.is_machines()
    }
}

impl TreeList {
    /// As it is written: JSON, indented, with a line break at its end.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        let text = serde_json::to_vec_pretty(self);
        let mut text =
            text.map_err(|error| Error::internal("writing the list of the tree").because(error))?;
        text.push(b'\n');
        Ok(text)
    }

    /// Reads a list; `origin` is its name for messages.
    pub fn from_json(json: &[u8], origin: &str) -> Result<Self> {
        let broken = |error: serde_json::Error| {
            Error::input(format!("{origin} is no list of a PXE tree: {error}"))
                .hint("the tree is damaged or was changed; build it again")
        };
        #[derive(Deserialize)]
        struct Versioned {
            format: u32,
        }
        let version: Versioned = serde_json::from_slice(json).map_err(broken)?;
        if version.format != FORMAT {
            let text = format!("{origin} has format {}; this kiln reads format {FORMAT}", version.format);
            return Err(Error::input(text).hint("use the kiln that built the tree"));
        }
        let list: Self = serde_json::from_slice(json).map_err(broken)?;
        match list.files.keys().find(|path| normal(path).as_ref() != Some(path)) {
            Some(path) => {
                Err(Error::input(format!("{origin}: `{}` is no path of a tree", path.escape_debug())))
            }
            None => Ok(list),
        }
    }

    /// The machine of a MAC address.
    pub fn by_mac(&self, mac: Mac) -> Option<&Machine> {
        self.machines.iter().find(|machine| machine.macs.contains(&mac))
    }

    /// The machine of a UUID.
    pub fn by_uuid(&self, uuid: &str) -> Option<&Machine> {
        self.machines.iter().find(|machine| machine.uuid.as_deref() == Some(uuid))
    }
}

/// A path as the list has it: empty parts taken out, no `.` or `..`, no control characters; `None` if that cannot be.
pub fn normal(path: &str) -> Option<String> {
    if path.len() > MAX_PATH || path.chars().any(|c| c.is_control() || c == '\\') {
        return None;
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let fine = !parts.is_empty() && parts.iter().all(|part| !matches!(*part, "." | ".."));
    fine.then(|| parts.join("/"))
}

/// Where machines find a tree: `http://10.0.0.5/kiln/`. An address and no name, since loaders and the installer may have nobody to ask;
/// not `https:`, since loaders have no certificates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TreeUrl {
    address: Ipv4Addr,
    port: u16,
    path: String,
}

impl TreeUrl {
    /// The server's address.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// The server's port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The tree's path on the server; begins and ends with `/`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The address of a file of the tree.
    pub fn file(&self, path: &str) -> String {
        format!("{self}{}", path.trim_start_matches('/'))
    }
}

impl fmt::Display for TreeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            80 => write!(f, "http://{}{}", self.address, self.path),
            port => write!(f, "http://{}:{port}{}", self.address, self.path),
        }
    }
}

impl FromStr for TreeUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("`{}` is no address of a tree: {why}", text.escape_debug());
        let rest = text.strip_prefix("http://").ok_or_else(|| {
            wrong("write http://ADDRESS/ or http://ADDRESS:PORT/PATH/; loaders know no https")
        })?;
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (address, port) = host.split_once(':').unwrap_or((host, "80"));
        let address: Ipv4Addr = address
            .parse()
            .map_err(|_| wrong("the host must be an IPv4 address, for a loader may have no name server"))?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(|| wrong("the port is none"))?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "/-_.~".contains(c);
        if !path.chars().all(plain) || path.len() > 200 {
            return Err(wrong("its path may hold letters, digits, `-`, `_`, `.`, `~` and `/` only"));
        }
        let path = match (path.is_empty(), normal(path)) {
            (true, _) => "/".to_owned(),
            (_, Some(path)) => format!("/{path}/"),
            _ => return Err(wrong("its path has a part `.` or `..`")),
        };
        Ok(Self { address, port, path })
    }
}

impl TryFrom<String> for TreeUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<TreeUrl> for String {
    fn from(url: TreeUrl) -> Self {
        url.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written() {
        for (text, want) in [
            ("http://10.0.0.5", "http://10.0.0.5/"),
            ("http://10.0.0.5:80/kiln", "http://10.0.0.5/kiln/"),
            ("http://10.0.0.5:8080//a//b/", "http://10.0.0.5:8080/a/b/"),
        ] {
            let url: TreeUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), want);
            assert_eq!(url.to_string().parse::<TreeUrl>().unwrap(), url);
            assert_eq!(url.file("/ks.cfg"), format!("{want}ks.cfg"));
        }
        for bad in [
            "",
            "https://10.0.0.5/",
            "http://host/",
            "http://10.0.0.5:0/",
            "http://10.0.0.5/a b",
            "http://10.0.0.5/../x",
            "http://10.0.0.5/$x",
        ] {
            assert!(bad.parse::<TreeUrl>().is_err(), "{bad}");
        }
    }

    #[test]
    fn only_paths_of_the_tree_are_normal() {
        assert_eq!(normal("//a///b.c/"), Some("a/b.c".into()));
        for bad in ["", "/", "..", "a/../b", "./a", "a\0b", "a\nb", "a\\..\\b"] {
            assert_eq!(normal(bad), None, "{bad:?}");
        }
        assert_eq!(normal(&"a/".repeat(600)), None);
    }

    /// A tree of one machine.
    fn list() -> TreeList {
        let listed = |to| Listed { size: 3, sha256: Sha256([7; 32]), to };
        TreeList {
            format: FORMAT,
            kiln: "0".into(),
            build_id: Sha256([1; 32]),
            label: "KILN-A".into(),
            cluster: "prod".into(),
            profile: "master".into(),
            url: "http://10.0.0.5/".parse().unwrap(),
            subnet: "10.0.0.0/24".parse().unwrap(),
            gateway: None,
            dns: vec![],
            loaders: LoaderFiles::default(),
            machines: vec![Machine {
                name: "a".parse().unwrap(),
                address: [10, 0, 0, 7].into(),
                macs: vec!["52:54:00:00:00:01".parse().unwrap()],
                uuid: Some("x".into()),
            }],
            files: [
                ("ks.cfg".to_owned(), listed(Audience::Machines)),
                ("kiln/nodes/a.tar".to_owned(), listed(Audience::Node("a".parse().unwrap()))),
            ]
            .into(),
        }
    }

    #[test]
    fn a_list_is_read_as_it_was_written() {
        let list = list();
        let json = list.to_json().unwrap();
        assert_eq!(TreeList::from_json(&json, "x").unwrap(), list);
        assert!(list.by_mac("52:54:00:00:00:01".parse().unwrap()).is_some() && list.by_uuid("x").is_some());
        for (old, new) in [("ks.cfg", "../ks.cfg"), ("ks.cfg", "/ks.cfg"), ("\"format\": 1", "\"format\": 2")]
        {
            let bad = String::from_utf8(json.clone()).unwrap().replace(old, new);
            assert!(TreeList::from_json(bad.as_bytes(), "x").is_err(), "{new}");
        }
    }
}
