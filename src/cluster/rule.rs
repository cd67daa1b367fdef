//! Names of the rules that `cluster.toml` is held against. They are stable: people search for them, and the
//! documentation (`docs/cluster-toml.md`) has an entry for each.

macro_rules! rules {
    ($($variant:ident = $name:literal,)*) => {
        /// A rule, by its stable name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs, reason = "each is explained in docs/cluster-toml.md; a test holds the two together")]
        pub enum Rule { $($variant,)* }

        impl Rule {
            /// All rules.
            pub const ALL: &[Rule] = &[$(Rule::$variant,)*];

            /// The name as shown and documented: `cidr-overlap`.
            pub fn name(self) -> &'static str {
                match self { $(Rule::$variant => $name,)* }
            }
        }
    };
}

rules! {
    // The file and its shape.
    TooLarge = "too-large",
    NotUtf8 = "not-utf8",
    TomlSyntax = "toml-syntax",
    UnknownKey = "unknown-key",
    MissingKey = "missing-key",
    WrongType = "wrong-type",
    UnknownValue = "unknown-value",
    OutOfRange = "out-of-range",
    TooMany = "too-many",
    TooLong = "too-long",
    // Single values.
    BadName = "bad-name",
    BadVersion = "bad-version",
    BadAddress = "bad-address",
    Ipv4Only = "ipv4-only",
    BadCidr = "bad-cidr",
    CidrHostBits = "cidr-host-bits",
    CidrSize = "cidr-size",
    BadPath = "bad-path",
    BadImage = "bad-image",
    BadUrl = "bad-url",
    BadMac = "bad-mac",
    BadUuid = "bad-uuid",
    BadSerial = "bad-serial",
    PlaceholderIdentity = "placeholder-identity",
    BadDisk = "bad-disk",
    BadBond = "bad-bond",
    BadNic = "bad-nic",
    BadLabel = "bad-label",
    ReservedLabel = "reserved-label",
    BadSshKey = "bad-ssh-key",
    BadPasswordHash = "bad-password-hash",
    BadSerialConsole = "bad-serial-console",
    BaseWithoutMedium = "base-without-medium",
    // Values together.
    CidrOverlap = "cidr-overlap",
    OutsideSubnet = "outside-subnet",
    NotAHostAddress = "not-a-host-address",
    AddressTaken = "address-taken",
    Duplicate = "duplicate",
    NodeWithoutIdentity = "node-without-identity",
    NoMasters = "no-masters",
    EtcdCount = "etcd-count",
    FewMasters = "few-masters",
    OneLb = "one-lb",
    NoWorkers = "no-workers",
    // Combinations of system, Kubernetes, runtime and proxy.
    ProxyMode = "proxy-mode",
    IpvsDeprecated = "ipvs-deprecated",
    DockerCgroup = "docker-cgroup",
    KubernetesTooNew = "kubernetes-too-new",
    KubernetesTooOld = "kubernetes-too-old",
    BeyondUpstream = "beyond-upstream",
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_plain() {
        let names: BTreeSet<&str> = Rule::ALL.iter().map(|rule| rule.name()).collect();
        assert_eq!(names.len(), Rule::ALL.len());
        let plain =
            |name: &str| name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        assert!(names.into_iter().all(plain));
    }
}
