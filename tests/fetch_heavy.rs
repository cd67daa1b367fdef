//! How fast images come: 1 GiB of layers out of a real registry on loopback, against `curl | sha256sum` in the same run, and the memory that
//! it takes. Run by `make test-all`; prints its figures. Needs `make setup` and a release build.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[path = "common/bases.rs"]
mod bases;
#[path = "fetch/servers.rs"]
mod servers;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use kiln::digest::Sha256;
use kiln::fetch::cache::Cache;
use kiln::fetch::http::{Client, Options};
use kiln::fetch::meter::Meter;
use kiln::fetch::pull::Pull;
use kiln::fetch::registry::{Credentials, Registries};
use kiln::progress::Silent;
use peak_alloc::PeakAlloc;
use serde_json::json;
use servers::{LOGIN, Servers};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const LAYERS: u64 = 8;
const LAYER: u64 = 128 << 20;
const RUNS: usize = 3;
/// Of the speed of `curl | sha256sum`.
const BOUND: f64 = 0.8;
const MEMORY: usize = 64 << 20;

/// Bytes that do not compress, another row for each seed.
fn noise(seed: u64, to: &Path) -> Sha256 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut file = std::fs::File::create(to).unwrap();
    let mut buffer = vec![0; 1 << 20];
    for _ in 0..LAYER >> 20 {
        for eight in buffer.chunks_exact_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            eight.copy_from_slice(&state.to_le_bytes());
        }
        file.write_all(&buffer).unwrap();
    }
    Sha256::of_reader(std::fs::File::open(to).unwrap()).unwrap().0
}

/// An image of such layers in the registry; their digests.
fn publish(dir: &Path, servers: &Servers) -> Vec<Sha256> {
    let blobs = dir.join("layout/blobs/sha256");
    std::fs::create_dir_all(&blobs).unwrap();
    let put = |bytes: Vec<u8>, media: &str| {
        let digest = Sha256::of(&bytes);
        std::fs::write(blobs.join(digest.to_string()), &bytes).unwrap();
        json!({"mediaType": media, "digest": format!("sha256:{digest}"), "size": bytes.len()})
    };
    let digests: Vec<Sha256> = (0..LAYERS)
        .map(|seed| {
            let path = dir.join("layer");
            let digest = noise(seed + 1, &path);
            std::fs::rename(path, blobs.join(digest.to_string())).unwrap();
            digest
        })
        .collect();
    let layer = |digest: &Sha256| json!({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": format!("sha256:{digest}"), "size": LAYER});
    let ids: Vec<String> = digests.iter().map(|digest| format!("sha256:{digest}")).collect();
    let config = json!({"os": "linux", "architecture": "amd64", "config": {}, "rootfs": {"type": "layers", "diff_ids": ids}});
    let config = put(config.to_string().into_bytes(), "application/vnd.oci.image.config.v1+json");
    let layers: Vec<_> = digests.iter().map(layer).collect();
    let media = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({"schemaVersion": 2, "mediaType": media, "config": config, "layers": layers});
    let manifest = put(manifest.to_string().into_bytes(), media);
    std::fs::write(
        dir.join("layout/index.json"),
        json!({"schemaVersion": 2, "manifests": [manifest]}).to_string(),
    )
    .unwrap();
    std::fs::write(dir.join("layout/oci-layout"), r#"{"imageLayoutVersion": "1.0.0"}"#).unwrap();
    let (from, to) =
        (format!("oci:{}/layout", dir.display()), format!("docker://{}/big/image:1", servers.registry));
    let args = [
        "copy",
        "--quiet",
        "--insecure-policy",
        "--preserve-digests",
        "--dest-tls-verify=false",
        "--dest-creds",
        LOGIN,
    ];
    bases::run(Command::new("skopeo").args(args).arg(from).arg(to));
    digests
}

#[test]
fn layers_come_as_fast_as_curl() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("servers")).unwrap();
    let servers = Servers::start(&dir.path().join("servers"));
    let digests = publish(dir.path(), &servers);
    let options = Options { ca: Some(servers.ca.clone()), ..Options::default() };
    let client = Client::new(&options).unwrap();
    let login =
        format!(r#"{{"auths": {{"{}": {{"username": "user", "password": "pass"}}}}}}"#, servers.registry);
    let instead = BTreeMap::from([(
        "big.example".parse().unwrap(),
        format!("https://{}", servers.registry).parse().unwrap(),
    )]);
    let registries = Registries::new(&client, Credentials::parse(login.as_bytes()).unwrap(), &instead);
    let meter = Meter::new(&Silent);
    let names = ["big.example/big/image:1".parse().unwrap()].into();

    let (mut own, mut others, mut peak) = (Vec::new(), Vec::new(), 0);
    for run in 0..RUNS {
        let since = Instant::now();
        for digest in &digests {
            let url = format!("https://{}/v2/big/image/blobs/sha256:{digest}", servers.registry);
            let script = "curl -sSf --cacert \"$1\" -u \"$2\" \"$3\" | sha256sum";
            let mut curl = Command::new("sh");
            curl.args(["-c", script, "sh"]).arg(&servers.ca).arg(LOGIN).arg(url);
            assert!(bases::run(&mut curl).starts_with(&digest.to_string()));
        }
        others.push(since.elapsed().as_secs_f64());

        let cache = Cache::at_dir(dir.path().join(format!("cache-{run}")));
        let runtime = kiln::cluster::model::Runtime::Containerd;
        let pull = Pull { registries: &registries, cache: &cache, jobs: 4, meter: &meter, runtime };
        ALLOCATOR.reset_peak_usage();
        let since = Instant::now();
        pull.ensure(pull.look_up(&names).unwrap()).unwrap();
        own.push(since.elapsed().as_secs_f64());
        peak = peak.max(ALLOCATOR.peak_usage());
        std::fs::remove_dir_all(dir.path().join(format!("cache-{run}"))).unwrap();
    }
    let median = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    let (own, others) = (median(&mut own), median(&mut others));
    let speed = others / own;
    println!(
        "1 GiB of layers: kiln {own:.2} s, curl | sha256sum {others:.2} s, speed {speed:.2} (bound {BOUND}); memory {} MiB",
        peak >> 20
    );
    assert!(speed >= BOUND, "{speed:.2} of the speed of curl | sha256sum");
    assert!(peak <= MEMORY, "{peak} bytes of memory");
}
