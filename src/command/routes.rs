//! `kiln node routes`: keeps the pod network of a node in bridge mode, for ever, as a unit. Here are the clock, the pauses and the
//! journal; what is done lies in [`crate::node::kube::routes`].

use std::thread::sleep;
use std::time::{Duration, Instant};

use time::OffsetDateTime;

use crate::cluster::model::PodNetwork;
use crate::command::kube::Args;
use crate::error::{Error, Result};
use crate::node::inventory::Inventory;
use crate::node::kube::routes::{Places, Router};
use crate::node::status::Level;
use crate::node::status::gather::Me;
use crate::report::Report;

/// Pauses after a failure: doubled from the first to the last.
const RETRY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(20));

/// Runs it.
pub fn run(args: &Args, report: &Report) -> Result<()> {
    let inventory = Inventory::load(&args.root)?;
    if inventory.pod_network != PodNetwork::Bridge {
        return Err(Error::input(format!(
            "the pod network of cluster {} is not `bridge`",
            inventory.cluster
        ))
        .hint("pod_network = \"bridge\" in [cluster] of cluster.toml, and media built anew, make it so"));
    }
    let places = Places {
        config: args.at("opt/kubernetes/cfg/kube-proxy.kubeconfig"),
        cni: args.at("etc/cni/net.d/10-kiln.conflist"),
    };
    let mut router = Router::new(places, Me::load(&args.root)?.name.as_str(), inventory)?;
    let mut topic = args.topic("routes");
    let started = Instant::now();
    let mut pause = RETRY.0;
    loop {
        let outcome = router.round(started.elapsed());
        let (state, text) = match &outcome {
            Ok(round) => {
                round.done.iter().for_each(|line| report.note(line));
                round.status()
            }
            Err(error) => (Level::Waiting, error.to_string()),
        };
        let new = topic.set(state, &text, OffsetDateTime::now_utc())?;
        match outcome {
            Ok(round) if args.once => return whole(round.own.is_some(), text),
            Err(error) if args.once => return Err(error),
            Ok(round) => {
                pause = RETRY.0;
                if new && state != Level::Ok {
                    report.note(&text);
                }
                sleep(round.pause());
            }
            Err(_) => {
                if new {
                    report.note(&format!("will be tried again: {text}"));
                }
                sleep(pause);
                pause = (pause * 2).min(RETRY.1);
            }
        }
    }
}

fn whole(own: bool, text: String) -> Result<()> {
    if own { Ok(()) } else { Err(Error::tool(format!("the node has no range for its pods: {text}"))) }
}
