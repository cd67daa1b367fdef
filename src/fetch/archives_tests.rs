//! Tests of pinning images, on images of a few bytes.

use super::*;
use crate::format::oci::{Config, write};
use crate::progress::Silent;
use crate::tree::{Entry, NodePath, Tree};

fn cluster(dir: &Path) -> Cluster {
    let mut cluster = crate::testing::cluster();
    cluster.components.dir = Some(dir.to_owned());
    cluster
}

fn cache(dir: &Path) -> Cache {
    Cache::at_dir(dir.join("cache"))
}

fn wanted(names: &[&str]) -> Wanted {
    names.iter().map(|name| (name.parse().unwrap(), "test".to_owned())).collect()
}

fn put(dir: &Path, file: &str, name: &str) {
    let mut root = Tree::default();
    let entry = Entry::file(0o755, Blob::bytes(name.as_bytes()), "test");
    root.insert(NodePath::new("/program").unwrap(), entry).unwrap();
    let image = write(&name.parse().unwrap(), &Config::default(), &root).unwrap();
    std::fs::create_dir_all(dir.join(FOLDER)).unwrap();
    std::fs::write(dir.join(FOLDER).join(file), image.to_vec(1 << 20).unwrap()).unwrap();
}

fn lock(dir: &Path, wanted: &Wanted) -> Lock {
    let images = pin(&cluster(dir), wanted, &Silent).unwrap().images;
    Lock { images, ..Lock::default() }
}

#[test]
fn archives_are_found_by_what_they_hold() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "one.tar", "registry.k8s.io/pause:3.2");
    put(dir.path(), "other.tar", "busybox:1.35");
    std::fs::write(dir.path().join("images/readme.txt"), "").unwrap();
    let want = wanted(&["registry.k8s.io/pause:3.2"]);
    let pinned = pin(&cluster(dir.path()), &want, &Silent).unwrap();
    assert_eq!(pinned.images.keys().collect::<Vec<_>>(), ["one.tar"]);
    let warnings = pinned.warnings.join("\n");
    assert!(
        warnings.contains("docker.io/library/busybox:1.35") && warnings.contains("readme.txt"),
        "{warnings}"
    );

    let lock = Lock { images: pinned.images, ..Lock::default() };
    let text = lock.to_text();
    assert_eq!(Lock::parse(Path::new("kiln.lock"), &text).unwrap(), lock, "{text}");
    let found = archives(&lock, &cluster(dir.path()), &want, &cache(dir.path())).unwrap();
    assert_eq!((found.len(), found[0].file.as_str(), found[0].names.len()), (1, "one.tar", 1));
    assert_eq!(found[0].content.digest().unwrap(), found[0].sha256);
}

#[test]
fn what_is_missing_or_unfit_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let want = wanted(&["registry.k8s.io/pause:3.2", "a/b:1"]);
    let error = |want: &Wanted| pin(&cluster(dir.path()), want, &Silent).unwrap_err();
    let text = error(&want).to_string();
    assert!(
        text.contains("2 container images are missing") && text.contains("docker.io/a/b:1 (for test)"),
        "{text}"
    );

    put(dir.path(), "one.tar", "registry.k8s.io/pause:3.2");
    put(dir.path(), "two.tar", "registry.k8s.io/pause:3.2");
    assert!(error(&want).to_string().contains("in two files, one.tar and two.tar"));
    std::fs::write(dir.path().join("images/two.tar"), "no archive").unwrap();
    assert!(error(&want).to_string().contains("two.tar: tar archive, byte 0"));
    put(dir.path(), "two.tar", "a/b:1");
    pin(&cluster(dir.path()), &want, &Silent).unwrap();

    // A changed byte of a layer.
    let path = dir.path().join("images/two.tar");
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(5).position(|window| window == b"a/b:1").unwrap();
    bytes[at] = b'x';
    std::fs::write(&path, bytes).unwrap();
    assert!(error(&want).to_string().contains("digest"));
}

#[test]
fn a_lock_that_does_not_fit_stops_a_build() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "one.tar", "a:1");
    put(dir.path(), "two.tar", "b:1");
    let (one, both) = (wanted(&["a:1"]), wanted(&["a:1", "b:1"]));
    let error = |lock: &Lock, want: &Wanted| {
        archives(lock, &cluster(dir.path()), want, &cache(dir.path())).unwrap_err().to_string()
    };
    assert!(error(&lock(dir.path(), &one), &both).contains("library/b:1 is not pinned"));
    assert!(
        error(&lock(dir.path(), &both), &one)
            .contains("two.tar is pinned, and the cluster needs no image of it")
    );
    let pinned = lock(dir.path(), &one);
    std::fs::write(dir.path().join("images/one.tar"), "short").unwrap();
    assert!(error(&pinned, &one).contains("as pinned"));
}
