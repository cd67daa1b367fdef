//! `kiln node`: what runs on the machines. The installer's scripts call it; people rarely do.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::command::{agent, kube, routes};
use crate::error::{Error, IoContext as _, Result};
use crate::node;
use crate::payload::manifest::Manifest;
use crate::progress::{Progress, Silent};
use crate::report::Report;

/// Arguments of `kiln node`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// Commands of the machines.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Find out which node this machine is and which disk it may use; run by the installer
    Prepare(PrepareArgs),
    /// Lay down what this node gets in the new system; run by the installer
    Place(PlaceArgs),
    /// Measure how long the new disk of an etcd member takes to make a write last; run by the installer
    ProbeDisk(ProbeDiskArgs),
    /// Check every file of a mounted medium against its manifest
    Verify(VerifyArgs),
    /// Load the container images of the install medium; run at boot
    Images(super::images::Args),
    /// Look after the clock, and say how it is; a unit of every node
    Clock(super::clock::Args),
    /// Apply what the cluster needs: bindings, tokens, addons, labels; a unit of masters
    #[command(after_help = "Examples:
  kiln node addons
  kiln node addons --once")]
    Addons(kube::Args),
    /// Judge kubelets' certificate requests; a unit of masters
    #[command(after_help = "Examples:
  kiln node approve
  kiln node approve --once")]
    Approve(kube::Args),
    /// Keep the CNI configuration and the routes of bridge mode; a unit of nodes that run pods
    #[command(after_help = "Examples:
  kiln node routes
  kiln node routes --once")]
    Routes(kube::Args),
    /// Answer the other nodes and tell them how this one is; a unit of every node
    #[command(after_help = "Examples:
  kiln node agent")]
    Agent(agent::Args),
    /// Remove what a power cut left half written of the kubelet's own files; run before it
    #[command(after_help = "Examples:
  kiln node mend")]
    Mend(agent::Args),
    /// Let etcd start once it may: found the cluster, join it again, or wait; run before etcd
    #[command(after_help = "Examples:
  kiln node form
  kiln node form --grace 300")]
    Form(agent::FormArgs),
    /// Remember that etcd has had a quorum; run after etcd is ready
    #[command(after_help = "Examples:
  kiln node formed")]
    Formed(agent::Args),
    /// Show all nodes of the cluster: stage, what is waited for and since when, warnings
    Status(agent::StatusArgs),
}

/// Arguments of `kiln node verify`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kiln node verify --media /run/install/repo
  kiln node verify --media /mnt --json")]
pub struct VerifyArgs {
    /// Where the medium is mounted
    #[arg(long, value_name = "DIR")]
    pub media: PathBuf,
    /// Print the outcome as one line of JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `kiln node prepare`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kiln node prepare --media /run/install/repo --out /tmp/kiln
  kiln node prepare --media /mnt --out /tmp/try --node k8s-master1 --skip-preflight")]
pub struct PrepareArgs {
    /// Where the medium is mounted
    #[arg(long, value_name = "DIR")]
    pub media: PathBuf,
    /// Folder for the answers: node, network.ks, disk.ks
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// The node to be; otherwise kiln.node= of the kernel's command line
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
    /// Do not check the medium's files again
    #[arg(long)]
    pub skip_verify: bool,
    /// Do not look whether the machine is fit: raises no link, asks nobody, sets no clock
    #[arg(long)]
    pub skip_preflight: bool,
    /// Print the outcome as one line of JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `kiln node place`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kiln node place --media /run/install/repo --prepared /tmp/kiln \\
    --root /mnt/sysimage")]
pub struct PlaceArgs {
    /// Where the medium is mounted
    #[arg(long, value_name = "DIR")]
    pub media: PathBuf,
    /// Root of the new system
    #[arg(long, value_name = "DIR")]
    pub root: PathBuf,
    /// The answers of `kiln node prepare`
    #[arg(long, value_name = "DIR", default_value = "/tmp/kiln")]
    pub prepared: PathBuf,
    /// Print the outcome as one line of JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `kiln node probe-disk`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kiln node probe-disk --media /run/install/repo --dir /mnt/sysimage/var/lib/etcd \\
    --out /tmp/kiln/fsync.json
  kiln node probe-disk --media /mnt --dir /srv --seconds 10")]
pub struct ProbeDiskArgs {
    /// Where the medium is mounted
    #[arg(long, value_name = "DIR")]
    pub media: PathBuf,
    /// Folder on the file system to measure; a file is made in it and removed
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// How long to measure
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=60))]
    pub seconds: u64,
    /// File to write the numbers to
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Print the outcome as one line of JSON
    #[arg(long)]
    pub json: bool,
}

/// Runs a command of the machines. With `--json` a failure is printed as JSON too, and is still a failure.
pub fn run(args: &Args, report: &Report) -> Result<()> {
    let (json, outcome) = match &args.command {
        Command::Images(args) => return super::images::run(args, report),
        Command::Clock(args) => return super::clock::run(args, report),
        Command::Prepare(args) => (args.json, prepare(args, report)),
        Command::Place(args) => (args.json, place(args, report)),
        Command::ProbeDisk(args) => (args.json, probe_disk(args, report)),
        Command::Verify(args) => (args.json, verify(args, report)),
        Command::Addons(args) => return kube::addons(args, report),
        Command::Approve(args) => return kube::approve(args, report),
        Command::Routes(args) => return routes::run(args, report),
        Command::Agent(args) => return agent::agent(args),
        Command::Mend(args) => return agent::mend(args, report),
        Command::Form(args) => return agent::form(args, report),
        Command::Formed(args) => return agent::formed(args),
        Command::Status(args) => return agent::status(args, report),
    };
    match outcome {
        Ok((line, text)) if json => {
            report.note(&text);
            report.data(&format!("{line}\n"));
            Ok(())
        }
        Ok((_, text)) => {
            report.data(&format!("{text}\n"));
            Ok(())
        }
        Err(error) => {
            if json {
                report.data(&format!("{}\n", serde_json::json!({ "error": error.to_string() })));
            }
            Err(error)
        }
    }
}

/// What a command tells: as JSON, and in words.
type Outcome = Result<(serde_json::Value, String)>;

fn verify(args: &VerifyArgs, report: &Report) -> Outcome {
    let progress: &dyn Progress = if args.json { &Silent } else { report };
    progress.step(&format!("checking the medium at {}", args.media.display()));
    let manifest = Manifest::load(&args.media)?;
    let done = node::verify::verify(&args.media, &manifest, progress)?;
    let json = serde_json::json!({
        "node": null,
        "files": done.files,
        "bytes": done.bytes,
        "cluster": manifest.cluster.to_string(),
        "profile": manifest.role.as_str(),
        "label": manifest.label.as_str(),
        "build_id": manifest.build_id,
    });
    let text = format!("{}: all {} files are as they were made", manifest.label, done.files);
    Ok((json, text))
}

fn prepare(args: &PrepareArgs, report: &Report) -> Outcome {
    let progress: &dyn Progress = if args.json { &Silent } else { report };
    let options = node::prepare::Options {
        media: &args.media,
        out: &args.out,
        root: Path::new("/"),
        node: args.node.as_deref(),
        check_medium: !args.skip_verify,
        preflight: (!args.skip_preflight).then_some(&node::preflight::Installer),
    };
    let done = node::prepare::prepare(&options, progress)?;
    let json = serde_json::json!({
        "node": done.node.name,
        "files": done.files,
        "bytes": done.bytes,
        "verified": done.verified.is_some(),
        "findings": done.findings,
        "disk": done.disk.name,
        "cluster": done.node.cluster,
        "profile": done.node.profile,
        "label": done.node.label,
        "build_id": done.node.build_id,
    });
    let mut text = format!("this machine is {}; it will be installed to {}", done.node.name, done.disk.name);
    if !done.findings.is_empty() {
        text = format!("{}{text}", node::preflight::lines(&done.findings));
    }
    Ok((json, text))
}

fn probe_disk(args: &ProbeDiskArgs, report: &Report) -> Outcome {
    let manifest = Manifest::load(&args.media)?;
    let progress: &dyn Progress = if args.json { &Silent } else { report };
    progress.step(&format!("measuring the disk of {}", args.dir.display()));
    let measured = node::probe_disk::measure(&args.dir, Duration::from_secs(args.seconds))?;
    let json = serde_json::to_value(&measured)
        .map_err(|error| Error::internal("writing what was measured").because(error))?;
    if let Some(out) = &args.out {
        std::fs::write(out, format!("{json}\n")).at("writing", out)?;
    }
    let warning = node::probe_disk::judge(&manifest, &measured)?;
    Ok((json, warning.unwrap_or_else(|| measured.text())))
}

fn place(args: &PlaceArgs, report: &Report) -> Outcome {
    let progress: &dyn Progress = if args.json { &Silent } else { report };
    let PlaceArgs { media, prepared, root, .. } = args;
    let options = node::place::Options { media, prepared, target: root, root: Path::new("/") };
    let done = node::place::place(&options, progress)?;
    let json = serde_json::json!({ "node": done.node.name, "members": done.members, "bytes": done.bytes });
    let text = format!("{} has its {} files, folders and links", done.node.name, done.members);
    Ok((json, text))
}
