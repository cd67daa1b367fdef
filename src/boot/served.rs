//! A network that leads nowhere, with `kiln serve` on it: what a machine that boots from a PXE tree is wired to.
//!
//! The process moves into a network namespace of its own (network_namespaces(7)), in a user namespace where it is not root
//! (user_namespaces(7)): no root is needed, and nothing outside is touched or heard. There a bridge has the tree's address, and a tap device
//! is the machine's wire. Needs `ip` and /dev/net/tun.

use std::fs::File;
use std::net::{SocketAddrV4, TcpStream};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getgid, getuid};

use crate::error::{Error, IoContext, Result};
use crate::image::pxe::list::TreeList;

/// The machine's wire.
pub const TAP: &str = "tap0";
/// What the tap is on.
const BRIDGE: &str = "br0";
/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// Lines of the server's log that a failure shows.
const SHOWN: usize = 5;

/// How the server speaks to a machine that boots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Way {
    /// Loaders come by TFTP, or by HTTP where the firmware is iPXE
    #[default]
    Tftp,
    /// Loaders come by HTTP: UEFI HTTP Boot
    Http,
}

/// A server on its network. Ends with this value; so does its state.
#[derive(Debug)]
pub struct Served {
    process: Child,
    dir: PathBuf,
    keep: bool,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if !self.keep {
            // The next run's sweep removes what is left.
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}

/// Whether a medium is a tree.
pub fn is_tree(medium: &Path) -> bool {
    medium.is_dir()
}

/// Refuses a tree of another user: the server takes its rights from the tree's owner, whom a user namespace does not know.
pub fn check_owner(tree: &Path) -> Result<()> {
    let owner = std::fs::metadata(tree).at("looking at", tree)?.uid();
    if getuid().is_root() || owner == getuid().as_raw() {
        return Ok(());
    }
    Err(Error::input(format!("{} belongs to another user", tree.display()))
        .hint("copy it, or boot it as its owner or as root"))
}

/// Moves this process into a network of its own, with a bridge that has the address of the tree. The process must have one thread.
pub fn isolate(list: &TreeList) -> Result<()> {
    let (user, group) = (getuid(), getgid());
    let root = user.is_root();
    let spaces =
        if root { CloneFlags::CLONE_NEWNET } else { CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWUSER };
    unshare(spaces).map_err(|error| {
        Error::tool("a network namespace cannot be made")
            .because(error)
            .hint("let users make namespaces (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone), or be root")
    })?;
    if !root {
        let maps = [
            ("setgroups", "deny".to_owned()),
            ("uid_map", format!("0 {user} 1")),
            ("gid_map", format!("0 {group} 1")),
        ];
        for (name, text) in maps {
            let path = Path::new("/proc/self").join(name);
            std::fs::write(&path, text).at("writing", &path)?;
        }
    }
    let address = format!("{}/{}", list.url.address(), list.subnet.prefix_len());
    ip("link set lo up")?;
    ip(&format!("link add {BRIDGE} type bridge stp_state 0 forward_delay 0"))?;
    ip(&format!("addr add {address} dev {BRIDGE}"))?;
    ip(&format!("tuntap add {TAP} mode tap"))?;
    ip(&format!("link set {TAP} master {BRIDGE} up"))?;
    ip(&format!("link set {BRIDGE} up"))
}

fn ip(words: &str) -> Result<()> {
    let output = Command::new("ip").args(words.split(' ')).stdin(Stdio::null()).output();
    let output = output.map_err(|error| {
        Error::tool("cannot start `ip`").because(error).hint("install iproute2 (Debian) or iproute (EL)")
    })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Error::tool(format!("`ip {words}` failed: {}", said.trim()))
        .hint("a bridge and a tap device are needed: the kernel's modules bridge and tun, and /dev/net/tun open to you"))
}

/// Starts `kiln serve` on this process's own network. `dir` is made for its state and log.
pub fn serve(tree: &Path, list: &TreeList, way: Way, (dir, keep): (&Path, bool)) -> Result<Served> {
    std::fs::DirBuilder::new().mode(0o700).create(dir).at("making the folder", dir)?;
    if getuid().is_root() {
        // As root the server becomes the owner of the tree, and its state must be that user's.
        let owner = std::fs::metadata(tree).at("looking at", tree)?;
        std::os::unix::fs::chown(dir, Some(owner.uid()), None).at("changing the owner of", dir)?;
    }
    let program = std::env::current_exe().at("finding", Path::new("this program"))?;
    let log = dir.join("serve.log");
    let output = File::create(&log).at("writing", &log)?;
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(&program).arg("serve").arg(tree);
    command.args(["--interface", BRIDGE, "--dhcp", "own", "--state"]).arg(dir.join("state"));
    if way == Way::Http {
        command.args(["--tftp-port", "0"]);
    }
    let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(output).spawn();
    let process = process
        .map_err(|error| Error::tool("cannot start `setpriv`").because(error).hint("install util-linux"))?;
    let mut served = Served { process, dir: dir.to_owned(), keep };
    served.answers(SocketAddrV4::new(list.url.address(), list.url.port()))?;
    Ok(served)
}

impl Served {
    /// What the server has said so far.
    pub fn log(&self) -> PathBuf {
        self.dir.join("serve.log")
    }

    fn answers(&mut self, at: SocketAddrV4) -> Result<()> {
        let begun = Instant::now();
        while TcpStream::connect_timeout(&at.into(), Duration::from_secs(1)).is_err() {
            let ended = self.process.try_wait().at("waiting for", Path::new("kiln serve"))?;
            if ended.is_some() || begun.elapsed() > PATIENCE {
                let log = std::fs::read_to_string(self.log()).unwrap_or_default();
                let lines: Vec<&str> = log.lines().collect();
                let last = lines[lines.len().saturating_sub(SHOWN)..].join("\n");
                return Err(Error::input(format!("`kiln serve` does not answer at {at}:\n{last}")));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}
