//! What a build writes and prints, and where.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::Value;

use crate::bases;
use crate::project::{PROFILES, Project, names, run, sha256};

#[test]
fn media_are_private_and_listed_with_their_digests() {
    let project = Project::new();
    for profile in PROFILES {
        let medium = project.build(profile);
        let mode = std::fs::metadata(&medium).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode, 0o600, "{profile}: it holds keys");
        bases::run(Command::new("checkisomd5").arg(&medium));
    }
    let out = project.dir.join("out");
    project.build("master");
    assert_eq!(names(&out), ["SHA256SUMS", "demo-lb.iso", "demo-master.iso", "demo-worker.iso"]);
    let sums = std::fs::read_to_string(out.join("SHA256SUMS")).unwrap();
    assert_eq!(sums.lines().count(), 3, "{sums}");
    let checked = bases::run(
        Command::new("sha256sum").args(["-c", "--strict", "SHA256SUMS"]).current_dir(&out).env("LC_ALL", "C"),
    );
    assert_eq!(checked.matches(": OK").count(), 3, "{checked}");
    // An output that was wider open before is private afterwards.
    let medium = project.output("lb");
    std::fs::set_permissions(&medium, std::fs::Permissions::from_mode(0o644)).unwrap();
    project.build("lb");
    assert_eq!(std::fs::metadata(&medium).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn other_lines_of_the_sums_stay() {
    let project = Project::new();
    let out = project.beside("shared");
    let theirs = format!("{}  theirs.iso\n{} *zz.iso\n", "a".repeat(64), "b".repeat(64));
    std::fs::write(out.join("SHA256SUMS"), &theirs).unwrap();
    let target = out.join("mine.iso");
    for _ in 0..2 {
        project.pass(&["build", "-p", "lb", "-o", target.to_str().unwrap()]);
    }
    let sums = std::fs::read_to_string(out.join("SHA256SUMS")).unwrap();
    let mine = format!("{}  mine.iso\n", sha256(&target));
    assert_eq!(sums, mine + &theirs);
}

#[test]
fn json_is_the_only_data() {
    let project = Project::new();
    let done = project.pass(&["build", "--profile", "worker", "--json"]);
    assert_eq!(done.out.lines().count(), 1, "{}", done.out);
    let told: Value = serde_json::from_str(&done.out).unwrap();
    let medium = project.output("worker");
    assert_eq!(told["sha256"], sha256(&medium).as_str());
    assert_eq!(told["size"], std::fs::metadata(&medium).unwrap().len());
    assert_eq!(told["profile"], "worker");
    let output = project.dir.join(told["output"].as_str().unwrap());
    assert_eq!(output.canonicalize().unwrap(), medium.canonicalize().unwrap());
    let seen = project.pass(&["inspect", "--json", medium.to_str().unwrap()]).out;
    let seen: Value = serde_json::from_str(&seen).unwrap();
    assert_eq!(seen["label"], told["label"], "{seen}");
    assert!(seen.to_string().contains(told["build_id"].as_str().unwrap()));

    let plain = project.pass(&["build", "--profile", "worker"]);
    assert_eq!(plain.out, "", "steps and results for people are no data");
    assert!(plain.err.contains(&sha256(&medium)) && plain.err.contains("demo-worker.iso"), "{}", plain.err);
}

#[test]
fn messages_are_plain_in_a_pipe_and_coloured_when_asked() {
    let project = Project::new();
    let build = ["build", "--profile", "lb"];
    project.pass(&build);
    let plain = project.pass(&build).err;
    assert!(plain.contains("==> ") && plain.ends_with('\n'), "{plain}");
    assert!(!plain.contains(['\x1b', '\r']), "{plain:?}");
    let mut command = project.kiln(&build);
    assert!(!run(command.env("NO_COLOR", "1").env("TERM", "xterm")).err.contains('\x1b'));
    let coloured = run(project.kiln(&build).arg("--color=always").env("NO_COLOR", "1")).err;
    assert!(coloured.contains("\x1b[32;1m==>\x1b[0m") && !coloured.contains('\r'), "{coloured:?}");
    let stripped = coloured.replace("\x1b[32;1m", "").replace("\x1b[0m", "").replace("\x1b[2m", "");
    assert_eq!(stripped, plain, "colour changes no word");

    let quiet = project.pass(&["--quiet", "build", "--profile", "lb"]);
    assert_eq!((quiet.out.as_str(), quiet.err.as_str()), ("", ""));
    let quiet = project.pass(&["build", "-q", "--json", "--profile", "lb"]);
    assert!(quiet.err.is_empty() && quiet.out.starts_with('{'), "{quiet:?}");

    // Errors are told even then, plainly or in colour.
    let bad = project.run(&["-q", "build", "--profile", "lb", "-C", "none.toml"]);
    assert!(bad.err.starts_with("error: ") && bad.err.contains("none.toml"), "{}", bad.err);
    let bad = project.run(&["--color=always", "build", "--profile", "lb", "-C", "none.toml"]);
    assert!(bad.err.contains("\x1b[31;1merror:\x1b[0m"), "{:?}", bad.err);
    let bad = project.run(&["--color=never", "build", "--profile", "lb", "-C", "none.toml"]);
    assert!(!bad.err.contains('\x1b'), "{:?}", bad.err);
}

/// On a terminal too: colour unless `NO_COLOR` is set.
#[test]
fn a_terminal_is_told_from_a_pipe() {
    let project = Project::new();
    let line = format!("'{}' build --profile lb", crate::project::KILN);
    let on_terminal = |no_color: Option<&str>| {
        let mut command = Command::new("script");
        command.args(["-qec", &line, "/dev/null"]).current_dir(&project.dir).env_remove("NO_COLOR");
        if let Some(value) = no_color {
            command.env("NO_COLOR", value);
        }
        run(&mut command).out
    };
    assert!(on_terminal(None).contains("\x1b[32;1m==>"));
    assert!(on_terminal(Some("")).contains("\x1b[32;1m==>"), "an empty NO_COLOR is none");
    assert!(!on_terminal(Some("1")).contains("\x1b[32;1m"));
}
