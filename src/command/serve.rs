//! `kiln serve`: the ports, the threads and the log; what is served lies in [`crate::serve`].

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::unistd::{Gid, Uid, setgid, setgroups, setuid};

use crate::error::{Error, IoContext, Result};
use crate::progress::Progress;
use crate::report::Report;
use crate::serve::dhcp::answer::{Loaders, Mode, Site};
use crate::serve::neighbour::Kernel;
use crate::serve::tree::Tree;
use crate::serve::{Options, Service, dhcp, http, sockets, tftp};

/// Arguments of `kiln serve`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kiln serve /srv/kiln/prod-master --interface eth1
  kiln serve /srv/kiln/prod-master --interface eth1 --dhcp own
  kiln serve /srv/kiln/prod-worker --interface eth1 --any
  kiln serve /srv/kiln/prod-master --interface eth1 --again k8s-master2

It runs until it is ended. The page at the tree's address shows the machines;
/status.json and /metrics say the same to programs.")]
pub struct Args {
    /// Folder that `kiln build --format pxe` made
    #[arg(value_name = "TREE")]
    pub tree: PathBuf,
    /// Interface that the machines are behind
    #[arg(long, value_name = "NAME")]
    pub interface: String,
    /// What to be for DHCP
    #[arg(long, value_enum, value_name = "MODE", default_value_t = Mode::Proxy)]
    pub dhcp: Mode,
    /// Let in machines that the tree does not name; pools of workers need it
    #[arg(long)]
    pub any: bool,
    /// Let a node be installed once more, and have its secrets again
    #[arg(long, value_name = "NODE")]
    pub again: Vec<String>,
    /// File that remembers who is installed; TREE.state beside the tree if not given
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
    /// Port of TFTP; 0 for none
    #[arg(long, value_name = "PORT", default_value_t = 69)]
    pub tftp_port: u16,
}

/// Serves until the process is ended.
pub fn run(args: &Args, report: &Report) -> Result<()> {
    let tree = Tree::open(&args.tree)?;
    let url = tree.list.url.clone();
    let own = sockets::addresses(&args.interface)?;
    if !own.contains(&url.address()) {
        let list = own.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let text = format!("the tree is for {url}, and {} has the addresses {list}", args.interface);
        return Err(Error::input(text).hint(
            "build it with --url of an address of that interface, or give the interface that address",
        ));
    }
    if args.dhcp == Mode::Own && !tree.list.subnet.contains(&url.address()) {
        let text = format!("{} is not in the nodes' network {}", url.address(), tree.list.subnet);
        return Err(
            Error::input(text).hint("with --dhcp own this machine needs an address in the nodes' network")
        );
    }
    let listener = sockets::http(url.address(), url.port())?;
    let by_tftp = (args.tftp_port != 0).then(|| sockets::tftp(url.address(), args.tftp_port)).transpose()?;
    let by_dhcp = (args.dhcp != Mode::Off).then(|| sockets::dhcp(&args.interface)).transpose()?;
    drop_root(&args.tree, report)?;
    let site = site(&tree, args);
    let options = Options {
        state: args.state.clone().unwrap_or_else(|| beside(&args.tree)),
        any: args.any,
        again: args.again.clone(),
        neighbours: Box::new(Kernel::new(&args.interface)),
        log: Box::new(|_: &str| {}),
    };
    let (lines, from) = std::sync::mpsc::sync_channel::<String>(1024);
    // A log that cannot be written as fast as a flood asks for it loses lines; the servers do not wait.
    let log = Box::new(move |line: &str| drop(lines.try_send(line.to_owned())));
    let service = Arc::new(Service::new(tree, Options { log, ..options })?);
    tell(&service, &site, args, report);
    let mut threads = Vec::new();
    let shared = Arc::clone(&service);
    threads.push(std::thread::spawn(move || http::server::run(&shared, &listener)));
    if let Some(socket) = by_tftp {
        let shared = Arc::clone(&service);
        threads.push(std::thread::spawn(move || tftp::server::run(&shared, &socket)));
    }
    if let Some(socket) = by_dhcp {
        let shared = Arc::clone(&service);
        threads.push(std::thread::spawn(move || dhcp::server::run(&shared, &socket, &site)));
    }
    from.iter().for_each(|line| report.note(&line));
    Ok(())
}

/// `TREE.state` beside a tree.
fn beside(tree: &Path) -> PathBuf {
    let mut name = tree.components().as_path().as_os_str().to_owned();
    name.push(".state");
    name.into()
}

fn site(tree: &Tree, args: &Args) -> Site {
    let list = &tree.list;
    Site {
        mode: args.dhcp,
        server: list.url.address(),
        subnet: list.subnet,
        gateway: list.gateway,
        dns: list.dns.clone(),
        loaders: Loaders {
            // Without it firmware that asks for it has nothing to boot; iPXE and HTTP Boot still do.
            tftp: args.tftp_port != 0,
            bios: list.loaders.bios.clone(),
            uefi: list.loaders.uefi.clone(),
            uefi_http: list.loaders.uefi_http.clone(),
            url: list.url.to_string(),
            ipxe: list.loaders.ipxe.clone(),
        },
    }
}

/// With the ports open root is needed no more: the process becomes the owner of the tree.
fn drop_root(tree: &Path, report: &Report) -> Result<()> {
    if !Uid::effective().is_root() {
        return Ok(());
    }
    let owner = std::fs::metadata(tree).at("looking at", tree)?;
    if owner.uid() == 0 {
        report.warn(&format!(
            "{} belongs to root, so the server keeps running as root; give it to a user of its own: chown -R USER {}",
            tree.display(),
            tree.display()
        ));
        return Ok(());
    }
    let (user, group) = (Uid::from_raw(owner.uid()), Gid::from_raw(owner.gid()));
    let done = setgroups(&[group]).and_then(|()| setgid(group)).and_then(|()| setuid(user));
    done.map_err(|error| Error::internal("giving up root failed").because(error))
}

fn tell(service: &Service, site: &Site, args: &Args, report: &Report) {
    let list = &service.tree.list;
    report.note(&format!(
        "serving {} ({}, {} machines) at {}",
        list.label,
        list.profile,
        list.machines.len(),
        list.url
    ));
    let dhcp = match args.dhcp {
        Mode::Proxy => "offers boot files beside the site's DHCP server",
        Mode::Own => "gives the nodes their addresses and boot files",
        Mode::Off => "is off; the site's own server must name the boot files",
    };
    report.note(&format!("      DHCP on {} {dhcp}", args.interface));
    for (what, file) in [("BIOS", &site.loaders.bios), ("UEFI", &site.loaders.uefi)] {
        if file.is_none() {
            report.warn(&format!(
                "the tree has no boot loader for {what}; machines need iPXE there (docs/pxe.md)"
            ));
        }
    }
    if args.dhcp == Mode::Proxy && site.loaders.uefi.is_some() {
        report.note(&format!(
            "      if UEFI machines stop at GRUB's prompt, the site's DHCP server has to give {} as next-server (docs/pxe.md)",
            site.server
        ));
    }
    if site.loaders.uefi.is_some() && site.loaders.uefi_http.is_none() {
        report.note(
            "      UEFI HTTP Boot is not offered: GRUB of this tree cannot fetch by HTTP (docs/pxe.md)",
        );
    }
}
