//! `kiln node addons` and `kiln node approve`: what masters do for the cluster, for ever, as units. Here are the clock, the pauses
//! and the journal; what is done lies in [`crate::node::kube`].

use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::error::{Error, IoContext as _, Result};
use crate::node::inventory::Inventory;
use crate::node::kube::addons::{Addons, Places};
use crate::node::kube::approve::Approver;
use crate::node::kube::client::Client;
use crate::node::kube::config::KubeConfig;
use crate::node::status::Level;
use crate::node::topic::TopicFile;
use crate::pki::{JOIN_TOKENS, JoinTokens, PemKey, Signer};
use crate::report::Report;

/// Folder of the kubeconfigs.
const CONFIG: &str = "opt/kubernetes/cfg";
/// Pause between two looks at the certificate requests.
const LOOK: Duration = Duration::from_millis(2500);
/// Pause between two looks at what the cluster has.
const TEND: Duration = Duration::from_secs(10);
/// How often all is applied again once it was: drift is undone within that time.
const AGAIN: Duration = Duration::from_secs(300);
/// Pauses after a failure: doubled from the first to the last.
const RETRY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(30));
/// Tokens that end within this many days are announced.
const ANNOUNCE: i64 = 30;

/// Arguments of the units that speak to Kubernetes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Root of the node's files
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    pub root: PathBuf,
    /// Do it once and tell whether it succeeded
    #[arg(long)]
    pub once: bool,
}

impl Args {
    /// A path of the node.
    pub(super) fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// What this program tells the board.
    pub(super) fn topic(&self, name: &'static str) -> TopicFile {
        TopicFile::new(&self.root, name)
    }
}

/// `kiln node approve`.
pub fn approve(args: &Args, report: &Report) -> Result<()> {
    let config = KubeConfig::load(&args.at(&format!("{CONFIG}/kiln-approver.kubeconfig")))?;
    let approver = Approver::new(Client::new(&config)?, Inventory::load(&args.root)?)?;
    let mut topic = args.topic("joining");
    loop {
        let now = OffsetDateTime::now_utc();
        let outcome = approver.round(now);
        let (state, text) = match &outcome {
            Ok(round) => {
                round.done.iter().for_each(|line| report.note(line));
                round.status()
            }
            Err(error) => (Level::Waiting, format!("for the API server: {error}")),
        };
        let new = topic.set(state, &text, now)?;
        if args.once {
            return outcome.map(|_| ());
        }
        if new && state != Level::Ok {
            report.note(&text);
        }
        sleep(LOOK);
    }
}

/// `kiln node addons`.
pub fn addons(args: &Args, report: &Report) -> Result<()> {
    let addons = load(args)?;
    let (mut topic, mut tokens) = (args.topic("addons"), args.topic("tokens"));
    let mut applied: Option<Instant> = None;
    let mut pause = RETRY.0;
    loop {
        let now = OffsetDateTime::now_utc();
        let due = applied.is_none_or(|at| at.elapsed() >= AGAIN);
        let outcome = if due { apply(&addons, now, report) } else { tend(&addons, report).map(|()| None) };
        let (state, text) = tokens_status(addons.tokens_end(), now);
        tokens.set(state, &text, now)?;
        match &outcome {
            Ok(done) => {
                pause = RETRY.0;
                if let Some(text) = done {
                    applied = Some(Instant::now());
                    if topic.set(Level::Ok, text, now)? {
                        report.note(text);
                    }
                }
            }
            Err(error) => {
                if topic.set(Level::Waiting, &error.to_string(), now)? {
                    report.note(&format!("will be tried again: {error}"));
                }
            }
        }
        match outcome {
            outcome if args.once => return outcome.map(|_| ()),
            Ok(_) => sleep(TEND),
            // Everybody waits for the tokens, and asking costs this machine's own server little.
            Err(_) if due && addons.ready().is_err() => sleep(RETRY.0),
            Err(_) => {
                sleep(pause);
                pause = (pause * 2).min(RETRY.1);
            }
        }
    }
}

fn load(args: &Args) -> Result<Addons> {
    let text = |path: &Path| std::fs::read_to_string(path).at("reading", path);
    let ssl = |name: &str| text(&args.at(&format!("opt/kubernetes/ssl/{name}")));
    let signer = Signer::new(ssl("ca.pem")?, PemKey::new(ssl("ca-key.pem")?))?;
    let path = args.at(JOIN_TOKENS);
    let tokens = JoinTokens::from_json(&text(&path)?, &path)?;
    let places = Places {
        admin: args.at(&format!("{CONFIG}/admin.kubeconfig")),
        kubectl: args.at("usr/bin/kubectl"),
        manifests: args.at("opt/kiln/addons"),
        cache: args.at("run/kiln/kubectl"),
    };
    Addons::new(places, signer, Inventory::load(&args.root)?, tokens)
}

/// Applies everything. All that can be applied is, before the first failure is told.
fn apply(addons: &Addons, now: OffsetDateTime, report: &Report) -> Result<Option<String>> {
    addons
        .ready()
        .map_err(|error| Error::from(error).context("waiting for the API server of this machine"))?;
    if addons.bind_admins(now)? {
        report.note("bound the group kubeadm:cluster-admins to cluster-admin");
    }
    let tokens = addons.tokens(now)?;
    let manifests = addons.manifests()?;
    let mut failures = Vec::new();
    match addons.certificates(now) {
        Ok(issued) => {
            issued.iter().for_each(|name| report.note(&format!("issued the certificate of {name}")))
        }
        Err(error) => failures.push(error),
    }
    for manifest in &manifests {
        failures.extend(addons.apply(manifest).err());
    }
    tend(addons, report)?;
    match failures.into_iter().next() {
        Some(error) => Err(error),
        None => Ok(Some(format!("{} manifests and {tokens} bootstrap tokens are applied", manifests.len()))),
    }
}

/// What nodes that have just come need.
fn tend(addons: &Addons, report: &Report) -> Result<()> {
    for node in addons.label()? {
        report.note(&format!("labelled {node} with its role"));
    }
    Ok(())
}

fn tokens_status(end: OffsetDateTime, now: OffsetDateTime) -> (Level, String) {
    let when = end.format(&Rfc3339).unwrap_or_default();
    let days = (end - now).whole_days();
    if end <= now {
        (
            Level::Failed,
            format!(
                "the bootstrap tokens ended at {when}: no new machine can join until masters are built anew"
            ),
        )
    } else if days < ANNOUNCE {
        (
            Level::Warn,
            format!(
                "the bootstrap tokens end at {when}, in {days} days: build media anew for machines to come"
            ),
        )
    } else {
        (Level::Ok, format!("the bootstrap tokens are good until {when}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_tokens_is_announced() {
        let end = OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap();
        let at = |days| tokens_status(end, end - time::Duration::days(days));
        assert_eq!(
            (at(31).0, at(29).0, at(0).0, at(-1).0),
            (Level::Ok, Level::Warn, Level::Failed, Level::Failed)
        );
        assert!(at(29).1.contains("2027-01-15T08:00:00Z, in 29 days"), "{}", at(29).1);
    }
}
