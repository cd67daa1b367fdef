//! What the processors of a machine do that says nothing any more. It tells apart who hangs: QEMU, which does not answer; a guest that
//! waits for something; firmware or a guest that runs in circles. Not a debugger: the machine is ended right after.
//!
//! It is read twice from `info registers -a` of QEMU's human monitor. That text is made for people and no interface, so what is not
//! understood is passed over.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::qmp::{Message, Monitor};

/// Between the two looks.
const BETWEEN: Duration = Duration::from_secs(1);
/// How long QEMU may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Where Linux maps the code of UEFI (Documentation/arch/x86/x86_64/mm.rst).
const EFI: std::ops::Range<u64> = 0xffff_ffef_0000_0000..0xffff_ffff_0000_0000;
/// Processors that are told one by one.
const TOLD: usize = 4;

/// A processor at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Processor {
    /// Address of its next instruction.
    at: u64,
    /// Whether it waits for an interrupt.
    halted: bool,
}

/// Asks what the processors do; the answer goes behind what is said of the silence.
pub fn ask(monitor: &mut Monitor) -> String {
    let Some(before) = look(monitor) else { return "QEMU's monitor does not answer either".to_owned() };
    std::thread::sleep(BETWEEN);
    let Some(after) = look(monitor) else { return "QEMU's monitor has fallen silent too".to_owned() };
    tell(&before, &after)
}

fn look(monitor: &mut Monitor) -> Option<Vec<Processor>> {
    monitor.registers();
    let until = Instant::now() + PATIENCE;
    while !monitor.closed() && Instant::now() < until {
        for message in monitor.wait(Duration::from_millis(100)).ok()? {
            if let Message::Told(text) = message {
                return Some(read(&text));
            }
        }
    }
    None
}

fn read(text: &str) -> Vec<Processor> {
    let lines = text.lines().filter(|line| line.starts_with("RIP=") || line.starts_with("EIP="));
    let processor = |line: &str| {
        let of = |name: &str| line.split_whitespace().find_map(|word| word.strip_prefix(name));
        let at = u64::from_str_radix(of("RIP=").or_else(|| of("EIP="))?, 16).ok()?;
        Some(Processor { at, halted: of("HLT=")? == "1" })
    };
    lines.filter_map(processor).collect()
}

fn tell(before: &[Processor], after: &[Processor]) -> String {
    if after.is_empty() || before.len() != after.len() {
        return "what its processors do cannot be read".to_owned();
    }
    let waits = |(before, after): (&Processor, &Processor)| before.halted && after.halted;
    if before.iter().zip(after).all(waits) {
        return "its processors wait for an interrupt: the guest waits for something".to_owned();
    }
    let mut text = String::new();
    for (number, (before, after)) in before.iter().zip(after).enumerate().take(TOLD) {
        let _ = match (waits((before, after)), before == after) {
            (true, _) => write!(text, ", processor {number} waits"),
            (_, true) => write!(text, ", processor {number} stands at {:#x}", after.at),
            _ => write!(text, ", processor {number} runs, now at {:#x}", after.at),
        };
        if EFI.contains(&after.at) {
            text.push_str(" (code of the firmware)");
        }
    }
    text.trim_start_matches(", ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As QEMU 7.2 prints it.
    fn registers(processors: &[(u64, u8)]) -> String {
        processors.iter().enumerate().fold(String::new(), |text, (number, (at, halted))| {
            format!(
                "{text}\r\nCPU#{number}\r\nRAX=0000000000000000 RBX=0000000000000000\r\n\
                 RIP={at:016x} RFL=00000246 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT={halted}\r\nES =0000 00000000\r\n"
            )
        })
    }

    fn told(before: &[(u64, u8)], after: &[(u64, u8)]) -> String {
        tell(&read(&registers(before)), &read(&registers(after)))
    }

    #[test]
    fn who_hangs_is_told_apart() {
        let idle = [(0xffff_ffff_81a0_0000, 1), (0xffff_ffff_81a0_0000, 1)];
        assert_eq!(told(&idle, &idle), "its processors wait for an interrupt: the guest waits for something");
        assert_eq!(
            told(&[(1, 0), (2, 1)], &[(1, 0), (2, 1)]),
            "processor 0 stands at 0x1, processor 1 waits",
            "one that stands is no idle guest"
        );
        assert_eq!(
            told(&[(0xffff_ffef_0000_0010, 0)], &[(0xffff_ffef_0000_0020, 0)]),
            "processor 0 runs, now at 0xffffffef00000020 (code of the firmware)"
        );
        assert_eq!(told(&[(1, 1)], &[(1, 0)]), "processor 0 runs, now at 0x1");
        // Before long mode.
        let reset = "CPU#0\r\nEIP=0000fff0 EFL=00000002 [-------] CPL=0 II=0 A20=1 SMM=0 HLT=0\r\n";
        assert_eq!(tell(&read(reset), &read(reset)), "processor 0 stands at 0xfff0");
    }

    #[test]
    fn what_is_not_understood_is_not_told() {
        for text in ["", "unknown command: 'info registers'", "RIP=zz HLT=1", "RIP=10", "RIP= HLT=1"] {
            assert_eq!(tell(&read(text), &read(text)), "what its processors do cannot be read", "{text}");
        }
        assert_eq!(told(&[(1, 1)], &[]), "what its processors do cannot be read");
        assert_eq!(told(&[(1, 0); 255], &[(1, 0); 255]).matches("stands").count(), TOLD);
    }
}
