//! A segment for machines that boot from the network: a network namespace with a bridge.

use std::process::{Child, Command, Stdio};

use crate::{SERVER, TAPS, bases};

/// A network namespace with a bridge; it goes with the test.
pub struct Net(pub String);

impl Net {
    pub fn new() -> Self {
        let name = format!("kilnpxe{}", std::process::id());
        bases::run(Command::new("ip").args(["netns", "add", &name]));
        let net = Self(name);
        net.ip("link set lo up");
        net.ip("link add br0 type bridge stp_state 0 forward_delay 0");
        net.ip(&format!("addr add {SERVER} dev br0"));
        net.ip("link set br0 up");
        for tap in TAPS {
            net.ip(&format!("tuntap add {tap} mode tap"));
            net.ip(&format!("link set {tap} master br0 up"));
        }
        net
    }

    pub fn ip(&self, words: &str) {
        bases::run(Command::new("ip").args(["-n", &self.0]).args(words.split(' ')));
    }

    /// A program within.
    pub fn within(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.0, program]).stdin(Stdio::null());
        command
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

/// A process that is ended with the test.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
