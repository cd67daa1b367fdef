//! Which disks a machine is installed to, as `cluster.toml` says it and as a medium carries it: rules, never device names,
//! since those change from boot to boot.

use serde::{Deserialize, Serialize};

/// Which disk to install to. All given parts must hold; what is left must be one disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskRule {
    /// Serial number.
    pub serial: Option<String>,
    /// World wide name.
    pub wwn: Option<String>,
    /// Name below `/dev/disk/by-path`.
    pub by_path: Option<String>,
    /// Least size in bytes.
    pub min_size: Option<u64>,
    /// Greatest size in bytes.
    pub max_size: Option<u64>,
    /// Whether it has platters that turn.
    pub rotational: Option<bool>,
    /// What it is plugged into.
    pub bus: Option<Bus>,
    /// Which one of several that fit.
    pub pick: Pick,
}

impl DiskRule {
    /// Whether the rule names one certain disk, so that even a disk on USB may be taken.
    pub fn names_one(&self) -> bool {
        self.serial.is_some() || self.wwn.is_some() || self.by_path.is_some()
    }
}

/// Which one of several disks that fit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pick {
    /// There must be no other.
    #[default]
    Only,
    /// The smallest.
    Smallest,
    /// The largest.
    Largest,
}

/// What a disk is plugged into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Bus {
    /// ATA, in its serial form or the older one.
    Sata,
    /// SCSI and what speaks it: SAS, Fibre Channel, RAID controllers, virtio-scsi.
    Scsi,
    /// NVM Express.
    Nvme,
    /// A virtual machine's virtio-blk.
    Virtio,
    /// USB.
    Usb,
    /// Memory cards and eMMC.
    Mmc,
}

impl Bus {
    /// All of them.
    pub const ALL: [Bus; 6] = [Bus::Sata, Bus::Scsi, Bus::Nvme, Bus::Virtio, Bus::Usb, Bus::Mmc];

    /// Name as written in `cluster.toml`.
    pub fn as_str(self) -> &'static str {
        match self {
            Bus::Sata => "sata",
            Bus::Scsi => "scsi",
            Bus::Nvme => "nvme",
            Bus::Virtio => "virtio",
            Bus::Usb => "usb",
            Bus::Mmc => "mmc",
        }
    }

    /// The bus of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|bus| bus.as_str() == name)
    }
}

/// A folder of the node that lies on a disk of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Volume {
    /// The folder.
    pub mount: Mount,
    /// Its disk.
    pub disk: DiskRule,
}

/// Folders that may lie on a disk of their own: data that grows, or that must not wait for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Mount {
    /// etcd's log and store.
    #[serde(rename = "/var/lib/etcd")]
    Etcd,
    /// containerd's images and containers.
    #[serde(rename = "/var/lib/containerd")]
    Containerd,
    /// Docker's.
    #[serde(rename = "/var/lib/docker")]
    Docker,
    /// The kubelet's volumes of pods.
    #[serde(rename = "/var/lib/kubelet")]
    Kubelet,
    /// Logs.
    #[serde(rename = "/var/log")]
    Log,
}

impl Mount {
    /// All of them.
    pub const ALL: [Mount; 5] = [Mount::Etcd, Mount::Containerd, Mount::Docker, Mount::Kubelet, Mount::Log];

    /// The folder.
    pub fn as_str(self) -> &'static str {
        match self {
            Mount::Etcd => "/var/lib/etcd",
            Mount::Containerd => "/var/lib/containerd",
            Mount::Docker => "/var/lib/docker",
            Mount::Kubelet => "/var/lib/kubelet",
            Mount::Log => "/var/log",
        }
    }

    /// The mount of that folder.
    pub fn named(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mount| mount.as_str() == path)
    }

    /// Label of its file system; XFS has room for 12 characters.
    pub fn label(self) -> &'static str {
        match self {
            Mount::Etcd => "kiln-etcd",
            Mount::Containerd => "kiln-ctrd",
            Mount::Docker => "kiln-docker",
            Mount::Kubelet => "kiln-kubelet",
            Mount::Log => "kiln-log",
        }
    }
}

/// What may be wiped to install a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wipe {
    /// Nothing: disks must be blank.
    #[default]
    Nothing,
    /// Anything but a node of this cluster.
    Any,
}

impl Wipe {
    /// Both.
    pub const ALL: [Wipe; 2] = [Wipe::Nothing, Wipe::Any];

    /// Name as written in `cluster.toml`.
    pub fn as_str(self) -> &'static str {
        match self {
            Wipe::Nothing => "nothing",
            Wipe::Any => "any",
        }
    }

    /// The word's meaning.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|wipe| wipe.as_str() == name)
    }
}

/// What a machine of the inventory or a pool is installed to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Storage {
    /// The disk of the system.
    pub disk: DiskRule,
    /// Folders with a disk of their own, by folder.
    pub volumes: Vec<Volume>,
    /// What may be wiped.
    pub wipe: Wipe,
}
