//! Container images from files of this machine, written as archives. The form is [`crate::format::oci`]'s; here is where files
//! come from, and how an archive gets its name.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::blob::Blob;
use crate::digest::Sha256;
use crate::error::{Error, IoContext, Result};
use crate::format::oci;
use crate::progress::Progress;
use crate::tree::{Entry, NodePath, Tree};

/// How deep folders may be nested.
const MAX_DEPTH: usize = 64;

/// A file of this machine and where it goes: `SRC=DST` or `SRC=DST:MODE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Where it is.
    pub from: PathBuf,
    /// Where it goes.
    pub to: NodePath,
    /// Permission bits; those of the file if not given.
    pub mode: Option<u16>,
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (from, to) = text
            .split_once('=')
            .filter(|(from, _)| !from.is_empty())
            .ok_or("write SOURCE=/DESTINATION or SOURCE=/DESTINATION:MODE")?;
        let (to, mode) = match to.rsplit_once(':') {
            Some((to, mode)) => {
                let octal = u16::from_str_radix(mode, 8).ok().filter(|bits| *bits <= 0o7777);
                (to, Some(octal.ok_or_else(|| format!("`{mode}` is no mode: write 0755"))?))
            }
            None => (to, None),
        };
        let to = NodePath::new(to).map_err(|error| error.to_string())?;
        Ok(Self { from: from.into(), to, mode })
    }
}

/// Adds a file, with its digest, so that one that changes while the image is written is noticed.
pub fn add_file(tree: &mut Tree, source: &Source) -> Result<()> {
    let Source { from, to, mode } = source;
    let file = File::open(from).at("opening", from)?;
    let found = file.metadata().at("reading", from)?;
    if !found.is_file() {
        return Err(Error::input(format!("{} is no file", from.display())).hint("--tree takes a folder"));
    }
    let mode = mode.unwrap_or((found.permissions().mode() & 0o7777) as u16);
    let (digest, len) = Sha256::of_reader(file).at("reading", from)?;
    tree.insert(
        to.clone(),
        Entry::file(mode, Blob::file(from, len, Some(digest)), from.display().to_string()),
    )
}

/// Adds all that lies in a folder, which becomes the image's root. Links stay links; everything belongs to root.
pub fn add_folder(tree: &mut Tree, folder: &Path) -> Result<()> {
    walk(tree, folder, "", MAX_DEPTH)
}

fn walk(tree: &mut Tree, folder: &Path, below: &str, depth: usize) -> Result<()> {
    if depth == 0 {
        return Err(Error::input(format!("{}: folders are nested too deep", folder.display())));
    }
    for entry in fs::read_dir(folder).at("reading the folder", folder)? {
        let path = entry.at("reading the folder", folder)?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| Error::input(format!("{}: the name is not UTF-8", path.display())))?;
        let to = format!("{below}/{name}");
        let found = fs::symlink_metadata(&path).at("looking at", &path)?;
        let mode = (found.permissions().mode() & 0o7777) as u16;
        let origin = path.display().to_string();
        if found.is_dir() {
            tree.insert(NodePath::new(&*to)?, Entry::dir(mode, origin))?;
            walk(tree, &path, &to, depth - 1)?;
        } else if found.is_symlink() {
            let target = fs::read_link(&path).at("reading the link", &path)?;
            let target = target.to_str().map(str::to_owned);
            let target = target.ok_or_else(|| Error::input(format!("{origin}: its target is not UTF-8")))?;
            tree.insert(NodePath::new(to)?, Entry::symlink(target, origin))?;
        } else if found.is_file() {
            add_file(tree, &Source { from: path, to: NodePath::new(to)?, mode: Some(mode) })?;
        } else {
            return Err(Error::input(format!("{origin} is neither file, folder nor link")));
        }
    }
    Ok(())
}

/// Writes an archive to `output`, which appears when it is complete and was read back without a fault.
pub fn save(archive: &Blob, output: &Path, force: bool, progress: &dyn Progress) -> Result<Sha256> {
    if !force && output.symlink_metadata().is_ok() {
        return Err(
            Error::input(format!("{} is there already", output.display())).hint("--force replaces it")
        );
    }
    let name = output.file_name().ok_or_else(|| Error::input("the output has no file name"))?;
    let staged = output.with_file_name(format!(".{}.kiln-{}.part", name.display(), std::process::id()));
    let written = write(archive, &staged, progress).and_then(|digest| {
        fs::rename(&staged, output).at("renaming the finished image to", output)?;
        Ok(digest)
    });
    if written.is_err() {
        // The first fault is the one to tell.
        let _ = fs::remove_file(&staged);
    }
    written
}

fn write(archive: &Blob, staged: &Path, progress: &dyn Progress) -> Result<Sha256> {
    let options = OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o644).clone();
    let mut file = options.open(staged).at("making", staged)?;
    std::io::copy(&mut archive.reader(), &mut file).at("writing", staged)?;
    file.flush().at("writing", staged)?;
    file.sync_all().at("writing", staged)?;
    oci::read::open(&file)?
        .verify(&file, progress)
        .map_err(|error| error.hint("a source file changed while the image was written: start again"))?;
    Ok(Sha256::of_reader(File::open(staged).at("opening", staged)?).at("reading", staged)?.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;

    #[test]
    fn sources_are_read() {
        let source: Source = "a=/bin/a:0755".parse().unwrap();
        assert_eq!(
            (source.from.to_str().unwrap(), source.to.as_str(), source.mode),
            ("a", "/bin/a", Some(0o755))
        );
        assert_eq!("x=/y".parse::<Source>().unwrap().mode, None);
        for bad in ["", "a", "=/b", "a=b", "a=/b:9", "a=/b:17777", "a=/../b"] {
            assert!(bad.parse::<Source>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_folder_becomes_an_image_and_nothing_half_written_stays() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("bin")).unwrap();
        fs::write(root.join("bin/busybox"), "program").unwrap();
        std::os::unix::fs::symlink("busybox", root.join("bin/sh")).unwrap();
        let mut tree = Tree::default();
        add_folder(&mut tree, &root).unwrap();
        assert_eq!(
            tree.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(),
            ["/bin", "/bin/busybox", "/bin/sh"]
        );
        let image = || oci::write(&"a:1".parse().unwrap(), &oci::Config::default(), &tree).unwrap();
        let output = dir.path().join("a.tar");
        let digest = save(&image(), &output, false, &Silent).unwrap();
        assert_eq!(digest, Sha256::of(&fs::read(&output).unwrap()));
        assert!(save(&image(), &output, false, &Silent).unwrap_err().to_string().contains("there already"));

        // The same length, but not what was hashed.
        let late = image();
        fs::write(root.join("bin/busybox"), "PROGRAM").unwrap();
        let error = save(&late, &output, true, &Silent).unwrap_err();
        assert!(error.to_string().contains("has the digest"), "{error}");
        assert_eq!(digest, Sha256::of(&fs::read(&output).unwrap()));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
