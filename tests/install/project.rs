//! A folder with the demo cluster on a stand-in base whose stage 2 installs, and the media that kiln builds there.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::images;

/// Seconds that a machine shows why it stopped: nobody reads it here.
const HOLD: &str = "sleep 3";

/// A layout of vendors' media and a release that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Name that `tests/standin/make.sh` knows.
    pub name: &'static str,
    release: &'static str,
}

/// isolinux, for BIOS, and GRUB.
pub const EL7: Layout = Layout { name: "el7", release: "centos-7" };
/// The same, hybrid with a GPT.
pub const EL9: Layout = Layout { name: "el9", release: "centos-stream-9" };
/// GRUB for both firmwares, and the EFI partition appended.
pub const EL10: Layout = Layout { name: "el10", release: "centos-stream-10" };

/// The folder.
pub struct Project {
    /// Where it lies.
    pub dir: PathBuf,
}

impl Project {
    /// The demo cluster, on the layout's base; `change` makes of its file what a test needs.
    pub fn new(dir: &Path, layout: Layout, change: impl Fn(String) -> String) -> Self {
        fs::create_dir_all(dir.join("kickstart")).unwrap();
        let base = dir.join("base.iso");
        let script = root().join("tests/standin/make.sh");
        let made = Command::new("bash").arg(script).args([layout.name, "--installer"]).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        symlink(String::from_utf8(made.stdout).unwrap().trim(), base).unwrap();
        let file = fs::read_to_string(root().join("tests/demo/cluster.toml")).unwrap();
        let file = file.replace("centos-stream-9", layout.release);
        fs::write(dir.join("cluster.toml"), change(file)).unwrap();
        let project = Self { dir: dir.to_owned() };
        project.hurry("hold.sh.j2", "sleep {{ hold_minutes * 60 }}", HOLD);
        project.hurry("onerror.sh.j2", "sleep {{ hold_minutes * 60 }}", HOLD);
        project.hurry("pre.sh.j2", "node prepare", "node prepare --patience 20");
        project
    }

    /// A script of the kickstart that waits for nobody.
    fn hurry(&self, name: &str, from: &str, to: &str) {
        let text = fs::read_to_string(root().join("kickstart").join(name)).unwrap();
        assert!(text.contains(from), "{name} has no `{from}`");
        fs::write(self.dir.join("kickstart").join(name), text.replace(from, to)).unwrap();
    }

    /// Has components that do nothing.
    pub fn with_stand_ins(self) -> Self {
        images::components(&self.dir.join("components"));
        self.kiln(&["fetch"]);
        self
    }

    /// Builds the medium of a profile, and gives its path.
    pub fn build(&self, profile: &str, more: &[&str]) -> PathBuf {
        let built = self.kiln(&[&["build", "--profile", profile], more].concat());
        let text =
            String::from_utf8_lossy(&built.stdout).into_owned() + &String::from_utf8_lossy(&built.stderr);
        let path = text.lines().find_map(|line| line.strip_prefix("built ")?.split(" (").next());
        self.dir.join(path.unwrap_or_else(|| panic!("no medium in: {text}")))
    }

    /// Runs kiln here, to success.
    pub fn kiln(&self, args: &[&str]) -> Output {
        let done = kiln(&self.dir, args);
        assert!(done.status.success(), "kiln {args:?}: {}", String::from_utf8_lossy(&done.stderr));
        done
    }
}

/// Runs kiln in a folder.
pub fn kiln(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kiln")).args(args).current_dir(dir).output().unwrap()
}

/// Root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
