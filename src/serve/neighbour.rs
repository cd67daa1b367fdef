//! Who an address belongs to: the MAC address that its packets come from, by the kernel's table of neighbours (`/proc/net/arp`, arp(7)).

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::cluster::types::Mac;

/// Tells the MAC address of an address.
pub trait Neighbours: Send + Sync {
    /// The MAC address; `None` behind a router, and for this machine itself.
    fn mac(&self, ip: Ipv4Addr) -> Option<Mac>;
}

/// How long an address is remembered that the kernel has lost, and how many. A loader that is busy with a file answers no ARP, so its
/// entry goes while it is being served; somebody else at that address has an entry of his own.
const REMEMBER: Duration = Duration::from_secs(600);
const MOST: usize = 4096;

/// The kernel's table.
#[derive(Debug)]
pub struct Kernel {
    interface: String,
    known: Mutex<BTreeMap<Ipv4Addr, (Mac, Instant)>>,
}

impl Kernel {
    /// The table of an interface.
    pub fn new(interface: &str) -> Self {
        Self { interface: interface.to_owned(), known: Mutex::default() }
    }

    /// What is known after the table was read.
    fn remember(&self, ip: Ipv4Addr, found: Option<Mac>, now: Instant) -> Option<Mac> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = |seen: Instant| now.saturating_duration_since(seen) <= REMEMBER;
        let Some(mac) = found else {
            return known.get(&ip).filter(|(_, seen)| fresh(*seen)).map(|(mac, _)| *mac);
        };
        if known.len() >= MOST {
            known.retain(|_, (_, seen)| fresh(*seen));
        }
        if known.len() < MOST || known.contains_key(&ip) {
            known.insert(ip, (mac, now));
        }
        Some(mac)
    }
}

impl Neighbours for Kernel {
    fn mac(&self, ip: Ipv4Addr) -> Option<Mac> {
        let table = std::fs::read_to_string("/proc/net/arp").unwrap_or_default();
        self.remember(ip, lookup(&table, ip, &self.interface), Instant::now())
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
    fn an_entry_that_the_kernel_lost_is_remembered_for_a_while() {
        let (kernel, begun) = (Kernel::new("eth1"), Instant::now());
        let (ip, mac): (Ipv4Addr, Mac) = ([10, 77, 0, 71].into(), "52:54:00:00:00:01".parse().unwrap());
        let other: Mac = "52:54:00:00:00:02".parse().unwrap();
        assert_eq!(kernel.remember(ip, None, begun), None);
        assert_eq!(kernel.remember(ip, Some(mac), begun), Some(mac));
        assert_eq!(kernel.remember(ip, None, begun + REMEMBER), Some(mac));
        assert_eq!(kernel.remember(ip, None, begun + REMEMBER + Duration::from_secs(1)), None);
        assert_eq!(kernel.remember(ip, Some(other), begun), Some(other));
        assert_eq!(kernel.remember(ip, None, begun), Some(other));
    }

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
