//! `kiln node images`: loads the node's container images at boot, as a unit. Here are the clock and the pauses; what is done lies
//! in [`crate::node::images`].

use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use time::OffsetDateTime;

use crate::error::Result;
use crate::node::images::{self, FOLDER, ImageList, LIST, LOADED, Loaded, Places};
use crate::node::status::Level;
use crate::node::topic::TopicFile;
use crate::report::Report;

/// How long it is tried; afterwards the unit fails, and its timer starts it again.
const PATIENCE: Duration = Duration::from_secs(600);
/// Pauses after a failure: doubled from the first to the last.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));

/// Arguments of `kiln node images`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kiln node images
  kiln node images --once
  kiln node images --clear")]
pub struct Args {
    /// Root of the node's files
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    pub root: PathBuf,
    /// Socket of containerd, where it is not the usual one
    #[arg(long, value_name = "FILE", hide = true)]
    pub socket: Option<PathBuf>,
    /// Before the runtime starts: throw away what a load that never ended left in its storage
    #[arg(long, conflicts_with = "once")]
    pub clear: bool,
    /// Try once and tell whether it succeeded
    #[arg(long)]
    pub once: bool,
}

/// Loads the images, again and again until they are there.
pub fn run(args: &Args, report: &Report) -> Result<()> {
    let at = |path: &str| args.root.join(path.trim_start_matches('/'));
    let list = ImageList::load(&at(LIST))?;
    let places = Places {
        archives: at(FOLDER),
        loaded: at(LOADED),
        ctr: "ctr".into(),
        socket: args.socket.clone(),
        docker: "docker".into(),
        storage: at(if list.is_for_docker() { "/var/lib/docker" } else { "/var/lib/containerd" }),
        awake: at(if list.is_for_docker() { "/run/docker" } else { "/run/containerd" }),
    };
    if args.clear {
        if images::clear(&list, &places)? {
            report.note("images were not loaded to the end before the machine stopped: they are loaded anew");
        }
        return Ok(());
    }
    let mut topic = TopicFile::new(&args.root, "images");
    let started = Instant::now();
    let mut pause = RETRY.0;
    loop {
        let outcome = images::load(&list, &places);
        let last = args.once || started.elapsed() >= PATIENCE;
        let (state, text) = status(&outcome, last);
        if topic.set(state, &text, OffsetDateTime::now_utc())? {
            report.note(&text);
        }
        match outcome {
            Err(error) if last => return Err(error),
            Err(_) => {
                sleep(pause);
                pause = (pause * 2).min(RETRY.1);
            }
            Ok(_) => return Ok(()),
        }
    }
}

fn status(outcome: &Result<Loaded>, last: bool) -> (Level, String) {
    match outcome {
        Ok(done) if done.warnings.is_empty() => (Level::Ok, format!("{} images are there", done.images)),
        Ok(done) => (Level::Warn, format!("{} images are there; {}", done.images, done.warnings.join("; "))),
        Err(error) if last => (Level::Failed, format!("images cannot be loaded: {error}")),
        Err(error) => (Level::Waiting, format!("for the container runtime: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn the_board_tells_how_it_is() {
        let done = |warnings: &[&str]| {
            let warnings = warnings.iter().map(|text| (*text).to_owned()).collect();
            Ok(Loaded { archives: Vec::new(), images: 5, warnings })
        };
        assert_eq!(status(&done(&[]), false), (Level::Ok, "5 images are there".into()));
        assert_eq!(status(&done(&["x"]), false).0, Level::Warn);
        let failed = || Err(Error::tool("no socket"));
        assert_eq!(status(&failed(), false), (Level::Waiting, "for the container runtime: no socket".into()));
        assert_eq!(status(&failed(), true).0, Level::Failed);
    }

    #[test]
    fn a_node_without_a_list_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let args = Args { root: dir.path().to_owned(), socket: None, clear: false, once: true };
        let report = Report::new(crate::report::Color::Never, true);
        assert!(run(&args, &report).is_err() && !dir.path().join("run").exists());
    }
}
