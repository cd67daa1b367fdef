//! `kiln boot`: boots a medium in QEMU, or takes machines through an install, and says what came of it.

mod install;
mod scenario;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::boot::hardware::Cpu;
use crate::boot::{self, Accel, Attach, BootOutcome, BootSpec, Firmware};
use crate::cluster::types::{Mac, SystemUuid};
use crate::error::{Class, Error, IoContext, Result};
use crate::image::disk;
use crate::progress::Progress as _;
use crate::report::Report;
use crate::serve::tree::Tree;

/// Arguments of `kiln boot`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kiln boot out/prod-master.iso --firmware bios --as cd
  kiln boot out/prod-master.iso --firmware secure-boot --mac 52:54:00:00:31:71
  kiln boot out/prod-master.iso --mac 52:54:00:00:31:71 --install --disk 20G --boots 2
  kiln boot out/prod-master.iso --install --disk 20G,bus=nvme --disk file=data.img,unchanged \\
    --expect refused --until 'no disk of this machine'
  kiln boot out/prod-master.iso --install --disk 20G --power-cut-at storage+1.5
  kiln boot out/prod-master.pxe --firmware bios --memory 2048 --mac 52:54:00:00:31:71
  kiln boot --scenario cluster.toml --jobs 3 --junit boots.xml

\
Exit codes: 0 the boot passed, 1 it failed, 2 wrong input, 3 QEMU or OVMF is missing, 5 reading or \
writing failed.\nWithout --install the guest must speak: only media made for a stand-in base give a verdict.\n\
A disk image is copied first: its machine becomes a node, resets, and comes up to a login prompt.")]
pub struct Args {
    /// The medium: what `kiln build` wrote. A PXE tree is given out by `kiln serve` on a network of its own
    #[arg(required_unless_present = "scenario")]
    pub medium: Option<PathBuf>,
    /// Firmware of the machine
    #[arg(long, value_enum, default_value = "uefi")]
    pub firmware: Firmware,
    /// How the medium is plugged in
    #[arg(long = "as", value_enum, default_value = "usb", value_name = "HOW")]
    pub attach: Attach,
    /// How a PXE tree is given to the firmware
    #[arg(long, value_enum, default_value = "tftp", value_name = "HOW")]
    pub network_boot: boot::served::Way,
    /// Memory of the machine
    #[arg(long, default_value_t = 1024, value_name = "MIB", value_parser = clap::value_parser!(u32).range(64..))]
    pub memory: u32,
    /// Processors of the machine
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    pub cpus: u8,
    /// Their model, as QEMU names it: core2duo, Nehalem, or max, all that QEMU can
    #[arg(long, default_value_t, value_name = "MODEL")]
    pub cpu: Cpu,
    /// Address of its network card; without one it has no card. With --install there may be several
    #[arg(long)]
    pub mac: Vec<Mac>,
    /// Its SMBIOS serial number
    #[arg(long, value_name = "SN")]
    pub serial: Option<String>,
    /// Its SMBIOS UUID
    #[arg(long)]
    pub uuid: Option<SystemUuid>,
    /// What executes it; `auto` takes KVM where a tiny machine boots with it
    #[arg(long, value_enum, default_value = "tcg")]
    pub accel: Accel,
    /// QEMU's program; found by itself if not given
    #[arg(long, value_name = "FILE")]
    pub qemu: Option<PathBuf>,
    /// Longest time for the whole boot, or for each phase of an install [default: 600, with --install 1800]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: Option<u64>,
    /// Longest time without a line of output [default: 90 for firmware and loader, 240 from the kernel on]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub silence: Option<u64>,
    /// Fail unless the guest says it is this node
    #[arg(long, value_name = "NAME", conflicts_with = "install")]
    pub expect_node: Option<String>,
    /// Keep the serial log here; with --install FILE-1.log and so on, a log a phase
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// Write the result here as JUnit XML
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
    /// If kiln gives the boot up, keep a picture (PNG) of the screen here; with --install, FILE-1.png and so on at the end of each
    /// phase. Gives the machine a VGA card
    #[arg(long, value_name = "FILE")]
    pub screenshot: Option<PathBuf>,
    /// Keep the folder of the run: all logs, UEFI variables, disks
    #[arg(long)]
    pub keep: bool,
    #[command(flatten)]
    install: install::InstallArgs,
    #[command(flatten)]
    scenario: scenario::ScenarioArgs,
}

/// Lines of the log that are shown after a failure.
const SHOWN: usize = 20;

/// Boots the medium, or takes machines through an install.
pub fn run(args: &Args, report: &Report) -> Result<()> {
    let tmp = std::env::temp_dir();
    sweep(&tmp);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let name = if args.keep { "kiln-kept-boot" } else { "kiln-boot" };
    let work = tmp.join(format!("{name}-{}-{:08x}", std::process::id(), now.subsec_nanos()));
    let result = match &args.medium {
        Some(medium) if disk::form(medium).is_some() => install::disk(args, medium, &work, report),
        Some(medium) if boot::served::is_tree(medium) => network(args, medium, &work, report),
        Some(medium) if args.install.install => install::run(args, medium, &work, report),
        Some(medium) => single(args, medium, &work, report),
        None => scenario::run(args, &work, report),
    };
    if args.keep && work.exists() {
        report.note(&format!("kept {}", work.display()));
    }
    result
}

/// Boots from a PXE tree: `kiln serve` gives it out on a network of its own.
fn network(args: &Args, tree: &Path, work: &Path, report: &Report) -> Result<()> {
    let list = Tree::open(tree)?.list;
    let known = args.mac.first().is_some_and(|mac| list.by_mac(*mac).is_some());
    if !known {
        let names: Vec<String> = list
            .machines
            .iter()
            .map(|machine| {
                let macs: Vec<String> = machine.macs.iter().map(ToString::to_string).collect();
                format!("{} {}", machine.name, macs.join(" "))
            })
            .collect();
        return Err(Error::input("a machine that boots from the network is known by its address")
            .hint(format!("give --mac of a machine of this tree: {}", names.join(", "))));
    }
    if args.network_boot == boot::served::Way::Http && list.loaders.uefi_http.is_none() {
        return Err(Error::input(
            "GRUB of this tree cannot fetch by HTTP, so UEFI HTTP Boot would stop at its prompt",
        )
        .hint(
            "leave --network-boot out, or build the tree with a GRUB that can (--netboot-grub), at port 80",
        ));
    }
    boot::served::check_owner(tree)?;
    boot::served::isolate(&list)?;
    let dir = work.with_extension("net");
    let tree = std::path::absolute(tree).at("finding", tree)?;
    report.step(&format!("serving {} at {} on a network of its own", tree.display(), list.url));
    let served = boot::served::serve(&tree, &list, args.network_boot, (&dir, args.keep))?;
    let result = match args.install.install {
        true => install::run(args, &tree, work, report),
        false => single(args, &tree, work, report),
    };
    if result.is_err() {
        let log = std::fs::read_to_string(served.log()).unwrap_or_default();
        report.note("what the server said:");
        show(&log.lines().map(str::to_owned).collect::<Vec<_>>(), report);
    }
    result
}

fn single(args: &Args, medium: &Path, work: &Path, report: &Report) -> Result<()> {
    let spec = spec(args, medium, work)?;
    let outcome = boot::run(&spec, report)?;
    if let Some(file) = &args.junit {
        std::fs::write(file, boot::junit::junit("kiln boot", &[(&spec, &outcome)])).at("writing", file)?;
    }
    if args.json {
        report.data(&format!("{:#}\n", boot::junit::json(&spec, &outcome)));
    } else if outcome.passed() {
        report.data(&format!("pass: {}\n", summary(&outcome)));
    }
    let Some(failure) = &outcome.failure else { return Ok(()) };
    show(&outcome.last_lines, report);
    let log = args.log.as_ref().map(|log| format!("the whole serial log is in {}", log.display()));
    Err(Error::new(Class::Failed, format!("the boot failed: {}", failure.message))
        .hint(log.unwrap_or_else(again)))
}

/// The last lines that were printed.
fn show(lines: &[String], report: &Report) {
    for line in &lines[lines.len().saturating_sub(SHOWN)..] {
        report.note(&format!("  | {line}"));
    }
}

fn again() -> String {
    "run it again with `--log FILE` to keep the whole serial log".to_owned()
}

fn spec(args: &Args, medium: &Path, work: &Path) -> Result<BootSpec> {
    let mac = match &args.mac[..] {
        [] => None,
        [mac] => Some(*mac),
        _ => {
            return Err(Error::input("a boot without --install knows one network card")
                .hint("give --mac once, or add --install"));
        }
    };
    let mut spec = BootSpec::new(medium, args.firmware, args.attach(medium), work);
    spec.way = args.network_boot;
    spec.memory = args.memory;
    spec.cpus = args.cpus;
    spec.cpu.clone_from(&args.cpu);
    spec.mac = mac;
    spec.serial.clone_from(&args.serial);
    spec.uuid.clone_from(&args.uuid);
    spec.accel = args.accel;
    spec.qemu.clone_from(&args.qemu);
    args.limit(&mut spec.limits);
    spec.keep = args.keep;
    spec.log.clone_from(&args.log);
    spec.screenshot.clone_from(&args.screenshot);
    spec.expect_node.clone_from(&args.expect_node);
    Ok(spec)
}

impl Args {
    /// How the medium comes to the machine.
    fn attach(&self, medium: &Path) -> Attach {
        if boot::served::is_tree(medium) { Attach::Network } else { self.attach }
    }

    /// Sets the limits that were given.
    fn limit(&self, limits: &mut boot::Limits) {
        limits.total = self.timeout.map_or(limits.total, Duration::from_secs);
        if let Some(time) = self.silence.map(Duration::from_secs) {
            (limits.quiet_loader, limits.quiet_system) = (time, time);
        }
    }
}

fn summary(outcome: &BootOutcome) -> String {
    let stages: Vec<String> =
        outcome.stages.iter().map(|time| format!("{} {:.1}", time.stage.as_str(), time.seconds)).collect();
    let node = outcome.node().map_or("no node".to_owned(), |node| format!("node {node}"));
    format!("{node}, {:.1} s ({})", outcome.seconds, stages.join(", "))
}

/// Removes what runs that were killed left behind. Kept folders go by another name, so they stay.
fn sweep(tmp: &Path) {
    let Ok(entries) = std::fs::read_dir(tmp) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix("kiln-boot-")?.split('-').next());
        if let Some(pid) = pid.filter(|pid| !pid.is_empty() && pid.bytes().all(|b| b.is_ascii_digit()))
            && !Path::new("/proc").join(pid).exists()
        {
            // Another user's folder cannot be removed, and that is well.
            let _ = std::fs::remove_dir_all(entry.path()).or_else(|_| std::fs::remove_file(entry.path()));
        }
    }
}
