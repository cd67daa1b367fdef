//! `kiln bundle`: carries what a build needs to where there is no network.

use std::path::{Path, PathBuf};

use crate::bundle;
use crate::command::ClusterArg;
use crate::error::{Error, IoContext, Result};
use crate::fetch::cache::Cache;
use crate::fetch::lock::{self, Lock};
use crate::progress::Progress as _;
use crate::report::{Report, human_size};
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
  kiln bundle create --split 4G --output /media/stick/demo.kilnbundle")]
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
}

/// Arguments of `kiln bundle add`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kiln bundle add /media/stick/demo.kilnbundle        # finds its parts
  kiln bundle add a/demo.kilnbundle.001 b/demo.kilnbundle.002")]
pub struct Add {
    /// The bundle, or all of its parts
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Which cluster; its folder gets kiln.lock
    #[command(flatten)]
    pub cluster: ClusterArg,
    /// Replace a kiln.lock that pins something else
    #[arg(long)]
    pub update: bool,
}

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
    report.note("      Carry cluster.toml, pki/ and the vendor's ISO beside it; it holds no keys.");
    Ok(())
}

fn add(args: &Add, report: &Report) -> Result<()> {
    let dir =
        args.cluster.cluster.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let path = dir.join(lock::FILE);
    let old = Lock::load_if_there(&path)?;
    report.step("taking the bundle in");
    let cache = Cache::of_user();
    let added = bundle::add(&args.files, &cache, report)?;
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
    use super::size;

    #[test]
    fn sizes_are_read() {
        assert_eq!(size("700M"), Ok(700 << 20));
        assert_eq!(size("4G"), Ok(u64::from(u32::MAX)));
        assert_eq!(size("8G"), Ok(8 << 30));
        assert!(size("4").is_err());
    }
}
