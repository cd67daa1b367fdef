//! Arguments of a kernel line as a list. A word is kept as it is spelled, escapes and quotes included.

use std::fmt;

use crate::image::label::VolumeLabel;

/// Words of a kernel line after the kernel's path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Args(Vec<String>);

impl Args {
    /// Splits at blanks that are neither quoted nor escaped.
    pub fn parse(text: &str) -> Self {
        let (mut words, mut word) = (Vec::new(), String::new());
        let (mut quote, mut escaped) = (None, false);
        for c in text.chars() {
            let blank = c.is_whitespace() && quote.is_none() && !escaped;
            match c {
                _ if blank => {
                    if !word.is_empty() {
                        words.push(std::mem::take(&mut word));
                    }
                    continue;
                }
                _ if escaped => escaped = false,
                '\\' if quote != Some('\'') => escaped = true,
                '"' | '\'' if quote == Some(c) => quote = None,
                '"' | '\'' if quote.is_none() => quote = Some(c),
                _ => {}
            }
            word.push(c);
        }
        words.extend((!word.is_empty()).then_some(word));
        Self(words)
    }

    /// The words in order.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether an argument of one of these names is there, with or without a value.
    pub fn has(&self, names: &[&str]) -> bool {
        self.0.iter().any(|word| names.contains(&name_of(word)))
    }

    /// The value of the first argument of this name.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.words()
            .filter_map(|word| word.split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }

    /// Removes all arguments of these names.
    pub fn remove(&mut self, names: &[&str]) {
        self.0.retain(|word| !names.contains(&name_of(word)));
    }

    /// Adds a word at the end.
    pub fn push(&mut self, word: &str) {
        self.0.push(word.to_owned());
    }

    /// Adds a word behind the argument of this name, or at the end.
    pub fn insert_after(&mut self, name: &str, word: String) {
        let at = self.0.iter().position(|old| name_of(old) == name).map_or(self.0.len(), |at| at + 1);
        self.0.insert(at, word);
    }

    /// Makes `inst.stage2=` and every other argument with `LABEL=` point to a label. The old label ends at `:` or at the end
    /// of the word, as Anaconda's dracut module reads it.
    pub fn relabel(&mut self, label: &VolumeLabel) {
        for word in &mut self.0 {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            if matches!(key, "inst.stage2" | "stage2") {
                let path = value.splitn(3, ':').nth(2).map_or(String::new(), |path| format!(":{path}"));
                *word = format!("inst.stage2=hd:LABEL={label}{path}");
            } else if let Some((before, after)) = word.split_once("LABEL=") {
                let path = after.find(':').map_or("", |at| &after[at..]);
                *word = format!("{before}LABEL={label}{path}");
            }
        }
    }
}

impl fmt::Display for Args {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

/// Name of an argument: all before `=`.
fn name_of(word: &str) -> &str {
    word.split_once('=').map_or(word, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_blanks_do_not_split() {
        let text = r"initrd=initrd.img inst.stage2=hd:LABEL=CentOS\x207\x20x86_64  a=' b' c\ d quiet";
        let args = Args::parse(text);
        assert_eq!(args.words().count(), 5);
        assert_eq!(args.value("inst.stage2"), Some(r"hd:LABEL=CentOS\x207\x20x86_64"));
        assert!(args.has(&["quiet"]) && !args.has(&["qui"]));
    }

    #[test]
    fn every_label_is_replaced() {
        let text =
            r"inst.stage2=hd:LABEL=A\x20B:/x inst.repo=hd:LABEL=A:/ root=live:CDLABEL=A stage2=hd:UUID=1 x=y";
        let mut args = Args::parse(text);
        args.relabel(&"KILN-1".parse().unwrap());
        let want = "inst.stage2=hd:LABEL=KILN-1:/x inst.repo=hd:LABEL=KILN-1:/ root=live:CDLABEL=KILN-1 \
                    inst.stage2=hd:LABEL=KILN-1 x=y";
        assert_eq!(args.to_string(), want);
    }
}
