//! What is fuzzed: each function takes any bytes, and must neither panic nor take memory out of proportion to them.
//! Shared by the bounded run in `cargo test` and by the cargo-fuzz targets in `fuzz/`.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use kiln::format::fat::{Fat, rebuild};
use kiln::format::iso9660::read::Iso;
use kiln::format::oci;
use kiln::format::repodata::{self, Files, Limits, Listed, Repository};
use kiln::format::rpm;
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

/// A cloud image: the qcow2 reader and its table of partitions; and the plan of a larger disk, which must keep what is there.
pub fn disk(bytes: &[u8]) {
    use kiln::format::qcow2::Qcow2;
    use kiln::format::read_at::{ReadAt, Sparse};
    let _ = kiln::image::disk::plan_of(&bytes);
    let Ok(image) = Qcow2::open(bytes) else { return };
    let mut next = 0;
    for _ in 0..64 {
        let Ok(Some((from, to))) = image.next_data(next) else { break };
        assert!(from >= next && to > from, "runs go on");
        let _ = image.read_vec_at(from, (to - from).min(64 << 10) as usize);
        next = to;
    }
    let _ = kiln::image::disk::plan_of(&image);
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

/// The cpio reader, with content.
pub fn cpio(bytes: &[u8]) {
    let mut reader = kiln::format::cpio::Reader::new(bytes);
    while let Ok(Some(_)) = reader.next_member() {
        let mut content = reader.content().take(1 << 20);
        let _ = std::io::copy(&mut content, &mut std::io::sink());
    }
}

/// What machines ask a server: DHCP, TFTP, HTTP. What is answered by DHCP can be read.
pub fn asked(bytes: &[u8]) {
    use kiln::serve::dhcp::Packet;
    use kiln::serve::dhcp::answer::{Asker, Decision, Loaders, Mode, Site, decide};
    use kiln::serve::{http, tftp};
    let _ = (tftp::Request::parse(bytes), tftp::acknowledged(bytes));
    if let http::Parsed::Request(request, len) = http::parse(bytes) {
        assert!(len <= bytes.len());
        let _ = request.range.resolve(1000);
        if let Some(path) = kiln::image::pxe::list::normal(&request.path) {
            assert!(path.split('/').all(|part| !matches!(part, "" | "." | "..")), "{path}");
        }
    }
    let Some(packet) = Packet::parse(bytes) else { return };
    let site = Site {
        mode: Mode::Own,
        server: [10, 0, 0, 1].into(),
        subnet: "10.0.0.0/24".parse().expect("a network"),
        gateway: None,
        dns: vec![],
        loaders: Loaders {
            tftp: true,
            bios: Some("pxelinux.0".into()),
            uefi: Some("shimx64.efi".into()),
            uefi_http: Some("shimx64.efi".into()),
            url: "http://10.0.0.1/".into(),
            ipxe: "boot.ipxe".into(),
        },
    };
    let asker = Asker { node: Some("a".into()), address: Some([10, 0, 0, 7].into()), boots: true };
    for mode in [Mode::Own, Mode::Proxy] {
        if let Decision::Send(answer, _) = decide(&Site { mode, ..site.clone() }, &asker, &packet) {
            assert!(Packet::parse(&answer.to_bytes()).is_some(), "an answer cannot be read");
        }
    }
}

/// The list of a PXE tree, which it can write again; and the modules of an image of GRUB.
pub fn tree(bytes: &[u8]) {
    if let Ok(list) = kiln::image::pxe::list::TreeList::from_json(bytes, "fuzz") {
        list.to_json().expect("a list can be written");
    }
    let _ = kiln::format::grub_image::modules(bytes);
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

/// A repository of one document, which is every kind of document at once.
struct OneDocument<'a> {
    repomd: Vec<u8>,
    document: &'a [u8],
}

impl Files for OneDocument<'_> {
    fn open(&self, path: &str) -> kiln::error::Result<Option<(Box<dyn Read + '_>, u64)>> {
        let bytes = if path == repodata::REPOMD { &self.repomd[..] } else { self.document };
        Ok(Some((Box::new(bytes), bytes.len() as u64)))
    }
}

fn read_repository(repomd: Vec<u8>, document: &[u8]) {
    let files = OneDocument { repomd, document };
    let limits = Limits { window: 1 << 20, ratio: 20, ..Limits::default() };
    let Ok(Some(repository)) = Repository::open(&files, limits) else { return };
    let _ = repository.packages(&mut |offered| {
        assert!(!offered.package.name.is_empty());
        Ok(())
    });
    let _ = (repository.filelists(&|_| true, &mut |_| Ok(())), repository.comps());
}

/// The readers of repodata: the bytes as `repomd.xml`, and as a document whose checksum is right, or nearly every mutation would
/// end there.
pub fn repodata(bytes: &[u8]) {
    read_repository(bytes.to_vec(), bytes);
    let digest = kiln::digest::Sha256::of(bytes);
    let entry = |kind: &str| {
        format!(
            "<data type=\"{kind}\"><checksum type=\"sha256\">{digest}</checksum><location href=\"d\"/></data>"
        )
    };
    let entries = ["primary", "filelists", "group"].map(entry).concat();
    read_repository(format!("<repomd>{entries}</repomd>").into_bytes(), bytes);
}

/// The reader of packages; what is written of one must be read again, and say the same.
pub fn rpm(bytes: &[u8]) {
    let Ok(found) = rpm::read::open(&bytes) else { return };
    let _ = rpm::read::verify(&bytes, &found);
    let name = found.package.name.clone();
    let listed = Listed { file: "a.rpm".into(), sha256: kiln::digest::Sha256::of(bytes), rpm: found };
    let written = repodata::write(&[listed]).expect("repodata can be written");
    struct Written(BTreeMap<String, Vec<u8>>);
    impl Files for Written {
        fn open(&self, path: &str) -> kiln::error::Result<Option<(Box<dyn Read + '_>, u64)>> {
            Ok(self.0.get(path).map(|bytes| (Box::new(&bytes[..]) as Box<dyn Read>, bytes.len() as u64)))
        }
    }
    let written = Written(written);
    let repository = Repository::open(&written, Limits::default()).expect("it is read").expect("it is there");
    // A package may say what no reader takes: a dependency without a name, a path that is longer than any.
    let _ = repository.packages(&mut |offered| {
        assert_eq!(offered.package.name, name);
        Ok(())
    });
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
