//! Nodes and worker pools: each by itself, then together.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use toml::Spanned;

use super::super::findings::{At, shown};
use super::super::model::{Identity, Node, WorkerPool};
use super::super::raw::{NodeTable, PoolTable, Text};
use super::super::rule::Rule;
use super::super::storage::Storage;
use super::super::types::{HostName, LabelKey, LabelValue, Mac, Role, SystemUuid};
use super::Check;
use super::attach::AttachDraft;
use super::words::Placed;

/// Longest name of a machine: Linux has 64 bytes, and a label value, as which the name also serves, 63.
const LONGEST_NAME: usize = 63;
/// Longest name of a pool: `-` and the 12 digits of a MAC address follow it in host names.
const LONGEST_POOL: usize = LONGEST_NAME - 13;
/// Most etcd members (etcd's own advice).
const MOST_ETCD: usize = 7;
/// What vendors leave where a serial number should be; machines are not told apart by it.
const PLACEHOLDERS: [&str; 13] = [
    "asset tag",
    "no asset tag",
    "0",
    "none",
    "n/a",
    "na",
    "unknown",
    "default string",
    "not specified",
    "not applicable",
    "system serial number",
    "to be filled by o.e.m.",
    "0123456789",
];
/// System UUIDs that many boards share.
const SHARED_UUIDS: [&str; 3] = [
    "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "03000200-0400-0500-0006-000700080009",
];

/// A node, as far as it is right.
pub(super) struct Draft {
    at: At,
    name: Placed<HostName>,
    pub role: Option<Role>,
    pub address: Placed<Ipv4Addr>,
    mac: Placed<Mac>,
    pub attach: AttachDraft,
    serial: Placed<String>,
    uuid: Placed<SystemUuid>,
    asset_tag: Placed<String>,
    etcd: Placed<bool>,
    storage: Storage,
    labels: BTreeMap<LabelKey, LabelValue>,
}

impl Draft {
    /// What to call it in messages.
    pub fn title(&self) -> String {
        match &self.name {
            Some((name, _)) => format!("node {name}"),
            None => format!("`{}`", self.at.key),
        }
    }

    /// Whether it runs an etcd member; masters do unless said otherwise.
    fn runs_etcd(&self) -> bool {
        self.etcd.as_ref().map_or(self.role == Some(Role::Master), |(etcd, _)| *etcd)
    }

    /// The node, where nothing was wrong.
    pub fn finish(self) -> Option<(HostName, Node)> {
        let etcd = self.runs_etcd();
        let name = self.name?.0;
        let identity = Identity {
            mac: self.mac.map(|(mac, _)| mac),
            serial: self.serial.map(|(serial, _)| serial),
            uuid: self.uuid.map(|(uuid, _)| uuid),
            asset_tag: self.asset_tag.map(|(tag, _)| tag),
        };
        let node = Node {
            name: name.clone(),
            role: self.role?,
            address: self.address?.0,
            attachment: self.attach.finish(),
            identity,
            storage: self.storage,
            etcd,
            labels: self.labels,
        };
        Some((name, node))
    }
}

/// A worker pool, as far as it is right.
pub(super) struct PoolDraft {
    name: Placed<HostName>,
    storage: Storage,
    labels: BTreeMap<LabelKey, LabelValue>,
}

impl PoolDraft {
    /// The pool, where nothing was wrong.
    pub fn finish(self) -> Option<(HostName, WorkerPool)> {
        let name = self.name?.0;
        Some((name.clone(), WorkerPool { name, storage: self.storage, labels: self.labels }))
    }
}

impl Check<'_, '_> {
    /// One `[[node]]`.
    pub fn node(&mut self, index: usize, raw: Spanned<NodeTable>) -> Draft {
        let table = format!("node[{index}]");
        let here = At::new(table.clone(), raw.span());
        let raw = raw.into_inner();
        if raw.mac.is_none()
            && raw.bond.is_none()
            && raw.serial.is_none()
            && raw.uuid.is_none()
            && raw.asset_tag.is_none()
            && !["mac", "bond", "serial", "uuid", "asset_tag"]
                .iter()
                .any(|part| self.findings.knows(&format!("{table}.{part}")))
        {
            let title = raw.name.as_ref().map_or(table.clone(), |name| name.get_ref().clone());
            let message = format!("node {} has no identity: no machine can be known as it", shown(&title));
            self.findings.error(Rule::NodeWithoutIdentity, &here, message).hint(
                "give its mac, serial, uuid or asset_tag (`ip link`, `dmidecode -s system-serial-number`)",
            );
        }
        let mac = self.placed(&raw.mac, &format!("{table}.mac"), Rule::BadMac);
        let attach = self.attach(raw.bond, raw.vlan, raw.nic, mac.as_ref(), &table);
        Draft {
            name: self.machine_name(&raw.name, &format!("{table}.name"), LONGEST_NAME),
            role: raw.profile.as_ref().and_then(|text| text.get_ref().parse().ok()),
            address: self.address(raw.address.as_ref(), &format!("{table}.address")),
            mac,
            attach,
            serial: self.serial(&raw.serial, &format!("{table}.serial"), "system-serial-number"),
            uuid: self.uuid(&raw.uuid, &format!("{table}.uuid")),
            asset_tag: self.serial(&raw.asset_tag, &format!("{table}.asset_tag"), "chassis-asset-tag"),
            etcd: raw.etcd.map(|etcd| (*etcd.get_ref(), At::new(format!("{table}.etcd"), etcd.span()))),
            storage: self.storage(raw.disk, raw.volumes, &raw.wipe, &table),
            labels: self.labels(&raw.labels, &table),
            at: here,
        }
    }

    /// One `[[worker_pool]]`.
    pub fn pool(&mut self, index: usize, raw: Spanned<PoolTable>) -> PoolDraft {
        let table = format!("worker_pool[{index}]");
        let raw = raw.into_inner();
        PoolDraft {
            name: self.machine_name(&raw.name, &format!("{table}.name"), LONGEST_POOL),
            storage: self.storage(raw.disk, raw.volumes, &raw.wipe, &table),
            labels: self.labels(&raw.labels, &table),
        }
    }

    fn machine_name(&mut self, text: &Text, key: &str, longest: usize) -> Placed<HostName> {
        let (name, at): (HostName, At) = self.placed(text, key, Rule::BadName)?;
        let broken = if name.as_str().len() > longest {
            format!("it has {} characters, {longest} at most", name.as_str().len())
        } else if name.as_str() == "localhost" {
            "every machine calls itself that".to_owned()
        } else {
            return Some((name, at));
        };
        self.findings.error(
            Rule::BadName,
            &at,
            format!("`{key}` cannot be {}: {broken}", shown(name.as_str())),
        );
        None
    }

    /// A serial number or asset tag, which `dmidecode -s WORD` prints.
    fn serial(&mut self, text: &Text, key: &str, word: &str) -> Placed<String> {
        let text = text.as_ref()?;
        let (value, at) = (text.get_ref().trim(), At::new(key, text.span()));
        let plain = |c: char| c.is_ascii_graphic() || c == ' ';
        if value.is_empty() || value.len() > 128 || !value.chars().all(plain) {
            let message =
                format!("`{key}` cannot be {}: no machine has it as its {word}", shown(text.get_ref()));
            self.findings
                .error(Rule::BadSerial, &at, message)
                .hint(format!("write what `dmidecode -s {word}` prints on the machine"));
            return None;
        }
        if PLACEHOLDERS.contains(&value.to_ascii_lowercase().as_str()) {
            self.placeholder(&at, value);
            return None;
        }
        Some((value.to_owned(), at))
    }

    fn uuid(&mut self, text: &Text, key: &str) -> Placed<SystemUuid> {
        let (uuid, at): (SystemUuid, At) = self.placed(text, key, Rule::BadUuid)?;
        if SHARED_UUIDS.contains(&uuid.to_string().as_str()) {
            self.placeholder(&at, &uuid.to_string());
            return None;
        }
        Some((uuid, at))
    }

    fn placeholder(&mut self, at: &At, value: &str) {
        let message = format!("`{}` is {}, which many machines have", at.key, shown(value));
        self.findings
            .error(Rule::PlaceholderIdentity, at, message)
            .hint("the vendor left it unset; know the machine by its mac");
    }

    /// Names and identities are unique.
    pub fn nodes_together(&mut self, drafts: &[Draft], pools: &[PoolDraft]) {
        let names = drafts.iter().map(|draft| &draft.name).chain(pools.iter().map(|pool| &pool.name));
        self.unique("name", names);
        let macs: Vec<Placed<Mac>> = drafts.iter().flat_map(|draft| draft.attach.macs(&draft.mac)).collect();
        self.unique("MAC address", macs.iter());
        self.unique("serial number", drafts.iter().map(|draft| &draft.serial));
        self.unique("UUID", drafts.iter().map(|draft| &draft.uuid));
        self.unique("asset tag", drafts.iter().map(|draft| &draft.asset_tag));
    }

    fn unique<'v, T: Ord + std::fmt::Display + 'v>(
        &mut self,
        what: &str,
        values: impl Iterator<Item = &'v Placed<T>>,
    ) {
        let mut seen: BTreeMap<&T, &At> = BTreeMap::new();
        for (value, at) in values.flatten() {
            let Some(first) = seen.get(value) else {
                seen.insert(value, at);
                continue;
            };
            let message = format!("`{}` is {}, and so is `{}`", at.key, shown(&value.to_string()), first.key);
            self.findings
                .error(Rule::Duplicate, at, message)
                .related(first, "first used here")
                .hint(format!("each node and pool has a {what} of its own"));
        }
    }

    /// Who does what: enough masters, etcd members, load balancers, workers.
    pub fn roles(&mut self, drafts: &[Draft], pools: &[PoolDraft]) {
        // With a role unknown or a list cut short, counting would blame what is right.
        if drafts.iter().any(|draft| draft.role.is_none())
            || self.findings.knows_below("node") && drafts.is_empty()
        {
            return;
        }
        let of = |role: Role| drafts.iter().filter(move |draft| draft.role == Some(role));
        let whole = At { key: "node".into(), span: None };
        match of(Role::Master).count() {
            0 => {
                self.findings
                    .error(Rule::NoMasters, &whole, "there is no master: nothing would run the control plane")
                    .hint("add a [[node]] with profile = \"master\"; three are usual");
                return;
            }
            count @ (1 | 2) => {
                let at = of(Role::Master).next_back().map_or(&whole, |draft| &draft.at);
                let noun = if count == 1 { "1 master" } else { "2 masters" };
                self.findings
                    .warning(
                        Rule::FewMasters,
                        at,
                        format!("{noun}: the cluster does not survive the loss of one"),
                    )
                    .hint("three masters survive the loss of one");
            }
            _ => {}
        }
        self.etcd_count(drafts);
        if let (Some(lb), None) = (of(Role::Lb).next(), of(Role::Lb).nth(1)) {
            let message =
                format!("{} is the only load balancer: without it the API cannot be reached", lb.title());
            self.findings
                .warning(Rule::OneLb, &lb.at, message)
                .hint("add a second, or none: then the masters hold the VIP");
        }
        if of(Role::Worker).next().is_none() && pools.is_empty() {
            self.findings
                .warning(
                    Rule::NoWorkers,
                    &whole,
                    "there is no worker and no worker pool: pods have nowhere to run",
                )
                .hint("add a [[node]] with profile = \"worker\", or a [[worker_pool]]");
        }
    }

    fn etcd_count(&mut self, drafts: &[Draft]) {
        let members: Vec<&Draft> = drafts.iter().filter(|draft| draft.runs_etcd()).collect();
        let count = members.len();
        if count % 2 == 1 && count <= MOST_ETCD {
            return;
        }
        let last = members.last().copied().or(drafts.first());
        let at = last.map(|draft| draft.etcd.as_ref().map_or(&draft.at, |(_, at)| at));
        let message = match count {
            0 => "no node runs an etcd member".to_owned(),
            _ if count > MOST_ETCD => {
                format!("{count} etcd members: more than {MOST_ETCD} only slow each other down")
            }
            _ => format!("{count} etcd members: an even number survives no more losses than one member less"),
        };
        let hint = "etcd wants 1, 3, 5 or 7 members: masters unless they say etcd = false, others if they say etcd = true";
        self.findings.error(Rule::EtcdCount, at.unwrap_or(&At::default()), message).hint(hint);
    }
}
