//! The stages of a boot, the words that show one, and the words that mean failure. Pure: lines in, meaning out.

/// How far the machine has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// SeaBIOS or OVMF.
    Firmware,
    /// isolinux, shim or GRUB.
    Loader,
    /// Linux, up to its first program.
    Kernel,
    /// The installer, or what stands in for it.
    Installer,
    /// What was installed: its initrd and its services.
    System,
    /// The login prompt.
    Login,
}

impl Stage {
    /// The word in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Stage::Firmware => "firmware",
            Stage::Loader => "loader",
            Stage::Kernel => "kernel",
            Stage::Installer => "installer",
            Stage::System => "system",
            Stage::Login => "login",
        }
    }
}

/// What the machine is to boot, which decides what the words of an initrd show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Course {
    /// A medium, and nothing else.
    Medium,
    /// A medium or a disk: firmware may fail to boot the one and go on to the other.
    Either,
    /// A disk.
    Disk,
}

/// Words that show that a stage has been reached.
const SIGNS: [(Stage, &[&str]); 5] = [
    // Before the system's "Welcome to".
    (Stage::Loader, &["Welcome to GRUB"]),
    (Stage::Installer, &["KILN-STANDIN", "kiln STAND-IN", "anaconda"]),
    (
        Stage::System,
        &[
            "Run /init as init process",
            "Run /sbin/init as init process",
            "dracut",
            "systemd[1]: ",
            "Welcome to ",
        ],
    ),
    (Stage::Kernel, &["Linux version ", "EFI stub:", "Booting the kernel"]),
    (
        Stage::Loader,
        &[
            "ISOLINUX ",
            "SYSLINUX ",
            "GRUB ",
            "BdsDxe: starting Boot",
            "Booting from DVD/CD",
            "Booting from Hard Disk",
        ],
    ),
];

/// The stage that a line shows, if any.
pub fn stage_of(line: &str, course: Course) -> Option<Stage> {
    let stage = SIGNS.iter().find(|(_, words)| words.iter().any(|word| line.contains(word)))?.0;
    // An initrd looks the same wherever it comes from; where a medium may be booted it is the installer's.
    Some(if stage == Stage::System && course != Course::Disk { Stage::Installer } else { stage })
}

/// Whether a line is a login prompt. It has no newline of its own, so a kernel's message may follow on the same line.
pub fn login_prompt(line: &str) -> bool {
    let end = line.trim_end();
    end.ends_with("login:") || end.split_once("login: [").is_some_and(|(host, _)| !host.contains(':'))
}

/// A sign of failure: the words, the last stage in which they mean it, and what it is.
const FAILURES: [(&str, Stage, &str); 15] = [
    (
        "bad shim signature",
        Stage::Loader,
        "GRUB refused the kernel: its signature does not hold (bad shim signature)",
    ),
    (
        "Security Violation",
        Stage::Loader,
        "shim refused the boot loader: its signature does not hold (Security Violation)",
    ),
    (
        "Access Denied",
        Stage::Loader,
        "the firmware refused the boot loader: it is not signed for Secure Boot (Access Denied)",
    ),
    ("No bootable device", Stage::Loader, "the firmware found nothing to boot (No bootable device)"),
    (
        "No bootable option or device",
        Stage::Loader,
        "the firmware found nothing to boot (No bootable option or device)",
    ),
    (BOOT_FAILED, Stage::Firmware, "the firmware could not boot the medium (Boot failed)"),
    (
        "Could not find kernel image",
        Stage::Loader,
        "the loader did not find the kernel (Could not find kernel image)",
    ),
    ("Failed to load ldlinux", Stage::Loader, "isolinux did not find its own files (Failed to load ldlinux)"),
    (
        "you need to load the kernel first",
        Stage::Loader,
        "GRUB did not find the kernel (you need to load the kernel first)",
    ),
    (
        "Initramfs unpacking failed",
        Stage::System,
        "the kernel could not unpack an initrd (Initramfs unpacking failed)",
    ),
    ("Kernel panic", Stage::Login, "the kernel panicked (Kernel panic)"),
    ("dracut-initqueue timeout", Stage::System, "the initrd waited in vain (dracut-initqueue timeout)"),
    ("Entering emergency mode", Stage::System, "the initrd gave up (Entering emergency mode)"),
    ("You are in emergency mode", Stage::Login, "the system gave up (You are in emergency mode)"),
    ("Pane is dead", Stage::Installer, "the installer crashed (Pane is dead)"),
];

/// SeaBIOS says it of each device it cannot boot, before it tries the next.
const BOOT_FAILED: &str = "Boot failed: ";

/// The kernel's check of its timer counts QEMU's ticks against a busy loop: on a host without time to spare QEMU is late
/// and the kernel panics. That says nothing about the medium.
pub fn starved(line: &str) -> bool {
    line.contains("IO-APIC + timer doesn't work")
}

/// What a line says went wrong, if it does so at this stage.
pub fn failure_of(line: &str, stage: Stage, course: Course) -> Option<&'static str> {
    let found = FAILURES.iter().find(|(words, last, _)| stage <= *last && line.contains(words))?;
    (found.0 != BOOT_FAILED || course != Course::Either).then_some(found.2)
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_recognised() {
        for (line, medium, disk) in [
            ("ISOLINUX 6.04 EDD", Some(Stage::Loader), Some(Stage::Loader)),
            ("BdsDxe: starting Boot0001 \"UEFI QEMU DVD-ROM\"", Some(Stage::Loader), Some(Stage::Loader)),
            ("BdsDxe: loading Boot0001", None, None),
            ("[    0.000000] Linux version 6.1.0-49-amd64", Some(Stage::Kernel), Some(Stage::Kernel)),
            ("EFI stub: UEFI Secure Boot is enabled.", Some(Stage::Kernel), Some(Stage::Kernel)),
            ("[    1.9] Run /init as init process", Some(Stage::Installer), Some(Stage::System)),
            ("KILN-STANDIN-STEP 0.1 start", Some(Stage::Installer), Some(Stage::Installer)),
            ("Welcome to GRUB!", Some(Stage::Loader), Some(Stage::Loader)),
            ("Welcome to Debian GNU/Linux 12 (bookworm)!", Some(Stage::Installer), Some(Stage::System)),
            ("nothing", None, None),
        ] {
            assert_eq!(stage_of(line, Course::Medium), medium, "{line}");
            assert_eq!(stage_of(line, Course::Either), medium, "{line}");
            assert_eq!(stage_of(line, Course::Disk), disk, "{line}");
        }
    }

    #[test]
    fn a_login_prompt_is_one_even_when_the_kernel_talks_on() {
        for prompt in
            ["k8s-master1 login:", "k8s-master1 login: ", "host login: [   12.345678] eth0: link up"]
        {
            assert!(login_prompt(prompt), "{prompt}");
        }
        for other in ["", "last login: Monday", "systemd-logind: login: [x", "login"] {
            assert!(!login_prompt(other), "{other}");
        }
    }

    #[test]
    fn signs_of_failure_count_only_where_they_mean_it() {
        let failure = |line, stage| failure_of(line, stage, Course::Medium);
        let denied = "BdsDxe: failed to load Boot0001: Access Denied";
        assert!(failure(denied, Stage::Firmware).is_some());
        assert!(failure("sshd: Access Denied", Stage::Installer).is_none());
        assert!(failure("[    2.1] Kernel panic - not syncing: no init", Stage::Kernel).is_some());
        assert!(failure("[    2.1] Kernel panic - not syncing: no init", Stage::Login).is_some());
        assert!(failure("error: bad shim signature.", Stage::Loader).is_some());
        assert!(failure("all is well", Stage::Loader).is_none());
        let blank = "Boot failed: not a bootable disk";
        assert!(failure(blank, Stage::Firmware).is_some());
        assert!(failure_of(blank, Stage::Firmware, Course::Disk).is_some());
        assert!(failure_of(blank, Stage::Firmware, Course::Either).is_none());
    }

    #[test]
    fn a_starved_host_is_told_from_a_panic() {
        assert!(starved(
            "[ 0.0] Kernel panic - not syncing: IO-APIC + timer doesn't work!  Boot with apic=debug"
        ));
        assert!(!starved("[ 0.0] Kernel panic - not syncing: VFS: Unable to mount root fs"));
    }
}
