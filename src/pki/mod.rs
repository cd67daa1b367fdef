//! The only holder of private keys: authorities, leaves, the service-account pair and the bootstrap token of a cluster.
//!
//! They live in `pki/` beside the cluster file, are made once and reused, so that media built months apart join the same
//! cluster. Authorities are never replaced; a leaf is issued anew when the cluster file wants it otherwise or it is about to
//! expire, and the former one stays beside it as `.old`.

mod cert;
mod describe;
mod encryption;
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

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

pub use cert::{Facts, Pair, PemKey, read_facts};
pub use describe::{Description, EntryKind, Row};
pub use issue::{BACKDATE, NewPair, Policy, Signer};
pub use joiner::{GROUP as BOOTSTRAP_GROUP, Joiner};
pub use spec::{AGENT_OF_NODE, AGENT_OF_POOL, Authority, LeafId, LeafSpec, San, Usage, wanted};
pub use token::BootstrapToken;
pub use tokens::{JOIN_TOKENS, JoinTokens};

use crate::cluster::model::Cluster;
use crate::digest::Sha256;
use crate::error::{Error, Result};
use store::{Access, Store};

/// Names of files below `pki/`.
const META: &str = "pki.toml";
/// Layout of the folder. Older ones get what they lack: 1 the authority of kiln's own agents, 2 the key that encrypts Secrets.
const SCHEMA: u32 = 3;
const TOKEN: &str = "bootstrap-token.toml";
const SA_KEY: &str = "service-account/sa.key";
const SA_PUB: &str = "service-account/sa.pub";
const ENCRYPTION: &str = "encryption/secrets.key";

/// What `pki.toml` holds: which layout this is and whose keys these are.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Meta {
    schema: u32,
    cluster: String,
}

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

/// Adds what a folder of an older kiln lacks. Killed in between, the next run goes on.
fn upgrade(store: &Store, dir: &Path, cluster: &Cluster, now: OffsetDateTime, policy: &Policy) -> Result<()> {
    let Some(text) = store.read(META, Access::Public)? else { return Ok(()) };
    let meta = parse_meta(store, &text)?;
    if !(1..SCHEMA).contains(&meta.schema) {
        return Ok(());
    }
    same_cluster(dir, &meta.cluster, cluster)?;
    let folder = format!("ca/{}", Authority::Kiln.folder());
    if store.read(&format!("{folder}/cert.pem"), Access::Public)?.is_none() {
        let pair = issue::authority(Authority::Kiln, cluster.name.as_str(), policy, now)?;
        store.replace_folder(&folder, &pair_files(&pair))?;
    }
    if store.read(ENCRYPTION, Access::Private)?.is_none() {
        let key = new_encryption()?;
        store.replace_folder("encryption", &[("secrets.key", Access::Private, key.as_str())])?;
    }
    store.replace_public(META, &meta_text(&meta.cluster)?)
}

fn meta_text(cluster: &str) -> Result<String> {
    toml::to_string(&Meta { schema: SCHEMA, cluster: cluster.to_owned() })
        .map_err(|error| Error::internal("writing pki.toml failed").because(error))
}

fn create(store: &Store, cluster: &Cluster, now: OffsetDateTime, policy: &Policy) -> Result<()> {
    let meta = meta_text(cluster.name.as_str())?;
    let (sa_key, sa_pub) = issue::service_account()?;
    let token = new_token(now, policy)?.to_toml()?;
    let encryption = new_encryption()?;
    let mut pairs = Vec::new();
    for which in Authority::ALL {
        let pair = issue::authority(which, cluster.name.as_str(), policy, now)?;
        pairs.push((format!("ca/{}/cert.pem", which.folder()), Access::Public, pair.cert));
        pairs.push((format!("ca/{}/key.pem", which.folder()), Access::Private, pair.key.expose().to_owned()));
    }
    let mut files = vec![
        (META, Access::Public, meta.as_str()),
        (TOKEN, Access::Private, token.as_str()),
        (SA_KEY, Access::Private, sa_key.expose()),
        (SA_PUB, Access::Public, sa_pub.as_str()),
        (ENCRYPTION, Access::Private, encryption.as_str()),
    ];
    files.extend(pairs.iter().map(|(name, access, text)| (name.as_str(), *access, text.as_str())));
    store.create(&files)
}

fn new_token(now: OffsetDateTime, policy: &Policy) -> Result<BootstrapToken> {
    BootstrapToken::generate(&mut token::kernel_random()?, now + policy.leaf)
        .map_err(|error| Error::io("reading", Path::new("/dev/urandom"), error))
}

fn new_encryption() -> Result<String> {
    encryption::generate(&mut token::kernel_random()?)
        .map_err(|error| Error::io("reading", Path::new("/dev/urandom"), error))
}

fn pair_files(pair: &NewPair) -> [store::NewFile<'_>; 2] {
    [("cert.pem", Access::Public, &pair.cert), ("key.pem", Access::Private, pair.key.expose())]
}

fn read_meta(store: &Store) -> Result<Meta> {
    let meta = parse_meta(store, &store.require(META, Access::Public)?)?;
    if meta.schema == SCHEMA {
        return Ok(meta);
    }
    let hint = if meta.schema < SCHEMA {
        "`kiln pki init` adds what is new and changes nothing else"
    } else {
        "use the kiln that made it, or a newer one"
    };
    Err(Error::input(format!(
        "{} has schema {}, and this kiln knows schema {SCHEMA}",
        store.path(META).display(),
        meta.schema
    ))
    .hint(hint))
}

fn parse_meta(store: &Store, text: &str) -> Result<Meta> {
    toml::from_str(text).map_err(|error| {
        Error::input(format!("{} cannot be read", store.path(META).display())).because(error)
    })
}

fn read_pair(store: &Store, folder: &str) -> Result<Pair> {
    let (cert, key) = (format!("{folder}/cert.pem"), format!("{folder}/key.pem"));
    let cert_text = store.require(&cert, Access::Public)?;
    let key_text = PemKey::new(store.require(&key, Access::Private)?);
    Pair::read((cert_text, &store.path(&cert)), (key_text, &store.path(&key)))
}

fn read_authority(store: &Store, which: Authority) -> Result<Pair> {
    let folder = format!("ca/{}", which.folder());
    let pair = read_pair(store, &folder)?;
    if pair.facts.authority && pair.facts.common_name == which.common_name() && pair.signed_by(&pair) {
        return Ok(pair);
    }
    Err(Error::input(format!(
        "{} is not the authority `{}` that kiln made",
        store.path(&format!("{folder}/cert.pem")).display(),
        which.common_name()
    ))
    .hint("restore it from a backup of the `pki` folder"))
}

fn read_service_account(store: &Store) -> Result<(PemKey, String)> {
    let key = PemKey::new(store.require(SA_KEY, Access::Private)?);
    let public = store.require(SA_PUB, Access::Public)?;
    let restore = |message: String| Error::input(message).hint("restore both from the same backup");
    let (_, want) = issue::public_half(&key).map_err(|_| {
        restore(format!("{} is no ECDSA private key in PKCS#8", store.path(SA_KEY).display()))
    })?;
    if want.trim() != public.trim() {
        return Err(restore(format!(
            "{} is not the public half of {}",
            store.path(SA_PUB).display(),
            store.path(SA_KEY).display()
        )));
    }
    Ok((key, public))
}

fn stored_leaves(store: &Store) -> Result<Vec<LeafId>> {
    let mut ids = Vec::new();
    for group in ["nodes", "pools"] {
        for owner in store.folders(group)? {
            for leaf in store.folders(&format!("{group}/{owner}"))? {
                ids.push(LeafId::from_folder(format!("{group}/{owner}/{leaf}")));
            }
        }
    }
    for leaf in store.folders("operators")? {
        ids.push(LeafId::from_folder(format!("operators/{leaf}")));
    }
    Ok(ids)
}
