//! Rebuilds when the folders that are compiled in change; `include_dir!` alone does not see added files.

fn main() {
    for folder in ["profiles", "overlays", "kickstart"] {
        println!("cargo::rerun-if-changed={folder}");
    }
}
