//! Packages: what the base has not is told before anything is written; what `rpms` adds lies on the medium, for dnf to find.

use std::path::Path;
use std::process::Command;

use crate::bases;
use crate::medium::{extract, manifest};
use crate::project::{Project, snapshot};

/// A profile of the project's own for load balancers, which asks for these packages too.
fn ask(project: &Project, packages: &[&str]) {
    let built_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles/lb.toml");
    let text = std::fs::read_to_string(built_in).unwrap();
    let from = "packages = [\"keepalived\", \"nginx\", \"nginx-mod-stream\"]";
    assert!(text.contains(from));
    let names: String = packages.iter().map(|name| format!(", \"{name}\"")).collect();
    let to = from.replace(']', &format!("{names}]"));
    std::fs::create_dir_all(project.dir.join("profiles")).unwrap();
    std::fs::write(project.dir.join("profiles/lb.toml"), text.replace(from, &to)).unwrap();
}

/// The packages of `tests/packages/make.sh`, in the project's `rpms`.
fn add(project: &Project) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/packages/make.sh");
    bases::run(Command::new("sh").arg(script).arg(project.dir.join("rpms")));
    project.edit("iso = \"base.iso\"", "iso = \"base.iso\"\nrpms = [\"rpms\"]");
}

#[track_caller]
fn refused(project: &Project, words: &[&str]) {
    let before = snapshot(&project.dir);
    let done = project.run(&["build", "-p", "lb"]);
    assert_eq!(done.code, Some(2), "{}", done.err);
    for word in words {
        assert!(done.err.contains(word), "`{word}` is not in: {}", done.err);
    }
    assert!(done.err.contains("help: "), "{}", done.err);
    assert_eq!(snapshot(&project.dir), before, "a refused build writes nothing: {}", done.err);
}

#[test]
fn packages_that_are_nowhere_stop_the_build() {
    let project = Project::new();
    ask(&project, &["kiln-app", "nginx-mod-streem"]);
    let by = "(asked for by profiles/lb.toml)";
    let near = format!("nginx-mod-streem {by}; there is nginx-mod-stream");
    refused(&project, &["missing from the medium", &format!("kiln-app {by}"), &near]);
    add(&project);
    ask(&project, &["kiln-broken"]);
    refused(&project, &["kiln-broken-1-1.noarch requires kiln-absent >= 3, which nothing provides"]);
    // What is only there harms nothing.
    ask(&project, &[]);
    project.build("lb");
}

#[test]
fn added_packages_lie_on_the_medium() {
    let project = Project::new();
    let without = extract(&project, &project.build("lb"));
    assert!(!std::fs::read_to_string(without.join("ks.cfg")).unwrap().contains("repo --name"));
    bases::run(Command::new("rm").arg("-r").arg(&without));

    add(&project);
    ask(&project, &["kiln-app"]);
    let medium = project.build("lb");
    let media = extract(&project, &medium);
    let ks = std::fs::read_to_string(media.join("ks.cfg")).unwrap();
    let line = "\nrepo --name=kiln --baseurl=file:///run/install/repo/kiln/rpms --cost=1\n";
    assert!(ks.contains(line) && ks.contains("\nkiln-app\n"), "{ks}");
    bases::run(
        Command::new("diff")
            .arg("-r")
            .arg("-x")
            .arg("repodata")
            .arg(project.dir.join("rpms"))
            .arg(media.join("kiln/rpms")),
    );
    let files = manifest(&media)["files"].clone();
    for name in ["kiln-app-1.0~rc1.rpm", "repodata/repomd.xml", "repodata/primary.xml.gz"] {
        assert!(files.get(format!("/kiln/rpms/{name}")).is_some(), "{files}");
    }
    project.pass(&["node", "verify", "--media", media.to_str().unwrap()]);

    let told = project.pass(&["inspect", "--sbom", medium.to_str().unwrap()]).out;
    crate::sbom::judged(&project, "packages", &told);
    for text in
        ["\"name\": \"kiln-app\"", "\"versionInfo\": \"2:1.0~rc1-3.el9\"", "./kiln/rpms/kiln-lib-2.0.rpm"]
    {
        assert!(told.contains(text), "{text}: {told}");
    }

    let own = |name: &str| project.beside("dnf").join(name).display().to_string();
    let mut dnf = Command::new("dnf");
    dnf.args(["-q", "--releasever=9", "--nogpgcheck", "--repo=kiln", "--setopt=reposdir=/nonexistent"]);
    dnf.arg(format!("--installroot={}", own("root")));
    for folder in ["cachedir", "logdir", "persistdir"] {
        std::fs::create_dir_all(own(folder)).unwrap();
        dnf.arg(format!("--setopt={folder}={}", own(folder)));
    }
    dnf.arg(format!("--repofrompath=kiln,file://{}", media.join("kiln/rpms").display()));
    dnf.args(["download", "--resolve", "--destdir", &own("fetched"), "kiln-app"]);
    bases::run(&mut dnf);
    let fetched = crate::project::names(Path::new(&own("fetched")));
    assert_eq!(fetched, ["kiln-app-1.0~rc1.rpm", "kiln-lib-2.0.rpm", "kiln-tool-0.1.rpm"]);

    // The same folder, the same bytes; another package, another medium.
    let first = crate::project::sha256(&medium);
    assert_eq!(crate::project::sha256(&project.build("lb")), first);
    std::fs::remove_file(project.dir.join("rpms/kiln-broken-1.rpm")).unwrap();
    assert_ne!(crate::project::sha256(&project.build("lb")), first);

    let path = project.dir.join("rpms/kiln-lib-2.0.rpm");
    let mut bytes = std::fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    refused(&project, &["kiln-lib-2.0.rpm", "digest"]);
    std::fs::remove_file(&path).unwrap();
    refused(&project, &["kiln-app-2:1.0~rc1-3.el9.noarch requires", "which nothing provides"]);
    bases::run(Command::new("rm").arg("-r").arg(project.dir.join("rpms")));
    let done = project.run(&["build", "-p", "lb"]);
    assert_eq!(done.code, Some(5), "{}", done.err);
    assert!(done.err.contains("rpms"), "{}", done.err);
}

#[test]
fn a_boot_iso_has_no_packages() {
    let project = Project::new();
    let base = project.dir.join("base.iso");
    let other = project.beside("other").join("base.iso");
    let mut xorriso = Command::new("xorriso");
    xorriso.args(["-report_about", "WARNING", "-indev"]).arg(&base).arg("-outdev").arg(&other);
    xorriso.args(["-boot_image", "any", "replay", "-rm_r", "/repodata", "--"]);
    bases::run(&mut xorriso);
    std::fs::copy(&other, &base).unwrap();
    refused(&project, &["base.iso", "no repository of packages", "DVD"]);
}
