//! Addresses together: the subnet, the ranges of pods and services, and that nothing is in two places.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::Ipv4Net;
use toml::Spanned;

use super::super::findings::{At, shown};
use super::super::model::Network;
use super::super::raw::{NetworkTable, Text, Texts};
use super::super::rule::Rule;
use super::super::types::{HostName, Role};
use super::nodes::Draft;
use super::words::Placed;
use super::{Check, Head};

/// Prefix length of the addresses that each node gets for its pods (kube-controller-manager's default).
const NODE_PREFIX: u8 = 24;

/// An address with what it is, in words.
type Member<'m> = (Ipv4Addr, &'m At, String);

impl Check<'_, '_> {
    /// A range in CIDR notation. Bits right of the prefix are reported; the range is then taken as it was meant.
    pub fn range(&mut self, text: &Text, key: &str) -> Placed<Ipv4Net> {
        let text = text.as_ref()?;
        let (at, value) = (At::new(key, text.span()), text.get_ref());
        if value.contains(':') {
            self.ipv4_only(&at, value);
            return None;
        }
        let Ok(net) = value.parse::<Ipv4Net>() else {
            let message = format!("`{key}` cannot be {}: it is no range of addresses", shown(value));
            self.findings.error(Rule::BadCidr, &at, message).hint("a range is written like 10.244.0.0/16");
            return None;
        };
        if net.addr() != net.network() {
            let message = format!("`{key}` is {}, which has bits set right of its prefix", shown(value));
            self.findings
                .error(Rule::CidrHostBits, &at, message)
                .hint(format!("did you mean {}?", net.trunc()));
        }
        let first = net.network().octets()[0];
        if first == 0 || first == 127 || first >= 224 || net.network().is_link_local() {
            let message = format!("`{key}` cannot be {}: no machine has such addresses", shown(value));
            self.findings.error(Rule::BadCidr, &at, message).hint("take a private range: 10.244.0.0/16");
        }
        Some((net.trunc(), at))
    }

    /// What `[network]` says, and all addresses against each other.
    pub fn network(&mut self, raw: &NetworkTable, at: &At, head: &Head, drafts: &[Draft]) -> Option<Network> {
        let gateway = self.address(raw.gateway.as_ref(), "network.gateway");
        let dns = self.servers(&raw.dns, "network.dns", head);
        let ntp = self.time_servers(&raw.ntp, head);
        self.range_sizes(head, drafts);

        let mut members: Vec<Member<'_>> = Vec::new();
        members.extend(gateway.as_ref().map(|(address, at)| (*address, at, "the gateway".to_owned())));
        members.extend(head.vip.as_ref().map(|(address, at)| (*address, at, "the VIP".to_owned())));
        for draft in drafts {
            members.extend(draft.address.as_ref().map(|(address, at)| (*address, at, draft.title())));
        }
        let further: Vec<_> = drafts.iter().flat_map(|draft| draft.attach.addresses()).collect();
        members.extend(further.iter().map(|(net, at)| (net.addr(), *at, format!("`{}`", at.key))));
        self.taken(&members);
        members.truncate(members.len() - further.len());
        let prefix = raw.prefix.as_ref().and_then(|prefix| u8::try_from(*prefix.get_ref()).ok());
        let subnet = prefix.and_then(|prefix| common_subnet(&members, prefix));
        if let Some(subnet) = subnet {
            self.inside(&members, subnet);
        }
        let prefix_at = raw.prefix.as_ref().map(|prefix| At::new("network.prefix", prefix.span()));
        let subnet_at = gateway.as_ref().map(|(_, at)| at).or(prefix_at.as_ref()).unwrap_or(at);
        self.overlaps(head, subnet.map(|subnet| (subnet, subnet_at.clone())));
        for draft in drafts {
            self.further(&draft.attach, subnet.map(|subnet| (subnet, subnet_at)), head);
        }
        let mtu = raw.mtu.as_ref().and_then(|mtu| u16::try_from(*mtu.get_ref()).ok());
        Some(Network { subnet: subnet?, gateway: gateway.map(|(address, _)| address), mtu, dns, ntp })
    }

    /// Each address belongs to one.
    fn taken(&mut self, members: &[Member<'_>]) {
        let mut owners: BTreeMap<Ipv4Addr, (&At, &str)> = BTreeMap::new();
        for (address, at, title) in members {
            let Some((first, owner)) = owners.get(address) else {
                owners.insert(*address, (at, title));
                continue;
            };
            let message = format!("{title} has the address {address}, and so has {owner}");
            self.findings
                .error(Rule::AddressTaken, at, message)
                .related(first, "first used here")
                .hint("give each node, the VIP and the gateway an address of its own");
        }
    }

    /// All addresses are hosts of the subnet.
    fn inside(&mut self, members: &[Member<'_>], subnet: Ipv4Net) {
        for (address, at, title) in members {
            if !subnet.contains(address) {
                let message =
                    format!("{title} has the address {address}, outside the nodes' subnet {subnet}");
                self.findings
                    .error(Rule::OutsideSubnet, at, message)
                    .hint("nodes, VIP and gateway share one subnet; check the address and network.prefix");
            } else if *address == subnet.network() || *address == subnet.broadcast() {
                let what = if *address == subnet.network() { "network" } else { "broadcast" };
                let message = format!("{title} has the address {address}, the {what} address of {subnet}");
                self.findings.error(Rule::NotAHostAddress, at, message).hint(format!(
                    "addresses of machines are {} to {}",
                    Ipv4Addr::from(u32::from(subnet.network()) + 1),
                    Ipv4Addr::from(u32::from(subnet.broadcast()) - 1)
                ));
            }
        }
    }

    fn range_sizes(&mut self, head: &Head, drafts: &[Draft]) {
        if let Some((net, at)) = &head.service
            && !(12..=28).contains(&net.prefix_len())
        {
            let message = format!("`{}` is a /{}: it must be a /12 to /28", at.key, net.prefix_len());
            self.findings
                .error(Rule::CidrSize, at, message)
                .hint("the API server takes 2^20 service addresses at most; 10.96.0.0/12 is the usual range");
        }
        let Some((net, at)) = &head.pod else { return };
        if !(8..=NODE_PREFIX).contains(&net.prefix_len()) {
            let message = format!("`{}` is a /{}: it must be a /8 to /24", at.key, net.prefix_len());
            self.findings
                .error(Rule::CidrSize, at, message)
                .hint("each node gets a /24 of it; 10.244.0.0/16 has room for 256 nodes");
            return;
        }
        let room = 1usize << (NODE_PREFIX - net.prefix_len());
        let kubelets = drafts.iter().filter(|draft| draft.role != Some(Role::Lb)).count();
        if kubelets > room {
            let message =
                format!("`{}` has room for {room} nodes at a /24 each, and {kubelets} need one", at.key);
            self.findings.error(Rule::CidrSize, at, message).hint("give it a shorter prefix: 10.244.0.0/16");
        }
    }

    fn overlaps(&mut self, head: &Head, subnet: Placed<Ipv4Net>) {
        let ranges = [
            ("the nodes' subnet", subnet.as_ref()),
            ("the pods' range", head.pod.as_ref()),
            ("the services' range", head.service.as_ref()),
        ];
        for (i, (name, range)) in ranges.iter().enumerate() {
            for (earlier_name, earlier) in &ranges[..i] {
                let (Some((a, at)), Some((b, related))) = (range, earlier) else { continue };
                if a.contains(b) || b.contains(a) {
                    let message = format!("{name} {a} overlaps {earlier_name} {b}");
                    self.findings
                        .error(Rule::CidrOverlap, at, message)
                        .related(related, format!("{earlier_name} comes from here"))
                        .hint("pods, services and nodes need ranges of their own");
                }
            }
        }
    }

    /// Reports a server whose address would be answered inside the cluster, or by no one.
    fn not_in_cluster(&mut self, address: Ipv4Addr, at: &At, head: &Head) {
        for (net, related) in [&head.pod, &head.service].into_iter().flatten() {
            if net.contains(&address) {
                let message = format!("`{}` is {address}, which lies in `{}` {net}", at.key, related.key);
                self.findings
                    .error(Rule::CidrOverlap, at, message)
                    .related(related, "the range")
                    .hint("nodes could not reach it; change one of the two");
            }
        }
    }

    fn servers(&mut self, texts: &Texts, key: &str, head: &Head) -> Vec<Ipv4Addr> {
        let mut servers = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            let Some((address, at)) = self.address(Some(text), &format!("{key}[{index}]")) else { continue };
            self.not_in_cluster(address, &at, head);
            servers.push(address);
        }
        servers
    }

    fn time_servers(&mut self, texts: &Texts, head: &Head) -> Vec<String> {
        let mut servers = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            let key = format!("network.ntp[{index}]");
            let last = text.get_ref().rsplit('.').next().unwrap_or_default();
            let number = text.get_ref().parse::<IpAddr>().is_ok() || last.bytes().all(|b| b.is_ascii_digit());
            if number || text.get_ref().contains(':') {
                let Some((address, at)) = self.address(Some(text), &key) else { continue };
                self.not_in_cluster(address, &at, head);
                servers.push(address.to_string());
            } else if let Some(name) = self.host(text, &key) {
                servers.push(name.to_string());
            }
        }
        servers
    }

    fn host(&mut self, text: &Spanned<String>, key: &str) -> Option<HostName> {
        self.word(&Some(text.clone()), key, Rule::BadName)
    }
}

/// The subnet that most of the addresses are in; of equals, the one named first.
fn common_subnet(members: &[Member<'_>], prefix: u8) -> Option<Ipv4Net> {
    let subnet = |address: Ipv4Addr| Ipv4Net::new(address, prefix).ok().map(|net| net.trunc());
    let mut votes: BTreeMap<Ipv4Net, usize> = BTreeMap::new();
    for (address, ..) in members {
        *votes.entry(subnet(*address)?).or_default() += 1;
    }
    let most = *votes.values().max()?;
    members.iter().filter_map(|(address, ..)| subnet(*address)).find(|net| votes.get(net) == Some(&most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subnet_is_where_most_are() {
        let at = At::default();
        let members = |addresses: &[&str]| -> Vec<Member<'_>> {
            addresses.iter().map(|text| (text.parse().unwrap(), &at, String::new())).collect()
        };
        let net = |text: &str| Some(text.parse::<Ipv4Net>().unwrap());
        assert_eq!(common_subnet(&members(&["10.0.9.1", "10.0.1.2", "10.0.1.3"]), 24), net("10.0.1.0/24"));
        assert_eq!(common_subnet(&members(&["10.0.9.1", "10.0.1.2"]), 24), net("10.0.9.0/24"));
        assert_eq!(common_subnet(&members(&[]), 24), None);
    }
}
