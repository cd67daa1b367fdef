//! The kickstart of every profile on every release: as pykickstart reads it, and as it was checked in.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::process::Command;

use kiln::assets::Assets;
use kiln::cluster::types::{Release, Role};
use kiln::image::label::VolumeLabel;
use kiln::kickstart;
use kiln::plan::{Versions, plan};

/// The kickstart of a role of the reference cluster on a release.
fn rendered(release: Release, role: Role) -> String {
    let mut cluster = common::reference_cluster();
    cluster.base.release = release;
    let assets = Assets::new(None).unwrap();
    let versions = Versions::from([("containerd".to_owned(), "2.3.4".to_owned())]);
    let plan = plan(&cluster, &assets, role, &versions).unwrap();
    let label = VolumeLabel::for_medium(&cluster.name, role, "0000");
    kickstart::render(&cluster, &plan, &label, &assets).unwrap()
}

fn cases() -> Vec<(Release, Role)> {
    Release::all().flat_map(|release| Role::ALL.map(|role| (release, role))).collect()
}

#[test]
fn pykickstart_takes_every_profile_on_every_release() {
    for el in 7..=10 {
        let dir = tempfile::tempdir().unwrap();
        let mut check = Command::new("ksvalidator");
        check.args(["-v", &format!("RHEL{el}")]);
        for (release, role) in cases().into_iter().filter(|(release, _)| release.el == el) {
            let file = dir.path().join(format!("{release}-{role}.ks"));
            std::fs::write(&file, rendered(release, role)).unwrap();
            check.arg(file);
        }
        let out = check.output().expect("ksvalidator does not run: pip install pykickstart");
        let said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "RHEL{el}: {said}");
    }
}

#[test]
fn kickstarts_are_as_checked_in() {
    for (release, role) in cases() {
        // The vendors differ in one line of comment.
        if release.to_string().starts_with("centos") {
            common::golden(&format!("kickstart/el{}-{role}.ks", release.el), &rendered(release, role));
        }
    }
}
