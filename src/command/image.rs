//! `kiln image`: makes container images for nodes out of files, without a container engine.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::format::oci::{self, Config, Reference};
use crate::image::container::{self, Source};
use crate::progress::Progress as _;
use crate::report::{Report, human_size};
use crate::tree::{Entry, NodePath, Tree};

/// Arguments of `kiln image`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// What `kiln image` can do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Make an image of one layer for linux/amd64 from files
    Create(Create),
}

/// Arguments of `kiln image create`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kiln image create --name registry.k8s.io/pause:3.10 --file pause=/pause:0755 \\
    --entrypoint /pause --output components/images/pause.tar
  kiln image create --name tools:1 --tree rootfs --cmd /bin/sh --output t.tar")]
pub struct Create {
    /// Name of the image with its tag, as pods will say it
    #[arg(long, value_name = "NAME")]
    pub name: Reference,
    /// Archive to write
    #[arg(long, short, value_name = "FILE")]
    pub output: PathBuf,
    /// A file and where it goes: SOURCE=/PATH or SOURCE=/PATH:MODE
    #[arg(long, value_name = "SOURCE=PATH")]
    pub file: Vec<Source>,
    /// A folder whose content becomes the image's root
    #[arg(long, value_name = "FOLDER")]
    pub tree: Vec<PathBuf>,
    /// A folder to make, mode 0755, or 1777 for /tmp
    #[arg(long, value_name = "PATH")]
    pub dir: Vec<String>,
    /// Program and first arguments; repeat for each word
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    pub entrypoint: Vec<String>,
    /// Further arguments, which a pod's `args` replace; repeat for each word
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    pub cmd: Vec<String>,
    /// Variable of the environment
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    pub env: Vec<(String, String)>,
    /// Label of the image
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    pub label: Vec<(String, String)>,
    /// User and group by number: 65534:65534; root if not given
    #[arg(long)]
    pub user: Option<String>,
    /// Folder it starts in
    #[arg(long, value_name = "PATH")]
    pub workdir: Option<String>,
    /// Replace an output that is there
    #[arg(long)]
    pub force: bool,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Runs the command.
pub fn run(args: &Args, report: &Report) -> Result<()> {
    match &args.command {
        Command::Create(args) => create(args, report),
    }
}

fn create(args: &Create, report: &Report) -> Result<()> {
    let mut root = Tree::default();
    for dir in &args.dir {
        let mode = if dir == "/tmp" { 0o1777 } else { 0o755 };
        root.insert(NodePath::new(dir.as_str())?, Entry::dir(mode, "--dir"))?;
    }
    args.tree.iter().try_for_each(|folder| container::add_folder(&mut root, folder))?;
    args.file.iter().try_for_each(|source| container::add_file(&mut root, source))?;
    if root.is_empty() {
        return Err(Error::input("the image would be empty").hint("add files with --file and --tree"));
    }
    let config = Config {
        entrypoint: args.entrypoint.clone(),
        command: args.cmd.clone(),
        env: args.env.iter().cloned().collect::<BTreeMap<_, _>>(),
        labels: args.label.iter().cloned().collect(),
        user: args.user.clone(),
        working_dir: args.workdir.as_deref().map(NodePath::new).transpose()?,
    };
    report.step(&format!("making the image {}", args.name));
    let archive = oci::write(&args.name, &config, &root)?;
    let digest = container::save(&archive, &args.output, args.force, report)?;
    report.note(&format!("made {} ({}, {})", args.output.display(), args.name, human_size(archive.len())));
    report.note(&format!("     SHA-256 {digest}"));
    Ok(())
}
