//! `kiln node clock`: sets a clock forward that stopped, and looks after it from then on. Here are the clock itself and the pauses;
//! what is decided lies in [`crate::node::clock`].

use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::thread::sleep;

use rustix::time::{ClockId, Timespec, clock_settime};
use time::OffsetDateTime;

use crate::cluster::types::Role;
use crate::error::{Class, Error, Result};
use crate::node::clock::chrony::Chrony;
use crate::node::clock::keeper::{Agree, Keeper};
use crate::node::clock::{floor, ntp};
use crate::node::inventory::Inventory;
use crate::node::status::gather::Me;
use crate::node::status::{Level, stamp};
use crate::node::topic::TopicFile;
use crate::report::Report;

/// Arguments of `kiln node clock`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kiln node clock --floor
  kiln node clock --agree")]
pub struct Args {
    /// Root of the node's files
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    pub root: PathBuf,
    /// Set a clock forward that is before the node's certificates were made, and end
    #[arg(long, conflicts_with = "agree")]
    pub floor: bool,
    /// On a master without a time server: agree on a time with the others
    #[arg(long)]
    pub agree: bool,
}

/// Runs the command.
pub fn run(args: &Args, report: &Report) -> Result<()> {
    if args.floor {
        return set_forward(args, report);
    }
    let agree = if args.agree { Some(agree(args)?) } else { None };
    let mut keeper = Keeper::new(args.root.clone(), Chrony::new(None), agree, &OffsetDateTime::now_utc);
    let mut topic = TopicFile::new(&args.root, "clock");
    let mut before = None;
    loop {
        let look = keeper.look();
        topic.set(look.state, &look.text, OffsetDateTime::now_utc())?;
        // The board has every word; the journal only what changed.
        if before != Some(look.state) {
            before = Some(look.state);
            report.note(&look.text);
        }
        sleep(look.again);
    }
}

fn set_forward(args: &Args, report: &Report) -> Result<()> {
    let Some(forward) = floor::forward(&args.root, OffsetDateTime::now_utc()) else { return Ok(()) };
    let to = Timespec { tv_sec: forward.to.unix_timestamp(), tv_nsec: 0 };
    let (was, is) = (stamp(forward.was), stamp(forward.to));
    let mut topic = TopicFile::new(&args.root, "clock");
    if let Err(error) = clock_settime(ClockId::Realtime, to) {
        let text = format!("says {was}, which cannot be, and cannot be set to {is}: {error}");
        topic.set(Level::Failed, &text, forward.was)?;
        return Err(Error::new(Class::Failed, format!("the clock {text}")));
    }
    floor::note_was(&args.root, forward.was)?;
    let text = format!("said {was}, before this node's certificates were made, and was set to {is}");
    topic.set(Level::Warn, &text, forward.to)?;
    report.note(&format!("the clock {text}"));
    Ok(())
}

/// The other masters and this machine's address.
fn agree(args: &Args) -> Result<Agree> {
    let (me, inventory) = (Me::load(&args.root)?, Inventory::load(&args.root)?);
    let masters = inventory.nodes.iter().filter(|node| node.role == Role::Master);
    let others = masters
        .filter(|node| node.address != me.address)
        .map(|node| SocketAddrV4::new(node.address, ntp::PORT))
        .collect();
    Ok(Agree { own: me.address, others })
}
