//! Tests of components from a server.

use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::super::Catalogue;
use super::super::http::Options;
use super::super::http::testing::{Reply, Server, options};
use super::super::lock::Lock;
use super::super::tests::program;
use super::*;
use crate::blob::Blob;
use crate::format::tar;
use crate::progress::Silent;
use crate::tree::{Entry, NodePath, Tree};

const CATALOGUE: &str = r#"
[[component.etcd.source]]
url = "https://example.org/etcd/v{version}/etcd-{version}.tar.gz"
member = "etcd-{version}/{file}"
sums = "https://example.org/etcd/v{version}/SHA256SUMS"
[component.etcd.files]
etcd = { to = "/opt/etcd/bin", on = ["etcd"] }
etcdutl = { to = "/opt/etcd/bin", on = ["etcd"], optional = true }

[[component.runc.source]]
url = "https://example.org/runc/v{version}/{file}"
[component.runc.files]
runc = { to = "/usr/bin", on = ["worker"] }
"#;

fn archive(name: &str, content: Vec<u8>) -> Vec<u8> {
    let mut tree = Tree::default();
    tree.insert(NodePath::new(name).unwrap(), Entry::file(0o755, Blob::bytes(content), "test")).unwrap();
    let tar = tar::write(&tree, 0).unwrap().to_vec(1 << 20).unwrap();
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(&tar).unwrap();
    gz.finish().unwrap()
}

struct Site {
    files: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    server: Server,
    client: Client,
    dir: tempfile::TempDir,
}

/// A mirror that has both components.
fn site() -> Site {
    let etcd = archive("/etcd-3.6.11/etcd", program("etcd", false));
    let sums = format!("{}  etcd-3.6.11.tar.gz\n", Sha256::of(&etcd));
    let files = [
        ("/m/example.org/etcd/v3.6.11/etcd-3.6.11.tar.gz", etcd),
        ("/m/example.org/etcd/v3.6.11/SHA256SUMS", sums.into_bytes()),
        ("/m/example.org/runc/v1.4.3/runc", program("runc", false)),
    ];
    let files = Arc::new(Mutex::new(files.map(|(path, bytes)| (path.to_owned(), bytes)).into()));
    let held: Arc<Mutex<BTreeMap<String, Vec<u8>>>> = files.clone();
    let server = Server::start(move |asked| match held.lock().unwrap().get(&asked.path) {
        Some(bytes) => Reply::part(bytes, asked),
        None => Reply::status(404),
    });
    let client = Client::new(&Options { mirror: Some(server.at("m")), ..options() }).unwrap();
    Site { files, server, client, dir: tempfile::tempdir().unwrap() }
}

impl Site {
    fn cache(&self) -> Cache {
        Cache::at_dir(self.dir.path().to_owned())
    }

    fn pin(&self) -> Result<BTreeMap<String, Pin>> {
        let catalogue = Catalogue::parse(Path::new("components.toml"), CATALOGUE).unwrap();
        let new = |name, version: &str| New {
            name,
            component: catalogue.get(name).unwrap(),
            version: version.parse().unwrap(),
        };
        let wanted = [new("etcd", "3.6.11"), new("runc", "1.4.3")];
        self.with(|online| online.pin(&wanted, &crate::testing::cluster()))
    }

    fn with<T>(&self, run: impl Fn(&Online<'_>) -> Result<T>) -> Result<T> {
        let (cache, meter) = (self.cache(), Meter::new(&Silent));
        run(&Online { client: &self.client, cache: &cache, jobs: 3, meter: &meter })
    }
}

#[test]
fn components_are_found_pinned_and_fetched_again() {
    let site = site();
    let pins = site.pin().unwrap();
    let etcd = &pins["etcd"];
    let archive = etcd.archive.as_ref().unwrap();
    assert_eq!(archive.published.url.as_str(), "https://example.org/etcd/v3.6.11/etcd-3.6.11.tar.gz");
    assert_eq!(archive.published.checked.as_ref().unwrap().name(), "SHA256SUMS");
    assert_eq!(etcd.files.keys().collect::<Vec<_>>(), ["etcd"]);
    let pin = &etcd.files["etcd"];
    assert_eq!(pin.from, Origin::Member("etcd-3.6.11/etcd".to_owned()));
    assert_eq!(pin.sha256, Sha256::of(&program("etcd", false)));
    let runc = &pins["runc"].files["runc"];
    assert!(matches!(&runc.from, Origin::Url(published) if published.checked.is_none()), "{runc:?}");

    // The lock alone is enough for the next one, who has an empty cache.
    let lock = Lock { components: pins.clone(), ..Lock::default() };
    let pins = Lock::parse(Path::new("kiln.lock"), &lock.to_text()).unwrap().components;
    std::fs::remove_dir_all(site.dir.path().join("blobs")).unwrap();
    site.with(|online| online.ensure(&pins)).unwrap();
    assert!(
        site.cache().holds(pin.sha256, pin.size).unwrap()
            && site.cache().holds(runc.sha256, runc.size).unwrap()
    );
    let asked = site.server.asked().len();
    site.with(|online| online.ensure(&pins)).unwrap();
    assert_eq!(site.server.asked().len(), asked, "what is there is not asked for");
}

#[test]
fn what_does_not_fit_is_refused() {
    let change = |path: &str, bytes: Option<Vec<u8>>| {
        let site = site();
        let path = format!("/m/example.org/{path}");
        match bytes {
            Some(bytes) => site.files.lock().unwrap().insert(path, bytes),
            None => site.files.lock().unwrap().remove(&path),
        };
        let error = site.pin().unwrap_err();
        format!("{error} {}", error.hint_text().unwrap_or_default())
    };
    let text = change(
        "etcd/v3.6.11/etcd-3.6.11.tar.gz",
        Some(archive("/etcd-3.6.11/etcd", program("other", false))),
    );
    assert!(text.contains("it has the SHA-256"), "{text}");
    let text = change("etcd/v3.6.11/SHA256SUMS", None);
    assert!(text.contains("digests are not at http://127.0.0.1"), "{text}");
    let text = change("etcd/v3.6.11/SHA256SUMS", Some(b"nothing".to_vec()));
    assert!(text.contains("no SHA-256 of etcd-3.6.11.tar.gz"), "{text}");
    let text = change("runc/v1.4.3/runc", Some(b"<html>Please log in</html>".to_vec()));
    assert!(text.contains("runc 1.4.3: runc is no") && text.contains("page of its own"), "{text}");
    let text = change("runc/v1.4.3/runc", None);
    assert!(text.contains("404"), "{text}");

    // Both at once are told at once.
    let site = site();
    site.files.lock().unwrap().clear();
    let text = site.pin().unwrap_err().to_string();
    assert!(text.contains("SHA256SUMS") && text.contains("runc/v1.4.3/runc"), "{text}");
}

#[test]
fn a_published_file_that_changed_is_noticed() {
    let site = site();
    let pins = site.pin().unwrap();
    std::fs::remove_dir_all(site.dir.path().join("blobs")).unwrap();
    let path = "/m/example.org/runc/v1.4.3/runc".to_owned();
    site.files.lock().unwrap().insert(path, program("news", false));
    let error = site.with(|online| online.ensure(&pins)).unwrap_err();
    assert!(error.to_string().contains("it has the SHA-256") && error.class().exit_code() == 4, "{error}");
    // A lock that says something else of a member than the archive holds.
    let mut wrong = pins.clone();
    wrong.remove("runc");
    wrong.get_mut("etcd").unwrap().files.get_mut("etcd").unwrap().sha256 = Sha256::of(b"x");
    let error = site.with(|online| online.ensure(&wrong)).unwrap_err();
    assert!(error.to_string().contains("is not what kiln.lock pins"), "{error}");
}

#[test]
fn the_shipped_catalogue_knows_where_everything_is() {
    let catalogue = Catalogue::load(&crate::assets::Assets::new(None).unwrap()).unwrap();
    for minor in 18..=37 {
        let mut cluster = crate::testing::cluster();
        cluster.kubernetes = format!("1.{minor}.0").parse().unwrap();
        let runtimes = [crate::cluster::model::Runtime::Containerd, crate::cluster::model::Runtime::Docker];
        for runtime in runtimes {
            cluster.runtime = runtime;
            let cri = catalogue.of(&cluster).any(|(name, _)| name == "cri-dockerd");
            assert_eq!(cri, runtime == crate::cluster::model::Runtime::Docker && minor >= 24, "1.{minor}");
            for (name, component) in catalogue.of(&cluster) {
                let Some(version) = component.usual_version(&cluster) else {
                    assert!(component.optional, "1.{minor}: {name} has no version");
                    continue;
                };
                let source =
                    component.source(&version).unwrap_or_else(|| panic!("{name} {version} is nowhere"));
                for file in component.files_of_cluster(&cluster, Some(&version)).keys() {
                    assert!(source.url(&version, file).unwrap().as_str().starts_with("https://"));
                }
                assert!(super::super::local::unfit(&cluster, name, &version).is_none(), "{name} {version}");
            }
        }
    }
}
