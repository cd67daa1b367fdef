use std::io::Read as _;
use std::path::Path;
use std::process::Command;

use proptest::prelude::*;

use super::read::{Member, MemberKind, Reader};
use super::*;
use crate::blob::Blob;
use crate::error::Result;
use crate::tree::{Entry, Kind, NodePath, Tree};

fn path(text: &str) -> NodePath {
    NodePath::new(text).unwrap()
}

fn sample() -> Tree {
    let mut tree = Tree::default();
    let deep = format!("/opt/{}/{}/file", "d".repeat(90), "e".repeat(90));
    let unsplit = format!("/opt/{}", "n".repeat(200));
    let mut owned = Entry::file(0o640, Blob::bytes(*b"owned"), "test");
    (owned.owner, owned.group) = ("daemon".into(), "adm".into());
    for (at, entry) in [
        ("/etc", Entry::dir(0o755, "test")),
        ("/etc/empty", Entry::file(0o600, Blob::default(), "test")),
        ("/etc/hosts", Entry::file(0o644, Blob::bytes(vec![b'h'; 512]), "test")),
        ("/etc/owned", owned),
        ("/etc/wants", Entry::symlink("/usr/lib/systemd/system/kiln.service", "test")),
        ("/etc/far", Entry::symlink("t".repeat(150), "test")),
        ("/srv/näme", Entry::file(0o644, Blob::bytes(vec![1; 513]), "test")),
        (&deep, Entry::file(0o4755, Blob::bytes(*b"deep"), "test")),
        (&unsplit, Entry::file(0o644, Blob::bytes(*b"long"), "test")),
    ] {
        tree.insert(path(at), entry).unwrap();
    }
    tree
}

fn bytes(tree: &Tree) -> Vec<u8> {
    write(tree, 1_700_000_000).unwrap().to_vec(1 << 20).unwrap()
}

fn read_all(bytes: &[u8]) -> Result<Vec<(Member, Vec<u8>)>> {
    let mut reader = Reader::new(bytes);
    let mut out = Vec::new();
    while let Some(member) = reader.next_member()? {
        let mut content = Vec::new();
        if reader.content().read_to_end(&mut content).is_err() {
            return Err(crate::error::Error::input("cut short"));
        }
        out.push((member, content));
    }
    Ok(out)
}

fn as_tree(members: Vec<(Member, Vec<u8>)>) -> Tree {
    let mut tree = Tree::default();
    for (member, content) in members {
        let mut entry = match member.kind {
            MemberKind::Dir => Entry::dir(member.mode, "test"),
            MemberKind::File(size) => {
                assert_eq!(size, content.len() as u64);
                let blob = if content.is_empty() { Blob::default() } else { Blob::bytes(content) };
                Entry::file(member.mode, blob, "test")
            }
            MemberKind::Symlink(target) => Entry::symlink(target, "test"),
        };
        (entry.owner, entry.group) = (member.owner, member.group);
        tree.insert(member.path, entry).unwrap();
    }
    tree
}

#[test]
fn what_is_written_is_read_back() {
    let tree = sample();
    assert_eq!(as_tree(read_all(&bytes(&tree)).unwrap()), tree);
    assert_eq!(bytes(&tree), bytes(&tree));
    assert_eq!(bytes(&tree).len() as u64, write(&tree, 0).unwrap().len());
}

fn run(program: &str, args: &[&str], dir: &Path) -> String {
    let out = Command::new(program).args(args).current_dir(dir).output();
    let out = out.unwrap_or_else(|error| panic!("{program}: {error} (install the package `{program}`)"));
    assert!(out.status.success(), "{program}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn gnu_tar_lists_and_extracts_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let tree = sample();
    std::fs::write(dir.path().join("a.tar"), bytes(&tree)).unwrap();
    let list = run("tar", &["--quoting-style=literal", "-tf", "a.tar"], dir.path());
    let want: Vec<String> = tree
        .iter()
        .map(|(path, entry)| format!("{}{}", path.relative(), if entry.kind == Kind::Dir { "/" } else { "" }))
        .collect();
    assert_eq!(list.lines().collect::<Vec<_>>(), want);
    let long = run("tar", &["-tvf", "a.tar", "etc/owned"], dir.path());
    assert!(long.starts_with("-rw-r----- daemon/adm"), "{long}");
    std::fs::create_dir(dir.path().join("x")).unwrap();
    run("tar", &["-C", "x", "--no-same-owner", "-p", "-xf", "a.tar"], dir.path());
    for (path, entry) in tree.iter() {
        let at = dir.path().join("x").join(path.relative());
        match &entry.kind {
            Kind::Dir => assert!(at.is_dir()),
            Kind::Symlink(target) => assert_eq!(std::fs::read_link(&at).unwrap(), Path::new(target)),
            Kind::File(blob) => assert_eq!(std::fs::read(&at).unwrap(), blob.to_vec(1 << 20).unwrap()),
        }
    }
}

#[test]
fn pythons_tarfile_agrees() {
    let dir = tempfile::tempdir().unwrap();
    let tree = sample();
    std::fs::write(dir.path().join("a.tar"), bytes(&tree)).unwrap();
    let script = "import tarfile,hashlib\n\
        for m in tarfile.open('a.tar'):\n\
        \x20 c = tarfile.open('a.tar').extractfile(m).read() if m.isreg() else b''\n\
        \x20 print(m.name, oct(m.mode), m.uname, m.gname, m.linkname, hashlib.sha256(c).hexdigest())";
    let got = run("python3", &["-c", script], dir.path());
    let want: String = tree
        .iter()
        .map(|(path, entry)| {
            let (link, content) = match &entry.kind {
                Kind::Dir => ("", Vec::new()),
                Kind::Symlink(target) => (target.as_str(), Vec::new()),
                Kind::File(blob) => ("", blob.to_vec(1 << 20).unwrap()),
            };
            let digest = crate::digest::Sha256::of(&content);
            let Entry { mode, owner, group, .. } = entry;
            format!("{} 0o{mode:o} {owner} {group} {link} {digest}\n", path.relative())
        })
        .collect();
    assert_eq!(got, want);
}

#[test]
fn sizes_over_eight_gib_go_into_an_extended_header() {
    let mut tree = Tree::default();
    let size = 9 << 30;
    tree.insert(path("/big"), Entry::file(0o644, Blob::file("/nowhere", size, None), "test")).unwrap();
    let blob = write(&tree, 0).unwrap();
    let mut head = Vec::new();
    blob.reader().take(3 * BLOCK).read_to_end(&mut head).unwrap();
    let member = Reader::new(head.as_slice()).next_member().unwrap().unwrap();
    assert_eq!(member.kind, MemberKind::File(size));
    assert_eq!(blob.len(), 5 * BLOCK + size);
}

/// An archive that GNU tar or Python could make, but kiln does not.
fn python_tar(script: &str) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let script = format!(
        "import tarfile,io\nt=tarfile.open('a.tar','w',format=tarfile.USTAR_FORMAT)\n\
         def add(name, type=tarfile.REGTYPE, link='', data=b''):\n\
         \x20 i=tarfile.TarInfo(name); i.type=type; i.linkname=link; i.size=len(data); i.uname=i.gname='root'\n\
         \x20 t.addfile(i, io.BytesIO(data))\n{script}\nt.close()"
    );
    run("python3", &["-c", &script], dir.path());
    std::fs::read(dir.path().join("a.tar")).unwrap()
}

#[test]
fn hostile_archives_are_refused() {
    assert_eq!(read_all(&python_tar("add('a', data=b'x')")).unwrap().len(), 1);
    for (script, why) in [
        ("add('../a')", "`..`"),
        ("add('/a')", "empty part"),
        ("add('a/../../b')", "`..`"),
        ("add('a'); add('a')", "twice"),
        ("add('a', tarfile.SYMTYPE, '/etc'); add('a/passwd')", "no folder"),
        ("add('a/b'); add('a', tarfile.SYMTYPE, '/etc')", "other members lie below"),
        ("add('a', tarfile.LNKTYPE, '/etc/shadow')", "type `1`"),
        ("add('a', tarfile.CHRTYPE)", "type `3`"),
        ("add('a', tarfile.FIFOTYPE)", "type `6`"),
    ] {
        let error = read_all(&python_tar(script)).unwrap_err().to_string();
        assert!(error.contains(why), "{script}: {error}");
    }
}

#[test]
fn a_damaged_archive_is_refused() {
    let good = bytes(&sample());
    for len in [0, 100, 511, 512, 1000, good.len() - 600] {
        assert!(read_all(&good[..len]).is_err(), "{len}");
    }
    let mut bad = good;
    bad[3] ^= 1;
    assert!(read_all(&bad).unwrap_err().to_string().contains("checksum"));
}

fn any_tree() -> impl Strategy<Value = Tree> {
    let name = "/[a-zé]{1,3}(/[a-z]{1,120}){0,4}";
    let kind = prop_oneof![
        Just(Kind::Dir),
        proptest::collection::vec(any::<u8>(), 1..1500).prop_map(|bytes| Kind::File(Blob::bytes(bytes))),
        "[a-z./]{1,200}".prop_map(Kind::Symlink),
    ];
    proptest::collection::vec((name, kind, 0u16..0o10000), 0..12).prop_map(|list| {
        let mut tree = Tree::default();
        for (at, kind, mode) in list {
            let mut next = tree.clone();
            let entry = Entry { mode, kind, ..Entry::dir(0, "test") };
            if next.insert(path(&at), entry).is_ok() && next.check_hierarchy().is_ok() {
                tree = next;
            }
        }
        // Links have no mode of their own.
        tree
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_tree_makes_the_round_trip(tree in any_tree()) {
        let back = read_all(&bytes(&tree)).unwrap();
        prop_assert_eq!(back.len(), tree.len());
        for ((member, content), (path, entry)) in back.iter().zip(tree.iter()) {
            prop_assert_eq!(&member.path, path);
            prop_assert_eq!(member.mode, entry.mode);
            match (&member.kind, &entry.kind) {
                (MemberKind::File(_), Kind::File(blob)) => prop_assert_eq!(content, &blob.to_vec(1 << 20).unwrap()),
                (MemberKind::Symlink(a), Kind::Symlink(b)) => prop_assert_eq!(a, b),
                (a, b) => prop_assert!(*a == MemberKind::Dir && *b == Kind::Dir),
            }
        }
    }

    #[test]
    fn the_reader_never_panics(flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..30)) {
        let mut bytes = bytes(&sample());
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let _ = read_all(&bytes);
        // With the checksums made right again, the damage gets past the first check.
        for block in bytes.chunks_exact_mut(BLOCK as usize) {
            let header: &mut Header = block.try_into().unwrap();
            let sum = format!("{:06o}\0 ", checksum(header));
            header[148..156].copy_from_slice(sum.as_bytes());
        }
        let _ = read_all(&bytes);
    }
}
