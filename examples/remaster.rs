//! Remasters a base with files of this machine and tells time and memory: what the bench and the curious run.
//!
//! `cargo run --release --example remaster -- BASE.iso OUT.iso [FILE…]`

use std::path::PathBuf;
use std::time::Instant;

use kiln::blob::Blob;
use kiln::image::iso::{Remaster, remaster};
use kiln::image::label::VolumeLabel;
use kiln::image::menu::MenuSpec;
use kiln::image::{Content, MediumFile};
use kiln::progress::Silent;

#[allow(clippy::print_stdout)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args_os().skip(1).map(PathBuf::from);
    let (base, output) = args.next().zip(args.next()).ok_or("usage: remaster BASE.iso OUT.iso [FILE…]")?;
    let label: VolumeLabel = "KILN-BENCH".parse()?;
    let menu = MenuSpec {
        label: label.clone(),
        default_title: "Install".into(),
        nodes: Vec::new(),
        timeout_seconds: 5,
        serial: None,
        el: 9,
        ks_path: "/ks.cfg".into(),
    };
    let mut files = Vec::new();
    for (number, path) in args.enumerate() {
        let len = std::fs::metadata(&path)?.len();
        let content = Content::Blob(Blob::file(path, len, None));
        files.push(MediumFile { path: format!("/kiln/images/{number}.tar"), mode: 0o644, content });
    }
    let start = Instant::now();
    let built =
        remaster(&Remaster { base, output, label, menu, public: false, force: true }, files, &Silent)?;
    let seconds = start.elapsed().as_secs_f64();
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("?").trim();
    println!("{seconds:.2} s, {} bytes, peak memory {peak}, reflinked {}", built.size, built.reflinked);
    println!("sha256 {}  md5 {}", built.sha256, built.md5);
    Ok(())
}
