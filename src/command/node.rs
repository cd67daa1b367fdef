//! `kiln node`: what runs on the machines. The installer's scripts call it; people rarely do.

use crate::command::{adopt, agent, install, kube, routes};
use crate::error::Result;
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
    Prepare(install::PrepareArgs),
    /// Start the system that this medium has installed already; run by the installer
    #[command(
        name = "boot-disk",
        after_help = "Examples:
  kiln node boot-disk --media /run/install/repo --prepared /tmp/kiln"
    )]
    BootDisk(install::BootDiskArgs),
    /// Mark the disks of the node as parted; run by the installer
    #[command(after_help = "Examples:
  kiln node bind --prepared /tmp/kiln")]
    Bind(install::ClaimArgs),
    /// Lay down what this node gets in the new system; run by the installer
    Place(install::PlaceArgs),
    /// Measure how long the new disk of an etcd member takes to make a write last; run by the installer
    ProbeDisk(install::ProbeDiskArgs),
    /// Mark the node as complete on its disks; run by the installer
    #[command(after_help = "Examples:
  kiln node finish --prepared /tmp/kiln")]
    Finish(install::ClaimArgs),
    /// Let the boot loader start the finished system; run in it by the installer
    #[command(after_help = "Examples:
  kiln node release")]
    Release,
    /// Say that the installation was cut short, or make its last step; a unit of machines that were not finished
    #[command(after_help = "Examples:
  kiln node unfinished")]
    Unfinished,
    /// Make a machine that started from a disk image the node that it is; a unit of disk images
    #[command(after_help = "Examples:
  kiln node adopt --label KILN-PROD-WORKER-1A2B")]
    Adopt(adopt::Args),
    /// Check every file of a mounted medium against its manifest
    Verify(install::VerifyArgs),
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
    /// Wait until an API server lets a client read; run before the kubelet, kube-proxy and the scheduler
    Knock(agent::KnockArgs),
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

/// Runs a command of the machines. With `--json` a failure is printed as JSON too, and is still a failure.
pub fn run(args: &Args, report: &Report) -> Result<()> {
    let (json, outcome) = match &args.command {
        Command::Images(args) => return super::images::run(args, report),
        Command::Clock(args) => return super::clock::run(args, report),
        Command::Prepare(args) => (args.json, install::prepare(args, report)),
        Command::Place(args) => (args.json, install::place(args, report)),
        Command::ProbeDisk(args) => (args.json, install::probe_disk(args, report)),
        Command::Verify(args) => (args.json, install::verify(args, report)),
        Command::BootDisk(args) => return install::boot_disk(args, report),
        Command::Bind(args) => return install::bind(args, report),
        Command::Adopt(args) => return adopt::run_adopt(args, report),
        Command::Finish(args) => return install::finish(args, report),
        Command::Release => return install::release(report),
        Command::Unfinished => return install::unfinished(report),
        Command::Addons(args) => return kube::addons(args, report),
        Command::Approve(args) => return kube::approve(args, report),
        Command::Routes(args) => return routes::run(args, report),
        Command::Agent(args) => return agent::agent(args),
        Command::Mend(args) => return agent::mend(args, report),
        Command::Knock(args) => return agent::knock(args, report),
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
