//! What depends on a version: the one place that knows. Templates ask by name and hold no version themselves.

use serde::Serialize;

use crate::cluster::Cluster;
use crate::cluster::model::Runtime;

use super::Versions;

/// Answers for one cluster, as templates see them (`gate.…`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gates {
    /// The kubelet's `containerRuntimeEndpoint` (1.27); before that its flag.
    pub runtime_endpoint_in_config: bool,
    /// The kubelet's `registerWithTaints` (1.23); before that its flag.
    pub taints_in_config: bool,
    /// `failCgroupV1: false` is needed: the field exists (1.31), true by default from 1.35 on, and the host has cgroup v1.
    pub allow_cgroup_v1: bool,
    /// `AuthenticationConfiguration` v1 for the API server (1.34).
    pub authentication_config: bool,
    /// Taint of the control plane: `control-plane` from 1.24 on, `master` before.
    pub master_taint: &'static str,
    /// containerd's configuration is of version 3 (containerd 2); else version 2 (containerd 1).
    pub containerd_v3: bool,
    /// The kernel lacks what containerd's unprivileged ports and ping need (before 4.11).
    pub old_kernel: bool,
    /// nginx knows `proxy_socket_keepalive` (1.15.6): EL 8's default stream is 1.14, EL 7's of EPEL is 1.20.
    pub nginx_keepalive: bool,
    /// Path that asks an API server whether it serves. etcd is left out: an election there is no reason to move the VIP,
    /// all proxies see the same etcd. The check `etcd-readiness` came in 1.26, and older ones log a warning about it.
    pub api_health: &'static str,
    /// What metrics-server reads at kubelets, as RBAC names it: 0.5, the release up to 1.24, asks for `/stats/summary`, later ones
    /// for `/metrics/resource`. Up to 1.24 both, so that a later release may take its place.
    pub metrics_of_kubelets: &'static str,
    /// Image of the pod sandbox that this minor expects.
    pub sandbox_image: String,
}

impl Gates {
    /// Gates of a cluster. Without a version for containerd the one that suits the Kubernetes minor is taken.
    pub fn new(cluster: &Cluster, versions: &Versions) -> Self {
        let minor = cluster.kubernetes.minor;
        let el = cluster.base.release.el;
        Self {
            runtime_endpoint_in_config: minor >= 27,
            taints_in_config: minor >= 23,
            allow_cgroup_v1: minor >= 31 && cgroup_v1(el, minor),
            authentication_config: minor >= 34,
            master_taint: if minor >= 24 { "control-plane" } else { "master" },
            containerd_v3: containerd_2(minor, versions),
            old_kernel: el == 7,
            nginx_keepalive: el != 8,
            api_health: match minor {
                ..=25 => "/readyz?exclude=etcd",
                26.. => "/readyz?exclude=etcd&exclude=etcd-readiness",
            },
            metrics_of_kubelets: if minor >= 25 {
                r#"["nodes/metrics"]"#
            } else {
                r#"["nodes/metrics", "nodes/stats"]"#
            },
            sandbox_image: format!("registry.k8s.io/pause:{}", pause(minor)),
        }
    }
}

/// Whether nodes boot with cgroup v1: EL 7 and 8 by default, EL 9 where the kubelet is too old for v2 (1.18).
fn cgroup_v1(el: u8, minor: u8) -> bool {
    el <= 8 || (el == 9 && minor < 19)
}

/// Whether containerd is of major 2. It serves no CRI v1alpha2, so before Kubernetes 1.23 it cannot be.
fn containerd_2(minor: u8, versions: &Versions) -> bool {
    match versions.get("containerd") {
        Some(version) => !version.trim_start_matches('v').starts_with("1."),
        None => minor >= 34,
    }
}

/// Version of the pause image that kubeadm of each minor names.
fn pause(minor: u8) -> &'static str {
    match minor {
        ..=20 => "3.2",
        21 => "3.4.1",
        22 => "3.5",
        23 => "3.6",
        24 => "3.7",
        25 => "3.8",
        26..=30 => "3.9",
        31..=33 => "3.10",
        34 | 35 => "3.10.1",
        36.. => "3.10.2",
    }
}

/// Socket of the container runtime as the kubelet wants it; `None` for the dockershim, which needs none and left in 1.24:
/// from then on cri-dockerd stands between kubelet and Docker.
pub fn runtime_endpoint(runtime: Runtime, minor: u8) -> Option<&'static str> {
    match runtime {
        Runtime::Containerd => Some("unix:///run/containerd/containerd.sock"),
        Runtime::Docker if minor >= 24 => Some("unix:///run/cri-dockerd.sock"),
        Runtime::Docker => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containerd_follows_the_lock_then_kubernetes() {
        let locked = |version: &str| Versions::from([("containerd".to_owned(), version.to_owned())]);
        assert!(!containerd_2(37, &locked("1.7.28")));
        assert!(containerd_2(30, &locked("2.1.5")));
        assert!(containerd_2(37, &Versions::new()) && !containerd_2(20, &Versions::new()));
    }

    #[test]
    fn cgroups_follow_the_release() {
        assert!(cgroup_v1(7, 37) && cgroup_v1(8, 31) && cgroup_v1(9, 18));
        assert!(!cgroup_v1(9, 19) && !cgroup_v1(10, 18));
    }
}
