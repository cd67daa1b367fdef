//! Which Kubernetes, on which system, with which runtime and kube-proxy mode: the one place for such rules, as a table
//! with reasons. Parts of kiln that depend on a combination ask here, and compare no versions on their own.
//!
//! Not here: which flags a version takes; that is data of the rendered files.

use super::diag::Severity;
use super::model::{ProxyMode, Runtime};
use super::rule::Rule;
use super::types::{KubeVersion, Release};

/// What a combination is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Combination {
    /// Kubernetes version.
    pub kubernetes: KubeVersion,
    /// Operating system release.
    pub release: Release,
    /// Container runtime.
    pub runtime: Runtime,
    /// Mode of kube-proxy.
    pub proxy_mode: ProxyMode,
}

/// Which of the values of a combination a gate is about; its key is where the finding points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// `cluster.kubernetes`.
    Kubernetes,
    /// `cluster.runtime`.
    Runtime,
    /// `cluster.proxy_mode`.
    ProxyMode,
}

/// How hard a gate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It cannot work.
    Refused,
    /// It may work, and nobody promises it: refused unless `cluster.allow_unsupported` is set.
    Unsupported,
    /// It works; something should be known.
    Warned,
}

impl Verdict {
    /// Severity of the finding.
    pub fn severity(self, allow_unsupported: bool) -> Severity {
        match self {
            Verdict::Refused => Severity::Error,
            Verdict::Unsupported if !allow_unsupported => Severity::Error,
            Verdict::Unsupported | Verdict::Warned => Severity::Warning,
        }
    }
}

/// One rule about combinations.
#[derive(Debug, Clone, Copy)]
pub struct Gate {
    /// Name of the rule.
    pub rule: Rule,
    /// How hard it is.
    pub verdict: Verdict,
    /// What it is about.
    pub part: Part,
    /// Whether it speaks of a combination.
    pub applies: fn(&Combination) -> bool,
    /// Why, as a full sentence without a final stop.
    pub reason: &'static str,
    /// What to do.
    pub hint: &'static str,
}

/// All gates. Sources: Kubernetes release notes and system validators, KEP-2254, KEP-4569 and KEP-5573 (cgroups), KEP-3866
/// (nftables).
pub const GATES: &[Gate] = &[
    Gate {
        rule: Rule::ProxyMode,
        verdict: Verdict::Refused,
        part: Part::ProxyMode,
        applies: |c| c.proxy_mode == ProxyMode::Nftables && c.release.el <= 8,
        reason: "kube-proxy's nftables mode needs kernel 5.13, and EL7 and EL8 have 3.10 and 4.18",
        hint: "use proxy_mode = \"iptables\"",
    },
    Gate {
        rule: Rule::ProxyMode,
        verdict: Verdict::Refused,
        part: Part::ProxyMode,
        applies: |c| c.proxy_mode == ProxyMode::Nftables && !c.kubernetes.at_least(31),
        reason: "kube-proxy's nftables mode is off before Kubernetes 1.31, where it became beta",
        hint: "use proxy_mode = \"iptables\", or Kubernetes 1.31 or later",
    },
    Gate {
        rule: Rule::ProxyMode,
        verdict: Verdict::Refused,
        part: Part::ProxyMode,
        applies: |c| {
            c.proxy_mode == ProxyMode::Ipvs
                && c.release.el == 7
                && c.kubernetes.minor == 18
                && c.kubernetes.patch <= 2
        },
        reason: "kube-proxy 1.18.0 to 1.18.2 cannot drive IPVS on EL7's kernel (\"parseIP Error\")",
        hint: "use Kubernetes 1.18.3 or later, or proxy_mode = \"iptables\"",
    },
    Gate {
        rule: Rule::ProxyMode,
        verdict: Verdict::Warned,
        part: Part::ProxyMode,
        applies: |c| c.proxy_mode == ProxyMode::Iptables && c.release.el >= 10,
        reason: "EL10's base kernel lacks the modules of legacy iptables; they are in kernel-modules-extra",
        hint: "use proxy_mode = \"nftables\" with Kubernetes 1.31 or later",
    },
    Gate {
        rule: Rule::IpvsDeprecated,
        verdict: Verdict::Warned,
        part: Part::ProxyMode,
        applies: |c| c.proxy_mode == ProxyMode::Ipvs && c.kubernetes.at_least(35),
        reason: "kube-proxy's IPVS mode is deprecated since Kubernetes 1.35",
        hint: "use \"nftables\" on EL9 and EL10, \"iptables\" elsewhere",
    },
    Gate {
        rule: Rule::DockerCgroup,
        verdict: Verdict::Warned,
        part: Part::Runtime,
        applies: |c| c.runtime == Runtime::Docker && c.release.el >= 9,
        reason: "EL9 and EL10 boot with cgroup v2, which Docker knows from 20.10 on",
        hint: "take care that the docker component is 20.10 or later, or use runtime = \"containerd\"",
    },
    Gate {
        rule: Rule::KubernetesTooNew,
        verdict: Verdict::Unsupported,
        part: Part::Kubernetes,
        applies: |c| c.release.el == 7 && c.kubernetes.at_least(35),
        reason: "from 1.35 on the kubelet refuses cgroup v1, the only one EL7 has, unless it is told otherwise, and its \
                 kernel 3.10 is outside what upstream tests",
        hint: "use EL9 or EL10, or Kubernetes up to 1.34; to try it all the same: allow_unsupported = true in [cluster]",
    },
    Gate {
        rule: Rule::BeyondUpstream,
        verdict: Verdict::Warned,
        part: Part::Kubernetes,
        applies: |c| c.release.el == 7 && (32..=34).contains(&c.kubernetes.minor),
        reason: "upstream's own system check wants kernel 4.19 or later from Kubernetes 1.32 on, and EL7 has 3.10",
        hint: "EL9 or EL10 is inside upstream's promise; on EL7 the last such version is 1.31",
    },
    Gate {
        rule: Rule::BeyondUpstream,
        verdict: Verdict::Warned,
        part: Part::Kubernetes,
        applies: |c| c.release.el == 8 && (32..=34).contains(&c.kubernetes.minor),
        reason: "upstream's own system check wants kernel 4.19 or later from Kubernetes 1.32 on, and EL8 has 4.18",
        hint: "EL9 or EL10 is inside upstream's promise; on EL8 the last such version is 1.31",
    },
    Gate {
        rule: Rule::BeyondUpstream,
        verdict: Verdict::Warned,
        part: Part::Kubernetes,
        applies: |c| c.release.el == 8 && c.kubernetes.at_least(35),
        reason: "EL8 boots with cgroup v1, which the kubelet takes from 1.35 on only because kiln sets failCgroupV1: false, \
                 and its kernel 4.18 is outside upstream's system check",
        hint: "EL9 or EL10 is inside upstream's promise",
    },
    Gate {
        rule: Rule::KubernetesTooOld,
        verdict: Verdict::Refused,
        part: Part::Kubernetes,
        applies: |c| c.release.el >= 9 && !c.kubernetes.at_least(19),
        reason: "the kubelet knows cgroup v2, with which EL9 and EL10 boot, from Kubernetes 1.19 on",
        hint: "use Kubernetes 1.19 or later, or EL7 or EL8",
    },
    Gate {
        rule: Rule::KubernetesTooOld,
        verdict: Verdict::Warned,
        part: Part::Kubernetes,
        applies: |c| c.release.el >= 10 && (19..25).contains(&c.kubernetes.minor),
        reason: "EL10 has cgroup v2 only, which the kubelet promises from Kubernetes 1.25 on",
        hint: "use Kubernetes 1.25 or later on EL10",
    },
];

/// A rule about the version of a component. The versions `from` (included) to `below` (excluded) do not fit.
#[derive(Debug, Clone, Copy)]
pub struct ComponentGate {
    /// Name of the component.
    pub component: &'static str,
    /// For which clusters.
    pub applies: fn(KubeVersion, Release) -> bool,
    /// First version that does not fit.
    pub from: &'static str,
    /// First version that fits again.
    pub below: &'static str,
    /// Why, and what to use.
    pub reason: &'static str,
}

/// Versions of components that do not fit. Sources: containerd's RELEASES.md, Docker's release notes, cri-dockerd's source.
pub const COMPONENT_GATES: &[ComponentGate] = &[
    ComponentGate {
        component: "containerd",
        applies: |kubernetes, _| !kubernetes.at_least(23),
        from: "2.0.0-0",
        below: "999",
        reason: "containerd 2 no longer serves CRI v1alpha2, the only one that the kubelet speaks before 1.23; use 1.4 to 1.7",
    },
    ComponentGate {
        component: "containerd",
        applies: |kubernetes, _| kubernetes.at_least(26),
        from: "0",
        below: "1.6.15",
        reason: "from 1.26 on the kubelet speaks CRI v1 only; use containerd 1.6.15 or later",
    },
    ComponentGate {
        component: "docker",
        applies: |_, release| release.el >= 9,
        from: "0",
        below: "20.10",
        reason: "Docker knows cgroup v2, with which EL9 and EL10 boot, from 20.10 on",
    },
    ComponentGate {
        component: "cri-dockerd",
        applies: |_, _| true,
        from: "0",
        below: "0.4.0",
        reason: "from 0.4.0 on it tells the kubelet its cgroup driver and keeps its port for `kubectl exec` on the node itself",
    },
    ComponentGate {
        component: "docker",
        applies: |kubernetes, _| kubernetes.at_least(24),
        from: "0",
        below: "23.0",
        reason: "cri-dockerd, through which the kubelet speaks to it from 1.24 on, wants Docker 23.0 or later (API 1.42)",
    },
];

impl Combination {
    /// The gates that speak of this combination, in the order of the table.
    pub fn gates(&self) -> impl Iterator<Item = &'static Gate> {
        let combination = *self;
        GATES.iter().filter(move |gate| (gate.applies)(&combination))
    }
}

/// The mode that kube-proxy gets where the file names none.
pub fn default_proxy_mode(kubernetes: KubeVersion, release: Release) -> ProxyMode {
    if release.el >= 10 && kubernetes.at_least(31) { ProxyMode::Nftables } else { ProxyMode::Iptables }
}

/// Whether nodes of a release boot with cgroup v1.
pub fn boots_cgroup_v1(release: Release) -> bool {
    release.el <= 8
}

/// Whether the kubelet must be told `failCgroupV1: false`: the field is there from 1.31 on, and its default refuses cgroup v1
/// from 1.35 on.
pub fn needs_fail_cgroup_v1_off(kubernetes: KubeVersion, release: Release) -> bool {
    boots_cgroup_v1(release) && kubernetes.at_least(31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(kubernetes: &str, release: &str, runtime: Runtime, proxy_mode: ProxyMode) -> Vec<&'static str> {
        let (kubernetes, release) = (kubernetes.parse().unwrap(), release.parse().unwrap());
        let combination = Combination { kubernetes, release, runtime, proxy_mode };
        let refused = combination.gates().filter(|gate| gate.verdict != Verdict::Warned);
        refused.map(|gate| gate.rule.name()).collect()
    }

    #[test]
    fn what_cannot_work_is_refused() {
        use {ProxyMode::*, Runtime::*};
        assert_eq!(errors("1.37.2", "centos-stream-8", Containerd, Nftables), ["proxy-mode"]);
        assert_eq!(errors("1.30.9", "centos-stream-9", Containerd, Nftables), ["proxy-mode"]);
        assert_eq!(errors("1.18.2", "centos-7", Docker, Ipvs), ["proxy-mode"]);
        assert!(errors("1.18.3", "centos-7", Docker, Ipvs).is_empty());
        assert!(errors("1.24.0", "centos-7", Docker, Iptables).is_empty());
        assert_eq!(errors("1.35.0", "centos-7", Containerd, Iptables), ["kubernetes-too-new"]);
        assert!(errors("1.35.0", "centos-stream-8", Containerd, Iptables).is_empty());
        assert_eq!(errors("1.18.20", "rocky-9", Containerd, Iptables), ["kubernetes-too-old"]);
    }

    /// Every minor has at least one way to run on every system that is neither too old nor too new for it, with the
    /// defaults and without an error.
    #[test]
    fn the_defaults_work_on_every_minor_and_release() {
        for release in Release::all() {
            for minor in KubeVersion::OLDEST_MINOR..=KubeVersion::NEWEST_MINOR {
                let kubernetes = KubeVersion { minor, patch: 0 };
                let proxy_mode = default_proxy_mode(kubernetes, release);
                let found =
                    errors(&kubernetes.to_string(), &release.to_string(), Runtime::Containerd, proxy_mode);
                let refused = (release.el == 7 && minor >= 35) || (release.el >= 9 && minor < 19);
                assert_eq!(!found.is_empty(), refused, "{kubernetes} on {release}: {found:?}");
            }
        }
    }

    #[test]
    fn unsupported_becomes_a_warning_where_it_is_allowed() {
        assert_eq!(Verdict::Unsupported.severity(false), Severity::Error);
        assert_eq!(Verdict::Unsupported.severity(true), Severity::Warning);
        assert_eq!(Verdict::Refused.severity(true), Severity::Error);
    }
}
