use std::io::Write as _;
use std::process::{Command as Process, Stdio};

use super::*;
use crate::testing::cluster;

fn template(name: &str) -> Result<String> {
    Assets::new(None)?.text(name)
}

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|word| (*word).to_owned()).collect()
}

/// The kickstart of a cluster with something in every list.
fn build_for(cluster: &Cluster) -> Result<Kickstart> {
    with_request(cluster, |request| build(request, &template))
}

fn with_request<T>(cluster: &Cluster, then: impl FnOnce(&Request<'_>) -> T) -> T {
    let label = VolumeLabel::for_medium(&cluster.name, Role::Master, "1a2b");
    then(&Request {
        cluster,
        role: Role::Master,
        label: &label,
        packages: &words(&["chrony", "container-selinux", "firewalld"]),
        units: &words(&["chronyd.service", "kubelet.service"]),
        selinux: Selinux::Permissive,
        selinux_booleans: &words(&["httpd_can_network_connect"]),
        selinux_ports: &[crate::profile::PortLabel::parse("http_port_t:6443").unwrap()],
        kernel_args: &words(&["quiet", "systemd.unified_cgroup_hierarchy=0"]),
        way: Way::default(),
    })
}

fn on(release: &str) -> Cluster {
    let mut cluster = cluster();
    cluster.base.release = release.parse().unwrap();
    cluster
}

const RELEASES: [(&str, u8); 6] = [
    ("centos-7", 7),
    ("centos-stream-8", 8),
    ("rocky-8", 8),
    ("centos-stream-9", 9),
    ("almalinux-10", 10),
    ("centos-stream-10", 10),
];

fn check(program: &str, package: &str, args: &[&str], input: &str) {
    let mut process = Process::new(program);
    process.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = process.spawn().unwrap_or_else(|error| panic!("{program}: {error} (install {package})"));
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{program} {args:?}: {said}\n{input}");
}

#[test]
fn pykickstart_takes_every_release() {
    for el in 7..=10 {
        let dir = tempfile::tempdir().unwrap();
        let mut files = Vec::new();
        for (release, _) in RELEASES.iter().filter(|(_, of)| *of == el) {
            let mut locked = on(release);
            locked.access.ssh_keys.clear();
            locked.network.ntp.clear();
            let mut open = on(release);
            open.access.root_password_hash = Some(format!("$6$salt${}", "a".repeat(86)).parse().unwrap());
            open.base.rpms = vec!["rpms".into()];
            let repository = "\nrepo --name=kiln --baseurl=file:///run/install/repo/kiln/rpms --cost=1\n";
            assert!(build_for(&open).unwrap().to_string().contains(repository));
            assert!(!build_for(&locked).unwrap().to_string().contains("\nrepo "));
            for cluster in [on(release), locked, open] {
                for spread in SPREADS {
                    let file = dir.path().join(format!("{}.ks", files.len()));
                    std::fs::write(&file, spread_over(&cluster, spread).to_string()).unwrap();
                    files.push(file.to_str().unwrap().to_owned());
                }
            }
        }
        let version = format!("RHEL{el}");
        let mut args = vec!["-v", &version];
        args.extend(files.iter().map(String::as_str));
        check("ksvalidator", "pykickstart (PyPI)", &args, "");
    }
}

#[test]
fn scripts_are_sound_for_bash_and_shellcheck() {
    for (release, _) in RELEASES {
        for (_, body) in build_for(&on(release)).unwrap().scripts() {
            check("bash", "bash", &["-n"], body);
            check("shellcheck", "shellcheck", &["--shell=bash", "--severity=style", "-"], body);
        }
    }
    for spread in SPREADS {
        for (_, body) in spread_over(&on("centos-7"), spread).scripts() {
            check("bash", "bash", &["-n"], body);
            check("shellcheck", "shellcheck", &["--shell=bash", "--severity=style", "-"], body);
        }
    }
}

/// The hash comes from the seed, where there is one; a payload beside the vendor's medium lies on a volume of its own.
#[test]
fn secrets_and_places_follow_the_spread() {
    let mut cluster = on("centos-stream-9");
    let hash = format!("$6$salt${}", "a".repeat(86));
    cluster.access.root_password_hash = Some(hash.parse().unwrap());
    cluster.base.rpms = vec!["rpms".into()];
    let [whole, split, beside] = SPREADS.map(|spread| spread_over(&cluster, spread).to_string());
    assert!(whole.contains(&hash) && beside.contains(&hash) && !split.contains(&hash));
    assert!(split.contains("\n%include /tmp/kiln/access.ks\n") && !split.contains("\nrootpw "));
    assert!(!whole.contains("access.ks") && !beside.contains("access.ks"));
    assert!(beside.contains("--baseurl=file:///run/kiln-medium/kiln/rpms "));
    assert!(beside.contains("node place --media /run/kiln-medium ") && !beside.contains("/run/install/repo"));
    assert!(
        beside.contains("blkid -t LABEL=OEMDRV") && !split.contains("OEMDRV") && !whole.contains("OEMDRV")
    );
    let mut old = on("centos-7");
    old.access.root_password_hash = Some(format!("$y$j9T$salt${}", "a".repeat(43)).parse().unwrap());
    let way = Way { spread: Spread::Split, network: None };
    assert!(with_request(&old, |request| build(&Request { way, ..*request }, &template)).is_err());
}

const SPREADS: [Spread; 3] = [Spread::Whole, Spread::Split, Spread::Beside];

/// The kickstart of a cluster whose things lie so.
fn spread_over(cluster: &Cluster, spread: Spread) -> Kickstart {
    let way = Way { spread, network: None };
    with_request(cluster, |request| build(&Request { way, ..*request }, &template)).unwrap()
}

#[test]
fn the_first_boot_of_disk_images_is_sound() {
    for (release, el) in RELEASES {
        let mut cluster = on(release);
        cluster.access.root_password_hash = Some(format!("$6$salt${}", "a".repeat(86)).parse().unwrap());
        let files = with_request(&cluster, |request| boot_files(request, &template)).unwrap();
        let text = |path: &str| &files.iter().find(|(name, _)| *name == path).unwrap().1;
        for path in [crate::payload::FIRST_BOOT, crate::payload::SET_UP] {
            check("dash", "dash", &["-n"], text(path));
            check("shellcheck", "shellcheck", &["--shell=sh", "--severity=style", "-"], text(path));
        }
        assert!(text("/kiln/set-up.sh").contains("systemctl enable kubelet.service\n"), "EL {el}");
        // YAML as cloud-init reads it, with one command that a shell takes.
        let yaml = "import sys, yaml; data = yaml.safe_load(sys.stdin); assert data['users'] == []; \
                    assert data['disable_root'] is False; [command] = data['bootcmd']; assert command[:2] == ['sh', '-c']; \
                    import subprocess; subprocess.run(['sh', '-n', '-c', command[2]], check=True)";
        check("python3", "python3-yaml", &["-c", yaml], text("/user-data"));
        assert!(text("/user-data").starts_with("#cloud-config\n"));
        // An operator's own names the node.
        let named = user_data_for(text("/user-data"), &"k8s-master2".parse().unwrap()).unwrap();
        check("python3", "python3-yaml", &["-c", yaml], &named);
        assert!(
            named.contains("'node=k8s-master2; [ ") && text("/user-data").contains("'node=; [ "),
            "{named}"
        );
        assert!(user_data_for(&named, &"k8s-master3".parse().unwrap()).is_err());
        assert_eq!(text("/meta-data"), "instance-id: KILN-PROD-MASTER-1A2B\n");
        assert_eq!(text("/network-config"), "version: 1\nconfig: disabled\n");
    }
    // The hash comes from the seed, where there is one, and is on no command line.
    let mut own = on("centos-stream-9");
    let hash = format!("$6$salt${}", "a".repeat(86));
    own.access.root_password_hash = Some(hash.parse().unwrap());
    for spread in SPREADS {
        let way = Way { spread, network: None };
        let files =
            with_request(&own, |request| boot_files(&Request { way, ..*request }, &template)).unwrap();
        let text = &files.iter().find(|(name, _)| *name == crate::payload::SET_UP).unwrap().1;
        check("shellcheck", "shellcheck", &["--shell=sh", "--severity=style", "-"], text);
        let split = spread == Spread::Split;
        assert_eq!(text.contains("/var/lib/kiln/adopt/access.ks"), split);
        assert_eq!(files.iter().any(|(_, text)| text.contains(&hash)), !split);
    }
    // Members of a pool have their address from DHCP.
    let pools = with_request(&cluster(), |request| {
        boot_files(&Request { role: Role::Worker, ..*request }, &template)
    });
    assert!(pools.unwrap().iter().all(|(path, _)| *path != "/network-config"));
}

/// Runs a script in a place where all its first real command can do is fail; what it said on the console, and what it told
/// the kernel. Nothing of this machine is touched: devices are files, and programs that matter are replaced.
fn run_to_failure(body: &str) -> (String, String) {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let mut body = body.to_owned();
    for (real, fake) in [
        ("/proc/sysrq-trigger", "sysrq"),
        ("/proc/cmdline", "cmdline"),
        ("/dev/console", "console"),
        ("/dev/tty1", "tty1"),
        ("/run/install/repo", "no-repo"),
        ("/tmp/kiln", "kiln"),
        ("/var/log/kiln-post.log", "post.log"),
        ("systemctl ", "systemctl "),
    ] {
        body = body.replace(real, &at(fake));
    }
    assert!(!body.contains("/proc") && !body.contains("/dev/t"), "{body}");
    for name in ["sysrq", "cmdline", "console", "kiln-place.log", "post.log"] {
        std::fs::write(at(name), "").unwrap();
    }
    for name in ["sleep", "poweroff", "sync"] {
        std::os::unix::fs::symlink("/bin/true", at(name)).unwrap();
    }
    let path = format!("{}:/usr/bin:/bin", dir.path().display());
    let out = Process::new("bash").args(["-c", &body]).env("PATH", path).output().unwrap();
    assert_eq!(out.status.code(), Some(1), "{out:?}");
    (std::fs::read_to_string(at("console")).unwrap(), std::fs::read_to_string(at("sysrq")).unwrap())
}

#[test]
fn a_script_that_fails_says_so_and_stops_the_machine() {
    let kickstart = build_for(&on("centos-stream-9")).unwrap();
    for (stage, words) in [
        (Stage::Pre, "kiln did not install this machine"),
        (Stage::PostOutside, "did not get its files"),
        (Stage::PostInside, "is not set up"),
    ] {
        let (_, body) = kickstart.scripts().iter().find(|(of, _)| *of == stage).unwrap();
        let (console, kernel) = run_to_failure(body);
        assert!(
            console.contains(words) && console.contains("powers off in 10 minutes"),
            "{stage:?}: {console}"
        );
        assert_eq!(kernel, "o\n", "{stage:?}");
    }
}

#[test]
fn releases_differ_where_they_must() {
    let text = |release: &str| build_for(&on(release)).unwrap().to_string();
    let el7 = text("centos-7");
    assert!(el7.contains("\ninstall\ncdrom\ncmdline\n") && el7.contains("--ntpservers=192.168.31.1"));
    assert!(!el7.contains("sshkey --") && el7.contains("/root/.ssh/authorized_keys"));
    assert!(text("rocky-8").contains("module --name=container-tools --stream=rhel8"));
    for release in ["rocky-8", "centos-stream-9", "centos-stream-10"] {
        let text = text(release);
        assert!(
            text.contains("\nsshkey --username=root \"ssh-ed25519 ") && !text.contains("authorized_keys")
        );
        assert_eq!(text.contains("timesource --ntp-server=192.168.31.1"), release != "rocky-8");
    }
    assert!(text("centos-stream-10").contains("authselect select local"));
}

#[test]
fn root_is_locked_unless_something_is_given() {
    let mut cluster = cluster();
    cluster.access.ssh_keys.clear();
    let text = build_for(&cluster).unwrap().to_string();
    assert!(text.contains("\nrootpw --lock\n") && !text.contains("sshkey"));
    cluster.access.root_password_hash = Some(format!("$y$j9T$salt${}", "a".repeat(43)).parse().unwrap());
    assert!(build_for(&cluster).unwrap().to_string().contains("rootpw --iscrypted $y$j9T$"));
    cluster.base.release = "rocky-8".parse().unwrap();
    assert!(build_for(&cluster).unwrap_err().to_string().contains("`$y$`"));
}

#[test]
fn a_key_cannot_break_out_of_its_line() {
    let mut cluster = cluster();
    let key = format!("{} a'b \\ $(reboot) # %end \\", crate::testing::SSH_KEY);
    cluster.access.ssh_keys = vec![key.parse().unwrap()];
    for (release, el) in RELEASES {
        cluster.base.release = release.parse().unwrap();
        let text = build_for(&cluster).unwrap().to_string();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ks.cfg");
        std::fs::write(&file, &text).unwrap();
        // pykickstart reads the key back as it was given; the shell of EL 7 would write it as it was given.
        let script = "import sys\nfrom pykickstart.parser import KickstartParser\n\
            from pykickstart.version import makeVersion\n\
            h = makeVersion('RHEL' + sys.argv[1]); KickstartParser(h, missingIncludeIsFatal=False).readKickstart(sys.argv[2])\n\
            print(h.sshkey.sshUserList[0].key if sys.argv[1] != '7' else '', end='')";
        let out =
            Process::new("python3").args(["-c", script, &el.to_string(), file.to_str().unwrap()]).output();
        let out = out.unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        match el {
            7 => {
                assert!(text.contains(&format!("<<'KILN_END_OF_KEYS'\n{key}\nKILN_END_OF_KEYS\n")), "{text}")
            }
            _ => assert_eq!(String::from_utf8(out.stdout).unwrap(), key),
        }
    }
}

#[test]
fn hostile_words_are_refused() {
    let mut kickstart = Kickstart::new(El::El9, "title\n%post");
    assert!(!kickstart.to_string().contains("\n%post"));
    for bad in ["", "a b", "a\nb", "%end", "-bash", "a\"b", "$(x)", "@group %post", "a#b"] {
        assert!(kickstart.add_package(bad).is_err(), "{bad:?}");
    }
    let cluster = cluster();
    let label = VolumeLabel::for_medium(&cluster.name, Role::Master, "1a2b");
    let none = Vec::new();
    let fine = Request {
        cluster: &cluster,
        role: Role::Master,
        label: &label,
        packages: &none,
        units: &none,
        selinux: Selinux::Enforcing,
        selinux_booleans: &none,
        selinux_ports: &[],
        kernel_args: &none,
        way: Way::default(),
    };
    build(&fine, &template).unwrap();
    for bad in ["a b", "x\"; reboot", "$(x)", "a\\"] {
        let bad = words(&[bad]);
        assert!(build(&Request { units: &bad, ..fine }, &template).is_err(), "{bad:?}");
        assert!(build(&Request { selinux_booleans: &bad, ..fine }, &template).is_err(), "{bad:?}");
        let mut cluster = cluster.clone();
        cluster.network.ntp = bad;
        assert!(build(&Request { cluster: &cluster, ..fine }, &template).is_err());
    }
    let ends = |_: &str| Ok("echo\n  %end\n%packages\n".to_owned());
    assert!(build(&fine, &ends).unwrap_err().to_string().contains("would end the script"));
}

#[test]
fn commands_that_exclude_each_other_are_errors() {
    let mut kickstart = Kickstart::new(El::El9, "test");
    kickstart.add(Command::Selinux(Selinux::Enforcing)).unwrap();
    let error = kickstart.add(Command::Selinux(Selinux::Permissive)).unwrap_err();
    assert!(error.to_string().contains("SELinux"), "{error}");
    kickstart.add(Command::RootPassword(RootPassword::Locked)).unwrap();
    assert!(kickstart.add(Command::RootPassword(RootPassword::Locked)).is_err());
}
