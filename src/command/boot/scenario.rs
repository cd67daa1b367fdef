//! `kiln boot --scenario`: several machines at once, from a file.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::install::{complete, finish, print};
use crate::boot::install::{InstallSpec, report as results};
use crate::boot::scenario;
use crate::error::{Error, Result};
use crate::report::Report;

/// Arguments of a scenario.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Scenario")]
pub struct ScenarioArgs {
    /// Run the machines of this file (docs/boot-testing.md) in place of one medium
    #[arg(long, value_name = "FILE", conflicts_with = "medium")]
    pub scenario: Option<PathBuf>,
    /// Machines that run at once [default: the file's `jobs`, else all]
    #[arg(long, value_name = "N", requires = "scenario", value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: Option<u16>,
}

/// Runs the machines.
pub fn run(args: &super::Args, work: &Path, report: &Report) -> Result<()> {
    let Some(file) = &args.scenario.scenario else {
        return Err(Error::input("there is neither a medium nor a scenario"));
    };
    let mut scenario = scenario::load(file)?;
    if let Some(jobs) = args.scenario.jobs {
        scenario.set_jobs(usize::from(jobs))?;
    }
    let prepare = |spec: &mut InstallSpec| {
        let accel = spec.accel;
        complete(args, spec);
        spec.accel = accel;
        let named = |file: &Option<PathBuf>| file.as_ref().map(|file| named(file, &spec.name));
        (spec.log, spec.screenshot) = (named(&args.log), named(&args.screenshot));
    };
    let runs = scenario::run(&scenario, work, args.keep, &prepare, report)?;
    if args.json {
        let machines = runs.iter().map(|(spec, outcome)| results::json(spec, outcome)).collect::<Vec<_>>();
        let passed = runs.iter().all(|(_, outcome)| outcome.passed());
        let verdict = if passed { "pass" } else { "fail" };
        report.data(&format!("{:#}\n", json!({"scenario": file, "verdict": verdict, "machines": machines})));
    } else {
        runs.iter().for_each(|(spec, outcome)| print(spec, outcome, report));
    }
    finish(args, &runs, report)
}

/// `console.png` → `console-NAME.png`; phases are numbered after that.
fn named(file: &Path, name: &str) -> PathBuf {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let end = file.extension().map(|e| format!(".{}", e.to_string_lossy())).unwrap_or_default();
    file.with_file_name(format!("{stem}-{name}{end}"))
}
