use std::io::Write as _;
use std::process::{Command, Stdio};

use super::*;
use crate::tree::Entry;

fn sample() -> Tree {
    let mut tree = Tree::default();
    let mut add = |path: &str, entry| tree.insert(NodePath::new(path).unwrap(), entry).unwrap();
    add("/etc", Entry::dir(0o700, "test"));
    add("/etc/kiln/a", Entry::file(0o640, Blob::bytes(*b"abc"), "test"));
    add("/etc/kiln/sub", Entry::dir(0o750, "test"));
    add("/etc/kiln/sub/empty", Entry::file(0o600, Blob::default(), "test"));
    add("/updates/opt/x", Entry::file(0o755, Blob::bytes(vec![7; 5000]), "test"));
    add("/updates/opt/y", Entry::symlink("../z", "test"));
    tree
}

fn packed(packing: Packing) -> Vec<u8> {
    let mut out = Vec::new();
    write(&sample(), packing, &mut out).unwrap();
    out
}

const NAMES: [&str; 8] = [
    "etc/kiln",
    "etc/kiln/a",
    "etc/kiln/sub",
    "etc/kiln/sub/empty",
    "updates",
    "updates/opt",
    "updates/opt/x",
    "updates/opt/y",
];

#[test]
fn what_is_written_is_read() {
    let bytes = packed(Packing::Plain);
    let mut reader = Reader::new(bytes.as_slice());
    let mut names = Vec::new();
    while let Some(member) = reader.next_member().unwrap() {
        assert_eq!((member.owner, member.mtime), ((0, 0), 0));
        let mut content = Vec::new();
        // The file in the middle is passed over.
        if member.name != "etc/kiln/a" {
            reader.content().read_to_end(&mut content).unwrap();
            assert_eq!(content.len() as u64, member.size);
        }
        match member.name.as_str() {
            "etc/kiln" => assert_eq!(member.mode, 0o040_755),
            "etc/kiln/sub" => assert_eq!(member.mode, 0o040_750),
            "updates/opt/x" => assert_eq!((member.mode, content), (0o100_755, vec![7; 5000])),
            "updates/opt/y" => assert_eq!((member.mode, content), (0o120_777, b"../z".to_vec())),
            _ => {}
        }
        names.push(member.name);
    }
    assert_eq!(names, NAMES);
    assert_eq!(reader.next_member().unwrap(), None);
}

#[test]
fn cpio_itself_reads_every_packing() {
    for (packing, unpack) in
        [(Packing::Plain, "cat"), (Packing::Gzip, "gzip -dc"), (Packing::Zstd, "zstd -dc")]
    {
        let bytes = packed(packing);
        assert_eq!(bytes, packed(packing));
        // Zeros behind a packed stream are what a kernel skips, and these tools mind.
        let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        let bytes = if packing == Packing::Zstd { &bytes[..end] } else { &bytes[..] };
        let mut child = Command::new("sh")
            .args(["-c", &format!("{unpack} 2>/dev/null | cpio -itv --quiet")])
            .env("LC_ALL", "C")
            .env("TZ", "UTC0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this test needs cpio, gzip and zstd");
        child.stdin.take().unwrap().write_all(bytes).unwrap();
        let told = child.wait_with_output().unwrap();
        assert!(told.status.success());
        let told = String::from_utf8(told.stdout).unwrap();
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(lines.len(), NAMES.len(), "{packing:?}: {told}");
        for (line, name) in lines.iter().zip(NAMES) {
            assert!(line.contains(name) && line.contains("root     root"), "{line}");
            assert!(line.contains("Jan  1  1970"), "{line}");
        }
    }
}

#[test]
fn every_packing_ends_at_four_bytes() {
    for packing in [Packing::Plain, Packing::Gzip, Packing::Zstd] {
        assert_eq!(packed(packing).len() % 4, 0);
    }
    assert_eq!(packed(Packing::Gzip)[4..8], [0; 4], "gzip holds a time");
    let magic = packed(Packing::Zstd).windows(4).filter(|four| *four == [0x28, 0xb5, 0x2f, 0xfd]).count();
    assert_eq!(magic, 1, "the kernel reads one frame");
}

#[test]
fn links_of_the_initrd_are_not_replaced() {
    for path in ["/bin/x", "/lib/modules/y", "/sbin/z"] {
        let tree = crate::testing::tree_of(path, "x");
        let error = write(&tree, Packing::Plain, &mut Vec::new()).unwrap_err();
        assert!(error.hint_text().unwrap().contains("below /usr/"), "{error}");
    }
    let tree = crate::testing::tree_of("/usr/bin/x", "x");
    let mut out = Vec::new();
    write(&tree, Packing::Plain, &mut out).unwrap();
    let mut reader = Reader::new(out.as_slice());
    assert_eq!(reader.next_member().unwrap().unwrap().name, "usr/bin");
}

#[test]
fn damage_is_an_error() {
    let bytes = packed(Packing::Plain);
    let all = |bytes: &[u8]| -> Result<u32> {
        let mut reader = Reader::new(bytes);
        let mut count = 0;
        while reader.next_member()?.is_some() {
            count += 1;
        }
        Ok(count)
    };
    assert_eq!(all(&bytes).unwrap(), 8);
    let end = bytes.windows(10).position(|part| part == b"TRAILER!!!").unwrap();
    for cut in 0..end {
        assert!(all(&bytes[..cut]).is_err(), "{cut}");
    }
    for at in [0, 6, 54, 94] {
        let mut bad = bytes.clone();
        bad[at] = b'+';
        assert!(all(&bad).is_err(), "{at}");
    }
    let changed = Blob::bytes(*b"abc").known(Sha256([1; 32]));
    let mut tree = Tree::default();
    tree.insert(NodePath::new("/a").unwrap(), Entry::file(0o600, changed, "test")).unwrap();
    assert!(write(&tree, Packing::Plain, &mut Vec::new()).is_err());
}
