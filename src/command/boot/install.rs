//! `kiln boot --install`: one machine through an install and the boots that follow.

use std::path::Path;
use std::time::Duration;

use crate::boot::disk::{Disk, Format};
use crate::boot::hardware::{Hardware, Nic, Rtc};
use crate::boot::install::phase::{Cut, CutFrom, Phase, duration};
use crate::boot::install::{Alone, Down, InstallOutcome, InstallSpec, Usual, install, report as results};
use crate::boot::junit::{self, Case};
use crate::boot::{Failure, Order};
use crate::error::{Class, Error, IoContext, Result};
use crate::image::disk;
use crate::progress::Progress;
use crate::report::Report;

/// What is expected of the installer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Expect {
    /// It resets the machine, which then boots from its disk.
    Installed,
    /// It prints the texts of --until and powers the machine off.
    Refused,
}

/// Arguments of an install.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Install")]
pub struct InstallArgs {
    /// Install the machine: the medium runs, resets the machine, which then boots from its disk to a login prompt
    #[arg(long, conflicts_with = "scenario")]
    pub install: bool,
    /// A disk: SIZE like 20G, then any of bus=virtio|sata|nvme|scsi|usb, serial=, wwn=, sector=4096, file= (used if it is
    /// there, made if not, kept), format=raw|qcow2, ro, unchanged (no byte of it may change)
    #[arg(long, value_name = "SIZE[,KEY=VALUE]", requires = "install")]
    pub disk: Vec<Disk>,
    /// What is expected of the installer
    #[arg(long, value_enum, default_value = "installed", requires = "install")]
    pub expect: Expect,
    /// Text that must be printed: by each boot from the disk in place of a login prompt, or by the refusal
    #[arg(long, value_name = "TEXT", requires = "install")]
    pub until: Vec<String>,
    /// Boots from the disk, with a power-down after each
    #[arg(long, value_name = "N", default_value_t = 1, requires = "install")]
    pub boots: u32,
    /// What the firmware tries first where the medium is plugged in
    #[arg(long, value_enum, default_value = "medium", requires = "install")]
    pub boot_order: Order,
    /// Leave the medium plugged in after the install
    #[arg(long, requires = "install")]
    pub medium_stays: bool,
    /// Cut the power so many seconds after the kernel's first line, then start again with the medium
    #[arg(long, value_name = "SECONDS", value_parser = duration, requires = "install")]
    pub power_cut: Vec<Duration>,
    /// Cut the power at a step of the installer; STEP is how its name begins
    #[arg(long, value_name = "STEP+SECONDS", requires = "install")]
    pub power_cut_at: Vec<Cut>,
    /// How long a machine that is up is left running before its picture is taken and it goes down
    #[arg(long, value_name = "SECONDS", value_parser = duration, requires = "install")]
    pub settle: Option<Duration>,
    /// Its SMBIOS asset tag
    #[arg(long, value_name = "TAG", requires = "install")]
    pub asset: Option<String>,
    /// Its clock at power-on, in UTC: 2020-01-01T00:00:00
    #[arg(long, value_name = "TIME", requires = "install")]
    pub rtc: Option<Rtc>,
}

/// Installs the machine.
pub fn run(args: &super::Args, medium: &Path, work: &Path, report: &Report) -> Result<()> {
    let spec = spec(args, medium, work);
    let outcome = install(&spec, &Alone, report)?;
    tell(args, spec, outcome, report)
}

fn tell(args: &super::Args, spec: InstallSpec, outcome: InstallOutcome, report: &Report) -> Result<()> {
    if args.json {
        report.data(&format!("{:#}\n", results::json(&spec, &outcome)));
    } else {
        print(&spec, &outcome, report);
    }
    finish(args, &[(spec, outcome)], report)
}

/// Starts a machine from a copy of a disk image: the first boot makes it a node and resets it, then it comes up as that. With
/// `--expect refused` it comes up as it is.
pub fn disk(args: &super::Args, image: &Path, work: &Path, report: &Report) -> Result<()> {
    let form = disk::form(image).unwrap_or(disk::Form::Raw);
    let format = if form == disk::Form::Raw { Format::Raw } else { Format::Qcow2 };
    let copy = work.with_extension("disk");
    report.step(&format!("copying {}", image.display()));
    disk::copy(image, &copy)?;
    let mut spec = spec(args, image, work);
    spec.medium = None;
    let bus = args.install.disk.first().map_or_else(Default::default, |disk| disk.bus);
    spec.disks.insert(0, Disk { file: Some(copy.clone()), format: Some(format), bus, ..Disk::default() });
    let boots = (1..=args.install.boots).map(|number| Phase::boot(number, args.install.until.clone()));
    let first = Phase { medium: false, name: "first-boot".to_owned(), ..Phase::install() };
    let refused = args.install.expect == Expect::Refused;
    spec.phases = (!refused).then_some(first).into_iter().chain(boots).collect();
    let outcome = install(&spec, &Alone, report);
    if !args.keep {
        // The next run sweeps what could not be removed.
        let _ = std::fs::remove_file(&copy);
    }
    tell(args, spec, outcome?, report)
}

fn spec(args: &super::Args, medium: &Path, work: &Path) -> InstallSpec {
    let mut hardware = Hardware::new(args.firmware);
    hardware.memory = args.memory;
    hardware.cpus = args.cpus;
    hardware.cpu.clone_from(&args.cpu);
    hardware.nics = args.mac.iter().map(|&mac| Nic::new(mac)).collect();
    hardware.serial.clone_from(&args.serial);
    hardware.uuid.clone_from(&args.uuid);
    hardware.asset.clone_from(&args.install.asset);
    hardware.rtc.clone_from(&args.install.rtc);
    let name = medium.file_stem().unwrap_or(medium.as_os_str()).to_string_lossy();
    let mut spec = InstallSpec::new(name, hardware, work);
    spec.medium = Some(medium.to_owned());
    spec.attach = args.attach(medium);
    spec.hardware.wire(spec.attach, args.network_boot);
    spec.disks.clone_from(&args.install.disk);
    let kernel = args.install.power_cut.iter().map(|&after| Cut { from: CutFrom::Kernel, after });
    spec.phases = Usual {
        refused: args.install.expect == Expect::Refused,
        until: args.install.until.clone(),
        boots: args.install.boots,
        medium_stays: args.install.medium_stays,
        order: args.install.boot_order,
        cuts: kernel.chain(args.install.power_cut_at.iter().cloned()).collect(),
        settle: args.install.settle,
        stay: false,
    }
    .phases();
    complete(args, &mut spec);
    spec.log.clone_from(&args.log);
    spec.screenshot.clone_from(&args.screenshot);
    spec
}

/// What the command line says about any machine.
pub fn complete(args: &super::Args, spec: &mut InstallSpec) {
    spec.accel = args.accel;
    spec.qemu.clone_from(&args.qemu);
    spec.keep = args.keep;
    args.limit(&mut spec.limits);
}

/// A line a phase, and one for each stage or step of it.
pub fn print(spec: &InstallSpec, outcome: &InstallOutcome, report: &Report) {
    for phase in &outcome.phases {
        let verdict = if phase.failure.is_none() { "pass" } else { "fail" };
        let ending = serde_json::to_value(phase.ending).ok();
        let ending = ending.as_ref().and_then(serde_json::Value::as_str).unwrap_or("given up").to_owned();
        let down = if phase.down == Some(Down::Killed) { ", killed" } else { "" };
        report.data(&format!(
            "{verdict}: {} {}: {ending}{down}, {:.1} s ({})\n",
            spec.name,
            phase.name,
            phase.seconds,
            phase
                .stages
                .iter()
                .map(|time| format!("{} {:.1}", time.stage.as_str(), time.seconds))
                .collect::<Vec<_>>()
                .join(", ")
        ));
        for step in &phase.steps {
            report.data(&format!("  {:8.1} s  {}\n", step.seconds, step.step));
        }
    }
    for disk in &outcome.disks {
        let verdict = if disk.failure().is_none() { "pass" } else { "fail" };
        report.data(&format!("{verdict}: {} unchanged: {}\n", spec.name, disk.path.display()));
    }
}

/// Writes the JUnit report, shows the failures, and fails with the first.
pub fn finish(args: &super::Args, runs: &[(InstallSpec, InstallOutcome)], report: &Report) -> Result<()> {
    if let Some(file) = &args.junit {
        let cases: Vec<Case> =
            runs.iter().flat_map(|(spec, outcome)| results::cases(spec, outcome)).collect();
        std::fs::write(file, junit::suite("kiln boot", &cases)).at("writing", file)?;
    }
    let mut failed: Vec<(&str, Failure)> = Vec::new();
    for (spec, outcome) in runs {
        let Some(failure) = outcome.failure() else { continue };
        if let Some(phase) = outcome.phases.iter().find(|phase| phase.failure.is_some()) {
            report.note(&format!("{} {}:", spec.name, phase.name));
            super::show(&phase.last_lines, report);
        }
        failed.push((&spec.name, failure));
    }
    let Some((name, first)) = failed.first() else { return Ok(()) };
    let others = match failed.len() {
        1 => String::new(),
        count => format!(" ({} other machines failed too)", count - 1),
    };
    let message = format!("the boot of {name} failed: {}{others}", first.message);
    let error = Error::new(Class::Failed, message);
    Err(if args.log.is_some() { error } else { error.hint(super::again()) })
}
