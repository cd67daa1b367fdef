//! The arguments of `kiln build`, and what of them does not go together.

use std::path::PathBuf;

use super::{pxe, seed};
use crate::cluster::Loaded;
use crate::cluster::types::{HostName, Role};
use crate::command::ClusterArg;
use crate::error::{Error, Result};

/// What a medium is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// The vendor's install ISO, with a kickstart: for machines, and whatever boots a CD or a USB stick
    Iso,
    /// A disk image for QEMU, KVM, Proxmox and OpenStack, from the vendor's cloud image
    Qcow2,
    /// The same, byte for byte, with holes
    Raw,
    /// A folder that machines install themselves from over the network
    Pxe,
    /// The seed alone: secrets for a medium that was built with --secrets seed
    Seed,
}

/// Where secrets go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Secrets {
    /// On the medium, which is then to be kept as a key is
    Medium,
    /// On a seed of their own, FILE.seed.iso; the medium has none
    Seed,
}

/// What a seed goes with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Beside {
    /// An install ISO, or a PXE tree
    Iso,
    /// A cloud image, or a disk image of kiln's
    Image,
}

/// How a qcow2 is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Compress {
    /// Read by every QEMU
    Zlib,
    /// Quicker; read by QEMU 5.1 and later
    Zstd,
}

impl Format {
    /// Ending of a file of this kind; a seed with the payload says what it goes with.
    pub(super) fn ending(self, payload: Option<Beside>) -> &'static str {
        match self {
            Format::Iso => "iso",
            Format::Qcow2 => "qcow2",
            Format::Raw => "raw",
            Format::Pxe => "pxe",
            Format::Seed => match payload {
                Some(Beside::Iso) => "oemdrv.iso",
                Some(Beside::Image) => "cidata.iso",
                None => seed::ENDING,
            },
        }
    }
}

/// Arguments of `kiln build`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kiln build --profile master
  kiln build -C prod/cluster.toml --profile worker --output /srv/worker.iso
  kiln build --profile master --reinstall k8s-master2
  kiln build --profile lb --sign ops.key
  kiln build --profile master --secrets seed
  kiln build --profile master --format seed --payload
  kiln build --profile worker --format qcow2 --size 40G
  kiln build --profile worker --format pxe --url http://10.0.0.5/")]
pub struct Args {
    /// Role to build a medium for
    #[arg(long, short, value_enum)]
    pub profile: Role,
    /// What to write
    #[arg(long, value_enum, default_value = "iso")]
    pub format: Format,
    /// Which cluster
    #[command(flatten)]
    pub cluster: ClusterArg,
    /// File or folder to write; out/CLUSTER-PROFILE.FORMAT if not given
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Where the secrets go: keys, tokens, root's password hash
    #[arg(long, value_enum, default_value = "medium")]
    pub secrets: Secrets,
    /// For --format seed: with the whole payload and what leads to it, for use beside
    /// the vendor's own ISO or image
    #[arg(long)]
    pub payload: bool,
    /// For --format seed: what it goes with
    #[arg(long, value_enum, default_value = "iso")]
    pub beside: Beside,
    /// Size of the disk of an image, 40G; the payload lies at its end, and root grows up to it [default: enough for a node]
    #[arg(long, value_name = "SIZE", value_parser = crate::boot::disk::size)]
    pub size: Option<u64>,
    /// Compress all of a qcow2; without it the vendor's part stays as it is
    #[arg(long, value_enum)]
    pub compress: Option<Compress>,
    /// Make an image for one node, whatever machine it is put into
    #[arg(long, value_name = "NODE", conflicts_with = "reinstall")]
    pub node: Option<HostName>,
    /// Build a medium for one node that may wipe that node's disks, and is for no other
    #[arg(long, value_name = "NODE")]
    pub reinstall: Option<HostName>,
    /// Statically linked kiln to put on the medium; this program if not given
    #[arg(long, value_name = "FILE")]
    pub kiln: Option<PathBuf>,
    /// Sign the medium with this secret key; OUTPUT.minisig is the signature
    #[arg(long, value_name = "KEYFILE")]
    pub sign: Option<PathBuf>,
    /// Replace an output even if kiln did not make it
    #[arg(long)]
    pub force: bool,
    /// Print the result as JSON on standard output
    #[arg(long)]
    pub json: bool,
    /// What only PXE trees need
    #[command(flatten)]
    pub pxe: pxe::Options,
}

impl Args {
    /// The one node that the medium is for, if it is not for all of the profile.
    pub(super) fn only(&self) -> Option<&HostName> {
        self.reinstall.as_ref().or(self.node.as_ref())
    }
}

/// Options that a format does not have are said, not passed over; the one node that a medium is for must be one of the role.
pub(super) fn check_node(args: &Args, loaded: &Loaded) -> Result<()> {
    check_secrets(args)?;
    let disk = matches!(args.format, Format::Qcow2 | Format::Raw);
    let seed = args.format == Format::Seed && args.beside == Beside::Image;
    let given = [
        (args.size.is_some() && !disk, "--size"),
        (args.compress.is_some() && !disk, "--compress"),
        (args.node.is_some() && !disk && !seed, "--node"),
    ];
    if let Some((_, option)) = given.iter().find(|(wrong, _)| *wrong) {
        return Err(Error::input(format!("{option} is for disk images")).hint("add --format qcow2 or raw"));
    }
    if args.format == Format::Raw && args.compress.is_some() {
        return Err(
            Error::input("a raw image is not compressed").hint("leave --compress out, or use --format qcow2")
        );
    }
    let Some(name) = args.only() else { return Ok(()) };
    match loaded.cluster.nodes.get(name) {
        Some(node) if node.role == args.profile => Ok(()),
        Some(node) => Err(Error::input(format!("{name} is of profile {}, not {}", node.role, args.profile))
            .hint(format!("kiln build --profile {} --reinstall {name}", node.role))),
        None => Err(Error::input(format!("cluster {} has no node {name}", loaded.cluster.name))
            .hint("members of a worker pool are reinstalled by typing their name at the console")),
    }
}

/// Refuses what cannot be spread over volumes as it was asked for.
fn check_secrets(args: &Args) -> Result<()> {
    let split = args.secrets == Secrets::Seed;
    match args.format {
        Format::Seed if split && args.payload => {
            Err(Error::input("a seed with the payload is one volume for all, secrets as well")
                .hint("leave --secrets out, or build an ISO with --secrets seed"))
        }
        Format::Iso | Format::Qcow2 | Format::Raw | Format::Pxe if args.payload => {
            Err(Error::input("--payload is for seeds: every other medium has it").hint("add --format seed"))
        }
        Format::Iso | Format::Qcow2 | Format::Raw | Format::Pxe if args.beside == Beside::Image => {
            Err(Error::input("--beside is for seeds").hint("add --format seed"))
        }
        _ => Ok(()),
    }
}
