//! Who an address belongs to: the MAC address that its packets come from, by the kernel's table of neighbours (`/proc/net/arp`, arp(7)).

use std::net::Ipv4Addr;

use crate::cluster::types::Mac;

/// Tells the MAC address of an address.
pub trait Neighbours: Send + Sync {
    /// The MAC address; `None` behind a router, and for this machine itself.
    fn mac(&self, ip: Ipv4Addr) -> Option<Mac>;
}

/// The kernel's table.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// The interface that counts.
    pub interface: String,
}

impl Neighbours for Kernel {
    fn mac(&self, ip: Ipv4Addr) -> Option<Mac> {
        lookup(&std::fs::read_to_string("/proc/net/arp").ok()?, ip, &self.interface)
    }
}

/// Finds an address in the text of the table; only complete entries count (flag 2).
fn lookup(table: &str, ip: Ipv4Addr, interface: &str) -> Option<Mac> {
    let wanted = ip.to_string();
    table.lines().skip(1).find_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let [address, "0x1", flags, mac, _, device] = columns.as_slice() else { return None };
        let complete =
            u32::from_str_radix(flags.trim_start_matches("0x"), 16).is_ok_and(|flags| flags & 2 != 0);
        (*address == wanted && *device == interface && complete).then(|| mac.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_complete_entries_of_the_interface_count() {
        let table = "IP address       HW type     Flags       HW address            Mask     Device\n\
            10.77.0.71       0x1         0x2         52:54:00:00:00:01     *        eth1\n\
            10.77.0.72       0x1         0x0         00:00:00:00:00:00     *        eth1\n\
            10.77.0.73       0x1         0x6         52:54:00:00:00:03     *        eth2\n";
        let find = |last, device| lookup(table, [10, 77, 0, last].into(), device).map(|mac| mac.to_string());
        assert_eq!(find(71, "eth1").as_deref(), Some("52:54:00:00:00:01"));
        assert_eq!(find(73, "eth2").as_deref(), Some("52:54:00:00:00:03"));
        for (last, device) in [(71, "eth2"), (72, "eth1"), (7, "eth1"), (73, "eth1")] {
            assert_eq!(find(last, device), None);
        }
    }
}
