//! What a power cut leaves of files that the kubelet writes without flushing: names with nothing in them, at which it fails at
//! every start. Before it starts, such files go; the kubelet then falls back to an older certificate, or asks for a new one.
//!
//! Only files that the kubelet makes by itself are looked at, and only ones that nobody can read are touched.

use std::fs;
use std::io::{ErrorKind, Read as _};
use std::path::Path;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::error::{Error, IoContext as _, Result};

/// Where the kubelet keeps its certificates (`--cert-dir`).
pub const CERTIFICATES: &str = "opt/kubernetes/ssl";
/// The two that it keeps: each is a link `…-current.pem` to the newest of several files `…-<date>.pem`.
const KINDS: [&str; 2] = ["kubelet-client-", "kubelet-server-"];
const CURRENT: &str = "current.pem";
/// Made from the bootstrap kubeconfig, which stays.
const KUBECONFIG: &str = "opt/kubernetes/cfg/kubelet.kubeconfig";
/// Notes that the kubelet makes anew.
const NOTES: [&str; 2] = ["var/lib/kubelet/cpu_manager_state", "var/lib/kubelet/memory_manager_state"];
/// A certificate and its key have a few kilobytes.
const LIMIT: u64 = 256 << 10;

/// Whether a file of the folder is one that the kubelet has rotated, and not the link to the one in use.
pub fn is_rotated(name: &str) -> bool {
    KINDS.iter().any(|kind| name.starts_with(kind)) && !name.ends_with(CURRENT)
}

/// Mends the files below `root`. Gives a line for each thing done.
pub fn mend(root: &Path) -> Result<Vec<String>> {
    let mut done = Vec::new();
    let folder = root.join(CERTIFICATES);
    for kind in KINDS {
        let mut good = Vec::new();
        for name in names(&folder)?.into_iter().filter(|name| name.starts_with(kind) && is_rotated(name)) {
            let path = folder.join(&name);
            if is_pair(&path)? {
                good.push(name)
            } else {
                remove(&path, "no certificate and key", &mut done)?
            }
        }
        let link = folder.join(format!("{kind}{CURRENT}"));
        if fs::symlink_metadata(&link).is_ok() && !is_pair(&link)? {
            remove(&link, "it leads to no certificate and key", &mut done)?;
            // Names are dates: the last one is the newest.
            if let Some(newest) = good.last() {
                std::os::unix::fs::symlink(newest, &link).at("linking", &link)?;
                done.push(format!("{} is {newest} again", link.display()));
            }
        }
    }
    let config = root.join(KUBECONFIG);
    if size(&config)?.is_some() && is_torn(&config) {
        remove(&config, "it is not whole", &mut done)?;
    }
    for note in NOTES.map(|note| root.join(note)) {
        if size(&note)? == Some(0) {
            remove(&note, "it is empty", &mut done)?;
        }
    }
    Ok(done)
}

/// The kubelet writes its server near the beginning and its key at the end.
fn is_torn(path: &Path) -> bool {
    let text = fs::read_to_string(path).unwrap_or_default();
    !(text.contains("server:") && text.contains("client-key"))
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.at("reading the folder", folder)?,
    };
    let mut names: Vec<String> =
        entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    Ok(names)
}

/// Whether a file holds a certificate and a key, both whole.
fn is_pair(path: &Path) -> Result<bool> {
    let mut bytes = Vec::new();
    match fs::File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        file => file.at("opening", path)?.take(LIMIT).read_to_end(&mut bytes).at("reading", path)?,
    };
    Ok(CertificateDer::from_pem_slice(&bytes).is_ok() && PrivateKeyDer::from_pem_slice(&bytes).is_ok())
}

fn size(path: &Path) -> Result<Option<u64>> {
    match fs::metadata(path) {
        Ok(meta) => Ok(Some(meta.len())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("looking at", path, error)),
    }
}

fn remove(path: &Path, why: &str, done: &mut Vec<String>) -> Result<()> {
    fs::remove_file(path).at("removing", path)?;
    done.push(format!("{} is gone: {why}", path.display()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAIR: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n\
                        -----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n";

    struct Node(tempfile::TempDir);

    impl Node {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            for folder in [CERTIFICATES, "opt/kubernetes/cfg", "var/lib/kubelet"] {
                fs::create_dir_all(dir.path().join(folder)).unwrap();
            }
            Self(dir)
        }

        fn put(&self, name: &str, text: &str) {
            fs::write(self.0.path().join(CERTIFICATES).join(name), text).unwrap();
        }

        fn link(&self, to: &str) {
            let link = self.0.path().join(CERTIFICATES).join("kubelet-client-current.pem");
            std::os::unix::fs::symlink(self.0.path().join(CERTIFICATES).join(to), link).unwrap();
        }

        fn files(&self) -> Vec<String> {
            names(&self.0.path().join(CERTIFICATES)).unwrap()
        }
    }

    #[test]
    fn a_node_that_is_well_is_left_alone() {
        let node = Node::new();
        assert!(mend(node.0.path()).unwrap().is_empty());
        node.put("kubelet-client-2026-11-23-06-00-00.pem", PAIR);
        node.link("kubelet-client-2026-11-23-06-00-00.pem");
        node.put("ca.pem", "");
        node.put("apiserver-kubelet-client.pem", "");
        let config = node.0.path().join(KUBECONFIG);
        fs::write(
            &config,
            "clusters:\n- cluster:\n    server: https://a:6443\nusers:\n- user:\n    client-key: x\n",
        )
        .unwrap();
        fs::write(node.0.path().join(NOTES[0]), "{}").unwrap();
        assert!(mend(node.0.path()).unwrap().is_empty());
        assert_eq!(node.files().len(), 4);
        assert!(mend(Path::new("/nowhere")).unwrap().is_empty());
    }

    #[test]
    fn an_empty_certificate_is_asked_for_again() {
        let node = Node::new();
        node.put("kubelet-client-2026-11-23-06-00-00.pem", "");
        node.link("kubelet-client-2026-11-23-06-00-00.pem");
        assert_eq!(mend(node.0.path()).unwrap().len(), 2);
        assert!(node.files().is_empty());
        // A link alone, as the folder's entries may be on disk in any order.
        node.link("kubelet-client-2026-11-23-06-00-00.pem");
        assert_eq!(mend(node.0.path()).unwrap().len(), 1);
        assert!(node.files().is_empty());
    }

    #[test]
    fn a_torn_renewal_falls_back_to_what_was_there() {
        for torn in ["", &PAIR[..70], &PAIR[..110]] {
            let node = Node::new();
            node.put("kubelet-client-2026-11-23-06-00-00.pem", PAIR);
            node.put("kubelet-client-2027-08-01-06-00-00.pem", torn);
            node.link("kubelet-client-2027-08-01-06-00-00.pem");
            mend(node.0.path()).unwrap();
            assert_eq!(
                node.files(),
                ["kubelet-client-2026-11-23-06-00-00.pem", "kubelet-client-current.pem"]
            );
            let link = node.0.path().join(CERTIFICATES).join("kubelet-client-current.pem");
            assert_eq!(fs::read_to_string(link).unwrap(), PAIR);
        }
    }

    #[test]
    fn empty_notes_and_kubeconfigs_go() {
        let node = Node::new();
        for file in [KUBECONFIG, NOTES[0], NOTES[1]] {
            fs::write(node.0.path().join(file), "").unwrap();
        }
        assert_eq!(mend(node.0.path()).unwrap().len(), 3);
        fs::write(node.0.path().join(KUBECONFIG), "apiVersion: v1\nclusters:\n- clu").unwrap();
        assert_eq!(mend(node.0.path()).unwrap().len(), 1);
    }
}
