//! The manifest of a medium: who it is for, and every file with size and digest. No secrets.
//!
//! Written by [`super::assemble`]; read by `kiln node` on the machines and by `kiln inspect`. What was read is typed, so
//! that nothing of it can break out of a kickstart or a path.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use super::validity::Validity;
use crate::cluster::attach::Attachment;
use crate::cluster::model::{Cluster, Node, WorkerPool};
use crate::cluster::preflight::Policy;
use crate::cluster::storage::Storage;
use crate::cluster::types::{ClusterName, HostName, KubeVersion, Mac, Release, Role, SystemUuid};
use crate::digest::Sha256;
use crate::error::{Error, IoContext, Result};
use crate::image::label::VolumeLabel;
use crate::tree::NodePath;

/// The format that this kiln writes, and the only one it reads.
pub const FORMAT: u32 = 2;

/// More than any manifest: some 100 bytes a file.
const MAX_SIZE: u64 = 64 << 20;

/// How a payload and its secrets are spread over volumes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Spread {
    /// All of it is on the medium that boots.
    #[default]
    Whole,
    /// Secrets are on a seed ([`super::seed`]), and on the medium there are none.
    Split,
    /// All of it is on a seed beside the vendor's own medium.
    Beside,
}

impl Spread {
    /// Whether it is the usual one, which manifests do not tell.
    fn is_whole(&self) -> bool {
        *self == Spread::Whole
    }
}

/// What a medium is for, and what lies on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of this format.
    pub format: u32,
    /// Version of the kiln that made the medium.
    pub kiln: String,
    /// Digest over everything that reaches the medium besides the base.
    pub build_id: Sha256,
    /// Label of the medium.
    #[serde(with = "text")]
    pub label: VolumeLabel,
    /// The cluster.
    #[serde(with = "text")]
    pub cluster: ClusterName,
    /// Digest of the cluster's certificate authority: two clusters of one name are told apart by it.
    pub authority: Sha256,
    /// Where the secrets lie.
    #[serde(default, skip_serializing_if = "Spread::is_whole")]
    pub spread: Spread,
    /// The one node that this medium may install over itself; `kiln build --reinstall`.
    #[serde(with = "text_or_null")]
    pub reinstall: Option<HostName>,
    /// Version of Kubernetes.
    #[serde(with = "text")]
    pub kubernetes: KubeVersion,
    /// Operating system release.
    #[serde(with = "text")]
    pub release: Release,
    /// The role that the medium serves.
    #[serde(with = "text")]
    pub role: Role,
    /// The nodes' network.
    pub network: ManifestNetwork,
    /// The API's address.
    pub vip: Ipv4Addr,
    /// How much the findings of the installer weigh, where it is not the default.
    #[serde(default)]
    pub preflight: Policy,
    /// When the certificates on the medium are good; `None` if it has none.
    pub validity: Option<Validity>,
    /// All nodes of the cluster, by name. Only those of the medium's role are installed from it; the others are there so
    /// that a machine that booted the wrong medium can be told so.
    pub nodes: Vec<ManifestNode>,
    /// Worker pools, on worker media; else empty.
    pub pools: Vec<ManifestPool>,
    /// Words for the kernel's command line of installed nodes.
    pub kernel_args: Vec<String>,
    /// Every other file of the payload by its path on the medium.
    pub files: BTreeMap<String, ManifestFile>,
}

/// The nodes' network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestNetwork {
    /// Subnet.
    pub subnet: Ipv4Net,
    /// Default gateway.
    pub gateway: Option<Ipv4Addr>,
    /// Largest packet, where it is not 1500 bytes.
    pub mtu: Option<u16>,
    /// Name servers.
    pub dns: Vec<Ipv4Addr>,
}

/// A node: how it is known, its address and its disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestNode {
    /// Host name.
    #[serde(with = "text")]
    pub name: HostName,
    /// Role.
    #[serde(with = "text")]
    pub role: Role,
    /// Address, in the network's subnet.
    pub address: Ipv4Addr,
    /// Whether it runs an etcd member.
    pub etcd: bool,
    /// How it is attached to its networks.
    pub attachment: Attachment,
    /// MAC address of one of its NICs.
    #[serde(with = "text_or_null")]
    pub mac: Option<Mac>,
    /// SMBIOS system serial number.
    pub serial: Option<String>,
    /// SMBIOS system UUID.
    #[serde(with = "text_or_null")]
    pub uuid: Option<SystemUuid>,
    /// SMBIOS asset tag of the chassis.
    pub asset_tag: Option<String>,
    /// What it is installed to.
    pub storage: Storage,
}

/// A pool of workers without inventory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestPool {
    /// Name of the pool.
    #[serde(with = "text")]
    pub name: HostName,
    /// What its machines are installed to.
    pub storage: Storage,
    /// Kubernetes labels of its nodes.
    pub labels: BTreeMap<String, String>,
}

/// Size and digest of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestFile {
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 of the content.
    pub sha256: Sha256,
}

impl Manifest {
    /// The manifest of a role's medium, without build id, authority and files yet.
    pub fn of(cluster: &Cluster, role: Role, label: VolumeLabel) -> Self {
        let network = &cluster.network;
        let pools: Vec<ManifestPool> = match role {
            Role::Worker => cluster.worker_pools.values().map(ManifestPool::from).collect(),
            Role::Master | Role::Lb => Vec::new(),
        };
        Self {
            format: FORMAT,
            kiln: env!("CARGO_PKG_VERSION").to_owned(),
            build_id: Sha256([0; 32]),
            label,
            cluster: cluster.name.clone(),
            authority: Sha256([0; 32]),
            spread: Spread::Whole,
            reinstall: None,
            kubernetes: cluster.kubernetes,
            release: cluster.base.release,
            role,
            network: ManifestNetwork {
                subnet: network.subnet,
                gateway: network.gateway,
                mtu: network.mtu,
                dns: network.dns.clone(),
            },
            vip: cluster.vip,
            preflight: cluster.preflight.clone(),
            validity: None,
            nodes: cluster.nodes.values().map(ManifestNode::from).collect(),
            pools,
            kernel_args: Vec::new(),
            files: BTreeMap::new(),
        }
    }

    /// Nodes that are installed from this medium.
    pub fn own_nodes(&self) -> impl Iterator<Item = &ManifestNode> {
        let only = self.reinstall.as_ref();
        self.nodes
            .iter()
            .filter(move |node| node.role == self.role && only.is_none_or(|only| *only == node.name))
    }

    /// As it is written: JSON, indented, with a line break at its end. Its length does not depend on digests.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        let text = serde_json::to_vec_pretty(self);
        let mut text = text.map_err(|error| Error::internal("writing the manifest").because(error))?;
        text.push(b'\n');
        Ok(text)
    }

    /// Reads a manifest; `origin` is its name for messages.
    pub fn from_json(json: &[u8], origin: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct Versioned {
            format: u32,
        }
        let broken = |error: serde_json::Error| {
            Error::input(format!("{origin} is no manifest of a kiln medium: {error}"))
                .hint("the medium is damaged or was changed; make it again")
        };
        let version: Versioned = serde_json::from_slice(json).map_err(broken)?;
        if version.format != FORMAT {
            return Err(Error::input(format!(
                "{origin} has format {}; this kiln reads format {FORMAT}",
                version.format
            ))
            .hint("use the kiln that made the medium; it lies on it as /kiln/kiln"));
        }
        let manifest: Self = serde_json::from_slice(json).map_err(broken)?;
        for path in manifest.files.keys() {
            NodePath::new(path.as_str()).map_err(|error| error.context(origin))?;
        }
        Ok(manifest)
    }

    /// Reads the manifest of a medium that is mounted at (or lies below) `media`.
    pub fn load(media: &Path) -> Result<Self> {
        let path = media.join(super::MANIFEST.trim_start_matches('/'));
        let file = std::fs::File::open(&path).at("opening the manifest", &path);
        let file = file.map_err(|error| error.hint("is this the folder of a kiln medium?"))?;
        let mut json = Vec::new();
        let mut limited = std::io::Read::take(file, MAX_SIZE + 1);
        std::io::Read::read_to_end(&mut limited, &mut json).at("reading", &path)?;
        if json.len() as u64 > MAX_SIZE {
            return Err(Error::input(format!("{} is too long for a manifest", path.display())));
        }
        Self::from_json(&json, &path.display().to_string())
    }
}

impl ManifestNode {
    /// Every NIC that the inventory names: the one of the address, the members of the bond, further ones.
    pub fn macs(&self) -> Vec<Mac> {
        let mut macs = self.attachment.macs();
        macs.extend(self.mac.filter(|mac| !macs.contains(mac)));
        macs
    }
}

impl From<&Node> for ManifestNode {
    fn from(node: &Node) -> Self {
        Self {
            name: node.name.clone(),
            role: node.role,
            address: node.address,
            etcd: node.etcd,
            attachment: node.attachment.clone(),
            mac: node.identity.mac,
            serial: node.identity.serial.clone(),
            uuid: node.identity.uuid.clone(),
            asset_tag: node.identity.asset_tag.clone(),
            storage: node.storage.clone(),
        }
    }
}

impl From<&WorkerPool> for ManifestPool {
    fn from(pool: &WorkerPool) -> Self {
        let labels = pool.labels.iter().map(|(key, value)| (key.to_string(), value.to_string()));
        Self { name: pool.name.clone(), storage: pool.storage.clone(), labels: labels.collect() }
    }
}

/// A checked word, written as it prints and read as it parses.
pub(crate) mod text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    pub(crate) fn serialize<T: Display, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub(crate) fn deserialize<'de, T, D>(from: D) -> Result<T, D::Error>
    where
        T: FromStr<Err = String>,
        D: Deserializer<'de>,
    {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// A checked word, or null.
pub(crate) mod text_or_null {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    pub(crate) fn serialize<T: Display, S: Serializer>(value: &Option<T>, to: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => to.collect_str(value),
            None => to.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, T, D>(from: D) -> Result<Option<T>, D::Error>
    where
        T: FromStr<Err = String>,
        D: Deserializer<'de>,
    {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
    }
}
