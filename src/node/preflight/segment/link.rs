//! Raises links with iproute2, which every installer has: up, MTU, a VLAN for the time of the probe.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::LinkState;
use crate::cluster::attach::VlanId;
use crate::error::{Error, Result};
use crate::node::child;
use crate::node::identity::short;

/// How long a NIC may take to agree with its switch: gigabit over copper takes up to four seconds, some firmware longer.
const LINK_UP: Duration = Duration::from_secs(10);
/// How long `ip` may take.
const LIMIT: Duration = Duration::from_secs(10);
/// Name of the VLAN that is made for the probe.
const VLAN: &str = "kiln-probe";

/// Raises the NICs and waits until all have a link, or for [`LINK_UP`]. A bond's members may be fewer.
pub(super) fn raise(names: &[String]) -> Vec<LinkState> {
    let was: Vec<bool> = names.iter().map(|name| carrier(name)).collect();
    let failed: Vec<Option<String>> = names
        .iter()
        .map(|name| ip(&["link", "set", "dev", name, "up"]).err().map(|error| error.to_string()))
        .collect();
    let start = Instant::now();
    while !names.iter().all(|name| carrier(name)) && start.elapsed() < LINK_UP {
        std::thread::sleep(Duration::from_millis(100));
    }
    let states = names.iter().zip(was).zip(failed);
    states
        .map(|((name, was), trouble)| LinkState { name: name.clone(), was, carrier: carrier(name), trouble })
        .collect()
}

/// Sets the MTU, and gives back the one that the NIC then has.
pub(super) fn set_mtu(name: &str, mtu: u16) -> Option<u32> {
    // What the driver refuses shows in what the NIC has.
    let _ = ip(&["link", "set", "dev", name, "mtu", &mtu.to_string()]);
    short(&Path::new("/sys/class/net").join(name).join("mtu"))?.parse().ok()
}

/// A VLAN on a NIC, until it is dropped.
#[derive(Debug)]
pub(super) struct Vlan;

impl Vlan {
    pub(super) fn make(parent: &str, id: VlanId) -> Result<(Self, &'static str)> {
        // One that an earlier attempt left.
        let _ = ip(&["link", "del", "dev", VLAN]);
        ip(&["link", "add", "link", parent, "name", VLAN, "type", "vlan", "id", &id.to_string()])?;
        let vlan = Vlan;
        ip(&["link", "set", "dev", VLAN, "up"])?;
        Ok((vlan, VLAN))
    }
}

impl Drop for Vlan {
    fn drop(&mut self) {
        let _ = ip(&["link", "del", "dev", VLAN]);
    }
}

fn carrier(name: &str) -> bool {
    short(&Path::new("/sys/class/net").join(name).join("carrier")).as_deref() == Some("1")
}

fn ip(args: &[&str]) -> Result<()> {
    let mut command = Command::new("ip");
    command.args(args);
    let ended = child::run(command, b"", LIMIT)?;
    if ended.success {
        return Ok(());
    }
    Err(Error::tool(format!("ip {}: {}", args.join(" "), ended.messages.trim())))
}
