//! Rules that all units of kiln's overlays follow, read from the files themselves: they come back whatever happens, none takes
//! another one down with it, and systemd 219 (EL 7) understands or passes over every line.
//!
//! `tests/rendered.rs` has systemd itself read the units of whole nodes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::path::{Path, PathBuf};

/// Directives that systemd 219 knows (systemd.directives(7) of that release), of those that units may use here. Not
/// `NoNewPrivileges`: with it SELinux leaves a program in systemd's own domain, unless the policy says otherwise.
const KNOWN: [&str; 45] = [
    "After",
    "Before",
    "CapabilityBoundingSet",
    "Conflicts",
    "DefaultDependencies",
    "Delegate",
    "Description",
    "Documentation",
    "EnvironmentFile",
    "ExecReload",
    "ExecStart",
    "ExecStartPost",
    "ExecStartPre",
    "KillMode",
    "LimitCORE",
    "LimitNOFILE",
    "LimitNPROC",
    "Environment",
    "OOMScoreAdjust",
    "OnBootSec",
    "OnUnitInactiveSec",
    "PrivateDevices",
    "PrivateTmp",
    "ProtectHome",
    "ProtectSystem",
    "RemainAfterExit",
    "RequiresMountsFor",
    "Restart",
    "RestartSec",
    "StartLimitInterval",
    "SyslogIdentifier",
    "TimeoutStartSec",
    "TimeoutStopSec",
    "Type",
    "UMask",
    "WantedBy",
    "Wants",
    "WatchdogSec",
    "WorkingDirectory",
    "Nice",
    "IOSchedulingClass",
    "IOSchedulingPriority",
    "StandardOutput",
    "StandardError",
    "User",
];

/// Newer ones, which older releases pass over with a line in the journal, and what is lost by that.
const PASSED_OVER: [(&str, &str); 1] = [("TasksMax", "227: before, there is no limit to lift")];

/// What ties the fate of one unit to another's.
const KNOTS: [&str; 6] = ["Requires", "Requisite", "BindsTo", "PartOf", "PropagatesStopTo", "Upholds"];

fn units() -> Vec<(PathBuf, String)> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else {
                found.push(path);
            }
        }
    }
    let mut paths = Vec::new();
    walk(&common::root().join("overlays"), &mut paths);
    let unit = |path: &PathBuf| {
        let name = path.to_string_lossy();
        let name = name.trim_end_matches(".j2");
        name.contains("/systemd/system/")
            && [".service", ".timer", ".conf"].iter().any(|end| name.ends_with(end))
    };
    paths.retain(unit);
    paths.sort();
    assert!(paths.len() > 12, "{paths:?}");
    paths.into_iter().map(|path| (path.clone(), std::fs::read_to_string(path).unwrap())).collect()
}

/// Lines of the form `Key=value`.
fn settings(text: &str) -> Vec<(&str, &str)> {
    text.lines()
        .filter(|line| !line.starts_with(['#', ';', '[']))
        .filter_map(|line| line.split_once('='))
        .collect()
}

fn has(text: &str, key: &str) -> Option<String> {
    settings(text).iter().find(|(name, _)| *name == key).map(|(_, value)| (*value).to_owned())
}

#[test]
fn daemons_come_back_for_ever() {
    for (path, text) in units() {
        let oneshot = has(&text, "Type").as_deref() == Some("oneshot");
        if !text.contains("[Service]") || oneshot {
            continue;
        }
        let name = path.display();
        assert_eq!(has(&text, "Restart").as_deref(), Some("always"), "{name}");
        let pause: u32 =
            has(&text, "RestartSec").unwrap_or_else(|| panic!("{name}: no RestartSec")).parse().unwrap();
        assert!((1..=10).contains(&pause), "{name}: RestartSec={pause}");
        // In [Service]: where 219 looks for it, and where later releases still do.
        let (_, service) = text.split_once("[Service]").unwrap();
        let service = service.split("\n[").next().unwrap();
        assert_eq!(has(service, "StartLimitInterval").as_deref(), Some("0"), "{name}: it may be given up");
        if has(&text, "Type").as_deref() == Some("notify") {
            assert_eq!(
                has(&text, "TimeoutStartSec").as_deref(),
                Some("0"),
                "{name}: killed while it waits for others"
            );
        }
    }
}

#[test]
fn no_unit_takes_another_one_down() {
    for (path, text) in units() {
        for (key, value) in settings(&text) {
            assert!(!KNOTS.contains(&key), "{}: {key}={value}", path.display());
        }
    }
}

#[test]
fn every_directive_is_known_to_the_oldest_systemd() {
    let passed_over = |key: &str| PASSED_OVER.iter().any(|(name, _)| *name == key);
    for (path, text) in units() {
        for (key, value) in settings(&text) {
            assert!(KNOWN.contains(&key) || passed_over(key), "{}: {key}={value}", path.display());
            let protect = key != "ProtectSystem" || ["full", "true"].contains(&value);
            assert!(protect, "{}: {key}={value} is of systemd 232", path.display());
        }
    }
}

/// What runs for long is confined as far as its work allows. Programs that mount, load modules, own devices or start CNI's
/// plugins are named here.
#[test]
fn daemons_are_confined() {
    let free =
        ["containerd.service", "cri-dockerd.service", "docker.service", "kubelet.service", "10-kiln.conf"];
    for (path, text) in units() {
        let name = path.file_name().unwrap().to_string_lossy().trim_end_matches(".j2").to_owned();
        let oneshot = has(&text, "Type").as_deref() == Some("oneshot");
        if !text.contains("[Service]") || oneshot || free.contains(&name.as_str()) {
            continue;
        }
        assert_eq!(has(&text, "ProtectHome").as_deref(), Some("true"), "{name}");
        assert_eq!(has(&text, "PrivateTmp").as_deref(), Some("true"), "{name}");
    }
}
