use std::cell::RefCell;
use std::os::unix::fs::MetadataExt;

use super::*;
use crate::cluster::types::Role;
use crate::image::disk::volume_of;
use crate::node::disk::record::{Record, TableId};
use crate::progress::Silent;
use crate::testing::{Fake, cluster, halves, payload, stub_elf, volume};

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
        Self::with(mac, |program| payload(&cluster(), role, program).unwrap().files)
    }

    /// An image of masters without secrets, and its seed.
    fn split(mac: &str) -> (Self, Vec<u8>) {
        let mut seed = Vec::new();
        let bench = Self::with(mac, |program| {
            let (payload, closed) = halves(&cluster(), Role::Master, "authority", "SALT", program);
            seed = volume(closed);
            payload.files
        });
        (bench, seed)
    }

    fn with(mac: &str, files: impl FnOnce(&Path) -> Vec<crate::image::MediumFile>) -> Self {
        let (fake, media) = (Fake::new(), tempfile::tempdir().unwrap());
        let me = fake.root().metadata().unwrap();
        fake.put("etc/passwd", &format!("root:x:{}:{}:root:/root:/bin/bash\n", me.uid(), me.gid()));
        fake.put("etc/group", &format!("root:x:{}:\n", me.gid()));
        fake.put("etc/systemd/system/x", "");
        fake.nic("ens3", mac, true);
        let program = media.path().join("program");
        std::fs::write(&program, stub_elf()).unwrap();
        volume_of(files(&program), &media.path().join("volume")).unwrap();
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
        self.adopt_as(None)
    }

    /// With user-data that names a node.
    fn adopt_as(&self, node: Option<&str>) -> Result<Outcome> {
        self.steps.borrow_mut().clear();
        let node = node.map(|name| name.parse().unwrap());
        adopt(self.fake.root(), "any", node.as_ref(), Duration::ZERO, self, &Silent)
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
fn user_data_names_a_machine_that_is_unknown_and_renames_none() {
    let bench = Bench::new(Role::Master, "52:54:00:99:99:99");
    assert!(bench.adopt().is_err());
    for (name, why) in [("nobody", "no such node"), ("k8s-worker1", "of profile worker")] {
        let error = bench.adopt_as(Some(name)).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
        assert_eq!(bench.target(), "", "nothing was changed");
    }
    let adopted = |outcome: Result<Outcome>, name: &str| match outcome.unwrap() {
        Outcome::Adopted(node) => assert_eq!(node.name, name),
        Outcome::Already => panic!("it was none before"),
    };
    adopted(bench.adopt_as(Some("k8s-master3")), "k8s-master3");
    assert_eq!(bench.read("opt/kubernetes/ssl/node.pem"), "key of k8s-master3\n");
    // A machine that is known stays what it is, and what the firmware says goes before what user-data says.
    let known = Bench::new(Role::Master, "52:54:00:00:31:74");
    let error = known.adopt_as(Some("k8s-master3")).unwrap_err().to_string();
    assert!(error.contains("is k8s-master2, but k8s-master3 was asked for"), "{error}");
    adopted(known.adopt_as(Some("k8s-master2")), "k8s-master2");
    let told = Bench::new(Role::Master, "52:54:00:99:99:99");
    told.fake.put("sys/firmware/qemu_fw_cfg/by_name/opt/kiln/node/raw", "k8s-master1");
    adopted(told.adopt_as(Some("k8s-master3")), "k8s-master1");
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

/// An install medium of this cluster, one with `wipe = "any"` too, must know that a node lies there.
#[test]
fn the_disk_tells_whose_it_is() {
    let bench = Bench::new(Role::Master, "52:54:00:00:31:74");
    bench.fake.system(2048);
    let disk = || File::open(bench.fake.root().join("dev/vda")).unwrap();
    *bench.cut.borrow_mut() = Some("unmount");
    bench.adopt().unwrap_err();
    assert_eq!(Record::read(&disk()), None, "it is no node yet");
    *bench.cut.borrow_mut() = None;
    bench.adopt().unwrap();
    let record = Record::read(&disk()).expect("a record");
    let manifest = Manifest::load(&bench.media.path().join("tree")).unwrap();
    assert_eq!((record.node.to_string().as_str(), record.folder.as_str()), ("k8s-master2", "/"));
    assert_eq!((&record.cluster, record.authority), (&manifest.cluster, manifest.authority));
    assert_eq!((record.label, record.build_id), (manifest.label.to_string(), manifest.build_id));
    let table = TableId::read(&disk()).unwrap();
    assert_eq!(record.state, State::Complete { table });
    // Where there is no room for it, the machine is its node without.
    let bench = Bench::new(Role::Master, "52:54:00:00:31:74");
    bench.fake.system(63);
    assert!(matches!(bench.adopt().unwrap(), Outcome::Adopted(_)));
    assert_eq!(Record::read(&File::open(bench.fake.root().join("dev/vda")).unwrap()), None);
}

#[test]
fn an_unknown_machine_is_left_as_it_is() {
    let bench = Bench::new(Role::Master, "52:54:00:00:31:99");
    let error = bench.adopt().unwrap_err();
    assert!(error.to_string().contains("no node of cluster prod is this machine"), "{error}");
    assert_eq!((bench.target().as_str(), bench.read("etc/hostname").as_str()), ("", ""));
    assert!(bench.holds("key of k8s-master1\n"));
    // Another release than the image was built on.
    bench.fake.put("etc/os-release", "ID=\"centos\"\nVERSION_ID=\"8\"\n");
    assert!(bench.adopt().unwrap_err().to_string().contains("the system that runs here is centos 8"));
    assert_eq!(bench.target(), "");
    bench.fake.put("etc/os-release", "ID=\"centos\"\nVERSION_ID=\"9\"\n");
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
fn a_machine_gets_its_secrets_from_the_seed_of_its_image() {
    let (bench, seed) = Bench::split("52:54:00:00:31:74");
    assert!(!bench.holds("SALT"), "the image is public");
    bench.fake.disk("sdb", 16, 64).on_disk("sdb", &seed);
    // The power goes before it is noted that all lies there: the next start asks for the seed again.
    *bench.cut.borrow_mut() = Some("system");
    assert!(bench.adopt().is_err());
    let kept = "var/lib/kiln/adopt/seed/kiln/secrets";
    assert!(bench.fake.root().join(kept).join("nodes/k8s-master2.tar").exists());
    assert!(!bench.fake.root().join(kept).join("nodes/k8s-master1.tar").exists());
    assert_eq!(bench.read("var/lib/kiln/adopt/access.ks"), "rootpw --lock\n");
    *bench.cut.borrow_mut() = None;
    assert!(matches!(bench.adopt().unwrap(), Outcome::Adopted(node) if node.name == "k8s-master2"));
    assert_eq!(bench.read("opt/kubernetes/ssl/own-key.pem"), "key of k8s-master2: SALT\n");
    assert_eq!(bench.read("etc/kiln-own"), "k8s-master2\n");
    // What was kept of it has gone.
    for path in ["var/lib/kiln/adopt/seed", "var/lib/kiln/adopt/access.ks"] {
        assert!(!bench.fake.root().join(path).exists(), "{path}");
    }
    assert_eq!(bench.target(), "/usr/lib/systemd/system/multi-user.target");
}

#[test]
fn without_its_seed_an_image_makes_no_node() {
    let (bench, _) = Bench::split("52:54:00:00:31:74");
    let (_, seed) = Bench::split("52:54:00:00:31:74");
    let mut damaged = seed.clone();
    let at = damaged.windows(4).position(|part| part == b"SALT").unwrap();
    damaged[at] = b'X';
    for (seed, why) in [(&b"nothing"[..], "no volume labelled OEMDRV"), (&damaged, "not as it was made")] {
        bench.fake.disk("sdb", 16, 64).on_disk("sdb", seed);
        let error = bench.adopt().unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
        assert_eq!((bench.target().as_str(), bench.read("etc/hostname").as_str()), ("", ""));
    }
    bench.fake.on_disk("sdb", &seed);
    assert!(matches!(bench.adopt().unwrap(), Outcome::Adopted(_)));
}

/// A seed beside the vendor's image may be a disc: it cannot be wiped, and the machine becomes its node all the same.
#[test]
fn a_seed_that_cannot_be_written_to_is_left() {
    // Nobody may write to it, not even root.
    let device = Path::new("/sys/kernel/notes");
    wipe(device, Spread::Beside, &Silent).unwrap();
    let error = wipe(device, Spread::Whole, &Silent).unwrap_err();
    assert!(error.to_string().contains("opening the payload for writing"), "{error}");
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
