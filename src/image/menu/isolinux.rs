//! isolinux.cfg: the loader of EL7, 8 and 9 media on BIOS machines.
//!
//! A file is a list of plain directives, entries (`label` and what belongs to it) and the edges of submenus.

use super::args::Args;
use super::{Listed, MenuSpec, Purpose, Wanted, at_line, lines, no_install_entry, purpose};
use crate::error::Result;

const FILE: &str = "isolinux.cfg";

/// Directives outside of entries that need no change (syslinux documents `syslinux.txt`, `menu.txt`).
const PLAIN: [&str; 26] = [
    "display",
    "prompt",
    "noescape",
    "nocomplete",
    "allowoptions",
    "implicit",
    "font",
    "kbdmap",
    "say",
    "ui",
    "console",
    "f1",
    "f2",
    "f3",
    "f4",
    "f5",
    "f6",
    "f7",
    "f8",
    "f9",
    "f10",
    "f11",
    "f12",
    "totaltimeout",
    "ontimeout",
    "onerror",
];
/// `menu …` directives outside of entries that need no change.
const PLAIN_MENU: [&str; 24] = [
    "clear",
    "background",
    "title",
    "color",
    "msgcolor",
    "vshift",
    "hshift",
    "rows",
    "margin",
    "width",
    "hidden",
    "helpmsgrow",
    "tabmsgrow",
    "timeoutrow",
    "cmdlinerow",
    "passwordrow",
    "endrow",
    "tabmsg",
    "autoboot",
    "separator",
    "resolution",
    "hiddenrow",
    "hiddenkey",
    "notabmsg",
];
/// Directives of an entry that need no change.
const OF_ENTRY: [&str; 9] =
    ["kernel", "linux", "com32", "boot", "localboot", "ipappend", "sysappend", "initrd", "fdimage"];
/// `menu …` directives of an entry that need no change.
const MENU_OF_ENTRY: [&str; 8] = ["label", "indent", "exit", "hide", "disable", "goto", "quit", "passwd"];

/// A vendor entry. `lines` are kept as they are, without `append` and `menu default`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Entry {
    name: String,
    lines: Vec<String>,
    append: Option<Args>,
    default: bool,
}

impl Entry {
    /// The first directive of a keyword, which has two words for `menu …`.
    fn line_of(&self, keyword: &str) -> Option<&str> {
        let starts = |line: &&str| {
            let (word, rest) = split(line);
            word == keyword || (word == "menu" && keyword.strip_prefix("menu ") == Some(&split(rest).0))
        };
        self.lines.iter().map(|line| line.trim()).find(starts)
    }

    fn purpose(&self) -> Purpose {
        self.append.as_ref().map_or(Purpose::Other, purpose)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Item {
    /// A directive, comment or empty line.
    Line(String),
    /// `default` and its value.
    Default(String),
    Timeout,
    Entry(Entry),
    /// `menu begin …`
    Begin(String),
    /// `menu end`
    End,
}

/// Rewrites the menu of isolinux for unattended use.
pub fn isolinux(old: &str, spec: &MenuSpec) -> Result<String> {
    spec.check()?;
    let items = parse(old)?;
    let template = template(&items).ok_or_else(|| no_install_entry(FILE))?;
    let names: Vec<&str> = entries(&items).map(|(_, entry)| entry.name.as_str()).collect();
    let mut out = Vec::new();
    if let Some(serial) = spec.serial {
        // It must be the first directive (syslinux.txt, SERIAL).
        out.push(format!("serial {} {}", serial.port, serial.speed));
    }
    if !items.contains(&Item::Timeout) {
        out.push(timeout(spec));
    }
    let mut placed = false;
    for item in &items {
        match item {
            Item::Line(line) => out.push(line.clone()),
            // A default is a menu program or an entry. The menu program stays.
            Item::Default(value) if names.contains(&value.as_str()) => out.push("default kiln".into()),
            Item::Default(value) => out.push(format!("default {value}")),
            Item::Timeout => out.push(timeout(spec)),
            Item::Begin(line) => out.push(line.clone()),
            Item::End => out.push("menu end".into()),
            Item::Entry(entry) => {
                if !placed {
                    placed = true;
                    let made = spec.entries();
                    made.iter()
                        .enumerate()
                        .for_each(|(at, wanted)| out.extend(new_entry(spec, template, wanted, at == 0)));
                }
                if entry.purpose() == Purpose::Other {
                    out.extend(kept_entry(spec, entry));
                }
            }
        }
    }
    Ok(squeeze(&out))
}

/// The entries that start a kernel.
pub fn list(text: &str) -> Result<Vec<Listed>> {
    let items = parse(text)?;
    let named = items.iter().find_map(|item| match item {
        Item::Default(value) => Some(value.as_str()),
        _ => None,
    });
    let listed = |(_, entry): (bool, &Entry)| {
        let kernel = split(entry.line_of("kernel").or(entry.line_of("linux"))?).1;
        let title = entry.line_of("menu label").map_or(entry.name.as_str(), |line| split(split(line).1).1);
        let args = entry.append.clone().unwrap_or_default();
        Some(Listed {
            title: title.replace('^', ""),
            default: entry.default || named == Some(entry.name.as_str()),
            kernel_line: format!("{kernel} {args}").trim_end().to_owned(),
        })
    };
    Ok(entries(&items).filter_map(listed).collect())
}

fn timeout(spec: &MenuSpec) -> String {
    format!("timeout {}", u32::from(spec.timeout_seconds) * 10)
}

/// All entries and whether they lie outside of submenus.
fn entries(items: &[Item]) -> impl Iterator<Item = (bool, &Entry)> {
    let mut depth = 0;
    items.iter().filter_map(move |item| match item {
        Item::Begin(_) => {
            depth += 1;
            None
        }
        Item::End => {
            depth -= 1;
            None
        }
        Item::Entry(entry) => Some((depth == 0, entry)),
        _ => None,
    })
}

/// The vendor's plain install entry, else the one that checks the medium first.
fn template(items: &[Item]) -> Option<&Entry> {
    let find = |check: bool| {
        let wanted = Purpose::Install { check };
        entries(items)
            .find(|(top, entry)| {
                *top && entry.purpose() == wanted
                    && (entry.line_of("kernel").or(entry.line_of("linux"))).is_some()
            })
            .map(|(_, entry)| entry)
    };
    find(false).or_else(|| find(true))
}

fn new_entry(spec: &MenuSpec, template: &Entry, wanted: &Wanted, default: bool) -> Vec<String> {
    let mut out = vec![format!("label {}", wanted.id)];
    // `^` marks a hot key.
    let title = wanted.title.replace('^', "");
    out.push(format!("  menu label {}{title}", if default { "^" } else { "" }));
    if default {
        out.push("  menu default".into());
    }
    let kernel = ["kernel", "linux", "initrd", "ipappend", "sysappend"]
        .iter()
        .filter_map(|keyword| template.line_of(keyword));
    out.extend(kernel.map(|line| format!("  {line}")));
    let append = template.append.clone().unwrap_or_default();
    out.push(format!("  append {}", spec.kernel_args(&append, wanted)));
    out.push(String::new());
    out
}

fn kept_entry(spec: &MenuSpec, entry: &Entry) -> Vec<String> {
    let mut out = vec![format!("label {}", entry.name)];
    out.extend(entry.lines.iter().cloned());
    if let Some(append) = &entry.append {
        // A memory test takes no `console=`.
        let linux = append.has(&["initrd"]) || entry.line_of("initrd").is_some();
        let args = if linux { spec.kept_args(append) } else { append.clone() };
        out.push(format!("  append {args}").trim_end().to_owned());
    }
    out.push(String::new());
    out
}

/// Drops empty lines and separators that follow another, left over from dropped entries.
fn squeeze(lines: &[String]) -> String {
    let mut out = String::new();
    let (mut empty, mut separator) = (true, false);
    for line in lines {
        let now = line.trim().is_empty();
        let rule = line.trim().to_ascii_lowercase().starts_with("menu separator");
        if (now && empty) || (rule && separator) {
            continue;
        }
        separator = rule || (separator && now);
        empty = now;
        out += line;
        out.push('\n');
    }
    out
}

/// Keyword in lower case and the rest of a line.
fn split(line: &str) -> (String, &str) {
    let (word, rest) = line.trim().split_once(char::is_whitespace).unwrap_or((line.trim(), ""));
    (word.to_ascii_lowercase(), rest.trim())
}

fn parse(text: &str) -> Result<Vec<Item>> {
    let lines = lines(FILE, text)?;
    let (mut items, mut depth, mut at) = (Vec::new(), 0usize, 0);
    while let Some(&line) = lines.get(at) {
        let (word, rest) = split(line);
        let number = at;
        let fault = |what: &str| at_line(FILE, number, line, what);
        at += 1;
        let (first, _) = split(rest);
        match word.as_str() {
            "" => items.push(Item::Line(String::new())),
            _ if word.starts_with('#') => items.push(Item::Line(line.to_owned())),
            "default" => items.push(Item::Default(rest.to_owned())),
            "timeout" => items.push(Item::Timeout),
            "serial" => {}
            "label" if rest.is_empty() => return Err(fault("an entry without a name")),
            "label" => {
                let (entry, next) = parse_entry(rest, &lines, at)?;
                items.push(Item::Entry(entry));
                at = next;
            }
            "menu" if first == "begin" => {
                depth += 1;
                items.push(Item::Begin(line.trim().to_owned()));
            }
            "menu" if first == "end" => {
                depth = depth.checked_sub(1).ok_or_else(|| fault("it ends no submenu"))?;
                items.push(Item::End);
            }
            "menu" if PLAIN_MENU.contains(&first.as_str()) => items.push(Item::Line(line.to_owned())),
            _ if PLAIN.contains(&word.as_str()) => items.push(Item::Line(line.to_owned())),
            _ => return Err(fault("an unknown directive")),
        }
    }
    if depth == 0 { Ok(items) } else { Err(at_line(FILE, lines.len(), "", "a submenu has no end")) }
}

/// Reads the directives of an entry from line `at` on; returns it and the first line that is not part of it.
fn parse_entry(name: &str, lines: &[&str], mut at: usize) -> Result<(Entry, usize)> {
    let mut entry = Entry { name: name.to_owned(), ..Entry::default() };
    while let Some(&line) = lines.get(at) {
        let (word, rest) = split(line);
        let (first, _) = split(rest);
        match word.as_str() {
            "append" if entry.append.is_some() => {
                return Err(at_line(FILE, at, line, "a second append of one entry"));
            }
            "append" => entry.append = Some(Args::parse(rest)),
            "menu" if first == "default" => entry.default = true,
            "menu" if MENU_OF_ENTRY.contains(&first.as_str()) => entry.lines.push(line.to_owned()),
            _ if OF_ENTRY.contains(&word.as_str()) => entry.lines.push(line.to_owned()),
            "text" => {
                let end = lines[at..].iter().position(|line| split(line).0 == "endtext");
                let end = end.ok_or_else(|| at_line(FILE, at, line, "a help text has no end"))?;
                entry.lines.extend(lines[at..=at + end].iter().map(|line| (*line).to_owned()));
                at += end;
            }
            _ => break,
        }
        at += 1;
    }
    Ok((entry, at))
}

#[cfg(test)]
#[path = "isolinux_tests.rs"]
mod tests;
