//! No flag is written for a minor that has dropped it, or does not know it yet. The table is upstream's history, kept apart
//! from the code that writes the flags.

use std::path::Path;

use super::*;
use crate::cluster::types::KubeVersion;
use crate::plan::Versions;

/// First minor that refuses a flag of a program (`*`: all of them); 0 for what kiln never writes, refused or not.
const REMOVED: [(&str, &str, u8); 50] = [
    ("*", "logtostderr", 26),
    ("*", "log-dir", 26),
    ("*", "log-file", 26),
    ("*", "log-file-max-size", 26),
    ("*", "alsologtostderr", 26),
    ("*", "stderrthreshold", 26),
    ("*", "add-dir-header", 26),
    ("*", "one-output", 26),
    ("*", "skip-headers", 26),
    ("*", "skip-log-headers", 26),
    ("*", "log-backtrace-at", 26),
    ("kube-apiserver", "insecure-port", 24),
    ("kube-apiserver", "insecure-bind-address", 24),
    ("kube-apiserver", "address", 24),
    ("kube-apiserver", "port", 24),
    ("kube-apiserver", "service-account-api-audiences", 25),
    ("kube-apiserver", "kubelet-https", 22),
    ("kube-apiserver", "basic-auth-file", 19),
    ("kube-apiserver", "token-auth-file", 0),
    ("kube-apiserver", "master-count", 24),
    ("kube-apiserver", "cloud-provider", 33),
    ("kube-apiserver", "cloud-config", 33),
    ("kube-controller-manager", "master", 0),
    ("kube-controller-manager", "port", 24),
    ("kube-controller-manager", "address", 24),
    ("kube-controller-manager", "experimental-cluster-signing-duration", 25),
    ("kube-controller-manager", "pod-eviction-timeout", 27),
    ("kube-controller-manager", "enable-taint-manager", 27),
    ("kube-controller-manager", "deployment-controller-sync-period", 24),
    ("kube-controller-manager", "concurrent-service-syncs", 37),
    ("kube-scheduler", "master", 0),
    ("kube-scheduler", "port", 24),
    ("kube-scheduler", "address", 24),
    ("kube-scheduler", "algorithm-provider", 22),
    ("kube-scheduler", "policy-config-file", 23),
    ("kube-scheduler", "lock-object-name", 28),
    ("kube-scheduler", "lock-object-namespace", 28),
    ("kubelet", "network-plugin", 24),
    ("kubelet", "cni-conf-dir", 24),
    ("kubelet", "cni-bin-dir", 24),
    ("kubelet", "docker-endpoint", 24),
    ("kubelet", "image-pull-progress-deadline", 24),
    ("kubelet", "non-masquerade-cidr", 24),
    ("kubelet", "container-runtime", 27),
    ("kubelet", "pod-infra-container-image", 35),
    ("kubelet", "experimental-bootstrap-kubeconfig", 23),
    ("kubelet", "cloud-config", 34),
    ("kubelet", "master-service-namespace", 27),
    ("kubelet", "register-schedulable", 0),
    ("kube-proxy", "cleanup-ipvs", 21),
];

/// First minor that knows a flag.
const ADDED: [(&str, &str, u8); 3] = [
    ("kube-controller-manager", "cluster-signing-duration", 19),
    ("kube-apiserver", "requestheader-uid-headers", 33),
    ("kube-apiserver", "authentication-config", 34),
];

/// Flags by program.
type Programs = BTreeMap<&'static str, Vec<String>>;

/// Flags for every minor, runtime and role that can be.
fn every() -> Vec<(u8, Role, Programs)> {
    let (mut cluster, _) = crate::cluster::parse(Path::new("cluster.toml"), crate::cluster::SAMPLE).unwrap();
    let mut all_of_them = Vec::new();
    for minor in KubeVersion::OLDEST_MINOR..=KubeVersion::NEWEST_MINOR {
        cluster.kubernetes = KubeVersion { minor, patch: 0 };
        for runtime in [Runtime::Containerd, Runtime::Docker] {
            cluster.runtime = runtime;
            for role in [Role::Master, Role::Worker] {
                let gates = Gates::new(&cluster, &Versions::new());
                all_of_them.push((minor, role, all(&cluster, &gates, role)));
            }
        }
    }
    all_of_them
}

fn name(flag: &str) -> &str {
    flag.trim_start_matches("--").split('=').next().unwrap()
}

#[test]
fn no_minor_gets_a_flag_that_it_refuses() {
    for (minor, role, programs) in every() {
        for (program, flags) in &programs {
            for flag in flags {
                let of_it = |table: &&(&str, &str, u8)| {
                    (table.0 == *program || table.0 == "*") && table.1 == name(flag)
                };
                if let Some((_, _, first)) = REMOVED.iter().find(of_it) {
                    assert!(minor < *first, "1.{minor} {role} {program} {flag}: refused since 1.{first}");
                }
                if let Some((_, _, first)) = ADDED.iter().find(of_it) {
                    assert!(minor >= *first, "1.{minor} {role} {program} {flag}: known since 1.{first}");
                }
            }
        }
    }
}

#[test]
fn every_minor_gets_what_it_cannot_start_without() {
    for (minor, role, programs) in every() {
        let has = |program: &str, flag: &str| programs[program].iter().any(|given| name(given) == flag);
        for flag in ["service-account-issuer", "service-account-key-file", "service-account-signing-key-file"]
        {
            assert!(has("kube-apiserver", flag), "1.{minor} {flag}");
        }
        let signing = ["cluster-signing-duration", "experimental-cluster-signing-duration"];
        assert_eq!(
            signing.iter().filter(|flag| has("kube-controller-manager", flag)).count(),
            1,
            "1.{minor}"
        );
        assert_eq!(has("kube-apiserver", "insecure-port"), minor < 20);
        assert_eq!(has("kubelet", "register-with-taints"), role == Role::Master && minor < 23);
    }
}

/// Docker is spoken to by the kubelet itself up to 1.23, and through cri-dockerd after that.
#[test]
fn docker_is_reached_in_its_time() {
    let (mut cluster, _) = crate::cluster::parse(Path::new("cluster.toml"), crate::cluster::SAMPLE).unwrap();
    cluster.runtime = Runtime::Docker;
    let at = |cluster: &mut Cluster, minor: u8| {
        cluster.kubernetes = KubeVersion { minor, patch: 0 };
        all(cluster, &Gates::new(cluster, &Versions::new()), Role::Master)
    };
    let has = |programs: &Programs, program: &str, flag: &str| programs[program].iter().any(|f| f == flag);
    let socket = "--container-runtime-endpoint=unix:///run/cri-dockerd.sock";
    let gate = "--feature-gates=ExtendWebSocketsToKubelet=false";
    let last = at(&mut cluster, 23);
    assert!(has(&last, "kubelet", "--network-plugin=cni") && !has(&last, "kubelet", socket));
    let first = at(&mut cluster, 24);
    assert!(has(&first, "kubelet", socket) && !has(&first, "kubelet", "--network-plugin=cni"));
    assert!(!has(&at(&mut cluster, 35), "kube-apiserver", gate));
    assert!(has(&at(&mut cluster, 36), "kube-apiserver", gate));
    // From 1.27 on the configuration file names the socket.
    assert!(!has(&at(&mut cluster, 27), "kubelet", socket));
    cluster.runtime = Runtime::Containerd;
    assert!(!has(&at(&mut cluster, 37), "kube-apiserver", gate));
}

#[test]
fn flags_are_single_words_and_come_once() {
    for (minor, _, programs) in every() {
        for (program, flags) in &programs {
            let mut names: Vec<&str> = flags.iter().map(|flag| name(flag)).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), flags.len(), "1.{minor} {program}");
            assert!(flags.iter().all(|flag| flag.starts_with("--") && !flag.contains([' ', '"', '\\', '$'])));
        }
    }
}
