//! The user-data of a disk image's payload, for platforms that give machines user-data of their own: cloud-init then does not look at
//! the payload, and what an operator gives has to lead to it, and may name the node.

use crate::cluster::types::HostName;
use crate::error::{Error, Result};
use crate::format::iso9660::read::Iso;
use crate::format::read_at::ReadAt;
use crate::kickstart::user_data_for;
use crate::payload::manifest::Manifest;
use crate::payload::{MANIFEST, USER_DATA};

/// Largest manifest and user-data that are read.
const LARGEST: u64 = 16 << 20;

/// Reads it from a payload's volume; `node` is the node that it is to name.
///
/// # Errors
/// Input: it is no payload of a disk image, or not of that node's profile.
pub fn read(volume: &impl ReadAt, node: Option<&HostName>) -> Result<String> {
    let iso = Iso::open(volume)?;
    let lacks = || {
        Error::input("there is no user-data on it").hint(
            "name a disk image that `kiln build` made, or a seed of `--format seed --payload --beside image`",
        )
    };
    let text = iso.read_path(USER_DATA, LARGEST)?.ok_or_else(lacks)?;
    let json = iso.read_path(MANIFEST, LARGEST)?.ok_or_else(lacks)?;
    let text = String::from_utf8(text).map_err(|_| Error::input(format!("{USER_DATA} is no text")))?;
    let Some(node) = node else { return Ok(text) };
    let manifest = Manifest::from_json(&json, MANIFEST)?;
    let of_role = || manifest.nodes.iter().filter(|other| other.role == manifest.role);
    if !of_role().any(|other| other.name == *node) {
        let names: Vec<&str> = of_role().map(|node| node.name.as_str()).collect();
        return Err(Error::input(format!(
            "{node} is no node of profile {} of cluster {}",
            manifest.role, manifest.cluster
        ))
        .hint(format!("it has: {}", names.join(", "))));
    }
    user_data_for(&text, node)
}
