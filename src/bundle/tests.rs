//! Tests of bundles, on files of a few bytes.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::*;
use crate::blob::Blob;
use crate::cluster::model::Cluster;
use crate::format::oci::manifest::MAX_DOCUMENT;
use crate::format::tar;
use crate::progress::Silent;
use crate::tree::{Entry, NodePath, Tree};

/// A cache with all that a lock pins: a component's file, a manifest, its configuration and layer.
fn site(dir: &Path) -> (Cluster, Lock, Cache) {
    let cache = Cache::at_dir(dir.join("cache"));
    let put = |bytes: &[u8]| (cache.put(bytes).unwrap(), bytes.len());
    let (etcd, etcd_size) = put(&b"etcd ".repeat(500_000));
    let (layer, layer_size) = put(&noise(3 << 20));
    let (config, config_size) = put(br#"{"os": "linux"}"#);
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "config": {"mediaType": "c", "digest": format!("sha256:{config}"), "size": config_size},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": format!("sha256:{layer}"), "size": layer_size}],
    });
    let (manifest, size) = put(manifest.to_string().as_bytes());
    let text = format!(
        "schema = 2\n[component.etcd]\nversion = '3.6.1'\nfiles.etcd = {{ size = {etcd_size}, sha256 = '{etcd}', url = 'https://e.org/e' }}\n\
         [pulled]\nsize = 1\nsha256 = '{etcd}'\nimages.'a/b:1' = {{ manifest = '{manifest}', size = {size}, tag = '{manifest}' }}\n"
    );
    (crate::testing::cluster(), Lock::parse(Path::new("kiln.lock"), &text).unwrap(), cache)
}

/// Bytes that do not compress.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 7_u64;
    let next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

/// A program that starts anywhere, as far as its head says.
fn program(dir: &Path) -> PathBuf {
    let path = dir.join("program");
    std::fs::write(&path, crate::testing::stub_elf()).unwrap();
    path
}

fn make(dir: &Path, name: &str, split: Option<u64>) -> Created {
    let (cluster, lock, cache) = site(dir);
    create(&cluster, &lock, &cache, &program(dir), &dir.join(name), split, &Silent).unwrap()
}

fn take(dir: &Path, files: &[PathBuf]) -> Result<Added> {
    add(files, &Cache::at_dir(dir.join("other")), &Silent)
}

#[test]
fn what_goes_in_comes_out() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let made = make(dir, "a.kilnbundle", None);
    assert!(made.size < made.content * 3 / 4 && made.files == [dir.join("a.kilnbundle")], "{made:?}");
    let added = take(dir, &made.files).unwrap();
    let (_, lock, cache) = site(dir);
    assert_eq!((added.lock, added.new, added.there), (lock.clone(), 4, 0));
    let other = Cache::at_dir(dir.join("other"));
    let all = store_of(&lock, &other).unwrap().into_iter().chain(manifests_of(&lock));
    for (digest, size) in all {
        assert!(other.holds(digest, size).unwrap() && cache.holds(digest, size).unwrap());
    }
    assert!(other.size(added.program).is_some());
    assert_eq!(take(dir, &made.files).unwrap().there, 4);
    // The same inputs are the same bytes.
    let again = make(dir, "b.kilnbundle", None);
    assert!(std::fs::read(&made.files[0]).unwrap() == std::fs::read(&again.files[0]).unwrap());
}

#[test]
fn parts_are_found_and_kept() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let made = make(dir, "a.kilnbundle", Some(1 << 20));
    assert!(made.files.len() >= 4 && made.files[0].ends_with("a.kilnbundle.001"), "{made:?}");
    assert!(made.files.iter().all(|part| part.metadata().unwrap().len() <= 1 << 20));
    for given in [
        vec![dir.join("a.kilnbundle")],
        vec![dir.join("a.kilnbundle.001")],
        made.files.iter().rev().cloned().collect(),
    ] {
        take(dir, &given).unwrap();
    }
    // A run that was stopped: what is whole is kept, the rest is written.
    std::fs::remove_file(&made.files[3]).unwrap();
    std::fs::write(&made.files[1], "half").unwrap();
    let inode = |path: &Path| std::os::unix::fs::MetadataExt::ino(&path.metadata().unwrap());
    let before = inode(&made.files[0]);
    let again = make(dir, "a.kilnbundle", Some(1 << 20));
    assert_eq!((again.kept, inode(&made.files[0])), (made.files.len() - 2, before));
    take(dir, &again.files).unwrap();
    // A part that is missing is noticed, whichever it is.
    for gone in &again.files {
        let aside = dir.join("aside");
        std::fs::rename(gone, &aside).unwrap();
        let rest: Vec<PathBuf> = again.files.iter().filter(|part| *part != gone).cloned().collect();
        let error = add(&rest, &Cache::at_dir(dir.join("third")), &Silent).unwrap_err();
        assert_eq!(error.class().exit_code(), 2, "{error}");
        std::fs::rename(&aside, gone).unwrap();
    }
    let left = std::fs::read_dir(dir)
        .unwrap()
        .filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|end| end == "part"));
    assert_eq!(left.count(), 0);
}

#[test]
fn damage_and_lies_are_refused() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let made = make(dir, "a.kilnbundle", None);
    let whole = std::fs::read(&made.files[0]).unwrap();
    let path = dir.join("bad");
    for at in (0..whole.len()).step_by(whole.len() / 40) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        std::fs::write(&path, &bytes).unwrap();
        let error = take(dir, std::slice::from_ref(&path)).unwrap_err();
        assert_eq!(error.class().exit_code(), 2, "byte {at}: {error}");
        std::fs::write(&path, &whole[..at]).unwrap();
        assert!(take(dir, std::slice::from_ref(&path)).is_err(), "cut at {at}");
    }

    let (_, lock, cache) = site(dir);
    let store = store_of(&lock, &cache).unwrap();
    let manifest = manifests_of(&lock).into_keys().next().unwrap();
    let kiln = ("/kiln".to_owned(), b"program".to_vec());
    let text = ("/kiln.lock".to_owned(), lock.to_text().into_bytes());
    let document = (format!("/manifests/{manifest}"), cache.read(manifest, MAX_DOCUMENT).unwrap());
    let first = *store.keys().next().unwrap();
    let bytes = std::fs::read(cache.path(first)).unwrap();
    let mut lie = bytes.clone();
    lie[0] ^= 1;
    let cases: [(Files, &str); 7] = [
        (vec![kiln.clone()], "its lock does not come first"),
        (vec![kiln.clone(), text.clone()], "is not in it"),
        (vec![kiln.clone(), text.clone(), document.clone()], "files that its lock names are not in it"),
        (
            vec![kiln.clone(), text.clone(), document.clone(), (format!("/store/{first}"), lie)],
            "has the SHA-256",
        ),
        (
            vec![kiln.clone(), text.clone(), document.clone(), (format!("/store/{first}"), vec![0; 9])],
            "its lock says",
        ),
        (
            vec![
                kiln.clone(),
                text.clone(),
                document.clone(),
                (format!("/store/{}", Sha256::of(b"x")), vec![0; 9]),
            ],
            "does not name",
        ),
        (vec![kiln, text, document, ("/zz/etc/passwd".to_owned(), bytes)], "does not name"),
    ];
    for (files, word) in cases {
        std::fs::write(&path, packed(&files)).unwrap();
        let fresh = tempfile::tempdir().unwrap();
        let error =
            add(std::slice::from_ref(&path), &Cache::at_dir(fresh.path().to_owned()), &Silent).unwrap_err();
        assert!(error.to_string().contains(word), "{word}: {error}");
    }
    let error = take(dir, &[dir.join("none")]).unwrap_err();
    assert!(error.to_string().contains("none.001"), "{error}");
}

/// Members of an archive: path and content.
type Files = Vec<(String, Vec<u8>)>;

fn packed(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut tree = Tree::default();
    for (path, bytes) in files {
        let folder = path.rsplit_once('/').unwrap().0;
        if !folder.is_empty() && tree.get(folder).is_none() {
            let parents: Vec<usize> =
                folder.match_indices('/').map(|(at, _)| at).skip(1).chain([folder.len()]).collect();
            for end in parents {
                if tree.get(&folder[..end]).is_none() {
                    tree.insert(NodePath::new(&folder[..end]).unwrap(), Entry::dir(0o755, "test")).unwrap();
                }
            }
        }
        tree.insert(NodePath::new(path).unwrap(), Entry::file(0o644, Blob::bytes(bytes.as_slice()), "test"))
            .unwrap();
    }
    let tar = tar::write(&tree, 0).unwrap().to_vec(64 << 20).unwrap();
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.write_all(&tar).unwrap();
    encoder.finish().unwrap()
}
