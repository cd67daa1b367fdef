//! Image archives of a few bytes, under the names that a cluster needs.

use std::path::Path;

use kiln::blob::Blob;
use kiln::format::oci::{Config, write};
use kiln::tree::{Entry, NodePath, Tree};

/// Fills a folder of image archives for Kubernetes of a minor: `1.20`.
pub fn put(folder: &Path, minor: &str) {
    std::fs::create_dir_all(folder).unwrap();
    let sample = kiln::cluster::SAMPLE.replace("1.37.2", &format!("{minor}.2"));
    let cluster = kiln::cluster::parse(Path::new("cluster.toml"), &sample).unwrap().0;
    let assets = kiln::assets::Assets::new(None).unwrap();
    for (name, purpose) in kiln::fetch::Images::load(&assets).unwrap().wanted(&cluster) {
        let mut root = Tree::default();
        let program = Entry::file(0o755, Blob::bytes(name.as_str().as_bytes()), "test");
        root.insert(NodePath::new("/program").unwrap(), program).unwrap();
        let image = write(&name, &Config::default(), &root).unwrap();
        std::fs::write(folder.join(format!("{purpose}.tar")), image.to_vec(1 << 20).unwrap()).unwrap();
    }
}
