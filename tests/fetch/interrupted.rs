//! Two kilns at once, kilns that are killed, and a full disk.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::site::{KILN, Site};

#[test]
fn two_at_once_and_killed_at_any_moment() {
    let site = Site::new();
    for step in 0..12 {
        let mut child = site.kiln(&["fetch", "--jobs", "3"]).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(15 * step));
        let _ = child.kill();
        child.wait().unwrap();
        site.check_cache();
    }
    let runs: Vec<_> = (0..2).map(|_| site.kiln(&["fetch"]).spawn().unwrap()).collect();
    for run in runs {
        let done = run.wait_with_output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
    site.check_cache();
    let lock = site.lock();
    site.pass(&["fetch", "--locked"]);
    assert_eq!(site.lock(), lock);
    let left: Vec<_> = std::fs::read_dir(site.cache().join("partial")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_full_disk_is_told_and_the_next_run_goes_on() {
    let site = Site::new();
    let small = site.beside("small");
    std::fs::create_dir_all(&small).unwrap();
    // In a namespace of its own, so that nothing stays mounted.
    let script = "mount -t tmpfs -o size=200k none \"$1\" && KILN_CACHE=\"$1\" \"$2\" fetch; code=$?; \
                  [ $code = 5 ] || exit 9; mount -o remount,size=200m \"$1\" && KILN_CACHE=\"$1\" \"$2\" fetch";
    let mut run = Command::new("unshare");
    run.args(["--mount", "--map-root-user", "sh", "-c", script, "sh"]).arg(&small).arg(KILN);
    run.current_dir(site.project()).env("REGISTRY_AUTH_FILE", site.beside("auth.json"));
    let done = run.stdout(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
    assert!(said.contains("No space left") && said.contains("KILN_CACHE"), "{said}");
}
