//! Command-line flags of the Kubernetes programs, per minor. An unknown flag is fatal at start, so each one says since or
//! until when it exists; nothing else in kiln names a flag of theirs.

use std::collections::BTreeMap;

use crate::cluster::Cluster;
use crate::cluster::model::Runtime;
use crate::cluster::types::Role;

use super::gates::{Gates, runtime_endpoint};

const SSL: &str = "/opt/kubernetes/ssl";
const CFG: &str = "/opt/kubernetes/cfg";

/// Collects flags for one minor.
struct Flags {
    minor: u8,
    list: Vec<String>,
}

impl Flags {
    fn add(&mut self, name: &str, value: impl std::fmt::Display) {
        self.list.push(format!("--{name}={value}"));
    }

    /// Minors `first` and later.
    fn since(&mut self, first: u8, name: &str, value: impl std::fmt::Display) {
        if self.minor >= first {
            self.add(name, value);
        }
    }

    /// Minors up to and with `last`.
    fn until(&mut self, last: u8, name: &str, value: impl std::fmt::Display) {
        if self.minor <= last {
            self.add(name, value);
        }
    }
}

/// Flags by program (`kube-apiserver`, …), for the nodes of a role. What only the machine knows (its name and address) is
/// added by the units, from `/opt/kiln/node.env`.
pub fn all(cluster: &Cluster, gates: &Gates, role: Role) -> BTreeMap<&'static str, Vec<String>> {
    let flags = || Flags { minor: cluster.kubernetes.minor, list: vec!["--v=2".to_owned()] };
    BTreeMap::from([
        ("kube-apiserver", apiserver(cluster, gates, flags())),
        ("kube-controller-manager", controller_manager(cluster, flags())),
        ("kube-scheduler", scheduler(flags())),
        ("kubelet", kubelet(cluster, gates, role, flags())),
        ("kube-proxy", proxy(flags())),
    ])
}

fn apiserver(cluster: &Cluster, gates: &Gates, mut f: Flags) -> Vec<String> {
    let etcd: Vec<String> =
        cluster.etcd_members().map(|node| format!("https://{}:2379", node.address)).collect();
    f.add("bind-address", "0.0.0.0");
    f.add("secure-port", 6443);
    // Only 0 is taken from 1.20 on, and the flag is gone in 1.24; before 1.20 the port is open unless told so.
    f.until(19, "insecure-port", 0);
    f.add("etcd-servers", etcd.join(","));
    f.add("etcd-cafile", format!("{SSL}/etcd-ca.pem"));
    f.add("etcd-certfile", format!("{SSL}/apiserver-etcd-client.pem"));
    f.add("etcd-keyfile", format!("{SSL}/apiserver-etcd-client-key.pem"));
    f.add("tls-cert-file", format!("{SSL}/apiserver.pem"));
    f.add("tls-private-key-file", format!("{SSL}/apiserver-key.pem"));
    f.add("client-ca-file", format!("{SSL}/ca.pem"));
    f.add("kubelet-certificate-authority", format!("{SSL}/ca.pem"));
    f.add("kubelet-client-certificate", format!("{SSL}/apiserver-kubelet-client.pem"));
    f.add("kubelet-client-key", format!("{SSL}/apiserver-kubelet-client-key.pem"));
    f.add("kubelet-preferred-address-types", "InternalIP,Hostname");
    f.add("requestheader-client-ca-file", format!("{SSL}/front-proxy-ca.pem"));
    f.add("requestheader-allowed-names", "front-proxy-client");
    f.add("requestheader-extra-headers-prefix", "X-Remote-Extra-");
    f.add("requestheader-group-headers", "X-Remote-Group");
    f.add("requestheader-username-headers", "X-Remote-User");
    f.since(33, "requestheader-uid-headers", "X-Remote-Uid");
    f.add("proxy-client-cert-file", format!("{SSL}/front-proxy-client.pem"));
    f.add("proxy-client-key-file", format!("{SSL}/front-proxy-client-key.pem"));
    f.add("service-account-issuer", format!("https://kubernetes.default.svc.{}", cluster.domain));
    f.add("service-account-key-file", format!("{SSL}/sa.pub"));
    f.add("service-account-signing-key-file", format!("{SSL}/sa.key"));
    f.add("encryption-provider-config", format!("{CFG}/encryption.yml"));
    f.add("service-cluster-ip-range", cluster.service_cidr);
    f.add("service-node-port-range", "30000-32767");
    f.add("authorization-mode", "Node,RBAC");
    f.add("enable-admission-plugins", "NodeRestriction");
    f.add("enable-bootstrap-token-auth", true);
    if gates.authentication_config {
        f.add("authentication-config", format!("{CFG}/authentication.yml"));
    }
    if cluster.runtime == Runtime::Docker {
        // `kubectl exec` fails where the kubelet joins streams itself: cri-dockerd (0.4.4 too) gives it a URL without a scheme,
        // and it takes that for HTTPS (Mirantis/cri-dockerd#560).
        f.since(36, "feature-gates", "ExtendWebSocketsToKubelet=false");
    }
    f.add("allow-privileged", true);
    f.add("profiling", false);
    f.add("audit-policy-file", format!("{CFG}/audit-policy.yml"));
    f.add("audit-log-path", "/opt/kubernetes/logs/k8s-audit.log");
    f.add("audit-log-maxage", 30);
    f.add("audit-log-maxbackup", 3);
    f.add("audit-log-maxsize", 100);
    f.list
}

fn controller_manager(cluster: &Cluster, mut f: Flags) -> Vec<String> {
    let kubeconfig = format!("{CFG}/controller-manager.kubeconfig");
    f.add("kubeconfig", &kubeconfig);
    f.add("authentication-kubeconfig", &kubeconfig);
    f.add("authorization-kubeconfig", &kubeconfig);
    f.add("bind-address", "127.0.0.1");
    f.until(21, "port", 0);
    f.add("leader-elect", true);
    f.add("use-service-account-credentials", true);
    f.add("controllers", "*,bootstrapsigner,tokencleaner");
    f.add("allocate-node-cidrs", true);
    f.add("cluster-cidr", cluster.pod_cidr);
    f.add("service-cluster-ip-range", cluster.service_cidr);
    f.add("client-ca-file", format!("{SSL}/ca.pem"));
    f.add("requestheader-client-ca-file", format!("{SSL}/front-proxy-ca.pem"));
    f.add("root-ca-file", format!("{SSL}/ca.pem"));
    f.add("service-account-private-key-file", format!("{SSL}/sa.key"));
    f.add("cluster-signing-cert-file", format!("{SSL}/ca.pem"));
    f.add("cluster-signing-key-file", format!("{SSL}/ca-key.pem"));
    // The plain name came in 1.19; the old one is gone in 1.25.
    f.until(18, "experimental-cluster-signing-duration", "8760h0m0s");
    f.since(19, "cluster-signing-duration", "8760h0m0s");
    f.add("profiling", false);
    f.list
}

fn scheduler(mut f: Flags) -> Vec<String> {
    let kubeconfig = format!("{CFG}/scheduler.kubeconfig");
    f.add("kubeconfig", &kubeconfig);
    f.add("authentication-kubeconfig", &kubeconfig);
    f.add("authorization-kubeconfig", &kubeconfig);
    f.add("bind-address", "127.0.0.1");
    f.until(22, "port", 0);
    f.add("leader-elect", true);
    f.list
}

fn kubelet(cluster: &Cluster, gates: &Gates, role: Role, mut f: Flags) -> Vec<String> {
    f.add("config", format!("{CFG}/kubelet-config.yml"));
    f.add("kubeconfig", format!("{CFG}/kubelet.kubeconfig"));
    f.add("bootstrap-kubeconfig", format!("{CFG}/bootstrap.kubeconfig"));
    f.add("cert-dir", SSL);
    match cluster.runtime {
        // Removed in 1.27, without effect since 1.24.
        Runtime::Containerd => f.until(23, "container-runtime", "remote"),
        // The dockershim and its flags left in 1.24; cri-dockerd is told the rest.
        Runtime::Docker => {
            f.until(23, "network-plugin", "cni");
            f.until(23, "pod-infra-container-image", &gates.sandbox_image);
        }
    }
    if let Some(endpoint) = runtime_endpoint(cluster.runtime, cluster.kubernetes.minor)
        && !gates.runtime_endpoint_in_config
    {
        f.add("container-runtime-endpoint", endpoint);
    }
    if role == Role::Master && !gates.taints_in_config {
        f.add("register-with-taints", format!("node-role.kubernetes.io/{}=:NoSchedule", gates.master_taint));
    }
    f.list
}

fn proxy(mut f: Flags) -> Vec<String> {
    f.add("config", format!("{CFG}/kube-proxy-config.yml"));
    f.list
}

#[cfg(test)]
#[path = "flags_tests.rs"]
mod tests;
