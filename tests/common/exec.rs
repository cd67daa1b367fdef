//! Programs that a test makes and then runs.
//!
//! While a file is open for writing anywhere, the kernel refuses to run it (`ETXTBSY`). A test thread that writes a program can
//! close it in vain: a child that another thread forked in between still has it open until it becomes another program. So the
//! file that will be run is written by a process of its own, which has no such children.

use std::path::Path;
use std::process::{Command, Stdio};

/// Puts a copy of `from` at `to`, executable; whoever has `to` open keeps the old file.
#[allow(clippy::unwrap_used)]
#[allow(dead_code)]
pub fn program(from: &Path, to: &Path) {
    let fresh = to.with_extension("fresh");
    let copied = Command::new("install").args(["-m", "755"]).arg(from).arg(&fresh).status().unwrap();
    assert!(copied.success(), "install {} failed", to.display());
    std::fs::rename(fresh, to).unwrap();
}

/// Puts a script at `to`, executable.
#[allow(clippy::unwrap_used)]
#[allow(dead_code)]
pub fn script(text: &str, to: &Path) {
    use std::io::Write;
    let mut install = Command::new("install");
    let mut child = install.args(["-m", "755", "/dev/stdin"]).arg(to).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "install {} failed", to.display());
}
