//! The list of all bootstrap tokens, for the masters: they make the Secrets of it that let kubelets ask for a certificate.
//!
//! Written once at build time, read on masters. A secret as a whole: no worker may see another's token.

use std::path::Path;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::token::{BootstrapToken, well_formed};
use super::{Joiner, Pki};
use crate::cluster::model::Cluster;
use crate::error::{Error, Result};

/// Where masters have it.
pub const JOIN_TOKENS: &str = "/opt/kiln/bootstrap-tokens.json";
/// More joiners than a cluster file can describe.
const MOST: usize = 1000;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: u32,
    expires: String,
    tokens: Vec<Row>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    joiner: String,
    token: String,
}

/// All bootstrap tokens of a cluster. They end together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinTokens {
    expires: OffsetDateTime,
    tokens: Vec<(Joiner, BootstrapToken)>,
}

impl JoinTokens {
    /// The tokens of all that may join `cluster`.
    pub fn of(pki: &Pki, cluster: &Cluster) -> Result<Self> {
        let mut tokens: Vec<(Joiner, BootstrapToken)> = Vec::new();
        for joiner in Joiner::all(cluster) {
            let token = pki.token().derive(&joiner)?;
            if let Some((other, _)) = tokens.iter().find(|(_, known)| known.id() == token.id()) {
                return Err(Error::input(format!("{other} and {joiner} happen to get the same token id"))
                    .hint(
                        "move pki/bootstrap-token.toml away: another token is made, and with it other ids",
                    ));
            }
            tokens.push((joiner, token));
        }
        Ok(Self { expires: pki.token().expires(), tokens })
    }

    /// Who may join, and with which token.
    pub fn iter(&self) -> impl Iterator<Item = &(Joiner, BootstrapToken)> {
        self.tokens.iter()
    }

    /// When all of them end.
    pub fn expires(&self) -> OffsetDateTime {
        self.expires
    }

    /// As it lies on masters.
    pub fn to_json(&self) -> Result<String> {
        let fault =
            |error: &dyn std::error::Error| Error::internal(format!("writing tokens failed: {error}"));
        let expires = self.expires.format(&Rfc3339).map_err(|error| fault(&error))?;
        let row = |(joiner, token): &(Joiner, BootstrapToken)| Row {
            joiner: joiner.to_string(),
            token: token.expose().to_owned(),
        };
        let file = File { format: 1, expires, tokens: self.tokens.iter().map(row).collect() };
        serde_json::to_string_pretty(&file).map(|text| text + "\n").map_err(|error| fault(&error))
    }

    /// Reads what [`JoinTokens::to_json`] wrote. Errors quote nothing of it.
    pub fn from_json(text: &str, path: &Path) -> Result<Self> {
        let wrong = |why: &str| Error::input(format!("{} cannot be used: {why}", path.display()));
        let file: File = serde_json::from_str(text).map_err(|_| wrong("it is no list of tokens"))?;
        if file.format != 1 || file.tokens.len() > MOST {
            return Err(wrong("it is of another format"));
        }
        let expires = OffsetDateTime::parse(&file.expires, &Rfc3339)
            .map_err(|_| wrong("`expires` is no time as RFC 3339 writes it"))?;
        let mut tokens = Vec::new();
        for row in file.tokens {
            let joiner = row.joiner.parse().map_err(|_| wrong("it names neither a node nor a pool"))?;
            if !well_formed(&row.token) {
                return Err(wrong("a token is not of the form [a-z0-9]{6}.[a-z0-9]{16}"));
            }
            tokens.push((joiner, BootstrapToken::new(row.token, expires)));
        }
        Ok(Self { expires, tokens })
    }
}
