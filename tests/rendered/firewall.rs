//! firewalld's zones: taken by firewalld, and open to those who need it only.

use std::path::Path;
use std::process::Command;

use kiln::cluster::types::Role;

use crate::{common, planned, plans, root_of, run};

/// firewalld's own check: of what we wrote, over the zones and services that it brings.
#[test]
fn firewalld_takes_its_zones() {
    let check = |root: &Path| {
        let mut command = Command::new("firewall-offline-cmd");
        command.arg(format!("--system-config={}", root.join("etc/firewalld").display()));
        run("firewalld", command.args(["--default-config", "/usr/lib/firewalld", "--check-config"]))
    };
    for (name, plan) in plans() {
        let root = root_of(&plan, 0);
        let conf = root.path().join("etc/firewalld/firewalld.conf");
        std::fs::write(conf, "DefaultZone=public\nCleanupOnExit=yes\n").unwrap();
        let output = check(root.path());
        let said =
            String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && ["", "success"].contains(&said.trim()), "{name}: {said}");
        let zone = root.path().join("etc/firewalld/zones/public.xml");
        let text = std::fs::read_to_string(&zone).unwrap();
        // Releases before 0.7 know these elements and attributes of a zone, and no others.
        for word in ["<forward", "<icmp", "priority=", "ingress", "egress", "ipset=", "tcp-mss"] {
            assert!(!text.contains(word), "{name}: {word}");
        }
        std::fs::write(&zone, text.replace("<accept/>", "<acept/>").replace("\"tcp\"", "\"tpc\"")).unwrap();
        assert!(!check(root.path()).status.success(), "{name}: a zone with mistakes is taken");
    }
}

/// etcd's ports are open on members alone, to masters and members alone, also where a role has nodes with and without one.
#[test]
fn etcd_is_open_to_those_who_need_it() {
    let mut cluster = common::reference_cluster();
    for (name, etcd) in [("k8s-node1", true), ("k8s-master3", false)] {
        cluster.nodes.get_mut(&name.parse().unwrap()).unwrap().etcd = etcd;
    }
    let zone = |role| {
        let root = root_of(&planned(&cluster, role, "1.7.28"), 0);
        std::fs::read_to_string(root.path().join("etc/firewalld/zones/public.xml")).unwrap()
    };
    let rule = |from: u8, to: u8, ports: &str| {
        format!(
            "    <source address=\"192.168.31.{from}\"/>\n    <destination address=\"192.168.31.{to}\"/>\n    <port port=\"{ports}\" protocol=\"tcp\"/>"
        )
    };
    let (masters, workers, balancers) = (zone(Role::Master), zone(Role::Worker), zone(Role::Lb));
    assert!(
        masters.contains(&rule(72, 71, "2379-2380")) && masters.contains(&rule(75, 71, "2379")),
        "{masters}"
    );
    assert!(
        workers.contains(&rule(71, 72, "2379-2380")) && !workers.contains("\"192.168.31.73\""),
        "{workers}"
    );
    assert!(!masters.contains("destination address=\"192.168.31.75\""), "{masters}");
    assert!(!balancers.contains("2379"), "{balancers}");
}
