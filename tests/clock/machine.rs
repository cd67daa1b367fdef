//! Machines of the clock tests: a chronyd with a simulated clock, and a keeper beside it.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use kiln::assets::Assets;
use kiln::cluster::types::Role;
use kiln::node::clock::chrony::Chrony;
use kiln::node::clock::keeper::{Agree, Keeper};
use kiln::plan::{RolePlan, Versions, plan};
use kiln::tree::Kind;
use rustix::time::{ClockId, clock_gettime};
use time::OffsetDateTime;

use super::common;

/// What is said where no keeper runs.
pub const NOBODY: BTreeMap<String, String> = BTreeMap::new();

pub fn plan_of(role: Role) -> RolePlan {
    plan(&common::reference_cluster(), &Assets::new(None).unwrap(), role, &Versions::new()).unwrap()
}

pub fn chrony_conf(plan: &RolePlan) -> String {
    let Kind::File(blob) = &plan.common.get("/etc/chrony.conf").unwrap().kind else { panic!("not a file") };
    String::from_utf8(blob.to_vec(1 << 16).unwrap()).unwrap()
}

/// The simulated clock in a file, as `clock.c` lays it out.
fn read_clock(path: &Path) -> Option<f64> {
    let bytes = std::fs::read(path).ok()?;
    let number = |at: usize| f64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap());
    let (since, at, rate) = (number(0), number(8), number(16));
    (since != 0.0).then(|| at + (monotonic() - since) * rate)
}

fn monotonic() -> f64 {
    seconds(ClockId::Monotonic)
}

fn seconds(id: ClockId) -> f64 {
    let now = clock_gettime(id);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

/// As [`read_clock`], but of two equal looks: chronyd may be writing.
fn look(path: &Path) -> f64 {
    for _ in 0..1000 {
        if let (Some(one), Some(two)) = (read_clock(path), read_clock(path))
            && (two - one).abs() < 0.5
        {
            return two;
        }
        sleep(Duration::from_millis(1));
    }
    panic!("{} holds no clock", path.display())
}

struct Machine {
    role: Role,
    address: Ipv4Addr,
    dir: PathBuf,
    chronyd: Option<Child>,
    keeper: Option<JoinHandle<()>>,
}

/// Machines whose clocks are apart.
pub struct Lab {
    dir: tempfile::TempDir,
    port: u16,
    more: String,
    machines: BTreeMap<String, Machine>,
    said: Arc<Mutex<BTreeMap<String, String>>>,
    over: Arc<AtomicBool>,
}

impl Lab {
    /// Nodes of the reference cluster and how far their clocks are ahead of the true time.
    pub fn new(port: u16, clocks: &[(&str, f64)]) -> Self {
        let cluster = common::reference_cluster();
        let dir = tempfile::tempdir().unwrap();
        let library = dir.path().join("clock.so");
        let source = common::root().join("tests/clock/clock.c");
        let built =
            Command::new("cc").args(["-O2", "-shared", "-fPIC", "-o"]).arg(&library).arg(source).status();
        assert!(built.expect("this test needs a C compiler").success());
        let machine = |(name, ahead): &(&str, f64)| {
            let node = &cluster.nodes[&name.parse().unwrap()];
            let address = Ipv4Addr::new(127, 0, 0, node.address.octets()[3]);
            let dir = dir.path().join(name);
            // chronyd makes no socket in a folder that others may read.
            std::fs::DirBuilder::new().mode(0o750).create(&dir).unwrap();
            let mut clock = Vec::new();
            for number in [monotonic(), seconds(ClockId::Realtime) + ahead, 1.0, 0.0, 0.0] {
                clock.extend(number.to_ne_bytes());
            }
            std::fs::write(dir.join("clock"), clock).unwrap();
            ((*name).to_owned(), Machine { role: node.role, address, dir, chronyd: None, keeper: None })
        };
        let machines = clocks.iter().map(machine).collect();
        Self { dir, port, more: String::new(), machines, said: Arc::default(), over: Arc::default() }
    }

    /// Adds a line to every configuration.
    pub fn add(&mut self, line: &str) {
        self.more = format!("{line}\n");
    }

    /// Switches a machine on.
    pub fn start(&mut self, name: &str, keeper: bool) {
        let masters: Vec<(String, Ipv4Addr)> = self
            .machines
            .iter()
            .filter(|(_, machine)| machine.role == Role::Master)
            .map(|(name, machine)| (name.clone(), machine.address))
            .collect();
        let port = self.port;
        let machine = self.machines.get_mut(name).unwrap();
        let dir = machine.dir.clone();
        let conf = configuration(&plan_of(machine.role), port, machine) + &self.more;
        std::fs::write(dir.join("chrony.conf"), conf).unwrap();
        machine.chronyd = Some(chronyd(&dir, &self.dir.path().join("clock.so")));
        if !keeper {
            return;
        }
        let agree = (machine.role == Role::Master).then(|| Agree {
            own: machine.address,
            others: masters
                .iter()
                .filter(|(other, _)| other != name)
                .map(|(_, address)| SocketAddrV4::new(*address, port))
                .collect(),
        });
        let (said, over, name) = (Arc::clone(&self.said), Arc::clone(&self.over), name.to_owned());
        machine.keeper = Some(std::thread::spawn(move || {
            let clock = || {
                OffsetDateTime::from_unix_timestamp_nanos((look(&dir.join("clock")) * 1e9) as i128).unwrap()
            };
            let chrony = Chrony::new(Some(&dir.join("sock")));
            let mut keeper = Keeper::new(dir.clone(), chrony, agree, &clock);
            while !over.load(Ordering::Relaxed) {
                let look = keeper.look();
                said.lock().unwrap().insert(name.clone(), look.text);
                sleep(look.again.min(Duration::from_secs(3)));
            }
        }));
    }

    /// How far the clocks of the machines that run are ahead of the true time.
    fn off(&self) -> BTreeMap<String, f64> {
        let running = self.machines.iter().filter(|(_, machine)| machine.chronyd.is_some());
        running
            .map(|(name, machine)| {
                (name.clone(), look(&machine.dir.join("clock")) - seconds(ClockId::Realtime))
            })
            .collect()
    }

    /// What the keepers said last.
    pub fn said(&self) -> BTreeMap<String, String> {
        self.said.lock().unwrap().clone()
    }

    /// Waits until it is so.
    pub fn until(&self, what: &str, limit: Duration, so: impl Fn(&BTreeMap<String, f64>) -> bool) {
        let started = Instant::now();
        while !so(&self.off()) {
            assert!(
                started.elapsed() < limit,
                "{what}: {:?}\n{:?}\n{}",
                self.off(),
                self.said(),
                self.logs()
            );
            sleep(Duration::from_millis(300));
        }
    }

    /// Waits until every keeper says it.
    pub fn until_said(&self, what: &str, limit: Duration, so: impl Fn(&str) -> bool) {
        self.until(what, limit, |off| {
            let said = self.said();
            off.keys().all(|name| said.get(name).is_some_and(|text| so(text)))
        });
    }

    /// The clocks of these stay right for so long.
    pub fn hold(&self, time: Duration, names: &[&str]) {
        let started = Instant::now();
        while started.elapsed() < time {
            let off = self.off();
            assert!(
                names.iter().all(|name| off[*name].abs() < 1.5),
                "after {:?}: {off:?}\n{:?}\n{}",
                started.elapsed(),
                self.said(),
                self.logs()
            );
            sleep(Duration::from_millis(200));
        }
    }

    fn logs(&self) -> String {
        let log = |machine: &Machine| std::fs::read_to_string(machine.dir.join("log")).unwrap_or_default();
        self.machines.iter().map(|(name, machine)| format!("== {name}\n{}", log(machine))).collect()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for machine in self.machines.values_mut() {
            if let Some(child) = &mut machine.chronyd {
                let _ = child.kill();
                let _ = child.wait();
            }
            if let Some(thread) = machine.keeper.take() {
                let _ = thread.join();
            }
        }
    }
}

/// The plan's configuration; only addresses, ports and paths are the test's.
fn configuration(plan: &RolePlan, port: u16, machine: &Machine) -> String {
    let Machine { address, dir, .. } = machine;
    let mut conf = String::new();
    for line in chrony_conf(plan).replace("192.168.31.", "127.0.0.").lines() {
        let line = match line.split_once(' ') {
            Some(("server", _)) => format!("{line} port {port}"),
            Some(("driftfile", _)) => format!("driftfile {}/drift", dir.display()),
            Some(("logdir", _)) => format!("logdir {}", dir.display()),
            _ => line.to_owned(),
        };
        conf += &format!("{line}\n");
    }
    conf += &format!("port {port}\nbindaddress {address}\nbindacqaddress {address}\ncmdport 0\n");
    conf + &format!("bindcmdaddress {0}/sock\npidfile {0}/pid\n", dir.display())
}

fn chronyd(dir: &Path, library: &Path) -> Child {
    let root = rustix::process::geteuid().is_root();
    let mut command = Command::new(if root { "env" } else { "unshare" });
    if !root {
        command.args(["--map-root-user", "env"]);
    }
    command.arg(format!("LD_PRELOAD={}", library.display()));
    command.arg(format!("TEST_CLOCK={}", dir.join("clock").display()));
    command.args(["/usr/sbin/chronyd", "-d", "-u", "root", "-f"]).arg(dir.join("chrony.conf"));
    let log = std::fs::File::create(dir.join("log")).unwrap();
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    command.spawn().expect("this test needs the Debian package chrony")
}
