//! A project folder as a user has it, made anew for each test, and the program run in it.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use kiln::digest::Sha256;
use tempfile::TempDir;

use crate::{bases, images};

/// The program under test.
pub const KILN: &str = env!("CARGO_BIN_EXE_kiln");

/// The roles.
pub const PROFILES: [&str; 3] = ["master", "worker", "lb"];

/// A folder with `cluster.toml`, `base.iso`, `components/` and `kiln.lock`.
pub struct Project {
    _temp: TempDir,
    /// The folder.
    pub dir: PathBuf,
}

/// How a run of kiln ended.
#[derive(Debug)]
pub struct Run {
    /// Exit code.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Project {
    /// The demo cluster on a small base, its components pinned; no keys yet.
    pub fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("project");
        std::fs::create_dir(&dir).unwrap();
        let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/demo/cluster.toml");
        std::fs::copy(demo, dir.join("cluster.toml")).unwrap();
        std::fs::copy(bases::base("el9"), dir.join("base.iso")).unwrap();
        images::components(&dir.join("components"));
        let project = Self { _temp: temp, dir };
        project.pass(&["fetch"]);
        project
    }

    /// A folder beside the project, for what the test needs besides.
    pub fn beside(&self, name: &str) -> PathBuf {
        let dir = self.dir.parent().unwrap().join(name);
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }

    /// The program, to be run in the project's folder.
    pub fn kiln(&self, args: &[&str]) -> Command {
        let mut command = Command::new(KILN);
        command.current_dir(&self.dir).args(args).stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub fn run(&self, args: &[&str]) -> Run {
        run(&mut self.kiln(args))
    }

    /// Runs the program; it must succeed.
    #[track_caller]
    pub fn pass(&self, args: &[&str]) -> Run {
        let done = self.run(args);
        assert_eq!(done.code, Some(0), "kiln {args:?}: {}", done.err);
        done
    }

    /// Builds a role's medium to its usual place.
    #[track_caller]
    pub fn build(&self, profile: &str) -> PathBuf {
        self.pass(&["build", "--profile", profile]);
        self.output(profile)
    }

    /// The usual place of a role's medium.
    pub fn output(&self, profile: &str) -> PathBuf {
        self.dir.join(format!("out/demo-{profile}.iso"))
    }

    /// A component's file.
    pub fn component(&self, path: &str) -> PathBuf {
        self.dir.join("components").join(path)
    }

    /// Changes the cluster file.
    #[track_caller]
    pub fn edit(&self, from: &str, to: &str) {
        let path = self.dir.join("cluster.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{from}");
        std::fs::write(path, text.replace(from, to)).unwrap();
    }
}

/// Runs a command to its end.
pub fn run(command: &mut Command) -> Run {
    let done = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}: run `make setup`"));
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Run { code: done.status.code(), out: text(done.stdout), err: text(done.stderr) }
}

/// Digest of a file.
#[track_caller]
pub fn sha256(path: &Path) -> String {
    let file = std::fs::File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Sha256::of_reader(file).unwrap().0.to_string()
}

/// Every file below a folder: permission bits, time of the last change, digest. A folder has bits only.
pub fn snapshot(dir: &Path) -> BTreeMap<PathBuf, (u32, i64, String)> {
    let mut found = BTreeMap::new();
    let mut queue = vec![dir.to_owned()];
    while let Some(next) = queue.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let meta = std::fs::symlink_metadata(&path).unwrap();
            let mode = meta.permissions().mode();
            let facts = if meta.is_file() {
                (mode, meta.mtime_nsec() + meta.mtime() * 1_000_000_000, sha256(&path))
            } else {
                (mode, 0, String::new())
            };
            if meta.is_dir() {
                queue.push(path.clone());
            }
            found.insert(path, facts);
        }
    }
    found
}

/// Names in a folder, sorted.
pub fn names(dir: &Path) -> Vec<String> {
    let list = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<String> =
        list.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Whether this process may do what only root may.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
