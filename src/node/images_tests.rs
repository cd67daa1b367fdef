//! Loading images into a runtime that is a script: what is asked of it, and what happens when it fails. A real containerd takes
//! them in `tests/oci.rs`.

use super::*;

#[path = "../../tests/common/exec.rs"]
mod exec;

/// A node with two archives and a `ctr` that keeps its images in a file.
struct Fake {
    dir: tempfile::TempDir,
    list: ImageList,
}

/// Imports by the words in an archive, which are the names; fails as long as there is a file `broken`.
const CTR: &str = r#"#!/bin/sh
cd "$(dirname "$0")"
echo "$*" >>calls
[ ! -e broken ] || { echo "ctr: connection refused" >&2; exit 1; }
[ "$1 $2" = "--namespace k8s.io" ] || exit 9
shift 2
case "$1 $2" in
    "images ls") cat images 2>/dev/null || true ;;
    "images import") cat "$3" >>images ;;
    "images tag") [ "$3" = --force ] || exit 9 ;;
    "images label") [ ! -e nolabel ] || { echo "no such label" >&2; exit 1; } ;;
    *) exit 9 ;;
esac
"#;

impl Fake {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("archives")).unwrap();
        std::fs::create_dir_all(dir.path().join("storage/snapshots/1")).unwrap();
        exec::script(CTR, &dir.path().join("ctr"));
        let list = ImageList { format: FORMAT, runtime: "containerd".into(), images: BTreeMap::new() };
        let mut fake = Self { dir, list };
        fake.archive("a.tar", "registry.k8s.io/a:1", "registry.k8s.io/a:1\n");
        fake.archive("b.tar", "docker.io/library/b:1", "docker.io/library/b:1\n");
        fake
    }

    fn archive(&mut self, file: &str, name: &str, content: &str) {
        std::fs::write(self.dir.path().join("archives").join(file), content).unwrap();
        let (sha256, names) = (Sha256::of(content.as_bytes()), [name.to_owned()].into());
        let listed = Listed { sha256, names, by_digest: BTreeMap::new() };
        self.list.images.insert(file.to_owned(), listed);
    }

    fn load(&self) -> Result<Loaded> {
        load(&self.list, &self.places())
    }

    fn places(&self) -> Places {
        let at = |name: &str| self.dir.path().join(name);
        Places {
            archives: at("archives"),
            loaded: at("loaded"),
            ctr: at("ctr"),
            socket: None,
            docker: at("no-docker"),
            storage: at("storage"),
            awake: at("awake"),
        }
    }

    fn calls(&self) -> Vec<String> {
        let path = self.dir.path().join("calls");
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let _ = std::fs::remove_file(path);
        text.lines().map(|line| line.trim_start_matches("--namespace k8s.io images ").to_owned()).collect()
    }
}

#[test]
fn each_archive_is_loaded_once_for_its_content() {
    let mut fake = Fake::new();
    let done = fake.load().unwrap();
    assert_eq!((done.archives.len(), done.images, done.warnings.len()), (2, 2, 0));
    let calls = fake.calls();
    assert_eq!(calls.iter().filter(|call| call.starts_with("import ")).count(), 2, "{calls:?}");
    assert!(calls.contains(&format!("label registry.k8s.io/a:1 {PINNED}")), "{calls:?}");
    assert_eq!((fake.load().unwrap().archives.len(), fake.calls()), (0, vec!["ls -q".to_owned()]));

    // Another content under the same name.
    fake.archive("a.tar", "registry.k8s.io/a:1", "registry.k8s.io/a:1\nregistry.k8s.io/c:1\n");
    assert_eq!(fake.load().unwrap().archives, ["a.tar"]);
    // The kubelet removed one to make room.
    std::fs::write(fake.dir.path().join("images"), "registry.k8s.io/a:1\n").unwrap();
    assert_eq!(fake.load().unwrap().archives, ["b.tar"]);
}

#[test]
fn names_by_digest_are_made_when_an_archive_is_loaded() {
    let mut fake = Fake::new();
    let digest = format!("registry.k8s.io/a@sha256:{}", "0".repeat(64));
    let listed = fake.list.images.get_mut("a.tar").unwrap();
    listed.by_digest.insert(digest.clone(), "registry.k8s.io/a:1".into());
    fake.load().unwrap();
    let calls = fake.calls();
    let tag = calls.iter().position(|call| *call == format!("tag --force registry.k8s.io/a:1 {digest}"));
    let import = calls.iter().position(|call| call.starts_with("import "));
    assert!(tag.unwrap() > import.unwrap(), "{calls:?}");
    assert!(calls.contains(&format!("label {digest} {PINNED}")), "{calls:?}");
    fake.load().unwrap();
    assert_eq!(fake.calls(), ["ls -q"]);
    let path = fake.dir.path().join("images.json");
    let text = String::from_utf8(fake.list.to_json().unwrap()).unwrap();
    std::fs::write(&path, &text).unwrap();
    assert_eq!(ImageList::load(&path).unwrap(), fake.list);
    std::fs::write(&path, text.replace("@sha256:00", "@sha256:--")).unwrap();
    assert!(ImageList::load(&path).unwrap_err().to_string().contains("is damaged"));
}

#[test]
fn what_goes_wrong_is_told() {
    let mut fake = Fake::new();
    let at = |fake: &Fake, name: &str| fake.dir.path().join(name);
    std::fs::write(at(&fake, "broken"), "").unwrap();
    let error = fake.load().unwrap_err().to_string();
    assert!(error.contains("connection refused"), "{error}");
    std::fs::remove_file(at(&fake, "broken")).unwrap();

    std::fs::write(at(&fake, "nolabel"), "").unwrap();
    assert_eq!(fake.load().unwrap().warnings.len(), 2);

    std::fs::write(at(&fake, "archives/b.tar"), "other").unwrap();
    std::fs::remove_dir_all(at(&fake, "loaded")).unwrap();
    assert!(fake.load().unwrap_err().to_string().contains("not what the medium was made with"));

    fake.archive("b.tar", "docker.io/library/b:1", "docker.io/library/other:1\n");
    std::fs::write(at(&fake, "images"), "").unwrap();
    let error = fake.load().unwrap_err().to_string();
    assert!(error.contains("does not have docker.io/library/b:1"), "{error}");
}

#[test]
fn lists_come_back_and_damaged_ones_are_refused() {
    let fake = Fake::new();
    let path = fake.dir.path().join("images.json");
    std::fs::write(&path, fake.list.to_json().unwrap()).unwrap();
    assert_eq!(ImageList::load(&path).unwrap(), fake.list);
    let text = String::from_utf8(fake.list.to_json().unwrap()).unwrap();
    for (from, to) in [
        ("a.tar", "../a.tar"),
        ("\"format\": 1", "\"format\": 2"),
        ("registry.k8s.io/a:1", "--all"),
        ("runtime", "more"),
    ] {
        std::fs::write(&path, text.replace(from, to)).unwrap();
        assert!(ImageList::load(&path).unwrap_err().to_string().contains("is damaged"), "{to}");
    }
}

#[test]
fn what_a_power_cut_left_of_a_first_load_is_thrown_away() {
    let fake = Fake::new();
    let storage = fake.dir.path().join("storage");
    std::fs::write(storage.join("meta.db"), "x").unwrap();
    std::fs::write(fake.dir.path().join("broken"), "").unwrap();
    assert!(fake.load().is_err());
    // The runtime is up: whatever is missing, its storage is in use.
    std::fs::create_dir(fake.dir.path().join("awake")).unwrap();
    assert!(!clear(&fake.list, &fake.places()).unwrap() && storage.join("meta.db").exists());
    std::fs::remove_dir(fake.dir.path().join("awake")).unwrap();
    assert!(clear(&fake.list, &fake.places()).unwrap());
    assert_eq!(std::fs::read_dir(&storage).unwrap().count(), 0);
    assert!(!clear(&fake.list, &fake.places()).unwrap());
    std::fs::remove_file(fake.dir.path().join("broken")).unwrap();
    fake.load().unwrap();
    std::fs::write(storage.join("meta.db"), "x").unwrap();
    assert!(!clear(&fake.list, &fake.places()).unwrap() && storage.join("meta.db").exists());
    // One of the archives was not loaded to the end: what else the runtime has is of the same storage.
    let one = std::fs::read_dir(fake.dir.path().join("loaded")).unwrap().next().unwrap().unwrap();
    std::fs::remove_file(one.path()).unwrap();
    assert!(clear(&fake.list, &fake.places()).unwrap());
    assert_eq!(std::fs::read_dir(fake.dir.path().join("loaded")).unwrap().count(), 0);
}
