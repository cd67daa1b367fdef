//! A repository of a vendor's size, a hundred megabytes of `primary.xml`: it is read as a stream, and what is kept of it is small.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{self, Read};

use kiln::digest::Sha256;
use kiln::error::Result;
use kiln::format::repodata::{Files, Limits, REPOMD, Repository};
use kiln::packages::Universe;
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const PACKAGES: usize = 20_000;

/// A `primary.xml` that is made as it is read.
#[derive(Default)]
struct Made {
    next: usize,
    rest: io::Cursor<Vec<u8>>,
}

impl Read for Made {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.rest.read(buffer)?;
        if got > 0 || self.next > PACKAGES + 1 {
            return Ok(got);
        }
        let text = match self.next {
            0 => "<metadata>".to_owned(),
            n if n > PACKAGES => "</metadata>".to_owned(),
            n => package(n),
        };
        self.next += 1;
        self.rest = io::Cursor::new(text.into_bytes());
        self.rest.read(buffer)
    }
}

/// A package like others: words about it, libraries that all need, one of its own, some files.
fn package(n: usize) -> String {
    let words = "It does what packages do, and says so at some length. ".repeat(60);
    let needs: String = (0..30).map(|i| format!("<rpm:entry name=\"lib{i}.so.1()(64bit)\"/>\n")).collect();
    let files: String = (0..4).map(|i| format!("<file>/usr/bin/package-{n}-{i}</file>\n")).collect();
    format!(
        "<package type=\"rpm\"><name>package-{n}</name><arch>x86_64</arch><version epoch=\"0\" ver=\"1\" rel=\"1\"/>\
         <checksum type=\"sha256\" pkgid=\"YES\">{n:064x}</checksum><description>{words}</description>\
         <location href=\"Packages/{n}.rpm\"/><format><rpm:provides><rpm:entry name=\"package-{n}\" flags=\"EQ\" \
         epoch=\"0\" ver=\"1\" rel=\"1\"/><rpm:entry name=\"own{n}.so.1()(64bit)\"/></rpm:provides>\
         <rpm:requires>{needs}</rpm:requires>{files}</format></package>\n"
    )
}

struct Large(String);

impl Files for Large {
    fn open(&self, path: &str) -> Result<Option<(Box<dyn Read + '_>, u64)>> {
        if path == REPOMD {
            return Ok(Some((Box::new(self.0.as_bytes()), self.0.len() as u64)));
        }
        let len = io::copy(&mut Made::default(), &mut io::sink()).unwrap();
        Ok(Some((Box::new(Made::default()), len)))
    }
}

fn peak(work: &mut dyn FnMut()) -> usize {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    work();
    ALLOCATOR.peak_usage() - before
}

#[test]
fn a_large_repository_takes_little_memory() {
    let (digest, len) = Sha256::of_reader(Made::default()).unwrap();
    assert!(len > 80 << 20, "{len}");
    let files = Large(format!(
        "<repomd><data type=\"primary\"><checksum type=\"sha256\">{digest}</checksum>\
         <location href=\"p.xml\"/></data></repomd>"
    ));
    let repository = Repository::open(&files, Limits::default()).unwrap().unwrap();
    let mut count = 0;
    let mut each = |_| {
        count += 1;
        Ok(())
    };
    let streamed = peak(&mut || repository.packages(&mut each).unwrap());
    assert_eq!(count, PACKAGES);
    assert!(streamed < 2 << 20, "a document is read as a stream: {streamed} bytes");
    let mut universe = Universe::default();
    let kept = peak(&mut || repository.packages(&mut |one| universe.add(0, one)).unwrap());
    assert_eq!(universe.len(), PACKAGES);
    assert!(kept < 48 << 20, "{kept} bytes are kept of {len}");
}
