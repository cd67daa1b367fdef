//! `kiln check`: holds a cluster file against all rules, and sums up what it describes.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::cluster::diag::{Diagnostic, Severity};
use crate::cluster::types::Role;
use crate::cluster::{Cluster, load};
use crate::error::{Error, Result};
use crate::report::{Report, place};

/// Arguments of `kiln check`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kiln check
  kiln check prod/cluster.toml --json")]
pub struct Args {
    /// The cluster file
    #[arg(value_name = "FILE", default_value = "cluster.toml")]
    pub file: PathBuf,
    /// Print the findings as JSON instead
    #[arg(long)]
    pub json: bool,
}

/// Checks the file; findings go to standard error, the summary to standard output.
pub fn run(args: &Args, report: &Report) -> Result<()> {
    let loaded = load(&args.file);
    if args.json {
        return as_json(args, loaded, report);
    }
    let loaded = loaded?;
    loaded.warnings.iter().for_each(|warning| report.diagnostic(warning));
    report.data(&format!("{}\n", summary(&loaded.cluster, loaded.warnings.len())));
    Ok(())
}

/// One line: what the file describes.
fn summary(cluster: &Cluster, warnings: usize) -> String {
    let count = |role: Role, one: &str, many: &str| match cluster.nodes_of(role).count() {
        1 => format!("1 {one}"),
        count => format!("{count} {many}"),
    };
    let mut line = format!(
        "cluster {}: Kubernetes {} on {}, {}, {}, {}",
        cluster.name,
        cluster.kubernetes,
        cluster.base.release,
        count(Role::Master, "master", "masters"),
        count(Role::Worker, "worker", "workers"),
        count(Role::Lb, "load balancer", "load balancers"),
    );
    match cluster.worker_pools.len() {
        0 => {}
        1 => line += ", 1 worker pool",
        pools => line += &format!(", {pools} worker pools"),
    }
    line += &format!(", API at {}:{}", cluster.vip, cluster.api_port());
    if cluster.access.ssh_keys.is_empty() && cluster.access.root_password_hash.is_none() {
        line += ", root locked";
    }
    match warnings {
        0 => line + ": ok",
        1 => line + ": ok, 1 warning",
        _ => line + &format!(": ok, {warnings} warnings"),
    }
}

fn as_json(args: &Args, loaded: Result<crate::cluster::Loaded>, report: &Report) -> Result<()> {
    let (findings, refused) = match &loaded {
        Ok(loaded) => (loaded.warnings.as_slice(), false),
        Err(error) if !error.findings().is_empty() => (error.findings(), true),
        Err(_) => return loaded.map(|_| ()),
    };
    let text = std::fs::read_to_string(&args.file).unwrap_or_default();
    let list: Vec<Value> = findings.iter().map(|finding| finding_json(finding, &text)).collect();
    let document = json!({ "file": args.file, "ok": !refused, "findings": list });
    let document = serde_json::to_string_pretty(&document)
        .map_err(|error| Error::internal("writing findings as JSON").because(error))?;
    report.data(&format!("{document}\n"));
    match loaded {
        // The findings are out already; the error line and the exit code remain.
        Err(error) => Err(Error::new(error.class(), error.to_string())),
        Ok(_) => Ok(()),
    }
}

fn finding_json(finding: &Diagnostic, text: &str) -> Value {
    let spot = |span: &std::ops::Range<usize>| {
        let (line, column) = place(text, span.start);
        json!({ "line": line, "column": column, "start": span.start, "end": span.end })
    };
    json!({
        "severity": match finding.severity { Severity::Error => "error", Severity::Warning => "warning" },
        "rule": finding.rule,
        "message": finding.message,
        "key": finding.key,
        "place": finding.span.as_ref().map(spot),
        "related": finding.related.as_ref().map(|(span, label)| json!({ "label": label, "place": spot(span) })),
        "hint": finding.hint,
    })
}
