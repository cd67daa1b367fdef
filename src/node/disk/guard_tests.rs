//! Each clause of the wipe guard, by itself.

use super::super::content::Signature;
use super::super::record::TableId;
use super::*;

const TABLE: &str = "\"aa\"";
const OTHER: &str = "\"bb\"";

fn table(text: &str) -> TableId {
    serde_json::from_str(text).unwrap()
}

fn case() -> Case<'static> {
    Case {
        cluster: Box::leak(Box::new("prod".parse().unwrap())),
        authority: Sha256::of(b"ca"),
        node: Box::leak(Box::new("m1".parse().unwrap())),
        build_id: Sha256::of(b"new"),
        wipe: Wipe::Nothing,
        reinstall: None,
    }
}

fn record(node: &str, build: &[u8], state: State) -> Record {
    Record {
        cluster: "prod".parse().unwrap(),
        authority: Sha256::of(b"ca"),
        node: node.parse().unwrap(),
        folder: "/".into(),
        label: "KILN-OLD".into(),
        build_id: Sha256::of(build),
        state,
    }
}

fn blank() -> Content {
    let before = Sha256::of(b"before");
    Content { record: None, table: None, before, found: vec![], unknown: vec![], loose_data: false }
}

/// What kiln installs: with boot code on a partition that has no signature.
fn installed(record: Record) -> Content {
    let found = |device: &str, kind: &str, label: &str| Signature {
        device: device.into(),
        kind: kind.into(),
        label: Some(label.into()),
    };
    Content {
        record: Some(record),
        table: Some(table(TABLE)),
        found: vec![found("vda2", "xfs", "kiln-boot"), found("vda3", "xfs", "kiln-root")],
        unknown: vec!["vda1".into()],
        ..blank()
    }
}

fn foreign() -> Content {
    let found = Signature { device: "vda1".into(), kind: "LVM2_member".into(), label: None };
    Content { found: vec![found], ..blank() }
}

fn complete() -> State {
    State::Complete { table: table(TABLE) }
}

fn parted() -> State {
    State::Parted { table: table(TABLE) }
}

fn judge_one(case: &Case<'_>, content: &Content) -> Result<Verdict> {
    let disk = Disk { name: "vda".into(), ..Default::default() };
    judge(case, &[Target { folder: Some("/"), disk: &disk, content }])
}

fn installs(verdict: Result<Verdict>) -> bool {
    matches!(verdict, Ok(Verdict::Install(_)))
}

fn asks(verdict: Result<Verdict>) -> String {
    match verdict {
        Ok(Verdict::Ask(nodes)) => {
            nodes.iter().map(|lost| lost.name.to_string()).collect::<Vec<_>>().join(" ")
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_blank_disk_is_installed_to_and_foreign_data_needs_a_word() {
    assert_eq!(judge_one(&case(), &blank()).unwrap(), Verdict::Install(vec![]));
    let error = judge_one(&case(), &foreign()).unwrap_err();
    assert!(error.to_string().contains("vda") && error.to_string().contains("LVM2_member"), "{error}");
    assert!(error.hint_text().unwrap().contains("wipe = \"any\" for m1"));
    let any = Case { wipe: Wipe::Any, ..case() };
    assert!(installs(judge_one(&any, &foreign())));
    for loose in
        [Content { loose_data: true, ..blank() }, Content { unknown: vec!["vda1".into()], ..blank() }]
    {
        assert!(judge_one(&case(), &loose).is_err());
    }
}

#[test]
fn a_node_of_this_cluster_is_asked_for_whatever_the_file_lets_be_wiped() {
    for wipe in Wipe::ALL {
        let case = Case { wipe, ..case() };
        assert_eq!(asks(judge_one(&case, &installed(record("m1", b"old", complete())))), "m1");
        assert_eq!(asks(judge_one(&case, &installed(record("m2", b"new", complete())))), "m2");
    }
}

#[test]
fn a_medium_for_one_node_reinstalls_that_node_and_no_other() {
    let name: HostName = "m1".parse().unwrap();
    let case = Case { reinstall: Some(&name), ..case() };
    assert!(installs(judge_one(&case, &installed(record("m1", b"old", complete())))));
    assert_eq!(asks(judge_one(&case, &installed(record("m2", b"old", complete())))), "m2");
    assert!(judge_one(&case, &foreign()).is_err());
    // What it has installed it does not install again.
    let done = judge_one(&case, &installed(record("m1", b"new", complete())));
    assert_eq!(done.unwrap(), Verdict::Installed("vda".into()));
}

#[test]
fn a_machine_that_was_installed_from_this_medium_boots_its_disk() {
    let done = judge_one(&case(), &installed(record("m1", b"new", complete())));
    assert_eq!(done.unwrap(), Verdict::Installed("vda".into()));
}

#[test]
fn an_installation_that_was_cut_short_begins_anew() {
    let kept = |state: State| installed(record("m1", b"new", state));
    assert!(installs(judge_one(&case(), &kept(parted()))));
    // Not touched since it was taken, whatever is on it: somebody let this medium have it.
    let taken = State::Taken { before: Sha256::of(b"before") };
    assert!(installs(judge_one(
        &case(),
        &Content { record: Some(record("m1", b"new", taken.clone())), ..foreign() }
    )));
    // Touched, but only by an installation like this one.
    let touched = State::Taken { before: Sha256::of(b"other") };
    assert!(installs(judge_one(&case(), &kept(touched.clone()))));
    // Another medium or another node was let have it, or somebody used it since.
    for other in [record("m1", b"old", taken.clone()), record("m2", b"new", taken)] {
        assert!(judge_one(&case(), &Content { record: Some(other), ..foreign() }).is_err());
    }
    for state in [touched, parted(), complete()] {
        let since =
            Content { record: Some(record("m1", b"new", state)), table: Some(table(OTHER)), ..foreign() };
        assert!(judge_one(&case(), &since).is_err());
    }
}

#[test]
fn a_table_that_was_made_anew_makes_the_record_void() {
    let stale = Content { table: Some(table(OTHER)), ..installed(record("m1", b"old", complete())) };
    assert!(judge_one(&case(), &stale).is_err());
    let wiped = Content { record: Some(record("m1", b"old", complete())), ..blank() };
    assert!(installs(judge_one(&case(), &wiped)));
    // The partitions are kiln's, the file systems are not.
    let mut reused = installed(record("m1", b"new", parted()));
    reused.found[1].label = Some("root".into());
    assert!(judge_one(&case(), &reused).is_err());
}

#[test]
fn another_cluster_is_foreign_even_if_it_has_the_name() {
    let other = Record { authority: Sha256::of(b"other"), ..record("m1", b"new", complete()) };
    let error = judge_one(&case(), &installed(other.clone())).unwrap_err();
    assert!(error.to_string().contains("m1 of another cluster, prod"), "{error}");
    assert!(installs(judge_one(&Case { wipe: Wipe::Any, ..case() }, &installed(other))));
}

#[test]
fn a_node_on_a_disk_that_no_rule_takes_stops_it() {
    let (a, b) = (
        Disk { name: "vda".into(), ..Default::default() },
        Disk { name: "vdb".into(), ..Default::default() },
    );
    let old = installed(record("m1", b"old", complete()));
    let data = Content {
        record: Some(Record { folder: "/var/lib/etcd".into(), ..record("m1", b"old", complete()) }),
        ..old.clone()
    };
    let run = |left: &Content| {
        let blank = blank();
        let targets = [
            Target { folder: Some("/"), disk: &a, content: &blank },
            Target { folder: None, disk: &b, content: left },
        ];
        judge(&case(), &targets)
    };
    assert_eq!(asks(run(&old)), "m1");
    assert!(installs(run(&data)) && installs(run(&foreign())));
}

#[test]
fn data_of_a_node_on_a_disk_of_its_own_is_guarded_too() {
    let (a, b) = (
        Disk { name: "vda".into(), ..Default::default() },
        Disk { name: "vdb".into(), ..Default::default() },
    );
    for build in [b"old".as_slice(), b"new"] {
        let data = Record { folder: "/var/lib/etcd".into(), ..record("m1", build, complete()) };
        let (blank, data) = (blank(), installed(data));
        let targets = [
            Target { folder: Some("/"), disk: &a, content: &blank },
            Target { folder: Some("/var/lib/etcd"), disk: &b, content: &data },
        ];
        assert_eq!(asks(judge(&case(), &targets)), "m1");
    }
}

#[test]
fn every_node_that_would_be_lost_is_asked_for() {
    let (a, b) = (
        Disk { name: "vda".into(), ..Default::default() },
        Disk { name: "vdb".into(), ..Default::default() },
    );
    let data = Record { folder: "/var/lib/etcd".into(), ..record("m2", b"old", complete()) };
    let (system, data) = (installed(record("m1", b"old", complete())), installed(data));
    let targets = [
        Target { folder: Some("/"), disk: &a, content: &system },
        Target { folder: Some("/var/lib/etcd"), disk: &b, content: &data },
    ];
    assert_eq!(asks(judge(&case(), &targets)), "m1 m2");
    // A medium that may reinstall one of them asks for the other still.
    let name: HostName = "m1".parse().unwrap();
    assert_eq!(asks(judge(&Case { reinstall: Some(&name), ..case() }, &targets)), "m2");
}

#[test]
fn a_disk_of_data_is_not_booted_as_a_system() {
    let data = Record { folder: "/var/lib/etcd".into(), ..record("m1", b"new", complete()) };
    assert_eq!(asks(judge_one(&case(), &installed(data))), "m1");
}
