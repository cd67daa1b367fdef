//! `kiln plan`: shows what the nodes of a profile get, without building anything. Contents and secrets are not shown.

use crate::assets::Assets;
use crate::cluster::Cluster;
use crate::cluster::types::Role;
use crate::error::{Error, Result};
use crate::fetch::lock::{self, Lock};
use crate::plan::{self, show};
use crate::report::Report;

use super::ClusterArg;

/// Arguments of `kiln plan`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kiln plan --profile master
  kiln plan --node k8s-master1 --json")]
pub struct Args {
    /// The cluster file
    #[command(flatten)]
    pub cluster: ClusterArg,
    /// Show this profile only
    #[arg(long, value_enum)]
    pub profile: Option<Role>,
    /// Show this node only
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
    /// Print JSON: a list with one plan a profile
    #[arg(long)]
    pub json: bool,
}

/// Plans and prints.
pub fn run(args: &Args, report: &Report) -> Result<()> {
    let loaded = args.cluster.load(report)?;
    let cluster = &loaded.cluster;
    let assets = Assets::new(Some(&loaded.dir))?;
    let lock = Lock::load_if_there(&loaded.dir.join(lock::FILE))?;
    let versions = lock.as_ref().map(plan::versions).unwrap_or_default();
    let mut views = Vec::new();
    for role in roles(cluster, args)? {
        views.push(show::view(
            cluster,
            &plan::plan(cluster, &assets, role, &versions)?,
            args.node.as_deref(),
        )?);
    }
    let text = if args.json {
        let text = serde_json::to_string_pretty(&views);
        text.map_err(|error| Error::internal("writing the plan as JSON").because(error))? + "\n"
    } else {
        views.iter().map(show::text).collect::<Vec<_>>().join("\n")
    };
    report.data(&text);
    Ok(())
}

/// The profiles to show: the one asked for, the node's, or all that have machines.
fn roles(cluster: &Cluster, args: &Args) -> Result<Vec<Role>> {
    let Some(name) = &args.node else {
        return Ok(args.profile.map_or_else(|| populated(cluster), |role| vec![role]));
    };
    let Some(node) = cluster.nodes.values().find(|node| node.name.as_str() == name) else {
        let near = cluster
            .nodes
            .keys()
            .max_by(|a, b| strsim::jaro(a.as_str(), name).total_cmp(&strsim::jaro(b.as_str(), name)));
        let hint = near.map(|near| format!("did you mean `{near}`?")).unwrap_or_default();
        return Err(Error::input(format!("cluster `{}` has no node `{name}`", cluster.name)).hint(hint));
    };
    match args.profile {
        Some(role) if role != node.role => {
            Err(Error::input(format!("node `{name}` is of profile `{}`, not `{role}`", node.role))
                .hint("leave --profile away, or name a node of that profile"))
        }
        _ => Ok(vec![node.role]),
    }
}

fn populated(cluster: &Cluster) -> Vec<Role> {
    let pools = !cluster.worker_pools.is_empty();
    Role::ALL
        .into_iter()
        .filter(|role| cluster.nodes_of(*role).next().is_some() || (*role == Role::Worker && pools))
        .collect()
}
