//! grub.cfg: the loader of UEFI machines on all releases, and of BIOS machines on EL10 media.
//!
//! [`parse`] reads: one command a line, functions and `if` blocks, which are copied, and `menuentry` and `submenu` blocks, which
//! are understood. Here the menu is written anew.

mod parse;

use super::args::Args;
use super::{Listed, MenuSpec, Purpose, SerialConsole, Wanted, lines, no_install_entry};
use crate::error::Result;
use parse::{Block, Item, Kernel, parse, unquoted};

const FILE: &str = "grub.cfg";

/// Which loader reads the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrubFlavor {
    /// The signed UEFI loader: all it may use is built in.
    Efi,
    /// The BIOS loader of EL10 media, which loads modules from the medium.
    Bios,
}

/// Rewrites a menu of GRUB for unattended use.
pub fn grub(old: &str, spec: &MenuSpec, flavor: GrubFlavor) -> Result<String> {
    spec.check()?;
    let lines = lines(FILE, old)?;
    let items = parse(&lines)?;
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
    let items = parse(&lines)?;
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

#[cfg(test)]
mod tests;
