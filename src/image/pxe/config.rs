//! What loaders read in a PXE tree: `grub.cfg` (GRUB manual), `pxelinux.cfg` (syslinux wiki, PXELINUX) and scripts for iPXE. Pure.
//!
//! One configuration serves all nodes. Machines whose MAC address it knows install themselves, all others boot their disks; where a node
//! may come with any MAC address (a pool, a node known by serial number) all machines start the installer, which refuses strangers
//! before it touches a disk. Kernel and installer are named by the tree's whole address, because the kernel's command line has to have
//! it whole in any case, and one form works with every loader and every web server.

use std::fmt::Write as _;

use super::REPOSITORY;
use super::list::TreeUrl;
use crate::cluster::model::SerialConsole;
use crate::cluster::types::Mac;

/// Kernel and initrd below the repository, on all releases.
const KERNEL: &str = "images/pxeboot/vmlinuz";
const INITRD: &str = "images/pxeboot/initrd.img";

/// What the configurations say.
#[derive(Debug, Clone)]
pub struct Boot<'a> {
    /// Address of the tree.
    pub url: &'a TreeUrl,
    /// Title of the entry that installs.
    pub title: &'a str,
    /// MAC addresses of the machines; `None` if they cannot be told by them.
    pub macs: Option<&'a [Mac]>,
    /// Seconds that a menu waits.
    pub timeout: u16,
    /// Serial port.
    pub serial: Option<SerialConsole>,
    /// GRUB's words for loading a kernel and an initrd: `linuxefi`, `initrdefi`, or without `efi`.
    pub words: (&'static str, &'static str),
    /// Whether GRUB can fetch by HTTP.
    pub http: bool,
}

impl Boot<'_> {
    /// The kernel's arguments, without those that a loader knows better.
    fn arguments(&self) -> String {
        let (repository, kickstart) = (self.url.file(REPOSITORY), self.url.file("ks.cfg"));
        let mut out = format!("inst.stage2={repository} inst.ks={kickstart} inst.cmdline ip=dhcp");
        if let Some(SerialConsole { port, speed }) = self.serial {
            let _ = write!(out, " console=tty0 console=ttyS{port},{speed}n8");
        }
        out
    }

    /// `grub.cfg`. The firmware's own lease says which MAC address booted.
    pub fn grub(&self) -> String {
        let mut out = String::from("# Made by kiln: the same for all machines of the tree.\n");
        if let Some(SerialConsole { port, speed }) = self.serial {
            let _ = write!(
                out,
                "serial --unit={port} --speed={speed}\nterminal_input serial console\nterminal_output serial console\n"
            );
        }
        let _ = writeln!(out, "set timeout={}", self.timeout);
        match self.macs {
            None => out.push_str("set default=install\n"),
            Some(macs) => {
                // Without a MAC address the installer has to find out.
                out.push_str(
                    "set default=disk\nif [ -z \"$net_default_mac\" ]; then set default=install; fi\n",
                );
                for mac in macs {
                    let _ = writeln!(
                        out,
                        "if [ \"$net_default_mac\" = \"{mac}\" ]; then set default=install; fi"
                    );
                }
            }
        }
        // By HTTP a kernel takes a second, by TFTP a minute. GRUB of most releases knows port 80 only.
        let root = match self.http && self.url.port() == 80 {
            true => format!("(http,{}){}", self.url.address(), self.url.path()),
            false => "/".to_owned(),
        };
        let (linux, initrd) = self.words;
        let title = self.title.replace(['\'', '\\'], "");
        // A kernel without its initrd would be started all the same, and stop at once: hence the questions.
        let _ = write!(
            out,
            "menuentry '{title}' --id install {{\n  if {linux} {root}{REPOSITORY}/{KERNEL} {} BOOTIF=01-$net_default_mac; then\n    \
             if {initrd} {root}{REPOSITORY}/{INITRD}; then\n      boot\n    fi\n  fi\n  \
             echo 'kiln: the installer could not be loaded; trying again'\n  sleep 10\n  reboot\n}}\n\
             menuentry 'Boot from disk' --id disk {{\n  exit\n}}\n",
            self.arguments()
        );
        out
    }

    /// `pxelinux.cfg/default`: for machines without a file of their own.
    pub fn pxelinux_default(&self) -> String {
        match self.macs {
            None => self.pxelinux(),
            // Back to the firmware, which boots its next device.
            Some(_) => "DEFAULT disk\nPROMPT 0\nLABEL disk\n  LOCALBOOT -1\n".to_owned(),
        }
    }

    /// A file of `pxelinux.cfg` for a machine that is installed. PXELINUX fetches by TFTP; `IPAPPEND 2` adds `BOOTIF=`.
    pub fn pxelinux(&self) -> String {
        let mut out = String::new();
        if let Some(SerialConsole { port, speed }) = self.serial {
            let _ = writeln!(out, "SERIAL {port} {speed}");
        }
        let _ = write!(
            out,
            "DEFAULT install\nPROMPT 0\nLABEL install\n  KERNEL /{REPOSITORY}/{KERNEL}\n  APPEND initrd=/{REPOSITORY}/{INITRD} {}\n  \
             IPAPPEND 2\n",
            self.arguments()
        );
        out
    }

    /// `boot.ipxe`.
    pub fn ipxe(&self) -> String {
        let mut out = String::from("#!ipxe\n# Made by kiln: the same for all machines of the tree.\n");
        match self.macs {
            None => out.push_str("goto install\n"),
            Some(macs) => {
                for mac in macs {
                    let _ = writeln!(out, "iseq ${{mac}} {mac} && goto install ||");
                }
                out.push_str("goto disk\n");
            }
        }
        let (kernel, initrd) = (
            self.url.file(&format!("{REPOSITORY}/{KERNEL}")),
            self.url.file(&format!("{REPOSITORY}/{INITRD}")),
        );
        let _ = write!(
            out,
            ":install\nkernel {kernel} initrd=initrd.img {} BOOTIF=01-${{mac:hexhyp}} || goto failed\n\
             initrd --name initrd.img {initrd} || goto failed\nboot || goto failed\n\
             :failed\necho kiln: the installer could not be loaded; trying again\nsleep 10\nchain {} ||\n\
             goto failed\n:disk\nexit\n",
            self.arguments(),
            self.url.file("boot.ipxe"),
        );
        out
    }

    /// `autoexec.ipxe`, which iPXE's own programs ask for by TFTP before they have an address.
    pub fn autoexec(&self) -> String {
        format!("#!ipxe\ndhcp\nchain {}\n", self.url.file("boot.ipxe"))
    }
}

/// Name of a machine's file below `pxelinux.cfg`: 01 is Ethernet.
pub fn pxelinux_name(mac: Mac) -> String {
    format!("01-{}", mac.to_string().replace(':', "-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boot<'a>(url: &'a TreeUrl, macs: Option<&'a [Mac]>) -> Boot<'a> {
        let serial = Some(SerialConsole::default());
        Boot {
            url,
            title: "Install it's",
            macs,
            timeout: 5,
            serial,
            words: ("linuxefi", "initrdefi"),
            http: true,
        }
    }

    #[test]
    fn known_machines_install_and_others_boot_their_disks() {
        let url: TreeUrl = "http://10.0.0.5/kiln/".parse().unwrap();
        let macs: [Mac; 2] = ["52:54:00:00:00:01".parse().unwrap(), "52:54:00:00:00:02".parse().unwrap()];
        let known = boot(&url, Some(&macs));
        let grub = known.grub();
        assert!(
            grub.contains("set default=disk\n")
                && grub.contains("= \"52:54:00:00:00:02\" ]; then set default=install"),
            "{grub}"
        );
        let line = "  if linuxefi (http,10.0.0.5)/kiln/repo/images/pxeboot/vmlinuz inst.stage2=http://10.0.0.5/kiln/repo \
                    inst.ks=http://10.0.0.5/kiln/ks.cfg inst.cmdline ip=dhcp";
        assert!(grub.contains(line) && grub.contains("menuentry 'Install its' --id install"), "{grub}");
        assert!(known.pxelinux_default().contains("LOCALBOOT") && known.pxelinux().contains("IPAPPEND 2"));
        let ipxe = known.ipxe();
        assert!(
            ipxe.starts_with("#!ipxe\n")
                && ipxe.contains("iseq ${mac} 52:54:00:00:00:01 && goto install ||\n"),
            "{ipxe}"
        );
        assert_eq!(pxelinux_name(macs[0]), "01-52-54-00-00-00-01");
        let any = boot(&url, None);
        assert!(any.grub().contains("set default=install\n") && !any.grub().contains("default=disk"));
        assert!(any.pxelinux_default().contains("inst.ks=") && any.ipxe().contains("\ngoto install\n"));
    }

    #[test]
    fn grub_fetches_by_the_way_it_came_where_it_knows_no_other() {
        let url: TreeUrl = "http://10.0.0.5:8080/".parse().unwrap();
        assert!(boot(&url, None).grub().contains("linuxefi /repo/images/pxeboot/vmlinuz"));
        let url: TreeUrl = "http://10.0.0.5/".parse().unwrap();
        let tftp = Boot { http: false, ..boot(&url, None) };
        assert!(tftp.grub().contains("linuxefi /repo/images/pxeboot/vmlinuz"));
    }
}
