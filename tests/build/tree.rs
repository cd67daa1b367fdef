//! `kiln build --format pxe`: what is refused, and a tree that is what its list says, with each node's keys in one file only.

use kiln::digest::Sha256;
use kiln::image::pxe::list::{Audience, LIST, TreeList};

use crate::project::{Project, names};
use crate::refused::refused;

const TREE: [&str; 4] = ["--profile", "master", "--format", "pxe"];

#[test]
fn a_tree_without_an_address_or_with_a_signature_is_refused() {
    let project = Project::new();
    refused(&project, &TREE, 2, &["needs the address", "--url"]);
    let signed = [&TREE[..], &["--url", "http://10.0.0.5/", "--sign", "a.key"]].concat();
    refused(&project, &signed, 2, &["cannot be signed"]);
    let done = project.run(&[&["build"], &TREE[..], &["--url", "https://10.0.0.5/"]].concat());
    assert_eq!(done.code, Some(2), "{}", done.err);
    assert!(done.err.contains("loaders know no https"), "{}", done.err);
}

#[test]
fn a_tree_is_what_its_list_says() {
    let project = Project::new();
    let done = project.pass(&[&["build"], &TREE[..], &["--url", "http://10.0.0.5/kiln/"]].concat());
    assert!(done.err.contains("--netboot-grub"), "the small base has no GRUB: {}", done.err);
    let tree = project.dir.join("out/demo-master.pxe");
    let list = TreeList::from_json(&std::fs::read(tree.join(LIST)).unwrap(), LIST).unwrap();
    assert!(list.files.len() > 20 && list.machines.len() > 1);
    for (path, listed) in &list.files {
        let content = std::fs::read(tree.join(path)).unwrap();
        assert_eq!((listed.size, listed.sha256), (content.len() as u64, Sha256::of(&content)), "{path}");
        let key = content.windows(11).any(|part| part == b"PRIVATE KEY");
        // kiln's own program knows the words.
        assert!(!key || listed.to.is_secret() || path == "kiln/kiln", "{path} has keys and is for all");
        if let Audience::Node(name) = &listed.to {
            assert_eq!(path, &format!("kiln/nodes/{name}.tar"));
        }
    }
    assert_eq!(names(&project.dir.join("out")), ["demo-master.pxe"]);
}
