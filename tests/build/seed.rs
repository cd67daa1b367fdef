//! `--secrets seed` and `--format seed`: the public half holds no secret, the seed holds them all, and each is what its manifest says.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine;
use serde_json::Value;

use crate::bases;
use crate::medium::{extract, manifest};
use crate::project::{PROFILES, Project, names, sha256, snapshot};
use crate::refused::refused;

/// How much of a secret is looked for: long enough to be no chance, short enough to fit every way of writing it.
const PART: usize = 24;

fn hash() -> String {
    format!("$6$saltsaltsalt${}", "h".repeat(86))
}

pub fn with_password(project: &Project) {
    project.edit("[console]", &format!("[access]\nroot_password_hash = \"{}\"\n\n[console]", hash()));
}

fn pair(project: &Project, profile: &str) -> (PathBuf, PathBuf) {
    project.pass(&["build", "--profile", profile, "--secrets", "seed"]);
    (project.output(profile), project.dir.join(format!("out/demo-{profile}.seed.iso")))
}

/// Every secret of a project by its name, as parts of it that cannot be anything else: lines of keys, what base64 makes of PEM in
/// kubeconfigs (in each of its three phases), tokens, and the tokens derived from them, out of `seed`.
pub fn needles(project: &Project, seed: &[u8]) -> BTreeMap<Vec<u8>, String> {
    let mut found = BTreeMap::new();
    let pki = project.dir.join("pki");
    for path in snapshot(&pki).into_keys().filter(|path| path.is_file()) {
        let name = path.strip_prefix(&pki).unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let mut add = |bytes: &[u8]| {
            if bytes.len() >= PART {
                found.insert(bytes[bytes.len() - PART..].to_vec(), name.clone());
            }
        };
        match path.file_name().unwrap().to_str().unwrap() {
            "key.pem" | "sa.key" => {
                let body: Vec<&str> = text.lines().filter(|line| !line.starts_with("-----")).collect();
                body.iter().for_each(|line| add(line.as_bytes()));
                for phase in 0..3 {
                    let encoded = base64::engine::general_purpose::STANDARD_NO_PAD.encode(&text[phase..]);
                    // Behind what all keys of one kind begin with.
                    add(&encoded.as_bytes()[130..170]);
                }
            }
            "secrets.key" => add(text.trim().as_bytes()),
            "bootstrap-token.toml" => {
                let token = text.split('"').nth(1).unwrap().split_once('.').unwrap().1;
                found.insert(token.as_bytes().to_vec(), name);
            }
            _ => {}
        }
    }
    for row in String::from_utf8_lossy(seed).split("\"token\": \"").skip(1) {
        let token = row.split('"').next().unwrap();
        if let Some((_, secret)) =
            token.split_once('.').filter(|(id, secret)| (id.len(), secret.len()) == (6, 16))
        {
            found.insert(secret.as_bytes().to_vec(), "a joiner's token".to_owned());
        }
    }
    found.insert(hash().into_bytes(), "the password's hash".to_owned());
    found
}

/// Names of what of `needles` lies anywhere in a file: every byte of it is looked at, in files, between them and in the slack.
pub fn held(path: &Path, needles: &BTreeMap<Vec<u8>, String>) -> BTreeSet<String> {
    let bytes = std::fs::read(path).unwrap();
    let mut starts: BTreeMap<[u8; 4], Vec<(&[u8], &String)>> = BTreeMap::new();
    for (needle, name) in needles {
        starts.entry(needle[..4].try_into().unwrap()).or_default().push((needle, name));
    }
    let mut wanted = vec![false; 1 << 16];
    starts.keys().for_each(|start| wanted[usize::from(u16::from_be_bytes([start[0], start[1]]))] = true);
    let mut found = BTreeSet::new();
    for at in 0..bytes.len().saturating_sub(4) {
        if !wanted[usize::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]))] {
            continue;
        }
        let start: [u8; 4] = bytes[at..at + 4].try_into().unwrap();
        let fits = starts.get(&start).into_iter().flatten();
        found.extend(
            fits.filter(|(needle, _)| bytes[at..].starts_with(needle)).map(|(_, name)| (*name).clone()),
        );
    }
    found
}

pub fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o7777
}

#[test]
fn the_public_half_holds_no_secret_in_any_byte() {
    let project = Project::new();
    with_password(&project);
    for profile in PROFILES {
        let whole = project.build(profile);
        let kept = project.beside("whole").join(profile);
        std::fs::rename(&whole, &kept).unwrap();
        let (public, seed) = pair(&project, profile);
        assert_eq!((mode(&public), mode(&seed)), (0o644, 0o600), "{profile}");
        let needles = needles(&project, &std::fs::read(&kept).unwrap());
        assert!(needles.len() > 40, "{}", needles.len());
        assert_eq!(held(&public, &needles), BTreeSet::new(), "{profile}");
        // The test can see: what the whole medium has, the seed has.
        let secrets = held(&kept, &needles);
        assert!(secrets.contains("the password's hash") && secrets.len() > 2, "{profile}: {secrets:?}");
        assert_eq!(held(&seed, &needles), secrets, "{profile}");
        std::fs::remove_file(kept).unwrap();
    }
}

/// What differs between two files, as far as it can be told: sectors.
fn sectors(one: &Path, other: &Path) -> usize {
    let (one, other) = (std::fs::read(one).unwrap(), std::fs::read(other).unwrap());
    assert_eq!(one.len(), other.len());
    one.chunks(2048).zip(other.chunks(2048)).filter(|(a, b)| a != b).count()
}

/// Two extracted public halves of clusters that differ in their authorities only: `texts` are the same but for what is public of a build,
/// and the digests of those of them that the manifest names, `digests`; all other files are the same.
pub fn same_but_for_public_facts(one: &Path, two: &Path, texts: &[&str], digests: &[&str]) {
    let plain = |media: &Path, file: &str| {
        let told = manifest(media);
        let mut text = std::fs::read_to_string(media.join(file)).unwrap();
        for fact in ["authority", "build_id", "label"] {
            text = text.replace(told[fact].as_str().unwrap(), fact);
        }
        digests.iter().fold(text, |text, file| text.replace(&sha256(&media.join(file)), "a text's digest"))
    };
    for (path, (_, _, digest)) in snapshot(one) {
        let name = path.strip_prefix(one).unwrap();
        match name.to_str().unwrap() {
            file if texts.contains(&file) => assert_eq!(plain(one, file), plain(two, file), "{file}"),
            _ if path.is_file() => assert_eq!(sha256(&two.join(name)), digest, "{name:?}"),
            _ => assert!(two.join(name).exists(), "{name:?}"),
        }
    }
    assert_eq!(snapshot(one).len(), snapshot(two).len());
    assert_ne!(manifest(one)["authority"], manifest(two)["authority"]);
}

#[test]
fn other_secrets_make_the_same_public_half() {
    let project = Project::new();
    let (public, seed) = pair(&project, "master");
    let (first, first_seed) = (sha256(&public), sha256(&seed));
    let (public, seed) = pair(&project, "master");
    assert_eq!((sha256(&public), sha256(&seed)), (first.clone(), first_seed.clone()), "built twice");
    project.pass(&["build", "--profile", "master", "--format", "seed", "-o", "again.iso"]);
    assert_eq!(sha256(&project.dir.join("again.iso")), first_seed, "the seed alone");
    assert_eq!(mode(&project.dir.join("again.iso")), 0o600);

    // A password, and certificates and tokens that are issued anew under the same authorities.
    with_password(&project);
    std::fs::remove_dir_all(project.dir.join("pki/nodes")).unwrap();
    std::fs::remove_file(project.dir.join("pki/bootstrap-token.toml")).unwrap();
    let (public, seed) = pair(&project, "master");
    assert_eq!(sha256(&public), first, "the public half depends on secrets");
    assert_ne!(sha256(&seed), first_seed);

    // Other authorities: their digest is a public fact, by which a seed of the other cluster is refused.
    let kept = project.dir.join("first.iso");
    std::fs::rename(&public, &kept).unwrap();
    std::fs::rename(project.dir.join("pki"), project.dir.join("old-pki")).unwrap();
    let (other, _) = pair(&project, "master");
    let (one, two) = (extract(&project, &kept), extract(&project, &other));
    same_but_for_public_facts(&one, &two, &["ks.cfg", "kiln/manifest.json"], &["ks.cfg"]);
    assert!(
        sectors(&kept, &other) < 100,
        "descriptors, menus, kickstart, manifest: {}",
        sectors(&kept, &other)
    );
}

#[test]
fn both_halves_are_inspected_signed_and_verified() {
    let project = Project::new();
    project.pass(&["key", "create", "--no-password", "ops.key"]);
    let args = ["build", "-p", "lb", "--secrets", "seed", "--sign", "ops.key", "--json", "-o", "a.iso"];
    let told: Value = serde_json::from_str(&project.pass(&args).out).unwrap();
    assert_eq!(told["seed"]["output"], "a.seed.iso");
    assert_eq!(told["seed"]["sha256"], sha256(&project.dir.join("a.seed.iso")).as_str());
    assert_eq!(told["seed"]["signature"], "a.seed.iso.minisig");
    let keys = needles(&project, b"");
    for (file, part) in [("a.iso", "public"), ("a.seed.iso", "seed")] {
        project.pass(&["verify", file, "--key", "ops.pub"]);
        let text = project.pass(&["inspect", "--check", file]).out;
        let json: Value =
            serde_json::from_str(&project.pass(&["inspect", "--check", "--json", file]).out).unwrap();
        assert_eq!(
            (&json["kiln"]["part"], &json["kiln"]["build_id"]),
            (&Value::from(part), &told["build_id"])
        );
        for secret in keys.keys() {
            let secret = String::from_utf8_lossy(secret).into_owned();
            assert!(!text.contains(&secret) && !json.to_string().contains(&secret), "{file}");
        }
    }
    let text = project.pass(&["inspect", "a.seed.iso"]).out;
    assert!(text.contains(&format!("this is the seed of {}", told["label"].as_str().unwrap())), "{text}");
    assert!(project.pass(&["inspect", "a.iso"]).out.contains("they are on the seed of this build"));
    let bill = project.run(&["inspect", "--sbom", "a.seed.iso"]);
    assert!(bill.code == Some(2) && bill.err.contains("it is a seed"), "{}", bill.err);
    // A flipped bit is found.
    let path = project.dir.join("a.seed.iso");
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(11).position(|part| part == b"PRIVATE KEY").unwrap();
    bytes[at] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    for args in [&["inspect", "--check", "a.seed.iso"][..], &["verify", "a.seed.iso", "--key", "ops.pub"]] {
        assert_eq!(project.run(args).code, Some(2), "{args:?}");
    }
}

#[test]
fn a_seed_with_the_payload_is_a_volume_that_anaconda_reads() {
    let project = Project::new();
    with_password(&project);
    project.pass(&["build", "--profile", "lb", "--format", "seed", "--payload"]);
    let volume = project.dir.join("out/demo-lb.oemdrv.iso");
    assert_eq!(mode(&volume), 0o600);
    let told = bases::run(Command::new("isoinfo").arg("-d").arg("-i").arg(&volume));
    assert!(told.contains("Volume id: OEMDRV\n"), "{told}");
    let media = extract(&project, &volume);
    let kickstart = std::fs::read_to_string(media.join("ks.cfg")).unwrap();
    let label = manifest(&media)["label"].as_str().unwrap().to_owned();
    for line in ["\ncdrom\n".to_owned(), format!("rootpw --iscrypted {}\n", hash()), format!("'\"{label}\"'")]
    {
        assert!(kickstart.contains(&line), "{line}: {kickstart}");
    }
    assert!(kickstart.contains("media=/run/kiln-medium\n") && !kickstart.contains("/run/install/repo"));
    assert_eq!(manifest(&media)["spread"], "beside");
    project.pass(&["node", "verify", "--media", media.to_str().unwrap()]);
    let text = project.pass(&["inspect", "--check", volume.to_str().unwrap()]).out;
    assert!(text.contains("beside the vendor's own medium") && !text.contains("PROBLEM"), "{text}");
    let first = sha256(&volume);
    project.pass(&["build", "--profile", "lb", "--format", "seed", "--payload"]);
    assert_eq!(sha256(&volume), first);
}

#[test]
fn what_cannot_be_spread_is_refused() {
    let project = Project::new();
    let build = |args: &'static [&'static str]| [&["--profile", "lb"], args].concat();
    refused(&project, &build(&["--payload"]), 2, &["--payload is for seeds"]);
    refused(&project, &build(&["--beside", "image"]), 2, &["--beside is for seeds"]);
    let image = build(&["--format", "seed", "--beside", "image"]);
    refused(&project, &image, 2, &["names no cloud image"]);
    refused(&project, &build(&["--format", "seed", "--node", "lb1"]), 2, &["--node is for disk images"]);
    let both = build(&["--format", "seed", "--payload", "--secrets", "seed"]);
    refused(&project, &both, 2, &["one volume for all"]);
    // A file of the user's at the place of the seed is not replaced, and nothing is built then.
    let out = project.dir.join("out");
    std::fs::create_dir(&out).unwrap();
    std::fs::write(out.join("demo-lb.seed.iso"), "mine").unwrap();
    refused(&project, &build(&["--secrets", "seed"]), 2, &["demo-lb.seed.iso exists already"]);
    assert_eq!(names(&out), ["demo-lb.seed.iso"]);
    // An overlay whose file is for all, and holds a key.
    let overlay = project.dir.join("overlays/common/etc/own.pem");
    std::fs::create_dir_all(overlay.parent().unwrap()).unwrap();
    std::fs::write(overlay, "-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----\n").unwrap();
    std::fs::remove_file(out.join("demo-lb.seed.iso")).unwrap();
    let done = project.run(&["build", "--profile", "lb", "--secrets", "seed"]);
    assert_eq!(done.code, Some(2), "{}", done.err);
    assert!(done.err.contains("/etc/own.pem") && done.err.contains("holds a private key"), "{}", done.err);
    assert_eq!(names(&out), [""; 0]);
}

#[test]
fn a_tree_has_its_seed_beside_it() {
    let project = Project::new();
    with_password(&project);
    let url = ["--format", "pxe", "--url", "http://10.0.0.5/"];
    project.pass(&[&["build", "-p", "lb", "--secrets", "seed"], &url[..]].concat());
    let seed = project.dir.join("out/demo-lb.seed.iso");
    let needles = needles(&project, b"");
    assert!(held(&seed, &needles).contains("the password's hash"));
    let tree = project.dir.join("out/demo-lb.pxe");
    for path in snapshot(&tree).into_keys().filter(|path| path.is_file()) {
        if path.metadata().unwrap().len() > 4 {
            assert_eq!(held(&path, &needles), BTreeSet::new(), "{}", path.display());
        }
    }
    let kickstart = std::fs::read_to_string(tree.join("ks.cfg")).unwrap();
    assert!(kickstart.contains("%include /tmp/kiln/access.ks\n"), "{kickstart}");
}
