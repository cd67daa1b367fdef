//! `kiln watch`: how the cluster is, from the operator's machine, again and again. Here are the clock, the pauses and the
//! terminal; what is looked at lies in [`crate::watch`].

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use time::OffsetDateTime;

use crate::cluster::types::Role;
use crate::command::ClusterArg;
use crate::command::pki::folder;
use crate::error::{Class, Error, Result};
use crate::node::kube::client::Client;
use crate::node::kube::config::{KubeConfig, Login};
use crate::pki::{Authority, LeafId, Pki, read_facts};
use crate::report::Report;
use crate::watch::screen::{Screen, Surface};
use crate::watch::text::{Line, lines};
use crate::watch::{Board, End, look};

/// Arguments of `kiln watch`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kiln watch
  kiln watch -C prod/cluster.toml --once
  kiln watch --kubeconfig admin.kubeconfig --json | jq .faults

With --once it ends with 0 if all is well, 1 if something is wrong,
2 if the credential cannot be used and 4 if no API server answers.")]
pub struct Args {
    /// Which cluster; its pki/ holds the credential.
    #[command(flatten)]
    pub cluster: ClusterArg,
    /// A kubeconfig that kiln wrote, in place of pki/; no cluster file is read
    #[arg(long, value_name = "FILE", conflicts_with = "cluster")]
    pub kubeconfig: Option<PathBuf>,
    /// Look once, and tell by the exit code how it is
    #[arg(long)]
    pub once: bool,
    /// Print a line of JSON for each look
    #[arg(long)]
    pub json: bool,
    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub interval: u64,
}

/// Whom to ask, what should be there, and what ends.
struct Target {
    config: KubeConfig,
    nodes: Vec<String>,
    ends: Vec<(String, OffsetDateTime)>,
}

/// Runs the command.
pub fn run(args: &Args, report: &Report) -> Result<()> {
    let target = target(args, report)?;
    let client = Client::new(&target.config)?;
    let surface = match std::io::stdout().is_terminal() {
        _ if args.once => Surface::Once,
        true => Surface::Terminal,
        false => Surface::Pipe,
    };
    let mut screen = Screen::new(surface, report.paints_data());
    loop {
        let now = OffsetDateTime::now_utc();
        let ends: Vec<End> = target.ends.iter().map(|(what, end)| End::new(what, *end, now)).collect();
        let outcome = look(&client, &target.nodes, &ends, now);
        match &outcome {
            Ok(board) if args.json => report.data(&json(board)?),
            Ok(board) => report.data(&screen.next(lines(board))),
            Err(_) if args.once => {}
            Err(error) if args.json => {
                report.data(&format!("{}\n", serde_json::json!({ "error": error.to_string() })));
            }
            Err(error) => {
                let text = format!("no answer: {error}");
                report.data(&screen.next(vec![Line { text, fault: true }]));
            }
        }
        if args.once {
            let board = outcome.map_err(|error| {
                Error::from(error).or_hint(
                    "is the VIP reached from here? `kiln node status` on any node says how the nodes are",
                )
            })?;
            let faults = board.faults();
            return match faults.as_slice() {
                [] => Ok(()),
                faults => {
                    Err(Error::new(Class::Failed, format!("the cluster is not well: {}", faults.join("; "))))
                }
            };
        }
        sleep(Duration::from_secs(args.interval));
    }
}

fn json(board: &Board) -> Result<String> {
    let mut value = serde_json::to_value(board)
        .map_err(|error| Error::internal("writing the board failed").because(error))?;
    value["faults"] = board.faults().into();
    Ok(format!("{value}\n"))
}

fn target(args: &Args, report: &Report) -> Result<Target> {
    if let Some(path) = &args.kubeconfig {
        let config = KubeConfig::load(path)?;
        let mut ends = Vec::new();
        if let Login::Certificate(cert, _) = &config.login {
            let facts = read_facts(cert).map_err(|why| Error::input(format!("{}: {why}", path.display())))?;
            ends.push((format!("certificate {}", facts.common_name), facts.not_after));
        }
        return Ok(Target { config, nodes: Vec::new(), ends });
    }
    let loaded = args.cluster.load(report)?;
    let cluster = &loaded.cluster;
    let pki = Pki::open(&folder(&loaded))?;
    let missing =
        || Error::input("pki/ holds no certificate of the operators").hint("`kiln pki init` makes one");
    let admin = pki.leaf(&LeafId::operator("admin")).ok_or_else(missing)?;
    let ca = pki.authority(Authority::Kubernetes).ok_or_else(missing)?;
    let config = KubeConfig {
        server: (cluster.vip, cluster.api_port()).into(),
        ca: ca.cert.clone(),
        login: Login::Certificate(admin.cert.clone(), admin.key.clone()),
    };
    let nodes = cluster.nodes.values().filter(|node| node.role != Role::Lb);
    let description = pki.describe(cluster, OffsetDateTime::now_utc());
    // The first of what the nodes have from here; kubelets renew theirs by themselves.
    let first = description.rows.iter().filter(|row| row.wanted).min_by(|a, b| a.not_after.cmp(&b.not_after));
    let mut ends = vec![("certificate operators/admin".to_owned(), admin.facts.not_after)];
    if let Some(row) = first
        && let Ok(end) = OffsetDateTime::parse(&row.not_after, &time::format_description::well_known::Rfc3339)
    {
        ends.push((format!("the first of all in pki/: {}", row.name), end));
    }
    Ok(Target { config, nodes: nodes.map(|node| node.name.to_string()).collect(), ends })
}
