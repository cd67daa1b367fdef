//! The disks of a machine: which there are ([`list`]), which one a rule means ([`rule`]), what lies on it ([`content`]) and
//! whether that may be wiped ([`guard`]). A disk is only taken if nothing speaks against it and it is the only one that is left.
//!
//! What kiln itself writes to a disk is its record ([`record`]): whose the disk is, and whether its node was finished.

pub mod content;
pub mod guard;
mod list;
pub mod record;
mod rule;
mod system;

pub use list::list;
pub use rule::{Choice, choose};
pub use system::SystemDisk;

use crate::cluster::storage::Bus;

/// Smaller disks hold no node: system, images and logs need more.
pub const LEAST_SIZE: u64 = 10 << 30;

/// A disk as the kernel and udev describe it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Disk {
    /// Name the kernel gave it: `sda`, `cciss/c0d0`.
    pub name: String,
    /// Size in bytes.
    pub size: u64,
    /// Bytes of a sector, as the kernel addresses it: 512 or 4096.
    pub sector: u64,
    /// Model, for people.
    pub model: String,
    /// Serial number.
    pub serial: Option<String>,
    /// World wide name, without `0x` or `naa.`.
    pub wwn: Option<String>,
    /// Names below `/dev/disk/by-path`.
    pub by_path: Vec<String>,
    /// What it is plugged into.
    pub bus: Option<Bus>,
    /// Whether it has platters that turn.
    pub rotational: bool,
    /// Its partitions, by name: `sda1`.
    pub partitions: Vec<String>,
    /// Why it is only taken where the rule names it: `is on USB`. External disks say that they are not removable.
    pub loose: Option<String>,
    /// Why it cannot be installed to whatever the rule says.
    pub fault: Option<String>,
}

impl Disk {
    /// What tells it from others, for people: model and serial number, or the way to it, which a rule can name as well.
    pub fn known_by(&self) -> String {
        let model = (!self.model.is_empty()).then(|| self.model.clone());
        let serial = self.serial.as_ref().map(|serial| format!("serial {serial}"));
        let path = self.by_path.first().filter(|_| serial.is_none()).map(|path| format!("by_path {path}"));
        let parts: Vec<String> = [model, serial, path].into_iter().flatten().collect();
        match parts.is_empty() {
            true => "no model, no serial".to_owned(),
            false => parts.join(", ").chars().map(|c| if c.is_control() { ' ' } else { c }).collect(),
        }
    }
}

fn bare_wwn(wwn: &str) -> String {
    let lower = wwn.to_ascii_lowercase();
    let bare = ["0x", "naa.", "eui.", "wwn-0x"].iter().find_map(|prefix| lower.strip_prefix(prefix));
    bare.unwrap_or(&lower).to_owned()
}

#[cfg(test)]
mod tests;
