//! Identifiers for new files: what ISO 9660 (ECMA-119 7.5, 7.6, interchange level 3) and Joliet allow, unique in their
//! directory, and their order (ECMA-119 9.3).

use std::cmp::Ordering;
use std::collections::BTreeSet;

/// Most characters of an ISO 9660 name without its version.
const ISO_MAX: usize = 30;
/// Most characters of a Joliet name (Joliet specification: 64; makers of media allow 103, all that a record can hold).
const JOLIET_MAX: usize = 103;

/// Where a name goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Space {
    /// The primary tree: `A-Z`, `0-9`, `_`, one dot, a version.
    Iso,
    /// The Joliet tree, with or without `;1` behind file names.
    Joliet {
        /// Whether file names end in `;1`.
        version: bool,
    },
}

/// An identifier for `name` that `taken` does not hold; adds it there.
pub fn identifier(name: &str, dir: bool, space: Space, taken: &mut BTreeSet<Vec<u8>>) -> Vec<u8> {
    let (stem, ext) = match name.rsplit_once('.') {
        Some((stem, ext)) if !dir && !stem.is_empty() && ext.len() <= 8 => (stem, ext),
        _ => (name, ""),
    };
    let allowed = |c: char| match space {
        Space::Iso => c.is_ascii_alphanumeric() || c == '_',
        Space::Joliet { .. } => !c.is_control() && !"*/:;?\\".contains(c) && u32::from(c) < 0x1_0000,
    };
    let clean = |part: &str| -> Vec<char> {
        let upper = |c: char| if space == Space::Iso { c.to_ascii_uppercase() } else { c };
        part.chars().map(|c| if allowed(c) { upper(c) } else { '_' }).collect()
    };
    let (stem, ext) = (clean(stem), clean(ext));
    let max = if space == Space::Iso { ISO_MAX } else { JOLIET_MAX };
    for number in 0_u32.. {
        let suffix = if number == 0 { String::new() } else { format!("_{number}") };
        let room = max.saturating_sub(suffix.len() + ext.len() + 1);
        let mut text: String = stem.iter().take(room).collect();
        text.push_str(&suffix);
        // A file of the primary tree always has its dot (ECMA-119 7.5.1).
        if !ext.is_empty() || (!dir && space == Space::Iso) {
            text.push('.');
            text.extend(&ext);
        }
        if !dir && space != (Space::Joliet { version: false }) {
            text.push_str(";1");
        }
        let id = match space {
            Space::Iso => text.into_bytes(),
            Space::Joliet { .. } => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        };
        if taken.insert(id.clone()) {
            return id;
        }
    }
    Vec::new()
}

/// Order of two identifiers in a directory (ECMA-119 9.3): by name, then extension, the shorter padded with spaces.
pub fn order(a: &[u8], b: &[u8], joliet: bool) -> Ordering {
    if joliet {
        return a.cmp(b);
    }
    let split = |id: &[u8]| -> (Vec<u8>, Vec<u8>) {
        let id = id.split(|byte| *byte == b';').next().unwrap_or(&[]);
        let dot = id.iter().position(|byte| *byte == b'.').unwrap_or(id.len());
        (id[..dot].to_vec(), id.get(dot + 1..).unwrap_or(&[]).to_vec())
    };
    let ((a_name, a_ext), (b_name, b_ext)) = (split(a), split(b));
    padded(&a_name, &b_name).then_with(|| padded(&a_ext, &b_ext))
}

fn padded(a: &[u8], b: &[u8]) -> Ordering {
    let at = |part: &[u8], i: usize| part.get(i).copied().unwrap_or(b' ');
    (0..a.len().max(b.len())).map(|i| at(a, i).cmp(&at(b, i))).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_mangled_and_stay_apart() {
        let mut taken = BTreeSet::new();
        let mut iso =
            |name: &str, dir| String::from_utf8(identifier(name, dir, Space::Iso, &mut taken)).unwrap();
        assert_eq!(iso("ks.cfg", false), "KS.CFG;1");
        assert_eq!(iso("k8s-master1.tar", false), "K8S_MASTER1.TAR;1");
        assert_eq!(iso("k8s_master1.tar", false), "K8S_MASTER1_1.TAR;1");
        assert_eq!(iso("kiln", true), "KILN");
        assert_eq!(iso("kiln", false), "KILN.;1");
        assert_eq!(iso(&"a".repeat(63), false), format!("{}.;1", "A".repeat(29)));
        assert_eq!(iso(&"a".repeat(64), false), format!("{}_1.;1", "A".repeat(27)));
        let joliet = identifier("ä:b.x", false, Space::Joliet { version: false }, &mut taken);
        assert_eq!(super::super::volume::ucs2(&joliet), "ä_b.x");
    }

    #[test]
    fn order_is_by_name_then_extension() {
        assert_eq!(order(b"KS.CFG;1", b"KSX;1", false), Ordering::Less);
        assert_eq!(order(b"A.Z;1", b"A-B.A;1", false), Ordering::Less);
        assert_eq!(order(b"KILN", b"KS.CFG;1", false), Ordering::Less);
    }
}
