//! Input that cannot be built: the exit code of its class, one screen that says what, why and what to do, nothing written.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use crate::bases;
use crate::project::{KILN, Project, Run, is_root, names, run, snapshot};

/// Lines of a message that still fits on one screen.
const SCREEN: usize = 24;

/// Runs a build that must fail with `code` and all of `words`, and change nothing in the folder.
#[track_caller]
pub fn refused(project: &Project, args: &[&str], code: i32, words: &[&str]) -> Run {
    let before = snapshot(&project.dir);
    let done = project.run(&[&["build"], args].concat());
    judge(&done, code, words);
    assert_eq!(snapshot(&project.dir), before, "a refused build writes nothing: {}", done.err);
    done
}

#[track_caller]
fn judge(done: &Run, code: i32, words: &[&str]) {
    assert_eq!(done.code, Some(code), "{}", done.err);
    for word in words {
        assert!(done.err.contains(word), "`{word}` is not in: {}", done.err);
    }
    assert_eq!(done.out, "");
    assert!(done.err.contains("help: "), "no word on what to do: {}", done.err);
    assert!(done.err.lines().count() <= SCREEN, "more than a screen: {}", done.err);
    assert!(!done.err.contains("panicked") && !done.err.contains("PRIVATE KEY"), "{}", done.err);
}

const MASTER: [&str; 2] = ["--profile", "master"];

#[test]
fn bases_that_are_none() {
    let project = Project::new();
    let base = project.dir.join("base.iso");
    let good = std::fs::read(&base).unwrap();
    let put = |bytes: &[u8]| std::fs::write(&base, bytes).unwrap();

    // Nothing was built before, so that keys made in passing are noticed.
    std::fs::remove_file(&base).unwrap();
    refused(&project, &MASTER, 5, &["base.iso", "No such file"]);
    for part in [0, 100, 32 << 10, good.len() / 3, good.len() - (1 << 20)] {
        put(&good[..part]);
        refused(&project, &MASTER, 2, &["base.iso"]);
    }
    put(b"This is no ISO.\n".repeat(10_000).as_slice());
    refused(&project, &MASTER, 2, &["base.iso"]);
    std::fs::remove_file(&base).unwrap();
    std::fs::create_dir(&base).unwrap();
    refused(&project, &MASTER, 2, &["base.iso", "not a regular file"]);
    std::fs::remove_dir(&base).unwrap();

    put(&std::fs::read(bases::base("el10")).unwrap());
    let of = "release = \"centos-stream-9\"";
    refused(&project, &MASTER, 2, &["base.iso", "it is CentOS Stream 10", of, "kiln inspect"]);

    put(&good);
    let made = project.beside("made").join("x.iso");
    project.pass(&["build", "-p", "lb", "-o", made.to_str().unwrap()]);
    std::fs::copy(&made, &base).unwrap();
    refused(&project, &MASTER, 2, &["base.iso", "made by kiln already"]);
    std::fs::remove_file(&base).unwrap();
    symlink("base.iso", &base).unwrap();
    refused(&project, &MASTER, 5, &["base.iso"]);
    project.edit("iso = \"base.iso\"\n", "");
    refused(&project, &MASTER, 2, &["`[base]` names no vendor medium"]);
}

#[test]
fn a_base_of_another_vendor_is_told() {
    let project = Project::new();
    let told = "the base is CentOS Stream 9, and [base] says release";
    let build = ["build", "-p", "lb"];
    assert!(!project.pass(&build).err.contains(told));
    project.edit("centos-stream-9", "rocky-9");
    let run = project.pass(&build);
    assert!(run.err.contains(told) && run.err.contains("rocky-9"), "{}", run.err);
}

#[test]
fn components_that_are_not_as_pinned() {
    let project = Project::new();
    let lock = project.dir.join("kiln.lock");
    let aside = project.beside("aside").join("kiln.lock");
    std::fs::rename(&lock, &aside).unwrap();
    refused(&project, &MASTER, 2, &["kiln.lock", "kiln fetch"]);
    std::fs::write(&lock, "schema = 1\n[component").unwrap();
    refused(&project, &MASTER, 2, &["kiln.lock", "kiln fetch"]);
    std::fs::copy(&aside, &lock).unwrap();

    // Of the same size: only the digest can tell, while the medium is being written.
    let old = std::fs::read(project.build("master")).unwrap();
    let path = project.component("kubernetes/1.20.2/kubelet");
    let good = std::fs::read(&path).unwrap();
    let mut bad = good.clone();
    bad[5000] ^= 1;
    std::fs::write(&path, &bad).unwrap();
    refused(&project, &MASTER, 2, &["components/kubernetes/1.20.2/kubelet", "changed since it was locked"]);
    assert!(std::fs::read(project.output("master")).unwrap() == old, "the old output stays");
    let there = ["-p", "worker", "-o", "fresh/x.iso"];
    std::fs::create_dir(project.dir.join("fresh")).unwrap();
    refused(&project, &there, 2, &["kubelet", "changed since it was locked"]);
    assert!(names(&project.dir.join("fresh")).is_empty());
    // The load balancers run no kubelet.
    project.build("lb");

    std::fs::write(&path, &good[1..]).unwrap();
    refused(&project, &MASTER, 2, &["kubernetes/1.20.2/kubelet", "as pinned", "kiln fetch --update"]);
    std::fs::remove_file(&path).unwrap();
    refused(&project, &MASTER, 2, &["kubernetes/1.20.2/kubelet", "No such file"]);
    std::fs::remove_dir_all(project.dir.join("components")).unwrap();
    refused(&project, &MASTER, 2, &["kubernetes/1.20.2/kubelet"]);
}

#[test]
fn cluster_files_that_cannot_be() {
    let project = Project::new();
    refused(&project, &["-p", "lb", "-C", "none.toml"], 2, &["no none.toml", "kiln init"]);
    let good = std::fs::read_to_string(project.dir.join("cluster.toml")).unwrap();
    let put = |text: &str| std::fs::write(project.dir.join("cluster.toml"), text).unwrap();

    put(&good.replace("vip = \"192.168.31.88\"", "vip = \"192.168.31.71\"").replace("prefix", "prefiks"));
    refused(&project, &MASTER, 2, &["cluster.toml:", "192.168.31.71", "prefiks", "prefix"]);
    put("[cluster\n");
    refused_without_help(&project);
    put("");
    refused_without_help(&project);
    let without = good.split("[[node]]").filter(|part| !part.contains("\"worker\"")).collect::<Vec<_>>();
    put(&without.join("[[node]]"));
    refused(&project, &["--profile", "worker"], 2, &["no node of profile `worker`"]);
    let done = project.run(&["build", "--profile", "workers"]);
    assert_eq!(done.code, Some(2));
    assert!(done.err.contains("worker"), "{}", done.err);
    let done = project.run(&["build"]);
    assert_eq!(done.code, Some(2));
    assert!(done.err.contains("--profile"), "{}", done.err);
}

/// TOML's own errors point at the place and need no hint.
#[track_caller]
fn refused_without_help(project: &Project) {
    let before = snapshot(&project.dir);
    let done = project.run(&["build", "-p", "lb"]);
    assert_eq!(done.code, Some(2), "{}", done.err);
    assert!(done.err.contains("cluster.toml") && done.err.lines().count() <= SCREEN, "{}", done.err);
    assert_eq!(snapshot(&project.dir), before);
}

#[test]
fn outputs_that_cannot_be() {
    let project = Project::new();
    let to = |output: &'static str| ["-p", "lb", "-o", output];
    // No keys exist yet: an output that cannot be is told before they are made.
    refused(&project, &to("base.iso"), 2, &["base.iso", "is the base itself", "another output"]);
    symlink("base.iso", project.dir.join("link.iso")).unwrap();
    refused(&project, &to("link.iso"), 2, &["is the base itself"]);
    std::fs::hard_link(project.dir.join("base.iso"), project.dir.join("hard.iso")).unwrap();
    refused(&project, &to("hard.iso"), 2, &["is the base itself"]);
    refused(&project, &to("components"), 2, &["components", "not a regular file"]);
    refused(&project, &to("."), 2, &["another output"]);
    refused(&project, &to("/"), 2, &["another output"]);
    refused(&project, &to("/dev/null"), 2, &["/dev/null", "not a regular file"]);
    refused(&project, &to("none/x.iso"), 5, &["none", "No such file"]);
    refused(&project, &to("cluster.toml/x.iso"), 5, &["cluster.toml", "Not a directory"]);
    let fifo = project.dir.join("fifo");
    bases::run(Command::new("mkfifo").arg(&fifo));
    refused(&project, &to("fifo"), 2, &["fifo", "not a regular file"]);
    // What kiln itself lives from is no place for a medium either, whatever is asked.
    let program = project.component("runc/1.1.5/runc");
    for input in ["cluster.toml", "kiln.lock", program.to_str().unwrap()] {
        refused(&project, &["-p", "lb", "-o", input], 2, &[input, "kiln did not make it"]);
        let forced = ["-p", "lb", "--force", "-o", input];
        refused(&project, &forced, 2, &[input, "what media are built from", "another output"]);
    }
    // What kiln did not make is replaced when that is asked for, and never without.
    let other = project.dir.join("other.img");
    std::fs::write(&other, "another image").unwrap();
    refused(&project, &to("other.img"), 2, &["other.img", "kiln did not make it", "--force"]);
    let long = format!("{}.iso", "x".repeat(300));
    refused(&project, &["-p", "lb", "-o", &long], 5, &["too long"]);
    project.pass(&["build", "-p", "lb", "--force", "-o", "other.img"]);
    bases::run(Command::new("checkisomd5").arg(&other));
}

#[test]
fn an_output_folder_that_is_read_only() {
    let project = Project::new();
    project.build("lb");
    if is_root() {
        // Permissions do not stop root; a read-only mount does.
        let script = "mount --bind \"$1/out\" \"$1/out\" && mount -o remount,bind,ro \"$1/out\" && exec \"$0\" build -p lb";
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", script, KILN]).arg(&project.dir).current_dir(&project.dir);
        let before = snapshot(&project.dir);
        judge(&run(&mut command), 5, &["out", "Read-only file system"]);
        assert_eq!(snapshot(&project.dir), before);
    } else {
        let out = project.dir.join("out");
        std::fs::set_permissions(&out, std::fs::Permissions::from_mode(0o500)).unwrap();
        refused(&project, &["-p", "lb"], 5, &["out", "Permission denied"]);
        std::fs::set_permissions(&out, std::fs::Permissions::from_mode(0o700)).unwrap();
    }
}

#[test]
fn programs_that_would_not_start_in_the_installer() {
    let project = Project::new();
    let with = |path: &'static str| ["-p", "lb", "--kiln", path];
    refused(&project, &with("/bin/true"), 2, &["/bin/true", "dynamically linked"]);
    refused(&project, &with("cluster.toml"), 2, &["cluster.toml", "no ELF program"]);
    refused(&project, &with("none"), 5, &["none", "No such file"]);
    refused(&project, &with("components"), 5, &["components"]);
}

#[test]
fn keys_that_others_may_read() {
    let project = Project::new();
    project.pass(&["pki", "init"]);
    let allow = |path: &str, mode: u32| {
        let path = project.dir.join(path);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    allow("pki", 0o755);
    refused(&project, &MASTER, 2, &["pki", "chmod"]);
    allow("pki", 0o700);
    let key = first_key(&project.dir.join("pki/ca"));
    let name = key.strip_prefix(&project.dir).unwrap().to_str().unwrap().to_owned();
    allow(&name, 0o640);
    refused(&project, &MASTER, 2, &[&name, "chmod"]);
    allow(&name, 0o600);
    std::fs::write(&key, "no key\n").unwrap();
    refused(&project, &MASTER, 2, &[&name]);
    std::fs::remove_file(&key).unwrap();
    refused(&project, &MASTER, 2, &[&name]);
}

fn first_key(dir: &Path) -> std::path::PathBuf {
    let found = snapshot(dir).into_keys().find(|path| path.ends_with("key.pem"));
    found.unwrap_or_else(|| panic!("no key below {}", dir.display()))
}
