//! `primary.xml` and `filelists.xml`: package by package, as a stream. Of what stands there, what resolving needs is kept.

use std::io::BufRead;

use super::Limits;
use super::xml::{Element, Token, Xml};
use crate::error::Result;
use crate::format::rpm::{Dependency, Evr, FileEntry, FileKind, Package, Sense};

/// Longest name, version, path or checksum that is kept.
const MAX_WORD: usize = 4096;

/// A package of a repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offered {
    /// What it is and needs; of its files those that `primary.xml` has.
    pub package: Package,
    /// Its checksum, by which the other documents know it.
    pub id: String,
    /// Its path below the repository.
    pub location: String,
}

/// Files of a package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FilesOf {
    /// Checksum of the package.
    pub id: String,
    /// Whole paths of its files, folders among them.
    pub files: Vec<String>,
}

/// Gives every package of a `primary.xml` to `each`.
pub(super) fn primary(
    source: impl BufRead,
    what: &str,
    limits: &Limits,
    each: &mut dyn FnMut(Offered) -> Result<()>,
) -> Result<()> {
    let mut reader = Packages { xml: Xml::new(source, what), limits, count: 0 };
    while reader.begin("metadata")?.is_some() {
        each(reader.offered()?)?;
    }
    Ok(())
}

/// Gives the files of every package of a `filelists.xml` to `each`, as far as they are `wanted`.
pub(super) fn filelists(
    source: impl BufRead,
    what: &str,
    limits: &Limits,
    wanted: &dyn Fn(&str) -> bool,
    each: &mut dyn FnMut(FilesOf) -> Result<()>,
) -> Result<()> {
    let mut reader = Packages { xml: Xml::new(source, what), limits, count: 0 };
    while let Some(mut element) = reader.begin("filelists")? {
        let mut of = FilesOf { id: element.take("pkgid").unwrap_or_default(), files: Vec::new() };
        let end = reader.xml.depth();
        while let Some(element) = reader.inside(end)? {
            if element.name == "file" {
                let path = reader.word()?;
                if wanted(&path) {
                    reader.bound(of.files.len())?;
                    of.files.push(path);
                }
            }
        }
        each(of)?;
    }
    Ok(())
}

/// A document with an element for each package.
struct Packages<'a, R> {
    xml: Xml<R>,
    limits: &'a Limits,
    count: usize,
}

impl<R: BufRead> Packages<'_, R> {
    /// Goes to the next package; `None` at the end.
    fn begin(&mut self, root: &str) -> Result<Option<Element>> {
        loop {
            match self.xml.next()? {
                Token::Start(element) if element.depth == 1 && element.name != root => {
                    return Err(self.xml.fault(format!("it is not a document of kind {root}")));
                }
                Token::Start(element) if element.depth == 2 && element.name == "package" => {
                    self.count += 1;
                    if self.count > self.limits.packages {
                        return Err(self.xml.fault("it lists more packages than any repository has"));
                    }
                    return Ok(Some(element));
                }
                Token::Done => return Ok(None),
                _ => {}
            }
        }
    }

    /// The next element within the one of depth `end`; `None` when that ends.
    fn inside(&mut self, end: usize) -> Result<Option<Element>> {
        loop {
            match self.xml.next()? {
                Token::Start(element) => return Ok(Some(element)),
                Token::End if self.xml.depth() < end => return Ok(None),
                Token::Done => return Err(self.xml.fault("it ends within a package")),
                _ => {}
            }
        }
    }

    fn word(&mut self) -> Result<String> {
        let text = self.xml.text()?;
        self.check(text)
    }

    fn check(&self, text: String) -> Result<String> {
        if text.len() > MAX_WORD || text.contains('\0') {
            return Err(self.xml.fault("a name or path is longer than any should be, or holds a NUL"));
        }
        Ok(text)
    }

    fn take(&self, element: &mut Element, name: &str) -> Result<Option<String>> {
        element.take(name).map(|text| self.check(text)).transpose()
    }

    fn bound(&self, len: usize) -> Result<()> {
        if len >= self.limits.entries {
            return Err(self.xml.fault("a package has more files or dependencies than any should"));
        }
        Ok(())
    }

    fn offered(&mut self) -> Result<Offered> {
        let end = self.xml.depth();
        let mut found = Offered::default();
        // Which list entries belong to.
        let mut list = String::new();
        while let Some(mut element) = self.inside(end)? {
            let package = &mut found.package;
            let name = std::mem::take(&mut element.name);
            match (element.depth - end, name.as_str()) {
                (1, "name") => package.name = self.word()?,
                (1, "arch") => package.arch = self.word()?,
                (1, "version") => package.evr = self.evr(&mut element)?.unwrap_or_default(),
                (1, "checksum") => found.id = self.word()?,
                (1, "location") => found.location = self.take(&mut element, "href")?.unwrap_or_default(),
                (2, "file") => {
                    let kind = match element.take("type").as_deref() {
                        Some("dir") => FileKind::Dir,
                        Some("ghost") => FileKind::Ghost,
                        _ => FileKind::File,
                    };
                    self.bound(package.files.len())?;
                    let path = self.word()?;
                    package.files.push(FileEntry { path, kind });
                }
                (2, _) => list.clone_from(&name),
                (3, "entry") => {
                    let to = match list.as_str() {
                        "provides" => &mut package.provides,
                        "requires" => &mut package.requires,
                        "conflicts" => &mut package.conflicts,
                        "obsoletes" => &mut package.obsoletes,
                        _ => continue,
                    };
                    self.bound(to.len())?;
                    to.push(self.dependency(&mut element)?);
                }
                _ => {}
            }
        }
        let package = &found.package;
        if package.name.is_empty() || package.arch.is_empty() || package.evr.version.is_empty() {
            return Err(self.xml.fault("a package lacks its name, version or architecture"));
        }
        Ok(found)
    }

    fn dependency(&self, element: &mut Element) -> Result<Dependency> {
        let name = self.take(element, "name")?.filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| self.xml.fault("a dependency has no name"))?;
        let sense = element.take("flags").and_then(|flags| Sense::named(&flags));
        let range = sense.zip(self.evr(element)?);
        Ok(Dependency { range, pre: element.take("pre").as_deref() == Some("1"), ..Dependency::on(name) })
    }

    /// Epoch, version and release of attributes; `None` without a version.
    fn evr(&self, element: &mut Element) -> Result<Option<Evr>> {
        let (version, release) = (self.take(element, "ver")?, self.take(element, "rel")?);
        let epoch = element.take("epoch").and_then(|text| text.parse().ok());
        let version = version.filter(|version| !version.is_empty());
        Ok(version.map(|version| Evr { epoch, version, release: release.filter(|text| !text.is_empty()) }))
    }
}
