//! Half a system does not come up as a whole one: until its installation is finished, a node's boot loader starts
//! `kiln-unfinished.target` ([`super::answers::UNFINISHED`]). Here the word is taken out of the boot loader ([`release`]),
//! and a machine that started with it finds out why ([`look`]).

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::answers::UNFINISHED;
use super::child;
use super::disk::SystemDisk;
use super::disk::record::{Record, State, TableId};
use crate::error::{Error, IoContext, Result};

/// Files that the next kernel's command line is made from.
const SOURCES: [&str; 2] = ["etc/default/grub", "etc/kernel/cmdline"];
/// Folders below which boot loaders keep command lines, and how deep.
const LOADERS: [(&str, u32); 2] = [("boot", 4), ("etc/default", 1)];
/// Longest file of a boot loader that is looked at.
const LARGEST: u64 = 1 << 20;
/// Longest time for `grubby`.
const PATIENCE: Duration = Duration::from_secs(120);

/// How a machine that started with [`UNFINISHED`] stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Only the last step is missing, and can be made now.
    Complete,
    /// The installation was cut short.
    CutShort,
}

/// Takes the word out of the boot loader, by `grubby`, and makes sure that it is gone. `root` is `/` but for tests.
pub fn release(root: &Path) -> Result<()> {
    for source in SOURCES.map(|source| root.join(source)) {
        if let Some(text) = text(&source)? {
            replace(&source, &without(&text))?;
        }
    }
    let mut command = Command::new("grubby");
    command.args(["--update-kernel=ALL", &format!("--remove-args={UNFINISHED}")]);
    let ended = child::run(command, b"", PATIENCE)?;
    if !ended.success {
        return Err(Error::tool(format!("grubby failed: {}", ended.messages.trim())));
    }
    let mut left = Vec::new();
    for (folder, depth) in LOADERS {
        search(&root.join(folder), depth, &mut left)?;
    }
    if left.is_empty() {
        rustix::fs::sync();
        return Ok(());
    }
    Err(Error::tool(format!("grubby has left {UNFINISHED} in {}", left.join(", "))))
}

/// Looks at the record of the disk that the system started from.
pub fn look(root: &Path) -> Result<Standing> {
    let path = SystemDisk::find(root)?.path(root);
    let file = File::open(&path).at("opening", &path)?;
    let table = TableId::read(&file);
    match Record::read(&file).map(|record| record.state) {
        Some(State::Complete { table: known }) if table.as_ref() == Some(&known) => Ok(Standing::Complete),
        _ => Ok(Standing::CutShort),
    }
}

fn without(text: &str) -> String {
    text.replace(&format!(" {UNFINISHED}"), "").replace(UNFINISHED, "")
}

/// A file's text; `None` if it is not there, is no text, or is too long for a boot loader's.
fn text(path: &Path) -> Result<Option<String>> {
    let length = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_file() => metadata.len(),
        _ => return Ok(None),
    };
    if length > LARGEST {
        return Ok(None);
    }
    let bytes = fs::read(path).at("reading", path)?;
    Ok(String::from_utf8(bytes).ok())
}

/// Replaces a file as a whole, its mode kept.
fn replace(path: &Path, text: &str) -> Result<()> {
    let passing = PathBuf::from(format!("{}.kiln", path.display()));
    let mode = fs::metadata(path).at("looking at", path)?.permissions();
    fs::write(&passing, text).at("writing", &passing)?;
    fs::set_permissions(&passing, mode).at("writing", &passing)?;
    File::open(&passing).and_then(|file| file.sync_all()).at("writing", &passing)?;
    fs::rename(&passing, path).at("replacing", path)
}

/// Files below `dir` that still hold the word.
fn search(dir: &Path, depth: u32, left: &mut Vec<String>) -> Result<()> {
    let Ok(entries) = fs::read_dir(dir) else { return Ok(()) };
    for entry in entries {
        let path = entry.at("listing", dir)?.path();
        if fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir()) {
            if depth > 0 {
                search(&path, depth - 1, left)?;
            }
        } else if text(&path)?.is_some_and(|text| text.contains(UNFINISHED)) {
            left.push(path.display().to_string());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::testing::Fake;

    #[test]
    fn the_word_is_taken_out_of_a_line() {
        let line = format!("GRUB_CMDLINE_LINUX=\"quiet {UNFINISHED} console=tty0\"");
        assert_eq!(without(&line), "GRUB_CMDLINE_LINUX=\"quiet console=tty0\"");
        assert_eq!(without(&format!("\"{UNFINISHED}\"")), "\"\"");
    }

    #[test]
    fn what_is_left_is_found() {
        let fake = Fake::new();
        fake.put("boot/loader/entries/a.conf", &format!("options root=x {UNFINISHED}\n"));
        fake.put("boot/grub2/grub.cfg", "linux /vmlinuz root=x\n");
        let mut left = Vec::new();
        search(&fake.root().join("boot"), 4, &mut left).unwrap();
        assert_eq!(left.len(), 1);
        assert!(left[0].ends_with("entries/a.conf"), "{left:?}");
    }

    #[test]
    fn a_system_whose_disk_says_nothing_was_cut_short() {
        let fake = Fake::new();
        fake.put(
            "proc/self/mountinfo",
            "1 0 8:3 / / rw - xfs /dev/sda3 rw\n2 1 8:2 / /boot rw - xfs /dev/sda2 rw\n",
        );
        fake.put("sys/block/sda/sda3/partition", "3\n").put("sys/dev/block/x", "");
        symlink(fake.root().join("sys/block/sda/sda3"), fake.root().join("sys/dev/block/8:3")).unwrap();
        fake.put("dev/sda", "");
        assert_eq!(look(fake.root()).unwrap(), Standing::CutShort);
        fake.put("proc/self/mountinfo", "1 0 0:20 / / rw - overlay overlay rw\n");
        assert!(look(fake.root()).is_err());
    }
}
