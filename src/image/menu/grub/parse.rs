//! Reads the part of GRUB's language that vendors' media use, and refuses the rest by line.

use super::super::args::Args;
use super::super::{Purpose, at_line, purpose};
use super::FILE;
use crate::error::Result;

/// Deepest submenu.
const MAX_DEPTH: usize = 4;

/// Commands that are copied as they are, outside of entries and inside of kept ones.
const PLAIN: [&str; 29] = [
    "set",
    "unset",
    "export",
    "insmod",
    "rmmod",
    "load_video",
    "loadfont",
    "background_image",
    "clear",
    "echo",
    "true",
    "false",
    "probe",
    "regexp",
    "terminal_input",
    "terminal_output",
    "serial",
    "sleep",
    "play",
    "configfile",
    "chainloader",
    "boot",
    "exit",
    "fwsetup",
    "reboot",
    "halt",
    "normal",
    "drivemap",
    "devicetree",
];
const LINUX: [&str; 3] = ["linux", "linuxefi", "linux16"];
const INITRD: [&str; 3] = ["initrd", "initrdefi", "initrd16"];

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    /// A command, comment, empty line, or a line of a function or `if` block.
    Line(String),
    /// `search` by label or file system UUID: any that sets `root` to the medium.
    Search(String),
    /// Number or name of the entry that starts when nobody chooses.
    Default(String),
    Timeout,
    Linux(Kernel),
    Entry(Block),
    Submenu(Block),
}

/// A line that names a kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kernel {
    pub command: String,
    pub path: String,
    pub args: Args,
}

/// A `menuentry` or `submenu`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    /// The title as it is spelled, quotes included.
    pub title: String,
    /// The words between title and `{`.
    pub options: String,
    pub body: Vec<Item>,
}

impl Block {
    pub fn kernel(&self) -> Option<&Kernel> {
        self.body.iter().find_map(|item| match item {
            Item::Linux(kernel) => Some(kernel),
            _ => None,
        })
    }

    pub fn purpose(&self) -> Purpose {
        self.kernel().map_or(Purpose::Other, |kernel| purpose(&kernel.args))
    }
}

struct Parser<'a> {
    lines: &'a [&'a str],
    at: usize,
    functions: Vec<String>,
}

/// Reads a whole file.
pub(super) fn parse(lines: &[&str]) -> Result<Vec<Item>> {
    Parser { lines, at: 0, functions: Vec::new() }.items(0)
}

impl Parser<'_> {
    /// Reads to the end of the file, or of the block when `depth` is not 0.
    fn items(&mut self, depth: usize) -> Result<Vec<Item>> {
        let mut items = Vec::new();
        while let Some(&line) = self.lines.get(self.at) {
            let text = line.trim();
            let fault = |what: &str| at_line(FILE, self.at, line, what);
            if text.is_empty() || text.starts_with('#') {
                items.push(Item::Line(text.to_owned()));
                self.at += 1;
                continue;
            }
            let copied = depth == 0
                && ["if", "function"].iter().any(|word| text.split_whitespace().next() == Some(word));
            if !copied && !simple(text) {
                return Err(fault("quotes that do not close, or more than one command on a line"));
            }
            let words: Vec<String> = Args::parse(text).words().map(str::to_owned).collect();
            let word = words.first().map_or("", String::as_str);
            match word {
                "}" if depth > 0 && words.len() == 1 => return Ok(items),
                "menuentry" | "submenu" if depth >= MAX_DEPTH => return Err(fault("submenus are too deep")),
                "menuentry" | "submenu" => items.push(self.block(word == "submenu", &words, depth)?),
                "function" | "if" if copied => self.copy_block(word, &words, &mut items)?,
                _ => items.push(self.command(line, text, &words)?),
            }
            self.at += 1;
        }
        if depth == 0 { Ok(items) } else { Err(at_line(FILE, self.at, "", "a block has no end")) }
    }

    /// Reads a `menuentry` or `submenu`; leaves the position at its closing line.
    fn block(&mut self, submenu: bool, words: &[String], depth: usize) -> Result<Item> {
        let [_, title, options @ .., brace] = words else {
            return Err(at_line(FILE, self.at, self.lines[self.at], "an entry without title or `{`"));
        };
        if brace != "{" || options.iter().any(|word| word.contains(['{', '}'])) {
            return Err(at_line(FILE, self.at, self.lines[self.at], "an entry does not end with ` {`"));
        }
        let (title, options) = (title.clone(), options.join(" "));
        self.at += 1;
        let body = self.items(depth + 1)?;
        let block = Block { title, options, body };
        Ok(if submenu { Item::Submenu(block) } else { Item::Entry(block) })
    }

    /// Copies a function or `if` block of the preamble; leaves the position at its last line.
    fn copy_block(&mut self, word: &str, words: &[String], items: &mut Vec<Item>) -> Result<()> {
        if word == "function" {
            self.functions.extend(words.get(1).cloned());
        }
        let mut open = 0usize;
        while let Some(&line) = self.lines.get(self.at) {
            let first = line.split_whitespace().next().unwrap_or("");
            let menu = ["menuentry", "submenu", "search", "linux", "linuxefi"].contains(&first);
            if menu || ["default=", "timeout=", "LABEL="].iter().any(|sets| line.contains(sets)) {
                return Err(at_line(FILE, self.at, line, "it depends on a condition or lies in a function"));
            }
            items.push(Item::Line(line.trim_end().to_owned()));
            let (opens, closes) = match word {
                "if" => (first == "if", first == "fi"),
                _ => (line.trim_end().ends_with('{'), first == "}"),
            };
            open = (open + usize::from(opens)).saturating_sub(usize::from(closes));
            if open == 0 {
                return Ok(());
            }
            self.at += 1;
        }
        Err(at_line(FILE, self.at, "", "a function or `if` has no end"))
    }

    fn command(&self, line: &str, text: &str, words: &[String]) -> Result<Item> {
        let fault = |what: &str| at_line(FILE, self.at, line, what);
        let word = words[0].as_str();
        let setting = words.get(1).and_then(|word| word.split_once('=')).map(|(name, _)| name);
        match word {
            "set" if setting == Some("default") => {
                let value = words[1].split_once('=').map_or("", |(_, value)| value);
                Ok(Item::Default(unquoted(value)))
            }
            "set" if setting == Some("timeout") => Ok(Item::Timeout),
            "search" => Ok(search(text, words)),
            _ if LINUX.contains(&word) => {
                let path = words.get(1).ok_or_else(|| fault("no kernel is named"))?.clone();
                let args = Args::parse(&words[2..].join(" "));
                Ok(Item::Linux(Kernel { command: word.to_owned(), path, args }))
            }
            _ if INITRD.contains(&word) || PLAIN.contains(&word) => Ok(Item::Line(text.to_owned())),
            _ if self.functions.iter().any(|name| name == word) => Ok(Item::Line(text.to_owned())),
            _ => Err(fault("an unknown command")),
        }
    }
}

/// A search for a file stays; one by label or UUID looks for what the new medium no longer has.
fn search(text: &str, words: &[String]) -> Item {
    let by_file = words.iter().any(|word| matches!(word.as_str(), "-f" | "--file"));
    if by_file { Item::Line(text.to_owned()) } else { Item::Search(text.to_owned()) }
}

/// Whether a line is one command: quotes close, and no `;`, `|`, `&`, `<`, `>` or line continuation is outside of them.
fn simple(text: &str) -> bool {
    let (mut quote, mut escaped) = (None, false);
    for c in text.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quote != Some('\'') => escaped = true,
            '"' | '\'' if quote == Some(c) => quote = None,
            '"' | '\'' if quote.is_none() => quote = Some(c),
            ';' | '|' | '&' | '<' | '>' if quote.is_none() => return false,
            _ => {}
        }
    }
    quote.is_none() && !escaped
}

/// A word without the quotes around it.
pub(super) fn unquoted(word: &str) -> String {
    let bare = word.strip_prefix('\'').and_then(|word| word.strip_suffix('\''));
    let bare = bare.or_else(|| word.strip_prefix('"').and_then(|word| word.strip_suffix('"')));
    bare.unwrap_or(word).replace(r"'\''", "'")
}
