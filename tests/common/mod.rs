//! What the tests that cross modules share: comparing with checked-in ("golden") output.
//!
//! A golden file is the proof of what kiln writes, so it never changes by itself: `KILN_BLESS=1 cargo test` writes the new
//! content and still fails, so that a blessed run cannot be mistaken for a green one. Look at the difference, commit it.

#![allow(dead_code, unused_imports, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod exec;
pub mod lay;
pub mod reference;

use std::path::{Path, PathBuf};

pub use reference::{add_pool, reference_cluster};

/// Lines shown before and after the first difference.
const CONTEXT: usize = 3;

/// Compares `actual` with `tests/golden/<path>`; with `KILN_BLESS=1` writes the file and fails all the same.
#[track_caller]
pub fn golden(path: &str, actual: &str) {
    let file = root().join("tests/golden").join(path);
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    if expected == actual && file.exists() {
        return;
    }
    if std::env::var_os("KILN_BLESS").is_some_and(|value| value == "1") {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, actual).unwrap();
        panic!("wrote tests/golden/{path}: look at the difference, then run again without KILN_BLESS");
    }
    panic!(
        "output is not tests/golden/{path}\n{}\nif the new output is right: KILN_BLESS=1 cargo test, look at `git diff`, \
         commit it",
        first_difference(&expected, actual)
    );
}

/// Folder of the package.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// The first lines that differ, in the manner of a unified diff.
fn first_difference(expected: &str, actual: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), actual.lines().collect());
    let same = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let mut out = format!("first difference in line {} (- expected, + actual)\n", same + 1);
    let lines = |from: &[&str], mark: &str| -> String {
        from.iter().skip(same).take(2 * CONTEXT).map(|line| format!("{mark}{line}\n")).collect()
    };
    for line in &old[same.saturating_sub(CONTEXT)..same] {
        out += &format!(" {line}\n");
    }
    out + &lines(&old, "-") + &lines(&new, "+")
}
