//! Every target over its seeds, mutations of them by a fixed sequence, and what was found once.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail the test by panicking")]

use std::path::Path;

use cairn_fuzz::TARGETS;

/// Mutations of each seed. libFuzzer does millions; this is for what breaks at once.
const MUTATIONS: usize = 60;

/// SplitMix64: the same sequence on every machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((z ^ (z >> 31)) >> 33).unwrap() % below.max(1)
    }
}

fn mutate(input: &mut Vec<u8>, dice: &mut Dice) {
    for _ in 0..=dice.roll(4) {
        let at = dice.roll(input.len() + 1).min(input.len());
        let byte = [0, 1, 0x7f, 0x80, 0xff, b'"', b'\n', u8::try_from(dice.roll(256)).unwrap()][dice.roll(8)];
        match dice.roll(5) {
            0 => input.insert(at, byte),
            1 if at < input.len() => drop(input.remove(at)),
            2 => input.truncate(at),
            3 if at < input.len() => input[at] ^= 1 << dice.roll(8),
            _ if at < input.len() => input[at] = byte,
            _ => input.push(byte),
        }
    }
}

#[test]
fn seeds_and_mutations_of_them() {
    for target in TARGETS {
        let seeds = (target.seeds)();
        assert!(!seeds.is_empty() && seeds.iter().all(|seed| seed.len() < 64 << 10), "{}", target.name);
        let mut dice = Dice(1);
        for seed in seeds {
            (target.run)(&seed);
            for _ in 0..MUTATIONS {
                let mut input = seed.clone();
                mutate(&mut input, &mut dice);
                (target.run)(&input);
            }
        }
    }
}

#[test]
fn what_was_found_once_is_not_found_again() {
    let findings = Path::new(env!("CARGO_MANIFEST_DIR")).join("findings");
    for folder in std::fs::read_dir(&findings).unwrap() {
        let folder = folder.unwrap();
        if !folder.file_type().unwrap().is_dir() {
            continue;
        }
        let name = folder.file_name().into_string().unwrap();
        let target = cairn_fuzz::target(&name).unwrap_or_else(|| panic!("findings of no target: {name}"));
        for file in std::fs::read_dir(folder.path()).unwrap() {
            (target.run)(&std::fs::read(file.unwrap().path()).unwrap());
        }
    }
}
