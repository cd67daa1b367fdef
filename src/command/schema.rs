//! `kiln schema`: prints the JSON Schema of `cluster.toml`.

use crate::cluster;
use crate::error::{Error, Result};
use crate::report::Report;

/// Arguments of `kiln schema`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kiln schema > cluster.schema.json   # then, as first line of cluster.toml:
  #:schema ./cluster.schema.json")]
pub struct Args {}

/// Prints the schema (draft 2020-12).
pub fn run(_args: &Args, report: &Report) -> Result<()> {
    let text = serde_json::to_string_pretty(&cluster::schema())
        .map_err(|error| Error::internal("writing the schema as JSON").because(error))?;
    report.data(&format!("{text}\n"));
    Ok(())
}
