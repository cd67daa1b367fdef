//! Labels of Kubernetes' objects: keys and values as its "Labels and Selectors" allows them.

use std::str::FromStr;

use super::types::{HostName, shown_as_text};

/// Key of a Kubernetes label: an optional DNS prefix and `/`, then a name of 1 to 63 characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LabelKey(String);

impl FromStr for LabelKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name = match text.split_once('/') {
            None => text,
            Some((prefix, name)) => {
                prefix
                    .parse::<HostName>()
                    .map_err(|rule| format!("the prefix of a label key is a DNS name: {rule}"))?;
                name
            }
        };
        if name.is_empty() {
            return Err("a label key has a name of 1 to 63 characters".into());
        }
        check_label_name(name)?;
        Ok(Self(text.to_owned()))
    }
}

/// Value of a Kubernetes label: 0 to 63 characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LabelValue(String);

impl FromStr for LabelValue {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        check_label_name(text)?;
        Ok(Self(text.to_owned()))
    }
}

fn check_label_name(name: &str) -> Result<(), String> {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let edge = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
    if name.len() > 63 || !name.chars().all(inner) || !edge(name.chars().next()) || !edge(name.chars().last())
    {
        return Err("a label's name and value have at most 63 letters, digits, `-`, `_`, `.`, \
                    and start and end with a letter or digit"
            .into());
    }
    Ok(())
}

shown_as_text!(LabelKey, LabelValue);
