//! How a machine is attached to its networks: bonds, VLANs, further NICs. Checked data; part of the cluster and of manifests.
//!
//! NICs are known by their permanent MAC addresses: names differ between machines and releases.

use std::fmt;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use super::types::Mac;

impl TryFrom<String> for Mac {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> Self {
        mac.to_string()
    }
}

/// An 802.1Q VLAN id: 1 to 4094 (0 and 4095 are reserved, IEEE 802.1Q table 9-2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct VlanId(u16);

impl TryFrom<u16> for VlanId {
    type Error = String;

    fn try_from(id: u16) -> Result<Self, String> {
        if (1..=4094).contains(&id) { Ok(Self(id)) } else { Err("a VLAN id is 1 to 4094".into()) }
    }
}

impl From<VlanId> for u16 {
    fn from(id: VlanId) -> u16 {
        id.0
    }
}

impl fmt::Display for VlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How frames are spread over the members of a bond (Linux, Documentation/networking/bonding.rst).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BondMode {
    /// In turn; the switch groups the ports.
    BalanceRr,
    /// One member at a time; the switch need not know.
    ActiveBackup,
    /// By a hash; the switch groups the ports.
    BalanceXor,
    /// All on all.
    Broadcast,
    /// LACP.
    #[serde(rename = "802.3ad")]
    Lacp,
    /// By load, sending only.
    BalanceTlb,
    /// By load, both ways.
    BalanceAlb,
}

impl BondMode {
    /// All modes.
    pub const ALL: [BondMode; 7] = [
        BondMode::BalanceRr,
        BondMode::ActiveBackup,
        BondMode::BalanceXor,
        BondMode::Broadcast,
        BondMode::Lacp,
        BondMode::BalanceTlb,
        BondMode::BalanceAlb,
    ];

    /// Name as the kernel has it.
    pub fn as_str(self) -> &'static str {
        match self {
            BondMode::BalanceRr => "balance-rr",
            BondMode::ActiveBackup => "active-backup",
            BondMode::BalanceXor => "balance-xor",
            BondMode::Broadcast => "broadcast",
            BondMode::Lacp => "802.3ad",
            BondMode::BalanceTlb => "balance-tlb",
            BondMode::BalanceAlb => "balance-alb",
        }
    }

    /// The mode of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == name)
    }

    /// Whether members are chosen by a hash over addresses, so that the hash may be said.
    pub fn hashes(self) -> bool {
        matches!(self, BondMode::BalanceXor | BondMode::Lacp | BondMode::BalanceTlb)
    }
}

/// How often LACP's partner is asked to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LacpRate {
    /// Every 30 seconds.
    Slow,
    /// Every second.
    Fast,
}

/// What the hash of a bond is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum HashPolicy {
    /// MAC addresses.
    #[serde(rename = "layer2")]
    Layer2,
    /// MAC and IP addresses.
    #[serde(rename = "layer2+3")]
    Layer23,
    /// IP addresses and ports.
    #[serde(rename = "layer3+4")]
    Layer34,
}

impl HashPolicy {
    /// Name as the kernel has it.
    pub fn as_str(self) -> &'static str {
        match self {
            HashPolicy::Layer2 => "layer2",
            HashPolicy::Layer23 => "layer2+3",
            HashPolicy::Layer34 => "layer3+4",
        }
    }

    /// The policy of that name.
    pub fn named(name: &str) -> Option<Self> {
        [HashPolicy::Layer2, HashPolicy::Layer23, HashPolicy::Layer34]
            .into_iter()
            .find(|policy| policy.as_str() == name)
    }
}

/// Several NICs as one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bond {
    /// Its members; at least one.
    pub members: Vec<Mac>,
    /// How frames are spread.
    pub mode: BondMode,
    /// Milliseconds between looks at the links.
    pub miimon: u16,
    /// How often LACP's partner is asked to speak; `802.3ad` only.
    pub lacp_rate: Option<LacpRate>,
    /// What the hash is over; modes with a hash only.
    pub xmit_hash_policy: Option<HashPolicy>,
}

impl Bond {
    /// The options as the kernel, and a kickstart's `--bondopts`, take them.
    pub fn options(&self) -> String {
        let mut text = format!("mode={},miimon={}", self.mode.as_str(), self.miimon);
        text += match self.lacp_rate {
            None => "",
            Some(LacpRate::Slow) => ",lacp_rate=slow",
            Some(LacpRate::Fast) => ",lacp_rate=fast",
        };
        if let Some(policy) = self.xmit_hash_policy {
            text += &format!(",xmit_hash_policy={}", policy.as_str());
        }
        text
    }
}

/// A further address, on a NIC or VLAN of its own. It gets no default route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nic {
    /// The NIC; a member of the node's bond stands for the bond.
    pub mac: Mac,
    /// VLAN on it.
    pub vlan: Option<VlanId>,
    /// The address, with the prefix of its subnet.
    pub address: Ipv4Net,
    /// Largest packet, where it is not the NIC's own default.
    pub mtu: Option<u16>,
}

/// How a machine is attached to its networks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attachment {
    /// The bond that carries the node's address.
    pub bond: Option<Bond>,
    /// The VLAN that carries the node's address.
    pub vlan: Option<VlanId>,
    /// Further addresses.
    pub nics: Vec<Nic>,
}

impl Attachment {
    /// Every NIC that is named, once.
    pub fn macs(&self) -> Vec<Mac> {
        let mut macs: Vec<Mac> = self.bond.iter().flat_map(|bond| bond.members.clone()).collect();
        for nic in &self.nics {
            if !macs.contains(&nic.mac) {
                macs.push(nic.mac);
            }
        }
        macs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_kernels() {
        for mode in BondMode::ALL {
            assert_eq!(serde_json::to_value(mode).unwrap(), mode.as_str());
            assert_eq!(BondMode::named(mode.as_str()), Some(mode));
        }
        for policy in [HashPolicy::Layer2, HashPolicy::Layer23, HashPolicy::Layer34] {
            assert_eq!(serde_json::to_value(policy).unwrap(), policy.as_str());
            assert_eq!(HashPolicy::named(policy.as_str()), Some(policy));
        }
        assert!(VlanId::try_from(0).is_err() && VlanId::try_from(4095).is_err());
        assert_eq!(u16::from(VlanId::try_from(4094).unwrap()), 4094);
    }

    #[test]
    fn options_are_one_word() {
        let bond = Bond {
            members: vec![],
            mode: BondMode::Lacp,
            miimon: 100,
            lacp_rate: Some(LacpRate::Fast),
            xmit_hash_policy: Some(HashPolicy::Layer34),
        };
        assert_eq!(bond.options(), "mode=802.3ad,miimon=100,lacp_rate=fast,xmit_hash_policy=layer3+4");
    }
}
