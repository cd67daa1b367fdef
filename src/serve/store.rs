//! What outlives a restart of the server, as a file of JSON. It is complete or not there.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::rack::Saved;
use crate::error::{Error, IoContext, Result};

/// More than any state: a name and a number a node.
const MAX: u64 = 16 << 20;

/// Reads it; `None` if there is none.
pub(super) fn load(path: &Path) -> Result<Option<Saved>> {
    let found = match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        found => found.at("looking at", path)?,
    };
    let wrong = |why: &str| {
        Error::input(format!("{} is no state of kiln serve: {why}", path.display()))
            .hint("remove it, and every node may be installed once more; or name another file with --state")
    };
    if !found.is_file() || found.len() > MAX {
        return Err(wrong("it is no file, or too long"));
    }
    let json = fs::read(path).at("reading", path)?;
    serde_json::from_slice(&json).map(Some).map_err(|error| wrong(&error.to_string()))
}

/// Writes it beside its name, and renames it.
pub(super) fn save(path: &Path, saved: &Saved) -> Result<()> {
    let json = serde_json::to_vec_pretty(saved)
        .map_err(|error| Error::internal("writing the state").because(error))?;
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = Path::new(&part);
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(part)?;
        file.write_all(&json)?;
        file.sync_all()?;
        fs::rename(part, path)
    };
    write().at("writing", path).map_err(|error| error.hint("--state names a file that may be written"))
}
