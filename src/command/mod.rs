//! One file a command: `Args` (clap) and `run`. Commands are where side effects live; they call the library and report.

pub mod adopt;
pub mod agent;
pub mod boot;
pub mod build;
pub mod bundle;
pub mod check;
pub mod clock;
pub mod docs;
pub mod fetch;
pub mod image;
pub mod images;
pub mod init;
pub mod inspect;
pub mod install;
pub mod key;
pub mod kube;
pub mod node;
pub mod pki;
pub mod plan;
pub mod routes;
pub mod schema;
pub mod serve;
pub mod verify;
pub mod watch;

use std::path::PathBuf;

use crate::cli::Command;
use crate::cluster::{self, Loaded};
use crate::error::Result;
use crate::report::Report;

/// Which cluster file a command works on.
#[derive(Debug, clap::Args)]
pub struct ClusterArg {
    /// The cluster file
    #[arg(short = 'C', long = "cluster", value_name = "FILE", default_value = "cluster.toml")]
    pub cluster: PathBuf,
}

impl ClusterArg {
    /// Reads and checks the file; its warnings are shown.
    pub fn load(&self, report: &Report) -> Result<Loaded> {
        let loaded = cluster::load(&self.cluster)?;
        loaded.warnings.iter().for_each(|warning| report.diagnostic(warning));
        Ok(loaded)
    }
}

/// Runs a command.
pub fn run(command: &Command, report: &Report) -> Result<()> {
    match command {
        Command::Check(args) => check::run(args, report),
        Command::Build(args) => build::run(args, report),
        Command::Boot(args) => boot::run(args, report),
        Command::Bundle(args) => bundle::run(args, report),
        Command::Docs(args) => docs::run(args, report),
        Command::Fetch(args) => fetch::run(args, report),
        Command::Image(args) => image::run(args, report),
        Command::Init(args) => init::run(args, report),
        Command::Inspect(args) => inspect::run(args, report),
        Command::Key(args) => key::run(args, report),
        Command::Node(args) => node::run(args, report),
        Command::Pki(args) => pki::run(args, report),
        Command::Plan(args) => plan::run(args, report),
        Command::Schema(args) => schema::run(args, report),
        Command::Serve(args) => serve::run(args, report),
        Command::Verify(args) => verify::run(args, report),
        Command::Watch(args) => watch::run(args, report),
    }
}
