//! The files of `pki/`: their names, how the folder is made at first, how an older one is brought up to date, and how each part is
//! read and checked. What is made and renewed later is the business of [`super::Pki`].

use std::path::Path;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::cert::{Pair, PemKey};
use super::issue::{self, NewPair, Policy};
use super::spec::{Authority, LeafId};
use super::store::{self, Access, Store};
use super::{encryption, new_token, same_cluster, token};
use crate::cluster::model::Cluster;
use crate::error::{Error, Result};

/// Names of files below `pki/`.
pub(super) const META: &str = "pki.toml";
/// Layout of the folder. Older ones get what they lack: 1 the authority of kiln's own agents, 2 the key that encrypts Secrets.
const SCHEMA: u32 = 3;
pub(super) const TOKEN: &str = "bootstrap-token.toml";
const SA_KEY: &str = "service-account/sa.key";
const SA_PUB: &str = "service-account/sa.pub";
pub(super) const ENCRYPTION: &str = "encryption/secrets.key";

/// What `pki.toml` holds: which layout this is and whose keys these are.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Meta {
    schema: u32,
    pub cluster: String,
}

/// Adds what a folder of an older kiln lacks. Killed in between, the next run goes on.
pub(super) fn upgrade(
    store: &Store,
    dir: &Path,
    cluster: &Cluster,
    now: OffsetDateTime,
    policy: &Policy,
) -> Result<()> {
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

pub(super) fn create(store: &Store, cluster: &Cluster, now: OffsetDateTime, policy: &Policy) -> Result<()> {
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

fn new_encryption() -> Result<String> {
    encryption::generate(&mut token::kernel_random()?)
        .map_err(|error| Error::io("reading", Path::new("/dev/urandom"), error))
}

pub(super) fn pair_files(pair: &NewPair) -> [store::NewFile<'_>; 2] {
    [("cert.pem", Access::Public, &pair.cert), ("key.pem", Access::Private, pair.key.expose())]
}

pub(super) fn read_meta(store: &Store) -> Result<Meta> {
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

pub(super) fn read_pair(store: &Store, folder: &str) -> Result<Pair> {
    let (cert, key) = (format!("{folder}/cert.pem"), format!("{folder}/key.pem"));
    let cert_text = store.require(&cert, Access::Public)?;
    let key_text = PemKey::new(store.require(&key, Access::Private)?);
    Pair::read((cert_text, &store.path(&cert)), (key_text, &store.path(&key)))
}

pub(super) fn read_authority(store: &Store, which: Authority) -> Result<Pair> {
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

pub(super) fn read_service_account(store: &Store) -> Result<(PemKey, String)> {
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

pub(super) fn stored_leaves(store: &Store) -> Result<Vec<LeafId>> {
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
