//! Repositories made here: what is read of them, and what is refused. Those of other makers are in `tests/packages`.

use std::collections::BTreeMap;
use std::io::{Read, Write as _};

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::*;
use crate::digest::Sha256;
use crate::error::{Class, Result};
use crate::format::rpm::tests::rpm;
use crate::format::rpm::{FileKind, read};

/// A repository in memory.
#[derive(Default)]
struct Memory(BTreeMap<String, Vec<u8>>);

impl Files for Memory {
    fn open(&self, path: &str) -> Result<Option<(Box<dyn Read + '_>, u64)>> {
        let found = self.0.get(path);
        Ok(found.map(|bytes| (Box::new(bytes.as_slice()) as Box<dyn Read>, bytes.len() as u64)))
    }
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

impl Memory {
    /// A repository of these documents: kind, file name, bytes.
    fn of(documents: &[(&str, &str, &[u8])]) -> Self {
        let mut repomd = String::from("<?xml version=\"1.0\"?>\n<repomd>");
        let mut memory = Memory::default();
        for (kind, name, bytes) in documents {
            let digest = Sha256::of(bytes);
            repomd += &format!(
                "<data type=\"{kind}\"><checksum type=\"sha256\">{digest}</checksum><location href=\"repodata/{name}\"/>\
                 <size>{}</size></data>",
                bytes.len()
            );
            memory.0.insert(format!("repodata/{name}"), bytes.to_vec());
        }
        memory.0.insert(REPOMD.to_owned(), (repomd + "</repomd>").into_bytes());
        memory
    }

    fn packages(&self) -> Result<Vec<Offered>> {
        let mut list = Vec::new();
        let repository = Repository::open(self, Limits::default())?.unwrap();
        repository.packages(&mut |offered| {
            list.push(offered);
            Ok(())
        })?;
        Ok(list)
    }

    #[track_caller]
    fn refused(&self, word: &str) {
        let error = self.packages().unwrap_err();
        let text = format!("{error}: {:?}", std::error::Error::source(&error).map(ToString::to_string));
        assert_eq!(error.class(), Class::Input);
        assert!(text.contains(word), "`{word}` is not in: {text}");
    }
}

const PRIMARY: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<metadata xmlns="http://linux.duke.edu/metadata/common" xmlns:rpm="http://linux.duke.edu/metadata/rpm" packages="1">
<package type="rpm"><name>nginx</name><arch>x86_64</arch><version epoch="1" ver="1.20.1" rel="14.el9"/>
<checksum type="sha256" pkgid="YES">aa</checksum><summary>a &amp; b &#65;</summary><description/>
<location href="Packages/nginx.rpm"/>
<format><rpm:provides><rpm:entry name="nginx" flags="EQ" epoch="1" ver="1.20.1" rel="14.el9"/><rpm:entry name="a&lt;b"/>
</rpm:provides><rpm:requires><rpm:entry name="/bin/sh" pre="1"/><rpm:entry name="x" flags="GE" epoch="0" ver="2"/>
</rpm:requires><file>/usr/sbin/nginx</file><file type="dir">/etc/nginx</file></format></package>
</metadata>"#;

fn primary(text: &str) -> Memory {
    Memory::of(&[("primary", "primary.xml", text.as_bytes())])
}

#[test]
fn a_package_is_read() {
    for memory in [primary(PRIMARY), Memory::of(&[("primary", "p.gz", &gz(PRIMARY.as_bytes()))])] {
        let list = memory.packages().unwrap();
        let [offered] = list.as_slice() else { panic!("{list:?}") };
        let package = &offered.package;
        assert_eq!(package.to_string(), "nginx-1:1.20.1-14.el9.x86_64");
        assert_eq!((offered.id.as_str(), offered.location.as_str()), ("aa", "Packages/nginx.rpm"));
        let shown: Vec<_> =
            package.provides.iter().chain(&package.requires).map(ToString::to_string).collect();
        assert_eq!(shown, ["nginx = 1:1.20.1-14.el9", "a<b", "/bin/sh", "x >= 2"]);
        assert!(package.requires[0].pre && package.requires[0].is_file());
        let files: Vec<_> = package.files.iter().map(|file| (file.path.as_str(), file.kind)).collect();
        assert_eq!(files, [("/usr/sbin/nginx", FileKind::File), ("/etc/nginx", FileKind::Dir)]);
    }
}

#[test]
fn bombs_do_not_go_off() {
    let entities =
        "<!DOCTYPE m [<!ENTITY a \"xxxxxxxxxx\"><!ENTITY b \"&a;&a;&a;&a;\">]><metadata>&b;</metadata>";
    primary(entities).refused("defines something of its own");
    primary("<metadata>&b;</metadata>").refused("stands for nothing");
    primary(&PRIMARY.replace("a &amp; b", "&file;")).refused("stands for nothing");
    let deep = "<a>".repeat(50_000);
    primary(&format!("<metadata>{deep}")).refused("deeper");
    let attributes: String = (0..100).map(|n| format!(" a{n}=\"\"")).collect();
    primary(&format!("<metadata><package{attributes}/></metadata>")).refused("attributes");
    primary(&format!("<metadata a=\"{}\"/>", "x".repeat(5 << 20))).refused("broken");
    primary(&PRIMARY.replace("/usr/sbin", &"x".repeat(5000))).refused("longer");
    // A mebibyte of blanks in a kilobyte.
    let zeros = gz(&vec![b' '; 64 << 20]);
    assert!(zeros.len() < 100 << 10);
    Memory::of(&[("primary", "p.gz", &zeros)]).refused("broken");
    let mut lying = primary(PRIMARY);
    let repomd = lying.0.get_mut(REPOMD).unwrap();
    *repomd = String::from_utf8(repomd.clone())
        .unwrap()
        .replace("</size>", "</size><open-size>9</open-size>")
        .into();
    lying.refused("broken");
    let many = Limits { packages: 1, entries: 1, ..Limits::default() };
    let twice = PRIMARY.replace(
        "</metadata>",
        &format!(
            "{}</metadata>",
            &PRIMARY[PRIMARY.find("<package").unwrap()..PRIMARY.find("</metadata>").unwrap()]
        ),
    );
    for text in [PRIMARY, &twice] {
        let memory = primary(text);
        let repository = Repository::open(&memory, many).unwrap().unwrap();
        let error = repository.packages(&mut |_| Ok(())).unwrap_err();
        assert!(error.to_string().contains("more"), "{error}");
    }
}

#[test]
fn what_is_not_as_repomd_says_is_refused() {
    let mut changed = primary(PRIMARY);
    changed.0.get_mut("repodata/primary.xml").unwrap()[200] ^= 1;
    changed.refused("checksum");
    let mut cut = primary(PRIMARY);
    cut.0.get_mut("repodata/primary.xml").unwrap().truncate(400);
    cut.refused("checksum or size");
    let mut gone = primary(PRIMARY);
    gone.0.remove("repodata/primary.xml");
    gone.refused("not there");
    let edit = |from: &str, to: &str| {
        let mut memory = primary(PRIMARY);
        let text = String::from_utf8(memory.0[REPOMD].clone()).unwrap();
        assert!(text.contains(from));
        memory.0.insert(REPOMD.into(), text.replace(from, to).into_bytes());
        memory
    };
    edit("repodata/primary.xml", "../primary.xml").refused("names no document");
    edit("repodata/primary.xml", "http://x/primary.xml").refused("names no document");
    edit("type=\"sha256\"", "type=\"md5\"").refused("names no document");
    edit("type=\"primary\"", "type=\"other\"").refused("names no document");
    edit("</repomd>", "").refused("ends within");
    edit("repomd>", "html>").refused("not a list");
    assert!(Repository::open(&Memory::default(), Limits::default()).unwrap().is_none());
}

#[test]
fn documents_that_are_cut_or_of_another_kind_are_refused() {
    for at in 40..PRIMARY.len() - 1 {
        if PRIMARY.is_char_boundary(at) {
            primary(&PRIMARY[..at]).refused("");
        }
    }
    let packed = gz(PRIMARY.as_bytes());
    for at in [5, packed.len() / 2, packed.len() - 4] {
        Memory::of(&[("primary", "p.gz", &packed[..at])]).refused("");
    }
    primary("<filelists/>").refused("kind metadata");
    primary(&PRIMARY.replace("<name>nginx</name>", "")).refused("lacks its name");
    primary(&PRIMARY.replace("name=\"x\"", "")).refused("has no name");
    Memory::of(&[("primary", "p.bz2", b"BZh91AY")]).refused("bzip2");
    Memory::of(&[("primary", "p.xz", b"\xfd7zXZ\0garbage that is none")]).refused("");
    Memory::of(&[("primary", "p.zst", b"\x28\xb5\x2f\xfdgarbage that is none")]).refused("");
}

#[test]
fn groups_are_read_by_their_names() {
    let comps = b"<?xml version='1.0'?>\n<!DOCTYPE comps PUBLIC \"-//Red Hat, Inc.//DTD Comps info//EN\" \"comps.dtd\">\n\
        <comps><group><id>core</id><name>Core</name><packagelist><packagereq type=\"mandatory\">bash</packagereq></packagelist>\
        </group><environment><id>minimal-environment</id></environment><category><id>x</id></category></comps>";
    let memory = Memory::of(&[("group", "comps.xml", comps)]);
    let comps = Repository::open(&memory, Limits::default()).unwrap().unwrap().comps().unwrap();
    assert!(comps.groups.iter().eq(["core"]) && comps.environments.iter().eq(["minimal-environment"]));
    let none = primary(PRIMARY);
    assert_eq!(
        Repository::open(&none, Limits::default()).unwrap().unwrap().comps().unwrap(),
        Comps::default()
    );
}

fn listed(name: &str, requires: &[&str]) -> Listed {
    let bytes = rpm(name, requires, Vec::new());
    let found = read::open(&bytes).unwrap();
    Listed { file: format!("{name}.rpm"), sha256: Sha256::of(&bytes), rpm: found }
}

#[test]
fn what_is_written_is_read_again() {
    let (a, b) = (listed("a", &["b >= 1:1", "rpmlib(X)", "b >= 1:1"]), listed("b", &[]));
    let written = write(&[b.clone(), a.clone()]).unwrap();
    assert_eq!(written, write(&[a, b]).unwrap(), "the order of packages does not matter");
    let memory = Memory(written);
    let list = memory.packages().unwrap();
    assert_eq!(list.len(), 2);
    let package = &list[0].package;
    assert_eq!((package.to_string().as_str(), list[0].location.as_str()), ("a-1:1.2-3.el9.x86_64", "a.rpm"));
    assert_eq!(package.requires.iter().map(ToString::to_string).collect::<Vec<_>>(), ["b >= 1:1"]);
    assert_eq!(package.files.len(), 1, "the others are in filelists.xml");
    let repository = Repository::open(&memory, Limits::default()).unwrap().unwrap();
    let mut found = Vec::new();
    let wanted = |path: &str| path == "/usr/share/y";
    repository
        .filelists(&wanted, &mut |of| {
            found.push((of.id == list[found.len()].id, of.files.len()));
            Ok(())
        })
        .unwrap();
    assert_eq!(found, [(true, 1), (true, 1)]);
}

proptest! {
    #[test]
    fn any_document_is_borne(bytes in proptest::collection::vec(any::<u8>(), 0..300), head in 0usize..4) {
        let magic: [&[u8]; 4] = [b"", b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\0"];
        let bytes = [magic[head], &bytes].concat();
        let _ = Memory::of(&[("primary", "p", &bytes)]).packages();
    }

    #[test]
    fn any_change_is_borne(at in 0usize..2000, value: u8) {
        let mut bytes = PRIMARY.as_bytes().to_vec();
        let len = bytes.len();
        bytes[at % len] = value;
        let _ = Memory::of(&[("primary", "p", &bytes)]).packages();
    }
}
