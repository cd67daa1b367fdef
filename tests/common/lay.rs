//! A tree on disk, without its owners: tests need not be root.

use std::path::Path;

use kiln::tree::{Kind, Tree};

/// Lays a tree down below `root`, as `kiln node place` does on a machine.
#[allow(clippy::unwrap_used)]
pub fn lay(tree: &Tree, root: &Path) {
    use std::os::unix::fs::PermissionsExt;
    for (path, entry) in tree.iter() {
        let at = root.join(path.relative());
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        match &entry.kind {
            Kind::Dir => std::fs::create_dir_all(&at).unwrap(),
            Kind::Symlink(target) => std::os::unix::fs::symlink(target, &at).unwrap(),
            Kind::File(blob) => {
                std::fs::write(&at, blob.to_vec(1 << 20).unwrap()).unwrap();
                std::fs::set_permissions(&at, PermissionsExt::from_mode(u32::from(entry.mode))).unwrap();
            }
        }
    }
}
