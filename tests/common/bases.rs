//! Small synthetic bases in the layouts of vendors' install ISOs, made once per test run by `tests/iso/make-base.sh`.

#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::process::Command;

/// The three layouts.
pub const LAYOUTS: [&str; 3] = ["el7", "el9", "el10"];

/// The base of a layout, made if it is missing.
pub fn base(layout: &str) -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/iso/make-base.sh");
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bases");
    std::fs::create_dir_all(&dir).unwrap();
    let text = std::fs::read(&script).unwrap();
    let key = kiln::digest::Sha256::of(&text).to_string();
    let path = dir.join(format!("{layout}-{}.iso", &key[..12]));
    if !path.exists() {
        let part =
            dir.join(format!("{layout}-{}-{:?}.part", std::process::id(), std::thread::current().id()));
        run(Command::new("sh").arg(&script).arg(layout).arg(&part));
        std::fs::rename(&part, &path).unwrap();
    }
    path
}

/// Runs a program that must succeed; gives its standard output. A missing program fails the test and names itself.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| {
        panic!("{:?} cannot be started ({error}): run `make setup`", command.get_program())
    });
    assert!(
        output.status.success(),
        "{command:?} failed: {}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
