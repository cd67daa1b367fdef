//! `kiln bundle`: carries what a build needs to where there is no network.

use std::path::{Path, PathBuf};

use crate::bundle::{self, Added, Created};
use crate::command::{ClusterArg, key, verify};
use crate::error::{Error, IoContext, Result};
use crate::fetch::cache::Cache;
use crate::fetch::lock::{self, Lock};
use crate::image::inspect::text::printable;
use crate::progress::Progress as _;
use crate::report::{Report, human_size};
use crate::sign::{self, PublicKey, SecretKey};
use crate::units;

/// Arguments of `kiln bundle`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// What `kiln bundle` can do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Pack kiln, kiln.lock and all that it pins into one file
    Create(Create),
    /// Take a bundle into the cache, and its kiln.lock into the project
    Add(Add),
}

/// Arguments of `kiln bundle create`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kiln bundle create
  kiln bundle create --split 4G --output /media/stick/demo.kilnbundle
  kiln bundle create --sign ops.key")]
pub struct Create {
    /// Which cluster
    #[command(flatten)]
    pub cluster: ClusterArg,
    /// File to write; out/CLUSTER.kilnbundle beside the cluster file if not given
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Write parts FILE.001, FILE.002, … of this size at most: 4G means as large as FAT takes
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub split: Option<u64>,
    /// Statically linked kiln to pack; this program if not given
    #[arg(long, value_name = "FILE")]
    pub kiln: Option<PathBuf>,
    /// Sign each file with this secret key; FILE.minisig is its signature
    #[arg(long, value_name = "KEYFILE")]
    pub sign: Option<PathBuf>,
}

/// Arguments of `kiln bundle add`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kiln bundle add /media/stick/demo.kilnbundle        # finds its parts
  kiln bundle add a/demo.kilnbundle.001 b/demo.kilnbundle.002
  kiln bundle add --key ops.pub /media/stick/demo.kilnbundle")]
pub struct Add {
    /// The bundle, or all of its parts
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Which cluster; its folder gets kiln.lock
    #[command(flatten)]
    pub cluster: ClusterArg,
    /// Take nothing in that this public key did not sign; signatures lie beside the files
    #[arg(long, value_name = "PUB")]
    pub key: Option<PathBuf>,
    /// Replace a kiln.lock that pins something else
    #[arg(long)]
    pub update: bool,
}

/// What a signature's comment tells of a bundle: the digests of its kiln.lock, and of its kiln.
const LOCK: &str = "lock:";
const KILN: &str = "kiln:";

/// Largest file on FAT (Microsoft FAT specification, `DIR_FileSize`).
const FAT_LARGEST: u64 = u32::MAX as u64;

/// `4G`, `700M`: 4G is what FAT takes.
fn size(text: &str) -> Result<u64, String> {
    let bytes = units::bytes(text).ok_or_else(|| format!("`{text}` is no size: write 700M or 4G"))?;
    Ok(if bytes == FAT_LARGEST + 1 { FAT_LARGEST } else { bytes })
}

/// Runs it.
pub fn run(args: &Args, report: &Report) -> Result<()> {
    match &args.command {
        Command::Create(args) => create(args, report),
        Command::Add(args) => add(args, report),
    }
}

fn create(args: &Create, report: &Report) -> Result<()> {
    let loaded = args.cluster.load(report)?;
    let lock = Lock::load(&loaded.dir.join(lock::FILE))?;
    let program = match &args.kiln {
        Some(path) => path.clone(),
        None => std::env::current_exe().at("finding", Path::new("this program"))?,
    };
    let output = match &args.output {
        Some(path) => path.clone(),
        None => {
            let out = loaded.dir.join("out");
            std::fs::create_dir_all(&out).at("making the folder", &out)?;
            out.join(format!("{}.kilnbundle", loaded.cluster.name))
        }
    };
    let key = args.sign.as_deref().map(|file| SecretKey::load(file, &|| key::password(file))).transpose()?;
    let cache = Cache::of_user();
    let made = bundle::create(&loaded.cluster, &lock, &cache, &program, &output, args.split, report)?;
    let kept = match made.kept {
        0 => String::new(),
        kept => format!(", {kept} of them were there already"),
    };
    let first = made.files.first().unwrap_or(&output).display();
    report.note(&format!(
        "wrote {first}{}: {} of {}{kept}",
        if made.files.len() > 1 { format!(" and {} more", made.files.len() - 1) } else { String::new() },
        human_size(made.size),
        human_size(made.content)
    ));
    match &key {
        Some(key) => signed(key, &made, report)?,
        None => {
            for old in made.files.iter().map(|file| sign::beside(file)).filter(|old| old.exists()) {
                report.warn(&format!("{} was there before; --sign makes a new one", old.display()));
            }
        }
    }
    report.note("      Carry cluster.toml, pki/ and the vendor's ISO beside it; it holds no keys.");
    Ok(())
}

/// Signs each file of a bundle; none is signed if one of the signatures would replace something else.
fn signed(key: &SecretKey, made: &Created, report: &Report) -> Result<()> {
    let files = &made.files;
    files.iter().try_for_each(|file| sign::check_place(&sign::beside(file)))?;
    report.step("signing the bundle");
    for (number, file) in files.iter().enumerate() {
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let part = format!("part:{}/{}", number + 1, files.len());
        let comment = format!("file:{} {part} {LOCK}{} {KILN}{}", printable(&name), made.lock, made.program);
        sign::put(&sign::beside(file), &key.sign(file, &comment, report)?)?;
    }
    report.note(&format!("      Signed with key {}.", key.id()));
    Ok(())
}

/// What was taken in is what the signature tells of. The files are read twice, and a stick that gives something else the second time
/// gets nothing into the project: all but these two is pinned by the lock.
fn as_signed(comment: &str, added: &Added) -> Result<()> {
    for (word, digest) in [(LOCK, added.lock_digest), (KILN, added.program)] {
        let told = comment.split(' ').find_map(|part| part.strip_prefix(word));
        if told.is_some_and(|told| told != digest.to_string()) {
            return Err(Error::input(format!(
                "the bundle is signed, but what was read then is something else ({word}{digest}, not {})",
                told.map(printable).unwrap_or_default()
            ))
            .hint(
                "the medium that it lies on does not keep what it is given, or is hostile: do not use it",
            ));
        }
    }
    Ok(())
}

fn add(args: &Add, report: &Report) -> Result<()> {
    let dir =
        args.cluster.cluster.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let path = dir.join(lock::FILE);
    let old = Lock::load_if_there(&path)?;
    let signed = match &args.key {
        Some(key) => verify::parts(&bundle::find(&args.files)?, &PublicKey::load(key)?, report)?,
        None => Vec::new(),
    };
    report.step("taking the bundle in");
    let cache = Cache::of_user();
    let added = bundle::add(&args.files, &cache, report)?;
    signed.iter().try_for_each(|signature| as_signed(&signature.comment, &added))?;
    if let Some(old) = old.filter(|old| *old != added.lock && !args.update) {
        return Err(Error::input(format!(
            "its files are in the cache, but its kiln.lock differs from {}:\n  {}",
            path.display(),
            old.diff(&added.lock).join("\n  ")
        ))
        .hint("`kiln bundle add --update` takes the bundle's"));
    }
    added.lock.save(&path)?;
    report.note(&format!(
        "took {} files in, {} were there; wrote {}",
        added.new,
        added.there,
        path.display()
    ));
    report.note(&format!("      The bundle's kiln: {}", cache.path(added.program).display()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Added, as_signed, size};
    use crate::digest::Sha256;
    use crate::fetch::lock::Lock;

    #[test]
    fn what_is_taken_in_is_what_was_signed() {
        let (lock, program) = (Sha256::of(b"lock"), Sha256::of(b"kiln"));
        let added = Added { lock: Lock::default(), lock_digest: lock, new: 0, there: 0, program };
        as_signed(&format!("file:a part:1/1 lock:{lock} kiln:{program}"), &added).unwrap();
        as_signed("by hand", &added).unwrap();
        for other in [format!("lock:{program} kiln:{program}"), format!("lock:{lock} kiln:{lock}")] {
            let error = as_signed(&other, &added).unwrap_err().to_string();
            assert!(error.contains("something else"), "{error}");
        }
    }

    #[test]
    fn sizes_are_read() {
        assert_eq!(size("700M"), Ok(700 << 20));
        assert_eq!(size("4G"), Ok(u64::from(u32::MAX)));
        assert_eq!(size("8G"), Ok(8 << 30));
        assert!(size("4").is_err());
    }
}
