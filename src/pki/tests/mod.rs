//! Tests of the whole of `pki`, with openssl as the judge of what certificates allow.

mod fixture;
mod trees;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use time::Duration;

use self::fixture::{NOW, cluster, folder, made, node};
use super::*;
use crate::cluster::types::Role;

/// Every file below `dir` with mode and bytes.
fn snapshot(dir: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    let mut files = BTreeMap::new();
    let mut queue = vec![dir.to_owned()];
    while let Some(next) = queue.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode() & 0o7777;
            if entry.file_type().unwrap().is_dir() {
                assert_eq!(mode, 0o700, "{:?}", entry.path());
                queue.push(entry.path());
            } else {
                files.insert(entry.path(), (mode, std::fs::read(entry.path()).unwrap()));
            }
        }
    }
    files
}

fn openssl(args: &[&str]) -> (bool, String) {
    let output =
        Command::new("openssl").args(args).output().expect("openssl is missing: apt-get install openssl");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

/// `openssl verify` of a leaf under an authority for a purpose, at the time of the tests.
fn verifies(dir: &Path, authority: &str, leaf: &str, purpose: &str) -> (bool, String) {
    let ca = dir.join(format!("ca/{authority}/cert.pem"));
    let leaf = dir.join(leaf).join("cert.pem");
    let at = NOW.unix_timestamp().to_string();
    let (ca, leaf) = (ca.to_str().unwrap(), leaf.to_str().unwrap());
    openssl(&["verify", "-x509_strict", "-attime", &at, "-purpose", purpose, "-CAfile", ca, leaf])
}

#[test]
fn every_leaf_is_good_for_its_purpose_and_no_other() {
    let (_temp, dir, _) = made();
    let leaves = wanted(&cluster());
    // 3 masters with 12, 2 workers and a pool with 2, a load balancer with 1, and 2 of the operators.
    assert_eq!(leaves.len(), 45);
    for (id, spec) in &leaves {
        for authority in Authority::ALL {
            for (purpose, allowed) in [("sslserver", spec.usage.server()), ("sslclient", spec.usage.client())]
            {
                let (ok, text) = verifies(&dir, authority.folder(), id.as_str(), purpose);
                let want = allowed && authority == spec.authority;
                assert_eq!(ok, want, "{id} as {purpose} under {authority:?}: {text}");
            }
        }
    }
}

#[test]
fn certificates_say_exactly_what_the_table_says() {
    let (_temp, dir, _) = made();
    let show = |leaf: &str| {
        let path = dir.join(leaf).join("cert.pem");
        let (ok, text) = openssl(&["x509", "-noout", "-text", "-in", path.to_str().unwrap()]);
        assert!(ok, "{text}");
        text.lines().map(str::trim).collect::<Vec<_>>().join("\n")
    };
    let api = show("nodes/k8s-master2/apiserver");
    assert!(api.contains("Subject: CN = kube-apiserver\n") || api.contains("Subject: CN=kube-apiserver\n"));
    assert!(api.contains("X509v3 Extended Key Usage:\nTLS Web Server Authentication\n"), "{api}");
    assert!(api.contains("X509v3 Key Usage: critical\nDigital Signature\n"), "{api}");
    assert!(api.contains("X509v3 Basic Constraints: critical\nCA:FALSE"), "{api}");
    assert!(
        api.contains("Not Before: Nov 22 06:00:00 2026 GMT\nNot After : Nov 23 06:00:00 2027 GMT"),
        "{api}"
    );
    assert!(api.contains("NIST CURVE: P-256"), "{api}");
    let names = "DNS:k8s-master1, DNS:k8s-master2, DNS:k8s-master3, DNS:kubernetes, DNS:kubernetes.default, \
         DNS:kubernetes.default.svc, DNS:kubernetes.default.svc.cluster.local, DNS:localhost, \
         IP Address:10.96.0.1, IP Address:127.0.0.1, IP Address:192.168.31.71, IP Address:192.168.31.74, \
         IP Address:192.168.31.75, IP Address:192.168.31.88";
    assert!(api.contains(names), "{api}");
    let etcd = show("nodes/k8s-master1/etcd-peer");
    assert!(etcd.contains("TLS Web Server Authentication, TLS Web Client Authentication\n"), "{etcd}");
    assert!(
        etcd.contains("DNS:k8s-master1, DNS:localhost, IP Address:127.0.0.1, IP Address:192.168.31.71\n")
    );
    let admin = show("operators/admin");
    assert!(
        admin.replace(' ', "").contains("Subject:O=kubeadm:cluster-admins,CN=kubernetes-admin\n"),
        "{admin}"
    );
    assert!(admin.contains("X509v3 Extended Key Usage:\nTLS Web Client Authentication\n"), "{admin}");
    assert!(!admin.contains("Subject Alternative Name"), "{admin}");
    let ca = show("ca/etcd");
    assert!(ca.contains("X509v3 Basic Constraints: critical\nCA:TRUE, pathlen:0"), "{ca}");
    assert!(ca.contains("X509v3 Key Usage: critical\nCertificate Sign\n"), "{ca}");
    assert!(ca.contains("Not After : Nov 20 06:00:00 2036 GMT"), "{ca}");
}

#[test]
fn the_service_account_pair_is_one_pair() {
    let (_temp, dir, _) = made();
    let key = dir.join("service-account/sa.key");
    let (ok, public) = openssl(&["pkey", "-pubout", "-in", key.to_str().unwrap()]);
    assert!(ok, "{public}");
    assert_eq!(public, std::fs::read_to_string(dir.join("service-account/sa.pub")).unwrap());
}

#[test]
fn a_second_opening_changes_nothing() {
    let (_temp, dir, pki) = made();
    assert_eq!(pki.changes().len(), 1, "{:?}", pki.changes());
    assert!(pki.changes()[0].contains("4 authorities and 45 certificates"), "{:?}", pki.changes());
    let before = snapshot(&dir);
    let later = NOW + Duration::days(300);
    let again = Pki::open_or_create(&dir, &cluster(), later).unwrap();
    assert_eq!(again.changes(), [] as [String; 0]);
    assert_eq!(snapshot(&dir), before);
    for (path, (mode, _)) in &before {
        let secret = ["key.pem", "sa.key", TOKEN, ENCRYPTION].iter().any(|name| path.ends_with(name));
        assert_eq!(*mode, if secret { 0o600 } else { 0o644 }, "{path:?}");
    }
    let tree = |pki: &Pki| pki.node_tree(&cluster(), &node("k8s-master1", Role::Master, 71)).unwrap();
    assert_eq!(tree(&pki), tree(&Pki::open(&dir).unwrap()));
}

#[test]
fn a_changed_cluster_file_renews_only_what_it_touches() {
    let (_temp, dir, _) = made();
    let before = snapshot(&dir);
    let mut changed = cluster();
    changed.nodes.get_mut(&"k8s-master2".parse().unwrap()).unwrap().address = [192, 168, 31, 99].into();
    let new = node("k8s-node3", Role::Worker, 76);
    changed.nodes.insert(new.name.clone(), new);
    let pki = Pki::open_or_create(&dir, &changed, NOW).unwrap();
    let touched: BTreeSet<&str> = pki.changes().iter().filter_map(|line| line.rsplit(' ').next()).collect();
    let want = [
        "nodes/k8s-master1/apiserver",
        "nodes/k8s-master2/apiserver",
        "nodes/k8s-master3/apiserver",
        "nodes/k8s-master2/etcd-peer",
        "nodes/k8s-master2/etcd-server",
        "nodes/k8s-master2/agent",
        "nodes/k8s-node3/agent",
        "nodes/k8s-node3/kube-proxy",
    ];
    assert_eq!(touched, BTreeSet::from(want), "{:?}", pki.changes());
    let after = snapshot(&dir);
    for (path, content) in &before {
        let folder = path.strip_prefix(&dir).unwrap().parent().unwrap().to_str().unwrap();
        let kept = if touched.contains(folder) {
            dir.join(format!("{folder}.old")).join(path.file_name().unwrap())
        } else {
            path.clone()
        };
        assert_eq!(after.get(&kept), Some(content), "{path:?}");
    }
}

#[test]
fn what_is_about_to_expire_is_renewed_but_authorities_never() {
    let (_temp, dir, first) = made();
    let later = NOW + Duration::days(340);
    let pki = Pki::open_or_create(&dir, &cluster(), later).unwrap();
    assert_eq!(pki.changes().len(), 46, "45 leaves and the token: {:?}", pki.changes());
    for which in Authority::ALL {
        assert_eq!(pki.authority(which), first.authority(which));
    }
    assert_ne!(pki.token().expose(), first.token().expose());
    // Near the end of the authority a leaf ends with it, and is not issued again and again.
    let near = NOW + Duration::days(3640);
    Pki::open_or_create(&dir, &cluster(), near).unwrap();
    let again = Pki::open_or_create(&dir, &cluster(), near).unwrap();
    assert_eq!(again.changes(), [] as [String; 0]);
    let error = Pki::open_or_create(&dir, &cluster(), NOW + Duration::days(3651)).unwrap_err();
    assert!(error.to_string().contains("expired"), "{error}");
}

#[test]
fn damage_is_named_and_nothing_is_replaced() {
    let (_temp, dir, _) = made();
    let (_other_temp, other, _) = made();
    let file = |name: &str| dir.join(name);
    let fails = |what: &str, word: &str| {
        let error = Pki::open_or_create(&dir, &cluster(), NOW).unwrap_err();
        let all = format!("{error} {}", error.hint_text().unwrap_or_default());
        assert!(all.contains(word) && error.class().exit_code() == 2, "{what}: {all}");
        assert!(!all.contains("PRIVATE"), "{all}");
    };
    let with = |name: &str, bytes: Option<&[u8]>, word: &str| {
        let good = std::fs::read(file(name)).unwrap();
        match bytes {
            Some(bytes) => std::fs::write(file(name), bytes).unwrap(),
            None => std::fs::remove_file(file(name)).unwrap(),
        }
        fails(name, word);
        assert_eq!(std::fs::read(file(name)).ok().as_deref(), bytes, "{name}");
        std::fs::write(file(name), good).unwrap();
        std::fs::set_permissions(file(name), std::fs::Permissions::from_mode(0o600)).unwrap();
    };
    let foreign = std::fs::read(other.join("ca/kubernetes/cert.pem")).unwrap();
    with("ca/kubernetes/cert.pem", Some(&foreign), "ca/kubernetes/key.pem is not that of");
    with("ca/kubernetes/key.pem", None, "ca/kubernetes/key.pem is missing");
    with("service-account/sa.key", None, "service-account/sa.key is missing");
    with("service-account/sa.pub", Some(b"x"), "service-account/sa.pub");
    with("nodes/k8s-node1/kube-proxy/key.pem", None, "nodes/k8s-node1/kube-proxy/key.pem is missing");
    with("operators/admin/cert.pem", Some(b"nonsense"), "operators/admin/cert.pem");
    with("bootstrap-token.toml", Some(b"token = 'x'"), "bootstrap-token.toml");
    with(ENCRYPTION, Some(b"c2hvcnQ="), "encryption/secrets.key does not hold 32 bytes");
    with("pki.toml", None, "pki.toml is missing");
    with("pki.toml", Some(b"schema = 4\ncluster = 'prod'"), "schema 4");

    // A leaf of another cluster with its own key: a pair, but not ours.
    let leaf = "nodes/k8s-node2/kube-proxy";
    for name in ["cert.pem", "key.pem"] {
        std::fs::copy(other.join(leaf).join(name), dir.join(leaf).join(name)).unwrap();
    }
    fails("a foreign leaf", "nodes/k8s-node2/kube-proxy/cert.pem is not signed by any authority");
    std::fs::remove_dir_all(dir.join(leaf)).unwrap();

    for (name, word) in [("ca/etcd/key.pem", "chmod 0600"), ("", "chmod 0700")] {
        let path = if name.is_empty() { dir.clone() } else { file(name) };
        let good = std::fs::metadata(&path).unwrap().permissions();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(good.mode() | 0o040)).unwrap();
        fails(name, word);
        std::fs::set_permissions(&path, good).unwrap();
    }
    let mut renamed = cluster();
    renamed.name = "test".parse().unwrap();
    let error = Pki::open_or_create(&dir, &renamed, NOW).unwrap_err();
    assert!(error.to_string().contains("belongs to cluster `prod`"), "{error}");
    let error = Pki::open_or_create(&dir, &cluster(), NOW - Duration::days(2)).unwrap_err();
    assert!(error.hint_text().unwrap().contains("clock"), "{error}");
    std::fs::remove_file(dir.join(TOKEN)).unwrap();
    assert!(Pki::open(&dir).unwrap_err().to_string().contains("bootstrap-token.toml is missing"));
    // Repaired, it opens, and only the leaf that was moved away is new.
    let pki = Pki::open_or_create(&dir, &cluster(), NOW).unwrap();
    let token = format!("made the bootstrap token {}", pki.token().id());
    assert_eq!(pki.changes(), ["issued the certificate nodes/k8s-node2/kube-proxy", token.as_str()]);
}

#[test]
fn what_a_kill_leaves_is_never_taken_for_whole() {
    let (temp, dir) = folder();
    // A kill while the authorities were written: the folder beside, with some of the files.
    std::fs::create_dir_all(temp.path().join(".pki.new/ca/etcd")).unwrap();
    std::fs::write(temp.path().join(".pki.new/ca/etcd/key.pem"), "half").unwrap();
    Pki::open_or_create(&dir, &cluster(), NOW).unwrap();
    assert!(!temp.path().join(".pki.new").exists());
    // A kill while a leaf was replaced: the new one unfinished, the former one moved already.
    let leaf = dir.join("nodes/k8s-master1/apiserver");
    std::fs::rename(&leaf, leaf.with_extension("old")).unwrap();
    std::fs::create_dir(dir.join(".new")).unwrap();
    std::fs::write(dir.join(".new/cert.pem"), "half").unwrap();
    let pki = Pki::open_or_create(&dir, &cluster(), NOW).unwrap();
    assert_eq!(pki.changes(), ["issued the certificate nodes/k8s-master1/apiserver"]);
    assert!(!dir.join(".new").exists());
}

#[test]
fn two_at_once_make_one_pki() {
    let (_temp, dir) = folder();
    let makers: Vec<_> = (0..4)
        .map(|_| {
            let dir = dir.clone();
            std::thread::spawn(move || Pki::open_or_create(&dir, &cluster(), NOW).unwrap())
        })
        .collect();
    let pkis: Vec<Pki> = makers.into_iter().map(|maker| maker.join().unwrap()).collect();
    assert_eq!(pkis.iter().filter(|pki| !pki.changes().is_empty()).count(), 1);
    for pki in &pkis {
        assert_eq!(pki.authority(Authority::Etcd), pkis[0].authority(Authority::Etcd));
        assert_eq!(pki.token(), pkis[0].token());
    }
}

#[test]
fn the_description_says_until_when_media_are_good_and_shows_no_key() {
    let (_temp, _dir, pki) = made();
    let description = pki.describe(&cluster(), NOW);
    assert_eq!(description.media_good_until, "2027-11-23T06:00:00Z");
    assert_eq!(description.days_left, 364);
    assert_eq!(description.rows.len(), 4 + 45 + 1);
    assert!(description.missing.is_empty());
    let json = serde_json::to_string(&description).unwrap();
    assert!(!json.contains("PRIVATE") && !json.contains(pki.token().expose()), "{json}");
    assert!(!format!("{pki:?}").contains("PRIVATE"), "Debug shows a key");
    let mut grown = cluster();
    let new = node("k8s-node3", Role::Worker, 76);
    grown.nodes.insert(new.name.clone(), new);
    assert_eq!(pki.describe(&grown, NOW).missing, ["nodes/k8s-node3/agent", "nodes/k8s-node3/kube-proxy"]);
}

#[test]
fn a_folder_of_the_first_layout_gets_what_is_new_and_keeps_the_rest() {
    let (_temp, dir, pki) = made();
    let old = "schema = 1\ncluster = \"prod\"\n";
    let is_new = |path: &Path| path.ends_with("pki.toml") || path.to_string_lossy().contains("kiln");
    // Killed before, between and after the two steps of the change.
    for (ca, meta) in [(false, false), (true, false), (true, true)] {
        let before = snapshot(&dir);
        if !meta {
            std::fs::write(dir.join(META), old).unwrap();
            assert!(Pki::open(&dir).unwrap_err().hint_text().unwrap().contains("kiln pki init"));
        }
        if !ca {
            std::fs::remove_dir_all(dir.join("ca/kiln")).unwrap();
            std::fs::remove_dir_all(dir.join("nodes/k8s-lb1/agent")).unwrap();
        }
        let mut other = cluster();
        other.name = "other".parse().unwrap();
        assert!(Pki::open_or_create(&dir, &other, NOW).is_err());
        if !meta {
            assert_eq!(std::fs::read_to_string(dir.join(META)).unwrap(), old);
        }
        let again = Pki::open_or_create(&dir, &cluster(), NOW);
        if !ca {
            // Leaves of an authority that was lost are nobody's.
            assert!(again.is_err());
            for leaf in
                ["nodes", "pools"].iter().flat_map(|group| std::fs::read_dir(dir.join(group)).unwrap())
            {
                let _ = std::fs::remove_dir_all(leaf.unwrap().path().join("agent"));
            }
        }
        let again = Pki::open_or_create(&dir, &cluster(), NOW).unwrap();
        assert_eq!(again.authority(Authority::Etcd), pki.authority(Authority::Etcd));
        let kept = |files: BTreeMap<PathBuf, (u32, Vec<u8>)>| -> BTreeMap<_, _> {
            files
                .into_iter()
                .filter(|(path, _)| !is_new(path) && !path.to_string_lossy().contains("agent"))
                .collect()
        };
        assert_eq!(kept(snapshot(&dir)), kept(before));
        assert_eq!(std::fs::read_to_string(dir.join(META)).unwrap(), "schema = 3\ncluster = \"prod\"\n");
        assert!(again.leaf(&LeafId::from_folder("nodes/k8s-lb1/agent".into())).is_some());
    }
}

#[test]
fn the_key_of_secrets_is_added_once_and_never_made_again() {
    let (_temp, dir, _) = made();
    let key = || std::fs::read_to_string(dir.join(ENCRYPTION)).unwrap();
    let first = key();
    std::fs::remove_dir_all(dir.join("encryption")).unwrap();
    let error = Pki::open_or_create(&dir, &cluster(), NOW).unwrap_err();
    assert!(error.to_string().contains("encryption/secrets.key is missing"), "{error}");
    // A folder of a kiln that had no such key gets one, and keeps it.
    std::fs::write(dir.join(META), "schema = 2\ncluster = \"prod\"\n").unwrap();
    Pki::open_or_create(&dir, &cluster(), NOW).unwrap();
    let second = key();
    assert_ne!(first, second);
    Pki::open_or_create(&dir, &cluster(), NOW).unwrap();
    assert_eq!(key(), second);
}
