//! One file a command: `Args` (clap) and `run`. Commands are where side effects live; they call the library and report.

pub mod docs;
pub mod node;

use crate::cli::Command;
use crate::error::Result;
use crate::report::Report;

/// Runs a command.
pub fn run(command: &Command, report: &Report) -> Result<()> {
    match command {
        Command::Docs(args) => docs::run(args, report),
        Command::Node(args) => node::run(args, report),
    }
}
