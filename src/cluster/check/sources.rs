//! `[components]`: where what nodes run comes from.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use super::super::findings::At;
use super::super::model::Components;
use super::super::raw::{ComponentsTable, Labels, Texts};
use super::super::rule::Rule;
use super::super::shape::join;
use super::Check;
use crate::format::oci::{Reference, Registry};

impl Check<'_, '_> {
    /// The whole table.
    pub fn components(&mut self, raw: &ComponentsTable) -> Components {
        let dir = self.path(&raw.dir, "components.dir");
        let download = raw.download.as_ref().map(|download| *download.get_ref());
        let known = |name: &str| {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            match name.is_empty() || !name.chars().all(plain) {
                true => Err("a component's name has lower-case letters, digits and `-`"),
                false if name == "kubernetes" => Err("its version is `kubernetes` of [cluster]"),
                false => Ok(name.to_owned()),
            }
        };
        let registry = |name: &str| name.parse::<Registry>();
        Components {
            download: download.unwrap_or(dir.is_none()),
            dir,
            images: self.images(&raw.images),
            versions: self.map(&raw.versions, "components.versions", Rule::BadVersion, known),
            mirror: self.word(&raw.mirror, "components.mirror", Rule::BadUrl),
            ca: self.path(&raw.ca, "components.ca"),
            registries: self.map(&raw.registries, "components.registries", Rule::BadUrl, registry),
        }
    }

    fn images(&mut self, raw: &Texts) -> Vec<Reference> {
        let mut images: Vec<Reference> = Vec::new();
        for (index, text) in raw.iter().enumerate() {
            let key = format!("components.images[{index}]");
            let at = At::new(&*key, text.span());
            match text.get_ref().parse::<Reference>() {
                Ok(found) if images.contains(&found) => {
                    let message = format!("`{key}` is the same image as an earlier one");
                    self.findings.warning(Rule::Duplicate, &at, message).hint("remove one of the two");
                }
                Ok(found) => images.push(found),
                Err(why) => {
                    let message = format!("`{key}` cannot be used: {why}");
                    self.findings
                        .error(Rule::BadImage, &at, message)
                        .hint("write it as pods do: registry.example/team/app:1.2");
                }
            }
        }
        images
    }

    /// A table of names and what they stand for.
    fn map<K: Ord, V: FromStr<Err = String>, E: Display>(
        &mut self,
        raw: &Labels,
        table: &str,
        rule: Rule,
        name_of: impl Fn(&str) -> Result<K, E>,
    ) -> BTreeMap<K, V> {
        let mut map = BTreeMap::new();
        for (name, value) in raw {
            let key = join(table, name.get_ref());
            let found = name_of(name.get_ref());
            if let Err(why) = &found {
                let at = At::new(key.clone(), name.span());
                self.findings.error(rule, &at, format!("`{key}` cannot be used: {why}"));
            }
            let value = self.word::<V>(&Some(value.clone()), &key, rule);
            if let (Ok(name), Some(value)) = (found, value) {
                map.insert(name, value);
            }
        }
        map
    }
}
