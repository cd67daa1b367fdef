//! Tests of pulling, against a registry that wants tokens, and lies.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use serde_json::json;

use super::super::http::testing::{Asked, Reply, Server, options};
use super::super::pull::{self, Pull};
use super::*;
use crate::cluster::model::Runtime;
use crate::format::oci::read::{self as reader, Loader};
use crate::progress::Silent;

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// `user:pass`.
const BASIC: &str = "dXNlcjpwYXNz";

/// What a registry holds, by path below `/v2/`.
type Store = BTreeMap<String, Vec<u8>>;

/// Adds an image for one platform, and gives the descriptor of its manifest.
fn image(store: &mut Store, repository: &str, architecture: &str, layers: &[&str]) -> serde_json::Value {
    let mut put = |kind: &str, media: &str, bytes: Vec<u8>| {
        let digest = format!("sha256:{}", Sha256::of(&bytes));
        let size = bytes.len();
        store.insert(format!("{repository}/{kind}/{digest}"), bytes);
        json!({"mediaType": media, "digest": digest, "size": size})
    };
    let layers: Vec<_> =
        layers.iter().map(|text| put("blobs", LAYER, text.repeat(500).into_bytes())).collect();
    let ids = vec!["sha256:x"; layers.len()];
    let config = json!({"os": "linux", "architecture": architecture, "rootfs": {"diff_ids": ids}});
    let config = put("blobs", "application/vnd.oci.image.config.v1+json", config.to_string().into_bytes());
    let manifest = json!({"schemaVersion": 2, "mediaType": OCI, "config": config, "layers": layers});
    let mut found = put("manifests", OCI, manifest.to_string().into_bytes());
    found["platform"] = json!({"os": "linux", "architecture": architecture});
    found
}

fn tag(store: &mut Store, repository: &str, tag: &str, entry: &serde_json::Value) {
    let digest = entry["digest"].as_str().unwrap();
    let bytes = store[&format!("{repository}/manifests/{digest}")].clone();
    store.insert(format!("{repository}/manifests/{tag}"), bytes);
}

/// `team/app:1` for two platforms, `team/tool:2` for one; they share a layer.
fn store() -> Store {
    let mut store = Store::new();
    let arm = image(&mut store, "team/app", "arm64", &["arm"]);
    let amd = image(&mut store, "team/app", "amd64", &["base", "app"]);
    let index = json!({"schemaVersion": 2, "manifests": [arm, amd]});
    store.insert("team/app/manifests/1".to_owned(), index.to_string().into_bytes());
    let tool = image(&mut store, "team/tool", "amd64", &["base", "tool"]);
    tag(&mut store, "team/tool", "2", &tool);
    store
}

struct Site {
    store: Arc<Mutex<Store>>,
    server: Server,
    dir: tempfile::TempDir,
    instead: BTreeMap<Registry, Url>,
}

/// A registry. With `token` it gives content for a token only, and tokens for the right name and password only.
fn site(token: bool) -> Site {
    let store = Arc::new(Mutex::new(store()));
    let held = store.clone();
    let server = Server::start(move |asked| {
        let host = &asked.headers["host"];
        if asked.path.starts_with("/token?") {
            return give_token(asked);
        }
        let right = asked.headers.get("authorization").is_some_and(|value| value == "Bearer good");
        if token && !right {
            let challenge = format!("Bearer realm=\"http://{host}/token\",service=\"test\"");
            return Reply::status(401).with("WWW-Authenticate", challenge);
        }
        match held.lock().unwrap().get(asked.path.strip_prefix("/v2/").unwrap_or_default()) {
            Some(bytes) => Reply::part(bytes, asked),
            None => Reply::status(404),
        }
    });
    let instead = [("registry.example".parse().unwrap(), server.url.clone())].into();
    Site { store, server, dir: tempfile::tempdir().unwrap(), instead }
}

fn give_token(asked: &Asked) -> Reply {
    let scope = asked.path.contains("service=test&scope=repository%3Ateam%2F");
    match asked.headers.get("authorization") {
        Some(value) if *value == format!("Basic {BASIC}") && scope => Reply::ok(r#"{"token": "good"}"#),
        _ => Reply::status(401),
    }
}

impl Site {
    fn cache(&self) -> Cache {
        Cache::at_dir(self.dir.path().to_owned())
    }

    fn with<T>(&self, login: bool, run: impl Fn(&Pull<'_>) -> Result<T>) -> Result<T> {
        let client = Client::new(&options()).unwrap();
        let auths = match login {
            true => format!(r#"{{"auths": {{"{}": {{"auth": "{BASIC}"}}}}}}"#, self.server.url.host()),
            false => "{}".to_owned(),
        };
        let credentials = Credentials::parse(auths.as_bytes()).unwrap();
        let registries = Registries::new(&client, credentials, &self.instead);
        let (cache, meter) = (self.cache(), Meter::new(&Silent));
        let runtime = Runtime::Containerd;
        run(&Pull { registries: &registries, cache: &cache, jobs: 3, meter: &meter, runtime })
    }

    fn pull(&self, login: bool) -> Result<crate::fetch::lock::Pulled> {
        self.with(login, |pull| pull.ensure(pull.look_up(&names())?))
    }

    /// Nothing in the cache has a wrong name.
    fn check(&self) {
        for shard in std::fs::read_dir(self.dir.path().join("blobs")).into_iter().flatten() {
            for file in std::fs::read_dir(shard.unwrap().path()).unwrap() {
                let path = file.unwrap().path();
                let digest = Sha256::of(&std::fs::read(&path).unwrap()).to_string();
                assert_eq!(path.file_name().unwrap().to_str().unwrap(), digest);
            }
        }
    }
}

fn names() -> BTreeSet<Reference> {
    ["registry.example/team/app:1", "registry.example/team/tool:2"].map(|name| name.parse().unwrap()).into()
}

#[test]
fn images_are_pulled_for_the_nodes_platform_and_parts_once() {
    let site = site(false);
    let pulled = site.pull(false).unwrap();
    assert_eq!(pulled.images.keys().cloned().collect::<BTreeSet<_>>(), names());
    let app = pulled.images[&"registry.example/team/app:1".parse().unwrap()];
    assert_ne!(app.manifest, app.tag);
    let shared = format!("sha256:{}", Sha256::of("base".repeat(500).as_bytes()));
    let asked = |part: &str| site.server.asked().iter().filter(|asked| asked.path.contains(part)).count();
    assert_eq!((asked(&shared), asked("arm")), (1, 0));

    // The archive is what both runtimes load.
    let archive = pull::archive(&site.cache(), &pulled).unwrap();
    assert_eq!((archive.len(), archive.digest().unwrap()), (pulled.size, pulled.sha256));
    let bytes = archive.to_vec(1 << 20).unwrap();
    assert_eq!(Sha256::of(&bytes), pulled.sha256);
    let found = reader::open(&bytes).unwrap();
    found.verify(&bytes, &Silent).unwrap();
    assert_eq!(found.names(Loader::Containerd), names());
    assert_eq!(found.fault(Loader::Docker), None);

    // With the lock alone, into an empty cache: by digest, whatever the tags stand for now.
    std::fs::remove_dir_all(site.dir.path().join("blobs")).unwrap();
    assert!(pull::archive(&site.cache(), &pulled).unwrap_err().hint_text().unwrap().contains("kiln fetch"));
    site.store.lock().unwrap().retain(|path, _| !path.ends_with("/1") && !path.ends_with("/2"));
    let again = site.with(false, |pull| pull.ensure(pulled.images.clone())).unwrap();
    assert_eq!(again, pulled);
    let before = site.server.asked().len();
    site.with(false, |pull| pull.ensure(pulled.images.clone())).unwrap();
    assert_eq!(site.server.asked().len(), before);
    site.check();
}

#[test]
fn tokens_are_asked_for_with_the_login_of_the_user() {
    let site = site(true);
    site.pull(true).unwrap();
    let error = super::tests::site(true).pull(false).unwrap_err();
    assert!(error.to_string().contains("401") && error.class().exit_code() == 4, "{error}");
    // A password goes to the place of tokens, and nowhere else.
    for asked in site.server.asked() {
        let basic = asked.headers.get("authorization").is_some_and(|value| value.contains(BASIC));
        assert_eq!(basic, asked.path.starts_with("/token"), "{}", asked.path);
    }
}

#[test]
fn a_registry_that_lies_gives_nothing_a_name() {
    let lie = |part: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let site = site(false);
        {
            let mut store = site.store.lock().unwrap();
            // What both repositories have comes from one of them only.
            let own = |(path, bytes): &(&String, &Vec<u8>)| {
                path.contains(part) && (!part.contains("blobs") || bytes.starts_with(b"tool"))
            };
            let path = store.iter().find(own).unwrap().0.clone();
            change(store.get_mut(&path).unwrap());
        }
        let error = site.pull(false).unwrap_err();
        site.check();
        format!("{error} {:?}", std::error::Error::source(&error).map(ToString::to_string))
    };
    let flip = |bytes: &mut Vec<u8>| bytes[7] ^= 1;
    assert!(lie("team/tool/blobs/", &flip).contains("it has the SHA-256"));
    assert!(lie("team/app/manifests/sha256:", &flip).contains("it has the SHA-256"));
    assert!(lie("team/tool/blobs/", &|bytes| bytes.push(0)).contains("bytes, not"));
    assert!(lie("team/tool/blobs/", &|bytes| bytes.truncate(9)).contains("9 bytes, not"));
    assert!(
        lie("team/app/manifests/1", &|bytes| *bytes = b"<html>".to_vec())
            .contains("registry.example/team/app:1")
    );
    assert!(lie("team/app/manifests/1", &|bytes| *bytes = vec![b' '; 5 << 20]).contains("larger than"));
}

#[test]
fn what_nodes_cannot_run_is_refused_by_name() {
    let site = site(false);
    {
        let mut store = site.store.lock().unwrap();
        let arm = image(&mut store, "team/tool", "arm64", &["arm"]);
        tag(&mut store, "team/tool", "2", &arm);
    }
    let error = site.pull(false).unwrap_err().to_string();
    assert!(error.contains("team/tool:2: the image is for linux/arm64"), "{error}");
    site.store.lock().unwrap().remove("team/app/manifests/1");
    let error = site.pull(false).unwrap_err().to_string();
    assert!(error.contains("registry.example/team/app:1") && error.contains("404"), "{error}");
}

#[test]
fn a_registry_may_lie_below_another_one() {
    let site = site(false);
    {
        let mut store = site.store.lock().unwrap();
        let moved = store.clone().into_iter().map(|(path, bytes)| (format!("cache/{path}"), bytes));
        *store = moved.collect();
    }
    let mut instead = site.instead.clone();
    instead.insert("registry.example".parse().unwrap(), site.server.at("cache"));
    let site = Site { instead, ..site };
    site.pull(false).unwrap();
    let site = Site {
        instead: [("registry.example".parse().unwrap(), "file:///srv".parse().unwrap())].into(),
        ..site
    };
    assert!(site.pull(false).unwrap_err().to_string().contains("is no registry"));
}
