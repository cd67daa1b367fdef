//! Taking in, against an etcd of a few lines: the order of the steps, and whom it refuses.

use super::*;

#[derive(Default)]
struct Fake {
    entries: Vec<Entry>,
    alive: Vec<u64>,
    behind: Vec<u64>,
    did: Vec<String>,
}

fn entry(id: u64, name: &str, url: &str, learner: bool) -> Entry {
    Entry { id, name: name.into(), peer_urls: vec![url.into()], learner }
}

fn three() -> Fake {
    let entries =
        ["a", "b", "c"].iter().zip(1..).map(|(name, id)| entry(id, name, &format!("u{name}"), false));
    Fake { entries: entries.collect(), ..Fake::default() }
}

impl Etcd for Fake {
    type Error = ();

    fn members(&mut self) -> Result<Vec<Entry>, ()> {
        Ok(self.entries.clone())
    }

    fn remove(&mut self, id: u64) -> Result<(), ()> {
        self.did.push(format!("remove {id}"));
        self.entries.retain(|entry| entry.id != id);
        Ok(())
    }

    fn add_learner(&mut self, name: &str, peer_url: &str) -> Result<(), ()> {
        self.did.push(format!("add {name} {peer_url}"));
        // etcd names an entry when it has started.
        self.entries.push(entry(9, "", peer_url, true));
        Ok(())
    }

    fn promote(&mut self, id: u64) -> Result<bool, ()> {
        self.did.push(format!("promote {id}"));
        Ok(!self.behind.contains(&id))
    }

    fn alive(&mut self, entry: &Entry) -> bool {
        self.alive.contains(&entry.id)
    }
}

fn take(etcd: &mut Fake) -> Result<Vec<(String, String)>, Refusal<()>> {
    take_in(etcd, "b", "ub", |url| url.strip_prefix('u').map(str::to_owned))
}

#[test]
fn the_stale_entry_goes_and_a_learner_comes() {
    let mut etcd = three();
    let pair = |name: &str| (name.to_owned(), format!("u{name}"));
    assert_eq!(take(&mut etcd), Ok(vec![pair("a"), pair("c"), pair("b")]));
    assert_eq!(etcd.did, ["remove 2", "add b ub"]);
    // Again: its learner, which has no name yet, is known by its URL and replaced too.
    etcd.did.clear();
    assert!(take(&mut etcd).is_ok());
    assert_eq!(etcd.did, ["remove 9", "add b ub"]);
}

#[test]
fn an_entry_by_another_address_is_stale_too() {
    let mut etcd = three();
    etcd.entries[1].peer_urls = vec!["elsewhere".into()];
    assert!(take(&mut etcd).is_ok());
    assert_eq!(etcd.did, ["remove 2", "add b ub"]);
}

#[test]
fn what_runs_is_not_taken_out() {
    let mut etcd = Fake { alive: vec![2], ..three() };
    assert_eq!(take(&mut etcd), Err(Refusal::Alive));
    assert!(etcd.did.is_empty());
}

#[test]
fn one_at_a_time() {
    let mut etcd = three();
    etcd.entries[2].learner = true;
    assert_eq!(take(&mut etcd), Err(Refusal::Busy("c".into())));
    etcd.entries[2].name.clear();
    assert_eq!(take(&mut etcd), Err(Refusal::Busy("uc".into())));
    assert!(etcd.did.is_empty());
}

#[test]
fn learners_get_their_vote_when_they_have_caught_up() {
    let mut etcd = three();
    assert_eq!(promote(&mut etcd), Ok(vec![]));
    assert!(etcd.did.is_empty());
    etcd.entries.push(entry(9, "", "ud", true));
    etcd.behind = vec![9];
    assert_eq!(promote(&mut etcd), Ok(vec!["ud".to_owned()]));
    etcd.behind.clear();
    assert_eq!(promote(&mut etcd), Ok(vec![]));
    assert_eq!(etcd.did, ["promote 9", "promote 9"]);
}
