//! `cluster.toml`, one rule at a time: the sample with one fault gives that finding, at that place, and no other.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed test panics")]

#[path = "cluster/case.rs"]
mod case;
mod common;

use case::{Case, error, findings, verify, warning};
use kiln::cluster::rule::Rule;
use kiln::cluster::{self, SAMPLE};

/// Node 0 of the sample, from its address on.
const MAC: &str = "mac = \"52:54:00:00:31:71\"";
const LABELS: &str = "# labels = { \"example.com/rack\" = \"a1\" }";
const DISK: &str = "disk = { size = \"20G..\", smallest = true }";

#[test]
fn shapes() {
    use Rule::*;
    let many_keys = format!("ssh_keys = [{}]", "\"x\", ".repeat(65));
    let long = format!("image = \"{}\"", "x".repeat(9000));
    verify(&[
        error(TomlSyntax, "name = \"prod\"", "name = \"prod", "", "name = \"prod"),
        error(TomlSyntax, "[base]", "[cluster]", "", "[cluster]"),
        error(UnknownKey, "name = \"prod\"", "name = \"prod\"\nnmae = 1", "cluster.nmae", "nmae"),
        error(UnknownKey, "[cluster]", "[clutser]\n[cluster]", "clutser", "[clutser]"),
        error(UnknownKey, "size = \"20G..\"", "sise = \"20G..\"", "node[0].disk.sise", "sise"),
        error(MissingKey, "vip = ", "# vip = ", "cluster.vip", "[cluster]"),
        error(MissingKey, "address = \"192.168.31.74\"", "", "node[1].address", "[[node]]"),
        error(WrongType, "prefix = 24", "prefix = \"24\"", "network.prefix", "prefix"),
        error(WrongType, "ntp = [\"192.168.31.1\"]", "ntp = [1]", "network.ntp[0]", "ntp"),
        error(WrongType, "# etcd = true", "etcd = \"yes\"", "node[0].etcd", "etcd"),
        error(UnknownValue, "\"centos-stream-9\"", "\"centos-8\"", "base.release", "release"),
        error(UnknownValue, "profile = \"lb\"", "profile = \"lbs\"", "node[5].profile", "lbs"),
        error(UnknownValue, "# runtime = \"containerd\"", "runtime = \"crio\"", "cluster.runtime", "crio"),
        error(OutOfRange, "prefix = 24", "prefix = 31", "network.prefix", "31"),
        error(OutOfRange, "prefix = 24", "prefix = 99999999999999999999", "network.prefix", "999"),
        error(
            TooMany,
            "# dns = [\"192.168.31.1\"]",
            "dns = [\"1.1.1.1\", \"1.1.1.2\", \"1.1.1.3\", \"1.1.1.4\"]",
            "network.dns",
            "dns",
        ),
        error(
            TooLong,
            "# image = \"CentOS-Stream-GenericCloud-9-latest.x86_64.qcow2\"",
            &long,
            "base.image",
            "image",
        ),
    ]);
    let text = SAMPLE.replacen("# ssh_keys = [\"ssh-ed25519 AAAA… ops\"]", &many_keys, 1);
    assert_eq!(findings(&text)[0].rule, "too-many");
}

#[test]
fn single_values() {
    use Rule::*;
    let hash = "# root_password_hash = \"$6$…\"";
    let yescrypt = format!("root_password_hash = \"$y$j9T$salt${}\"", "a".repeat(43));
    let keys = "# ssh_keys = [\"ssh-ed25519 AAAA… ops\"]";
    let good = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl ops";
    verify(&[
        error(BadName, "name = \"prod\"", "name = \"Prod\"", "cluster.name", "Prod"),
        error(BadName, "k8s-node1", "k8s_node1", "node[3].name", "k8s_node1"),
        error(BadName, "k8s-node1", &"a".repeat(64), "node[3].name", "aaa"),
        error(BadName, "pool-a", &"a".repeat(60), "worker_pool[0].name", "aaa"),
        error(BadName, "k8s-node1", "localhost", "node[3].name", "localhost"),
        error(
            BadName,
            "# domain = \"cluster.local\"",
            "domain = \"cluster_local\"",
            "cluster.domain",
            "domain",
        ),
        error(BadName, "ntp = [\"192.168.31.1\"]", "ntp = [\"time server\"]", "network.ntp[0]", "ntp"),
        error(BadVersion, "1.37.2", "1.37", "cluster.kubernetes", "1.37"),
        error(BadVersion, "1.37.2", "1.38.0", "cluster.kubernetes", "1.38.0"),
        error(BadAddress, "192.168.31.72", "192.168.31.720", "node[3].address", "720"),
        error(BadAddress, "vip = \"192.168.31.88\"", "vip = \"192.168.31.88/24\"", "cluster.vip", "vip"),
        error(Ipv4Only, "gateway = \"192.168.31.1\"", "gateway = \"fe80::1\"", "network.gateway", "fe80"),
        error(Ipv4Only, "10.244.0.0/16", "fd00::/48", "cluster.pod_cidr", "fd00"),
        error(Ipv4Only, "ntp = [\"192.168.31.1\"]", "ntp = [\"fd00::1\"]", "network.ntp[0]", "fd00"),
        error(BadCidr, "10.244.0.0/16", "10.244.0.0", "cluster.pod_cidr", "10.244"),
        error(BadCidr, "10.244.0.0/16", "127.0.0.0/16", "cluster.pod_cidr", "127"),
        error(CidrHostBits, "10.244.0.0/16", "10.244.1.0/16", "cluster.pod_cidr", "10.244.1.0"),
        error(CidrSize, "10.96.0.0/12", "10.96.0.0/29", "cluster.service_cidr", "/29"),
        error(CidrSize, "10.96.0.0/12", "16.0.0.0/11", "cluster.service_cidr", "/11"),
        error(CidrSize, "10.244.0.0/16", "10.244.0.0/25", "cluster.pod_cidr", "/25"),
        error(CidrSize, "10.244.0.0/16", "10.244.0.0/22", "cluster.pod_cidr", "/22"),
        error(BadPath, "\"CentOS-Stream-9-latest-x86_64-dvd1.iso\"", "\"\"", "base.iso", "iso"),
        error(
            BadPath,
            "\"CentOS-Stream-9-latest-x86_64-dvd1.iso\"",
            "\"x.iso\"\nrpms = [\"a\", \"\"]",
            "base.rpms[1]",
            "rpms",
        ),
        error(BadPath, "dir = \"components\"", "dir = \"a\\u0000b\"", "components.dir", "dir"),
        error(
            BadImage,
            "dir = \"components\"",
            "images = [\"Busybox:1\"]",
            "components.images[0]",
            "\"Busybox:1\"",
        ),
        error(
            BadUrl,
            "dir = \"components\"",
            "mirror = \"https://me:secret@e.org\"",
            "components.mirror",
            "mirror",
        ),
        error(
            BadUrl,
            "dir = \"components\"",
            "registries = { \"docker.io\" = \"e.org\" }",
            "components.registries.\"docker.io\"",
            "e.org",
        ),
        error(
            BadVersion,
            "dir = \"components\"",
            "versions = { kubernetes = \"1.30.0\" }",
            "components.versions.kubernetes",
            "versions",
        ),
        error(BadMac, MAC, "mac = \"52:54:00:00:31\"", "node[0].mac", "mac"),
        error(BadMac, MAC, "mac = \"01:00:5e:00:00:01\"", "node[0].mac", "mac"),
        error(BadUuid, MAC, "uuid = \"4c4c4544\"", "node[0].uuid", "uuid"),
        error(BadSerial, MAC, "serial = \" \"", "node[0].serial", "serial"),
        error(PlaceholderIdentity, MAC, "serial = \"To Be Filled By O.E.M.\"", "node[0].serial", "serial"),
        error(
            PlaceholderIdentity,
            MAC,
            "uuid = \"03000200-0400-0500-0006-000700080009\"",
            "node[0].uuid",
            "uuid",
        ),
        error(BadDisk, DISK, "disk = { size = \"20G\" }", "node[0].disk.size", "20G"),
        error(BadDisk, DISK, "disk = { size = \"100G..20G\" }", "node[0].disk.size", "100G"),
        error(BadDisk, DISK, "disk = { by_path = \"/dev/sda\" }", "node[0].disk.by_path", "sda"),
        error(BadLabel, LABELS, "labels = { \"-a\" = \"b\" }", "node[0].labels.-a", "labels"),
        error(BadLabel, LABELS, "labels = { a = \"b c\" }", "node[0].labels.a", "labels"),
        error(
            ReservedLabel,
            LABELS,
            "labels = { \"node-role.kubernetes.io/x\" = \"\" }",
            "node[0].labels.\"node-role.kubernetes.io/x\"",
            "labels",
        ),
        error(BadSshKey, keys, &format!("ssh_keys = [\"{good}\\n\"]"), "access.ssh_keys[0]", "ssh_keys"),
        error(
            BadSshKey,
            keys,
            "ssh_keys = [\"-----BEGIN OPENSSH PRIVATE KEY-----\"]",
            "access.ssh_keys[0]",
            "",
        ),
        warning(
            Duplicate,
            "\"CentOS-Stream-9-latest-x86_64-dvd1.iso\"",
            "\"x.iso\"\nrpms = [\"a\", \"a\"]",
            "base.rpms[1]",
            "rpms",
        ),
        warning(
            Duplicate,
            keys,
            &format!("ssh_keys = [\"{good}\", \"{good}\"]"),
            "access.ssh_keys[1]",
            "ssh_keys",
        ),
        error(BadPasswordHash, hash, "root_password_hash = \"hunter2\"", "access.root_password_hash", ""),
        error(BadPasswordHash, hash, &yescrypt, "access.root_password_hash", "")
            .and("\"centos-stream-9\"", "\"rocky-8\"")
            .and("\"1.37.2\"", "\"1.31.0\""),
        error(BadSerialConsole, "# [console]\n# serial", "[console]\nserial", "console.serial", "ttyS9")
            .and("ttyS0", "ttyS9"),
        error(BaseWithoutMedium, "iso = ", "# iso = ", "base", "[base]"),
    ]);
}

#[test]
fn values_together() {
    use Rule::*;
    verify(&[
        error(CidrOverlap, "10.244.0.0/16", "10.100.0.0/16", "cluster.service_cidr", "service_cidr"),
        error(CidrOverlap, "10.244.0.0/16", "192.168.0.0/16", "cluster.pod_cidr", "pod_cidr")
            .and("ntp = [\"192.168.31.1\"]", "ntp = []"),
        error(CidrOverlap, "# dns = [\"192.168.31.1\"]", "dns = [\"10.96.0.10\"]", "network.dns[0]", "dns"),
        error(OutsideSubnet, "vip = \"192.168.31.88\"", "vip = \"192.168.32.88\"", "cluster.vip", "vip"),
        error(OutsideSubnet, "192.168.31.72", "192.168.13.72", "node[3].address", "13.72"),
        error(
            OutsideSubnet,
            "gateway = \"192.168.31.1\"",
            "gateway = \"192.168.3.1\"",
            "network.gateway",
            "gateway",
        ),
        error(NotAHostAddress, "vip = \"192.168.31.88\"", "vip = \"192.168.31.255\"", "cluster.vip", "vip"),
        error(NotAHostAddress, "192.168.31.72", "192.168.31.0", "node[3].address", "31.0"),
        error(NotAHostAddress, "192.168.31.72", "127.0.0.1", "node[3].address", "127"),
        error(AddressTaken, "vip = \"192.168.31.88\"", "vip = \"192.168.31.71\"", "node[0].address", "31.71"),
        error(AddressTaken, "vip = \"192.168.31.88\"", "vip = \"192.168.31.1\"", "cluster.vip", "vip"),
        error(AddressTaken, "192.168.31.74", "192.168.31.71", "node[1].address", "31.71"),
        error(Duplicate, "k8s-node2", "k8s-node1", "node[4].name", "k8s-node1"),
        error(Duplicate, "pool-a", "k8s-node1", "worker_pool[0].name", "k8s-node1"),
        error(Duplicate, "52:54:00:00:31:72", "52-54-00-00-31-71", "node[3].mac", "31-71"),
        error(Duplicate, MAC, "serial = \"S1\"", "node[1].serial", "S1")
            .and("mac = \"52:54:00:00:31:74\"", "serial = \"S1\""),
        error(Duplicate, MAC, "uuid = \"4c4c4544-0034-3010-8048-b7c04f503233\"", "node[1].uuid", "uuid")
            .and("mac = \"52:54:00:00:31:74\"", "uuid = \"4C4C4544-0034-3010-8048-b7c04f503233\""),
        error(NodeWithoutIdentity, MAC, "", "node[0]", "[[node]]"),
        error(EtcdCount, "# etcd = true", "etcd = false", "node[2]", "[[node]]"),
        error(EtcdCount, "profile = \"lb\"", "profile = \"lb\"\netcd = true", "node[5].etcd", "etcd"),
    ]);
}

#[test]
fn roles() {
    let node = |index: usize, profile: &str| {
        format!(
            "[[node]]\nname = \"n{index}\"\nprofile = \"{profile}\"\naddress = \"192.168.31.{}\"\nserial = \"S{index}\"\n",
            index + 100
        )
    };
    let rules = |profiles: &[&str], pool: bool| -> Vec<&'static str> {
        let head = SAMPLE.split("[[node]]").next().unwrap();
        let nodes: String =
            profiles.iter().enumerate().map(|(index, profile)| node(index, profile)).collect();
        let pool = if pool { "[[worker_pool]]\nname = \"p\"\n" } else { "" };
        findings(&format!("{head}{nodes}{pool}")).iter().map(|found| found.rule).collect()
    };
    assert_eq!(rules(&["master"; 3], true), [""; 0]);
    assert_eq!(rules(&["master"], true), ["few-masters"]);
    assert_eq!(rules(&["master"; 2], true), ["few-masters", "etcd-count"]);
    assert_eq!(rules(&["master"; 4], true), ["etcd-count"]);
    assert_eq!(rules(&["master"; 9], true), ["etcd-count"]);
    assert_eq!(rules(&["worker"], false), ["no-masters"]);
    assert_eq!(rules(&[], true), ["no-masters"]);
    assert_eq!(rules(&["master", "master", "master", "lb"], true), ["one-lb"]);
    assert_eq!(rules(&["master"; 3], false), ["no-workers"]);
}

/// One master, and two workers beside it that run etcd as well: what small clusters start with.
#[test]
fn etcd_members_may_be_workers() {
    let text = SAMPLE.replace("profile = \"worker\"", "profile = \"worker\"\netcd = true");
    let (cluster, _) = kiln::cluster::parse(std::path::Path::new("cluster.toml"), &text).unwrap();
    let members: Vec<&str> = cluster.etcd_members().map(|node| node.name.as_str()).collect();
    assert_eq!(members, ["k8s-master1", "k8s-master2", "k8s-master3", "k8s-node1", "k8s-node2"]);
}

#[test]
fn combinations() {
    use Rule::*;
    let mode = "# proxy_mode = \"iptables\"";
    let ipvs = "proxy_mode = \"ipvs\"";
    let docker = ("# runtime = \"containerd\"", "runtime = \"docker\"");
    let release = "\"centos-stream-9\"";
    let on = |case: Case, version: &str, system: &str| {
        case.and("\"1.37.2\"", &format!("\"{version}\"")).and(release, &format!("\"{system}\""))
    };
    verify(&[
        on(
            error(ProxyMode, mode, "proxy_mode = \"nftables\"", "cluster.proxy_mode", "proxy_mode"),
            "1.31.0",
            "rocky-8",
        ),
        on(
            error(ProxyMode, mode, "proxy_mode = \"nftables\"", "cluster.proxy_mode", "proxy_mode"),
            "1.30.0",
            "rocky-9",
        ),
        on(error(ProxyMode, mode, ipvs, "cluster.proxy_mode", "proxy_mode"), "1.18.2", "centos-7"),
        on(
            warning(ProxyMode, mode, "proxy_mode = \"iptables\"", "cluster.proxy_mode", "proxy_mode"),
            "1.37.0",
            "rocky-10",
        ),
        on(warning(IpvsDeprecated, mode, ipvs, "cluster.proxy_mode", "proxy_mode"), "1.35.0", "rocky-9"),
        on(warning(DockerCgroup, docker.0, docker.1, "cluster.runtime", "docker"), "1.23.0", "rocky-9"),
        error(KubernetesTooNew, release, "\"centos-7\"", "cluster.kubernetes", "1.37.2"),
        warning(KubernetesTooNew, release, "\"centos-7\"", "cluster.kubernetes", "1.37.2")
            .and("# allow_unsupported = false", "allow_unsupported = true"),
        on(error(KubernetesTooOld, "prod", "old", "cluster.kubernetes", "1.18.20"), "1.18.20", "rocky-9"),
        on(warning(BeyondUpstream, "prod", "new", "cluster.kubernetes", "1.33.0"), "1.33.0", "centos-7"),
        on(
            warning(BeyondUpstream, "prod", "new", "cluster.kubernetes", "1.35.0"),
            "1.35.0",
            "centos-stream-8",
        ),
    ]);
}

#[test]
fn size_and_encoding() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cluster.toml");
    let rule = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        cluster::load(&path).unwrap_err().findings()[0].rule
    };
    assert_eq!(rule(&vec![b'#'; cluster::LARGEST_FILE + 1]), "too-large");
    assert_eq!(rule(b"[cluster]\nname = \"\xff\"\n"), "not-utf8");
    let missing = cluster::load(&dir.path().join("none.toml")).unwrap_err();
    assert!(missing.hint_text().unwrap().contains("kiln init"));
    assert_eq!(cluster::parse(&path, &"#".repeat(2 << 20)).unwrap_err().findings()[0].rule, "too-large");
}

#[test]
fn a_yescrypt_hash_is_taken_where_the_system_knows_it() {
    let hash = format!("root_password_hash = \"$y$j9T$salt${}\"", "a".repeat(43));
    assert_eq!(findings(&SAMPLE.replacen("# root_password_hash = \"$6$…\"", &hash, 1)), []);
}

/// Every rule is set off by a test of this file or of the one about attachments, so none can be dead.
#[test]
fn every_rule_is_tested_here() {
    let read = |name: &str| std::fs::read_to_string(common::root().join("tests").join(name)).unwrap();
    let source = ["cluster.rs", "cluster_attach.rs"].map(read).concat();
    for rule in Rule::ALL {
        let tested =
            source.contains(&format!("{rule:?},")) || source.contains(&format!("\"{}\"", rule.name()));
        assert!(tested, "no test sets off {}", rule.name());
    }
}

/// The documentation explains each rule under a heading of its own, and no other.
#[test]
fn every_rule_is_documented() {
    let doc = std::fs::read_to_string(common::root().join("docs/cluster-toml.md")).unwrap();
    let rules = doc.split("## Rules").nth(1).expect("docs/cluster-toml.md has a section `## Rules`");
    let mut documented: Vec<&str> =
        rules.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    let mut known: Vec<&str> = Rule::ALL.iter().map(|rule| rule.name()).collect();
    documented.sort_unstable();
    known.sort_unstable();
    assert_eq!(documented, known);
}

/// The documentation names each key of the schema.
#[test]
fn every_key_is_documented() {
    let doc = std::fs::read_to_string(common::root().join("docs/cluster-toml.md")).unwrap();
    fn keys(schema: &serde_json::Value, out: &mut Vec<String>) {
        for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
            out.push(name.clone());
            keys(inner, out);
            keys(&inner["items"], out);
        }
    }
    let mut names = Vec::new();
    keys(&cluster::schema(), &mut names);
    assert!(names.len() > 30, "{names:?}");
    for name in names {
        assert!(
            doc.contains(&format!("`{name}`")) || doc.contains(&format!("[{name}]")),
            "{name} is not documented"
        );
    }
}
