//! Disk rules and consoles: small languages inside a text.

use std::str::FromStr;

use toml::Spanned;

use super::super::findings::{At, shown};
use super::super::model::SerialConsole;
use super::super::raw::{DiskTable, Text, VolumeTable};
use super::super::rule::Rule;
use super::super::storage::{Bus, DiskRule, Mount, Pick, Storage, Volume, Wipe};
use super::Check;
use crate::units;

/// Most characters of a serial number, world wide name or path of a disk.
const LONGEST_ID: usize = 128;
/// Speeds that serial consoles run at.
const SPEEDS: [u32; 5] = [9600, 19200, 38400, 57600, 115_200];

impl Check<'_, '_> {
    /// What a node or pool is installed to.
    pub fn storage(
        &mut self,
        disk: Option<Spanned<DiskTable>>,
        volumes: Vec<Spanned<VolumeTable>>,
        wipe: &Text,
        table: &str,
    ) -> Storage {
        let mut storage = Storage { disk: self.disk(disk, table), ..Default::default() };
        // Words that are not on the list have been reported, and taken out, by the shape check.
        storage.wipe = wipe.as_ref().and_then(|text| Wipe::named(text.get_ref())).unwrap_or_default();
        for (index, raw) in volumes.into_iter().enumerate() {
            let (key, span) = (format!("{table}.volumes[{index}]"), raw.span());
            let raw = raw.into_inner();
            let disk = self.disk(raw.disk, &key);
            let Some(mount) = raw.mount.as_ref().and_then(|text| Mount::named(text.get_ref())) else {
                continue;
            };
            if storage.volumes.iter().any(|volume| volume.mount == mount) {
                let at = At::new(key, span);
                let message = format!("`{}` is {}, as another of them is", at.key, shown(mount.as_str()));
                self.findings.error(Rule::Duplicate, &at, message).hint("a folder has one disk");
                continue;
            }
            storage.volumes.push(Volume { mount, disk });
        }
        storage.volumes.sort_by_key(|volume| volume.mount);
        storage
    }

    /// A rule for a disk; without one, the only disk there is.
    fn disk(&mut self, raw: Option<Spanned<DiskTable>>, table: &str) -> DiskRule {
        let Some(raw) = raw.map(Spanned::into_inner) else { return DiskRule::default() };
        let sizes: Option<Sizes> = self.word(&raw.size, &format!("{table}.disk.size"), Rule::BadDisk);
        let sizes = sizes.unwrap_or_default();
        let smallest = raw.smallest.is_some_and(Spanned::into_inner);
        let largest = raw.largest.as_ref().is_some_and(|largest| *largest.get_ref());
        if let Some(both) = raw.largest.filter(|_| smallest && largest) {
            let at = At::new(format!("{table}.disk.largest"), both.span());
            let message = "`smallest` and `largest` exclude each other".to_owned();
            self.findings.error(Rule::BadDisk, &at, message).hint("leave one of them out");
        }
        DiskRule {
            serial: self.disk_id(&raw.serial, &format!("{table}.disk.serial")),
            wwn: self.disk_id(&raw.wwn, &format!("{table}.disk.wwn")),
            by_path: self.disk_id(&raw.by_path, &format!("{table}.disk.by_path")),
            min_size: sizes.min,
            max_size: sizes.max,
            rotational: raw.rotational.map(Spanned::into_inner),
            bus: raw.bus.as_ref().and_then(|text| Bus::named(text.get_ref())),
            pick: match (smallest, largest) {
                (true, _) => Pick::Smallest,
                (false, true) => Pick::Largest,
                (false, false) => Pick::Only,
            },
        }
    }

    fn disk_id(&mut self, text: &Text, key: &str) -> Option<String> {
        let text = text.as_ref()?;
        let value = text.get_ref().trim();
        let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\'' | '\\' | '`' | '$') || c == ' ';
        if value.is_empty() || value.len() > LONGEST_ID || value.contains('/') || !value.chars().all(plain) {
            let at = At::new(key, text.span());
            let message = format!("`{key}` cannot be {}: it names no disk", shown(text.get_ref()));
            self.findings
                .error(Rule::BadDisk, &at, message)
                .hint("`lsblk -o NAME,SIZE,SERIAL,WWN` and `ls /dev/disk/by-path` on the machine show what to write");
            return None;
        }
        Some(value.to_owned())
    }
}

/// Sizes in bytes that a disk may have.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sizes {
    min: Option<u64>,
    max: Option<u64>,
}

impl FromStr for Sizes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((min, max)) = text.split_once("..") else {
            return Err(format!("a size is a range: `{text}..` means that size or more"));
        };
        let end = |part: &str| if part.is_empty() { Ok(None) } else { bytes(part).map(Some) };
        let sizes = Sizes { min: end(min.trim())?, max: end(max.trim())? };
        match (sizes.min, sizes.max) {
            (None, None) => Err("a range has at least one end: 20G.. or ..2T".into()),
            (Some(min), Some(max)) if min > max => Err("the range's lower end is above its upper end".into()),
            _ => Ok(sizes),
        }
    }
}

/// `20G` → bytes, counting by 1024.
fn bytes(text: &str) -> Result<u64, String> {
    let shape = || "an end of a range is written like 20G: a whole number, then K, M, G or T".to_owned();
    let size = units::bytes(text).ok_or_else(shape)?;
    if size == 0 {
        return Err("a size of zero fits any disk: leave that end of the range out".into());
    }
    Ok(size)
}

impl FromStr for SerialConsole {
    type Err = String;

    /// `ttyS0,115200`, as the kernel's `console=` takes it; `n8` may follow.
    fn from_str(text: &str) -> Result<Self, String> {
        let shape = || "a serial console is written like ttyS0,115200 (ttyS0 to ttyS3)".to_owned();
        let (port, speed) =
            text.strip_prefix("ttyS").and_then(|rest| rest.split_once(',')).ok_or_else(shape)?;
        let port = match port {
            "0" => 0,
            "1" => 1,
            "2" => 2,
            "3" => 3,
            _ => return Err(shape()),
        };
        let speed: u32 = speed.strip_suffix("n8").unwrap_or(speed).parse().map_err(|_| shape())?;
        if !SPEEDS.contains(&speed) {
            return Err("a serial console runs at 9600, 19200, 38400, 57600 or 115200 bits per second".into());
        }
        Ok(Self { port, speed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_ranges() {
        let sizes = |text: &str| text.parse::<Sizes>();
        assert_eq!(sizes("20G.."), Ok(Sizes { min: Some(20 << 30), max: None }));
        assert_eq!(sizes("..2T"), Ok(Sizes { min: None, max: Some(2 << 40) }));
        assert_eq!(sizes("20G..100G"), Ok(Sizes { min: Some(20 << 30), max: Some(100 << 30) }));
        for bad in [
            "",
            "..",
            "20G",
            "20..",
            "G..",
            "100G..20G",
            "0G..",
            "99999999999T..",
            "-1G..",
            "20g..",
            "1.5T..",
        ] {
            assert!(sizes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn consoles_are_those_of_the_kernel() {
        assert_eq!("ttyS1,9600".parse(), Ok(SerialConsole { port: 1, speed: 9600 }));
        assert_eq!("ttyS0,115200n8".parse(), Ok(SerialConsole { port: 0, speed: 115_200 }));
        for bad in ["", "ttyS0", "ttyS4,9600", "ttyUSB0,9600", "ttyS0,9601", "ttyS0,115200 quiet"] {
            assert!(bad.parse::<SerialConsole>().is_err(), "{bad}");
        }
    }
}
