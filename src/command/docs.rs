//! `kiln docs`: writes what is generated from the program itself. The checked-in copies are compared with it by a test.

use std::path::PathBuf;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::cluster;
use crate::error::{Error, IoContext, Result};
use crate::report::Report;

/// Arguments of `kiln docs`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder to write to; made if it is missing
    pub dir: PathBuf,
}

/// Writes man pages (roff), shell completions and all else that is generated.
pub fn run(args: &Args, report: &Report) -> Result<()> {
    let man = args.dir.join("man");
    let completions = args.dir.join("completions");
    for dir in [&man, &completions] {
        std::fs::create_dir_all(dir).at("making the folder", dir)?;
    }
    clap_mangen::generate_to(Cli::command(), &man).at("writing man pages to", &man)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut Cli::command(), "kiln", &completions)
            .at("writing completions to", &completions)?;
    }
    let schema = serde_json::to_string_pretty(&cluster::schema())
        .map_err(|error| Error::internal("printing the JSON Schema").because(error))?;
    for (name, text) in [("cluster.schema.json", schema + "\n"), ("cluster.toml", cluster::SAMPLE.to_owned())]
    {
        let path = args.dir.join(name);
        std::fs::write(&path, text).at("writing", &path)?;
    }
    report.note(&format!("wrote {}", args.dir.display()));
    Ok(())
}
