//! `kiln pki`: makes, renews and shows the certificates in `pki/`. Keys are never shown.

use std::path::{Path, PathBuf};

use time::{Duration, OffsetDateTime};

use crate::cluster::Loaded;
use crate::command::ClusterArg;
use crate::error::{Error, Result};
use crate::pki::{Description, EntryKind, Pki, Policy, Row};
use crate::progress::Progress as _;
use crate::report::Report;

/// Folder of the certificates, beside the cluster file.
const FOLDER: &str = "pki";

/// Arguments of `kiln pki`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do
    #[command(subcommand)]
    pub action: Action,
}

/// What `kiln pki` can do.
#[derive(Debug, clap::Subcommand)]
pub enum Action {
    /// Show names, uses and lifetimes, and until when media built now are good
    Show(Show),
    /// Make what is missing; a build does so by itself
    #[command(after_help = "Examples:
  kiln pki init -C prod/cluster.toml")]
    Init(ClusterArg),
    /// Issue all leaf certificates and the bootstrap token anew; authorities stay
    #[command(after_help = "Examples:
  kiln pki renew && kiln build --profile master")]
    Renew(ClusterArg),
}

/// Arguments of `kiln pki show`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kiln pki show
  kiln pki show -C prod/cluster.toml --json")]
pub struct Show {
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArg,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
pub fn run(args: &Args, report: &Report) -> Result<()> {
    let now = OffsetDateTime::now_utc();
    match &args.action {
        Action::Show(args) => {
            let loaded = args.cluster.load(report)?;
            let pki = Pki::open(&folder(&loaded))?;
            let description = pki.describe(&loaded.cluster, now);
            let text = if args.json {
                serde_json::to_string_pretty(&description)
                    .map_err(|error| Error::internal("writing JSON failed").because(error))?
                    + "\n"
            } else {
                table(&description)
            };
            report.data(&text);
            Ok(())
        }
        Action::Init(cluster) => change(cluster, &Policy::default(), now, report),
        Action::Renew(cluster) => {
            if !folder(&cluster.load(report)?).is_dir() {
                return Err(Error::input("there is nothing to renew yet").hint("`kiln pki init` comes first"));
            }
            // Everything counts as about to expire, whatever its end.
            let policy = Policy { renew_before: Duration::days(36500), ..Policy::default() };
            change(cluster, &policy, now, report)
        }
    }
}

fn change(cluster: &ClusterArg, policy: &Policy, now: OffsetDateTime, report: &Report) -> Result<()> {
    let loaded = cluster.load(report)?;
    let dir = folder(&loaded);
    let pki = Pki::open_or_create_with(&dir, &loaded.cluster, now, policy)?;
    pki.changes().iter().for_each(|change| report.note(change));
    let description = pki.describe(&loaded.cluster, now);
    report.note(&format!("{}: {}", dir.display(), good_until(&description)));
    if description.days_left < 90 {
        report.warn("media built now will not be good for long; `kiln pki renew` issues new certificates");
    }
    Ok(())
}

/// The folder of a cluster's certificates.
pub(super) fn folder(loaded: &Loaded) -> PathBuf {
    if loaded.dir == Path::new("") { PathBuf::from(FOLDER) } else { loaded.dir.join(FOLDER) }
}

fn good_until(description: &Description) -> String {
    format!(
        "media built now are good until {} ({} days)",
        description.media_good_until, description.days_left
    )
}

/// The table for people: one line each, names below.
fn table(description: &Description) -> String {
    let width = description.rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
    let mut text = format!("cluster {}\n", description.cluster);
    for row in &description.rows {
        text += &line(row, width);
    }
    for name in &description.missing {
        text += &format!("{name:width$}  not issued yet\n");
    }
    text + &good_until(description) + "\n"
}

fn line(row: &Row, width: usize) -> String {
    let subject = match &row.organization {
        Some(group) if row.kind == EntryKind::Leaf => format!("{} ({group})", row.common_name),
        _ => row.common_name.clone(),
    };
    let issuer = match &row.issuer {
        Some(issuer) if row.kind == EntryKind::Leaf => format!(" by {issuer}"),
        _ => String::new(),
    };
    let end = row.not_after.get(..10).unwrap_or(&row.not_after);
    let state = match row {
        Row { wanted: false, .. } => "  (the cluster file does not want it)",
        Row { days_left, .. } if *days_left < 0 => "  EXPIRED",
        _ => "",
    };
    let mut text = format!(
        "{:width$}  {end}  {:>4} days  {:13}  {subject}{issuer}{state}\n",
        row.name, row.days_left, row.usage
    );
    if !row.sans.is_empty() {
        text += &format!("{:width$}    for {}\n", "", row.sans.join(", "));
    }
    text
}
