//! `kiln verify`: is a medium what the owner of a key signed, and whole?

use std::fs::File;
use std::path::PathBuf;

use serde_json::json;

use crate::error::{Error, IoContext, Result};
use crate::image::inspect::text::printable;
use crate::image::inspect::{self, check};
use crate::progress::Progress as _;
use crate::report::Report;
use crate::sign::{self, PublicKey};

/// Arguments of `kiln verify`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kiln verify out/prod-master.iso --key ops.pub
  kiln verify master.iso --key ops.pub --signature /mnt/master.iso.minisig")]
pub struct Args {
    /// The medium
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The public key that you trust
    #[arg(long, value_name = "PUB")]
    pub key: PathBuf,
    /// The signature; FILE.minisig if not given
    #[arg(long, value_name = "FILE")]
    pub signature: Option<PathBuf>,
    /// Print the result as JSON on standard output
    #[arg(long)]
    pub json: bool,
}

/// Verifies the signature, then what the medium says of its own files. Nothing of a file is believed before its signature is right.
pub fn run(args: &Args, report: &Report) -> Result<()> {
    let name = printable(&args.file.display().to_string());
    let key = PublicKey::load(&args.key)?;
    let signature = args.signature.clone().unwrap_or_else(|| sign::beside(&args.file));
    if !args.file.is_file() {
        // What is wrong with it is told as of any file.
        File::open(&args.file).at("opening", &args.file)?;
        return Err(Error::input(format!("{name} is no file")).hint("give the file that was signed"));
    }
    if !signature.exists() {
        return Err(Error::input(format!("{name} has no signature: there is no {}", signature.display()))
            .hint("`kiln build --sign KEY` makes one beside the medium; give another place by --signature"));
    }
    report.step("verifying the signature");
    let verified = key.verify(&args.file, &signature, report)?;
    let file = File::open(&args.file).at("opening", &args.file)?;
    let other = "`minisign -V` verifies files of any kind";
    let mut found = inspect::inspect(&file)
        .map_err(|error| error.context(format!("{name} is signed, but is no medium")).or_hint(other))?;
    check::verify(&file, &mut found, report)?;
    let Some(kiln) = &found.kiln else {
        return Err(Error::input(format!("{name} is signed, but kiln did not make it")).hint(other));
    };
    if found.media_check.good == Some(false) || !kiln.problems.is_empty() {
        let problems: Vec<&str> = kiln.problems.iter().map(String::as_str).collect();
        return Err(Error::input(format!(
            "{name} is signed as it is, and not whole: {}",
            printable(&problems.join("; "))
        ))
        .hint("it was damaged before it was signed: build it again"));
    }
    if args.json {
        let result = json!({
            "file": args.file,
            "key": verified.key.to_string(),
            "comment": verified.comment,
            "label": found.label,
            "build_id": kiln.build_id,
            "files": kiln.files.len(),
        });
        report.data(&format!("{result}\n"));
        return Ok(());
    }
    report.note(&format!(
        "{name} is good: signed by key {}, {} files as the manifest says",
        verified.key,
        kiln.files.len()
    ));
    report.note(&format!("    trusted comment: {}", printable(&verified.comment)));
    Ok(())
}
