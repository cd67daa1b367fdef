//! The ISO reader against images that other programs made, and against damage.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "common/bases.rs"]
mod bases;

use std::collections::BTreeSet;
use std::fs::File;
use std::process::Command;

use bases::{LAYOUTS, base, run};
use kiln::format::iso9660::read::Iso;
use kiln::format::iso9660::tree::{Kind, Tree};
use proptest::prelude::*;

fn paths(tree: &Tree) -> BTreeSet<String> {
    tree.walk().into_iter().map(|(path, _)| path).collect()
}

#[test]
fn the_same_tree_as_xorriso_sees() {
    for layout in LAYOUTS {
        let path = base(layout);
        let iso = Iso::open(File::open(&path).unwrap()).unwrap();
        let listed = run(Command::new("xorriso").args([
            "-indev",
            path.to_str().unwrap(),
            "-find",
            "/",
            "-exec",
            "echo",
        ]));
        let want: BTreeSet<String> = listed
            .lines()
            .map(|line| line.trim_matches('\'').to_owned())
            .filter(|line| line != "/")
            .collect();
        let mut got = paths(&iso.tree);
        // genisoimage keeps the folder of moved directories in sight, and so does xorriso; it is empty for users.
        got.retain(|path| want.contains(path) || path != "/rr_moved");
        assert_eq!(got, want, "{layout}");
        assert!(iso.joliet.is_some());
    }
}

#[test]
fn content_names_and_links() {
    for layout in LAYOUTS {
        let iso = Iso::open(File::open(base(layout)).unwrap()).unwrap();
        let deep = iso.read_path("/a/b/c/d/e/f/g/h/i/j/file-in-a-deep-place.txt", 100).unwrap().unwrap();
        assert_eq!(deep, b"deep\n");
        let node = iso.tree.node(iso.tree.find("/Packages/long-link").unwrap());
        let p = "p".repeat(60);
        assert_eq!(node.kind, Kind::Symlink);
        assert_eq!(node.rock.target.as_deref(), Some(format!("../{p}/../{p}/{p}/{p}/x").as_str()));
        assert!(iso.read_path("/images/install.img", 100).unwrap_err().to_string().contains("500000 bytes"));
        assert_eq!(iso.read_path("/none", 100).unwrap(), None);
        assert!(iso.volumes.boot_catalog.is_some());
    }
}

#[test]
fn the_view_of_the_partition_is_the_same_tree() {
    let file = File::open(base("el10")).unwrap();
    let whole = Iso::open(&file).unwrap();
    let part = Iso::open_at(&file, 16).unwrap();
    assert_eq!(paths(&whole.tree), paths(&part.tree));
    for path in paths(&whole.tree) {
        let (a, b) = (whole.tree.find(&path).unwrap(), part.tree.find(&path).unwrap());
        if whole.tree.node(a).kind == Kind::File && whole.tree.node(a).size() > 0 {
            assert_eq!(whole.tree.node(a).block(), part.tree.node(b).block() + 16, "{path}");
        }
    }
}

#[test]
fn truncated_and_empty_images_are_named_so() {
    let bytes = std::fs::read(base("el9")).unwrap();
    let message = |bytes: &[u8]| Iso::open(bytes).unwrap_err().to_string();
    assert!(message(&bytes[..bytes.len() - 4096]).contains("truncated"));
    assert!(message(&[]).contains("not an ISO 9660 image"));
    assert!(message(&bytes[..40_000]).contains("truncated"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Damage anywhere in the descriptors and directories gives an error or another tree, never a panic or a loop.
    #[test]
    fn damage_never_panics(layout in 0..3_usize, hits in prop::collection::vec((32768..330_000_usize, any::<u8>()), 1..40)) {
        let mut bytes = std::fs::read(base(LAYOUTS[layout])).unwrap();
        for (at, value) in hits {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        if let Ok(iso) = Iso::open(bytes.as_slice()) {
            for (_, id) in iso.tree.walk() {
                let _ = iso.read_node(iso.tree.node(id), 1 << 20);
            }
        }
    }
}
