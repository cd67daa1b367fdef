//! Finds UEFI firmware that the system has installed. Downloads nothing and ships none.
//!
//! First QEMU's firmware descriptors (`docs/interop/firmware.json` of QEMU: JSON files in `qemu/firmware`, the lowest
//! name first), then the paths that Debian and EL are known to use.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::spec::Firmware;
use crate::error::{Error, Result};

/// A UEFI build: code, template of its variable store, and what the machine needs for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The code; used read-only.
    pub code: PathBuf,
    /// Template of the variables; each run uses its own copy.
    pub vars: PathBuf,
    /// QEMU's name of both files' format: `raw` or `qcow2`.
    pub format: String,
    /// Whether it runs its secrets in System Management Mode, so that the machine must have it.
    pub smm: bool,
    /// Whether keys are enrolled: Secure Boot is on.
    pub enrolled: bool,
}

/// Code, variables, SMM, enrolled. Known to work; tried where no descriptor fits.
const KNOWN: [(&str, &str, bool, bool); 7] = [
    ("usr/share/OVMF/OVMF_CODE_4M.fd", "usr/share/OVMF/OVMF_VARS_4M.fd", false, false),
    ("usr/share/OVMF/OVMF_CODE_4M.secboot.fd", "usr/share/OVMF/OVMF_VARS_4M.ms.fd", true, true),
    ("usr/share/edk2/ovmf/OVMF_CODE.fd", "usr/share/edk2/ovmf/OVMF_VARS.fd", false, false),
    ("usr/share/edk2/ovmf/OVMF_CODE.secboot.fd", "usr/share/edk2/ovmf/OVMF_VARS.secboot.fd", true, true),
    ("usr/share/OVMF/OVMF_CODE.fd", "usr/share/OVMF/OVMF_VARS.fd", false, false),
    ("usr/share/OVMF/OVMF_CODE.secboot.fd", "usr/share/OVMF/OVMF_VARS.ms.fd", true, true),
    // EL's only build for plain UEFI: able to Secure Boot, no keys enrolled, so it does not enforce it.
    ("usr/share/edk2/ovmf/OVMF_CODE.secboot.fd", "usr/share/edk2/ovmf/OVMF_VARS.fd", true, false),
];

/// Firmware for a machine; none for BIOS, which QEMU brings along. `root` is `/` but for tests.
pub fn find(firmware: Firmware, root: &Path) -> Result<Option<Image>> {
    if firmware == Firmware::Bios {
        return Ok(None);
    }
    let enrolled = firmware == Firmware::SecureBoot;
    let mut candidates = described(root);
    candidates.extend(known(root));
    candidates.retain(|image| image.enrolled == enrolled && image.code.is_file() && image.vars.is_file());
    // A stable sort: builds without SMM first, else in the order found.
    candidates.sort_by_key(|image| image.smm);
    candidates.into_iter().next().map(Some).ok_or_else(|| {
        let what = if enrolled { "UEFI firmware with Secure Boot keys" } else { "UEFI firmware" };
        Error::tool(format!("no {what} (OVMF) found"))
            .hint("install it: `apt-get install ovmf` on Debian, `dnf install edk2-ovmf` on EL")
    })
}

fn known(root: &Path) -> impl Iterator<Item = Image> {
    KNOWN.iter().map(move |&(code, vars, smm, enrolled)| Image {
        code: root.join(code),
        vars: root.join(vars),
        format: "raw".to_owned(),
        smm,
        enrolled,
    })
}

#[derive(Deserialize)]
struct Descriptor {
    mapping: Mapping,
    targets: Vec<Target>,
    #[serde(default)]
    features: Vec<String>,
}

#[derive(Deserialize)]
struct Mapping {
    device: String,
    executable: File,
    #[serde(rename = "nvram-template")]
    nvram_template: Option<File>,
}

#[derive(Deserialize)]
struct File {
    filename: PathBuf,
    format: String,
}

#[derive(Deserialize)]
struct Target {
    architecture: String,
    machines: Vec<String>,
}

/// What the descriptors offer, in their order of preference. A file in `/etc` replaces the one of the same name.
fn described(root: &Path) -> Vec<Image> {
    let mut files = std::collections::BTreeMap::new();
    for dir in ["usr/share/qemu/firmware", "etc/qemu/firmware"] {
        let Ok(entries) = std::fs::read_dir(root.join(dir)) else { continue };
        for entry in entries.flatten() {
            if entry.path().extension().is_some_and(|e| e == "json") {
                files.insert(entry.file_name(), entry.path());
            }
        }
    }
    // A descriptor that does not parse is another firmware's business: it is passed over, as QEMU's rules say.
    files.values().filter_map(|path| read_descriptor(path, root)).collect()
}

fn read_descriptor(path: &Path, root: &Path) -> Option<Image> {
    let descriptor: Descriptor = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    let has = |feature: &str| descriptor.features.iter().any(|f| f == feature);
    let fits = descriptor
        .targets
        .iter()
        .any(|t| t.architecture == "x86_64" && t.machines.iter().any(|m| m.starts_with("pc-q35")));
    let mapping = descriptor.mapping;
    let vars = mapping.nvram_template?;
    let format = mapping.executable.format;
    if !fits || mapping.device != "flash" || vars.format != format || !matches!(&*format, "raw" | "qcow2") {
        return None;
    }
    let under = |file: &Path| root.join(file.strip_prefix("/").unwrap_or(file));
    Some(Image {
        code: under(&mapping.executable.filename),
        vars: under(&vars.filename),
        format,
        smm: has("requires-smm"),
        enrolled: has("enrolled-keys"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(root: &Path, file: &str, text: &str) {
        let path = root.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn descriptor(code: &str, features: &str) -> String {
        format!(
            r#"{{"description":"x","mapping":{{"device":"flash","executable":{{"filename":"{code}","format":"raw"}},
            "nvram-template":{{"filename":"/fw/vars.fd","format":"raw"}}}},
            "targets":[{{"architecture":"x86_64","machines":["pc-q35-*"]}}],"features":[{features}]}}"#
        )
    }

    #[test]
    fn bios_needs_no_file() {
        assert_eq!(find(Firmware::Bios, Path::new("/nonexistent")).unwrap(), None);
    }

    #[test]
    fn what_is_missing_is_named_with_both_packages() {
        let dir = tempfile::tempdir().unwrap();
        let error = find(Firmware::SecureBoot, dir.path()).unwrap_err();
        assert_eq!(error.class().exit_code(), 3);
        let hint = error.hint_text().unwrap();
        assert!(hint.contains("apt-get install ovmf") && hint.contains("dnf install edk2-ovmf"), "{hint}");
    }

    #[test]
    fn descriptors_win_over_known_paths_and_need_their_files() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        put(root, "usr/share/OVMF/OVMF_CODE_4M.fd", "");
        put(root, "usr/share/OVMF/OVMF_VARS_4M.fd", "");
        put(root, "usr/share/qemu/firmware/10-broken.json", "{");
        put(root, "usr/share/qemu/firmware/20-gone.json", &descriptor("/fw/gone.fd", ""));
        assert!(find(Firmware::Uefi, root).unwrap().unwrap().code.ends_with("OVMF_CODE_4M.fd"));
        put(root, "usr/share/qemu/firmware/30-there.json", &descriptor("/fw/code.fd", ""));
        put(root, "fw/code.fd", "");
        put(root, "fw/vars.fd", "");
        assert!(find(Firmware::Uefi, root).unwrap().unwrap().code.ends_with("fw/code.fd"));
        assert!(find(Firmware::SecureBoot, root).is_err());
    }

    #[test]
    fn secure_boot_wants_enrolled_keys() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        put(root, "fw/vars.fd", "");
        put(root, "fw/code.fd", "");
        put(root, "etc/qemu/firmware/50.json", &descriptor("/fw/code.fd", r#""secure-boot","requires-smm""#));
        assert!(find(Firmware::SecureBoot, root).is_err());
        assert!(find(Firmware::Uefi, root).unwrap().unwrap().smm);
        let enrolled = r#""secure-boot","requires-smm","enrolled-keys""#;
        put(root, "etc/qemu/firmware/40.json", &descriptor("/fw/code.fd", enrolled));
        assert!(find(Firmware::SecureBoot, root).unwrap().unwrap().enrolled);
    }
}
