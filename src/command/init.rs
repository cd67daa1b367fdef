//! `kiln init`: writes a commented sample of `cluster.toml` to start from, or kiln's own profiles, overlays and kickstart.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

use crate::assets;
use crate::cluster::SAMPLE;
use crate::error::{Error, IoContext, Result};
use crate::report::Report;

/// Arguments of `kiln init`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kiln init prod           # prod/cluster.toml, the commented reference cluster
  kiln init prod --eject   # the built-in profiles and overlays, to change")]
pub struct Args {
    /// Folder to write to; made if it is missing
    #[arg(default_value = ".")]
    pub dir: PathBuf,
    /// Replace a file that is there
    #[arg(long)]
    pub force: bool,
    /// Write profiles/, overlays/ and kickstart/ instead: beside a cluster.toml
    /// they override kiln's own, file by file
    #[arg(long)]
    pub eject: bool,
}

/// Writes the sample, or the built-in files.
pub fn run(args: &Args, report: &Report) -> Result<()> {
    if args.eject {
        let count = assets::eject(&args.dir, args.force)?;
        report.note(&format!(
            "wrote {count} files below {}; keep those that you change and delete the rest, so that they follow kiln",
            args.dir.display()
        ));
        return Ok(());
    }
    std::fs::create_dir_all(&args.dir).at("making the folder", &args.dir)?;
    let path = args.dir.join("cluster.toml");
    let mut options = OpenOptions::new();
    options.write(true);
    // `create_new` decides in one step: no file of the user's can slip in between a look and the write.
    if args.force {
        options.create(true).truncate(true)
    } else {
        options.create_new(true)
    };
    let mut file = match options.open(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            return Err(Error::input(format!("{} is there already", path.display()))
                .hint("--force replaces it; another folder can be named"));
        }
        opened => opened.at("making", &path)?,
    };
    file.write_all(SAMPLE.as_bytes()).at("writing", &path)?;
    report.note(&format!("wrote {}; edit it, then run `kiln check`", path.display()));
    Ok(())
}
