//! isolinux.cfg: vendor-like menus in, unattended menus out, read back.

use super::*;
use crate::image::menu::SerialConsole;

fn spec(el: u8, serial: bool) -> MenuSpec {
    MenuSpec {
        label: "KILN-PROD-MASTER-1A2B".parse().unwrap(),
        default_title: "Install prod node by matching this machine".into(),
        nodes: ["k8s-master1", "k8s-master2"].map(|name| name.parse().unwrap()).into(),
        timeout_seconds: 5,
        serial: serial.then(SerialConsole::default),
        el,
        ks_path: "/ks.cfg".into(),
    }
}

fn vendor(el: u8) -> String {
    let path = format!("{}/tests/data/menus/el{el}-isolinux.cfg", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn every_release_installs_unattended() {
    for el in [7, 8, 9] {
        let text = isolinux(&vendor(el), &spec(el, true)).unwrap();
        assert!(text.starts_with("serial 0 115200\n"), "{text}");
        assert!(text.contains("\ntimeout 50\n") && text.contains("\ndefault vesamenu.c32\n"), "{text}");
        assert!(text.contains("menu color title 0 #ff7ba3d0"), "{text}");
        assert_eq!(text.matches("menu default").count(), 1, "{text}");
        let items = parse(&text).unwrap();
        let found: Vec<&Entry> = entries(&items).map(|(_, entry)| entry).collect();
        let names: Vec<&str> = found.iter().map(|entry| entry.name.as_str()).collect();
        let want = [
            "kiln",
            "kiln-k8s-master1",
            "kiln-k8s-master2",
            "kiln-check",
            "kiln-verify",
            "rescue",
            "memtest",
            "local",
            "returntomain",
        ];
        assert_eq!(names, want);
        for entry in &found[..6] {
            let args = entry.append.as_ref().unwrap();
            assert_eq!(args.value("inst.stage2"), Some("hd:LABEL=KILN-PROD-MASTER-1A2B"));
            assert_eq!(args.value("initrd"), Some("initrd.img"));
            assert!(args.to_string().ends_with("console=tty0 console=ttyS0,115200n8"));
            assert_eq!(entry.line_of("kernel"), Some("kernel vmlinuz"));
        }
        let args = |at: usize| found[at].append.as_ref().unwrap();
        assert_eq!(
            args(0).to_string(),
            "initrd=initrd.img inst.stage2=hd:LABEL=KILN-PROD-MASTER-1A2B \
             inst.ks=hd:LABEL=KILN-PROD-MASTER-1A2B:/ks.cfg quiet inst.cmdline console=tty0 console=ttyS0,115200n8"
        );
        assert_eq!((args(1).value("kiln.node"), args(0).value("kiln.node")), (Some("k8s-master1"), None));
        assert!(args(3).has(&["rd.live.check"]) && !args(0).has(&["rd.live.check"]));
        assert!(args(4).has(&["rd.live.check"]) && args(4).has(&["kiln.verify"]));
        assert!(!args(3).has(&["kiln.verify"]) && !args(5).has(&["inst.ks"]));
        for old in ["x86_64", "\\x20", "rd.live.check quiet"] {
            assert!(!text.contains(old), "{old} in {text}");
        }
    }
}

#[test]
fn without_a_serial_port_no_console_is_named() {
    let text = isolinux(&vendor(9), &spec(9, false)).unwrap();
    assert!(!text.contains("serial") && !text.contains("console="), "{text}");
}

#[test]
fn a_default_entry_without_a_menu_program_is_replaced() {
    let old = "default linux\nprompt 1\nlabel linux\n kernel vmlinuz\n append initrd=i inst.stage2=hd:LABEL=X quiet\n";
    let text = isolinux(old, &spec(9, false)).unwrap();
    assert!(text.contains("default kiln\n") && text.contains("timeout 50\n"), "{text}");
}

#[test]
fn what_is_not_understood_is_refused_with_its_line() {
    for (bad, shown) in [
        ("include other.cfg\n", "include other.cfg"),
        ("menu frobnicate\n", "menu frobnicate"),
        ("menu end\n", "menu end"),
        ("label x\n text help\n", "text help"),
        ("label x\n append a\n append b\n", "append b"),
    ] {
        let error = isolinux(bad, &spec(9, false)).unwrap_err().to_string();
        assert!(error.contains(shown), "{error}");
    }
    assert!(
        isolinux("label x\n kernel y\n", &spec(9, false)).unwrap_err().to_string().contains("inst.stage2")
    );
    assert!(isolinux("a\0b", &spec(9, false)).is_err());
}

#[test]
fn entries_are_listed() {
    let old = list(&vendor(7)).unwrap();
    let default: Vec<&str> =
        old.iter().filter(|entry| entry.default).map(|entry| entry.title.as_str()).collect();
    assert_eq!((old.len(), default), (5, vec!["Test this media & install CentOS 7"]));
    let new = list(&isolinux(&vendor(7), &spec(7, false)).unwrap()).unwrap();
    assert!(new[0].default && new[0].kernel_line.starts_with("vmlinuz initrd=initrd.img inst.stage2="));
    assert_eq!(new[1].title, "Install this machine as k8s-master1");
}

#[test]
fn rewriting_twice_is_rewriting_once() {
    let once = isolinux(&vendor(9), &spec(9, true)).unwrap();
    assert_eq!(isolinux(&once, &spec(9, true)).unwrap(), once);
}

#[test]
fn thousands_of_nodes_can_be_read_back() {
    let mut many = spec(9, true);
    many.nodes = (0..5000).map(|number| format!("worker-of-rack-17-{number}").parse().unwrap()).collect();
    let listed = list(&isolinux(&vendor(9), &many).unwrap()).unwrap();
    let nodes = listed
        .iter()
        .filter(|entry| entry.title.starts_with("Install this machine as worker-of-rack-17-"))
        .count();
    assert_eq!(nodes, 5000);
}
