//! grub.cfg: vendor-like menus in, unattended menus out, read back, and checked by GRUB's own parser.

use std::io::Write as _;
use std::process::{Command, Stdio};

use super::*;

const EVERY: [(u8, &str, GrubFlavor); 5] = [
    (7, "el7-grub-efi.cfg", GrubFlavor::Efi),
    (8, "el8-grub-efi.cfg", GrubFlavor::Efi),
    (9, "el9-grub-efi.cfg", GrubFlavor::Efi),
    (10, "el10-grub-efi.cfg", GrubFlavor::Efi),
    (10, "el10-grub-bios.cfg", GrubFlavor::Bios),
];

fn spec(el: u8, serial: bool) -> MenuSpec {
    MenuSpec {
        label: "KILN-PROD-MASTER-1A2B".parse().unwrap(),
        default_title: "Install prod's node by matching this machine".into(),
        nodes: ["k8s-master1", "k8s-master2"].map(|name| name.parse().unwrap()).into(),
        timeout_seconds: 5,
        serial: serial.then(SerialConsole::default),
        el,
        ks_path: "/ks.cfg".into(),
    }
}

fn vendor(file: &str) -> String {
    std::fs::read_to_string(format!("{}/tests/data/menus/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn parsed(text: &str) -> Vec<Item> {
    let lines: Vec<&str> = text.lines().collect();
    parse(&lines).unwrap()
}

/// GRUB's own syntax check.
fn script_check(text: &str) {
    let mut child = Command::new("grub-script-check")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("grub-script-check: {error}; install the package grub-common"));
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "{text}");
}

#[test]
fn every_release_installs_unattended() {
    for (el, file, flavor) in EVERY {
        for serial in [true, false] {
            let old = vendor(file);
            script_check(&old);
            let text = grub(&old, &spec(el, serial), flavor).unwrap();
            script_check(&text);
            check_menu(&text, flavor, serial);
        }
    }
}

fn check_menu(text: &str, flavor: GrubFlavor, serial: bool) {
    let items = parsed(text);
    let label = "search --no-floppy --set=root -l 'KILN-PROD-MASTER-1A2B'";
    assert_eq!(
        items.iter().filter(|item| matches!(item, Item::Search(text) if text == label)).count(),
        1,
        "{text}"
    );
    for line in ["set default=\"0\"\n", "set timeout=5\n", "\nload_video\n", "insmod part_gpt\n"] {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert_eq!(text.contains("terminal_output serial console\n"), serial);
    let found: Vec<&Block> = items
        .iter()
        .filter_map(|item| match item {
            Item::Entry(block) => Some(block),
            _ => None,
        })
        .collect();
    let titles: Vec<&str> = found.iter().map(|block| block.title.as_str()).collect();
    let want = [
        r"'Install prod'\''s node by matching this machine'",
        "'Install this machine as k8s-master1'",
        "'Install this machine as k8s-master2'",
        "'Verify this medium, then install'",
        "'Verify this medium, and install nothing'",
    ];
    assert_eq!(titles, want);
    let kernel = found[0].kernel().unwrap();
    let command = if flavor == GrubFlavor::Efi { "linuxefi" } else { "linux" };
    assert_eq!((kernel.command.as_str(), kernel.path.as_str()), (command, "/images/pxeboot/vmlinuz"));
    let tail = if serial { " console=tty0 console=ttyS0,115200n8" } else { "" };
    assert_eq!(
        kernel.args.to_string(),
        format!(
            "inst.stage2=hd:LABEL=KILN-PROD-MASTER-1A2B inst.ks=hd:LABEL=KILN-PROD-MASTER-1A2B:/ks.cfg quiet inst.cmdline{tail}"
        )
    );
    assert_eq!(found[1].kernel().unwrap().args.value("kiln.node"), Some("k8s-master1"));
    let verify = |at: usize| {
        let args = &found[at].kernel().unwrap().args;
        (args.has(&["rd.live.check"]), args.has(&["kiln.verify"]))
    };
    assert_eq!([verify(0), verify(3), verify(4)], [(false, false), (true, false), (true, true)]);
    let Some(Item::Submenu(submenu)) = items.iter().find(|item| matches!(item, Item::Submenu(_))) else {
        panic!("no submenu in {text}");
    };
    let rescue = submenu.body.iter().filter_map(|item| match item {
        Item::Entry(block) => block.kernel(),
        _ => None,
    });
    assert_eq!(
        rescue.map(|kernel| kernel.args.value("inst.stage2")).collect::<Vec<_>>(),
        [Some("hd:LABEL=KILN-PROD-MASTER-1A2B")]
    );
    assert_eq!(text.contains("chainloader (hd0)+1"), flavor == GrubFlavor::Bios);
    for old in ["x86_64", "\\x20", "FIPS", "simpler"] {
        assert!(!text.contains(old), "{old} in {text}");
    }
}

#[test]
fn what_is_missing_is_added() {
    let old = "menuentry 'Test' {\n linux /k inst.stage2=hd:LABEL=X rd.live.check\n initrd /i\n}\n";
    let text = grub(old, &spec(9, false), GrubFlavor::Efi).unwrap();
    script_check(&text);
    assert!(text.starts_with("set default=\"0\"\nset timeout=5\nsearch "), "{text}");
    assert!(!text.contains("LABEL=X"));
}

#[test]
fn an_if_block_and_a_uuid_search_are_handled() {
    let old = "if [ x = y ]; then\n if true; then\n  insmod a\n fi\nfi\nsearch --fs-uuid --set=root 2026\n\
               menuentry 'a' {\n\tlinux /k inst.stage2=hd:LABEL=X\n\tinitrd /i\n}\n";
    let text = grub(old, &spec(9, true), GrubFlavor::Efi).unwrap();
    script_check(&text);
    assert!(text.contains("insmod a") && !text.contains("2026"), "{text}");
}

#[test]
fn what_is_not_understood_is_refused_with_its_line() {
    for (bad, shown) in [
        ("frobnicate x\n", "frobnicate x"),
        ("set a=1; set default=2\n", "set a=1"),
        ("menuentry 'x' {\n", "no end"),
        ("menuentry 'x\n", "quotes"),
        ("menuentry x { linux y\n}\n", "does not end"),
        ("if true; then\nset default=3\nfi\n", "set default=3"),
        ("function f {\n", "no end"),
        ("}\n", "unknown command"),
        ("insmod a \\\n", "insmod a"),
        ("source /other.cfg\n", "source"),
    ] {
        let error = grub(bad, &spec(9, false), GrubFlavor::Efi).unwrap_err().to_string();
        assert!(error.contains(shown), "{bad:?}: {error}");
    }
    assert!(grub("", &spec(9, false), GrubFlavor::Efi).unwrap_err().to_string().contains("inst.stage2"));
}

#[test]
fn entries_are_listed() {
    let old = list(&vendor("el9-grub-efi.cfg")).unwrap();
    let default: Vec<&str> =
        old.iter().filter(|entry| entry.default).map(|entry| entry.title.as_str()).collect();
    assert_eq!((old.len(), default), (5, vec!["Test this media & install CentOS Stream 9"]));
    let new = list(&grub(&vendor("el9-grub-efi.cfg"), &spec(9, false), GrubFlavor::Efi).unwrap()).unwrap();
    assert!(new[0].default && new[0].kernel_line.starts_with("/images/pxeboot/vmlinuz inst.stage2="));
    assert_eq!(new[0].title, "Install prod's node by matching this machine");
}

#[test]
fn rewriting_twice_is_rewriting_once() {
    for (el, file, flavor) in EVERY {
        let once = grub(&vendor(file), &spec(el, true), flavor).unwrap();
        let twice = grub(&once, &spec(el, true), flavor).unwrap();
        assert_eq!(twice, once);
    }
}

#[test]
fn thousands_of_nodes_can_be_read_back() {
    let mut many = spec(9, true);
    many.nodes = (0..5000).map(|number| format!("worker-of-rack-17-{number}").parse().unwrap()).collect();
    let listed = list(&grub(&vendor("el9-grub-efi.cfg"), &many, GrubFlavor::Efi).unwrap()).unwrap();
    let nodes = listed
        .iter()
        .filter(|entry| entry.title.starts_with("Install this machine as worker-of-rack-17-"))
        .count();
    assert_eq!(nodes, 5000);
}
