//! How a node is attached to its networks: bonds, VLANs, further addresses; and `[preflight]`.

use ipnet::Ipv4Net;
use toml::Spanned;

use super::super::attach::{Attachment, Bond, BondMode, HashPolicy, LacpRate, Nic, VlanId};
use super::super::findings::{At, shown};
use super::super::preflight::{Level, Policy, PreflightTable};
use super::super::raw_attach::{BondTable, NicTable};
use super::super::rule::Rule;
use super::super::types::Mac;
use super::words::Placed;
use super::{Check, Head};

/// Milliseconds between looks at the links of a bond; the kernel's own default is never.
const MIIMON: u16 = 100;

/// An attachment, as far as it is right.
#[derive(Debug, Default)]
pub(super) struct AttachDraft {
    attachment: Attachment,
    members: Vec<(Mac, At)>,
    nics: Vec<(Nic, At)>,
}

impl AttachDraft {
    /// The attachment, where nothing was wrong.
    pub fn finish(self) -> Attachment {
        Attachment { nics: self.nics.into_iter().map(|(nic, _)| nic).collect(), ..self.attachment }
    }

    /// Every NIC that the node names, once, with the place of its first mention. `own` is the node's `mac`.
    pub fn macs(&self, own: &Placed<Mac>) -> Vec<Placed<Mac>> {
        let mut macs: Vec<(Mac, At)> = Vec::new();
        // Two members with one address are reported; a NIC of several VLANs, or of the bond, is one NIC.
        macs.extend(self.members.iter().cloned());
        let nics = self.nics.iter().map(|(nic, at)| (nic.mac, at.clone()));
        for (mac, at) in own.iter().cloned().chain(nics) {
            if !macs.iter().any(|(known, _)| *known == mac) {
                macs.push((mac, at));
            }
        }
        macs.into_iter().map(Some).collect()
    }

    /// The further addresses.
    pub fn addresses(&self) -> impl Iterator<Item = (Ipv4Net, &At)> {
        self.nics.iter().map(|(nic, at)| (nic.address, at))
    }
}

impl Check<'_, '_> {
    /// What a node says of its bond, VLAN and further NICs.
    pub fn attach(
        &mut self,
        bond: Option<Spanned<BondTable>>,
        vlan: Option<Spanned<i64>>,
        nics: Vec<Spanned<NicTable>>,
        mac: Option<&(Mac, At)>,
        table: &str,
    ) -> AttachDraft {
        let mut draft = AttachDraft::default();
        draft.attachment.vlan = vlan.and_then(vlan_id);
        if let Some(bond) = bond {
            let at = At::new(format!("{table}.bond"), bond.span());
            draft.members = self.members(bond.get_ref(), &at);
            draft.attachment.bond = Some(self.bond(bond.get_ref(), &draft.members, &at));
            if let Some((mac, at)) =
                mac.filter(|(mac, _)| draft.members.iter().all(|(member, _)| member != mac))
                && !draft.members.is_empty()
            {
                let message = format!(
                    "`{}` is {}, which is no member of the node's bond",
                    at.key,
                    shown(&mac.to_string())
                );
                self.findings
                    .error(Rule::BadBond, at, message)
                    .hint("the bond carries the node's address: leave `mac` out, or name a member");
            }
        }
        for (index, nic) in nics.into_iter().enumerate() {
            let key = format!("{table}.nic[{index}]");
            let nic_at = At::new(key.clone(), nic.span());
            if let Some(nic) = self.nic(nic.get_ref(), &key) {
                self.own_wire(&draft, &nic, &nic_at, mac.map(|(mac, _)| *mac));
                draft.nics.push((nic, nic_at));
            }
        }
        draft
    }

    fn members(&mut self, raw: &BondTable, at: &At) -> Vec<(Mac, At)> {
        let key = |index: usize| format!("{}.members[{index}]", at.key);
        let texts = raw.members.iter().enumerate();
        let members: Vec<_> = texts
            .filter_map(|(index, text)| self.placed(&Some(text.clone()), &key(index), Rule::BadMac))
            .collect();
        if raw.members.is_empty() && !self.findings.knows_below(&format!("{}.members", at.key)) {
            self.findings
                .error(Rule::BadBond, at, format!("`{}` has no members", at.key))
                .hint("name its NICs by their MAC addresses: members = [\"…\", \"…\"]");
        }
        members
    }

    fn bond(&mut self, raw: &BondTable, members: &[(Mac, At)], at: &At) -> Bond {
        // Words that are not on the lists have been reported, and taken out, by the shape check.
        let mode = raw.mode.as_ref().and_then(|text| BondMode::named(text.get_ref()));
        let mode = mode.unwrap_or(BondMode::ActiveBackup);
        let mut only = |text: &Option<Spanned<String>>, name: &str, fits: bool, modes: &str| {
            if let (Some(text), false) = (text, fits) {
                let at = At::new(format!("{}.{name}", at.key), text.span());
                let message = format!("`{}` says nothing to a bond of mode {}", at.key, mode.as_str());
                self.findings
                    .error(Rule::BadBond, &at, message)
                    .hint(format!("it is for {modes}; leave it out"));
            }
        };
        only(&raw.lacp_rate, "lacp_rate", mode == BondMode::Lacp, "mode 802.3ad");
        only(
            &raw.xmit_hash_policy,
            "xmit_hash_policy",
            mode.hashes(),
            "modes 802.3ad, balance-xor and balance-tlb",
        );
        Bond {
            members: members.iter().map(|(mac, _)| *mac).collect(),
            mode,
            miimon: raw.miimon.as_ref().and_then(|ms| u16::try_from(*ms.get_ref()).ok()).unwrap_or(MIIMON),
            lacp_rate: raw.lacp_rate.as_ref().map(|rate| match rate.get_ref().as_str() {
                "fast" => LacpRate::Fast,
                _ => LacpRate::Slow,
            }),
            xmit_hash_policy: raw
                .xmit_hash_policy
                .as_ref()
                .and_then(|text| HashPolicy::named(text.get_ref())),
        }
    }

    fn nic(&mut self, raw: &NicTable, key: &str) -> Option<Nic> {
        let mac: Option<Mac> = self.word(&raw.mac, &format!("{key}.mac"), Rule::BadMac);
        let address = self.nic_address(raw, &format!("{key}.address"));
        let mtu = raw.mtu.as_ref().and_then(|mtu| u16::try_from(*mtu.get_ref()).ok());
        Some(Nic { mac: mac?, vlan: raw.vlan.clone().and_then(vlan_id), address: address?, mtu })
    }

    /// An address with the prefix of its subnet, of which it is a host.
    fn nic_address(&mut self, raw: &NicTable, key: &str) -> Option<Ipv4Net> {
        let text = raw.address.as_ref()?;
        let (at, value) = (At::new(key, text.span()), text.get_ref());
        if value.matches(':').count() > 1 {
            self.ipv4_only(&at, value);
            return None;
        }
        let parsed = value.parse::<Ipv4Net>().ok().filter(|net| (8..=30).contains(&net.prefix_len()));
        let Some(net) = parsed else {
            let message = format!("`{key}` cannot be {}: it is no address with a prefix", shown(value));
            self.findings
                .error(Rule::BadCidr, &at, message)
                .hint("write the address and its subnet's prefix, /8 to /30: 10.9.0.71/24");
            return None;
        };
        let first = net.addr().octets()[0];
        let nobody = first == 0 || first == 127 || first >= 224 || net.addr().is_link_local();
        if nobody || net.addr() == net.network() || net.addr() == net.broadcast() {
            let message = format!("`{key}` cannot be {}: no machine has such an address", shown(value));
            self.findings
                .error(Rule::NotAHostAddress, &at, message)
                .hint("give a host address of the subnet");
            return None;
        }
        Some(net)
    }

    /// A further address has a NIC, or a VLAN of one, for itself.
    fn own_wire(&mut self, draft: &AttachDraft, nic: &Nic, at: &At, mac: Option<Mac>) {
        let in_bond = |mac: Mac| draft.members.iter().any(|(member, _)| *member == mac);
        let same = |a: Mac, b: Mac| a == b || in_bond(a) && in_bond(b);
        let with_node = mac.is_some_and(|mac| same(mac, nic.mac)) || in_bond(nic.mac);
        let clash = if with_node && nic.vlan == draft.attachment.vlan {
            "the node's own address".to_owned()
        } else if let Some((_, other)) =
            draft.nics.iter().find(|(other, _)| same(other.mac, nic.mac) && other.vlan == nic.vlan)
        {
            format!("`{}`", other.key)
        } else {
            return;
        };
        self.findings
            .error(Rule::BadNic, at, format!("`{}` is on the NIC and VLAN of {clash}", at.key))
            .hint("one NIC, or one VLAN of it, carries one address: give it another `mac` or `vlan`");
    }

    /// Subnets of further addresses: apart from the nodes' subnet, from pods and services, and from each other.
    pub fn further(&mut self, attach: &AttachDraft, subnet: Option<(Ipv4Net, &At)>, head: &Head) {
        let mut ranges: Vec<(&str, Ipv4Net, &At)> = Vec::new();
        ranges.extend(subnet.map(|(net, at)| ("the nodes' subnet", net, at)));
        ranges.extend(head.pod.as_ref().map(|(net, at)| ("the pods' range", *net, at)));
        ranges.extend(head.service.as_ref().map(|(net, at)| ("the services' range", *net, at)));
        for (nic, at) in &attach.nics {
            let net = nic.address.trunc();
            if let Some((name, other, related)) =
                ranges.iter().find(|(_, other, _)| other.contains(&net) || net.contains(other))
            {
                self.findings
                    .error(
                        Rule::CidrOverlap,
                        at,
                        format!("`{}` is in {net}, which overlaps {name} {other}", at.key),
                    )
                    .related(related, format!("{name} comes from here"))
                    .hint("each NIC of a node is in a subnet of its own");
            }
            ranges.push(("another NIC's subnet", net, at));
        }
    }

    /// How much the findings of the installer weigh.
    pub fn preflight(&mut self, raw: &PreflightTable) -> Policy {
        let levels =
            raw.words().filter_map(|(check, text)| Some((check, Level::named(text.as_ref()?.get_ref())?)));
        Policy(levels.collect())
    }
}

fn vlan_id(id: Spanned<i64>) -> Option<VlanId> {
    u16::try_from(id.into_inner()).ok().and_then(|id| VlanId::try_from(id).ok())
}
