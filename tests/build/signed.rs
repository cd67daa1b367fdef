//! Signatures of media, against Debian's `minisign`: what the one makes the other takes, and what was changed neither.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::bases;
use crate::project::{KILN, Project, Run, names, run};
use crate::refused::refused;

fn minisign(args: &[&str], dir: &Path) -> Command {
    let mut command = Command::new("minisign");
    command.args(args).current_dir(dir).stdin(Stdio::null());
    command
}

/// Runs a command that must end with code 2 and say why.
#[track_caller]
fn wrong(done: &Run, words: &[&str]) {
    assert_eq!(done.code, Some(2), "{}", done.err);
    for word in words {
        assert!(done.err.contains(word), "{word}: {}", done.err);
    }
    assert!(done.err.contains("help: ") && done.out.is_empty(), "{} {}", done.err, done.out);
}

#[test]
fn minisign_takes_what_kiln_signs() {
    let project = Project::new();
    let made = project.pass(&["key", "create", "--no-password", "ops.key"]);
    let secret = std::fs::read_to_string(project.dir.join("ops.key")).unwrap();
    let mode = std::fs::metadata(project.dir.join("ops.key")).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode, 0o600);
    let body = secret.lines().nth(1).unwrap();
    let done = project.pass(&["build", "-p", "lb", "--sign", "ops.key", "--json"]);
    for text in [&made.err, &made.out, &done.err, &done.out] {
        assert!(!text.contains(body), "a secret key was printed");
    }
    let told: Value = serde_json::from_str(&done.out).unwrap();
    let signature = project.dir.join(told["signature"].as_str().unwrap());
    assert_eq!(
        signature.canonicalize().unwrap(),
        project.dir.join("out/demo-lb.iso.minisig").canonicalize().unwrap()
    );
    assert_eq!(names(&project.dir.join("out")), ["SHA256SUMS", "demo-lb.iso", "demo-lb.iso.minisig"]);
    // -H: nothing but a signature over the digest will do.
    let shown = bases::run(&mut minisign(&["-VHm", "out/demo-lb.iso", "-p", "ops.pub"], &project.dir));
    assert!(shown.contains("file:demo-lb.iso build:"), "{shown}");
    let done = project.pass(&["verify", "out/demo-lb.iso", "--key", "ops.pub", "--json"]);
    let verified: Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(verified["build_id"], told["build_id"]);
    assert!(shown.contains(verified["comment"].as_str().unwrap()));
    // Signing changes no byte of the medium.
    let first = crate::project::sha256(&project.output("lb"));
    project.build("lb");
    assert_eq!(crate::project::sha256(&project.output("lb")), first);
}

#[test]
fn kiln_takes_what_minisign_signs() {
    let project = Project::new();
    let medium = project.build("lb");
    bases::run(&mut minisign(&["-G", "-W", "-p", "deb.pub", "-s", "deb.key"], &project.dir));
    bases::run(&mut minisign(&["-Sm", "out/demo-lb.iso", "-s", "deb.key", "-t", "by hand"], &project.dir));
    let done = project.pass(&["verify", medium.to_str().unwrap(), "--key", "deb.pub"]);
    assert!(done.err.contains("is good") && done.err.contains("by hand"), "{}", done.err);
    // minisign's key signs for kiln, too.
    project.pass(&["build", "-p", "lb", "--sign", "deb.key"]);
    bases::run(&mut minisign(&["-Vm", "out/demo-lb.iso", "-p", "deb.pub"], &project.dir));
    project.pass(&["verify", "out/demo-lb.iso", "--key", "deb.pub"]);
    // A medium that is built anew has no signature of its own, and that is said.
    let done = project.pass(&["build", "-p", "lb"]);
    assert!(done.err.contains("demo-lb.iso.minisig is of the medium that was there before"), "{}", done.err);
    // Other files are signed as well; they are neither media nor bundles.
    std::fs::write(project.dir.join("note"), "x").unwrap();
    bases::run(&mut minisign(&["-Sm", "note", "-s", "deb.key"], &project.dir));
    wrong(&project.run(&["verify", "note", "--key", "deb.pub"]), &["note is signed, but is no medium"]);
}

#[test]
fn what_is_wrong_is_told() {
    let project = Project::new();
    for key in ["ops.key", "other.key"] {
        project.pass(&["key", "create", "--no-password", key]);
    }
    project.pass(&["build", "-p", "lb", "--sign", "ops.key"]);
    let medium = project.output("lb");
    let verify = ["verify", "out/demo-lb.iso", "--key", "ops.pub"];
    project.pass(&verify);
    wrong(&project.run(&["verify", "out/demo-lb.iso", "--key", "other.pub"]), &["of another key"]);
    wrong(&project.run(&["verify", "out/demo-lb.iso", "--key", "ops.key"]), &["ops.key is no public key"]);
    wrong(&project.run(&["verify", "base.iso", "--key", "ops.pub"]), &["has no signature", "--sign"]);
    assert_eq!(project.run(&["verify", "none.iso", "--key", "ops.pub"]).code, Some(5));

    let good = std::fs::read(&medium).unwrap();
    let mut bad = good.clone();
    let at = bad.len() / 2;
    bad[at] ^= 1;
    std::fs::write(&medium, &bad).unwrap();
    wrong(&project.run(&verify), &["demo-lb.iso is not what the key", "was changed"]);
    assert!(
        !minisign(&["-Vm", "out/demo-lb.iso", "-p", "ops.pub"], &project.dir).status().unwrap().success()
    );
    // Signed as it is, and not whole: the medium's own digests tell.
    let program = std::fs::read(KILN).unwrap();
    let at = good.windows(4096).position(|window| window == &program[..4096]).unwrap();
    bad.clone_from(&good);
    bad[at + 100_000] ^= 1;
    std::fs::write(&medium, &bad).unwrap();
    bases::run(&mut minisign(&["-Sm", "out/demo-lb.iso", "-s", "ops.key", "-W"], &project.dir));
    wrong(&project.run(&verify), &["not whole", "/kiln/kiln has another content"]);
    std::fs::write(&medium, &good).unwrap();
    let signature = project.dir.join("out/demo-lb.iso.minisig");
    std::fs::write(&signature, "untrusted comment: x\nAAAA\n").unwrap();
    wrong(&project.run(&verify), &["demo-lb.iso.minisig is no signature"]);
}

#[test]
fn a_key_that_cannot_sign_stops_a_build_before_it_begins() {
    let project = Project::new();
    let mut create = project.kiln(&["key", "create", "ops.key"]);
    assert_eq!(run(create.env("KILN_KEY_PASSWORD", "a word")).code, Some(0));
    std::fs::write(project.dir.join("no.key"), "nothing\n").unwrap();
    let sign = ["-p", "lb", "--sign"];
    refused(&project, &[&sign[..], &["no.key"]].concat(), 2, &["no.key is no secret key"]);
    refused(&project, &[&sign[..], &["ops.pub"]].concat(), 2, &["ops.pub is no secret key"]);
    refused(&project, &[&sign[..], &["none.key"]].concat(), 5, &["none.key"]);
    let build = |password: &str| {
        run(project.kiln(&["build", "-p", "lb", "--sign", "ops.key"]).env("KILN_KEY_PASSWORD", password))
    };
    wrong(&build("another"), &["ops.key", "Wrong password"]);
    assert!(!project.dir.join("pki").exists() && !project.dir.join("out").exists());
    // Nobody is asked where there is nobody.
    let mut alone = Command::new("setsid");
    alone.args(["--wait", KILN, "build", "-p", "lb", "--sign", "ops.key"]).current_dir(&project.dir);
    wrong(&run(alone.stdin(Stdio::null())), &["no terminal to ask at", "KILN_KEY_PASSWORD"]);
    let done = build("a word");
    assert_eq!(done.code, Some(0), "{}", done.err);
    bases::run(&mut minisign(&["-Vm", "out/demo-lb.iso", "-p", "ops.pub"], &project.dir));
    // minisign opens kiln's encrypted key.
    let mut child = minisign(&["-Sm", "cluster.toml", "-s", "ops.key"], &project.dir)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"a word\n").unwrap();
    assert!(child.wait().unwrap().success());
    bases::run(&mut minisign(&["-Vm", "cluster.toml", "-p", "ops.pub"], &project.dir));
    // What lies where the signature would go and is none stays.
    let there = project.dir.join("out/demo-lb.iso.minisig");
    std::fs::write(&there, "mine").unwrap();
    let done = build("a word");
    wrong(&done, &["demo-lb.iso.minisig exists already, and is no signature"]);
    assert_eq!(std::fs::read(&there).unwrap(), b"mine");
}

#[test]
fn keys_are_made_once() {
    let project = Project::new();
    let create = |args: &[&str]| project.run(&[&["key", "create"], args].concat());
    assert_eq!(create(&["--no-password", "a.key"]).code, Some(0));
    let before = std::fs::read(project.dir.join("a.key")).unwrap();
    wrong(&create(&["--no-password", "a.key"]), &["a.key exists already", "never replaced"]);
    assert_eq!(std::fs::read(project.dir.join("a.key")).unwrap(), before);
    std::fs::remove_file(project.dir.join("a.key")).unwrap();
    wrong(&create(&["--no-password", "a.key"]), &["a.pub exists already"]);
    wrong(&create(&["--no-password", "b.pub"]), &["b.pub is no name for a secret key"]);
    wrong(&run(project.kiln(&["key", "create", "c.key"]).env("KILN_KEY_PASSWORD", "")), &["is empty"]);
    let mut alone = Command::new("setsid");
    alone
        .args(["--wait", KILN, "key", "create", "c.key"])
        .current_dir(&project.dir)
        .env_remove("KILN_KEY_PASSWORD");
    wrong(&run(alone.stdin(Stdio::null())), &["no terminal to ask at", "--no-password"]);
    assert!(!project.dir.join("c.key").exists() && !project.dir.join("b.pub").exists());
}

#[test]
fn who_sits_at_a_terminal_is_asked() {
    let project = Project::new();
    let ask = |words: &[u8]| {
        let line = format!("'{KILN}' key create t.key");
        let mut command = Command::new("script");
        command.args(["-qec", &line, "/dev/null"]).current_dir(&project.dir).env_remove("KILN_KEY_PASSWORD");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(words).unwrap();
        // The terminal stays until the program has ended.
        let done = child.wait_with_output().unwrap();
        drop(input);
        (done.status.code(), String::from_utf8_lossy(&done.stdout).into_owned())
    };
    let (code, told) = ask(b"one\nother\n");
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains("the two passwords differ") && !project.dir.join("t.key").exists(), "{told}");
    let (code, told) = ask(b"the word\nthe word\n");
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("Password for the new key: ") && told.contains("The same again: "), "{told}");
    let sign = ["build", "-p", "lb", "--sign", "t.key"];
    let done = run(project.kiln(&sign).env("KILN_KEY_PASSWORD", "the word"));
    assert_eq!(done.code, Some(0), "{}", done.err);
}
