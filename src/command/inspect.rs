//! `kiln inspect`: reads a medium back.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::cluster::types::HostName;
use crate::error::{Error, IoContext, Result};
use crate::format::read_at::{ReadAt as _, Window};
use crate::format::{oci, tar};
use crate::image;
use crate::image::inspect::{self, check, container, disk, sbom, text, user_data};
use crate::report::Report;
use crate::sbom::spdx;

/// Arguments of `kiln inspect`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kiln inspect out/prod-master.iso
  kiln inspect --check --json out/prod-master.iso
  kiln inspect out/prod-worker.qcow2
  kiln inspect --sbom out/prod-master.iso > prod-master.spdx.json
  kiln inspect --user-data --node k8s-node1 out/prod-worker.qcow2 > k8s-node1.user-data")]
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
    /// Print the user-data of a disk image, to be given to a machine by a
    /// platform that has user-data of its own
    #[arg(long, conflicts_with_all = ["check", "json", "sbom"])]
    pub user_data: bool,
    /// The node that the user-data is to name
    #[arg(long, value_name = "NAME", requires = "user_data")]
    pub node: Option<HostName>,
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
            true => on_payload(&args.file, |volume| sbom::read(volume, report)),
            false => sbom::read(&file, report),
        };
        let bill = bill.map_err(|error| error.context(text::printable(&name)))?;
        report.data(&text::json(&spdx::document(&bill))?);
        return Ok(());
    }
    if args.user_data {
        let text = match is_disk {
            true => on_payload(&args.file, |volume| user_data::read(volume, args.node.as_ref())),
            false => user_data::read(&file, args.node.as_ref()),
        };
        report.data(&text.map_err(|error| error.context(text::printable(&name)))?);
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

/// Reads something of the payload on a disk image.
fn on_payload<T>(file: &Path, read: impl FnOnce(&Window<&image::disk::Source>) -> Result<T>) -> Result<T> {
    let (source, disk) = image::disk::open(file)?;
    let volume = source.payload(&disk);
    let volume = volume.ok_or_else(|| {
        Error::input("it carries no payload of kiln's").hint("name an image that `kiln build` made")
    })?;
    read(&volume)
}
