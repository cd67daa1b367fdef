//! The same input makes the same medium: wherever, whenever and by whomever it is built.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use kiln::assets::Assets;
use kiln::blob::Blob;
use kiln::cluster::types::Role;
use kiln::fetch::{self, Catalogue, Images, Lock, archives};
use kiln::image::base;
use kiln::node::images::ImageList;
use kiln::payload::{self, Extra, PayloadInput};
use kiln::pki::Pki;
use kiln::sbom::Parts;
use kiln::tree::{Entry, NodePath};
use kiln::{cluster, kickstart, plan};
use time::{Duration, OffsetDateTime};

use crate::bases::run;
use crate::project::{KILN, PROFILES, Project, is_root, names, sha256};

/// Moves a copy of the project to another folder.
fn moved(project: &Project, name: &str) -> std::path::PathBuf {
    let to = project.beside(name).join("a folder with ü");
    run(Command::new("cp").arg("-a").arg(&project.dir).arg(&to));
    let _ = std::fs::remove_dir_all(to.join("out"));
    to
}

#[test]
fn elsewhere_under_another_umask_zone_and_language() {
    let project = Project::new();
    let first = sha256(&project.build("master"));
    let again = sha256(&project.build("master"));
    assert_eq!(first, again, "built twice");

    let to = moved(&project, "moved");
    for (umask, zone, language) in
        [("077", "Asia/Kolkata", "de_DE.UTF-8"), ("000", "Pacific/Chatham", "C"), ("027", "", "tr_TR.UTF-8")]
    {
        let script = format!(
            "umask {umask}; cd /; exec \"$0\" build --profile master -C \"$1/cluster.toml\" -o \"$1/x.iso\""
        );
        let mut command = Command::new("sh");
        command.args(["-c", &script, KILN]).arg(&to);
        run(command.env_clear().env("TZ", zone).env("LANG", language).env("LC_ALL", language));
        assert_eq!(sha256(&to.join("x.iso")), first, "{umask} {zone} {language}");
    }
    // Without the hints of the build before: other modes and times of the inputs, in another order on the disk.
    let components = to.join("components");
    std::fs::rename(&components, to.join("old")).unwrap();
    run(Command::new("cp").arg("-rT").arg(to.join("old")).arg(&components));
    run(Command::new("sh")
        .args(["-c", "find \"$0\" -type f -exec chmod 640 {} + -exec touch -d 2001-02-03 {} +"])
        .arg(&components));
    run(Command::new(KILN).current_dir(&to).args(["build", "-q", "-p", "master", "-o", "y.iso"]));
    assert_eq!(sha256(&to.join("y.iso")), first);
}

/// Root becomes nobody. Anyone else takes a user name space, in which the same files seem to be nobody's.
#[test]
fn under_another_uid() {
    let project = Project::new();
    let first = sha256(&project.build("master"));
    let to = moved(&project, "theirs");
    // A program that the other user can reach, with the same bytes: it is part of the medium.
    let program = project.beside("bin").join("kiln");
    crate::exec::program(Path::new(KILN), &program);
    let mut command = if is_root() {
        let top = project.dir.parent().unwrap();
        run(Command::new("chmod").arg("755").arg(top));
        run(Command::new("chown").args(["-R", "65534:65534"]).arg(to.parent().unwrap()));
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
        command
    } else {
        let mut command = Command::new("unshare");
        command.arg("--user");
        command
    };
    command.args(["sh", "-c", "id -u; exec \"$0\" build --profile master"]).arg(&program).current_dir(&to);
    assert_eq!(run(&mut command).trim(), "65534");
    assert_eq!(sha256(&to.join("out/demo-master.iso")), first);
}

#[test]
fn several_at_once_into_one_folder() {
    let project = Project::new();
    // All start without keys: one makes them, the others wait and use them.
    let start =
        |args: &[&str]| project.kiln(args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    for round in 0..3 {
        std::fs::create_dir(project.dir.join("out")).unwrap();
        let mut children = Vec::new();
        for profile in PROFILES {
            children.push(start(&["build", "--profile", profile]));
            children.push(start(&[
                "build",
                "--profile",
                profile,
                "-o",
                &format!("out/second-{profile}.iso"),
            ]));
        }
        // Two more want the very same file.
        children.push(start(&["build", "--profile", "lb"]));
        children.push(start(&["build", "--profile", "lb"]));
        for child in children {
            let done = child.wait_with_output().unwrap();
            assert!(done.status.success(), "round {round}: {}", String::from_utf8_lossy(&done.stderr));
        }
        let out = project.dir.join("out");
        for profile in PROFILES {
            let digest = sha256(&project.output(profile));
            assert_eq!(sha256(&out.join(format!("second-{profile}.iso"))), digest, "{profile}");
        }
        let sums = std::fs::read_to_string(out.join("SHA256SUMS")).unwrap();
        assert_eq!(sums.lines().count(), 6, "round {round}: {sums}");
        run(Command::new("sha256sum").args(["-c", "--strict", "SHA256SUMS"]).current_dir(&out));
        assert_eq!(names(&out).len(), 7, "{:?}", names(&out));
        std::fs::remove_dir_all(out).unwrap();
    }
}

/// Build id, label and files' names of a role's payload, as `kiln build` would make it at `now`.
fn payload_at(dir: &Path, role: Role, now: OffsetDateTime) -> (String, String, BTreeMap<String, u64>) {
    let loaded = cluster::load(&dir.join("cluster.toml")).unwrap();
    let cluster = &loaded.cluster;
    let assets = Assets::new(Some(&loaded.dir)).unwrap();
    let lock = Lock::load(&dir.join("kiln.lock")).unwrap();
    let plan = plan::plan(cluster, &assets, role, &plan::versions(&lock)).unwrap();
    let pki = Pki::open_or_create(&dir.join("pki"), cluster, now).unwrap();
    let mut common = plan.common.clone();
    let cache = fetch::cache::Cache::of_user();
    let components = fetch::component_tree(&Catalogue::load(&assets).unwrap(), &lock, cluster, role, &cache);
    common.merge(components.unwrap()).unwrap();
    let wanted = Images::load(&assets).unwrap().wanted(cluster);
    let images = archives::for_role(&lock, cluster, &wanted, role, &cache).unwrap();
    if role != Role::Lb {
        let list = ImageList::of(cluster.runtime, &images, &BTreeMap::new()).to_json().unwrap();
        let list = Entry::file(0o644, Blob::bytes(list), "images");
        common.insert(NodePath::new("/opt/kiln/images.json").unwrap(), list).unwrap();
    }
    let held = archives::held(&images, cluster.runtime).unwrap();
    let parts = Parts::of(&Catalogue::load(&assets).unwrap(), &lock, cluster, role, &held).to_json().unwrap();
    let parts = Extra {
        origin: "parts".into(),
        path: kiln::sbom::parts::PATH.into(),
        mode: 0o644,
        content: Blob::bytes(parts),
    };
    let extra = images.into_iter().map(|archive| Extra {
        origin: archive.file.clone(),
        path: payload::image_path(&archive.file),
        mode: 0o644,
        content: archive.content,
    });
    common.merge(pki.role_tree(role).unwrap()).unwrap();
    let mut nodes = BTreeMap::new();
    for node in cluster.nodes_of(role) {
        let mut tree = plan.nodes[&node.name].tree.clone();
        tree.merge(pki.node_tree(cluster, node).unwrap()).unwrap();
        nodes.insert(node.name.clone(), tree);
    }
    let payload = payload::assemble(PayloadInput {
        cluster,
        role,
        kiln: Path::new(KILN),
        boot: &|label| Ok(vec![(payload::KICKSTART, kickstart::render(cluster, &plan, label, &assets)?)]),
        common: &common,
        nodes: &nodes,
        authority: pki.id(),
        spread: Default::default(),
        reinstall: None,
        kernel_args: &plan.kernel_args,
        base: base::look(&dir.join("base.iso")).unwrap().fingerprint,
        pools: &BTreeMap::new(),
        extra: std::iter::once(parts).chain(extra).collect(),
    });
    let payload = payload.unwrap();
    let files = payload.files.iter().map(|file| (file.path.clone(), file.content.len())).collect();
    (payload.build_id.to_string(), payload.label.to_string(), files)
}

#[test]
fn on_another_day() {
    let project = Project::new();
    let now = OffsetDateTime::now_utc();
    for (role, profile) in [(Role::Master, "master"), (Role::Worker, "worker"), (Role::Lb, "lb")] {
        let json = project.pass(&["build", "--profile", profile, "--json"]).out;
        let told: serde_json::Value = serde_json::from_str(&json).unwrap();
        let today = payload_at(&project.dir, role, now);
        assert_eq!(told["build_id"], today.0.as_str(), "the test builds what the program builds");
        for days in [1, 9, 300] {
            assert_eq!(
                payload_at(&project.dir, role, now + Duration::days(days)),
                today,
                "{days} days later"
            );
        }
    }
    // Within 30 days of their end certificates are issued anew, and the medium is another.
    let before = payload_at(&project.dir, Role::Master, now).0;
    assert_ne!(payload_at(&project.dir, Role::Master, now + Duration::days(340)).0, before);
}
