//! `cluster.toml` as it is written: keys, types, and no judgement. Private; [`super::check`] makes a `Cluster` of it.
//!
//! These types are the one list of keys. The JSON Schema is derived from them (comments become the descriptions that
//! editors show), and [`super::shape`] holds a file against that schema before it is read into them. Every field may be
//! absent here, so that a file with faults can still be checked as far as it goes; what must be present is in the schema.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::preflight::PreflightTable;
use super::raw_attach::{BondTable, NicTable};
use super::types::{KubeVersion, Release};

/// A text with its place, if it is there.
pub(super) type Text = Option<Spanned<String>>;
/// A list of texts with their places; empty if it is not there.
pub(super) type Texts = Vec<Spanned<String>>;
/// Kubernetes labels: key → value.
pub(super) type Labels = BTreeMap<Spanned<String>, Spanned<String>>;

/// A kiln cluster: the machines of a highly available Kubernetes cluster, as `cluster.toml` describes them.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCluster {
    /// The cluster as a whole.
    #[schemars(with = "ClusterTable")]
    pub cluster: Option<Spanned<ClusterTable>>,
    /// Vendor media that kiln builds on.
    #[schemars(with = "BaseTable")]
    pub base: Option<Spanned<BaseTable>>,
    /// Who may log in to the nodes.
    #[schemars(with = "Option<AccessTable>")]
    pub access: Option<Spanned<AccessTable>>,
    /// The nodes' network.
    #[schemars(with = "NetworkTable")]
    pub network: Option<Spanned<NetworkTable>>,
    /// Where the programs that nodes run come from.
    #[schemars(with = "Option<ComponentsTable>")]
    pub components: Option<Spanned<ComponentsTable>>,
    /// The store of the control plane.
    #[schemars(with = "Option<EtcdTable>")]
    pub etcd: Option<Spanned<EtcdTable>>,
    /// Console of the nodes.
    #[schemars(with = "Option<ConsoleTable>")]
    pub console: Option<Spanned<ConsoleTable>>,
    /// How much the findings of the installer weigh.
    #[schemars(with = "Option<PreflightTable>")]
    pub preflight: Option<Spanned<PreflightTable>>,
    /// A machine with a name, an address and an identity of its own.
    #[serde(default)]
    #[schemars(with = "Option<Vec<NodeTable>>", length(max = 500))]
    pub node: Vec<Spanned<NodeTable>>,
    /// Workers without inventory: any machine that boots worker media joins.
    #[serde(default)]
    #[schemars(with = "Option<Vec<PoolTable>>", length(max = 16))]
    pub worker_pool: Vec<Spanned<PoolTable>>,
}

/// The cluster as a whole.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(super) struct ClusterTable {
    /// Name of the cluster: lower-case letters, digits and `-`, at most 20 characters. Part of labels and certificates.
    #[schemars(with = "String")]
    pub name: Text,
    /// Kubernetes version, written in full: `1.37.2`.
    #[schemars(with = "String", extend("pattern" = KubeVersion::PATTERN))]
    pub kubernetes: Text,
    /// Addresses of pods; each node gets a /24 of it.
    #[schemars(with = "String")]
    pub pod_cidr: Text,
    /// Addresses of services.
    #[schemars(with = "String")]
    pub service_cidr: Text,
    /// The API's address, held by the lb nodes (or the masters, if there are none).
    #[schemars(with = "String")]
    pub vip: Text,
    /// DNS domain of services. Default: `cluster.local`.
    #[schemars(with = "Option<String>")]
    pub domain: Text,
    /// Container runtime. Default: `containerd`.
    #[schemars(with = "Option<String>", extend("enum" = ["containerd", "docker"]))]
    pub runtime: Text,
    /// How kube-proxy programs the kernel. Default: `nftables` on EL10 with Kubernetes 1.31 and later, else `iptables`.
    #[schemars(with = "Option<String>", extend("enum" = ["iptables", "nftables", "ipvs"]))]
    pub proxy_mode: Text,
    /// How pods reach each other: flannel's VXLAN, or a bridge on each node and routes between them. Default: `flannel`.
    #[schemars(with = "Option<String>", extend("enum" = ["flannel", "bridge"]))]
    pub pod_network: Text,
    /// Build combinations that kiln has no promise for. Default: false.
    #[schemars(with = "Option<bool>")]
    pub allow_unsupported: Option<Spanned<bool>>,
}

/// Vendor media that kiln builds on. Paths are relative to the folder of this file.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(super) struct BaseTable {
    /// Operating system release.
    #[schemars(with = "String", extend("enum" = releases()))]
    pub release: Text,
    /// Install ISO of the vendor.
    #[schemars(with = "Option<String>")]
    pub iso: Text,
    /// Cloud image of the vendor.
    #[schemars(with = "Option<String>")]
    pub image: Text,
    /// Folders of packages (`*.rpm`) that media carry besides the vendor's, for profiles to ask for.
    #[serde(default)]
    #[schemars(with = "Option<Vec<String>>", length(max = 16))]
    pub rpms: Texts,
}

/// Who may log in. Root is locked unless a key or a hash is given; there is no default password.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(super) struct AccessTable {
    /// Public SSH keys for root, as in `authorized_keys`.
    #[serde(default)]
    #[schemars(with = "Option<Vec<String>>", length(max = 64))]
    pub ssh_keys: Texts,
    /// Password of root as a crypt(5) hash: `openssl passwd -6`.
    #[schemars(with = "Option<String>")]
    pub root_password_hash: Text,
}

/// The nodes' network: one subnet that all nodes and the VIP are in. IPv4 only.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(super) struct NetworkTable {
    /// Default gateway.
    #[schemars(with = "Option<String>")]
    pub gateway: Text,
    /// Length of the subnet's prefix: 24 for a netmask of 255.255.255.0.
    #[schemars(with = "i64", range(min = 8, max = 29))]
    pub prefix: Option<Spanned<i64>>,
    /// Largest packet of the nodes' network, in bytes: what every switch and NIC of it carries. Default: 1500.
    #[schemars(with = "Option<i64>", range(min = 1280, max = 9216))]
    pub mtu: Option<Spanned<i64>>,
    /// Name servers, by address.
    #[serde(default)]
    #[schemars(with = "Option<Vec<String>>", length(max = 3))]
    pub dns: Texts,
    /// Time servers, by address or name. Default: the masters serve time to the others.
    #[serde(default)]
    #[schemars(with = "Option<Vec<String>>", length(max = 16))]
    pub ntp: Texts,
}

/// Where the programs that nodes run come from.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(super) struct ComponentsTable {
    /// Folder of component files, `<component>/<version>/<file>`, pinned by `kiln.lock`. Without it all is downloaded.
    #[schemars(with = "Option<String>")]
    pub dir: Text,
    /// Whether what the folder does not have is downloaded by `kiln fetch`. Default: true without `dir`, false with it.
    #[schemars(with = "Option<bool>")]
    pub download: Option<Spanned<bool>>,
    /// Versions of components other than the usual ones: `{ etcd = "3.6.16", helm = "3.19.0" }`.
    #[serde(default)]
    #[schemars(with = "Option<BTreeMap<String, String>>", extend("maxProperties" = 64))]
    pub versions: Labels,
    /// Where release files are asked for in place of their publishers, host and path behind it: `https://mirror.example/files`, `file:///srv/files`.
    #[schemars(with = "Option<String>")]
    pub mirror: Text,
    /// File of certificates (PEM) of authorities that downloads trust besides the system's.
    #[schemars(with = "Option<String>")]
    pub ca: Text,
    /// Where images of a registry are asked for in place of it: `{ "docker.io" = "https://harbor.example/dockerhub" }`.
    #[serde(default)]
    #[schemars(with = "Option<BTreeMap<String, String>>", extend("maxProperties" = 64))]
    pub registries: Labels,
    /// Container images that nodes carry besides those of the cluster itself, by name: `docker.io/library/busybox:1.36`.
    #[serde(default)]
    #[schemars(with = "Option<Vec<String>>", length(max = 256))]
    pub images: Texts,
}

/// The store of the control plane.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(super) struct EtcdTable {
    /// Which members must be there for the store to come into being: `all`, or a `majority` after two minutes of waiting for the rest. Default: `majority`.
    #[schemars(with = "Option<String>", extend("enum" = ["majority", "all"]))]
    pub form: Text,
}

/// Console of the nodes.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(super) struct ConsoleTable {
    /// Serial console beside the screen: `ttyS0,115200`.
    #[schemars(with = "Option<String>")]
    pub serial: Text,
}

/// A machine. At least one of `mac`, `serial`, `uuid` and `asset_tag` says how it is known.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(super) struct NodeTable {
    /// Host name, unique (RFC 1123).
    #[schemars(with = "String")]
    pub name: Text,
    /// What the machine does.
    #[schemars(with = "String", extend("enum" = ["master", "worker", "lb"]))]
    pub profile: Text,
    /// Address in the nodes' network.
    #[schemars(with = "String")]
    pub address: Text,
    /// Permanent MAC address of the NIC that carries the address.
    #[schemars(with = "Option<String>")]
    pub mac: Text,
    /// Several NICs as one, which carries the address.
    #[schemars(with = "Option<BondTable>")]
    pub bond: Option<Spanned<BondTable>>,
    /// VLAN that carries the address. Default: none, frames have no tag.
    #[schemars(with = "Option<i64>", range(min = 1, max = 4094))]
    pub vlan: Option<Spanned<i64>>,
    /// Further addresses, on other NICs or VLANs.
    #[serde(default)]
    #[schemars(with = "Option<Vec<NicTable>>", length(max = 16))]
    pub nic: Vec<Spanned<NicTable>>,
    /// SMBIOS system serial number (`dmidecode -s system-serial-number`).
    #[schemars(with = "Option<String>")]
    pub serial: Text,
    /// SMBIOS system UUID (`dmidecode -s system-uuid`).
    #[schemars(with = "Option<String>")]
    pub uuid: Text,
    /// SMBIOS asset tag of the chassis (`dmidecode -s chassis-asset-tag`).
    #[schemars(with = "Option<String>")]
    pub asset_tag: Text,
    /// Whether it runs an etcd member, whatever its profile. Default: true on masters, false elsewhere.
    #[schemars(with = "Option<bool>")]
    pub etcd: Option<Spanned<bool>>,
    /// Which disk to install to. Default: the only one there is.
    #[schemars(with = "Option<DiskTable>")]
    pub disk: Option<Spanned<DiskTable>>,
    /// Folders with a disk of their own.
    #[serde(default)]
    #[schemars(with = "Option<Vec<VolumeTable>>", length(max = 5))]
    pub volumes: Vec<Spanned<VolumeTable>>,
    /// What may be wiped to install it: `nothing`, or `any` data but a node of this cluster. Default: `nothing`.
    #[schemars(with = "Option<String>", extend("enum" = ["nothing", "any"]))]
    pub wipe: Text,
    /// Kubernetes labels of the node.
    #[serde(default)]
    #[schemars(with = "Option<BTreeMap<String, String>>", extend("maxProperties" = 64))]
    pub labels: Labels,
}

/// A pool of workers without inventory.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(super) struct PoolTable {
    /// Name of the pool; host names are made from it and the machine's MAC address.
    #[schemars(with = "String")]
    pub name: Text,
    /// Which disk to install to. Default: the only one there is.
    #[schemars(with = "Option<DiskTable>")]
    pub disk: Option<Spanned<DiskTable>>,
    /// Folders with a disk of their own.
    #[serde(default)]
    #[schemars(with = "Option<Vec<VolumeTable>>", length(max = 5))]
    pub volumes: Vec<Spanned<VolumeTable>>,
    /// What may be wiped to install one: `nothing`, or `any` data but a node of this cluster. Default: `nothing`.
    #[schemars(with = "Option<String>", extend("enum" = ["nothing", "any"]))]
    pub wipe: Text,
    /// Kubernetes labels of the pool's nodes.
    #[serde(default)]
    #[schemars(with = "Option<BTreeMap<String, String>>", extend("maxProperties" = 64))]
    pub labels: Labels,
}

/// Which disk to install to. All that is given must hold, and one disk must be left.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(super) struct DiskTable {
    /// Sizes that fit: `20G..`, `..2T`, `20G..100G`. K, M, G, T count by 1024.
    #[schemars(with = "Option<String>")]
    pub size: Text,
    /// Take the smallest of the disks that fit. Default: false.
    #[schemars(with = "Option<bool>")]
    pub smallest: Option<Spanned<bool>>,
    /// Take the largest of the disks that fit. Default: false.
    #[schemars(with = "Option<bool>")]
    pub largest: Option<Spanned<bool>>,
    /// Whether it has platters that turn: `false` asks for a solid-state disk.
    #[schemars(with = "Option<bool>")]
    pub rotational: Option<Spanned<bool>>,
    /// What it is plugged into.
    #[schemars(with = "Option<String>", extend("enum" = ["sata", "scsi", "nvme", "virtio", "usb", "mmc"]))]
    pub bus: Text,
    /// Serial number of the disk (`lsblk -o NAME,SERIAL`).
    #[schemars(with = "Option<String>")]
    pub serial: Text,
    /// World wide name of the disk (`lsblk -o NAME,WWN`).
    #[schemars(with = "Option<String>")]
    pub wwn: Text,
    /// Name of the disk below `/dev/disk/by-path`.
    #[schemars(with = "Option<String>")]
    pub by_path: Text,
}

/// A folder with a disk of its own. The disk is formatted when the node is installed, and never else.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(super) struct VolumeTable {
    /// The folder.
    #[schemars(with = "String", extend("enum" = ["/var/lib/etcd", "/var/lib/containerd", "/var/lib/docker", "/var/lib/kubelet", "/var/log"]))]
    pub mount: Text,
    /// Its disk.
    #[schemars(with = "DiskTable")]
    pub disk: Option<Spanned<DiskTable>>,
}

fn releases() -> Vec<String> {
    Release::all().map(|release| release.to_string()).collect()
}
