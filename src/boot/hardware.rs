//! The machine that is played: processors, memory, network cards, what its SMBIOS says, its clock. Disks are in `disk`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use time::PrimitiveDateTime;
use time::macros::format_description;

use super::served::{TAP, Way};
use super::spec::{Attach, Firmware};
use crate::cluster::types::{Mac, SystemUuid};
use crate::error::{Error, Result};

/// Where a network card's wire leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wire {
    /// The link is up and there is nobody.
    Nowhere,
    /// The socket of a segment that other machines are on.
    Segment(PathBuf),
    /// A tap device, behind which a server gives out what the machine boots.
    Tap(&'static str),
}

/// Make of a network card, which decides its driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NicModel {
    /// virtio.
    #[default]
    Virtio,
    /// Intel 82574L.
    E1000e,
}

impl NicModel {
    /// QEMU's name of the device.
    pub fn device(self) -> &'static str {
        match self {
            NicModel::Virtio => "virtio-net-pci",
            NicModel::E1000e => "e1000e",
        }
    }
}

/// A network card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nic {
    /// Its permanent address.
    pub mac: Mac,
    /// Its make.
    pub model: NicModel,
    /// Where its wire leads.
    pub wire: Wire,
}

impl Nic {
    /// A virtio card whose wire leads nowhere.
    pub fn new(mac: Mac) -> Self {
        Self { mac, model: NicModel::Virtio, wire: Wire::Nowhere }
    }
}

/// What the machine's clock shows at power-on, in UTC: `2020-01-01T00:00:00`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rtc(String);

impl Rtc {
    /// As QEMU and people write it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Rtc {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]");
        PrimitiveDateTime::parse(text, &format)
            .map(|_| Self(text.to_owned()))
            .map_err(|_| format!("`{text}` is no time like 2020-01-01T00:00:00 (it is taken as UTC)"))
    }
}

/// Which processor is played, by QEMU's name of its model: `core2duo`, `Nehalem`, or `max`, all that QEMU can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cpu(String);

impl Cpu {
    /// As QEMU writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Cpu {
    fn default() -> Self {
        Self("max".to_owned())
    }
}

impl fmt::Display for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Cpu {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // No comma: options that follow one are QEMU's own language. No `?` and no `help` either, with which QEMU only lists.
        let named = text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
        if !named || text == "help" {
            return Err(format!(
                "`{text}` is no name of a processor; `qemu-system-x86_64 -cpu help` lists them"
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

/// A machine without its disks.
#[derive(Debug, Clone)]
pub struct Hardware {
    /// Its firmware.
    pub firmware: Firmware,
    /// Memory in MiB.
    pub memory: u32,
    /// Processors.
    pub cpus: u8,
    /// Their model.
    pub cpu: Cpu,
    /// Network cards, in the order of their PCI slots.
    pub nics: Vec<Nic>,
    /// SMBIOS system serial number (type 1).
    pub serial: Option<String>,
    /// SMBIOS system UUID (type 1).
    pub uuid: Option<SystemUuid>,
    /// SMBIOS chassis asset tag (type 3).
    pub asset: Option<String>,
    /// SMBIOS OEM strings (type 11).
    pub oem: Vec<String>,
    /// Strings that a guest finds below `/sys/firmware/qemu_fw_cfg/by_name`.
    pub fw_cfg: BTreeMap<String, String>,
    /// Its clock at power-on; the host's if not given.
    pub rtc: Option<Rtc>,
}

impl Hardware {
    /// The usual machine: 1 GiB, two processors, no card, no identity.
    pub fn new(firmware: Firmware) -> Self {
        Self {
            firmware,
            memory: 1024,
            cpus: 2,
            cpu: Cpu::default(),
            nics: Vec::new(),
            serial: None,
            uuid: None,
            asset: None,
            oem: Vec::new(),
            fw_cfg: BTreeMap::new(),
            rtc: None,
        }
    }

    /// Wires the first card to the server where the medium comes over the network. OVMF tries TFTP before HTTP unless it is told
    /// that there is no PXE (OvmfPkg, `PxeBcPcdProducerLib`).
    pub fn wire(&mut self, attach: Attach, way: Way) {
        let (Attach::Network, Some(card)) = (attach, self.nics.first_mut()) else { return };
        card.wire = Wire::Tap(TAP);
        if way == Way::Http {
            for version in [4, 6] {
                let item = format!("opt/org.tianocore/IPv{version}PXESupport");
                self.fw_cfg.insert(item, "no".to_owned());
            }
        }
    }

    /// Checks what QEMU would refuse, or take for something else.
    ///
    /// # Errors
    /// When a value cannot be given to a machine.
    pub fn check(&self) -> Result<()> {
        if self.memory < 64 || self.cpus == 0 {
            return Err(Error::input("a machine needs at least 64 MiB of memory and one processor"));
        }
        let strings = [("serial number", &self.serial), ("asset tag", &self.asset)];
        let strings = strings.into_iter().filter_map(|(what, text)| text.as_ref().map(|text| (what, text)));
        for (what, text) in strings.chain(self.oem.iter().map(|text| ("OEM string", text))) {
            if !printable(text) || text.len() > 64 {
                return Err(Error::input(format!("the {what} {text:?} cannot be put into SMBIOS"))
                    .hint("use 1 to 64 printable ASCII characters"));
            }
        }
        for (name, value) in &self.fw_cfg {
            if !name.starts_with("opt/") || name.len() > 55 || !printable(name) || !printable(value) {
                return Err(Error::input(format!("the fw_cfg item {name:?} cannot be given to a machine"))
                    .hint("names begin with opt/ and have at most 55 characters; values are printable"));
            }
        }
        Ok(())
    }
}

fn printable(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic() || c == ' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_times() {
        assert_eq!("2020-01-01T00:00:00".parse::<Rtc>().unwrap().as_str(), "2020-01-01T00:00:00");
        for bad in ["", "utc", "2020-13-01T00:00:00", "2020-01-01", "2020-01-01T00:00:00,clock=vm"] {
            assert!(bad.parse::<Rtc>().is_err(), "{bad}");
        }
    }

    #[test]
    fn processors_are_names() {
        for good in ["max", "core2duo", "Nehalem-v2", "486"] {
            assert_eq!(good.parse::<Cpu>().unwrap().to_string(), good);
        }
        for bad in ["", "help", "?", "max,+avx", "-v2", "two words"] {
            assert!(bad.parse::<Cpu>().unwrap_err().contains("-cpu help"), "{bad}");
        }
    }

    #[test]
    fn what_a_machine_cannot_have_is_refused() {
        let good = Hardware::new(Firmware::Bios);
        assert!(good.check().is_ok());
        let refused = |change: fn(&mut Hardware)| {
            let mut hardware = good.clone();
            change(&mut hardware);
            assert_eq!(hardware.check().unwrap_err().class().exit_code(), 2);
        };
        refused(|h| h.memory = 63);
        refused(|h| h.cpus = 0);
        refused(|h| h.serial = Some(String::new()));
        refused(|h| h.asset = Some("x".repeat(65)));
        refused(|h| h.oem = vec!["a\nb".into()]);
        refused(|h| drop(h.fw_cfg.insert("etc/x".into(), "y".into())));
    }
}
