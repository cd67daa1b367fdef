//! What the shipped profiles ask for is there; and whatever is taken away is missed, by name.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::assets::Assets;
use crate::blob::Blob;
use crate::cluster::model::{PodNetwork, ProxyMode, Runtime};
use crate::cluster::types::Role;
use crate::digest::Sha256;
use crate::fetch::{Catalogue, Images};
use crate::image::label::VolumeLabel;
use crate::kickstart;
use crate::plan::{Versions, plan};
use crate::tree::Entry;

/// A medium as `kiln build` would make it, to take things away from.
struct Site {
    cluster: Cluster,
    plan: RolePlan,
    common: Tree,
    kickstart: String,
    components: BTreeSet<NodePath>,
    images: Held,
    listed: BTreeSet<Reference>,
    files: BTreeSet<String>,
}

struct Case {
    kubernetes: &'static str,
    release: &'static str,
    runtime: Runtime,
    pod_network: PodNetwork,
}

const fn case(
    kubernetes: &'static str,
    release: &'static str,
    runtime: Runtime,
    pod_network: PodNetwork,
) -> Case {
    Case { kubernetes, release, runtime, pod_network }
}

const CASES: [Case; 6] = [
    case("1.20.2", "centos-7", Runtime::Docker, PodNetwork::Flannel),
    case("1.20.2", "centos-stream-9", Runtime::Containerd, PodNetwork::Flannel),
    case("1.20.2", "centos-stream-9", Runtime::Containerd, PodNetwork::Bridge),
    case("1.37.2", "centos-stream-9", Runtime::Containerd, PodNetwork::Flannel),
    case("1.37.2", "centos-stream-10", Runtime::Containerd, PodNetwork::Bridge),
    case("1.37.2", "centos-stream-9", Runtime::Docker, PodNetwork::Flannel),
];

impl Site {
    fn of(case: &Case, role: Role) -> Self {
        let mut cluster = crate::testing::cluster();
        cluster.kubernetes = case.kubernetes.parse().unwrap();
        cluster.base.release = case.release.parse().unwrap();
        (cluster.runtime, cluster.pod_network) = (case.runtime, case.pod_network);
        cluster.proxy_mode = ProxyMode::Iptables;
        let assets = Assets::new(None).unwrap();
        let plan = plan(&cluster, &assets, role, &Versions::new()).unwrap();
        let mut common = plan.common.clone();
        let catalogue = Catalogue::load(&assets).unwrap();
        let mut components = BTreeSet::new();
        for (_, component) in catalogue.of(&cluster) {
            for (_, rule) in component.files_for(&cluster, role, None) {
                // No text: programs are not walked.
                common
                    .insert(rule.path.clone(), Entry::file(0o755, Blob::bytes([0xff, 0xfe]), "component"))
                    .unwrap();
                components.insert(rule.path.clone());
            }
        }
        let mut images = Held::new(case.runtime == Runtime::Containerd);
        let mut files = BTreeSet::from([crate::payload::KILN.to_owned()]);
        let wanted = Images::load(&assets).unwrap().wanted(&cluster);
        let wanted: BTreeSet<Reference> = wanted.into_keys().filter(|_| role != Role::Lb).collect();
        for (number, name) in wanted.iter().enumerate() {
            let archive = crate::payload::image_path(&format!("{number}.tar"));
            files.insert(archive.clone());
            let digest = Some(Sha256::of(name.as_str().as_bytes()));
            images.add(name.clone(), Image { archive, id: Sha256::of(b"id"), digest });
        }
        let label = VolumeLabel::for_medium(&cluster.name, role, "0000");
        let kickstart = kickstart::render(&cluster, &plan, &label, &assets).unwrap();
        Self { cluster, plan, common, kickstart, components, images, listed: BTreeSet::new(), files }
    }

    fn prove(&self) -> Vec<Finding> {
        prove(&Medium {
            cluster: &self.cluster,
            plan: &self.plan,
            common: &self.common,
            kickstart: &self.kickstart,
            components: &self.components,
            images: &self.images,
            listed: &self.listed,
            files: &self.files,
        })
    }

    /// Takes a file away.
    fn remove(&mut self, path: &str) -> &mut Self {
        let mut rest = Tree::default();
        for (other, entry) in self.common.iter().filter(|(other, _)| other.as_str() != path) {
            rest.insert(other.clone(), entry.clone()).unwrap();
        }
        assert_eq!(rest.len() + 1, self.common.len(), "{path} was not there");
        self.common = rest;
        self
    }

    /// Adds a file of an overlay.
    fn put(&mut self, path: &str, text: &str) -> &mut Self {
        let entry = Entry::file(0o644, Blob::bytes(text.as_bytes()), "overlay mine");
        self.common.insert(NodePath::new(path).unwrap(), entry).unwrap();
        self
    }

    /// The one finding, which must say `fault` and be asked for in `file`.
    #[track_caller]
    fn misses(&self, missing: Missing, fault: &str, file: &str) {
        let findings = self.prove();
        let text = refuse(&findings).unwrap_err().to_string();
        let found =
            findings.iter().find(|finding| finding.missing == missing && finding.fault.contains(fault));
        let found = found.unwrap_or_else(|| panic!("{fault} is not named: {text}"));
        assert!(found.asked.iter().any(|asked| asked.file.contains(file)), "{file}: {text}");
        assert!(text.contains(&found.fault) && !found.remedy.is_empty(), "{text}");
    }
}

fn shown(findings: &[Finding]) -> String {
    refuse(findings).map_or_else(|error| error.to_string(), |()| String::new())
}

#[test]
fn the_shipped_profiles_ask_for_nothing_else() {
    for case in &CASES {
        for role in Role::ALL {
            let site = Site::of(case, role);
            let name = format!("{} {:?} {role}", case.kubernetes, case.runtime);
            assert_eq!(shown(&site.prove()), "", "{name}");
        }
    }
}

#[test]
fn each_image_is_missed() {
    for case in &CASES {
        let names: Vec<Reference> =
            Site::of(case, Role::Master).images.iter().map(|(name, _)| name.clone()).collect();
        assert!(names.len() >= 3, "{names:?}");
        for name in names {
            let mut site = Site::of(case, Role::Master);
            site.images.remove(&name).unwrap();
            site.misses(Missing::Image, &format!("the image {name} is not on the medium"), "");
        }
        // The sandbox's is asked for by the runtime or the kubelet, on workers too.
        let mut site = Site::of(case, Role::Worker);
        let pause = site
            .images
            .iter()
            .map(|(name, _)| name.clone())
            .find(|name| name.as_str().contains("/pause:"))
            .unwrap();
        site.images.remove(&pause).unwrap();
        let asker = match (case.runtime, case.kubernetes) {
            (Runtime::Containerd, _) => "/etc/containerd/config.toml",
            (Runtime::Docker, "1.20.2") => "kubelet.conf",
            (Runtime::Docker, _) => "cri-dockerd.service",
        };
        site.misses(Missing::Image, pause.as_str(), asker);
        site.files.retain(|file| !file.starts_with("/kiln/images/0"));
        site.misses(Missing::Image, "the archive /kiln/images/0.tar", "/opt/kiln/images.json");
    }
    let mut site = Site::of(&CASES[3], Role::Worker);
    site.listed.insert("registry.example/own:1".parse().unwrap());
    site.misses(Missing::Image, "registry.example/own:1 is not on the medium", "/opt/kiln/images.json");
}

#[test]
fn each_program_is_missed() {
    let pods = ["/opt/kubernetes/bin/kubelet", "/opt/kubernetes/bin/kube-proxy"];
    let plugins =
        ["/opt/cni/bin/bridge", "/opt/cni/bin/host-local", "/opt/cni/bin/loopback", "/opt/cni/bin/portmap"];
    let containerd =
        ["containerd", "containerd-shim-runc-v2", "ctr", "runc"].map(|name| format!("/usr/local/bin/{name}"));
    let docker =
        ["dockerd", "docker", "containerd", "runc", "cri-dockerd"].map(|name| format!("/usr/bin/{name}"));
    let masters = [
        "/opt/kubernetes/bin/kube-apiserver",
        "/opt/kubernetes/bin/kube-controller-manager",
        "/opt/kubernetes/bin/kube-scheduler",
        "/usr/bin/kubectl",
        "/opt/etcd/bin/etcd",
        "/opt/etcd/bin/etcdctl",
    ];
    for case in &CASES {
        let runtime = match (case.runtime, case.kubernetes) {
            (Runtime::Containerd, _) => &containerd[..],
            (Runtime::Docker, "1.20.2") => &docker[..4],
            (Runtime::Docker, _) => &docker[..],
        };
        let all =
            pods.iter().chain(&plugins).chain(&masters).copied().chain(runtime.iter().map(String::as_str));
        for program in all {
            let mut site = Site::of(case, Role::Master);
            site.remove(program).misses(Missing::Program, &format!("the program {program} is not"), "/");
        }
    }
    let mut site = Site::of(&CASES[3], Role::Lb);
    for (program, asker) in [
        ("/usr/libexec/keepalived/kiln-check-api", "/etc/keepalived/keepalived.conf"),
        ("/opt/kiln/bin/kiln-vrrp-interface", "/etc/systemd/system/keepalived.service.d/10-kiln.conf"),
    ] {
        if site.common.get(program).is_some() {
            site.remove(program);
        } else {
            site.plan.nodes.values_mut().for_each(|own| own.tree = Tree::default());
        }
        site.misses(Missing::Program, program, asker);
    }
    let mut site = Site::of(&CASES[3], Role::Lb);
    site.files.clear();
    site.misses(Missing::Program, "/opt/kiln/bin/kiln is not on the medium", "kiln-agent.service");
}

#[test]
fn each_unit_is_missed() {
    for role in Role::ALL {
        let units = Site::of(&CASES[3], role).plan.units;
        let own: Vec<String> = units
            .iter()
            .map(|unit| format!("/usr/lib/systemd/system/{unit}"))
            .filter(|path| Site::of(&CASES[3], role).common.get(path).is_some())
            .collect();
        assert!(own.len() >= 3, "{own:?}");
        for path in own {
            let unit = path.rsplit('/').next().unwrap();
            let mut site = Site::of(&CASES[3], role);
            site.remove(&path);
            site.misses(Missing::Unit, &format!("the unit {unit} is enabled"), "profiles/");
            site.misses(Missing::Unit, unit, "ks.cfg");
        }
        for (package, unit) in [
            ("chrony", "chronyd.service"),
            ("firewalld", "firewalld.service"),
            ("openssh-server", "sshd.service"),
        ] {
            let mut site = Site::of(&CASES[3], role);
            site.plan.packages.retain(|name| name != package);
            site.misses(Missing::Unit, unit, "profiles/");
        }
    }
    let mut site = Site::of(&CASES[3], Role::Worker);
    site.put("/etc/systemd/system/x.timer", "[Timer]\nOnBootSec=1\n").plan.units.push("x.timer".into());
    site.misses(Missing::Unit, "x.service is started by x.timer", "profiles/worker.toml");
    site.put("/etc/systemd/system/x.service", "[Service]\nExecStart=/bin/true\n");
    assert_eq!(shown(&site.prove()), "");
}

#[test]
fn files_that_units_need_are_missed() {
    for (path, unit) in [
        ("/opt/kubernetes/cfg/kubelet.conf", "kubelet.service"),
        ("/opt/kubernetes/cfg/kube-apiserver.conf", "kube-apiserver.service"),
    ] {
        let mut site = Site::of(&CASES[3], Role::Master);
        site.remove(path).misses(Missing::File, path, unit);
    }
    let mut site = Site::of(&CASES[3], Role::Master);
    site.plan.nodes.values_mut().next().unwrap().tree = Tree::default();
    site.misses(Missing::File, "/opt/etcd/cfg/etcd.conf", "etcd.service");
}

#[test]
fn manifests_that_others_need_are_missed() {
    let addon = |name: &str| format!("/opt/kiln/addons/{name}");
    let mut site = Site::of(&CASES[3], Role::Master);
    site.remove(&addon("20-coredns.yaml"));
    site.misses(Missing::Object, "a Service with the address 10.96.0.10", "kubelet-config.yml");
    let mut site = Site::of(&CASES[3], Role::Master);
    site.remove(&addon("30-metrics-server.yaml"));
    site.misses(Missing::Object, "Service kube-system/metrics-server", "31-metrics-api.yaml");
    site.misses(Missing::Object, "Service kube-system/metrics-server", "certificates.toml");
    let mut site = Site::of(&CASES[3], Role::Master);
    site.remove(&addon("certificates.toml"));
    site.misses(Missing::Object, "Secret kube-system/metrics-server-tls", "30-metrics-server.yaml");
    let mut site = Site::of(&CASES[3], Role::Master);
    site.put(
        &addon("40-mine.yaml"),
        "kind: Job\nmetadata:\n  name: a\n  namespace: mine\nspec:\n  serviceAccountName: b\n",
    );
    site.misses(Missing::Object, "Namespace mine", "40-mine.yaml");
    site.misses(Missing::Object, "ServiceAccount mine/b", "40-mine.yaml");
}

#[test]
fn images_by_digest_must_be_the_ones_held() {
    let manifest = |image: &str| format!("kind: Pod\nspec:\n  containers:\n    - image: {image}\n");
    let with = |case: &Case, image: &str| {
        let mut site = Site::of(case, Role::Master);
        site.put("/opt/kiln/addons/40-mine.yaml", &manifest(image));
        site
    };
    let name = "registry.k8s.io/pause:3.10.2";
    let (held, other) = (Sha256::of(name.as_bytes()), Sha256::of(b"other"));
    assert_eq!(shown(&with(&CASES[3], &format!("registry.k8s.io/pause@sha256:{held}")).prove()), "");
    assert_eq!(shown(&with(&CASES[3], &format!("{name}@sha256:{held}")).prove()), "");
    let site = with(&CASES[3], &format!("registry.k8s.io/pause@sha256:{other}"));
    site.misses(Missing::Image, &format!("with the digest sha256:{held}"), "40-mine.yaml");
    let site = with(&CASES[3], &format!("registry.k8s.io/other@sha256:{held}"));
    site.misses(Missing::Image, "is not on the medium", "40-mine.yaml");
    let site = with(&CASES[3], "registry.k8s.io/pause@sha256:12");
    site.misses(Missing::Image, "cannot be the name", "40-mine.yaml");
    let old = "registry.k8s.io/pause:3.2";
    let site = with(&CASES[0], &format!("{old}@sha256:{}", Sha256::of(old.as_bytes())));
    site.misses(Missing::Image, "cannot be had by digest", "40-mine.yaml");
    let site = with(&CASES[3], "{ name: registry.k8s.io/pause:3.9 }");
    site.misses(Missing::Image, "pause:3.9 is not on the medium", "40-mine.yaml");
}

#[test]
fn policies_that_ask_a_registry_are_named() {
    let mut site = Site::of(&CASES[3], Role::Master);
    let name: Reference = "registry.example/x:latest".parse().unwrap();
    let archive = "/kiln/images/0.tar".to_owned();
    site.images.add(name, Image { archive, id: Sha256::of(b"id"), digest: None });
    let pod = "kind: Pod\nspec:\n  containers:\n    - image: registry.example/x:latest\n";
    site.put("/opt/kiln/addons/40-mine.yaml", &format!("{pod}      imagePullPolicy: Never\n"));
    assert_eq!(shown(&site.prove()), "");
    site.put("/opt/kiln/addons/41-mine.yaml", pod).misses(
        Missing::Image,
        "tag latest, and no policy",
        "41-mine.yaml",
    );
    site.put("/opt/kiln/addons/42-mine.json", "{\"imagePullPolicy\": \"Always\"}");
    site.misses(Missing::Image, "imagePullPolicy: Always", "42-mine.json");
}

#[test]
fn what_leads_out_of_the_cluster_is_named_with_its_place() {
    let url = "https://get.example.org/x";
    let files: BTreeMap<&str, String> = BTreeMap::from([
        ("/etc/systemd/system/x.service", format!("[Service]\nExecStart=/usr/bin/curl {url}\n")),
        ("/opt/kiln/bin/x", format!("#!/bin/sh\ncurl \\\n  {url}\n")),
        ("/opt/kiln/addons/40-mine.yaml", format!("kind: Pod\nspec:\n  args: [\"{url}\"]\n")),
        ("/etc/docker/mine.json", format!("{{\"registry-mirrors\": [\"{url}\"]}}\n")),
        ("/etc/yum.repos.d/x.repo", format!("[x]\nbaseurl={url}\n")),
    ]);
    for (path, text) in &files {
        let mut site = Site::of(&CASES[3], Role::Master);
        site.put(path, text);
        site.misses(Missing::Url, &format!("the URL {url} leads out"), path);
        let findings = site.prove();
        assert_eq!(findings.len(), 1, "{}", shown(&findings));
        let line = text.lines().position(|line| line.contains(url)).unwrap() + 1;
        assert_eq!(findings[0].asked.first().unwrap().line, Some(line));
    }
    let mut site = Site::of(&CASES[3], Role::Worker);
    site.kickstart += "url --url=http://mirror.example.org/os/\n";
    site.misses(Missing::Url, "http://mirror.example.org/os/", "ks.cfg");
    let mut site = Site::of(&CASES[3], Role::Worker);
    site.put("/etc/x.conf", &format!("# kiln: reachable\nserver = \"{url}\"\n# {url}\n"));
    site.put("/etc/systemd/system/y.service", &format!("[Unit]\nDocumentation={url}\n"));
    site.put("/etc/x.xml", "<!-- https://a.example -->\n<x xmlns=\"http://www.w3.org/1999/xhtml\"/>\n");
    assert_eq!(shown(&site.prove()), "");
    site.put("/opt/kiln/bin/y.sh", "dnf -y install foo\n").misses(
        Missing::Url,
        "`dnf install`",
        "/opt/kiln/bin/y.sh",
    );
}

#[test]
fn secrets_are_not_looked_into() {
    let mut site = Site::of(&CASES[3], Role::Master);
    let entry = Entry::file(0o600, Blob::bytes(*b"https://secret.example"), "pki").secret();
    site.common.insert(NodePath::new("/opt/x/key").unwrap(), entry).unwrap();
    assert_eq!(shown(&site.prove()), "");
}

#[test]
fn a_refusal_names_all_at_once() {
    let mut site = Site::of(&CASES[3], Role::Master);
    site.remove("/opt/etcd/bin/etcd").remove("/usr/lib/systemd/system/kubelet.service");
    let error = refuse(&site.prove()).unwrap_err();
    let text = error.to_string();
    for word in [
        "for 2 reasons",
        "the program /opt/etcd/bin/etcd is not on the medium",
        "asked for in /usr/lib/systemd/system/etcd.service, line ",
        "(overlay etcd)",
        "the unit kubelet.service is enabled",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert_eq!(error.class().exit_code(), 2);
    assert!(error.hint_text().unwrap().contains("docs/air-gap.md"));
}

/// Files of users are any text: nothing of it may stop the proof.
#[test]
fn odd_text_is_no_fault() {
    const PARTS: [&str; 28] = [
        "image:",
        "\"image\"",
        "\"",
        "'",
        " #",
        "://",
        "http",
        "- ",
        "\n",
        "  ",
        "é",
        "|",
        "{",
        "}",
        "& ",
        "@sha256:",
        "/opt/bin/x",
        "ExecStart=",
        "\\\n",
        "<!--",
        "-->",
        "$",
        "[pinned_images",
        "=",
        ": ",
        "--pod-infra-container-image",
        "systemctl enable ",
        "\"type\" \"cniVersion\"",
    ];
    let mut state = 1_u64;
    let mut part = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        PARTS[(state >> 33) as usize % PARTS.len()]
    };
    let mut site = Site::of(&CASES[3], Role::Master);
    for number in 0..200 {
        for path in [
            "/etc/systemd/system/%.service",
            "/opt/kiln/addons/%.yaml",
            "/etc/%.json",
            "/etc/%.xml",
            "/opt/%.sh",
            "/etc/%.conf",
        ] {
            let text: String = (0..40).map(|_| part()).collect();
            site.put(&path.replace('%', &number.to_string()), &text);
        }
    }
    assert!(site.prove().len() > 10, "some of it must have been understood");
}
