//! `kiln fetch`: pins the components that the cluster needs in `kiln.lock`. Builds take what it says and nothing else.

use crate::assets::Assets;
use crate::command::ClusterArg;
use crate::error::{Error, Result};
use crate::fetch::{Catalogue, Images, Lock, archives, local, lock};
use crate::progress::Progress as _;
use crate::report::Report;

/// Arguments of `kiln fetch`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kiln fetch             # makes kiln.lock, or checks it
  kiln fetch --update    # takes what is in the folder now
  kiln fetch --locked    # fails unless the folder is what the lock says")]
pub struct Args {
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArg,
    /// Fail unless kiln.lock is there and fits; write nothing
    #[arg(long, conflicts_with = "update")]
    pub locked: bool,
    /// Replace what kiln.lock pins by what is in the folder now
    #[arg(long)]
    pub update: bool,
}

/// Pins the components folder.
pub fn run(args: &Args, report: &Report) -> Result<()> {
    let loaded = args.cluster.load(report)?;
    let path = loaded.dir.join(lock::FILE);
    let old = Lock::load_if_there(&path)?;
    let assets = Assets::new(Some(&loaded.dir))?;
    let catalogue = Catalogue::load(&assets)?;
    report.step("checking the components folder");
    let mut pinned = local::pin(&loaded.cluster, &catalogue, report)?;
    report.step("checking the images");
    let wanted = Images::load(&assets)?.wanted(&loaded.cluster);
    let images = archives::pin(&loaded.cluster, &wanted, report)?;
    pinned.lock.images = images.images;
    pinned.warnings.extend(images.warnings);
    pinned.warnings.iter().for_each(|warning| report.warn(warning));
    let components = pinned.lock.components.iter().map(|(name, pin)| format!("{name} {}", pin.version));
    let summary: Vec<String> =
        components.chain([format!("{} image archives", pinned.lock.images.len())]).collect();
    let changes = old.as_ref().map(|old| old.diff(&pinned.lock));
    match changes {
        Some(changes) if changes.is_empty() => {
            report.note(&format!("{} fits: {}", path.display(), summary.join(", ")));
            return Ok(());
        }
        None if args.locked => {
            return Err(Error::input(format!("there is no {}", path.display()))
                .hint("run `kiln fetch` without --locked once, and keep the file with cluster.toml"));
        }
        Some(changes) if !args.update => {
            return Err(Error::input(format!(
                "the components folder differs from {}:\n  {}",
                path.display(),
                changes.join("\n  ")
            ))
            .hint("restore the folder; or, if you changed it on purpose, `kiln fetch --update`"));
        }
        Some(changes) => report.note(&changes.join("\n")),
        None => {}
    }
    pinned.lock.save(&path)?;
    report.note(&format!("wrote {}: {}", path.display(), summary.join(", ")));
    Ok(())
}
