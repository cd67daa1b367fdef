//! What is looked at before a machine is installed, and how much each finding weighs: `[preflight]` of `cluster.toml`.
//!
//! Names and defaults only; `node::preflight` looks and judges. The policy travels in the manifest of the medium.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::raw::Text;

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// It is not looked at.
    Off,
    /// It is told.
    Warn,
    /// The machine is not installed.
    Error,
}

impl Level {
    /// The level of that name.
    pub fn named(name: &str) -> Option<Self> {
        [Level::Off, Level::Warn, Level::Error].into_iter().find(|level| level.as_str() == name)
    }

    /// Name as written in `cluster.toml`.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Off => "off",
            Level::Warn => "warn",
            Level::Error => "error",
        }
    }
}

macro_rules! checks {
    ($($variant:ident $key:ident $level:ident $what:literal,)*) => {
        /// Something that is looked at.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "lowercase")]
        pub enum Check { $(#[doc = $what] $variant,)* }

        impl Check {
            /// All checks.
            pub const ALL: &[Check] = &[$(Check::$variant,)*];

            /// Name as written in `cluster.toml`.
            pub fn as_str(self) -> &'static str {
                match self { $(Check::$variant => stringify!($key),)* }
            }

            /// How much its findings weigh where the file does not say.
            pub fn default_level(self) -> Level {
                match self { $(Check::$variant => Level::$level,)* }
            }
        }

        /// How much the findings of the installer weigh: `error` stops it, `warn` is told, `off` is not looked at.
        #[derive(Debug, Default, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        #[schemars(inline)]
        pub(super) struct PreflightTable {
            $(
                #[doc = $what]
                #[schemars(with = "Option<String>", extend("enum" = ["error", "warn", "off"]))]
                pub $key: Text,
            )*
        }

        impl PreflightTable {
            /// What is said of each check, if anything.
            pub fn words(&self) -> impl Iterator<Item = (Check, &Text)> {
                [$((Check::$variant, &self.$key),)*].into_iter()
            }
        }
    };
}

checks! {
    Memory memory Error "RAM, for the role and for the installer. Default: `error`.",
    Cores cores Warn "Cores, for the role. Default: `warn`.",
    Cpu cpu Error "Whether the processor can run the system. Default: `error`.",
    Firmware firmware Error "Whether the firmware can boot from the disk. Default: `error`.",
    Space space Error "Room on the disk for the system, the components and the images. Default: `error`.",
    Link link Error "Whether the NIC has a link. Default: `error`.",
    Address address Error "Whether another machine has the node's address. Default: `error`.",
    Vip vip Warn "Whether a machine that is none of the VIP's holders answers for it. Default: `warn`.",
    Vrrp vrrp Warn "Whether others use the cluster's virtual router id on the segment. Default: `warn`.",
    Gateway gateway Warn "Whether the gateway answers. Default: `warn`.",
    Peers peers Warn "Whether any master or load balancer answers. Default: `warn`.",
    Mtu mtu Warn "Whether NIC and segment carry frames of the MTU. Default: `warn`.",
    Clock clock Error "Whether the certificates can be good by the machine's clock. Default: `error`.",
    Fsync fsync Warn "How long etcd's disk takes to write; measured after the file systems are made. Default: `warn`.",
}

/// How much each finding weighs: what the file says, else the default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Policy(pub BTreeMap<Check, Level>);

impl Policy {
    /// The level of a check.
    pub fn level(&self, check: Check) -> Level {
        self.0.get(&check).copied().unwrap_or(check.default_level())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_keys_and_defaults_are_told() {
        let schema = serde_json::to_value(schemars::schema_for!(PreflightTable)).unwrap();
        let properties = schema["properties"].as_object().unwrap();
        assert_eq!(properties.len(), Check::ALL.len());
        for check in Check::ALL {
            let about = properties[check.as_str()]["description"].as_str().unwrap();
            assert!(about.ends_with(&format!("Default: `{}`.", check.default_level().as_str())), "{about}");
            assert_eq!(serde_json::to_value(check).unwrap(), check.as_str());
            assert_eq!(Level::named(check.default_level().as_str()), Some(check.default_level()));
        }
    }

    #[test]
    fn what_is_not_said_has_its_default() {
        let policy: Policy = serde_json::from_str(r#"{"memory":"warn"}"#).unwrap();
        assert_eq!(policy.level(Check::Memory), Level::Warn);
        assert_eq!(policy.level(Check::Address), Level::Error);
        assert!(serde_json::from_str::<Policy>(r#"{"ram":"warn"}"#).is_err());
    }
}
