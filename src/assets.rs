//! Profiles, overlays and kickstart templates: compiled in, and overridden file by file by the folders of the same names
//! beside `cluster.toml`.
//!
//! Nothing here knows what the files mean. Reading is the only side effect, and only below the three folders: a path that
//! climbs, or a symbolic link that leads out of them, is refused.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use include_dir::{Dir, include_dir};

use crate::error::{Error, IoContext, Result};

static EMBEDDED: [(&str, Dir<'_>); 3] = [
    ("profiles", include_dir!("$CARGO_MANIFEST_DIR/profiles")),
    ("overlays", include_dir!("$CARGO_MANIFEST_DIR/overlays")),
    ("kickstart", include_dir!("$CARGO_MANIFEST_DIR/kickstart")),
];

/// Largest file that is taken from the folders, in bytes. Big files are components, not overlay files.
const LARGEST: u64 = 16 << 20;

/// Ending of a file that is rendered.
pub const TEMPLATE: &str = ".j2";

/// Where a file comes from.
#[derive(Debug, Clone)]
enum Source {
    Embedded(&'static [u8]),
    File(PathBuf),
}

/// The files of `profiles/`, `overlays/` and `kickstart/`, by path: `overlays/common/etc/hosts.j2`.
#[derive(Debug, Clone)]
pub struct Assets {
    files: BTreeMap<String, Source>,
}

impl Assets {
    /// The compiled-in files, overridden by those of the same folders below `over`, the folder of `cluster.toml`.
    ///
    /// A file of the user's also replaces the built-in one of its other form: `etc/hosts` replaces `etc/hosts.j2`.
    pub fn new(over: Option<&Path>) -> Result<Self> {
        let mut files = BTreeMap::new();
        for (name, dir) in &EMBEDDED {
            embedded(name, dir, &mut files);
        }
        let Some(over) = over else { return Ok(Self { files }) };
        let mut own = BTreeMap::new();
        for (name, _) in &EMBEDDED {
            let root = over.join(name);
            match std::fs::canonicalize(&root) {
                Ok(real) => walk(&root, &real, name, &mut own)?,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(Error::io("reading", &root, error)),
            }
        }
        for (path, source) in own {
            files.remove(&twin(&path));
            files.insert(path, source);
        }
        Ok(Self { files })
    }

    /// Content of a file. The path is relative, with `/`: `profiles/master.toml`.
    pub fn read(&self, path: &str) -> Result<Cow<'static, [u8]>> {
        match self.files.get(path) {
            None => Err(Error::input(format!(
                "there is no file `{path}` among kiln's own or beside cluster.toml"
            ))
            .hint("`kiln init --eject` writes out all files that may be changed")),
            Some(Source::Embedded(bytes)) => Ok(Cow::Borrowed(bytes)),
            Some(Source::File(file)) => read_limited(file).map(Cow::Owned),
        }
    }

    /// Content of a file that must be text.
    pub fn text(&self, path: &str) -> Result<String> {
        String::from_utf8(self.read(path)?.into_owned())
            .map_err(|_| Error::input(format!("{} is not UTF-8 text", self.origin(path).display())))
    }

    /// Whether there is such a file.
    pub fn contains(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }

    /// Paths that start with `prefix`, sorted. End it with `/` for a folder.
    pub fn list(&self, prefix: &str) -> Vec<String> {
        let from = self.files.range(prefix.to_owned()..);
        from.map(|(path, _)| path).take_while(|path| path.starts_with(prefix)).cloned().collect()
    }

    /// The file on disk, or for a compiled-in one its path as it would be ejected: for messages.
    pub fn origin(&self, path: &str) -> PathBuf {
        match self.files.get(path) {
            Some(Source::File(file)) => file.clone(),
            _ => PathBuf::from(path),
        }
    }
}

/// Writes the compiled-in files below `dir`, to be changed there; returns how many were written. Files that are there
/// already with the same content are left alone; with other content they are an error unless `force` is set, and then
/// nothing is written at all.
pub fn eject(dir: &Path, force: bool) -> Result<usize> {
    let mut wanted = Vec::new();
    for (path, source) in &Assets::new(None)?.files {
        let Source::Embedded(bytes) = source else { continue };
        let file = dir.join(path);
        match std::fs::read(&file) {
            Ok(old) if old == *bytes => continue,
            Ok(_) if !force => {
                return Err(Error::input(format!(
                    "{} is there already and has been changed",
                    file.display()
                ))
                .hint("--force replaces it with kiln's own; another folder can be named"));
            }
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io("reading", &file, error));
            }
            _ => wanted.push((file, *bytes)),
        }
    }
    for (file, bytes) in &wanted {
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder).at("making the folder", folder)?;
        }
        std::fs::write(file, bytes).at("writing", file)?;
    }
    Ok(wanted.len())
}

/// The other form of a file: rendered or plain.
fn twin(path: &str) -> String {
    match path.strip_suffix(TEMPLATE) {
        Some(plain) => plain.to_owned(),
        None => format!("{path}{TEMPLATE}"),
    }
}

fn embedded(top: &str, dir: &'static Dir<'static>, files: &mut BTreeMap<String, Source>) {
    for file in dir.files() {
        if let Some(path) = file.path().to_str() {
            files.insert(format!("{top}/{path}"), Source::Embedded(file.contents()));
        }
    }
    dir.dirs().for_each(|dir| embedded(top, dir, files));
}

/// Takes all files below `dir`. `root` is the real path that links must stay in.
fn walk(dir: &Path, root: &Path, name: &str, files: &mut BTreeMap<String, Source>) -> Result<()> {
    for entry in std::fs::read_dir(dir).at("reading the folder", dir)? {
        let entry = entry.at("reading the folder", dir)?;
        let path = entry.path();
        let Some(part) = entry.file_name().to_str().map(str::to_owned) else {
            return Err(Error::input(format!("the name of {} is not UTF-8", path.display())));
        };
        let kind = entry.file_type().at("looking at", &path)?;
        let rel = format!("{name}/{part}");
        if kind.is_dir() {
            walk(&path, root, &rel, files)?;
        } else if kind.is_file() || (kind.is_symlink() && stays_inside(&path, root)?) {
            files.insert(rel, Source::File(path));
        } else {
            return Err(Error::input(format!("{} is neither a file nor a folder", path.display()))
                .hint("put the file itself there"));
        }
    }
    Ok(())
}

/// Whether a link leads to a regular file; an error if it leads out of `root`.
fn stays_inside(link: &Path, root: &Path) -> Result<bool> {
    let real = std::fs::canonicalize(link).at("following the link", link)?;
    if !real.starts_with(root) {
        return Err(Error::input(format!(
            "{} leads out of {}, to {}",
            link.display(),
            root.display(),
            real.display()
        ))
        .hint("put the file itself there: what is built must not depend on files elsewhere"));
    }
    Ok(real.is_file())
}

fn read_limited(path: &Path) -> Result<Vec<u8>> {
    use std::io::Read;
    let file = std::fs::File::open(path).at("opening", path)?;
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes).at("reading", path)?;
    if bytes.len() as u64 > LARGEST {
        return Err(Error::input(format!("{} is larger than 16 MiB", path.display()))
            .hint("big files are components, not overlay files"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        dir
    }

    #[test]
    fn all_roles_are_compiled_in() {
        let assets = Assets::new(None).unwrap();
        for role in crate::cluster::types::Role::ALL {
            assert!(assets.contains(&format!("profiles/{role}.toml")), "{role}");
        }
        let list = assets.list("overlays/common/");
        assert!(
            !list.is_empty() && list.is_sorted() && list.iter().all(|p| p.starts_with("overlays/common/"))
        );
    }

    #[test]
    fn a_file_of_the_user_replaces_both_forms() {
        let dir = folder(&[("overlays/common/etc/hosts", "mine"), ("profiles/lb.toml", "x")]);
        let assets = Assets::new(Some(dir.path())).unwrap();
        assert_eq!(&*assets.read("overlays/common/etc/hosts").unwrap(), b"mine");
        assert!(!assets.contains("overlays/common/etc/hosts.j2"));
        assert_eq!(assets.origin("profiles/lb.toml"), dir.path().join("profiles/lb.toml"));
        assert!(assets.contains("profiles/master.toml"));
    }

    #[test]
    fn paths_and_links_stay_inside() {
        let dir = folder(&[("secret", "s"), ("overlays/a/real", "r")]);
        let overlays = dir.path().join("overlays/a");
        std::os::unix::fs::symlink("real", overlays.join("near")).unwrap();
        let assets = Assets::new(Some(dir.path())).unwrap();
        assert_eq!(&*assets.read("overlays/a/near").unwrap(), b"r");
        for bad in ["overlays/../secret", "/etc/passwd", "overlays/a/../../secret", ""] {
            assert!(assets.read(bad).is_err(), "{bad}");
        }
        std::os::unix::fs::symlink("../../secret", overlays.join("far")).unwrap();
        let error = Assets::new(Some(dir.path())).unwrap_err();
        assert!(error.to_string().contains("leads out of"), "{error}");
    }

    #[test]
    fn what_is_ejected_is_what_is_built_in_and_never_overwrites() {
        let dir = tempfile::tempdir().unwrap();
        let count = eject(dir.path(), false).unwrap();
        let (own, built_in) = (Assets::new(Some(dir.path())).unwrap(), Assets::new(None).unwrap());
        assert_eq!(own.list(""), built_in.list(""));
        assert_eq!(count, built_in.list("").len());
        assert!(own.list("").iter().all(|path| own.read(path).unwrap() == built_in.read(path).unwrap()));
        assert_eq!(eject(dir.path(), false).unwrap(), 0);
        std::fs::write(dir.path().join("profiles/lb.toml"), "mine").unwrap();
        std::fs::remove_file(dir.path().join("profiles/master.toml")).unwrap();
        assert!(eject(dir.path(), false).unwrap_err().to_string().contains("lb.toml"));
        assert!(!dir.path().join("profiles/master.toml").exists());
        assert_eq!(eject(dir.path(), true).unwrap(), 2);
    }

    #[test]
    fn links_to_folders_are_refused() {
        let dir = folder(&[("overlays/a/real", "r")]);
        std::os::unix::fs::symlink(".", dir.path().join("overlays/a/loop")).unwrap();
        assert!(Assets::new(Some(dir.path())).is_err());
    }
}
