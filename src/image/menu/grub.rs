//! grub.cfg: the loader of UEFI machines on all releases, and of BIOS machines on EL10 media.
//!
//! Read is the part of GRUB's language that vendors' media use: one command a line, functions and `if` blocks, which are
//! copied, and `menuentry` and `submenu` blocks, which are understood.

use super::args::Args;
use super::{Listed, MenuSpec, Purpose, SerialConsole, Wanted, at_line, lines, no_install_entry, purpose};
use crate::error::Result;

const FILE: &str = "grub.cfg";
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

/// Which loader reads the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrubFlavor {
    /// The signed UEFI loader: all it may use is built in.
    Efi,
    /// The BIOS loader of EL10 media, which loads modules from the medium.
    Bios,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Item {
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
struct Kernel {
    command: String,
    path: String,
    args: Args,
}

/// A `menuentry` or `submenu`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Block {
    /// The title as it is spelled, quotes included.
    title: String,
    /// The words between title and `{`.
    options: String,
    body: Vec<Item>,
}

impl Block {
    fn kernel(&self) -> Option<&Kernel> {
        self.body.iter().find_map(|item| match item {
            Item::Linux(kernel) => Some(kernel),
            _ => None,
        })
    }

    fn purpose(&self) -> Purpose {
        self.kernel().map_or(Purpose::Other, |kernel| purpose(&kernel.args))
    }
}

/// Rewrites a menu of GRUB for unattended use.
pub fn grub(old: &str, spec: &MenuSpec, flavor: GrubFlavor) -> Result<String> {
    spec.check()?;
    let lines = lines(FILE, old)?;
    let mut parser = Parser { lines: &lines, at: 0, functions: Vec::new() };
    let items = parser.items(0)?;
    let template = template(&items).ok_or_else(|| no_install_entry(FILE))?;
    let mut out = Writer { spec, serial: spec.serial.is_some(), text: String::new(), depth: 0 };
    if let Some(SerialConsole { port, speed }) = spec.serial {
        if flavor == GrubFlavor::Bios {
            out.line("insmod serial");
        }
        out.line(&format!("serial --unit={port} --speed={speed}"));
        out.line("terminal_input serial console");
        out.line("terminal_output serial console");
    }
    if !items.iter().any(|item| matches!(item, Item::Default(_))) {
        out.line(&out.default());
    }
    if !items.contains(&Item::Timeout) {
        out.line(&out.timeout());
    }
    let first = items.iter().position(|item| matches!(item, Item::Entry(_) | Item::Submenu(_))).unwrap_or(0);
    out.items(&items[..first]);
    if !items[..first].iter().any(|item| matches!(item, Item::Search(_))) {
        out.search();
    }
    for wanted in spec.entries() {
        out.new_entry(template, &wanted);
    }
    out.items(&items[first..]);
    Ok(out.text)
}

/// The entries that start a kernel, those of submenus last.
pub fn list(text: &str) -> Result<Vec<Listed>> {
    let lines = lines(FILE, text)?;
    let items = Parser { lines: &lines, at: 0, functions: Vec::new() }.items(0)?;
    let default = items.iter().rev().find_map(|item| match item {
        Item::Default(value) => Some(value.as_str()),
        _ => None,
    });
    let mut listed = Vec::new();
    let mut menus = vec![(items.as_slice(), default.or(Some("0")))];
    while let Some((items, default)) = menus.pop() {
        let blocks = items.iter().filter(|item| matches!(item, Item::Entry(_) | Item::Submenu(_)));
        for (number, item) in blocks.enumerate() {
            match item {
                Item::Submenu(block) => menus.push((&block.body, None)),
                Item::Entry(block) => listed.extend(block.kernel().map(|kernel| {
                    let title = unquoted(&block.title);
                    let default = default.is_some_and(|value| value == title || value == number.to_string());
                    Listed {
                        title,
                        default,
                        kernel_line: format!("{} {}", kernel.path, kernel.args).trim_end().into(),
                    }
                })),
                _ => {}
            }
        }
    }
    Ok(listed)
}

/// A word without the quotes around it.
fn unquoted(word: &str) -> String {
    let bare = word.strip_prefix('\'').and_then(|word| word.strip_suffix('\''));
    let bare = bare.or_else(|| word.strip_prefix('"').and_then(|word| word.strip_suffix('"')));
    bare.unwrap_or(word).replace(r"'\''", "'")
}

/// The vendor's plain install entry, else the one that checks the medium first.
fn template(items: &[Item]) -> Option<&Block> {
    let find = |check: bool| {
        items.iter().find_map(|item| match item {
            Item::Entry(block) if block.purpose() == (Purpose::Install { check }) => Some(block),
            _ => None,
        })
    };
    find(false).or_else(|| find(true))
}

struct Writer<'a> {
    spec: &'a MenuSpec,
    serial: bool,
    text: String,
    depth: usize,
}

impl Writer<'_> {
    fn line(&mut self, line: &str) {
        if !line.is_empty() {
            self.text += &"\t".repeat(self.depth);
        }
        self.text += line;
        self.text.push('\n');
    }

    fn default(&self) -> String {
        "set default=\"0\"".into()
    }

    fn timeout(&self) -> String {
        format!("set timeout={}", self.spec.timeout_seconds)
    }

    fn search(&mut self) {
        let label = &self.spec.label;
        self.line(&format!("search --no-floppy --set=root -l '{label}'"));
    }

    fn items(&mut self, items: &[Item]) {
        for item in items {
            match item {
                Item::Line(line) if self.serial && is_terminal(line) => {}
                Item::Line(line) if self.depth == 0 => self.line(line),
                Item::Line(line) => self.line(line.trim()),
                Item::Search(_) => self.search(),
                Item::Default(_) => self.line(&self.default()),
                Item::Timeout => self.line(&self.timeout()),
                Item::Linux(kernel) => self.kernel(kernel, &self.spec.kept_args(&kernel.args)),
                Item::Entry(block) if block.purpose() == Purpose::Other => {
                    self.block("menuentry", &block.title, &block.options, |out| out.items(&block.body));
                }
                Item::Entry(_) => {}
                Item::Submenu(block) if has_kept(&block.body) => {
                    self.block("submenu", &block.title, &block.options, |out| out.items(&block.body));
                }
                Item::Submenu(_) => {}
            }
        }
    }

    fn block(&mut self, word: &str, title: &str, options: &str, body: impl FnOnce(&mut Self)) {
        let blank = if options.is_empty() { "" } else { " " };
        self.line(&format!("{word} {title}{blank}{options} {{"));
        self.depth += 1;
        body(self);
        self.depth -= 1;
        self.line("}");
    }

    fn new_entry(&mut self, template: &Block, wanted: &Wanted) {
        let title = format!("'{}'", wanted.title.replace('\'', r"'\''"));
        self.block("menuentry", &title, &template.options, |out| {
            for item in &template.body {
                match item {
                    Item::Linux(kernel) => out.kernel(kernel, &out.spec.kernel_args(&kernel.args, wanted)),
                    other => out.items(std::slice::from_ref(other)),
                }
            }
        });
    }

    fn kernel(&mut self, kernel: &Kernel, args: &Args) {
        self.line(format!("{} {} {args}", kernel.command, kernel.path).trim_end());
    }
}

/// Whether a submenu still has an entry.
fn has_kept(items: &[Item]) -> bool {
    items.iter().any(|item| match item {
        Item::Entry(block) => block.purpose() == Purpose::Other,
        Item::Submenu(block) => has_kept(&block.body),
        _ => false,
    })
}

/// Whether a line sets up terminals, which kiln does itself when a serial console is asked for.
fn is_terminal(line: &str) -> bool {
    let mut words = line.split_whitespace();
    match words.next() {
        Some("insmod") => words.next() == Some("serial"),
        word => matches!(word, Some("serial" | "terminal" | "terminal_input" | "terminal_output")),
    }
}

struct Parser<'a> {
    lines: &'a [&'a str],
    at: usize,
    functions: Vec<String>,
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

#[cfg(test)]
#[path = "grub_tests.rs"]
mod tests;
