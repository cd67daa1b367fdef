//! comps: groups and environments, by their names only. What a group is made of is the vendor's affair.

use std::collections::BTreeSet;
use std::io::BufRead;

use super::xml::{Token, Xml};
use crate::error::Result;

/// Most groups and environments.
const MAX_IDS: usize = 10_000;
/// Longest name.
const MAX_ID: usize = 256;

/// Names of groups and environments.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comps {
    /// Groups: `core`.
    pub groups: BTreeSet<String>,
    /// Environments: `minimal-environment`.
    pub environments: BTreeSet<String>,
}

impl Comps {
    /// Reads a document of comps.
    pub(super) fn read(source: impl BufRead, what: &str) -> Result<Self> {
        let mut xml = Xml::new(source, what);
        let mut comps = Comps::default();
        let mut of = String::new();
        loop {
            match xml.next()? {
                Token::Start(root) if root.depth == 1 && root.name != "comps" => {
                    return Err(xml.fault("it is not a list of groups"));
                }
                Token::Start(element) if element.depth == 2 => of = element.name,
                Token::Start(element) if element.depth == 3 && element.name == "id" => {
                    let id = xml.text()?;
                    let list = match of.as_str() {
                        "group" => &mut comps.groups,
                        "environment" => &mut comps.environments,
                        _ => continue,
                    };
                    list.insert(id.chars().take(MAX_ID).collect());
                    if list.len() > MAX_IDS {
                        return Err(xml.fault("it lists more groups than any repository has"));
                    }
                }
                Token::Done => return Ok(comps),
                _ => {}
            }
        }
    }

    /// Adds those of another repository.
    pub fn extend(&mut self, other: Comps) {
        self.groups.extend(other.groups);
        self.environments.extend(other.environments);
    }
}
