//! Boot menus of install media, rewritten for unattended use: isolinux.cfg (syslinux "SYSLINUX" and "menu.c32" documents)
//! and grub.cfg (GRUB manual, "Writing configuration files").
//!
//! The vendor's look, kernel, initrd and options are kept; the entries become: install by matching the machine (the
//! default, after a few seconds), one entry a node, the same after a check of the medium, the check alone, and what the vendor
//! offers for repair. Only the syntax that vendors use is read; anything else is an error that shows the line, never a guess.

pub mod args;
pub mod grub;
pub mod isolinux;

pub use grub::{GrubFlavor, grub};
pub use isolinux::isolinux;

pub use crate::cluster::model::SerialConsole;
use crate::cluster::types::HostName;
use crate::error::{Error, Result};
use crate::image::label::VolumeLabel;
use args::Args;

/// Longest menu file that is read. Vendors' have 2 to 5 KiB; with an entry for each of 5,000 nodes it is about 1.3 MiB.
pub const MAX_BYTES: usize = 2 << 20;
/// Most lines of a menu file.
pub const MAX_LINES: usize = 40_000;

/// What the rewritten menus are to offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MenuSpec {
    /// Label of the new medium.
    pub label: VolumeLabel,
    /// Title of the default entry: `Install prod node by matching this machine`.
    pub default_title: String,
    /// Nodes that get an entry of their own.
    pub nodes: Vec<HostName>,
    /// Seconds until the default entry starts.
    pub timeout_seconds: u16,
    /// Serial port to use, if any.
    pub serial: Option<SerialConsole>,
    /// Major release of the base: 7, 8, 9 or 10. All of them take the `inst.` options used here.
    pub el: u8,
    /// Path of the kickstart on the medium: `/ks.cfg`.
    pub ks_path: String,
}

/// An entry of the new menu.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    /// Name for loaders that need one: `kiln`, `kiln-k8s-master1`.
    id: String,
    /// What the user sees.
    title: String,
    /// Arguments besides those that all entries have.
    extra: Vec<String>,
}

impl MenuSpec {
    /// The new entries in order; the first one is the default.
    fn entries(&self) -> Vec<Wanted> {
        let wanted = |id: &str, title: &str, extra: &[&str]| Wanted {
            id: id.to_owned(),
            title: title.to_owned(),
            extra: extra.iter().map(|&extra| extra.to_owned()).collect(),
        };
        let mut all = vec![wanted("kiln", &self.default_title, &[])];
        all.extend(self.nodes.iter().map(|node| {
            let argument = format!("kiln.node={node}");
            wanted(&format!("kiln-{node}"), &format!("Install this machine as {node}"), &[&argument])
        }));
        all.push(wanted("kiln-check", "Verify this medium, then install", &["rd.live.check"]));
        let only = ["rd.live.check", "kiln.verify"];
        all.push(wanted("kiln-verify", "Verify this medium, and install nothing", &only));
        all
    }

    /// The arguments of the vendor's install entry, made unattended.
    fn kernel_args(&self, vendor: &Args, wanted: &Wanted) -> Args {
        let mut args = vendor.clone();
        args.remove(&[
            "rd.live.check",
            "inst.ks",
            "ks",
            "inst.text",
            "text",
            "inst.cmdline",
            "cmdline",
            "kiln.node",
            "kiln.verify",
        ]);
        args.relabel(&self.label);
        args.insert_after("inst.stage2", format!("inst.ks=hd:LABEL={}:{}", self.label, self.ks_path));
        // Plain lines on the console, and no question is ever asked: what the kickstart leaves open is an error.
        args.push("inst.cmdline");
        wanted.extra.iter().for_each(|extra| args.push(extra));
        self.console(&mut args);
        args
    }

    /// The arguments of a vendor entry that is kept.
    fn kept_args(&self, vendor: &Args) -> Args {
        let mut args = vendor.clone();
        args.relabel(&self.label);
        self.console(&mut args);
        args
    }

    fn console(&self, args: &mut Args) {
        if let Some(SerialConsole { port, speed }) = self.serial {
            args.remove(&["console"]);
            args.push("console=tty0");
            args.push(&format!("console=ttyS{port},{speed}n8"));
        }
    }

    fn check(&self) -> Result<()> {
        let fine = |text: &str| !text.is_empty() && !text.chars().any(char::is_control);
        let path = self.ks_path.strip_prefix('/').is_some_and(|path| {
            !path.is_empty() && path.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c))
        });
        if fine(&self.default_title) && path {
            return Ok(());
        }
        Err(Error::internal(format!(
            "the boot menu cannot hold {:?} and {:?}",
            self.default_title, self.ks_path
        )))
    }
}

/// An entry of a menu, for those who want to know what a medium offers.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Listed {
    /// What the user sees.
    pub title: String,
    /// Whether it starts when nobody chooses.
    pub default: bool,
    /// Kernel and arguments: `vmlinuz initrd=initrd.img quiet`.
    pub kernel_line: String,
}

/// What an entry of the vendor's menu is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// Starts the installer; checks the medium before if `check`.
    Install { check: bool },
    /// Anything else: rescue, memory test, local disk, back.
    Other,
}

fn purpose(args: &Args) -> Purpose {
    if !args.has(&["inst.stage2", "stage2"]) || args.has(&["inst.rescue", "rescue"]) {
        return Purpose::Other;
    }
    Purpose::Install { check: args.has(&["rd.live.check"]) }
}

/// Cuts a file into lines and refuses what is no plain text.
fn lines<'a>(file: &str, text: &'a str) -> Result<Vec<&'a str>> {
    let too_long = text.len() > MAX_BYTES || text.lines().count() > MAX_LINES;
    if too_long || text.chars().any(|c| c.is_control() && !"\n\r\t".contains(c)) {
        return Err(Error::input(format!(
            "the base's {file} is no boot menu: it is too long or not plain text"
        ))
        .hint("the base medium may be damaged; compare its checksum with the vendor's"));
    }
    Ok(text.lines().map(|line| line.trim_end_matches('\r')).collect())
}

/// An error about one line of a menu, which is shown.
fn at_line(file: &str, number: usize, line: &str, what: &str) -> Error {
    let shown: String = line.trim().chars().take(160).collect();
    Error::input(format!(
        "line {} of the base's {file} cannot be rewritten safely: {what}: {shown}",
        number + 1
    ))
    .hint("only the menus of vendors' install media are understood; use an unmodified vendor medium as base")
}

fn no_install_entry(file: &str) -> Error {
    Error::input(format!("the base's {file} has no entry that starts the installer (none with inst.stage2=)"))
        .hint("use an install medium of CentOS, Rocky Linux or AlmaLinux, not a live image")
}
