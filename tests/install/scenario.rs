//! Scenarios as text, run by `kiln boot --scenario`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Machines that run at once: an install waits a good deal for a silent wire.
pub const JOBS: u32 = 2;

/// Collects machines.
pub struct Scenario {
    text: String,
    dir: PathBuf,
    name: &'static str,
}

impl Scenario {
    /// An empty one. `dir` is for what the machines leave.
    pub fn new(dir: &Path, name: &'static str) -> Self {
        let text = format!("jobs = {JOBS}\ntimeout = 2400\nsilence = 480\n");
        Self { text, dir: dir.to_owned(), name }
    }

    /// A machine: its name, medium, MAC address, and the rest as lines of the file. It is alone on its wire.
    pub fn machine(&mut self, name: &str, medium: &Path, mac: &str, rest: &str) -> &mut Self {
        self.add(name, medium, mac, "wire = \"nowhere\"", rest)
    }

    /// A machine on the segment of all that are.
    pub fn wired(&mut self, name: &str, medium: &Path, mac: &str, rest: &str) -> &mut Self {
        self.add(name, medium, mac, "", rest)
    }

    fn add(&mut self, name: &str, medium: &Path, mac: &str, wire: &str, rest: &str) -> &mut Self {
        // Keys of the machine come before its tables.
        let (keys, tables) = rest.split_at(rest.find("[[").unwrap_or(rest.len()));
        let memory = if keys.contains("memory") { "" } else { "memory = 2048\n" };
        self.text += &format!(
            "\n[[machine]]\nname = \"{name}\"\nmedium = \"{}\"\n{memory}{keys}\n[[machine.nic]]\nmac = \"{mac}\"\n{wire}\n{tables}\n",
            medium.display()
        );
        self
    }

    /// Somebody else on the segment.
    pub fn peer(&mut self, lines: &str) -> &mut Self {
        self.text += &format!("\n[[peer]]\n{lines}\n");
        self
    }

    /// Runs it. Panics with the output if a machine does not end as it must, or a unit of one failed.
    pub fn run(&self) {
        let file = self.dir.join(format!("{}.toml", self.name));
        fs::write(&file, &self.text).unwrap();
        let report = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("install-{}.xml", self.name));
        let mut kiln = Command::new(env!("CARGO_BIN_EXE_kiln"));
        kiln.args(["boot", "--scenario"]).arg(&file).arg("--junit").arg(&report);
        let left = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("install-{}", self.name));
        let _ = fs::remove_dir_all(&left);
        fs::create_dir(&left).unwrap();
        kiln.arg("--log").arg(left.join("serial.log")).arg("--screenshot").arg(left.join("screen.png"));
        let done = kiln.current_dir(&self.dir).output().unwrap();
        let text = String::from_utf8_lossy(&done.stdout).into_owned();
        println!("{text}");
        assert!(done.status.success(), "{}:\n{text}\n{}", self.name, String::from_utf8_lossy(&done.stderr));
        println!("logs and pictures: {}", left.display());
        let failed: Vec<String> =
            fs::read_dir(&left).unwrap().flat_map(|log| failed(&log.unwrap().path())).collect();
        assert!(failed.is_empty(), "{}: units failed:\n{}", self.name, failed.join("\n"));
    }
}

/// Lines of a serial log that tell of a unit that failed.
fn failed(log: &Path) -> Vec<String> {
    if log.extension().is_none_or(|end| end != "log") {
        return Vec::new();
    }
    let text = String::from_utf8_lossy(&fs::read(log).unwrap()).into_owned();
    let lines = text.lines().filter(|line| line.contains("FAILED") || line.contains("Failed to start"));
    lines.map(|line| format!("{}: {line}", log.display())).collect()
}
