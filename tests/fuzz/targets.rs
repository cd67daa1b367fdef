//! What is fuzzed: each function takes any bytes, and must neither panic nor take memory out of proportion to them.
//! Shared by the bounded run in `cargo test` and by the cargo-fuzz targets in `fuzz/`.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use kiln::format::fat::{Fat, rebuild};
use kiln::format::iso9660::read::Iso;
use kiln::format::oci;
use kiln::format::tar;
use kiln::image::menu::{GrubFlavor, MenuSpec, SerialConsole, grub, isolinux};
use kiln::payload::manifest::Manifest;

/// The FAT reader; and the writer, whose result the reader must take.
pub fn fat(bytes: &[u8]) {
    let Ok(fat) = Fat::open(bytes) else { return };
    let _ = (fat.label(), fat.serial());
    for item in fat.items() {
        let _ = fat.read(&item.path);
    }
    let replace = BTreeMap::from([("EFI/BOOT/grub.cfg".to_owned(), vec![b'#'; 3000])]);
    if let Ok(new) = rebuild(bytes, &replace) {
        let again = Fat::open(&new).expect("a rebuilt image can be read");
        assert_eq!(again.read("EFI/BOOT/grub.cfg").expect("the new file is there"), vec![b'#'; 3000]);
    }
}

/// The ISO reader, both trees, and the content of small files.
pub fn iso(bytes: &[u8]) {
    let Ok(iso) = Iso::open(bytes) else { return };
    let _ = iso.label();
    for tree in [Some(&iso.tree), iso.joliet.as_ref()].into_iter().flatten() {
        for (path, id) in tree.walk() {
            let _ = (tree.find(&path), iso.read_node(tree.node(id), 64 << 10));
        }
    }
}

/// All that `kiln inspect` does: El Torito, MBR and GPT, the EFI image, the manifest, what is printed of it, the bill of materials.
pub fn inspect(bytes: &[u8]) {
    let source = bytes.to_vec();
    let Ok(mut found) = kiln::image::inspect::inspect(&source) else { return };
    let _ = kiln::image::inspect::check::verify(&source, &mut found, &kiln::progress::Silent);
    let shown = kiln::image::inspect::text::text(&found, "fuzz");
    assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "control characters reach the terminal");
    kiln::image::inspect::text::json(&found).expect("JSON can be written");
    if let Ok(bill) = kiln::image::inspect::sbom::read(&source, &kiln::progress::Silent) {
        let _ = kiln::sbom::spdx::document(&bill);
    }
}

/// The cluster file.
pub fn toml(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = kiln::cluster::parse(Path::new("/cluster.toml"), text);
    }
}

/// The tar reader, with content.
pub fn tar(bytes: &[u8]) {
    let mut reader = tar::read::Reader::new(bytes);
    while let Ok(Some(_)) = reader.next_member() {
        let mut content = reader.content().take(1 << 20);
        let _ = std::io::copy(&mut content, &mut std::io::sink());
    }
}

/// The menu parsers; what they write they must read again.
pub fn menu(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let spec = MenuSpec {
        label: "KILN-FUZZ".parse().expect("a label"),
        default_title: "Install".into(),
        nodes: vec!["a".parse().expect("a name")],
        timeout_seconds: 5,
        serial: Some(SerialConsole::default()),
        el: 9,
        ks_path: "/ks.cfg".into(),
    };
    if let Ok(new) = isolinux(text, &spec) {
        isolinux(&new, &spec).expect("a rewritten menu can be read");
    }
    if let Ok(new) = grub(text, &spec, GrubFlavor::Efi) {
        grub(&new, &spec, GrubFlavor::Efi).expect("a rewritten menu can be read");
    }
    let _ = (kiln::image::menu::isolinux::list(text), kiln::image::menu::grub::list(text));
}

/// The manifest; what is read can be written.
pub fn manifest(bytes: &[u8]) {
    if let Ok(manifest) = Manifest::from_json(bytes, "fuzz") {
        manifest.to_json().expect("a manifest can be written");
    }
}

/// The reader of image archives: what it takes it must judge without a panic. Headers get their checksums anew, or nearly
/// every mutation would end there.
pub fn oci(bytes: &[u8]) {
    let mut source = bytes.to_vec();
    for header in source.chunks_exact_mut(512).filter(|block| block[257..].starts_with(b"ustar")) {
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    let Ok(archive) = oci::read::open(&source) else { return };
    let _ = archive.verify(&source, &kiln::progress::Silent);
    for loader in [oci::read::Loader::Containerd, oci::read::Loader::Docker] {
        let _ = (archive.names(loader), archive.fault(loader));
    }
}

/// Frames of the segment: any bytes are borne, and what is read as ARP or VRRP holds what it must.
pub fn frame(bytes: &[u8]) {
    use kiln::node::preflight::segment::frame::{Frame, parse};
    if let Some((_, Frame::Vrrp(advert))) = parse(bytes) {
        assert!(advert.id != 0 && matches!(advert.version, 2 | 3), "{advert:?}");
    }
}

/// What agents say to each other, framed as on the wire: what is taken must be writable again and fit for a terminal.
pub fn wire(bytes: &[u8]) {
    use kiln::node::agent::wire;
    let _ = wire::receive(&mut &bytes[..], wire::LONGEST_ASK);
    if let Ok(ask) = wire::parse_ask(bytes) {
        wire::send(&mut std::io::sink(), &ask, 1 << 30).expect("a question can be written");
    }
    if let Ok(reply) = wire::parse_reply(bytes) {
        wire::send(&mut std::io::sink(), &reply, 1 << 30).expect("an answer can be written");
        if let wire::Reply::Board { nodes } = reply {
            let cluster =
                kiln::cluster::parse(Path::new("/cluster.toml"), kiln::cluster::SAMPLE).expect("a sample").0;
            let inventory = kiln::node::inventory::Inventory::of(&cluster);
            let shown = kiln::node::status::board::text(&nodes, &inventory);
            assert!(
                !shown.chars().any(|c| c.is_control() && c != '\n'),
                "control characters reach the terminal"
            );
        }
    }
}

/// What `kiln fetch` reads of others: documents of registries, publishers' digests, the lock.
pub fn fetched(bytes: &[u8]) {
    let _ = kiln::format::oci::manifest::read(bytes);
    let _ = kiln::format::oci::manifest::check_config(bytes, 2);
    let _ = kiln::fetch::sums::digest_of(bytes, "file");
    let _ = kiln::fetch::registry::Credentials::parse(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(url) = text.parse::<kiln::url::Url>() {
        assert!(url.follow("/x").is_ok_and(|next| next.same_host(&url)) || url.file().is_some());
    }
    if let Ok(lock) = kiln::fetch::Lock::parse(Path::new("kiln.lock"), text) {
        let again = kiln::fetch::Lock::parse(Path::new("kiln.lock"), &lock.to_text());
        assert_eq!(again.expect("a written lock can be read"), lock);
    }
}
