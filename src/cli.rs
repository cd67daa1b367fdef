//! The command line: clap types only. What a command does lies in [`crate::command`], one file each.

use clap::{Parser, Subcommand};

use crate::command;
use crate::report::Color;

/// Bakes the machines of a highly available Kubernetes cluster into install media.
#[derive(Debug, Parser)]
#[command(name = "kiln", version, arg_required_else_help = true, max_term_width = 80)]
pub struct Cli {
    /// When to use colour
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub color: Color,
    /// Say nothing but warnings and errors
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// All commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a commented sample of cluster.toml
    Init(command::init::Args),
    /// Read a medium back: boot records, label, menus, payload, manifest
    Inspect(command::inspect::Args),
    /// Check cluster.toml: all that is wrong with it, at once
    Check(command::check::Args),
    /// Show what the nodes of a profile get: files, units, packages, certificates
    Plan(command::plan::Args),
    /// Print the JSON Schema of cluster.toml, for editors
    Schema(command::schema::Args),
    /// Bring what nodes run, and pin it in kiln.lock
    Fetch(command::fetch::Args),
    /// Carry what a build needs to where there is no network
    Bundle(command::bundle::Args),
    /// Make container images for the nodes
    Image(command::image::Args),
    /// Make, renew and show the certificates in pki/
    Pki(command::pki::Args),
    /// Make the keys that media are signed with
    Key(command::key::Args),
    /// Run on a machine: check the medium, prepare and place what the node gets
    Node(command::node::Args),
    /// Build the install medium of one role
    Build(command::build::Args),
    /// Give a PXE tree out by DHCP, TFTP and HTTP, and show how far its machines are
    Serve(command::serve::Args),
    /// Boot a medium in QEMU and judge it
    Boot(Box<command::boot::Args>),
    /// Verify the signature of a medium, and that it is whole
    Verify(command::verify::Args),
    /// Show how the running cluster is: nodes, workloads, requests, what ends
    Watch(command::watch::Args),
    /// Print what is generated from the program itself: man pages, completions, schema
    #[command(hide = true)]
    Docs(command::docs::Args),
}
