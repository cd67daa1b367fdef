//! The writer: `repomd.xml`, `primary.xml`, `filelists.xml` and `other.xml` (which names packages and no changes), packed with gzip,
//! checksums SHA-256: the form that yum of EL 7 and dnf of EL 10 both read. The same packages give the same bytes: nothing of
//! a clock or of the order of files goes in, and every time is that of a build.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;

use flate2::{Compression, GzBuilder};

use super::REPOMD;
use crate::digest::Sha256;
use crate::error::{Error, Result};
use crate::format::rpm::read::Rpm;
use crate::format::rpm::{Dependency, Evr, FileEntry, FileKind, Package};

/// A package of the repository to be written.
#[derive(Debug, Clone)]
pub struct Listed {
    /// File name, below the repository.
    pub file: String,
    /// Digest of the file.
    pub sha256: Sha256,
    /// What it is.
    pub rpm: Rpm,
}

/// Names of the elements of weak dependencies, in the order of [`Package::weak`].
const WEAK: [&str; 4] = ["recommends", "suggests", "supplements", "enhances"];

const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
const COMMON: &str =
    "xmlns=\"http://linux.duke.edu/metadata/common\" xmlns:rpm=\"http://linux.duke.edu/metadata/rpm\"";
const REPO: &str =
    "xmlns=\"http://linux.duke.edu/metadata/repo\" xmlns:rpm=\"http://linux.duke.edu/metadata/rpm\"";

/// Writes the repodata of packages: path below the repository, content.
pub fn write(packages: &[Listed]) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut sorted: Vec<&Listed> = packages.iter().collect();
    sorted.sort_by(|a, b| a.file.cmp(&b.file));
    let time = sorted.iter().map(|listed| listed.rpm.about.build_time).max().unwrap_or(0);
    let mut files = BTreeMap::new();
    let mut index = format!("{DECLARATION}<repomd {REPO}>\n  <revision>{time}</revision>\n");
    let documents = [
        ("primary", format!("metadata {COMMON}"), primary as fn(&mut Text, &Listed)),
        ("filelists", "filelists xmlns=\"http://linux.duke.edu/metadata/filelists\"".to_owned(), filelist),
        ("other", "otherdata xmlns=\"http://linux.duke.edu/metadata/other\"".to_owned(), other),
    ];
    for (kind, root, each) in documents {
        let mut document = Text(format!("{DECLARATION}<{root} packages=\"{}\">\n", sorted.len()));
        sorted.iter().for_each(|listed| each(&mut document, listed));
        let name = root.split(' ').next().unwrap_or_default();
        let _ = writeln!(document.0, "</{name}>");
        let location = format!("repodata/{kind}.xml.gz");
        let packed = gzip(document.0.as_bytes())?;
        let _ = write!(
            index,
            "  <data type=\"{kind}\">\n    <checksum type=\"sha256\">{}</checksum>\n    \
             <open-checksum type=\"sha256\">{}</open-checksum>\n    <location href=\"{location}\"/>\n    \
             <timestamp>{time}</timestamp>\n    <size>{}</size>\n    <open-size>{}</open-size>\n  </data>\n",
            Sha256::of(&packed),
            Sha256::of(document.0.as_bytes()),
            packed.len(),
            document.0.len(),
        );
        files.insert(location, packed);
    }
    index.push_str("</repomd>\n");
    files.insert(REPOMD.to_owned(), index.into_bytes());
    Ok(files)
}

/// gzip without name and time.
fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    // 255 is "unknown": the same wherever kiln runs.
    let mut packer = GzBuilder::new().operating_system(255).write(Vec::new(), Compression::best());
    let done = packer.write_all(bytes).and_then(|()| packer.finish());
    done.map_err(|error| Error::internal("packing repodata").because(error))
}

/// A document under way.
struct Text(String);

impl Text {
    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        let _ = self.0.write_fmt(line);
        self.0.push('\n');
    }

    /// An element with text.
    fn element(&mut self, name: &str, text: &str) {
        self.line(format_args!("  <{name}>{}</{name}>", escape(text).replace("&quot;", "\"")));
    }
}

/// Text for an element or an attribute. What XML cannot hold is left out.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\t' | '\n' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {}
            c => out.push(c),
        }
    }
    out
}

fn version(evr: &Evr) -> String {
    let release = evr.release.as_deref().unwrap_or_default();
    let epoch = evr.epoch.unwrap_or(0);
    format!("epoch=\"{epoch}\" ver=\"{}\" rel=\"{}\"", escape(&evr.version), escape(release))
}

fn primary(out: &mut Text, listed: &Listed) {
    let Rpm { package, about, header, size, .. } = &listed.rpm;
    out.line(format_args!("<package type=\"rpm\">"));
    out.element("name", &package.name);
    out.element("arch", &package.arch);
    out.line(format_args!("  <version {}/>", version(&package.evr)));
    out.line(format_args!("  <checksum type=\"sha256\" pkgid=\"YES\">{}</checksum>", listed.sha256));
    out.element("summary", &about.summary);
    out.element("description", &about.description);
    out.element("packager", &about.packager);
    out.element("url", &about.url);
    let time = about.build_time;
    out.line(format_args!("  <time file=\"{time}\" build=\"{time}\"/>"));
    let (installed, archive) = (about.installed, about.archive);
    out.line(format_args!("  <size package=\"{size}\" installed=\"{installed}\" archive=\"{archive}\"/>"));
    out.line(format_args!("  <location href=\"{}\"/>", escape(&listed.file)));
    out.line(format_args!("  <format>"));
    for (name, text) in [
        ("rpm:license", &about.license),
        ("rpm:vendor", &about.vendor),
        ("rpm:group", &about.group),
        ("rpm:buildhost", &about.build_host),
        ("rpm:sourcerpm", &about.source),
    ] {
        out.element(name, text);
    }
    out.line(format_args!("  <rpm:header-range start=\"{}\" end=\"{}\"/>", header.0, header.1));
    dependencies(out, "provides", &package.provides);
    // What a package gives itself, nobody else has to.
    let own = |needed: &Dependency| {
        package.provides.iter().any(|given| given.name == needed.name && given.range == needed.range)
    };
    let needed: Vec<Dependency> = package.requires.iter().filter(|needed| !own(needed)).cloned().collect();
    dependencies(out, "requires", &needed);
    dependencies(out, "conflicts", &package.conflicts);
    dependencies(out, "obsoletes", &package.obsoletes);
    WEAK.iter().zip(&package.weak).for_each(|(name, list)| dependencies(out, name, list));
    package.files.iter().filter(|file| is_primary(&file.path)).for_each(|file| entry(out, file));
    out.line(format_args!("  </format>\n</package>"));
}

/// What rpm itself must be able to do is no requirement that a repository could meet.
fn dependencies(out: &mut Text, name: &str, list: &[Dependency]) {
    let mut lines: Vec<String> = Vec::new();
    for dependency in list.iter().filter(|dependency| !dependency.rpmlib) {
        let range = dependency.range.as_ref().map(|(sense, evr)| {
            let release = evr.release.as_ref().map(|text| format!(" rel=\"{}\"", escape(text)));
            format!(
                " flags=\"{}\" epoch=\"{}\" ver=\"{}\"{}",
                sense.name(),
                evr.epoch.unwrap_or(0),
                escape(&evr.version),
                release.unwrap_or_default()
            )
        });
        let pre = if dependency.pre && name == "requires" { " pre=\"1\"" } else { "" };
        let name = escape(&dependency.name);
        let line = format!("    <rpm:entry name=\"{name}\"{}{pre}/>", range.unwrap_or_default());
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    if !lines.is_empty() {
        out.line(format_args!("  <rpm:{name}>\n{}\n  </rpm:{name}>", lines.join("\n")));
    }
}

/// Files that other packages are likely to require, which is what yum and dnf look for first.
fn is_primary(path: &str) -> bool {
    path.starts_with("/etc/") || path.contains("bin/") || path == "/usr/lib/sendmail"
}

fn entry(out: &mut Text, file: &FileEntry) {
    let kind = match file.kind {
        FileKind::File => "",
        FileKind::Dir => " type=\"dir\"",
        FileKind::Ghost => " type=\"ghost\"",
    };
    out.line(format_args!("  <file{kind}>{}</file>", escape(&file.path)));
}

fn head(out: &mut Text, listed: &Listed) {
    let Package { name, arch, evr, .. } = &listed.rpm.package;
    let id = listed.sha256;
    out.line(format_args!("<package pkgid=\"{id}\" name=\"{}\" arch=\"{}\">", escape(name), escape(arch)));
    out.line(format_args!("  <version {}/>", version(evr)));
}

fn filelist(out: &mut Text, listed: &Listed) {
    head(out, listed);
    listed.rpm.package.files.iter().for_each(|file| entry(out, file));
    out.line(format_args!("</package>"));
}

fn other(out: &mut Text, listed: &Listed) {
    head(out, listed);
    out.line(format_args!("</package>"));
}
