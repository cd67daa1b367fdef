//! `kiln verify`: is a medium or a bundle what the owner of a key signed, and whole?

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::bundle;
use crate::error::{Error, IoContext, Result};
use crate::image::inspect::text::printable;
use crate::image::inspect::{self, check};
use crate::progress::Progress as _;
use crate::report::Report;
use crate::sign::{self, PublicKey, Verified};

/// How a bundle begins.
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Arguments of `kiln verify`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kiln verify out/prod-master.iso --key ops.pub
  kiln verify master.iso --key ops.pub --signature /mnt/master.iso.minisig
  kiln verify /media/stick/demo.kilnbundle --key ops.pub")]
pub struct Args {
    /// The medium, or the bundle
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

/// Verifies the signature, then what the file says of itself. Nothing of it is believed before its signature is right.
pub fn run(args: &Args, report: &Report) -> Result<()> {
    let name = printable(&args.file.display().to_string());
    let key = PublicKey::load(&args.key)?;
    if args.signature.is_none()
        && let Some(files) = bundle(&args.file)?
    {
        return of_bundle(args, &files, &key, report);
    }
    let signature = args.signature.clone().unwrap_or_else(|| sign::beside(&args.file));
    report.step("verifying the signature");
    let verified = one(&args.file, &signature, &key, report)?;
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

/// Verifies one file against the signature in a file.
fn one(path: &Path, signature: &Path, key: &PublicKey, report: &Report) -> Result<Verified> {
    let name = printable(&path.display().to_string());
    if !path.is_file() {
        // What is wrong with it is told as of any file.
        File::open(path).at("opening", path)?;
        return Err(Error::input(format!("{name} is no file")).hint("give the file that was signed"));
    }
    if !signature.exists() {
        return Err(Error::input(format!("{name} has no signature: there is no {}", signature.display()))
            .hint("`--sign KEY` makes one beside what is built; give another place by --signature"));
    }
    key.verify(path, signature, report)
}

/// Verifies each part of a bundle against the signature beside it.
pub fn parts(files: &[PathBuf], key: &PublicKey, report: &Report) -> Result<Vec<Verified>> {
    report.step("verifying the signatures");
    files.iter().map(|file| one(file, &sign::beside(file), key, report)).collect()
}

/// The files of a bundle, if what was named is one: it begins as a zstd frame (RFC 8878, section 3.1.1), or only its parts are there.
fn bundle(path: &Path) -> Result<Option<Vec<PathBuf>>> {
    let Ok(files) = bundle::find(std::slice::from_ref(&path.to_owned())) else { return Ok(None) };
    let Some(first) = files.first() else { return Ok(None) };
    if !first.is_file() {
        return Ok(None);
    }
    let mut magic = [0; 4];
    let file = File::open(first).at("opening", first)?;
    let read = file.take(4).read(&mut magic).at("reading", first)?;
    Ok((read == 4 && magic == ZSTD).then_some(files))
}

fn of_bundle(args: &Args, files: &[PathBuf], key: &PublicKey, report: &Report) -> Result<()> {
    let name = printable(&args.file.display().to_string());
    let verified = parts(files, key, report)?;
    report.step("reading the bundle");
    let found = bundle::check(files, report)
        .map_err(|error| error.context(format!("{name} is signed, but not whole")))?;
    if args.json {
        let comments: Vec<&str> = verified.iter().map(|one| one.comment.as_str()).collect();
        let result = json!({
            "file": args.file,
            "key": key.id().to_string(),
            "comments": comments,
            "lock": found.lock,
            "files": found.files,
        });
        report.data(&format!("{result}\n"));
        return Ok(());
    }
    report.note(&format!(
        "{name} is good: {} signed by key {}, {} files in it as they are named",
        match files.len() {
            1 => "it is".to_owned(),
            parts => format!("its {parts} parts are"),
        },
        key.id(),
        found.files
    ));
    report.note(&format!("    SHA-256 of its kiln.lock: {}", found.lock));
    Ok(())
}
