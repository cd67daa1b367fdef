//! What a member with a healthy etcd does for one that comes back with an empty disk: takes its stale entry out, adds it as a
//! learner, and promotes it when it has caught up (etcd 3.4 on). Every step may be the last one before a crash; the next ask
//! finds what is there and goes on.
//!
//! Whether the asker may ask at all (its certificate names it) is judged by the caller.

/// One entry of etcd's member list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// etcd's id.
    pub id: u64,
    /// Name; empty until the member has started.
    pub name: String,
    /// Where its peers reach it.
    pub peer_urls: Vec<String>,
    /// Whether it has no vote yet.
    pub learner: bool,
}

/// The operations of a running etcd. Each needs a quorum.
pub trait Etcd {
    /// Why an operation failed.
    type Error;
    /// The member list, read through the quorum.
    fn members(&mut self) -> Result<Vec<Entry>, Self::Error>;
    /// Takes an entry out. Fails if it is not there.
    fn remove(&mut self, id: u64) -> Result<(), Self::Error>;
    /// Adds a learner. Fails if its URL is there already.
    fn add_learner(&mut self, name: &str, peer_url: &str) -> Result<(), Self::Error>;
    /// Gives a learner a vote; `false` if it has not caught up.
    fn promote(&mut self, id: u64) -> Result<bool, Self::Error>;
    /// Whether something answers for the entry. One that runs is not taken out.
    fn alive(&mut self, entry: &Entry) -> bool;
}

/// Why a member is not taken in.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal<E> {
    /// etcd failed.
    Etcd(E),
    /// Its former self still runs.
    Alive,
    /// Another one is being taken in.
    Busy(String),
}

impl<E> From<E> for Refusal<E> {
    fn from(error: E) -> Self {
        Refusal::Etcd(error)
    }
}

/// Takes a member in as a learner. Gives the member list that it starts with: names and URLs.
///
/// `name_of` names an entry that has not started, by its URL. An entry that was added for the asker before is replaced too: it
/// may have been used by a disk that is gone.
pub fn take_in<E: Etcd>(
    etcd: &mut E,
    name: &str,
    peer_url: &str,
    name_of: impl Fn(&str) -> Option<String>,
) -> Result<Vec<(String, String)>, Refusal<E::Error>> {
    let theirs = |entry: &Entry| entry.name == name || entry.peer_urls.iter().any(|url| url == peer_url);
    let before = etcd.members()?;
    if let Some(other) = before.iter().find(|entry| entry.learner && !theirs(entry)) {
        let url = other.peer_urls.first().cloned().unwrap_or_default();
        return Err(Refusal::Busy(if other.name.is_empty() { url } else { other.name.clone() }));
    }
    for entry in before.iter().filter(|entry| theirs(entry)) {
        if etcd.alive(entry) {
            return Err(Refusal::Alive);
        }
        etcd.remove(entry.id)?;
    }
    etcd.add_learner(name, peer_url)?;
    let after = etcd.members()?;
    let mut list = Vec::new();
    for entry in after {
        for url in entry.peer_urls {
            let known = if entry.name.is_empty() { name_of(&url) } else { Some(entry.name.clone()) };
            list.push((known.unwrap_or_else(|| format!("member-{:x}", entry.id)), url));
        }
    }
    Ok(list)
}

/// Promotes learners that have caught up. Gives those that have not, by name or URL.
pub fn promote<E: Etcd>(etcd: &mut E) -> Result<Vec<String>, E::Error> {
    let mut behind = Vec::new();
    for entry in etcd.members()?.into_iter().filter(|entry| entry.learner) {
        if !etcd.promote(entry.id)? {
            let url = entry.peer_urls.into_iter().next().unwrap_or_default();
            behind.push(if entry.name.is_empty() { url } else { entry.name });
        }
    }
    Ok(behind)
}

#[cfg(test)]
#[path = "join_tests.rs"]
mod tests;
