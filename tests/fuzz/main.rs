//! A bounded, deterministic fuzzer for everything that reads foreign bytes: seeded mutations of a small corpus, with a
//! limit on iterations and on time. A run of any length with coverage feedback is `make fuzz`.
//!
//! `KILN_FUZZ_SEED` and `KILN_FUZZ_SECONDS` change the seed and the time for each target.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed test panics")]

mod targets;

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Memory is counted for the whole process, so targets run one at a time.
static ONE: Mutex<()> = Mutex::new(());

/// Memory that a target may take besides a multiple of its input.
const BASE_BYTES: usize = 4 << 20;
const TIMES_INPUT: usize = 40;
const ITERATIONS: u32 = 20_000;

/// xorshift64*: small, and the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

/// Values that lie at edges of lengths and offsets.
const EDGES: [u32; 12] =
    [0, 1, 2, 7, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];

fn mutate(random: &mut Random, seed: &[u8], other: &[u8]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    // Most mutations hit where structures lie: any byte that is not zero is more telling than one that is.
    let telling: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at] != 0).collect();
    for _ in 0..1 + random.below(4) {
        if bytes.is_empty() {
            return bytes;
        }
        let near = telling.get(random.below(telling.len())).copied().unwrap_or(0);
        let at = if random.below(3) == 0 { random.below(bytes.len()) } else { near }.min(bytes.len() - 1);
        match random.below(8) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.next() as u8,
            2 => bytes.truncate(at),
            3 => {
                let edge = EDGES[random.below(EDGES.len())];
                let raw = if random.below(2) == 0 { edge.to_le_bytes() } else { edge.to_be_bytes() };
                let len = [1, 2, 4][random.below(3)].min(bytes.len() - at);
                let from = if raw[0] == 0 { 4 - len } else { 0 };
                bytes[at..at + len].copy_from_slice(&raw[from..from + len]);
            }
            4 => {
                let end = (at + 1 + random.below(64)).min(bytes.len());
                bytes.drain(at..end);
            }
            5 => {
                let end = (at + 1 + random.below(64)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            6 => {
                // A structure in the place of another.
                let len = [8, 32, 128, 512, 2048][random.below(5)].min(bytes.len());
                let from = random.below(bytes.len() - len + 1);
                let piece = bytes[from..from + len].to_vec();
                let end = (at + len).min(bytes.len());
                bytes[at..end].copy_from_slice(&piece[..end - at]);
            }
            _ => {
                let from = random.below(other.len());
                let end = (from + random.below(256)).min(other.len());
                bytes.splice(at..at, other[from..end].iter().copied());
            }
        }
    }
    bytes
}

/// The files of some folders, in order of their names.
fn corpus(folders: &[&str]) -> Vec<Vec<u8>> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut paths: Vec<PathBuf> = folders
        .iter()
        .flat_map(|folder| std::fs::read_dir(root.join(folder)).unwrap())
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

fn env(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// Runs a target on its corpus as it is, and on mutations of it.
fn fuzz(target: fn(&[u8]), seeds: &[Vec<u8>]) {
    let _one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut random = Random(env("KILN_FUZZ_SEED", 0x6b69_6c6e) | 1);
    let end = Instant::now() + Duration::from_secs(env("KILN_FUZZ_SECONDS", 5));
    assert!(!seeds.is_empty(), "the corpus is empty");
    for seed in seeds {
        run(target, seed, "the corpus");
    }
    let mut done = 0;
    while done < ITERATIONS && Instant::now() < end {
        let (seed, other) = (&seeds[random.below(seeds.len())], &seeds[random.below(seeds.len())]);
        run(target, &mutate(&mut random, seed, other), &format!("iteration {done}"));
        done += 1;
    }
    assert!(done > 0, "no time for a single mutation");
}

fn run(target: fn(&[u8]), bytes: &[u8], which: &str) {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let outcome = std::panic::catch_unwind(|| target(bytes));
    let took = ALLOCATOR.peak_usage().saturating_sub(before);
    if outcome.is_err() || took > BASE_BYTES + TIMES_INPUT * bytes.len() {
        let kept = std::env::temp_dir().join("kiln-fuzz-failure");
        std::fs::write(&kept, bytes).unwrap();
        panic!("{which}: {} bytes, {took} bytes of memory; the input is {}", bytes.len(), kept.display());
    }
}

#[test]
fn fat() {
    fuzz(targets::fat, &corpus(&["tests/fuzz/corpus/fat"]));
}

#[test]
fn tar() {
    fuzz(targets::tar, &corpus(&["tests/fuzz/corpus/tar"]));
}

#[test]
fn cpio() {
    fuzz(targets::cpio, &corpus(&["tests/fuzz/corpus/cpio"]));
}

#[test]
fn asked() {
    fuzz(targets::asked, &corpus(&["tests/fuzz/corpus/asked"]));
}

#[test]
fn tree() {
    fuzz(targets::tree, &corpus(&["tests/fuzz/corpus/tree"]));
}

#[test]
fn menu() {
    fuzz(targets::menu, &corpus(&["tests/fuzz/corpus/menu", "tests/data/menus"]));
}

#[test]
fn manifest() {
    fuzz(targets::manifest, &corpus(&["tests/fuzz/corpus/manifest"]));
}

#[test]
fn iso() {
    fuzz(targets::iso, &corpus(&["tests/fuzz/corpus/iso"]));
}

#[test]
fn toml() {
    let mut seeds = corpus(&["tests/fuzz/corpus/toml"]);
    seeds.push(kiln::cluster::SAMPLE.as_bytes().to_vec());
    fuzz(targets::toml, &seeds);
}

#[test]
fn inspect() {
    fuzz(targets::inspect, &corpus(&["tests/fuzz/corpus/iso", "tests/fuzz/corpus/inspect"]));
}

#[test]
fn oci() {
    fuzz(targets::oci, &corpus(&["tests/fuzz/corpus/oci"]));
}

#[test]
fn fetched() {
    fuzz(targets::fetched, &corpus(&["tests/fuzz/corpus/fetched"]));
}

#[test]
fn rpm() {
    fuzz(targets::rpm, &corpus(&["tests/fuzz/corpus/rpm"]));
}

#[test]
fn repodata() {
    fuzz(targets::repodata, &corpus(&["tests/fuzz/corpus/repodata"]));
}

#[test]
fn wire() {
    fuzz(targets::wire, &corpus(&["tests/fuzz/corpus/wire"]));
}

#[test]
fn disk() {
    fuzz(targets::disk, &corpus(&["tests/fuzz/corpus/disk"]));
}

#[test]
fn frame() {
    fuzz(targets::frame, &corpus(&["tests/fuzz/corpus/frame"]));
}
