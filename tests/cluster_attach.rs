//! `cluster.toml`: bonds, VLANs, further addresses and `[preflight]`, one rule at a time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed test panics")]

#[path = "cluster/case.rs"]
#[allow(dead_code, reason = "shared")]
mod case;

use std::path::Path;

use case::{error, findings, verify};
use kiln::cluster::rule::Rule;
use kiln::cluster::{self, SAMPLE};

/// Of node 0 of the sample.
const MAC: &str = "mac = \"52:54:00:00:31:71\"";

#[test]
fn attachments() {
    use Rule::*;
    let second = "52:54:00:00:32:71";
    let bond =
        |more: &str| format!("{MAC}\nbond = {{ members = [\"52:54:00:00:31:71\", \"{second}\"]{more} }}");
    let nic = |mac: &str, more: &str| format!("{MAC}\nnic = [{{ mac = \"{mac}\", {more} }}]");
    let address = "address = \"10.9.0.71/24\"";
    let far = |text: &str| format!("address = \"{text}\"");
    verify(&[
        error(BadBond, MAC, "bond = { members = [] }", "node[0].bond", "bond"),
        error(BadBond, MAC, "bond = { mode = \"802.3ad\" }", "node[0].bond", "bond"),
        error(BadBond, MAC, &bond("").replacen(MAC, "mac = \"52:54:00:00:99:71\"", 1), "node[0].mac", "99:71"),
        error(UnknownValue, MAC, &bond(", mode = \"lacp\""), "node[0].bond.mode", "lacp"),
        error(BadBond, MAC, &bond(", lacp_rate = \"fast\""), "node[0].bond.lacp_rate", "fast"),
        error(BadBond, MAC, &bond(", xmit_hash_policy = \"layer2\""), "node[0].bond.xmit_hash_policy", "layer2"),
        error(UnknownKey, MAC, &bond(", primary = \"x\""), "node[0].bond.primary", "primary"),
        error(BadMac, MAC, &bond("").replace("32:71", "zz:71"), "node[0].bond.members[1]", "zz"),
        error(Duplicate, MAC, &bond("").replace("32:71", "31:71"), "node[0].bond.members[1]", "bond"),
        error(Duplicate, MAC, &bond("").replace(second, "52:54:00:00:31:74"), "node[1].mac", "31:74"),
        error(OutOfRange, MAC, &format!("{MAC}\nvlan = 4095"), "node[0].vlan", "4095"),
        error(OutOfRange, MAC, &format!("{MAC}\nvlan = 0"), "node[0].vlan", "vlan"),
        error(OutOfRange, MAC, &nic(second, &format!("{address}, mtu = 576")), "node[0].nic[0].mtu", "576"),
        error(OutOfRange, "prefix = 24", "prefix = 24\nmtu = 99", "network.mtu", "99"),
        error(MissingKey, MAC, &nic(second, "vlan = 7"), "node[0].nic[0].address", "nic"),
        error(BadCidr, MAC, &nic(second, &far("10.9.0.71")), "node[0].nic[0].address", "nic"),
        error(BadCidr, MAC, &nic(second, &far("10.9.0.71/31")), "node[0].nic[0].address", "nic"),
        error(Ipv4Only, MAC, &nic(second, &far("fd00::71/64")), "node[0].nic[0].address", "nic"),
        error(NotAHostAddress, MAC, &nic(second, &far("10.9.0.255/24")), "node[0].nic[0].address", "nic"),
        error(NotAHostAddress, MAC, &nic(second, &far("127.0.0.9/24")), "node[0].nic[0].address", "nic"),
        error(CidrOverlap, MAC, &nic(second, &far("192.168.31.9/24")), "node[0].nic[0]", "nic"),
        error(CidrOverlap, MAC, &nic(second, &far("10.244.3.9/24")), "node[0].nic[0]", "nic"),
        error(BadNic, MAC, &nic("52:54:00:00:31:71", address), "node[0].nic[0]", "nic"),
        error(Duplicate, MAC, &nic("52:54:00:00:31:74", address), "node[1].mac", "31:74"),
        error(AddressTaken, MAC, &nic(second, address), "node[1].nic[0]", "nic")
            .and("mac = \"52:54:00:00:31:74\"", "mac = \"52:54:00:00:31:74\"\nnic = [{ mac = \"52:54:00:00:32:74\", address = \"10.9.0.71/24\" }]"),
        error(UnknownKey, "# [console]", "[preflight]\nram = \"warn\"", "preflight.ram", "ram"),
        error(UnknownValue, "# [console]", "[preflight]\nmemory = \"warning\"", "preflight.memory", "warning"),
    ]);
    let two = format!(
        "{MAC}\nnic = [{{ mac = \"{second}\", {address} }}, {{ mac = \"52:54:00:00:33:71\", address = \"10.9.0.99/25\" }}]"
    );
    assert_eq!(findings(&SAMPLE.replacen(MAC, &two, 1))[0].rule, "cidr-overlap");
}

#[test]
fn attachments_that_are_right() {
    let text = "bond = { members = [\"52:54:00:00:31:71\", \"52:54:00:00:32:71\"], mode = \"802.3ad\", lacp_rate = \"fast\" }\n\
         vlan = 31\nnic = [{ mac = \"52:54:00:00:32:71\", address = \"10.9.0.71/24\", vlan = 9 }, \
         { mac = \"52:54:00:00:31:71\", address = \"10.8.0.71/24\" }]";
    let text = SAMPLE.replacen(MAC, text, 1).replacen("# [console]", "[preflight]\ncores = \"error\"", 1);
    let (cluster, warnings) = cluster::parse(Path::new("cluster.toml"), &text).unwrap();
    assert_eq!(warnings, []);
    let node = cluster.nodes.values().find(|node| node.name.as_str() == "k8s-master1").unwrap();
    assert_eq!((node.identity.mac, node.attachment.nics.len()), (None, 2));
    let bond = node.attachment.bond.as_ref().unwrap();
    assert_eq!(bond.options(), "mode=802.3ad,miimon=100,lacp_rate=fast");
    use kiln::cluster::preflight::{Check, Level};
    assert_eq!(
        (cluster.preflight.level(Check::Cores), cluster.preflight.level(Check::Vip)),
        (Level::Error, Level::Warn)
    );
}
