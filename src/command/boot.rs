//! `kiln boot`: boots a medium in QEMU and says what came of it.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::boot::{self, Accel, Attach, BootOutcome, BootSpec, Firmware};
use crate::cluster::types::{Mac, SystemUuid};
use crate::error::{Class, Error, IoContext, Result};
use crate::report::Report;

/// Arguments of `kiln boot`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kiln boot out/prod-master.iso --firmware bios --as cd
  kiln boot out/prod-master.iso --firmware secure-boot --mac 52:54:00:00:31:71

\
Exit codes: 0 the boot passed, 1 it failed, 2 wrong input, 3 QEMU or OVMF is missing, 5 reading or \
writing failed.\nThe guest must speak: only media made for a stand-in base give a verdict.")]
pub struct Args {
    /// The medium: what `kiln build` wrote
    pub medium: PathBuf,
    /// Firmware of the machine
    #[arg(long, value_enum, default_value = "uefi")]
    pub firmware: Firmware,
    /// How the medium is plugged in
    #[arg(long = "as", value_enum, default_value = "usb", value_name = "HOW")]
    pub attach: Attach,
    /// Memory of the machine
    #[arg(long, default_value_t = 1024, value_name = "MIB", value_parser = clap::value_parser!(u32).range(64..))]
    pub memory: u32,
    /// Processors of the machine
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    pub cpus: u8,
    /// Address of its network card; without one it has no card
    #[arg(long)]
    pub mac: Option<Mac>,
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
    /// Longest time for the whole boot
    #[arg(long, default_value_t = 600, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: u64,
    /// Fail unless the guest says it is this node
    #[arg(long, value_name = "NAME")]
    pub expect_node: Option<String>,
    /// Keep the serial log here
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// Write the result here as JUnit XML
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
    /// If kiln gives the boot up, keep a picture (PNG) of the screen here; gives the machine a VGA card
    #[arg(long, value_name = "FILE")]
    pub screenshot: Option<PathBuf>,
    /// Keep the folder of the run: all logs, UEFI variables
    #[arg(long)]
    pub keep: bool,
}

/// Lines of the log that are shown after a failure.
const SHOWN: usize = 20;

/// Boots the medium.
pub fn run(args: &Args, report: &Report) -> Result<()> {
    let tmp = std::env::temp_dir();
    sweep(&tmp);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let name = if args.keep { "kiln-kept-boot" } else { "kiln-boot" };
    let work = tmp.join(format!("{name}-{}-{:08x}", std::process::id(), now.subsec_nanos()));
    let spec = spec(args, &work);
    let outcome = boot::run(&spec, report);
    if args.keep {
        report.note(&format!("kept {}", work.display()));
    }
    let outcome = outcome?;
    if let Some(file) = &args.junit {
        std::fs::write(file, boot::junit::junit("kiln boot", &[(&spec, &outcome)])).at("writing", file)?;
    }
    if args.json {
        report.data(&format!("{:#}\n", boot::junit::json(&spec, &outcome)));
    } else if outcome.passed() {
        report.data(&format!("pass: {}\n", summary(&outcome)));
    }
    let Some(failure) = &outcome.failure else { return Ok(()) };
    let from = outcome.last_lines.len().saturating_sub(SHOWN);
    for line in &outcome.last_lines[from..] {
        report.note(&format!("  | {line}"));
    }
    let log = args.log.as_ref().map(|log| format!("the whole serial log is in {}", log.display()));
    Err(Error::new(Class::Failed, format!("the boot failed: {}", failure.message)).hint(
        log.unwrap_or_else(|| "run it again with `--log FILE` to keep the whole serial log".to_owned()),
    ))
}

fn spec(args: &Args, work: &Path) -> BootSpec {
    let mut spec = BootSpec::new(&args.medium, args.firmware, args.attach, work);
    spec.memory = args.memory;
    spec.cpus = args.cpus;
    spec.mac = args.mac;
    spec.serial.clone_from(&args.serial);
    spec.uuid.clone_from(&args.uuid);
    spec.accel = args.accel;
    spec.qemu.clone_from(&args.qemu);
    spec.limits.total = Duration::from_secs(args.timeout);
    spec.keep = args.keep;
    spec.log.clone_from(&args.log);
    spec.screenshot.clone_from(&args.screenshot);
    spec.expect_node.clone_from(&args.expect_node);
    spec
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
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}
