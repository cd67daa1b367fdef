//! `kiln build`: one role of a cluster into a medium. The one place where clock, PKI, lock, plan and writer meet.

mod args;
mod assemble;
mod disk;
mod iso;
mod pxe;
mod seed;
mod vendor;

use std::path::{Path, PathBuf};

pub use args::{Args, Beside, Compress, Format, Secrets};
use serde_json::json;

use crate::assets::Assets;
use crate::cluster::Loaded;
use crate::cluster::types::Role;
use crate::command::key;
use crate::digest::Sha256;
use crate::error::{Error, IoContext, Result};
use crate::fetch::lock::Lock;
use crate::image::inspect::text::printable;
use crate::image::label::VolumeLabel;
use crate::payload::manifest::Spread;
use crate::plan::{self, RolePlan};
use crate::progress::Progress;
use crate::report::{Report, human_size};
use crate::sign::{self, SecretKey};

/// What all formats start from.
struct Build<'a> {
    args: &'a Args,
    loaded: &'a Loaded,
    assets: &'a Assets,
    lock: &'a Lock,
    plan: &'a RolePlan,
}

impl Build<'_> {
    /// A label for what is looked at before the build is known.
    fn label(&self) -> VolumeLabel {
        VolumeLabel::for_medium(&self.loaded.cluster.name, self.args.profile, "0000")
    }

    /// On which volumes payload and secrets lie.
    fn spread(&self) -> Spread {
        match (self.args.format, self.args.secrets) {
            (Format::Seed, _) if self.args.payload => Spread::Beside,
            (Format::Seed, _) | (_, Secrets::Seed) => Spread::Split,
            _ => Spread::Whole,
        }
    }
}

/// What was made.
struct Made {
    build_id: Sha256,
    label: VolumeLabel,
    size: u64,
    /// Digest of it; disk images have one only if they were compressed.
    sha256: Option<Sha256>,
    /// Whether the base's bytes were shared and not copied.
    reflinked: bool,
    /// The seed that was made with it.
    seed: Option<seed::MadeSeed>,
}

/// Builds the medium and says what was built.
pub fn run(args: &Args, report: &Report) -> Result<()> {
    let loaded = args.cluster.load(report)?;
    args::check_node(args, &loaded)?;
    report.step("planning");
    let assets = Assets::new(Some(&loaded.dir))?;
    let lock = Lock::load(&loaded.dir.join("kiln.lock"))?;
    let versions = plan::versions(&lock);
    let plan = plan::plan(&loaded.cluster, &assets, args.profile, &versions)?;
    let build = Build { args, loaded: &loaded, assets: &assets, lock: &lock, plan: &plan };
    let output = output_path(args, &loaded);
    let make = match args.format {
        Format::Iso => made(&build, &output, report, iso::check, iso::make),
        Format::Qcow2 | Format::Raw => made(&build, &output, report, disk::check, disk::make),
        Format::Pxe => made(&build, &output, report, pxe::check, pxe::make),
        Format::Seed => made(&build, &output, report, seed::check, seed::make),
    };
    let (made, key) = make?;
    let seed = made.seed.iter().map(|seed| seed.path.as_path());
    for file in [output.as_path()].into_iter().chain(seed) {
        sign_one(key.as_ref(), file, &made.build_id.to_string(), report)?;
    }
    tell(args, report, &output, &made);
    Ok(())
}

/// Signs a finished file if there is a key; says so if a signature is there that is not of it.
fn sign_one(key: Option<&SecretKey>, output: &Path, build_id: &str, report: &Report) -> Result<()> {
    let signature = sign::beside(output);
    match key {
        Some(key) => signed(key, output, &signature, build_id, report)?,
        None if signature.exists() => report.warn(&format!(
            "{} is of the medium that was there before; --sign makes a new one",
            signature.display()
        )),
        None => {}
    }
    Ok(())
}

/// Makes a medium of a format: all that can be refused is refused before keys are made.
fn made<T>(
    build: &Build<'_>,
    output: &Path,
    report: &Report,
    check: fn(&Build<'_>, &Path, &Report) -> Result<T>,
    make: fn(&Build<'_>, T, &Path, &Report) -> Result<Made>,
) -> Result<(Made, Option<SecretKey>)> {
    let Build { args, loaded, .. } = build;
    let ready = check(build, output, report)?;
    let seed = seed::beside(build, output);
    let outputs = || [output].into_iter().chain(seed.as_deref());
    outputs().try_for_each(|file| check_place(args, loaded, file))?;
    let key = args.sign.as_deref().map(|file| SecretKey::load(file, &|| key::password(file))).transpose()?;
    if key.is_some() {
        outputs().try_for_each(|file| sign::check_place(&sign::beside(file)))?;
    }
    Ok((make(build, ready, output, report)?, key))
}

/// Makes the folder that media go to if nothing else was said. Called when nothing is left that could be refused.
fn make_folder(build: &Build<'_>) -> Result<()> {
    if build.args.output.is_some() {
        return Ok(());
    }
    let out = build.loaded.dir.join("out");
    std::fs::create_dir_all(&out).at("making the folder", &out)
}

/// Signs a finished medium.
fn signed(key: &SecretKey, output: &Path, signature: &Path, build_id: &str, report: &Report) -> Result<()> {
    report.step("signing the medium");
    // What was there is of another medium, and must not look as if it was of this one if signing fails.
    match std::fs::remove_file(signature) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::io("removing", signature, error));
        }
        _ => {}
    }
    let name = output.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let comment = format!("file:{} build:{build_id}", printable(&name));
    sign::put(signature, &key.sign(output, &comment, report)?)?;
    report.note(&format!("signed {} with key {}", signature.display(), key.id()));
    Ok(())
}

/// Where the medium goes.
fn output_path(args: &Args, loaded: &Loaded) -> PathBuf {
    let what = match (&args.reinstall, &args.node) {
        (Some(node), _) => format!("reinstall-{node}"),
        (None, Some(node)) => node.to_string(),
        (None, None) => args.profile.to_string(),
    };
    let usual = || {
        loaded.dir.join("out").join(format!(
            "{}-{what}.{}",
            loaded.cluster.name,
            args.format.ending(args.payload.then_some(args.beside))
        ))
    };
    args.output.clone().unwrap_or_else(usual)
}

/// Refuses an output in a folder that is not there, and one that would replace what media are built from.
fn check_place(args: &Args, loaded: &Loaded, output: &Path) -> Result<()> {
    if args.output.is_some() {
        let parent =
            output.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let found = std::fs::read_dir(parent).at("opening the folder", parent);
        found.map_err(|error| error.hint("make the folder, or choose another output"))?;
    }
    let Ok(there) = output.canonicalize() else { return Ok(()) };
    let own = [args.cluster.cluster.clone(), loaded.dir.join("kiln.lock"), loaded.dir.join("pki")];
    let folders = loaded.cluster.components.dir.iter().chain(&loaded.cluster.base.rpms);
    let inputs = own.iter().chain(folders).chain(&args.kiln).chain(&args.sign);
    for input in inputs.filter_map(|path| path.canonicalize().ok()) {
        if there.starts_with(&input) {
            return Err(Error::input(format!("{} is what media are built from", output.display()))
                .hint("choose another output"));
        }
    }
    Ok(())
}

fn tell(args: &Args, report: &Report, output: &Path, made: &Made) {
    if args.json {
        let result = json!({
            "output": output,
            "size": made.size,
            "sha256": made.sha256,
            "label": made.label.as_str(),
            "build_id": made.build_id,
            "profile": args.profile.as_str(),
            "reflinked": made.reflinked,
            "signature": args.sign.as_ref().map(|_| sign::beside(output)),
            "seed": made.seed.as_ref().map(|seed| json!({
                "output": seed.path,
                "size": seed.size,
                "sha256": seed.sha256,
                "signature": args.sign.as_ref().map(|_| sign::beside(&seed.path)),
            })),
        });
        report.data(&format!("{result}\n"));
        return;
    }
    let what = match args.format {
        Format::Seed if args.payload && args.beside == Beside::Image => {
            format!("{}, for use beside the vendor's own image", made.label)
        }
        Format::Seed if args.payload => format!("{}, for use beside the vendor's own ISO", made.label),
        Format::Seed => format!("the seed of {}", made.label),
        Format::Iso | Format::Qcow2 | Format::Raw | Format::Pxe => format!("label {}", made.label),
    };
    report.note(&format!("built {} ({}, {what})", output.display(), human_size(made.size)));
    match &made.sha256 {
        Some(sha256) => report.note(&format!("      SHA-256 {sha256}")),
        None => report.note("      No SHA-256 was taken of it: --sign signs it, and `kiln inspect --check` verifies what kiln put there."),
    }
    if let Some(seed) = &made.seed {
        report.note("      It holds no secret: it may be copied and kept anywhere. Machines install from it with its seed:");
        report.note(&format!("built {} ({})", seed.path.display(), human_size(seed.size)));
        report.note(&format!("      SHA-256 {}", seed.sha256));
    }
    report.note(match args.profile {
        Role::Master => "      It holds the masters' keys: keep it as safe as a root password.",
        Role::Worker => {
            "      It holds the workers' keys and the token with which machines join: keep it safe."
        }
        Role::Lb => "      It is made for machines of this cluster only: keep it safe.",
    });
}
