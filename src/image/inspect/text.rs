//! An inspection as people read it, and as JSON. Text that comes from the medium cannot steer a terminal: control and
//! direction characters are escaped in both.

use std::fmt::Write as _;

use serde::Serialize;

use super::payload::{KilnMedium, Part};
use super::{Inspection, Menu};
use crate::error::{Error, Result};
use crate::report::human_size;

/// Makes a text safe to print: `\u{1b}` for an escape character.
pub fn printable(text: &str) -> String {
    let harmful = |c: char| c.is_control() || is_steering(c);
    text.chars().map(|c| if harmful(c) { c.escape_unicode().to_string() } else { c.to_string() }).collect()
}

/// Characters that turn the direction of text or separate lines (Unicode "Bidi_Control", "Zl", "Zp").
fn is_steering(c: char) -> bool {
    matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// JSON, indented, with a line break at its end.
pub fn json(found: &impl Serialize) -> Result<String> {
    let text = serde_json::to_string_pretty(found);
    let text = text.map_err(|error| Error::internal("writing JSON").because(error))?;
    let mut out = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        // Outside of strings there is none of them but the line break.
        if (c.is_control() && c != '\n') || is_steering(c) {
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out.push('\n');
    Ok(out)
}

/// Lines of text about the medium `name`.
pub fn text(found: &Inspection, name: &str) -> String {
    let mut out = format!("{}: ISO 9660 image, {}\n", printable(name), human_size(found.size));
    let mut line = |key: &str, value: &str| {
        let _ = writeln!(out, "  {key:<12} {}", printable(value));
    };
    line("label", &found.label);
    line("layout", &found.layout.to_string());
    line("base", found.base.as_deref().unwrap_or("unknown (no .treeinfo or .discinfo)"));
    let trees = &found.trees;
    let names = if trees.rock_ridge { "Rock Ridge" } else { "plain ISO 9660" };
    let joliet = trees.joliet.map_or(String::new(), |count| format!("; Joliet, {count} entries"));
    line("trees", &format!("{names}, {} entries{joliet}", trees.entries));
    if let Some(view) = &trees.partition {
        let same = if view.same { "the same files" } else { "OTHER FILES than the whole medium" };
        line("", &format!("partition at block {} shows {same}", view.start));
    }
    boot(found, &mut line);
    if let Some(esp) = &found.esp {
        let label = esp.label.as_deref().unwrap_or("none");
        line(
            "EFI image",
            &format!("{}, {}, label {label}, {} entries", esp.file_system, human_size(esp.size), esp.entries),
        );
    }
    let verdict = match (&found.media_check.md5, found.media_check.good) {
        (None, _) => "no MD5 is implanted".to_owned(),
        (Some(md5), None) => format!("MD5 {md5} is implanted (--check verifies it)"),
        (Some(md5), Some(true)) => format!("MD5 {md5} is right"),
        (Some(md5), Some(false)) => format!("MD5 {md5} is WRONG"),
    };
    line("media check", &verdict);
    match &found.kiln {
        None => line("kiln", "not made by kiln"),
        Some(kiln) => medium(kiln, &mut line),
    }
    found.menus.iter().for_each(|found| menu(found, &mut line));
    out
}

fn boot(found: &Inspection, line: &mut dyn FnMut(&str, &str)) {
    for entry in &found.boot.el_torito {
        line("El Torito", &format!("{}: block {}, {} sectors", entry.platform, entry.block, entry.sectors));
    }
    if found.boot.el_torito.is_empty() {
        line("El Torito", "none: no CD boots from it");
    }
    for part in &found.boot.mbr {
        let size = human_size(u64::from(part.sectors) * 512);
        line("MBR", &format!("{}: type {}, from sector {}, {size}", part.number, part.kind, part.start));
    }
    for part in &found.boot.gpt {
        let size = human_size(part.last.saturating_sub(part.first).saturating_add(1).saturating_mul(512));
        line("GPT", &format!("{}: from sector {}, {size}", part.number, part.first));
    }
    if found.boot.gpt_backup == Some(false) {
        line("", "the backup table is missing or differs");
    }
}

/// What kiln put on a medium.
pub(super) fn medium(kiln: &KilnMedium, line: &mut dyn FnMut(&str, &str)) {
    if !kiln.build_id.is_empty() {
        line("kiln", &format!("made by kiln {}, build {}", kiln.kiln, kiln.build_id));
        let cluster = match kiln.part {
            Part::Seed => format!("{}, {} media", kiln.cluster, kiln.profile),
            Part::Whole | Part::Public | Part::Beside => format!(
                "{}, {} media, Kubernetes {}, {}",
                kiln.cluster, kiln.profile, kiln.kubernetes, kiln.release
            ),
        };
        line("cluster", &cluster);
        let secrets = match (kiln.part, &kiln.goes_with) {
            (Part::Whole, _) => "on this medium: keep it as safe as a key".to_owned(),
            (Part::Public, _) => "none: they are on the seed of this build".to_owned(),
            (Part::Seed, with) => format!("this is the seed of {}", with.as_deref().unwrap_or("a medium")),
            (Part::Beside, _) => "on this volume, which is for use beside the vendor's own medium".to_owned(),
        };
        line("secrets", &secrets);
    }
    for node in &kiln.nodes {
        let known = [("MAC", &node.mac), ("serial", &node.serial), ("UUID", &node.uuid)];
        let known: Vec<String> = known
            .iter()
            .filter_map(|(word, value)| value.as_ref().map(|value| format!("{word} {value}")))
            .collect();
        line("node", &format!("{}, {}, {}", node.name, node.address, known.join(", ")));
    }
    kiln.pools.iter().for_each(|pool| line("pool", pool));
    for (path, file) in &kiln.files {
        line("file", &format!("{} {path} ({})", file.sha256, human_size(file.size)));
    }
    kiln.problems.iter().for_each(|problem| line("PROBLEM", problem));
}

fn menu(menu: &Menu, line: &mut dyn FnMut(&str, &str)) {
    line("menu", &menu.path);
    if let Some(problem) = &menu.problem {
        line("", &format!("not understood: {problem}"));
    }
    for entry in &menu.entries {
        let mark = if entry.default { "* " } else { "  " };
        line("", &format!("{mark}{}", entry.title));
        line("", &format!("    {}", entry.kernel_line));
    }
}
