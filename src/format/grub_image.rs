//! Modules that are built into an image of GRUB (GRUB's `include/grub/kernel.h`: `grub_module_info64`, `grub_module_header`): whether
//! it can fetch from a network is told by them. Read only, 64-bit images only.

use std::collections::BTreeSet;

use super::bytes::{le16, le32, le64};

/// What the list of modules begins with.
const MAGIC: &[u8; 4] = b"mimg";
/// Length of what comes before the first module.
const INFO: u64 = 24;
/// Type of a module that is code.
const CODE: u32 = 0;
/// Most modules, and most sections of one.
const MAX_MODULES: usize = 1000;
const MAX_SECTIONS: usize = 200;

/// Names of the modules; empty for what is no image of GRUB.
pub fn modules(image: &[u8]) -> BTreeSet<String> {
    let starts = (0..image.len().saturating_sub(INFO as usize)).filter(|at| image[*at..].starts_with(MAGIC));
    // The letters may stand elsewhere, too.
    starts.filter_map(|at| list(&image[at..])).find(|names| !names.is_empty()).unwrap_or_default()
}

/// The list that begins here, if one does.
fn list(image: &[u8]) -> Option<BTreeSet<String>> {
    let (offset, size) = (le64(image, 8), le64(image, 16));
    if offset != INFO || size > image.len() as u64 || size < INFO {
        return None;
    }
    let mut rest = &image[INFO as usize..size as usize];
    let mut names = BTreeSet::new();
    for _ in 0..MAX_MODULES {
        let len = le32(rest, 4) as usize;
        if len < 8 || len > rest.len() {
            break;
        }
        if le32(rest, 0) == CODE {
            names.extend(name(&rest[8..len]));
        }
        rest = &rest[len..];
    }
    Some(names)
}

/// The name of a module: the content of its section `.modname` (ELF-64).
fn name(module: &[u8]) -> Option<String> {
    if !module.starts_with(b"\x7fELF\x02") {
        return None;
    }
    let from = |at: u64| module.get(usize::try_from(at).ok()?..);
    let table = from(le64(module, 0x28))?;
    let (entry, count) = (usize::from(le16(module, 0x3a)), usize::from(le16(module, 0x3c)));
    let section = |at: usize| table.get(at.checked_mul(entry)?..).filter(|section| section.len() >= 64);
    let texts = from(le64(section(usize::from(le16(module, 0x3e)))?, 24))?;
    let text = |bytes: &[u8]| bytes.split(|byte| *byte == 0).next().map(<[u8]>::to_vec);
    for at in 0..count.min(MAX_SECTIONS) {
        let header = section(at)?;
        let called = texts.get(le32(header, 0) as usize..).and_then(text);
        if called.as_deref() == Some(b".modname") {
            let content = from(le64(header, 24))?;
            return String::from_utf8(text(content.get(..content.len().min(64))?)?).ok();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Debian has one GRUB for the network and one without; both are signed as a vendor's are.
    #[test]
    fn a_grub_for_the_network_is_known_from_one_that_is_not() {
        let of = |name: &str| {
            let path = format!("/usr/lib/grub/x86_64-efi-signed/{name}.efi.signed");
            modules(&std::fs::read(path).expect("this test needs grub-efi-amd64-signed"))
        };
        let (net, cd) = (of("grubnetx64"), of("gcdx64"));
        for both in ["linux", "normal", "efinet", "test"] {
            assert!(net.contains(both) && cd.contains(both), "{both}");
        }
        assert!(net.contains("tftp") && !cd.contains("tftp"));
        assert_eq!(net.difference(&cd).collect::<Vec<_>>(), ["tftp"]);
    }

    #[test]
    fn what_is_no_image_has_no_modules() {
        for bad in [
            b"".as_slice(),
            b"mimg",
            &[b'm'; 100],
            b"mimg\0\0\0\0\x18\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff0123456789",
        ] {
            assert!(modules(bad).is_empty());
        }
    }
}
