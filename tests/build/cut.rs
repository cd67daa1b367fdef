//! Builds that are cut short: killed at any moment, or out of room half-way.

use std::fs::File;
use std::hash::{BuildHasher, Hasher};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::bases;
use crate::project::{KILN, Project, Run, is_root, names, run, sha256};

/// Set for the process that works in a mount name space of its own.
const FULL: &str = "KILN_TEST_FULL_DISK";

/// Made by that process when it has tried all.
const TRIED: &str = "tried";

/// Moments at which a build is killed, for each of the two situations.
const KILLS: u32 = 8;

#[test]
fn killed_at_any_moment() {
    let project = Project::new();
    grow(&project.component("etcd/3.5.0/etcd"), 24 << 20);
    project.pass(&["fetch", "--update"]);
    let args = ["build", "--profile", "master"];
    let out = project.output("master");
    project.build("master");
    let old = project.beside("aside").join("old.iso");
    std::fs::rename(&out, &old).unwrap();
    let old_digest = sha256(&old);
    // What is killed would make another medium than the one that is there.
    project.edit("192.168.31.82", "192.168.31.83");
    let started = Instant::now();
    let new_digest = sha256(&project.build("master"));
    let mut whole = started.elapsed();
    assert_ne!(old_digest, new_digest);

    for there in [true, false] {
        let (mut cut, mut runs) = (0, 0);
        while cut < KILLS {
            runs += 1;
            assert!(runs < 20 * KILLS, "only {cut} of {runs} builds were cut");
            let _ = std::fs::remove_file(&out);
            if there {
                std::fs::copy(&old, &out).unwrap();
            }
            let mut child = project.kiln(&args).stderr(Stdio::null()).spawn().unwrap();
            let delay = whole.mul_f64((f64::from(cut) + random()) / f64::from(KILLS));
            std::thread::sleep(delay);
            child.kill().unwrap();
            child.wait().unwrap();
            match out.exists().then(|| sha256(&out)) {
                None => assert!(!there, "the old output is gone after {delay:?}"),
                Some(found) if there && found == old_digest => {}
                Some(found) => {
                    assert_eq!(found, new_digest, "half a medium under the final name after {delay:?}");
                    bases::run(Command::new("checkisomd5").arg(&out));
                    // It was faster than the kill: a build takes less time than was thought.
                    whole = whole.min(delay);
                    continue;
                }
            }
            cut += 1;
        }
    }
    project.build("master");
    assert_eq!(sha256(&out), new_digest);
    let folder = out.parent().unwrap();
    assert_eq!(names(folder), ["SHA256SUMS", "demo-master.iso"], "what killed runs left is removed");
    bases::run(Command::new("sha256sum").args(["-c", "--strict", "SHA256SUMS"]).current_dir(folder));
}

/// Ctrl-C and a polite end of the session leave nothing behind that the next run does not remove.
#[test]
fn interrupted() {
    let project = Project::new();
    project.build("master");
    let old = project.beside("aside").join("old.iso");
    std::fs::copy(project.output("master"), &old).unwrap();
    let before = sha256(&old);
    project.edit("192.168.31.82", "192.168.31.83");
    for signal in [Signal::INT, Signal::TERM] {
        let start = || {
            std::fs::copy(&old, project.output("master")).unwrap();
            with_default_signals(&project.kiln(&["build", "-p", "master"]))
                .stderr(Stdio::null())
                .spawn()
                .unwrap()
        };
        let (mut child, _) = stopped_while_writing(start, &project.dir.join("out"));
        kill_process(pid(&child), signal).unwrap();
        kill_process(pid(&child), Signal::CONT).unwrap();
        let ended = child.wait().unwrap();
        assert!(!ended.success(), "{signal:?}: {ended}");
        assert_eq!(sha256(&project.output("master")), before);
    }
    project.build("lb");
    project.build("master");
    assert_eq!(names(&project.dir.join("out")), ["SHA256SUMS", "demo-lb.iso", "demo-master.iso"]);
}

/// The same command with signals as a terminal would leave them: whoever runs the tests may ignore some (`nohup`, a job in
/// the background), and a child inherits that.
fn with_default_signals(command: &Command) -> Command {
    let mut env = Command::new("env");
    env.arg("--default-signal=INT,TERM").arg(command.get_program()).args(command.get_args());
    env.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(dir) = command.get_current_dir() {
        env.current_dir(dir);
    }
    env
}

/// A real full disk: a small tmpfs in a mount name space of its own (root's, or that of a user name space).
#[test]
fn out_of_room() {
    let project = Project::new();
    grow(&project.component("etcd/3.5.0/etcd"), 48 << 20);
    project.pass(&["fetch", "--update"]);
    project.pass(&["pki", "init"]);
    std::fs::create_dir(project.dir.join("out")).unwrap();
    let mut command = Command::new("unshare");
    command.arg(if is_root() { "-m" } else { "-rm" }).arg(std::env::current_exe().unwrap());
    command.args(["--exact", "cut::with_a_full_disk", "--nocapture"]).env(FULL, &project.dir);
    bases::run(&mut command);
    assert!(project.dir.join(TRIED).exists(), "both ways were tried");
}

/// Not a test of its own: what [`out_of_room`] runs where mounting does no harm.
#[test]
fn with_a_full_disk() {
    let Ok(dir) = std::env::var(FULL) else { return };
    let out = Path::new(&dir).join("out");
    bases::run(Command::new("mount").args(["-t", "tmpfs", "-o", "size=140m", "tmpfs"]).arg(&out));
    let build = || {
        let mut command = Command::new(KILN);
        command.args(["build", "-p", "master", "--force"]).current_dir(&dir).stderr(Stdio::piped());
        command
    };
    // Told before the first byte.
    let filler = out.join("filler");
    fill(&filler, 100 << 20);
    full(&run(&mut build()), &out, "MiB needed");
    std::fs::remove_file(&filler).unwrap();

    // Something else takes the room while the medium is being written: once with nothing there, once over an old medium.
    for old in [None, Some(&b"the old one"[..])] {
        let medium = out.join("demo-master.iso");
        let start = || {
            let _ = std::fs::remove_file(&medium);
            if let Some(bytes) = old {
                std::fs::write(&medium, bytes).unwrap();
            }
            let _ = std::fs::remove_file(out.join("SHA256SUMS"));
            build().spawn().unwrap()
        };
        let (child, part) = stopped_while_writing(start, &out);
        fill(&filler, u64::MAX);
        assert!(part.exists());
        kill_process(pid(&child), Signal::CONT).unwrap();
        let done = child.wait_with_output().unwrap();
        let err = String::from_utf8(done.stderr).unwrap();
        std::fs::remove_file(&filler).unwrap();
        assert_eq!(std::fs::read(&medium).ok().as_deref(), old, "{err}");
        let _ = std::fs::remove_file(&medium);
        full(&Run { code: done.status.code(), out: String::new(), err }, &out, "no room");
    }
    let done = run(&mut build());
    assert_eq!(done.code, Some(0), "{}", done.err);
    assert_eq!(names(&out), ["SHA256SUMS", "demo-master.iso"]);
    std::fs::write(Path::new(&dir).join(TRIED), b"").unwrap();
}

/// Judges a build that ran out of room.
#[track_caller]
fn full(done: &Run, out: &Path, words: &str) {
    assert_eq!(done.code, Some(5), "{}", done.err);
    assert!(done.err.contains("no room") && done.err.contains(words), "{}", done.err);
    assert!(done.err.contains("help: make room"), "{}", done.err);
    let left: Vec<String> = names(out).into_iter().filter(|name| name != "filler").collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Starts a build and stops it (SIGSTOP) as soon as its staging file holds bytes, thus after it has looked for room. One that
/// ended before that was seen, on a busy machine, is started again.
fn stopped_while_writing(start: impl Fn() -> Child, out: &Path) -> (Child, PathBuf) {
    for _ in 0..10 {
        let mut child = start();
        while child.try_wait().unwrap().is_none() {
            let part = names(out).into_iter().find(|name| name.ends_with(".part") && !name.contains("SUMS"));
            let part = part.map(|name| out.join(name));
            if let Some(path) =
                part.filter(|path| std::fs::metadata(path).is_ok_and(|meta| meta.blocks() > 0))
            {
                kill_process(pid(&child), Signal::STOP).unwrap();
                if path.exists() {
                    return (child, path);
                }
                kill_process(pid(&child), Signal::CONT).unwrap();
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }
    panic!("no build was seen to write")
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id().try_into().unwrap()).unwrap()
}

/// Writes zeros until `len` or until there is no room.
fn fill(path: &Path, len: u64) {
    let mut file = File::create(path).unwrap();
    let chunk = vec![0; 1 << 20];
    let mut left = len;
    while left > 0 {
        match file.write(&chunk) {
            Ok(0) | Err(_) => break,
            Ok(written) => left = left.saturating_sub(written as u64),
        }
    }
}

fn grow(path: &Path, len: u64) {
    File::options().write(true).open(path).unwrap().set_len(len).unwrap();
}

/// A number from 0 up to 1 that is another one each time.
fn random() -> f64 {
    let hash = std::collections::hash_map::RandomState::new().build_hasher().finish();
    (hash >> 11) as f64 / (1_u64 << 53) as f64
}
