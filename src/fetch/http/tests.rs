//! Tests of downloads, against a server that cuts, lies and refuses.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::testing::{Asked, Reply, Server, options};
use super::*;
use crate::digest::Sha256;
use crate::fetch::cache::Cache;
use crate::fetch::meter::Meter;
use crate::progress::Silent;
use crate::url::Url;

fn content(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 7 + at / 251) as u8).collect()
}

struct Bench {
    _dir: tempfile::TempDir,
    cache: Cache,
    client: Client,
}

fn bench() -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::at_dir(dir.path().join("cache"));
    Bench { _dir: dir, cache, client: Client::new(&options()).unwrap() }
}

impl Bench {
    fn get(&self, url: &Url, size: Option<u64>, sha256: Option<Sha256>) -> Result<Got> {
        let want = Download { url, size, sha256, limit: 1 << 20, login: None };
        download(&self.client, &self.cache, &want, &Meter::new(&Silent))
    }

    /// All names in the cache are right, and nothing else is whole.
    fn check(&self, wrong: Option<Sha256>) {
        let blobs = self._dir.path().join("cache/blobs");
        for shard in std::fs::read_dir(&blobs).into_iter().flatten() {
            for file in std::fs::read_dir(shard.unwrap().path()).unwrap() {
                let path = file.unwrap().path();
                let digest = Sha256::of(&std::fs::read(&path).unwrap());
                assert_eq!(path.file_name().unwrap().to_str().unwrap(), digest.to_string());
                assert_ne!(Some(digest), wrong);
            }
        }
    }
}

#[test]
fn a_file_comes_once() {
    let (bench, all) = (bench(), content(300_000));
    let (digest, body) = (Sha256::of(&all), all.clone());
    let server = Server::start(move |_| Reply::ok(body.clone()));
    let url = server.at("a/b.tgz");
    let got = bench.get(&url, Some(300_000), Some(digest)).unwrap();
    assert_eq!(got, Got { size: 300_000, sha256: digest });
    assert_eq!(std::fs::read(bench.cache.path(digest)).unwrap(), all);
    bench.get(&url, Some(300_000), Some(digest)).unwrap();
    assert_eq!(server.asked().len(), 1);
    // Without a digest it is asked for again, and nothing of it is kept twice.
    assert_eq!(bench.get(&url, None, None).unwrap(), got);
    assert_eq!(server.asked().len(), 2);
    assert_eq!(server.asked()[0].path, "/a/b.tgz");
    bench.check(None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Cut at any places, with or without an `ETag`, known or not: the file is whole in the end.
    #[test]
    fn a_cut_file_is_resumed(len in 1_usize..200_000, cuts in proptest::collection::vec(0_usize..200_000, 0..3), known: bool, tag: bool, ranges: bool) {
        let (bench, all) = (bench(), content(len));
        let digest = Sha256::of(&all);
        let (body, cuts) = (all.clone(), Mutex::new(cuts));
        let server = Server::start(move |asked: &Asked| {
            let mut reply = if ranges { Reply::part(&body, asked) } else { Reply::ok(body.clone()) };
            if tag {
                reply = reply.with("ETag", "\"one\"");
            }
            reply.cut = cuts.lock().unwrap().pop().map(|at| at % reply.body.len().max(1));
            reply
        });
        let got = bench.get(&server.at("f"), known.then_some(len as u64), known.then_some(digest)).unwrap();
        prop_assert_eq!(got, Got { size: len as u64, sha256: digest });
        for asked in server.asked().iter().skip(1) {
            let resumed = asked.headers.contains_key("range");
            prop_assert!(!resumed || known || tag, "resumed without knowing of what");
            prop_assert!(!resumed || !tag || asked.headers.get("if-range").is_some_and(|value| value == "\"one\""));
        }
        bench.check(None);
    }
}

#[test]
fn what_a_killed_kiln_left_is_taken_up() {
    let (bench, all) = (bench(), content(100_000));
    let (digest, body) = (Sha256::of(&all), all.clone());
    let mut staged = bench.cache.stage(&digest.to_string()).unwrap();
    staged.write(&all[..60_000]).unwrap();
    drop(staged);
    let server = Server::start(move |asked| Reply::part(&body, asked));
    bench.get(&server.at("f"), Some(100_000), Some(digest)).unwrap();
    assert_eq!(server.asked()[0].headers["range"], "bytes=60000-");

    // What was left is of something else: the whole does not fit, is dropped, and comes anew the next time.
    let body = content(100_001);
    let other = Sha256::of(&body);
    let mut staged = bench.cache.stage(&other.to_string()).unwrap();
    staged.write(b"something else").unwrap();
    drop(staged);
    let server = Server::start(move |asked| Reply::part(&body, asked));
    let error = bench.get(&server.at("f"), Some(100_001), Some(other)).unwrap_err();
    assert!(error.to_string().contains("not ") && error.class().exit_code() == 4, "{error}");
    bench.get(&server.at("f"), Some(100_001), Some(other)).unwrap();
    bench.check(None);
}

#[test]
fn a_busy_server_is_waited_for() {
    for status in [429, 503, 500, 502, 504, 408] {
        let (bench, count) = (bench(), AtomicUsize::new(0));
        let server = Server::start(move |_| match count.fetch_add(1, Ordering::SeqCst) {
            0 => Reply::status(status),
            1 => Reply::status(status).with("Retry-After", "1"),
            _ => Reply::ok("done"),
        });
        let since = std::time::Instant::now();
        assert_eq!(bench.get(&server.at("f"), None, None).unwrap().size, 4);
        assert!(since.elapsed() >= Duration::from_secs(1), "{status}: it did not wait");
    }
    let (bench, asks) = (bench(), AtomicUsize::new(0));
    let server = Server::start(move |_| {
        asks.fetch_add(1, Ordering::SeqCst);
        Reply::status(429).with("Retry-After", "3600")
    });
    let error = bench.get(&server.at("f"), None, None).unwrap_err();
    assert!(error.hint_text().unwrap().contains("3600 s"), "{error:?}");
    assert_eq!(server.asked().len(), 1);
    let server = Server::start(|_| Reply::status(503));
    let error = bench.get(&server.at("f"), None, None).unwrap_err();
    assert!(error.to_string().contains("503") && error.class().exit_code() == 4);
    assert_eq!(server.asked().len(), 4);
}

#[test]
fn what_is_not_what_it_must_be_gets_no_name() {
    let (bench, all) = (bench(), content(5_000));
    let wrong = Sha256::of(&all);
    let body = all.clone();
    let server = Server::start(move |_| Reply::ok(body.clone()));
    let want = Sha256::of(b"the right one");
    for (size, sha256, word) in [
        (None, Some(want), "it has the SHA-256"),
        (Some(5_000), Some(want), "it has the SHA-256"),
        (Some(4_999), Some(want), "5000 bytes, not 4999"),
        (Some(6_000), None, "5000 bytes, not 6000"),
    ] {
        let error = bench.get(&server.at("f"), size, sha256).unwrap_err();
        assert!(error.to_string().contains(word) && error.class().exit_code() == 4, "{error}");
        bench.check(Some(wrong));
    }
    // Without a length in front.
    let server = Server::start(|_| Reply::ok(content(3 << 20)));
    let error = bench.get(&server.at("f"), None, None).unwrap_err();
    assert!(error.to_string().contains("more than 1048576"), "{error}");
    let server = Server::start(|asked| Reply::part(&content(100), asked).with("Content-Length", "200"));
    assert!(
        bench.get(&server.at("f"), Some(100), None).unwrap_err().to_string().contains("200 bytes, not 100")
    );
    // A server that answers a part with another part.
    let digest = Sha256::of(&content(100));
    bench.cache.stage(&digest.to_string()).unwrap().write(&content(100)[..50]).unwrap();
    let server = Server::start(|_| {
        Reply { status: 206, ..Reply::ok(content(100)) }.with("Content-Range", "bytes 10-99/100")
    });
    let error = bench.get(&server.at("f"), Some(100), Some(digest)).unwrap_err();
    assert!(error.to_string().contains("another part"), "{error}");
    bench.check(None);
}

#[test]
fn redirects_end() {
    let bench = bench();
    let server = Server::start(|asked| match asked.path.as_str() {
        "/ok" => Reply::status(302).with("Location", "/there"),
        "/there" => Reply::ok("there"),
        "/out" => Reply::status(302).with("Location", "file:///etc/passwd"),
        path => Reply::status(307).with("Location", path),
    });
    assert_eq!(bench.get(&server.at("ok"), None, None).unwrap().size, 5);
    let error = bench.get(&server.at("loop"), None, None).unwrap_err();
    assert!(error.to_string().contains("redirects more than"), "{error}");
    assert_eq!(server.asked().len(), 2 + REDIRECTS + 1);
    assert!(bench.get(&server.at("out"), None, None).unwrap_err().to_string().contains("is a file"));
}

#[test]
fn a_login_stays_with_its_host() {
    struct Secret;
    impl Login for Secret {
        fn authorization(&self) -> Result<Option<String>> {
            Ok(Some("Bearer secret".to_owned()))
        }
        fn refused(&self, _challenge: Option<&str>) -> Result<bool> {
            Ok(false)
        }
    }
    let bench = bench();
    let other = Server::start(|_| Reply::ok("there"));
    let to = other.at("x");
    let server = Server::start(move |_| Reply::status(302).with("Location", to.as_str()));
    let url = server.at("f");
    let want = Download { url: &url, size: None, sha256: None, limit: 10, login: Some(&Secret) };
    download(&bench.client, &bench.cache, &want, &Meter::new(&Silent)).unwrap();
    assert_eq!(server.asked()[0].headers["authorization"], "Bearer secret");
    assert!(!other.asked()[0].headers.contains_key("authorization"));
}

#[test]
fn a_mirror_may_be_a_folder() {
    let bench = bench();
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("example.org/a");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("f"), "content").unwrap();
    let mirror = Some(format!("file://{}", dir.path().display()).parse().unwrap());
    let client = Client::new(&Options { mirror, ..options() }).unwrap();
    let bench = Bench { client, ..bench };
    let url = "https://example.org/a/f".parse().unwrap();
    assert_eq!(bench.get(&url, None, Some(Sha256::of(b"content"))).unwrap().size, 7);
    assert_eq!(bench.client.small(&url, 100).unwrap().unwrap(), b"content");
    assert_eq!(bench.client.small(&"https://example.org/a/g".parse().unwrap(), 100).unwrap(), None);
    let error = bench.get(&"https://example.org/a/g".parse().unwrap(), None, None).unwrap_err();
    assert!(error.hint_text().unwrap().contains("mirror"));
    assert!(bench.get(&url, Some(3), None).is_err());
}

#[test]
fn small_texts_are_small() {
    let bench = bench();
    let server = Server::start(|asked| match asked.path.as_str() {
        "/sums" => Reply::ok("abc"),
        "/big" => Reply::ok(vec![0; 2000]),
        "/secret" => Reply::status(403),
        _ => Reply::status(404),
    });
    assert_eq!(bench.client.small(&server.at("sums"), 3).unwrap().unwrap(), b"abc");
    assert_eq!(bench.client.small(&server.at("none"), 3).unwrap(), None);
    assert!(
        bench.client.small(&server.at("big"), 1000).unwrap_err().to_string().contains("larger than 1000")
    );
    assert!(bench.client.small(&server.at("secret"), 3).unwrap_err().to_string().contains("403"));
}
