//! `kiln inspect`: reads a medium back.

use std::fs::File;
use std::path::PathBuf;

use crate::error::{Error, IoContext, Result};
use crate::format::read_at::ReadAt as _;
use crate::format::{oci, tar};
use crate::image;
use crate::image::inspect::{self, check, container, disk, sbom, text};
use crate::report::Report;
use crate::sbom::{Bill, spdx};

/// Arguments of `kiln inspect`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kiln inspect out/prod-master.iso
  kiln inspect --check --json out/prod-master.iso
  kiln inspect out/prod-worker.qcow2
  kiln inspect --sbom out/prod-master.iso > prod-master.spdx.json")]
pub struct Args {
    /// The medium: an ISO or disk image, kiln's or a vendor's; or an
    /// archive of container images
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Read it all: verify the implanted MD5 and every payload file's digest
    #[arg(long)]
    pub check: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Print the bill of materials of a medium that kiln made, as SPDX 2.3 in JSON
    #[arg(long, conflicts_with_all = ["check", "json"])]
    pub sbom: bool,
}

/// Prints what the medium is. With `--check` a medium that does not verify is an error of class input.
pub fn run(args: &Args, report: &Report) -> Result<()> {
    let name = args.file.display().to_string();
    let file = File::open(&args.file).at("opening", &args.file)?;
    if !file.metadata().at("reading", &args.file)?.is_file() {
        return Err(Error::input(format!("{name} is no file")).hint(
            "give an ISO image, a disk image or an archive of container images, not a folder or a device",
        ));
    }
    let is_disk = image::disk::form(&args.file).is_some();
    if args.sbom {
        let bill = match is_disk {
            true => bill_of_disk(args, report),
            false => sbom::read(&file, report),
        };
        let bill = bill.map_err(|error| error.context(text::printable(&name)))?;
        report.data(&text::json(&spdx::document(&bill))?);
        return Ok(());
    }
    if tar::index::is_tar(&file.read_vec_at(0, 512).unwrap_or_default()) {
        let archive = oci::read::open(&file).map_err(|error| error.context(text::printable(&name)))?;
        let told = if args.json { container::json(&archive) } else { container::text(&archive, &name) };
        report.data(&told);
        return if args.check { archive.verify(&file, report) } else { Ok(()) };
    }
    if is_disk {
        let found = disk::inspect(&args.file, args.check, report)?;
        report.data(&if args.json { text::json(&found)? } else { disk::text(&found, &name) });
        let problems = found.kiln.as_ref().map_or(0, |kiln| kiln.problems.len());
        return if args.check && problems > 0 { Err(unverified(&name)) } else { Ok(()) };
    }
    let mut found = inspect::inspect(&file).map_err(|error| error.context(text::printable(&name)))?;
    if args.check {
        check::verify(&file, &mut found, report)?;
    }
    report.data(&if args.json { text::json(&found)? } else { text::text(&found, &name) });
    let wrong = found.media_check.good == Some(false);
    let problems = found.kiln.as_ref().map_or(0, |kiln| kiln.problems.len());
    if args.check && (wrong || problems > 0) {
        return Err(unverified(&name));
    }
    Ok(())
}

fn unverified(name: &str) -> Error {
    Error::input(format!("{} does not verify", text::printable(name)))
        .hint("it is damaged or was changed after it was made: copy it again, or build it again")
}

/// The bill of materials of the payload on a disk image.
fn bill_of_disk(args: &Args, report: &Report) -> Result<Bill> {
    let (source, disk) = image::disk::open(&args.file)?;
    let volume = source.payload(&disk);
    let volume = volume.ok_or_else(|| {
        Error::input("it carries no payload of kiln's").hint("name an image that `kiln build` made")
    })?;
    sbom::read(&volume, report)
}
