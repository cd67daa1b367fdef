//! The only holder of private keys: authorities, leaves, the service-account pair and the bootstrap token of a cluster.
//!
//! They live in `pki/` beside the cluster file, are made once and reused, so that media built months apart join the same
//! cluster. Authorities are never replaced; a leaf is issued anew when the cluster file wants it otherwise or it is about to
//! expire, and the former one stays beside it as `.old`.

mod cert;
mod describe;
mod encryption;
mod folder;
mod issue;
mod joiner;
mod kubeconfig;
mod spec;
mod store;
#[cfg(test)]
mod tests;
mod token;
mod tokens;
mod trees;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use time::OffsetDateTime;

pub use cert::{Facts, Pair, PemKey, read_facts};
pub use describe::{Description, EntryKind, Row};
pub use issue::{BACKDATE, NewPair, Policy, Signer};
pub use joiner::{GROUP as BOOTSTRAP_GROUP, Joiner};
pub use spec::{AGENT_OF_NODE, AGENT_OF_POOL, Authority, LeafId, LeafSpec, San, Usage, wanted};
pub use token::BootstrapToken;
pub use tokens::{JOIN_TOKENS, JoinTokens};
pub use trees::ORIGIN;

use crate::cluster::model::Cluster;
use crate::digest::Sha256;
use crate::error::{Error, Result};
use folder::{ENCRYPTION, META, TOKEN};
use folder::{
    create, pair_files, read_authority, read_meta, read_pair, read_service_account, stored_leaves, upgrade,
};
use store::{Access, Store};

/// A leaf with the authority that signed it.
#[derive(Debug, Clone)]
struct Leaf {
    authority: Authority,
    pair: Pair,
}

/// A checked `pki` folder, read into memory.
#[derive(Debug)]
pub struct Pki {
    dir: PathBuf,
    cluster: String,
    authorities: BTreeMap<Authority, Pair>,
    service_account: (PemKey, String),
    encryption: PemKey,
    leaves: BTreeMap<LeafId, Leaf>,
    token: BootstrapToken,
    changes: Vec<String>,
}

impl Pki {
    /// Reads and checks `dir`; makes what is missing for `cluster` and renews what is about to expire at `now`, by the
    /// usual lifetimes. Fails if the folder is damaged, open to others or another cluster's.
    pub fn open_or_create(dir: &Path, cluster: &Cluster, now: OffsetDateTime) -> Result<Self> {
        Self::open_or_create_with(dir, cluster, now, &Policy::default())
    }

    /// Like [`Pki::open_or_create`] with lifetimes of the caller's.
    pub fn open_or_create_with(
        dir: &Path,
        cluster: &Cluster,
        now: OffsetDateTime,
        policy: &Policy,
    ) -> Result<Self> {
        let store = Store::for_writing(dir)?;
        let fresh = !store.exists()?;
        if fresh {
            create(&store, cluster, now, policy)?;
        }
        upgrade(&store, dir, cluster, now, policy)?;
        // Nothing is built on the token: unlike the other parts it may be moved away to get a new one.
        let no_token = store.read(TOKEN, Access::Private)?.is_none();
        if no_token && store.read(META, Access::Public)?.is_some() {
            store.replace_secret(TOKEN, &new_token(now, policy)?.to_toml()?)?;
        }
        let mut pki = Self::load(&store, dir)?;
        same_cluster(dir, &pki.cluster, cluster)?;
        pki.check_time(now)?;
        for (id, spec) in wanted(cluster) {
            pki.ensure_leaf(&store, id, &spec, now, policy)?;
        }
        if no_token {
            pki.changes.push(format!("made the bootstrap token {}", pki.token.id()));
        }
        if fresh {
            pki.changes = vec![format!(
                "made the keys of cluster {} in {}: {} authorities and {} certificates; keep a backup of them",
                cluster.name,
                dir.display(),
                pki.authorities.len(),
                pki.leaves.len()
            )];
        }
        pki.ensure_token(&store, now, policy)?;
        Ok(pki)
    }

    /// Reads and checks `dir` and changes nothing.
    pub fn open(dir: &Path) -> Result<Self> {
        let store = Store::for_reading(dir)?;
        if !store.exists()? {
            return Err(Error::input(format!("there are no certificates in {}", dir.display()))
                .hint("`kiln pki init` makes them; so does the first `kiln build`"));
        }
        Self::load(&store, dir)
    }

    /// What this opening made or renewed, as sentences for the user. Empty when all was there.
    pub fn changes(&self) -> &[String] {
        &self.changes
    }

    /// Certificate of an authority, PEM.
    pub fn authority(&self, authority: Authority) -> Option<&Pair> {
        self.authorities.get(&authority)
    }

    /// Tells this cluster apart from any other, whatever its name: digest of the certificate of its Kubernetes authority.
    pub fn id(&self) -> Sha256 {
        let certificate = self.authorities.get(&Authority::Kubernetes).map(|pair| pair.cert.as_bytes());
        Sha256::of(certificate.unwrap_or_default())
    }

    /// A leaf, if it has been issued.
    pub fn leaf(&self, id: &LeafId) -> Option<&Pair> {
        self.leaves.get(id).map(|leaf| &leaf.pair)
    }

    /// The bootstrap token that those of nodes and pools are derived from. It reaches no medium itself.
    pub fn token(&self) -> &BootstrapToken {
        &self.token
    }

    fn load(store: &Store, dir: &Path) -> Result<Self> {
        let meta = read_meta(store)?;
        let mut authorities = BTreeMap::new();
        for which in Authority::ALL {
            authorities.insert(which, read_authority(store, which)?);
        }
        let service_account = read_service_account(store)?;
        let token = store.require(TOKEN, Access::Private)?;
        let encryption = store.require(ENCRYPTION, Access::Private)?;
        let mut pki = Pki {
            dir: dir.to_owned(),
            cluster: meta.cluster,
            authorities,
            service_account,
            encryption: encryption::read(&encryption, &store.path(ENCRYPTION))?,
            leaves: BTreeMap::new(),
            token: BootstrapToken::from_toml(&token, &store.path(TOKEN))?,
            changes: Vec::new(),
        };
        for id in stored_leaves(store)? {
            let leaf = pki.read_leaf(store, &id)?;
            pki.leaves.insert(id, leaf);
        }
        Ok(pki)
    }

    fn read_leaf(&self, store: &Store, id: &LeafId) -> Result<Leaf> {
        let pair = read_pair(store, id.as_str())?;
        let signer = self.authorities.iter().find(|(_, ca)| pair.signed_by(ca));
        let Some((&authority, _)) = signer else {
            let file = store.path(&format!("{id}/cert.pem"));
            return Err(Error::input(format!(
                "{} is not signed by any authority in {}",
                file.display(),
                self.dir.display()
            ))
            .hint("restore the folder from one backup; or move this leaf's folder away and kiln issues a new one"));
        };
        Ok(Leaf { authority, pair })
    }

    fn check_time(&self, now: OffsetDateTime) -> Result<()> {
        for (which, ca) in &self.authorities {
            let file = self.dir.join("ca").join(which.folder()).join("cert.pem");
            if now < ca.facts.not_before {
                return Err(Error::input(format!(
                    "{} is not valid before {}",
                    file.display(),
                    ca.facts.not_before
                ))
                .hint("set this machine's clock: it is behind the time at which the certificate was made"));
            }
            if now >= ca.facts.not_after {
                return Err(Error::input(format!("{} expired at {}", file.display(), ca.facts.not_after)).hint(
                    "authorities cannot be renewed in place; move the folder away and build the cluster anew",
                ));
            }
        }
        Ok(())
    }

    fn ensure_leaf(
        &mut self,
        store: &Store,
        id: LeafId,
        spec: &LeafSpec,
        now: OffsetDateTime,
        policy: &Policy,
    ) -> Result<()> {
        let Some(ca) = self.authorities.get(&spec.authority) else {
            return Err(Error::internal("an authority was not read"));
        };
        let end = ca.facts.not_after;
        let why = match self.leaves.get(&id) {
            None => "issued",
            Some(leaf) if leaf.authority != spec.authority || !leaf.pair.facts.matches(spec) => {
                "issued anew, because the cluster file wants other names or another use, "
            }
            // Where the authority itself ends soon, a new leaf would end with it and gain nothing.
            Some(leaf)
                if leaf.pair.facts.not_after < now + policy.renew_before
                    && leaf.pair.facts.not_after < end =>
            {
                "renewed, because it was about to expire,"
            }
            Some(_) => return Ok(()),
        };
        let ca = NewPair { cert: ca.cert.clone(), key: ca.key.clone() };
        let new = issue::leaf(spec, &ca, end, policy, now)?;
        store.replace_folder(id.as_str(), &pair_files(&new))?;
        let leaf = self.read_leaf(store, &id)?;
        self.changes.push(format!("{} the certificate {id}", why.trim_end()));
        self.leaves.insert(id, leaf);
        Ok(())
    }

    fn ensure_token(&mut self, store: &Store, now: OffsetDateTime, policy: &Policy) -> Result<()> {
        if self.token.expires() < now + policy.renew_before {
            let token = new_token(now, policy)?;
            store.replace_secret(TOKEN, &token.to_toml()?)?;
            self.changes.push(format!(
                "replaced the bootstrap token {}, which was about to expire, by {}",
                self.token.id(),
                token.id()
            ));
            self.token = token;
        }
        Ok(())
    }
}

fn same_cluster(dir: &Path, have: &str, cluster: &Cluster) -> Result<()> {
    if have == cluster.name.as_str() {
        return Ok(());
    }
    Err(Error::input(format!(
        "{} belongs to cluster `{have}`, and the cluster file describes `{}`",
        dir.display(),
        cluster.name
    ))
    .hint("keep each cluster in a folder of its own; a renamed cluster is a new one, with new keys"))
}

fn new_token(now: OffsetDateTime, policy: &Policy) -> Result<BootstrapToken> {
    BootstrapToken::generate(&mut token::kernel_random()?, now + policy.leaf)
        .map_err(|error| Error::io("reading", Path::new("/dev/urandom"), error))
}
