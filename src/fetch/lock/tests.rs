//! Tests of the lock.

use super::*;

fn lock() -> Lock {
    let file = |text: &str| FilePin {
        size: text.len() as u64,
        sha256: Sha256::of(text.as_bytes()),
        from: Origin::Folder,
    };
    let pin = |version: &str, files: &[&str]| Pin {
        version: version.parse().unwrap(),
        archive: None,
        files: files.iter().map(|name| ((*name).to_owned(), file(name))).collect(),
    };
    let components = [("etcd", pin("3.4.23", &["etcdctl", "etcd"])), ("runc", pin("1.1.5", &["runc"]))];
    let names = ["registry.k8s.io/pause:3.2".parse().unwrap()].into();
    let image = ImagePin { names, size: 7, sha256: Sha256::of(b"image") };
    Lock {
        components: components.map(|(name, pin)| (name.to_owned(), pin)).into(),
        images: [("pause.tar".to_owned(), image)].into(),
        pulled: None,
    }
}

#[test]
fn a_lock_comes_back_as_it_was_written() {
    let text = lock().to_text();
    let again = Lock::parse(Path::new("kiln.lock"), &text).unwrap();
    assert_eq!(again, lock());
    assert_eq!(again.to_text(), text);
    assert!(text.find("\"etcd\" =").unwrap() < text.find("\"etcdctl\" =").unwrap(), "{text}");
}

#[test]
fn what_is_no_lock_is_refused() {
    let digest = Sha256::of(b"");
    let cases = [
        ("", "schema"),
        ("schema = 3\nnews = 1", "knows schema 2"),
        ("schema = 0", "knows schema 2"),
        ("schema = 1\nmore = 1", "more"),
        ("schema = 1\n[component.etcd]\nversion = '3'\nfiles = {}\nnews = ''", "news"),
        ("schema = 1\n[component.etcd]\nversion = '../3'\nfiles = {}", "no version"),
        ("schema = 1\n[component.'../etcd']\nversion = '3'\nfiles = {}", "cannot name"),
        (
            &format!(
                "schema = 1\n[component.e]\nversion = '3'\nfiles.'a/b' = {{ size = 1, sha256 = '{digest}' }}"
            ),
            "cannot name",
        ),
        ("schema = 1\n[component.e]\nversion = '3'\nfiles.a = { size = 1, sha256 = '00' }", "SHA-256"),
        (&format!("schema = 1\n[image.'a/b']\nnames = []\nsize = 1\nsha256 = '{digest}'"), "cannot name"),
        (
            &format!("schema = 1\n[image.a]\nnames = ['A']\nsize = 1\nsha256 = '{digest}'"),
            "no name of an image",
        ),
        ("schema = 1\n[component.e]\nversion = '3'\nfiles.a = { size = -1, sha256 = '00' }", "kiln.lock"),
    ];
    for (text, word) in cases {
        let error = Lock::parse(Path::new("kiln.lock"), text).unwrap_err();
        assert!(error.to_string().contains(word), "{text}: {error}");
    }
}

#[test]
fn differences_are_named() {
    let (old, mut new) = (lock(), lock());
    assert_eq!(old.diff(&new), [] as [String; 0]);
    let etcd = new.components.get_mut("etcd").unwrap();
    let pin = etcd.files.remove("etcdctl").unwrap();
    etcd.files.insert("etcdutl".to_owned(), pin);
    etcd.files.get_mut("etcd").unwrap().size = 5;
    let runc = new.components.remove("runc").unwrap();
    new.components.insert("crun".to_owned(), runc);
    let lines = old.diff(&new);
    assert!(lines[0].starts_with("~ etcd 3.4.23: etcd: 4 bytes, sha256 "), "{lines:?}");
    assert_eq!(
        lines[1..],
        ["- etcd 3.4.23: etcdctl", "+ etcd 3.4.23: etcdutl", "- runc 1.1.5", "+ crun 1.1.5"]
    );
    let image = new.images.remove("pause.tar").unwrap();
    assert_eq!(lock().diff(&new).last().unwrap(), "- image pause.tar");
    new.images.insert("pause.tar".to_owned(), ImagePin { size: 8, ..image });
    assert!(lock().diff(&new).last().unwrap().starts_with("~ image pause.tar: sha256 "));
    new.components.get_mut("etcd").unwrap().version = "3.5.0".parse().unwrap();
    assert_eq!(old.diff(&new)[0], "~ etcd 3.4.23 -> 3.5.0");
}

/// A lock of things that were downloaded.
fn fetched() -> Lock {
    let digest = Sha256::of(b"x");
    let published = |checked: bool| Published {
        url: "https://example.org/v1/a.tgz".parse().unwrap(),
        checked: checked.then(|| "https://example.org/v1/SHA256SUMS".parse().unwrap()),
    };
    let file = |from| FilePin { size: 1, sha256: digest, from };
    let etcd = Pin {
        version: "3.6.11".parse().unwrap(),
        archive: Some(ArchivePin { published: published(true), size: 9, sha256: digest }),
        files: [("etcd".to_owned(), file(Origin::Member("etcd-v3.6.11/etcd".to_owned())))].into(),
    };
    let runc = Pin {
        version: "1.4.3".parse().unwrap(),
        archive: None,
        files: [("runc".to_owned(), file(Origin::Url(published(false))))].into(),
    };
    let image = PulledImage { manifest: digest, size: 700, tag: Sha256::of(b"index") };
    let images = [("registry.k8s.io/pause:3.2".parse().unwrap(), image)].into();
    Lock {
        components: [("etcd".to_owned(), etcd), ("runc".to_owned(), runc)].into(),
        images: BTreeMap::new(),
        pulled: Some(Pulled { size: 5, sha256: digest, images }),
    }
}

#[test]
fn where_things_came_from_is_kept() {
    let text = fetched().to_text();
    assert_eq!(Lock::parse(Path::new("kiln.lock"), &text).unwrap(), fetched(), "{text}");
    assert!(text.contains("checked = \"https://example.org/v1/SHA256SUMS\""), "{text}");
    // The first form of the file is still read.
    let first = lock().to_text().replace("schema = 2", "schema = 1");
    assert_eq!(Lock::parse(Path::new("kiln.lock"), &first).unwrap(), lock());
    assert!(lock().components["etcd"].is_local() && !fetched().components["etcd"].is_local());
}

#[test]
fn what_cannot_be_is_refused() {
    let text = fetched().to_text();
    for (from, to, word) in [
        ("https://example.org/v1/a.tgz", "ftp://example.org/a", "no address"),
        ("etcd-v3.6.11/etcd", "../etcd", "no member"),
        (", member = \"etcd-v3.6.11/etcd\"", ", member = \"etcd\", url = \"https://example.org/\"", "both"),
        ("archive = {", "other = {", "other"),
        ("manifest = ", "digest = ", "digest"),
        ("\"registry.k8s.io/pause:3.2\"", "\"Pause\"", "no name of an image"),
    ] {
        assert!(text.contains(from), "{from}: {text}");
        let error = Lock::parse(Path::new("kiln.lock"), &text.replace(from, to)).unwrap_err();
        assert!(error.to_string().contains(word), "{word}: {error}");
    }
    let alone =
        "schema = 2\n[component.e]\nversion = '3'\nfiles.a = { size = 1, sha256 = 'S', member = 'a' }";
    let alone = alone.replace('S', &Sha256::of(b"").to_string());
    assert!(Lock::parse(Path::new("kiln.lock"), &alone).unwrap_err().to_string().contains("no archive"));
}

#[test]
fn differences_of_what_was_fetched_are_named() {
    let (old, mut new) = (fetched(), fetched());
    let file = new.components.get_mut("runc").unwrap().files.get_mut("runc").unwrap();
    file.from = Origin::Folder;
    let pulled = new.pulled.as_mut().unwrap();
    let image = pulled.images.values_mut().next().unwrap();
    image.manifest = Sha256::of(b"y");
    pulled.images.insert("a/b:1".parse().unwrap(), *pulled.images.values().next().unwrap());
    let lines = old.diff(&new);
    assert_eq!(lines[0], "~ runc 1.4.3: runc: the same from elsewhere");
    assert!(lines[1].starts_with("~ image registry.k8s.io/pause:3.2: manifest "), "{lines:?}");
    assert_eq!(lines[2..], ["+ image docker.io/a/b:1"]);
    new = fetched();
    new.pulled.as_mut().unwrap().size = 6;
    assert_eq!(old.diff(&new), ["~ the archive of the images is another one"]);
    new.pulled = None;
    assert_eq!(old.diff(&new), ["- image registry.k8s.io/pause:3.2"]);
}
