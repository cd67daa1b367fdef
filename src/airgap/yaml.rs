//! Keys of block-style YAML (1.2, chapter 8) with their lines and depths: enough to tell which keys belong together. No parser:
//! flow collections and scalars over several lines are left as they are, and tags, anchors and aliases are not followed.

/// A key, or an item of a list that is no mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key<'a> {
    /// From 1.
    pub line: usize,
    /// Column of the key, a `- ` before it counted.
    pub depth: usize,
    /// Whether it begins an item of a list.
    pub item: bool,
    /// The key; empty for an item that is no mapping.
    pub name: &'a str,
    /// What stands behind the colon, without quotes and comment.
    pub value: &'a str,
}

/// The documents of a text; each is the keys of one.
pub(super) fn documents(text: &str) -> Vec<Vec<Key<'_>>> {
    let mut all = vec![Vec::new()];
    // Lines deeper than this are text of a block scalar.
    let mut scalar: Option<usize> = None;
    for (index, line) in text.lines().enumerate() {
        if line.starts_with("---") {
            all.push(Vec::new());
            scalar = None;
            continue;
        }
        let trimmed = line.trim_start();
        let indent = line.len() - trimmed.len();
        if trimmed.is_empty() || scalar.is_some_and(|depth| indent > depth) {
            continue;
        }
        scalar = None;
        if trimmed.starts_with('#') {
            continue;
        }
        let Some(key) = key(index + 1, indent, trimmed) else { continue };
        if key.value.starts_with(['|', '>']) {
            scalar = Some(if key.name.is_empty() { indent } else { key.depth });
        }
        if let Some(last) = all.last_mut() {
            last.push(key);
        }
    }
    all.retain(|keys| !keys.is_empty());
    all
}

fn key(line: usize, indent: usize, text: &str) -> Option<Key<'_>> {
    let (mut rest, mut depth, mut item) = (text, indent, false);
    while let Some(inner) = rest.strip_prefix("- ") {
        let trimmed = inner.trim_start();
        depth += rest.len() - trimmed.len();
        (rest, item) = (trimmed, true);
    }
    let rest = rest.trim_end();
    let Some((name, value)) = split(rest) else {
        return item.then(|| Key { line, depth, item, name: "", value: plain(rest) });
    };
    Some(Key { line, depth, item, name: plain(name), value: plain(value) })
}

/// A key and its value: parted by a colon that a blank or the end of the line follows.
fn split(text: &str) -> Option<(&str, &str)> {
    if text.starts_with(['{', '[']) {
        return None;
    }
    let at = text.match_indices(':').map(|(at, _)| at).find(|at| {
        let behind = text[at + 1..].chars().next();
        behind.is_none_or(char::is_whitespace)
    })?;
    Some((text[..at].trim_end(), text[at + 1..].trim()))
}

/// A scalar without its quotes or its comment.
fn plain(text: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some(inner) = text.strip_prefix(quote) {
            return inner.split(quote).next().unwrap_or_default();
        }
    }
    text.split(" #").next().unwrap_or_default().trim_end()
}

/// The keys of the mapping that `keys[at]` is in, that one among them.
pub(super) fn siblings<'a>(keys: &'a [Key<'a>], at: usize) -> impl Iterator<Item = &'a Key<'a>> {
    let depth = keys[at].depth;
    let begins = |key: &Key<'_>| key.item && key.depth == depth;
    let mut first = at;
    while first > 0 && !begins(&keys[first]) && keys[first - 1].depth >= depth {
        first -= 1;
    }
    let behind =
        keys[at + 1..].iter().take_while(move |key| key.depth >= depth && !(key.item && key.depth == depth));
    keys[first..=at].iter().chain(behind).filter(move |key| key.depth == depth)
}

/// The keys directly inside of the mapping that is the value of `keys[at]`.
pub(super) fn children<'a>(keys: &'a [Key<'a>], at: usize) -> impl Iterator<Item = &'a Key<'a>> {
    let depth = keys[at].depth;
    let inside: Vec<&Key<'a>> = keys[at + 1..].iter().take_while(|key| key.depth > depth).collect();
    let first = inside.first().map(|key| key.depth);
    inside.into_iter().filter(move |key| Some(key.depth) == first)
}

/// The value of a key of the document's outermost mapping.
pub(super) fn top<'a>(keys: &[Key<'a>], name: &str) -> Option<&'a str> {
    keys.iter().find(|key| key.depth == 0 && key.name == name).map(|key| key.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "kind: Pod # a comment\nmetadata:\n  name: 'a'\nspec:\n  containers:\n    - name: one\n      image: \"x:1\"\n      args: |\n        image: no\n      imagePullPolicy: Never\n    - image: y:2\n      name: two\n    - plain\n---\n# image: no\nkind: Role\n";

    #[test]
    fn keys_have_lines_and_depths() {
        let documents = documents(TEXT);
        assert_eq!(documents.len(), 2);
        let keys = &documents[0];
        assert_eq!(
            (top(keys, "kind"), top(&documents[1], "kind"), top(keys, "name")),
            (Some("Pod"), Some("Role"), None)
        );
        let images: Vec<(usize, &str)> =
            keys.iter().filter(|key| key.name == "image").map(|key| (key.line, key.value)).collect();
        assert_eq!(images, [(7, "x:1"), (11, "y:2")]);
        let at = |line: usize| keys.iter().position(|key| key.line == line).unwrap();
        let names = |line| -> Vec<&str> { siblings(keys, at(line)).map(|key| key.name).collect() };
        assert_eq!(names(7), ["name", "image", "args", "imagePullPolicy"]);
        assert_eq!(names(11), ["image", "name"]);
        assert_eq!(names(12), ["image", "name"]);
        assert_eq!(names(1), ["kind", "metadata", "spec"]);
        let inside: Vec<&str> = children(keys, at(2)).map(|key| key.value).collect();
        assert_eq!(inside, ["a"]);
        assert_eq!(keys.last().unwrap().value, "plain");
    }

    #[test]
    fn odd_text_is_no_fault() {
        for odd in ["", "---\n---", ":", "- - - a: b", "a:b", "\t- x", "é: \"", "- |\n  a: b\nc: d", "{a: b}"]
        {
            let found = documents(odd);
            for keys in &found {
                (0..keys.len()).for_each(|at| assert!(siblings(keys, at).count() > 0, "{odd}"));
            }
        }
        assert_eq!(documents("- |\n  a: b\nc: d")[0].len(), 2);
    }
}
