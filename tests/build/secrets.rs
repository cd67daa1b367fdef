//! Who gets which secret: every archive of every medium is unpacked with tar and compared with the keys in `pki/`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use base64::Engine;

use crate::bases;
use crate::medium::extract;
use crate::project::{PROFILES, Project, snapshot};

/// The body of a PEM file's keys, one line each: found wherever the key is, whatever is around it.
fn bodies(text: &str) -> BTreeSet<String> {
    let blocks = text.split("-----BEGIN PRIVATE KEY-----").skip(1);
    blocks.map(|block| block.split("-----END").next().unwrap().split_whitespace().collect()).collect()
}

/// Names of the private keys of `pki/` by their body.
fn keys(pki: &Path) -> BTreeMap<String, String> {
    let mut keys = BTreeMap::new();
    for path in snapshot(pki).into_keys().filter(|path| path.is_file()) {
        let name = path.strip_prefix(pki).unwrap().to_str().unwrap().to_owned();
        for body in bodies(&std::fs::read_to_string(&path).unwrap()) {
            assert!(keys.insert(body, name.clone()).is_none(), "{name} has another's key");
        }
    }
    keys
}

/// An archive's files by path, all as text.
fn unpack(project: &Project, archive: &Path, name: &str) -> BTreeMap<String, String> {
    let to = project.beside(name);
    bases::run(Command::new("tar").arg("-xpf").arg(archive).arg("--no-same-owner").arg("-C").arg(&to));
    let files = snapshot(&to).into_keys().filter(|path| path.is_file() && !path.is_symlink());
    files
        .map(|path| {
            let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
            (format!("/{}", path.strip_prefix(&to).unwrap().to_str().unwrap()), text)
        })
        .collect()
}

/// Names of the keys of `pki/` that lie in a text, plain (PEM) or as base64 of PEM (kubeconfigs).
fn held(files: &BTreeMap<String, String>, keys: &BTreeMap<String, String>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (path, text) in files {
        let mut bodies = bodies(text);
        let words = text.split(|c: char| c.is_whitespace() || c == '"');
        for word in words.filter(|word| word.starts_with("LS0tLS1CRUdJTiB")) {
            let pem = base64::engine::general_purpose::STANDARD.decode(word).unwrap();
            bodies.extend(self::bodies(&String::from_utf8(pem).unwrap()));
        }
        for body in bodies {
            let known = keys.get(&body).unwrap_or_else(|| panic!("{path} holds a key that is not in pki/"));
            found.insert(known.clone());
        }
    }
    found
}

fn set(names: &[String]) -> BTreeSet<String> {
    names.iter().cloned().collect()
}

#[test]
fn each_medium_holds_what_its_nodes_need_and_no_more() {
    let project = Project::new();
    let media = PROFILES.map(|profile| extract(&project, &project.build(profile)));
    let pki = project.dir.join("pki");
    let keys = keys(&pki);
    let archive = |media: &Path, path: &str| {
        let name = format!("{}-{}", media.file_stem().unwrap().to_str().unwrap(), path.replace('/', "-"));
        unpack(&project, &media.join("kiln").join(path), &name)
    };
    let leaves = |node: &str, names: &[&str]| -> Vec<String> {
        names.iter().map(|name| format!("nodes/{node}/{name}/key.pem")).collect()
    };

    let [master, worker, lb] = &media;
    for node in ["k8s-master1", "k8s-master2", "k8s-master3"] {
        let files = archive(master, &format!("nodes/{node}.tar"));
        let mut wanted = leaves(
            node,
            &[
                "agent",
                "apiserver",
                "apiserver-etcd-client",
                "apiserver-kubelet-client",
                "controller-manager",
                "etcd-healthcheck-client",
                "etcd-peer",
                "etcd-server",
                "front-proxy-client",
                "kiln-approver",
                "kube-proxy",
                "scheduler",
            ],
        );
        wanted.extend(
            ["ca/kubernetes/key.pem", "operators/admin/key.pem", "service-account/sa.key"].map(String::from),
        );
        assert_eq!(held(&files, &keys), set(&wanted), "{node}");
        assert!(files.contains_key("/opt/kubernetes/cfg/admin.kubeconfig"));
    }
    for node in ["k8s-node1", "k8s-node2"] {
        let files = archive(worker, &format!("nodes/{node}.tar"));
        assert_eq!(held(&files, &keys), set(&leaves(node, &["agent", "kube-proxy"])), "{node}");
    }
    for node in ["lb1", "lb2"] {
        let files = archive(lb, &format!("nodes/{node}.tar"));
        assert_eq!(held(&files, &keys), set(&leaves(node, &["agent"])), "{node}");
    }
    for (media, profile) in media.iter().zip(PROFILES) {
        let files = archive(media, "common.tar");
        assert_eq!(held(&files, &keys), BTreeSet::new(), "{profile}: what all nodes share holds no key");
    }
    let powerful = ["admin", "controller-manager", "scheduler"].map(|name| format!("{name}.kubeconfig"));
    for media in [worker, lb] {
        let found = snapshot(media.parent().unwrap()).into_keys().filter(|path| {
            let text = path.to_string_lossy();
            !text.contains("demo-master")
                && !text.contains("/project/")
                && powerful.iter().any(|name| text.ends_with(name.as_str()))
        });
        assert_eq!(found.count(), 0);
    }
    each_kubelet_has_a_token_of_its_own(&project, &media);
}

/// The bootstrap token in `pki/` is on no medium. Those derived from it lie each in the archive of its own node or pool, and all
/// of them in the masters'.
fn each_kubelet_has_a_token_of_its_own(project: &Project, media: &[std::path::PathBuf]) {
    let archives: Vec<_> = media
        .iter()
        .flat_map(|media| snapshot(media).into_keys())
        .filter(|path| path.is_file())
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), std::fs::read(path).unwrap()))
        .collect();
    let holders = |secret: &str| -> Vec<&str> {
        let holds = |bytes: &[u8]| bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
        archives.iter().filter(|(_, bytes)| holds(bytes)).map(|(name, _)| name.as_str()).collect()
    };
    assert_eq!(holders(&token(project)), [""; 0]);
    let (_, master) = archives.iter().find(|(name, _)| name == "k8s-master1").unwrap();
    let text = String::from_utf8_lossy(master);
    let list = &text[text.find("\"tokens\": [").unwrap()..];
    let masters = ["k8s-master1", "k8s-master2", "k8s-master3"];
    let mut joiners = Vec::new();
    for row in list[..list.find(']').unwrap()].split('{').skip(1) {
        let words: Vec<&str> = row.split('"').collect();
        let joiner = words[3].split_once('/').unwrap().1;
        let mut wanted = BTreeSet::from(masters);
        wanted.insert(joiner);
        let (_, secret) = words[7].split_once('.').unwrap();
        assert_eq!(holders(secret).into_iter().collect::<BTreeSet<_>>(), wanted, "{joiner}");
        joiners.push(joiner);
    }
    assert!(joiners.len() >= 5 && joiners.contains(&"k8s-node2"), "{joiners:?}");
}

/// The secret half of the bootstrap token.
fn token(project: &Project) -> String {
    let stored = std::fs::read_to_string(project.dir.join("pki/bootstrap-token.toml")).unwrap();
    let token = stored.split('"').nth(1).unwrap();
    token.split_once('.').unwrap().1.to_owned()
}

#[test]
fn what_anyone_may_read_tells_no_secret() {
    let project = Project::new();
    let hash = format!("$6$saltsaltsalt${}", "h".repeat(86));
    let keys = ["ca/kubernetes", "ca/etcd", "operators/admin", "nodes/k8s-master1/apiserver"];
    for with_hash in [false, true] {
        if with_hash {
            project.edit("[console]", &format!("[access]\nroot_password_hash = \"{hash}\"\n\n[console]"));
        }
        for profile in PROFILES {
            let built = project.pass(&["build", "--json", "--profile", profile]);
            let medium = project.output(profile);
            let path = medium.to_str().unwrap();
            let media = extract(&project, &medium);
            let kickstart = std::fs::read_to_string(media.join("ks.cfg")).unwrap();
            // A hash that the user gives has to be in the kickstart, which the installer reads; a medium is 0600 for it.
            assert_eq!(kickstart.contains(&hash), with_hash);
            assert!(with_hash || kickstart.contains("rootpw --lock"), "{kickstart}");
            let mut texts = vec![
                ("manifest", std::fs::read_to_string(media.join("kiln/manifest.json")).unwrap()),
                ("the result", built.out + &built.err),
            ];
            for args in [&["inspect", path][..], &["inspect", "--json", path], &["inspect", "--check", path]]
            {
                let done = project.pass(args);
                texts.push(("inspect", done.out + &done.err));
            }
            for args in [&["plan"][..], &["plan", "--json"], &["pki", "show"], &["pki", "show", "--json"]] {
                let done = project.run(args);
                texts.push(("plan or pki show", done.out + &done.err));
            }
            for (what, text) in &texts {
                assert!(!text.contains(&hash), "{profile}: {what} tells the password's hash");
            }
            texts.push(("the kickstart", kickstart));
            for (what, text) in &texts {
                assert!(
                    !text.contains("PRIVATE KEY") && !text.contains(&token(&project)),
                    "{profile}: {what}"
                );
                for key in keys {
                    let pem =
                        std::fs::read_to_string(project.dir.join("pki").join(key).join("key.pem")).unwrap();
                    let line = pem.lines().nth(1).unwrap();
                    assert!(!text.contains(line), "{profile}: {what} tells {key}");
                }
            }
        }
    }
}
