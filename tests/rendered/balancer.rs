//! nginx and keepalived, on load balancers or on the masters that stand in for them.

use std::process::Command;

use kiln::cluster::types::Role;

use crate::{accepts, planned, plans, root_of, run, shapes};

#[test]
fn nginx_takes_its_configuration() {
    for (name, plan) in plans() {
        let root = root_of(&plan, 0);
        let conf = root.path().join("etc/nginx/nginx.conf");
        if !conf.exists() {
            assert!(!plan.units.contains(&"nginx.service".to_owned()), "{name}");
            continue;
        }
        // Only the folders that the test may not write to are replaced.
        let text = std::fs::read_to_string(&conf).unwrap();
        let text = text
            .replace("/var/log/nginx", root.path().to_str().unwrap())
            .replace("/run/nginx.pid", root.path().join("pid").to_str().unwrap());
        std::fs::write(&conf, text).unwrap();
        let mut command = Command::new("/usr/sbin/nginx");
        command.arg("-t").arg("-e").arg(root.path().join("log")).arg("-c").arg(&conf);
        let said = accepts("nginx-light and libnginx-mod-stream", &mut command);
        assert!(!said.contains("[warn]"), "{name}: {said}");
    }
}

/// An interface of this machine that VRRP may run on.
fn real_interface() -> String {
    let names = std::fs::read_dir("/sys/class/net").unwrap();
    let mut names: Vec<String> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "lo")
        .collect();
    names.sort();
    names.into_iter().next().unwrap_or_else(|| panic!("this test needs a network interface besides lo"))
}

#[test]
fn keepalived_takes_its_configuration() {
    for (name, plan) in plans() {
        for node in 0..plan.nodes.len() {
            let root = root_of(&plan, node);
            let conf = root.path().join("etc/keepalived/keepalived.conf");
            if !conf.exists() {
                continue;
            }
            let interface = root.path().join("interface.conf");
            std::fs::write(&interface, format!("interface {}\n", real_interface())).unwrap();
            let text = std::fs::read_to_string(&conf).unwrap();
            let (was, is) = ("/etc/keepalived/kiln-interface.conf", interface.to_str().unwrap());
            assert!(text.contains(was), "{name}: nothing includes the interface");
            let script = root.path().join("usr/libexec/keepalived/kiln-check-api");
            // With another user than its own keepalived 2.2.7 kills itself in this mode: on changing back it finds that its
            // parent is not the keepalived it did not start.
            assert!(text.contains("script_user nobody"), "{name}: the check runs as root");
            let text = text
                .replace("script_user nobody", "script_user root")
                .replace(was, is)
                .replace("/usr/libexec/keepalived/kiln-check-api", script.to_str().unwrap());
            std::fs::write(&conf, text).unwrap();
            let log = root.path().join("log");
            let mut command = Command::new("/usr/sbin/keepalived");
            command.arg(format!("--config-test={}", log.display())).arg("-f").arg(&conf);
            let output = run("keepalived", &mut command);
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            // The folder of a test may be writable by others on the way down, which keepalived rightly dislikes.
            let faults: Vec<&str> = said
                .lines()
                .filter(|line| !line.contains("Unsafe permissions") && !line.trim().is_empty())
                .collect();
            assert!(output.status.success() && faults.is_empty(), "{name}: {}\n{said}", output.status);
        }
    }
}

/// The script that names the interface finds it by address, and fails when no interface carries it.
#[test]
fn the_vrrp_interface_is_found_by_address() {
    let (_, cluster) = shapes().remove(3);
    let root = root_of(&planned(&cluster, Role::Lb, "1.7.28"), 0);
    let script = std::fs::read_to_string(root.path().join("opt/kiln/bin/kiln-vrrp-interface")).unwrap();
    let out = root.path().join("interface.conf");
    let script = script.replace("/etc/keepalived/kiln-interface.conf", out.to_str().unwrap());
    let with = |address: &str| {
        run("dash", Command::new("sh").arg("-c").arg(&script).env("KILN_NODE_ADDRESS", address))
            .status
            .success()
    };
    assert!(!with("192.0.2.1") && !out.exists());
    assert!(with("127.0.0.1"), "this test needs the Debian packages iproute2 and mawk");
    assert_eq!(std::fs::read_to_string(out).unwrap(), "interface lo\n");
}
