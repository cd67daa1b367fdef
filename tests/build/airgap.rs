//! A build whose medium would not be enough without a network is refused before anything is written, and says what is missing.

use std::path::Path;

use crate::project::Project;
use crate::refused::refused;

/// Puts a file of the user's own beside the cluster file.
fn put(project: &Project, path: &str, text: &str) {
    let path = project.dir.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// kiln's own file, to change it.
fn shipped(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

#[test]
fn an_image_of_a_manifest() {
    let project = Project::new();
    let pod = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\nspec:\n  containers:\n    - name: a\n      image: r.example/a:1\n";
    put(&project, "overlays/addons/opt/kiln/addons/40-mine.yaml", pod);
    let words = [
        "not enough without a network",
        "the image r.example/a:1 is not on the medium",
        "asked for in /opt/kiln/addons/40-mine.yaml, line 8 (overlay addons)",
        "kiln fetch --update",
        "docs/air-gap.md",
    ];
    refused(&project, &["-p", "master"], 2, &words);
    assert!(!project.dir.join("pki").exists() && !project.dir.join("out").exists());
    // Workers apply no manifests: their medium is enough.
    project.build("worker");
}

#[test]
fn a_digest_of_another_image() {
    let project = Project::new();
    let pod = |digest: &str| {
        format!(
            "kind: Pod\nmetadata:\n  name: a\nspec:\n  containers:\n    - image: registry.k8s.io/pause@sha256:{digest}\n"
        )
    };
    let path = "overlays/addons/opt/kiln/addons/40-mine.yaml";
    put(&project, path, &pod(&"0".repeat(64)));
    let done = refused(
        &project,
        &["-p", "master"],
        2,
        &["on the medium, but with the digest sha256:", "40-mine.yaml"],
    );
    let held = done.err.split("but with the digest sha256:").nth(1).unwrap()[..64].to_owned();
    put(&project, path, &pod(&held));
    project.build("master");
}

#[test]
fn a_program_of_a_unit() {
    let project = Project::new();
    let catalogue = shipped("profiles/components.toml");
    let start = catalogue.find("[component.runc]").unwrap();
    let end = start + catalogue[start..].find("[component.cri-tools]").unwrap();
    put(&project, "profiles/components.toml", &format!("{}{}", &catalogue[..start], &catalogue[end..]));
    project.pass(&["fetch", "--update"]);
    let words = [
        "the program /usr/local/bin/runc is not on the medium",
        "containerd.service, line ",
        "(overlay containerd)",
    ];
    refused(&project, &["-p", "worker"], 2, &words);
}

#[test]
fn a_manifest_that_all_pods_need() {
    let project = Project::new();
    put(&project, "overlays/addons/opt/kiln/addons/20-coredns.yaml.j2", "{% if false %}{% endif %}");
    let words = [
        "no manifest makes a Service with the address 10.96.0.10",
        "/opt/kubernetes/cfg/kubelet-config.yml, line ",
    ];
    refused(&project, &["-p", "master"], 2, &words);
}

#[test]
fn a_unit_and_a_url_at_once() {
    let project = Project::new();
    let profile = shipped("profiles/lb.toml").replace("units = [", "units = [\"mine.service\", ");
    put(&project, "profiles/lb.toml", &profile);
    put(&project, "overlays/lb/etc/mine.conf", "# https://comment.example\nserver = https://far.example/x\n");
    let words = [
        "for 2 reasons",
        "the unit mine.service is enabled, and nothing brings it",
        "asked for in profiles/lb.toml",
        "ks.cfg, line ",
        "the URL https://far.example/x leads out of the cluster",
        "asked for in /etc/mine.conf, line 2 (overlay lb)",
    ];
    let done = refused(&project, &["-p", "lb"], 2, &words);
    assert!(!done.err.contains("comment.example"), "{}", done.err);
    put(
        &project,
        "overlays/lb/etc/mine.conf",
        "# kiln: reachable by the site's proxy\nserver = https://far.example/x\n",
    );
    put(&project, "overlays/lb/usr/lib/systemd/system/mine.service", "[Service]\nExecStart=/usr/bin/true\n");
    project.build("lb");
}
