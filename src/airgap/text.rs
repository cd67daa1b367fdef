//! What is walked: the text files of the trees and the kickstart, line by line without their comments. A file is text if it is
//! UTF-8 and lies in memory, as all files of overlays do; programs of components lie in files and are never read.

use std::collections::BTreeSet;

use crate::blob::Piece;
use crate::cluster::types::HostName;
use crate::tree::{Entry, Kind};

use super::{Asked, Medium};

/// Largest file that is walked.
const LARGEST: u64 = 4 << 20;
/// In a comment on a line, or on the one before: the author answers for what the line asks of a network.
const EXCUSE: &str = "kiln: reachable";

/// How a file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// A unit of systemd, or a drop-in.
    Unit,
    /// YAML: objects of Kubernetes, configuration of its programs.
    Yaml,
    /// JSON, which has no comments.
    Json,
    /// XML.
    Xml,
    /// A script, or the kickstart, which is scripts for the most part.
    Script,
    /// Any other configuration; `#` begins a comment.
    Config,
}

/// A text file.
#[derive(Debug)]
pub(super) struct Source<'a> {
    /// Path on the node.
    pub path: String,
    origin: String,
    /// The one node that gets it, if it is not for all.
    pub node: Option<&'a HostName>,
    pub format: Format,
    pub text: String,
}

/// A line without its comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// From 1.
    pub number: usize,
    pub text: String,
    /// Whether its author answers for it.
    pub excused: bool,
}

/// The text files of a medium. What several nodes have alike is walked once.
pub(super) fn sources<'a>(medium: &'a Medium<'_>) -> Vec<Source<'a>> {
    let mut all = vec![Source {
        path: "ks.cfg".to_owned(),
        origin: "the kickstart".to_owned(),
        node: None,
        format: Format::Script,
        text: medium.kickstart.to_owned(),
    }];
    let mut seen = BTreeSet::new();
    for (node, tree) in medium.trees() {
        for (path, entry) in tree.iter() {
            if let Some(text) = text_of(entry)
                && seen.insert((path.to_string(), text.clone()))
            {
                let format = format(path.as_str(), entry.mode, &text);
                let (path, origin) = (path.to_string(), entry.origin.clone());
                all.push(Source { path, origin, node, format, text });
            }
        }
    }
    all
}

fn text_of(entry: &Entry) -> Option<String> {
    let Kind::File(blob) = &entry.kind else { return None };
    let in_memory = blob.pieces().iter().all(|piece| matches!(piece, Piece::Bytes(_)));
    if entry.secret || !in_memory {
        return None;
    }
    String::from_utf8(blob.to_vec(LARGEST).ok()?).ok()
}

fn format(path: &str, mode: u16, text: &str) -> Format {
    let ending =
        path.rsplit('/').next().and_then(|name| name.rsplit_once('.')).map_or("", |(_, ending)| ending);
    match ending {
        _ if path.contains("/systemd/system/") => Format::Unit,
        _ if text.starts_with("#!") || mode & 0o111 != 0 || ending == "sh" => Format::Script,
        "yaml" | "yml" => Format::Yaml,
        "json" => Format::Json,
        "xml" => Format::Xml,
        _ => Format::Config,
    }
}

impl Source<'_> {
    /// A place in it.
    pub fn at(&self, line: usize) -> Asked {
        let origin = match self.node {
            Some(node) => format!("{}, for {node}", self.origin),
            None => self.origin.clone(),
        };
        Asked { file: self.path.clone(), line: Some(line), origin }
    }

    /// Its lines without comments; empty ones are left out.
    pub fn lines(&self) -> Vec<Line> {
        let xml = (self.format == Format::Xml).then(|| without_xml_comments(&self.text));
        let code = xml.as_deref().unwrap_or(&self.text);
        let mut before = false;
        let mut lines = Vec::new();
        for (index, (raw, code)) in self.text.lines().zip(code.lines()).enumerate() {
            let excuse = raw.contains(EXCUSE);
            let text = match self.format {
                Format::Json | Format::Xml => code,
                Format::Unit if code.trim_start().starts_with([';', '#']) => "",
                Format::Unit => code,
                Format::Yaml | Format::Script | Format::Config => without_comment(code),
            };
            if !text.trim().is_empty() {
                lines.push(Line { number: index + 1, text: text.to_owned(), excused: excuse || before });
            }
            before = excuse;
        }
        lines
    }

    /// Its lines, those that end in a backslash joined with the next; numbered by the first.
    pub fn logical_lines(&self) -> Vec<Line> {
        let mut joined: Vec<Line> = Vec::new();
        let mut open = false;
        for line in self.lines() {
            let (text, more) = match line.text.trim_end().strip_suffix('\\') {
                Some(text) => (text.to_owned(), true),
                None => (line.text, false),
            };
            match joined.last_mut().filter(|_| open) {
                Some(last) => last.text = format!("{} {}", last.text, text.trim_start()),
                None => joined.push(Line { text, ..line }),
            }
            open = more;
        }
        joined
    }
}

/// The part of a line before its comment: `#` at the start or after a blank, outside of quotes.
fn without_comment(line: &str) -> &str {
    let (mut quote, mut before) = (None, ' ');
    for (at, c) in line.char_indices() {
        match (quote, c) {
            (None, '#') if before.is_whitespace() => return &line[..at],
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
        before = c;
    }
    line
}

/// XML with its comments made blank; lines stay where they are.
fn without_xml_comments(text: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(start) = rest.find("<!--") {
        let end = rest[start..].find("-->").map_or(rest.len(), |end| start + end + 3);
        out.push_str(&rest[..start]);
        out.extend(rest[start..end].chars().filter(|c| *c == '\n'));
        rest = &rest[end..];
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source<'static> {
        let format = format(path, 0o644, text);
        Source { path: path.into(), origin: "test".into(), node: None, format, text: text.into() }
    }

    #[test]
    fn formats_follow_names_and_modes() {
        assert_eq!(format("/etc/systemd/system/a.service.d/x.conf", 0o644, ""), Format::Unit);
        assert_eq!(format("/opt/x", 0o755, "a"), Format::Script);
        assert_eq!(format("/opt/x", 0o644, "#!/bin/sh"), Format::Script);
        assert_eq!(format("/opt/kiln/addons/1.yaml", 0o644, ""), Format::Yaml);
        assert_eq!(format("/etc/docker/daemon.json", 0o644, ""), Format::Json);
        assert_eq!(format("/etc/x.d/no.ending/file", 0o644, ""), Format::Config);
    }

    #[test]
    fn comments_are_left_out_and_nothing_else() {
        let lines = |path, text| -> Vec<(usize, String)> {
            source(path, text).lines().into_iter().map(|line| (line.number, line.text)).collect()
        };
        let text = "# a\nb # c\nd#e\n\"f # g\" 'h # i'\n  # j\n";
        let found = lines("/etc/x.conf", text);
        assert_eq!(found, [(2, "b ".into()), (3, "d#e".into()), (4, "\"f # g\" 'h # i'".into())]);
        let found = lines("/etc/systemd/system/x.service", "; a\n#b\nExecStart=/x # y\n");
        assert_eq!(found, [(3, "ExecStart=/x # y".into())]);
        let found = lines("/etc/x.xml", "<a>\n<!-- b\n c --><d/>\n<!-- open\n");
        assert_eq!(found, [(1, "<a>".into()), (3, "<d/>".into())]);
        assert_eq!(lines("/etc/x.json", "# a\n"), [(1, "# a".into())]);
    }

    #[test]
    fn an_excuse_holds_for_its_line_and_the_next() {
        let found =
            source("/etc/x.conf", "a\n# kiln: reachable\nb\nc # kiln: reachable by the site's proxy\nd\ne")
                .lines();
        let excused: Vec<(usize, bool)> = found.iter().map(|line| (line.number, line.excused)).collect();
        assert_eq!(excused, [(1, false), (3, true), (4, true), (5, true), (6, false)]);
    }

    #[test]
    fn continued_lines_are_one() {
        let found = source("/opt/x.sh", "a \\\n  b\\\nc\nd").logical_lines();
        let text: Vec<(usize, &str)> = found.iter().map(|line| (line.number, line.text.as_str())).collect();
        assert_eq!(text, [(1, "a  b c"), (4, "d")]);
    }
}
