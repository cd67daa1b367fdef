//! `kiln fetch`: brings what the cluster needs into reach and pins it in `kiln.lock`. The one command that uses a network. Builds
//! take what the lock says and nothing else.

use std::collections::BTreeMap;

use crate::assets::Assets;
use crate::cluster::Loaded;
use crate::command::ClusterArg;
use crate::error::{Error, Result};
use crate::fetch::cache::Cache;
use crate::fetch::http::{Client, Options};
use crate::fetch::lock::Pulled;
use crate::fetch::meter::Meter;
use crate::fetch::online::{New, Online};
use crate::fetch::pull::Pull;
use crate::fetch::registry::{Credentials, Registries};
use crate::fetch::remote::{Remote, Update};
use crate::fetch::{Catalogue, Images, Lock, archives, local, lock};
use crate::format::oci::Reference;
use crate::progress::Progress as _;
use crate::report::Report;
use crate::url::Url;

/// Arguments of `kiln fetch`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kiln fetch                        # makes kiln.lock, or fetches what it pins
  kiln fetch --update               # takes what is there now, and the usual versions
  kiln fetch --update kubernetes    # finds one component anew, or one image by name
  kiln fetch --locked               # fails unless kiln.lock is there and fits
  kiln fetch --mirror file:///srv/files")]
pub struct Args {
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArg,
    /// Fail unless kiln.lock is there and fits; change nothing in it
    #[arg(long, conflicts_with = "update")]
    pub locked: bool,
    /// Replace what kiln.lock pins: all, or components and images by name
    #[arg(long, value_name = "NAME", num_args = 0..)]
    pub update: Option<Vec<String>>,
    /// Ask here in place of publishers, before `mirror` in [components]
    #[arg(long, value_name = "URL")]
    pub mirror: Option<Url>,
    /// Downloads that run at once
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=32))]
    pub jobs: u8,
}

/// Fetches and pins.
pub fn run(args: &Args, report: &Report) -> Result<()> {
    let loaded = args.cluster.load(report)?;
    let path = loaded.dir.join(lock::FILE);
    let old = Lock::load_if_there(&path)?;
    if args.locked && old.is_none() {
        return Err(Error::input(format!("there is no {}", path.display()))
            .hint("run `kiln fetch` without --locked once, and keep the file with cluster.toml"));
    }
    let update = match &args.update {
        None => Update::Nothing,
        Some(names) if names.is_empty() => Update::All,
        Some(names) => Update::Named(names.iter().map(|name| full(name)).collect()),
    };
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

    let remote =
        Remote::plan(&loaded.cluster, &catalogue, old.as_ref(), &pinned.absent, &images.absent, &update)?;
    // What is known to differ is told before anything is downloaded.
    if let Some(old) = old.as_ref().filter(|_| !update.is_wanted()) {
        let known = Lock {
            components: pinned.lock.components.clone().into_iter().chain(remote.kept.clone()).collect(),
            images: pinned.lock.images.clone(),
            pulled: old.pulled.clone().map(|pulled| Pulled { images: remote.images.clone(), ..pulled }),
        };
        let gone = old.diff(&known).into_iter().filter(|line| !remote.news(old).contains(line));
        let renewed = |line: &String| remote.new.keys().any(|name| line.starts_with(&format!("- {name} ")));
        differs(&path, remote.news(old).into_iter().chain(gone.filter(|line| !renewed(line))).collect())?;
    }
    fetch(args, report, &loaded, &catalogue, remote, &mut pinned.lock)?;
    finish(report, &path, old.as_ref(), &update, &pinned.lock)
}

/// Names of images in full, as the lock has them; names of components as they are.
fn full(name: &str) -> String {
    let image = name.contains([':', '/']);
    name.parse::<Reference>().ok().filter(|_| image).map_or_else(|| name.to_owned(), |name| name.to_string())
}

/// Downloads what comes from elsewhere, and adds it to the lock.
fn fetch(
    args: &Args,
    report: &Report,
    loaded: &Loaded,
    catalogue: &Catalogue,
    remote: Remote,
    lock: &mut Lock,
) -> Result<()> {
    let (cluster, cache) = (&loaded.cluster, Cache::of_user());
    let rules = &cluster.components;
    let jobs = usize::from(args.jobs);
    let Remote { kept, new, images, look_up } = remote;
    let options = Options {
        mirror: args.mirror.clone().or_else(|| rules.mirror.clone()),
        ca: rules.ca.clone(),
        ..Options::default()
    };
    if !new.is_empty() || !kept.is_empty() {
        let client = Client::new(&options)?;
        report.step("fetching the components");
        let meter = Meter::new(report);
        let online = Online { client: &client, cache: &cache, jobs, meter: &meter };
        let wanted: Vec<New<'_>> = new
            .iter()
            .filter_map(|(name, version)| {
                let component = catalogue.get(name)?;
                Some(New { name, component, version: version.clone() })
            })
            .collect();
        lock.components.extend(online.pin(&wanted, cluster)?);
        online.ensure(&kept)?;
        lock.components.extend(kept);
    }
    if !images.is_empty() || !look_up.is_empty() {
        let client = Client::new(&Options { mirror: None, ..options })?;
        let registries = Registries::new(&client, Credentials::of_user()?, &rules.registries);
        report.step("fetching the images");
        let meter = Meter::new(report);
        let pull =
            Pull { registries: &registries, cache: &cache, jobs, meter: &meter, runtime: cluster.runtime };
        let mut all: BTreeMap<_, _> = images;
        all.extend(pull.look_up(&look_up)?);
        lock.pulled = Some(pull.ensure(all)?);
    }
    Ok(())
}

/// Writes the lock, or says that it fits.
fn finish(
    report: &Report,
    path: &std::path::Path,
    old: Option<&Lock>,
    update: &Update,
    new: &Lock,
) -> Result<()> {
    let components = new.components.iter().map(|(name, pin)| format!("{name} {}", pin.version));
    let mut summary: Vec<String> = components.collect();
    if !new.images.is_empty() {
        summary.push(format!("{} image archives", new.images.len()));
    }
    if let Some(pulled) = &new.pulled {
        summary.push(format!("{} images from registries", pulled.images.len()));
    }
    let trusted = new.components.iter().filter(|(_, pin)| pin.is_unchecked()).map(|(name, _)| name.as_str());
    let trusted: Vec<&str> = trusted.collect();
    if let Some(old) = old {
        let changes = old.diff(new);
        if changes.is_empty() && old == new {
            report.note(&format!("{} fits: {}", path.display(), summary.join(", ")));
            return Ok(());
        }
        if !update.is_wanted() {
            differs(path, changes)?;
        } else {
            report.note(&changes.join("\n"));
        }
    }
    new.save(path)?;
    if !trusted.is_empty() {
        report.note(&format!(
            "    no digest is published for {}: kiln.lock pins what came now",
            trusted.join(", ")
        ));
    }
    report.note(&format!("wrote {}: {}", path.display(), summary.join(", ")));
    Ok(())
}

fn differs(path: &std::path::Path, changes: Vec<String>) -> Result<()> {
    if changes.is_empty() {
        return Ok(());
    }
    Err(Error::input(format!(
        "what the cluster needs differs from {}:\n  {}",
        path.display(),
        changes.join("\n  ")
    ))
    .hint("restore the folder or the cluster file; or, if you changed it on purpose, `kiln fetch --update`"))
}
