use super::*;
use crate::testing::{cluster, halves, static_program, tree_of, trees};
use crate::tree::NodePath;

fn with(tree: &mut Tree, path: &str, entry: Entry) {
    tree.insert(NodePath::new(path).unwrap(), entry).unwrap();
}

fn paths(tree: &Tree) -> Vec<&str> {
    tree.iter().map(|(path, _)| path.as_str()).collect()
}

#[test]
fn trees_are_taken_apart_by_what_entries_are() {
    let text = || Blob::bytes(*b"text");
    let mut common = Tree::default();
    with(&mut common, "/etc/a", Entry::file(0o644, text(), "overlay a"));
    with(&mut common, "/etc/b", Entry::file(0o600, text(), "overlay a"));
    with(&mut common, "/etc/c", Entry::file(0o640, text(), "overlay a"));
    with(&mut common, "/etc/d", Entry::file(0o644, text(), pki::ORIGIN));
    with(&mut common, "/etc/e", Entry::file(0o644, text(), "overlay a").secret());
    with(&mut common, "/etc/f", Entry::dir(0o700, "overlay a"));
    with(&mut common, "/etc/g", Entry::symlink("/etc/b", "overlay a"));
    let (open, closed) = split(Trees { common, ..Trees::default() }, &[]).unwrap();
    assert_eq!(paths(&open.common), ["/etc/a", "/etc/f", "/etc/g"]);
    assert_eq!(paths(&closed.common), ["/etc/b", "/etc/c", "/etc/d", "/etc/e"]);
}

#[test]
fn a_secret_that_all_may_read_is_refused() {
    let key = "-----BEGIN EC PRIVATE KEY-----\nMHc=\n-----END EC PRIVATE KEY-----\n";
    for (text, what) in [(key, "a private key"), ("root:$6$salt$hash:\n", "a password's hash")] {
        let common = tree_of("/etc/own", text);
        let error = split(Trees { common, ..Trees::default() }, &["$6$salt$hash"]).unwrap_err();
        assert!(
            error.to_string().contains(&format!("/etc/own (from test /etc/own) holds {what}")),
            "{error}"
        );
        assert!(error.hint_text().unwrap().contains("0600"), "{error}");
    }
}

#[test]
fn trees_that_do_not_fit_are_refused_before_they_are_apart() {
    let mut whole = trees(&cluster(), Role::Lb, "x");
    let first = whole.nodes.values_mut().next().unwrap();
    with(first, "/etc/kiln-test/below", Entry::file(0o600, Blob::bytes(*b"x"), "test"));
    let error = split(whole, &[]).unwrap_err().to_string();
    assert!(error.contains("payload of k8s-lb1") && error.contains("which is no folder"), "{error}");
}

#[test]
fn keys_that_are_renewed_change_the_seed_alone() {
    let (mut cluster, kiln) = (cluster(), static_program());
    let (first, seed) = halves(&cluster, Role::Worker, "authority", "first", &kiln);
    cluster.access.root_password_hash = Some(format!("$6$salt${}", "a".repeat(86)).parse().unwrap());
    let (second, other) = halves(&cluster, Role::Worker, "authority", "other", &kiln);
    assert_eq!(first.build_id, second.build_id);
    let list = |files: &[MediumFile]| -> Vec<String> { files.iter().map(|file| file.path.clone()).collect() };
    assert_eq!(list(&first.files), list(&second.files));
    assert_eq!(
        list(&seed),
        [
            "/kiln/secrets/common.tar",
            "/kiln/secrets/nodes/k8s-worker1.tar",
            "/kiln/secrets/nodes/k8s-worker2.tar",
            "/kiln/secrets/pools/pool-a.tar",
            "/kiln/seed.json"
        ]
    );
    assert!(list(&other).contains(&ROOT_PASSWORD.to_owned()));
    assert!(seed.iter().chain(&other).all(|file| file.mode == 0o600));
    let modes: Vec<u16> = first.files.iter().map(|file| file.mode).collect();
    assert!(modes.iter().all(|mode| mode & 0o044 == 0o044), "{modes:?}");
    assert_ne!(crate::testing::volume(seed), crate::testing::volume(other));
    // Another cluster of the same name is another build: its seed must not fit.
    let (third, _) = halves(&cluster, Role::Worker, "another", "other", &kiln);
    assert_ne!(first.build_id, third.build_id);
}

#[test]
fn secrets_that_were_left_are_found() {
    let (open, closed) = split(trees(&cluster(), Role::Lb, "x"), &[]).unwrap();
    check_open(open.nodes.values().chain([&open.common])).unwrap();
    assert!(check_open(closed.nodes.values()).is_err());
}

fn manifest() -> SeedManifest {
    let (_, seed) = halves(&cluster(), Role::Master, "authority", "x", &static_program());
    let media = tempfile::tempdir().unwrap();
    crate::image::dir::write(seed, media.path()).unwrap();
    let json = std::fs::read(media.path().join("kiln/seed.json")).unwrap();
    SeedManifest::from_json(&json, "it").unwrap()
}

#[test]
fn the_manifest_is_read_as_it_was_written_and_odd_ones_are_refused() {
    let good = manifest();
    let text = String::from_utf8(good.to_json().unwrap()).unwrap();
    assert_eq!(SeedManifest::from_json(text.as_bytes(), "it").unwrap(), good);
    assert!(!text.contains("authority:"));
    let size = format!("\"size\": {}", good.files[COMMON].size);
    for (from, to, why) in [
        ("/kiln/secrets/common.tar", "/kiln/secrets/../../etc/shadow", "no file of a seed is called"),
        ("/kiln/secrets/common.tar", "/ks.cfg", "no file of a seed is called"),
        (
            "/kiln/secrets/nodes/k8s-master1.tar",
            "/kiln/secrets/nodes/../x.tar",
            "no file of a seed is called",
        ),
        ("/kiln/secrets/nodes/k8s-master1.tar", "/kiln/secrets/nodes/a/b.tar", "no file of a seed is called"),
        (&size, "\"size\": 18446744073709551615", "and 67108864 are the most"),
        ("\"format\": 1", "\"format\": 2, \"more\": 1", "has format 2"),
        ("\"format\": 1", "\"format\": 1, \"more\": 1", "unknown field"),
        ("\"prod\"", "\"$(reboot)\"", "no manifest of a seed"),
    ] {
        assert!(text.contains(from), "{from}");
        let error = SeedManifest::from_json(text.replacen(from, to, 1).as_bytes(), "it").unwrap_err();
        assert!(error.to_string().contains(why), "{to}: {error}");
    }
}

#[test]
fn a_seed_has_an_end() {
    let file = ManifestFile { size: MAX_FILE, sha256: Sha256([0; 32]) };
    let files = |count: usize| (0..count).map(|n| (format!("/kiln/secrets/nodes/n{n}.tar"), file)).collect();
    check_files(&files(16)).unwrap();
    assert!(check_files(&files(17)).unwrap_err().contains("its files would have"));
}
