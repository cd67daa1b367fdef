//! `kiln node` in the installer: `prepare`, `bind`, `place`, `finish`, `release`, and what a machine does that was installed
//! already or only half. The edges of [`crate::node`]: the console, the reboot.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::error::{Error, IoContext, Result};
use crate::image::pxe::list::TreeUrl;
use crate::kickstart::HOLD_MINUTES;
use crate::node::boot_disk::{self, Start};
use crate::node::claim::Claim;
use crate::node::console::Console;
use crate::node::prepare::{INSTALLED, Nobody, Operator, Options, Outcome};
use crate::node::unfinished::{self, Standing};
use crate::node::{self, disk};
use crate::payload::manifest::Manifest;
use crate::progress::{Progress, Silent};
use crate::report::{Report, human_size};

/// How often a machine whose installation was cut short says so.
const AGAIN: Duration = Duration::from_secs(60);

/// How long a machine may take until it shows the stick with its seed.
const SEED_WAIT: Duration = Duration::from_secs(20);

/// Arguments of `kiln node verify`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kiln node verify --media /run/install/repo
  kiln node verify --media /mnt --json")]
pub struct VerifyArgs {
    /// Where the medium is mounted
    #[arg(long, value_name = "DIR")]
    pub media: PathBuf,
    /// Print the outcome as one line of JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `kiln node prepare`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kiln node prepare --media /run/install/repo --out /tmp/kiln
  kiln node prepare --media /mnt --out /tmp/try --node k8s-master1")]
pub struct PrepareArgs {
    /// Where the medium is mounted
    #[arg(long, value_name = "DIR")]
    pub media: PathBuf,
    /// Folder for the answers: node, network.ks, claim.json, disk.ks; `installed` if there is nothing to do
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// The node to be; otherwise kiln.node= of the kernel's command line
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
    /// Do not check the medium's files again
    #[arg(long)]
    pub skip_verify: bool,
    /// Do not look whether the machine is fit: raises no link, asks nobody, sets no clock
    #[arg(long)]
    pub skip_preflight: bool,
    /// How long somebody at the console has to answer
    #[arg(long, value_name = "SECONDS", default_value_t = u64::from(HOLD_MINUTES) * 60,
        value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub patience: u64,
    /// Only find out: ask nobody, and mark no disk as taken
    #[arg(long)]
    pub dry_run: bool,
    /// Print the outcome as one line of JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `kiln node place`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kiln node place --media /run/install/repo --prepared /tmp/kiln \\
    --root /mnt/sysimage")]
pub struct PlaceArgs {
    /// Where the medium is mounted
    #[arg(long, value_name = "DIR")]
    pub media: PathBuf,
    /// Address of the PXE tree that all but kiln and the manifest come from
    #[arg(long, value_name = "URL")]
    pub from: Option<TreeUrl>,
    /// Root of the new system
    #[arg(long, value_name = "DIR")]
    pub root: PathBuf,
    /// The answers of `kiln node prepare`
    #[arg(long, value_name = "DIR", default_value = "/tmp/kiln")]
    pub prepared: PathBuf,
    /// Print the outcome as one line of JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `kiln node probe-disk`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kiln node probe-disk --media /run/install/repo --root /mnt/sysimage \\
    --out /tmp/kiln/fsync.json
  kiln node probe-disk --media /mnt --dir /srv --seconds 10")]
pub struct ProbeDiskArgs {
    /// Where the medium is mounted
    #[arg(long, value_name = "DIR")]
    pub media: PathBuf,
    /// Folder on the file system to measure; a file is made in it and removed
    #[arg(long, value_name = "DIR", required_unless_present = "root")]
    pub dir: Option<PathBuf>,
    /// Root of the new system: its etcd's folder is measured, if the node will have one
    #[arg(long, value_name = "DIR", conflicts_with = "dir")]
    pub root: Option<PathBuf>,
    /// The answers of `kiln node prepare`
    #[arg(long, value_name = "DIR", default_value = "/tmp/kiln")]
    pub prepared: PathBuf,
    /// How long to measure
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=60))]
    pub seconds: u64,
    /// File to write the numbers to
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Print the outcome as one line of JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `kiln node bind` and `finish`.
#[derive(Debug, clap::Args)]
pub struct ClaimArgs {
    /// The answers of `kiln node prepare`
    #[arg(long, value_name = "DIR", default_value = "/tmp/kiln")]
    pub prepared: PathBuf,
}

/// Arguments of `kiln node boot-disk`.
#[derive(Debug, clap::Args)]
pub struct BootDiskArgs {
    /// Where the medium is mounted
    #[arg(long, value_name = "DIR")]
    pub media: PathBuf,
    /// The answers of `kiln node prepare`
    #[arg(long, value_name = "DIR", default_value = "/tmp/kiln")]
    pub prepared: PathBuf,
}

/// What a command tells: as JSON, and in words.
pub type Told = Result<(Value, String)>;

/// `kiln node verify`.
pub fn verify(args: &VerifyArgs, report: &Report) -> Told {
    let progress: &dyn Progress = if args.json { &Silent } else { report };
    progress.step(&format!("checking the medium at {}", args.media.display()));
    let manifest = Manifest::load(&args.media)?;
    let done = node::verify::verify(&args.media, &manifest, progress)?;
    let json = json!({
        "node": null,
        "files": done.files,
        "bytes": done.bytes,
        "cluster": manifest.cluster.to_string(),
        "profile": manifest.role.as_str(),
        "label": manifest.label.as_str(),
        "build_id": manifest.build_id,
    });
    let text = format!(
        "{}: all {} files are as they were made; build {}",
        manifest.label, done.files, manifest.build_id
    );
    Ok((json, text))
}

/// `kiln node prepare`.
pub fn prepare(args: &PrepareArgs, report: &Report) -> Told {
    let progress: &dyn Progress = if args.json { &Silent } else { report };
    let options = Options {
        media: &args.media,
        out: &args.out,
        root: Path::new("/"),
        node: args.node.as_deref(),
        seed_wait: SEED_WAIT,
        check_medium: !args.skip_verify,
        dry: args.dry_run,
        preflight: (!args.skip_preflight).then_some(&node::preflight::Installer),
    };
    let console = Console { root: Path::new("/"), patience: Duration::from_secs(args.patience) };
    let operator: &dyn Operator = if args.dry_run { &Nobody } else { &console };
    let (node, more, text) = match node::prepare::prepare(&options, operator, progress)? {
        Outcome::Installed { node, disk } => {
            let text = format!("this machine is {}, and {disk} was installed from this medium", node.name);
            (*node, json!({ "installed": disk }), text)
        }
        Outcome::Ready(done) => {
            done.notes.iter().for_each(|note| report.note(note));
            let findings = node::preflight::lines(&done.findings);
            let on =
                |disk: &disk::Disk| format!("{} ({}, {})", disk.name, human_size(disk.size), disk.known_by());
            let disks: Vec<String> =
                done.disks.all().map(|(folder, disk)| format!("{folder} on {}", on(disk))).collect();
            let text = format!(
                "{findings}this machine is {}; it will be installed: {}",
                done.node.name,
                disks.join(", ")
            );
            let verified = done.verified.is_some();
            let disk = &done.disks.system.name;
            (
                done.node,
                json!({ "files": done.files, "bytes": done.bytes, "verified": verified, "disk": disk, "findings": done.findings }),
                text,
            )
        }
    };
    let mut json = json!({
        "node": node.name,
        "cluster": node.cluster,
        "profile": node.profile,
        "label": node.label,
        "build_id": node.build_id,
    });
    if let (Some(all), Value::Object(more)) = (json.as_object_mut(), more) {
        all.extend(more);
    }
    Ok((json, text))
}

/// `kiln node place`.
pub fn place(args: &PlaceArgs, report: &Report) -> Told {
    let progress: &dyn Progress = if args.json { &Silent } else { report };
    let PlaceArgs { media, prepared, root, .. } = args;
    let options = node::place::Options {
        media,
        from: args.from.as_ref(),
        prepared,
        target: root,
        root: Path::new("/"),
    };
    let done = node::place::place(&options, progress)?;
    let json = json!({ "node": done.node.name, "members": done.members, "bytes": done.bytes });
    let text = format!("{} has its {} files, folders and links", done.node.name, done.members);
    Ok((json, text))
}

/// `kiln node probe-disk`.
pub fn probe_disk(args: &ProbeDiskArgs, report: &Report) -> Told {
    let manifest = Manifest::load(&args.media)?;
    let progress: &dyn Progress = if args.json { &Silent } else { report };
    let dir = match (&args.dir, &args.root) {
        (Some(dir), _) => dir.clone(),
        (None, root) => {
            let root = root.as_deref().unwrap_or(Path::new("/"));
            let claim = Claim::load(&args.prepared)?;
            match node::probe_disk::folder_of(&manifest, claim.node(), root) {
                Some(dir) => dir,
                None => return Ok((Value::Null, format!("{} is no etcd member", claim.node()))),
            }
        }
    };
    progress.step(&format!("measuring the disk of {}", dir.display()));
    let measured = node::probe_disk::measure(&dir, Duration::from_secs(args.seconds))?;
    let json = serde_json::to_value(&measured)
        .map_err(|error| Error::internal("writing what was measured").because(error))?;
    if let Some(out) = &args.out {
        std::fs::write(out, format!("{json}\n")).at("writing", out)?;
    }
    let warning = node::probe_disk::judge(&manifest, &measured)?;
    Ok((json, warning.unwrap_or_else(|| measured.text())))
}

/// `kiln node bind`.
pub fn bind(args: &ClaimArgs, report: &Report) -> Result<()> {
    let claim = Claim::load(&args.prepared)?;
    claim.bind(Path::new("/"))?;
    report.data(&format!("the disks of {} have their partitions\n", claim.node()));
    Ok(())
}

/// `kiln node finish`.
pub fn finish(args: &ClaimArgs, report: &Report) -> Result<()> {
    let claim = Claim::load(&args.prepared)?;
    // What the node needs is on its disks before they say that it is complete.
    rustix::fs::sync();
    claim.finish(Path::new("/"))?;
    report.data(&format!("{} is complete\n", claim.node()));
    Ok(())
}

/// `kiln node release`.
pub fn release(report: &Report) -> Result<()> {
    unfinished::release(Path::new("/"))?;
    report.data("the boot loader starts the finished system\n");
    Ok(())
}

/// `kiln node unfinished`: does not return unless the last step could be made.
pub fn unfinished(report: &Report) -> Result<()> {
    if unfinished::look(Path::new("/"))? == Standing::Complete {
        report.note("kiln: the installation is complete but for its last step, which is made now");
        unfinished::release(Path::new("/"))?;
        return reboot();
    }
    loop {
        report.note("");
        report.note("  kiln: the installation of this machine was cut short. It is no node, and its disk holds nothing of worth.");
        report.note("  Boot the install medium again: it installs the machine anew.");
        report.note("");
        std::thread::sleep(AGAIN);
    }
}

/// `kiln node boot-disk`: returns only if it failed.
pub fn boot_disk(args: &BootDiskArgs, report: &Report) -> Result<()> {
    let manifest = Manifest::load(&args.media)?;
    let path = args.prepared.join(INSTALLED);
    let name = std::fs::read_to_string(&path).at("reading", &path)?;
    let disks = disk::list(Path::new("/"), &args.media)?;
    let disk = disks.iter().find(|disk| disk.name == name.trim());
    let disk =
        disk.ok_or_else(|| Error::input(format!("there is no disk {}", name.trim().escape_debug())))?;
    match boot_disk::ready(Path::new("/"), disk, &manifest.kernel_args, &args.prepared.join("boot"))? {
        Start::BootNext(entry) => {
            report.note(&format!("the firmware boots its entry {entry:04X} next: {}", disk.name));
            reboot()
        }
        Start::Kexec => {
            report.note(&format!("starting the kernel of {}", disk.name));
            rustix::fs::sync();
            run("kexec", &["-e"])
        }
    }
}

fn reboot() -> Result<()> {
    rustix::fs::sync();
    run("reboot", &["-f"])
}

/// Runs a program that ends the system; coming back is a failure.
fn run(program: &str, args: &[&str]) -> Result<()> {
    let status = std::process::Command::new(program).args(args).status();
    let status = status.map_err(|error| Error::tool(format!("starting {program} failed")).because(error))?;
    if status.success() {
        // It was asked for, and happens in a moment.
        std::thread::sleep(AGAIN);
    }
    Err(Error::tool(format!("{program} {} ended with {status}", args.join(" "))))
}
