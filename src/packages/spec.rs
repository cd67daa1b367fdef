//! Names as `%packages` takes them, which are those of yum and dnf: a name, with its architecture or version if one is meant, and
//! with `*` and `?`.

use super::universe::{Item, PackageId, Universe};

/// Packages that a word of `%packages` means. `provided`: what a package provides counts as its name (EL 8 and later).
pub(super) fn candidates(universe: &Universe, word: &str, provided: bool) -> Vec<PackageId> {
    let native = |id: &PackageId| universe.item(*id).is_native();
    let named: Vec<PackageId> = universe.named(word).iter().copied().filter(native).collect();
    if !named.is_empty() {
        return named;
    }
    let glob = word.contains(['*', '?']);
    let means = |item: &Item| {
        if glob {
            item.is_native() && forms(item).iter().any(|form| is_like(word.as_bytes(), form.as_bytes()))
        } else {
            word.starts_with(&*item.name) && forms(item).iter().any(|form| form == word)
        }
    };
    let meant: Vec<PackageId> = universe.items().filter(|(_, item)| means(item)).map(|(id, _)| id).collect();
    if !meant.is_empty() || glob || !provided {
        return meant;
    }
    providers(universe, word)
}

/// Packages that provide a word under another name.
pub(super) fn providers(universe: &Universe, word: &str) -> Vec<PackageId> {
    let mut found = universe.providers(&crate::format::rpm::Dependency::on(word));
    found.retain(|id| universe.item(*id).is_native());
    found
}

/// How a package may be written.
fn forms(item: &Item) -> Vec<String> {
    let Item { name, arch, evr, .. } = item;
    let release = evr.release.as_deref().unwrap_or_default();
    let (version, epoch) = (&evr.version, evr.epoch.unwrap_or(0));
    let mut forms =
        vec![name.to_string(), format!("{name}-{version}"), format!("{name}-{version}-{release}")];
    forms.push(format!("{name}-{epoch}:{version}"));
    forms.push(format!("{name}-{epoch}:{version}-{release}"));
    let with_arch: Vec<String> = forms.iter().map(|form| format!("{form}.{arch}")).collect();
    forms.extend(with_arch);
    forms
}

/// Whether a text is like a pattern of `*` and `?`. Linear in both but for the last `*`, to which it comes back.
fn is_like(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                back = Some((p + 1, t));
                p += 1;
            }
            Some(c) if *c == b'?' || *c == text[t] => (p, t) = (p + 1, t + 1),
            _ => match back {
                Some((after, from)) => {
                    back = Some((after, from + 1));
                    (p, t) = (after, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_held_against_texts() {
        for (pattern, text) in
            [("*", ""), ("a*", "a"), ("a*c", "abbc"), ("*b*b", "abab"), ("a?c", "abc"), ("a**", "ab")]
        {
            assert!(is_like(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
        }
        for (pattern, text) in [("", "a"), ("a?", "a"), ("*b", "abc"), ("a*c", "ab"), ("b*", "ab")] {
            assert!(!is_like(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
        }
    }
}
