//! What lies on which node: walks every tree and looks for keys that do not belong there.

use std::collections::BTreeMap;

use super::fixture::{cluster, made};
use crate::cluster::types::Role;
use crate::pki::{JOIN_TOKENS, JoinTokens, Joiner, Pki};
use crate::tree::{Entry, Kind, Tree};

fn all_trees(pki: &Pki) -> Vec<(Role, String, Tree)> {
    let cluster = cluster();
    let whole = |role, rest: Tree| {
        let mut tree = pki.role_tree(role).unwrap();
        tree.merge(rest).unwrap();
        tree
    };
    let mut trees: Vec<_> = cluster
        .nodes
        .values()
        .map(|node| {
            (node.role, node.name.to_string(), whole(node.role, pki.node_tree(&cluster, node).unwrap()))
        })
        .collect();
    for pool in cluster.worker_pools.values() {
        trees.push((
            Role::Worker,
            pool.name.to_string(),
            whole(Role::Worker, pki.pool_tree(&cluster, pool).unwrap()),
        ));
    }
    trees
}

fn text(entry: &Entry) -> String {
    let Kind::File(blob) = &entry.kind else { panic!("a file") };
    String::from_utf8(blob.to_vec(1 << 20).unwrap()).unwrap()
}

/// All of a file, and what the base64 values of a kubeconfig hold.
fn unfolded(entry: &Entry) -> String {
    use base64::Engine as _;
    let mut all = text(entry);
    let values: Vec<Vec<u8>> = all
        .split('"')
        .filter_map(|word| base64::engine::general_purpose::STANDARD.decode(word).ok())
        .collect();
    values.iter().for_each(|value| all += &String::from_utf8_lossy(value));
    all
}

#[test]
fn each_node_gets_its_own_keys_and_no_others() {
    let (_temp, dir, pki) = made();
    let key_of = |path: &str| std::fs::read_to_string(dir.join(path).join("key.pem")).unwrap();
    let on_no_node = ["ca/etcd", "ca/front-proxy", "ca/kiln", "operators/super-admin"].map(key_of);
    let encryption = pki.encryption.expose().to_owned();
    let masters_only = [
        key_of("ca/kubernetes"),
        pki.service_account.0.expose().to_owned(),
        key_of("operators/admin"),
        encryption.clone(),
    ];
    let tokens = JoinTokens::of(&pki, &cluster()).unwrap();
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    for (role, name, tree) in all_trees(&pki) {
        for (path, entry) in tree.iter() {
            let content = unfolded(entry);
            let at = format!("{name}:{path}");
            let held: Vec<&Joiner> = tokens
                .iter()
                .filter(|(_, token)| content.contains(token.secret()))
                .map(|(joiner, _)| joiner)
                .collect();
            match path.as_str() {
                JOIN_TOKENS => assert_eq!((role, held.len()), (Role::Master, 6), "{at}"),
                "/opt/kubernetes/cfg/bootstrap.kubeconfig" => {
                    assert!(
                        matches!(held[..], [Joiner::Node(own) | Joiner::Pool(own)] if own.as_str() == name)
                    );
                }
                _ => assert!(held.is_empty(), "{at}"),
            }
            assert!(!content.contains(pki.token().secret()), "{at}: the token that others are derived from");
            let secret = content.contains("PRIVATE KEY") || content.contains(&encryption) || !held.is_empty();
            assert_eq!(
                (entry.secret, entry.mode),
                if secret { (true, 0o600) } else { (false, 0o644) },
                "{at}"
            );
            assert!(!on_no_node.iter().any(|key| content.contains(key.as_str())), "{at}");
            assert!(
                role == Role::Master || !masters_only.iter().any(|key| content.contains(key.as_str())),
                "{at}"
            );
            if content.contains("PRIVATE KEY")
                && !masters_only.iter().any(|key| content.contains(key.as_str()))
            {
                assert_eq!(seen.insert(content, at.clone()), None, "{at}: a key on two machines");
            }
        }
        let paths: Vec<&str> = tree.iter().map(|(path, _)| path.as_str()).collect();
        match role {
            Role::Master => assert_eq!(paths.len(), 5 + 5 + 10 + 2 + 6 + 4, "{paths:#?}"),
            Role::Worker => assert_eq!(
                paths,
                [
                    "/opt/kiln/ssl/agent-key.pem",
                    "/opt/kiln/ssl/agent.pem",
                    "/opt/kiln/ssl/ca.pem",
                    "/opt/kubernetes/cfg/bootstrap.kubeconfig",
                    "/opt/kubernetes/cfg/kube-proxy.kubeconfig",
                    "/opt/kubernetes/ssl/ca.pem"
                ]
            ),
            Role::Lb => assert_eq!(
                paths,
                [
                    "/opt/kiln/ssl/agent-key.pem",
                    "/opt/kiln/ssl/agent.pem",
                    "/opt/kiln/ssl/ca.pem",
                    "/opt/kubernetes/ssl/ca.pem"
                ]
            ),
        }
    }
}

#[test]
fn kubeconfigs_point_to_the_right_server() {
    let (_temp, _dir, pki) = made();
    for (_, name, tree) in all_trees(&pki) {
        for (path, entry) in tree.iter().filter(|(path, _)| path.as_str().ends_with(".kubeconfig")) {
            let local = ["controller-manager", "scheduler", "admin", "kiln-approver"]
                .iter()
                .any(|word| path.as_str().contains(word));
            let want = if local { "https://127.0.0.1:6443" } else { "https://192.168.31.88:6443" };
            assert!(text(entry).contains(&format!("server: \"{want}\"")), "{name}:{path}");
        }
    }
}
