use super::*;
use crate::testing::{cluster, node_trees, payload, static_program, stub_elf, tree_of};

fn paths(payload: &Payload) -> Vec<&str> {
    payload.files.iter().map(|file| file.path.as_str()).collect()
}

#[test]
fn files_come_in_order_and_secrets_are_closed() {
    let payload = payload(&cluster(), Role::Master, &static_program()).unwrap();
    assert_eq!(
        paths(&payload),
        [
            "/ks.cfg",
            "/kiln/kiln",
            "/kiln/common.tar",
            "/kiln/nodes/k8s-master1.tar",
            "/kiln/nodes/k8s-master2.tar",
            "/kiln/nodes/k8s-master3.tar",
            "/kiln/manifest.json"
        ]
    );
    for file in &payload.files {
        let want = match file.path.as_str() {
            "/kiln/kiln" => 0o755,
            path if path.contains("/nodes/") => 0o600,
            _ => 0o644,
        };
        assert_eq!(file.mode, want, "{}", file.path);
    }
    let id = payload.build_id.to_string();
    assert_eq!(payload.label.as_str(), format!("KILN-PROD-MASTER-{}", id[..4].to_uppercase()));
}

#[test]
fn the_build_id_follows_every_input() {
    let dir = tempfile::tempdir().unwrap();
    let kiln = dir.path().join("kiln");
    std::fs::write(&kiln, stub_elf()).unwrap();
    let id = |cluster: &Cluster, role, kiln: &Path| payload(cluster, role, kiln).unwrap().build_id;
    let first = id(&cluster(), Role::Master, &kiln);
    assert_eq!(first, id(&cluster(), Role::Master, &kiln));
    assert_ne!(first, id(&cluster(), Role::Worker, &kiln));
    let mut other = cluster();
    other.network.gateway = None;
    assert_ne!(first, id(&other, Role::Master, &kiln));
    let longer = dir.path().join("longer");
    std::fs::write(&longer, [stub_elf(), vec![0]].concat()).unwrap();
    assert_ne!(first, id(&cluster(), Role::Master, &longer));
}

#[test]
fn one_path_has_one_source() {
    let (cluster, kiln) = (cluster(), static_program());
    let nodes = node_trees(&cluster, Role::Lb);
    let common = tree_of("/etc/a", "a");
    let extra = |path: &str| Extra {
        origin: "image pause".into(),
        path: path.into(),
        mode: 0o644,
        content: Blob::bytes(*b"x"),
    };
    let build = |common: &Tree, nodes: &BTreeMap<HostName, Tree>, extra| {
        let boot = &|label: &VolumeLabel| Ok(vec![(KICKSTART, label.to_string())]);
        let role = Role::Lb;
        let (base, pools) = (Sha256::of(b"base"), &BTreeMap::new());
        let cluster = &cluster;
        let (authority, kernel_args) = (base, &[]);
        assemble(PayloadInput {
            cluster,
            role,
            authority,
            spread: Default::default(),
            reinstall: None,
            kernel_args,
            base,
            kiln: &kiln,
            boot,
            common,
            nodes,
            pools,
            extra,
        })
    };
    build(&common, &nodes, vec![extra("/kiln/images/pause.tar")]).unwrap();
    for (path, other) in [(COMMON, "the role's archive"), (MANIFEST, "the manifest")] {
        let error = build(&common, &nodes, vec![extra(path)]).unwrap_err().to_string();
        assert!([path, "image pause", other].iter().all(|part| error.contains(part)), "{error}");
    }
    assert!(build(&common, &nodes, vec![extra("/kiln/../x")]).is_err());
    let common = tree_of("/opt/kubernetes/ssl/node.pem", "not the node's");
    let error = build(&common, &nodes, vec![]).unwrap_err().to_string();
    assert!(error.contains("payload of k8s-lb1: two sources want the path"), "{error}");
    let missing = nodes.into_iter().skip(1).collect();
    assert!(build(&tree_of("/etc/a", "a"), &missing, vec![]).is_err());
}

#[test]
fn the_manifest_holds_digests_of_what_was_written() {
    let cluster = cluster();
    let media = crate::testing::medium(&cluster, Role::Worker);
    let manifest = Manifest::load(media.path()).unwrap();
    assert_eq!(manifest.files.len(), 7);
    for (path, file) in &manifest.files {
        let content = std::fs::read(media.path().join(&path[1..])).unwrap();
        assert_eq!((file.size, file.sha256), (content.len() as u64, Sha256::of(&content)), "{path}");
    }
    assert_eq!(manifest.pools.len(), 1);
    assert_eq!(manifest.own_nodes().count(), 2);
    assert_eq!(Manifest::from_json(&manifest.to_json().unwrap(), "it").unwrap(), manifest);
}

#[test]
fn other_formats_and_odd_manifests_are_refused() {
    let media = crate::testing::medium(&cluster(), Role::Master);
    let manifest = Manifest::load(media.path()).unwrap();
    let text = String::from_utf8(manifest.to_json().unwrap()).unwrap();
    let read = |text: String| Manifest::from_json(text.as_bytes(), "it").unwrap_err();
    let newer = read(text.replace("\"format\": 2", "\"format\": 3, \"more\": true"));
    assert!(newer.to_string().contains("has format 3; this kiln reads format 2"), "{newer}");
    for (from, to) in [
        ("k8s-master1", "k8s master1"),
        ("/ks.cfg", "/../ks.cfg"),
        ("52:54:00:00:31:71", "$(reboot)"),
        ("\"format\"", "\"extra\": 1, \"format\""),
    ] {
        assert!(text.contains(from), "{from}");
        read(text.replace(from, to));
    }
}
