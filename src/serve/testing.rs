//! What tests of several modules share: a small tree on disk.

use std::collections::BTreeMap;
use std::path::Path;

use crate::cluster::types::Mac;
use crate::digest::Sha256;
use crate::image::pxe::list::{Audience, FORMAT, LIST, Listed, LoaderFiles, Machine, TreeList};

/// MAC address of machine number `n`.
pub(crate) fn mac(n: u8) -> Mac {
    format!("52:54:00:00:00:{n:02x}").parse().unwrap()
}

/// A tree for the nodes `a` (MAC 1 and 2) and `b` (MAC 3, and a UUID), at `url`.
pub(crate) fn tree(dir: &Path, url: &str) -> TreeList {
    let node = |name: &str| Audience::Node(name.parse().unwrap());
    let contents: BTreeMap<&str, (Vec<u8>, Audience)> = BTreeMap::from([
        ("ks.cfg", (b"# kickstart\n".to_vec(), Audience::Machines)),
        ("shimx64.efi", (b"shim".to_vec(), Audience::Machines)),
        ("repo/images/pxeboot/vmlinuz", ((0..=255).cycle().take(300_000).collect(), Audience::Machines)),
        ("kiln/common.tar", (b"common".to_vec(), Audience::Role)),
        ("kiln/nodes/a.tar", (b"key of a".to_vec(), node("a"))),
        ("kiln/nodes/b.tar", (b"key of b".to_vec(), node("b"))),
        ("kiln/pools/p.tar", (b"key of p".to_vec(), Audience::Pool("p".parse().unwrap()))),
    ]);
    let mut files = BTreeMap::new();
    for (path, (content, to)) in contents {
        let at = dir.join(path);
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        std::fs::write(at, &content).unwrap();
        files
            .insert(path.to_owned(), Listed { size: content.len() as u64, sha256: Sha256::of(&content), to });
    }
    let machine = |name: &str, last, macs: &[u8], uuid: Option<&str>| Machine {
        name: name.parse().unwrap(),
        address: [10, 77, 0, last].into(),
        macs: macs.iter().map(|n| mac(*n)).collect(),
        uuid: uuid.map(str::to_owned),
    };
    let list = TreeList {
        format: FORMAT,
        kiln: "0".into(),
        build_id: Sha256([1; 32]),
        label: "KILN-TEST".into(),
        cluster: "prod".into(),
        profile: "master".into(),
        url: url.parse().unwrap(),
        subnet: "10.77.0.0/24".parse().unwrap(),
        gateway: None,
        dns: vec![],
        loaders: LoaderFiles {
            ipxe: "boot.ipxe".into(),
            uefi: Some("shimx64.efi".into()),
            ..LoaderFiles::default()
        },
        machines: vec![machine("a", 71, &[1, 2], None), machine("b", 72, &[3], Some("u-b"))],
        files,
    };
    std::fs::write(dir.join(LIST), list.to_json().unwrap()).unwrap();
    list
}
