//! A scenario as it is written. serde reads it, refuses unknown keys and says where; what the values mean together is for `mod`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use toml::Spanned;

use crate::boot::disk::{self, Bus, Disk, Format};
use crate::boot::hardware::{Cpu, NicModel, Rtc};
use crate::boot::install::phase::{After, Cut, Ending, duration};
use crate::boot::machine::Order;
use crate::boot::spec::{Accel, Attach, Firmware};
use crate::cluster::types::{Mac, SystemUuid};

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    pub jobs: Option<u16>,
    #[serde(default)]
    pub accel: Accel,
    pub timeout: Option<Seconds>,
    pub silence: Option<Seconds>,
    #[serde(default)]
    pub machine: Vec<Spanned<Machine>>,
    #[serde(default)]
    pub peer: Vec<Peer>,
}

/// A machine.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    pub name: Spanned<String>,
    pub medium: Option<PathBuf>,
    pub firmware: Firmware,
    #[serde(rename = "as", default = "usb")]
    pub attach: Attach,
    pub memory: Option<u32>,
    pub cpus: Option<u8>,
    pub cpu: Option<Text<Cpu>>,
    #[serde(default)]
    pub macs: Vec<Text<Mac>>,
    #[serde(default)]
    pub nic: Vec<Nic>,
    pub serial: Option<String>,
    pub uuid: Option<Text<SystemUuid>>,
    pub asset: Option<String>,
    #[serde(default)]
    pub oem: Vec<String>,
    #[serde(default)]
    pub fw_cfg: BTreeMap<String, String>,
    pub rtc: Option<Text<Rtc>>,
    #[serde(default)]
    pub disk: Vec<Spanned<RawDisk>>,
    #[serde(default)]
    pub delay: Seconds,
    pub after: Option<Spanned<String>>,
    #[serde(default)]
    pub expect: Expect,
    #[serde(default)]
    pub until: Vec<String>,
    pub boots: Option<u32>,
    #[serde(default)]
    pub medium_stays: bool,
    #[serde(default)]
    pub boot_order: Order,
    #[serde(default)]
    pub power_cuts: Vec<Text<Cut>>,
    pub settle: Option<Seconds>,
    #[serde(default)]
    pub stay: bool,
    #[serde(default)]
    pub phase: Vec<Phase>,
}

/// What is expected of a machine without phases of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expect {
    #[default]
    Installed,
    Refused,
}

/// A network card.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nic {
    pub mac: Text<Mac>,
    #[serde(default)]
    pub model: NicModel,
    #[serde(default)]
    pub wire: Wire,
}

/// Where a wire leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wire {
    #[default]
    Segment,
    Nowhere,
}

/// A disk.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawDisk {
    pub size: Option<Text<Size>>,
    pub file: Option<PathBuf>,
    pub format: Option<Format>,
    #[serde(default)]
    pub bus: Bus,
    pub serial: Option<String>,
    pub wwn: Option<Text<Wwn>>,
    pub sector: Option<u32>,
    #[serde(default)]
    pub read_only: bool,
    #[serde(default)]
    pub unchanged: bool,
}

impl RawDisk {
    /// As a disk; its file lies relative to the scenario's folder.
    pub fn disk(self, dir: &std::path::Path) -> Disk {
        Disk {
            size: self.size.map(|size| size.0.0),
            file: self.file.map(|file| dir.join(file)),
            format: self.format,
            bus: self.bus,
            serial: self.serial,
            wwn: self.wwn.map(|wwn| wwn.0.0),
            sector: self.sector,
            read_only: self.read_only,
            unchanged: self.unchanged,
        }
    }
}

/// A power-on.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    pub name: Option<String>,
    #[serde(default)]
    pub medium: bool,
    #[serde(default)]
    pub boot_order: Order,
    pub expect: Vec<Ending>,
    #[serde(default)]
    pub until: Vec<String>,
    pub settle: Option<Seconds>,
    #[serde(default)]
    pub then: After,
    pub power_cut: Option<Text<Cut>>,
    #[serde(default)]
    pub swap_nics: bool,
    #[serde(default)]
    pub resets: u32,
    pub timeout: Option<Seconds>,
}

/// Somebody on the segment who is no machine.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    pub address: std::net::Ipv4Addr,
    pub mac: Text<Mac>,
    pub vrrp: Option<u8>,
}

fn usb() -> Attach {
    Attach::Usb
}

/// A value that is written as text.
#[derive(Debug)]
pub struct Text<T>(pub T);

impl<'de, T: FromStr<Err = String>> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

/// A time in seconds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seconds(pub Duration);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        duration(&seconds.to_string()).map(Self).map_err(serde::de::Error::custom)
    }
}

/// A size: `20G`.
#[derive(Debug)]
pub struct Size(pub u64);

impl FromStr for Size {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        disk::size(text).map(Self)
    }
}

/// A World Wide Name.
#[derive(Debug)]
pub struct Wwn(pub u64);

impl FromStr for Wwn {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        disk::wwn(text).map(Self)
    }
}
