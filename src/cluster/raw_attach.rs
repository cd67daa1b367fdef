//! The tables of `cluster.toml` that say how a machine is attached to its networks. As in [`super::raw`]: no judgement.

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::raw::{Text, Texts};

/// Several NICs as one, which carries the node's address.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(super) struct BondTable {
    /// Permanent MAC addresses of its members.
    #[serde(default)]
    #[schemars(with = "Vec<String>", length(max = 8))]
    pub members: Texts,
    /// How frames are spread over the members. Default: `active-backup`.
    #[schemars(with = "Option<String>", extend("enum" = ["balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb"]))]
    pub mode: Text,
    /// Milliseconds between looks at the members' links. Default: 100.
    #[schemars(with = "Option<i64>", range(min = 10, max = 10000))]
    pub miimon: Option<Spanned<i64>>,
    /// How often the switch is asked to speak LACP; mode `802.3ad` only. Default: `slow`.
    #[schemars(with = "Option<String>", extend("enum" = ["slow", "fast"]))]
    pub lacp_rate: Text,
    /// What a member is chosen by; modes `802.3ad`, `balance-xor` and `balance-tlb` only. Default: `layer2`.
    #[schemars(with = "Option<String>", extend("enum" = ["layer2", "layer2+3", "layer3+4"]))]
    pub xmit_hash_policy: Text,
}

/// A further address, on another NIC or on a VLAN. It gets no default route.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(super) struct NicTable {
    /// Permanent MAC address of the NIC; a member of the node's bond stands for the bond.
    #[schemars(with = "String")]
    pub mac: Text,
    /// The address with the prefix of its subnet: `10.9.0.71/24`.
    #[schemars(with = "String")]
    pub address: Text,
    /// VLAN on the NIC. Default: none.
    #[schemars(with = "Option<i64>", range(min = 1, max = 4094))]
    pub vlan: Option<Spanned<i64>>,
    /// Largest packet, in bytes. Default: what the NIC has by itself, 1500.
    #[schemars(with = "Option<i64>", range(min = 1280, max = 9216))]
    pub mtu: Option<Spanned<i64>>,
}
