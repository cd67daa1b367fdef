//! `kiln node agent`, `form`, `formed`, `knock`, `mend` and `status`: how a node becomes part of its cluster and says how it is. Here are the
//! clock, the random bits and the journal; what is done lies in [`crate::node::agent`], [`formation`] and [`status`].

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use time::OffsetDateTime;

use crate::error::{IoContext as _, Result};
use crate::node::formation::run::Outcome;
use crate::node::knock::Guest;
use crate::node::{agent, formation, knock, mend, status};
use crate::report::Report;

/// Arguments of the units that form the cluster.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Root of the node's files
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    pub root: PathBuf,
}

/// Arguments of `kiln node knock`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kiln node knock kubelet
  kiln node knock scheduler")]
pub struct KnockArgs {
    /// Root of the node's files
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    pub root: PathBuf,
    /// Who is about to start
    #[arg(value_name = "WHO")]
    pub who: Guest,
}

/// Arguments of `kiln node form`.
#[derive(Debug, clap::Args)]
pub struct FormArgs {
    /// Root of the node's files
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    pub root: PathBuf,
    /// How long a majority waits for the rest, where it may form without them
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub grace: u64,
}

/// Arguments of `kiln node status`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kiln node status
  kiln node status --json")]
pub struct StatusArgs {
    /// Root of the node's files
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    pub root: PathBuf,
    /// Print everything that is known, as JSON
    #[arg(long)]
    pub json: bool,
}

/// `kiln node agent`.
pub fn agent(args: &Args) -> Result<()> {
    agent::run(agent::Options {
        root: args.root.clone(),
        pulse: Duration::from_secs(3),
        clock: OffsetDateTime::now_utc,
    })
}

/// `kiln node form`.
pub fn form(args: &FormArgs, report: &Report) -> Result<()> {
    let options = formation::run::Options {
        root: args.root.clone(),
        grace: Duration::from_secs(args.grace),
        clock: OffsetDateTime::now_utc,
        random: random()?,
    };
    let outcome = formation::run::form(&options, &mut |text| report.note(text))?;
    report.note(match outcome {
        Outcome::Data => "etcd starts with the data that it has",
        Outcome::New => "etcd starts as a founder of the cluster",
        Outcome::Existing => "etcd starts as a member that was taken in again",
    });
    Ok(())
}

/// `kiln node mend`.
pub fn mend(args: &Args, report: &Report) -> Result<()> {
    mend::mend(&args.root)?.iter().for_each(|line| report.note(line));
    Ok(())
}

/// `kiln node knock`.
pub fn knock(args: &KnockArgs, report: &Report) -> Result<()> {
    knock::wait(&args.root, args.who, &mut |why| report.note(&format!("waits for an API server: {why}")))
}

/// `kiln node formed`.
pub fn formed(args: &Args) -> Result<()> {
    formation::run::formed(&args.root, OffsetDateTime::now_utc)
}

/// `kiln node status`.
pub fn status(args: &StatusArgs, report: &Report) -> Result<()> {
    let board = status::fetch::board(&args.root, OffsetDateTime::now_utc())?;
    if args.json {
        let json = serde_json::json!({
            "cluster": board.inventory.cluster,
            "told_by": board.told_by,
            "nodes": board.nodes,
            "unheard": board.unheard(),
        });
        report.data(&format!("{json:#}\n"));
        return Ok(());
    }
    if board.told_by.is_none() {
        report.note("no master and no member of etcd answers; this is only what this node knows of itself");
    }
    report.data(&status::board::text(&board.nodes, &board.inventory));
    Ok(())
}

/// Bits for the name of a disk's life. `getrandom` is younger than the oldest kernel; at a first boot the pool may be poor, and
/// all that is needed is that two lives of one member differ.
fn random() -> Result<[u8; 16]> {
    let path = Path::new("/dev/urandom");
    let mut bits = [0; 16];
    std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut bits)).at("reading", path)?;
    Ok(bits)
}
