//! Fuzzing with the stable toolchain: each target is run on its seeds and on so many mutations of them, the same ones each time.
//!
//! Seeds are the files of `tests/fuzz/seeds/<target>/`. A target's function must return for every input; what it asserts is written
//! beside it. `EVERGATE_FUZZ` sets the number of cases of each target (`CONTRIBUTING.md`).

mod targets;

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::Path,
};

/// So many cases a target has, unless `EVERGATE_FUZZ` says otherwise.
const CASES: u64 = 10_000;
/// The longest input.
const MAX_LENGTH: usize = 4096;
/// Words of all formats, besides a target's own.
const WORDS: [&str; 16] = [
    "\r\n",
    "\0",
    "\u{feff}",
    "%00",
    "%2f",
    "..",
    "//",
    "\\",
    "\"",
    "null",
    "-1",
    "1e309",
    "9223372036854775807",
    "{}",
    "[]",
    "\u{130}",
];

/// Numbers that look random and are the same in each run (xorshift64*).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33).unwrap() % end.max(1)
    }
}

/// Runs a target. `words` are inserted into its inputs.
pub(crate) fn run(target: &str, words: &[&str], check: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds").join(target);
    let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort_unstable();
    let seeds: Vec<_> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    assert!(!seeds.is_empty(), "{} holds no seeds", folder.display());
    seeds.iter().for_each(|seed| run_case(target, seed, &check));
    let words: Vec<_> = words.iter().chain(&WORDS).map(|word| word.as_bytes()).collect();
    let mut numbers =
        Numbers(target.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)));
    for _ in 0..cases() {
        let mut input = seeds[numbers.below(seeds.len())].clone();
        for _ in 0..=numbers.below(4) {
            mutate(&mut input, &seeds, &words, &mut numbers);
        }
        input.truncate(MAX_LENGTH);
        run_case(target, &input, &check);
    }
}

#[expect(clippy::disallowed_methods, reason = "how long a test runs is no setting of Evergate's")]
fn cases() -> u64 {
    std::env::var("EVERGATE_FUZZ").map_or(CASES, |cases| cases.parse().expect("EVERGATE_FUZZ is a number of cases"))
}

/// Runs one case, and says with which input it failed.
#[expect(clippy::print_stdout, reason = "a test says so")]
fn run_case(target: &str, input: &[u8], check: &impl Fn(&[u8])) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| check(input))) {
        println!("the fuzz target {target} failed with this input: b\"{}\"", input.escape_ascii());
        resume_unwind(panic);
    }
}

fn mutate(input: &mut Vec<u8>, seeds: &[Vec<u8>], words: &[&[u8]], numbers: &mut Numbers) {
    let at = numbers.below(input.len() + 1);
    let end = (at + 1 + numbers.below(16)).min(input.len()).max(at);
    match numbers.below(8) {
        0 if at < input.len() => input[at] ^= 1 << numbers.below(8),
        1 if at < input.len() => input[at] = u8::try_from(numbers.below(256)).unwrap(),
        2 => drop(input.drain(at..end)),
        3 => {
            let copy = input[at..end].to_vec();
            let to = numbers.below(input.len() + 1);
            input.splice(to..to, copy);
        }
        4 => {
            let other = &seeds[numbers.below(seeds.len())];
            let from = numbers.below(other.len() + 1);
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
        5 => input.truncate(at),
        // A word in the place of what stands there, or before it.
        6 => drop(input.splice(at..end, words[numbers.below(words.len())].iter().copied())),
        _ => drop(input.splice(at..at, words[numbers.below(words.len())].iter().copied())),
    }
}
