use std::cell::RefCell;
use std::os::unix::fs::MetadataExt;

use super::*;
use crate::cluster::types::Role;
use crate::image::disk::volume_of;
use crate::progress::Silent;
use crate::testing::{Fake, cluster, payload, stub_elf};

/// A machine whose payload is a folder and, for wiping, a file.
struct Bench {
    fake: Fake,
    media: tempfile::TempDir,
    steps: RefCell<Vec<String>>,
    /// The step that fails, as if the power went.
    cut: RefCell<Option<&'static str>>,
}

impl Bench {
    fn new(role: Role, mac: &str) -> Self {
        let (fake, media) = (Fake::new(), tempfile::tempdir().unwrap());
        let me = fake.root().metadata().unwrap();
        fake.put("etc/passwd", &format!("root:x:{}:{}:root:/root:/bin/bash\n", me.uid(), me.gid()));
        fake.put("etc/group", &format!("root:x:{}:\n", me.gid()));
        fake.put("etc/systemd/system/x", "");
        fake.nic("ens3", mac, true);
        let program = media.path().join("program");
        std::fs::write(&program, stub_elf()).unwrap();
        let files = |()| payload(&cluster(), role, &program).unwrap().files;
        volume_of(files(()), &media.path().join("volume")).unwrap();
        let tree = media.path().join("tree");
        let iso = Iso::open(File::open(media.path().join("volume")).unwrap()).unwrap();
        for (path, id) in iso.tree.walk() {
            let (node, to) = (iso.tree.node(id), tree.join(path.trim_start_matches('/')));
            match node.is_dir() {
                true => fs::create_dir_all(to).unwrap(),
                false => fs::write(to, iso.read_node(node, 64 << 20).unwrap()).unwrap(),
            }
        }
        Self { fake, media, steps: RefCell::default(), cut: RefCell::default() }
    }

    fn step(&self, name: &str) -> Result<()> {
        self.steps.borrow_mut().push(name.to_owned());
        match *self.cut.borrow() {
            Some(cut) if cut == name => Err(Error::tool("the power went")),
            _ => Ok(()),
        }
    }

    fn adopt(&self) -> Result<Outcome> {
        self.steps.borrow_mut().clear();
        adopt(self.fake.root(), "any", self, &Silent)
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.fake.root().join(path)).unwrap_or_default()
    }

    fn target(&self) -> String {
        let link = fs::read_link(self.fake.root().join("etc/systemd/system/default.target"));
        link.map(|to| to.display().to_string()).unwrap_or_default()
    }

    /// Whether the volume still holds this.
    fn holds(&self, text: &str) -> bool {
        let bytes = fs::read(self.media.path().join("volume")).unwrap();
        bytes.windows(text.len()).any(|part| part == text.as_bytes())
    }
}

impl Hands for Bench {
    fn mount(&self, _: &str) -> Result<Volume> {
        self.step("mount")?;
        let at = |name| self.media.path().join(name);
        Ok(Volume { device: at("volume"), mounted: at("tree") })
    }

    fn unmount(&self, _: &Volume) -> Result<()> {
        self.step("unmount")
    }

    fn set_up(&self, _: &Path, step: &str, _: &Volume) -> Result<()> {
        self.step(step)
    }
}

#[test]
fn a_machine_becomes_its_node_and_the_others_secrets_go() {
    let bench = Bench::new(Role::Master, "52:54:00:00:31:74");
    assert!(bench.holds("key of k8s-master1\n") && bench.holds("key of k8s-master2\n"));
    let Outcome::Adopted(node) = bench.adopt().unwrap() else { panic!("it was none before") };
    assert_eq!(node.name, "k8s-master2");
    assert_eq!(*bench.steps.borrow(), ["mount", "packages", "system", "unmount"]);
    assert_eq!(bench.read("opt/kubernetes/ssl/node.pem"), "key of k8s-master2\n");
    assert_eq!(
        (bench.read("etc/hostname").as_str(), bench.read("etc/kiln-test").as_str()),
        ("k8s-master2\n", "common\n")
    );
    let profile = bench.read("etc/NetworkManager/system-connections/kiln-ens3.nmconnection");
    assert!(profile.contains("address1=192.168.31.74/24"), "{profile}");
    assert_eq!(bench.target(), "/usr/lib/systemd/system/multi-user.target");
    assert!(!bench.holds("key of k8s-master"), "keys are left on the volume");
    assert!(bench.holds("\"k8s-master1\""), "what is no secret stays");
    assert_eq!(bench.adopt().unwrap(), Outcome::Already);
    assert!(bench.steps.borrow().is_empty());
}

#[test]
fn an_unknown_machine_is_left_as_it_is() {
    let bench = Bench::new(Role::Master, "52:54:00:00:31:99");
    let error = bench.adopt().unwrap_err();
    assert!(error.to_string().contains("no node of cluster prod is this machine"), "{error}");
    assert_eq!((bench.target().as_str(), bench.read("etc/hostname").as_str()), ("", ""));
    assert!(bench.holds("key of k8s-master1\n"));
    // The hypervisor says who it is.
    bench.fake.put("sys/firmware/qemu_fw_cfg/by_name/opt/kiln/node/raw", "k8s-master3");
    assert!(matches!(bench.adopt().unwrap(), Outcome::Adopted(node) if node.name == "k8s-master3"));
}

#[test]
fn a_power_cut_at_any_step_is_made_good() {
    for cut in ["mount", "packages", "system", "unmount"] {
        let bench = Bench::new(Role::Master, "52:54:00:00:31:71");
        *bench.cut.borrow_mut() = Some(cut);
        assert!(bench.adopt().is_err(), "{cut}");
        assert!(bench.holds("key of k8s-master2\n"), "{cut}: wiped too early");
        // Half a node does not come up as a whole one.
        let changed = !bench.read("opt/kubernetes/ssl/node.pem").is_empty();
        assert_eq!(bench.target() == "kiln-adopt.target", changed, "{cut}");
        *bench.cut.borrow_mut() = None;
        assert!(matches!(bench.adopt().unwrap(), Outcome::Adopted(_)), "{cut}");
        assert!(!bench.holds("key of k8s-master"), "{cut}");
        assert_eq!(bench.target(), "/usr/lib/systemd/system/multi-user.target");
    }
    // While secrets are wiped: what lies on the disk is not laid down again, from archives that are no more.
    let bench = Bench::new(Role::Master, "52:54:00:00:31:71");
    bench.adopt().unwrap();
    fs::remove_file(bench.fake.root().join("var/lib/kiln/adopted")).unwrap();
    fs::remove_dir_all(bench.media.path().join("tree/kiln/nodes")).unwrap();
    assert!(matches!(bench.adopt().unwrap(), Outcome::Adopted(_)));
    assert_eq!(*bench.steps.borrow(), ["mount", "unmount"]);
}

#[test]
fn a_damaged_payload_changes_nothing() {
    let bench = Bench::new(Role::Lb, "52:54:00:00:31:81");
    let archive = bench.media.path().join("tree/kiln/common.tar");
    let mut bytes = fs::read(&archive).unwrap();
    bytes[600] ^= 1;
    fs::write(&archive, bytes).unwrap();
    let error = bench.adopt().unwrap_err();
    assert!(error.to_string().contains("not as it was made"), "{error}");
    assert_eq!(bench.target(), "");
}
