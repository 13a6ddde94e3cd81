//! Runs targets on inputs made from their seeds, on stable Rust: no coverage is known, so an input
//! whose outcome is new takes its place.

use std::{
    collections::HashSet,
    panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rand::{SeedableRng, rngs::Xoshiro256PlusPlus};

use crate::{Target, artifacts, corpus, memory, mutation};

/// No input costs so long, on any machine: it hangs.
const HANG: Duration = Duration::from_secs(60);

/// No case holds more memory than this, and so much for each byte of its input. The bound is of a kind,
/// not of a program: it finds what grows with a number in the input instead of with its bytes.
const MAX_BYTES: usize = 24 << 20;
const MAX_BYTES_PER_BYTE: usize = 256;

/// So much more may be allocated after all cases of a target than before: caches and tables, not cases.
const MAX_LEFT: usize = 4 << 20;

/// Inputs of which new ones are made.
const MAX_POPULATION: usize = 1_024;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which target.
    pub target: &'static str,
    /// What was broken.
    pub words: String,
    /// The input that did it.
    pub input: Vec<u8>,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            target,
            words,
            input,
        } = self;
        write!(f, "{target}: {words}\n  input of {} bytes", input.len())?;
        match artifacts::keep(target, input) {
            Ok(path) => write!(
                f,
                ", try it again with: cargo run -p fuzz -- {target} --input {}",
                path.display()
            ),
            Err(error) => write!(f, ", not kept ({error}): {input:02x?}"),
        }
    }
}

/// How it went.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Inputs that were tried.
    pub cases: u64,
    /// Different outcomes.
    pub outcomes: usize,
    /// The first input that broke something, after which it stops.
    pub finding: Option<Finding>,
    /// Inputs that are no seeds and whose outcome no seed had.
    pub new_inputs: Vec<Vec<u8>>,
}

/// Panics since the last case, also those that were caught and that of other threads.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// What is tried now, and since when.
static CURRENT: Mutex<Option<(Instant, &'static str, Vec<u8>)>> = Mutex::new(None);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts panics instead of printing them, while it is there. One at a time.
struct PanicsCounted;

impl PanicsCounted {
    fn start() -> Self {
        lock(&PANICS).clear();
        set_hook(Box::new(|info| lock(&PANICS).push(info.to_string())));
        Self
    }
}

impl Drop for PanicsCounted {
    fn drop(&mut self) {
        // It panics on a thread that panics, which is then printed by the hook that was there.
        if !thread::panicking() {
            drop(take_hook());
        }
    }
}

/// Tries the seeds, and then inputs made of them for as long as `go_on` says so of their count. Only one
/// run at a time: what panics and what is allocated is counted for the whole process.
///
/// # Panics
/// The target has no seeds.
pub fn run(target: &'static Target, seed: u64, mut go_on: impl FnMut(u64) -> bool) -> Report {
    let _counted = PanicsCounted::start();
    let mut population = corpus::seeds(target.name)
        .unwrap_or_else(|error| panic!("the seeds of {} cannot be read: {error}", target.name));
    assert!(!population.is_empty(), "{} has no seeds", target.name);
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut outcomes = HashSet::new();
    let mut report = Report::default();
    let mut allocated = None;
    let seeds = population.clone();
    let mut next_seed = seeds.into_iter();
    loop {
        let (input, is_seed) = match next_seed.next() {
            Some(input) => (input, true),
            None if go_on(report.cases) => (mutation::mutated(&population, &mut random), false),
            None => break,
        };
        report.cases += 1;
        match attempt(target, &input) {
            Ok(outcome) => {
                if outcomes.insert(outcome) && !is_seed && population.len() < MAX_POPULATION {
                    population.push(input.clone());
                    report.new_inputs.push(input);
                }
            }
            Err(words) => {
                report.finding = Some(Finding {
                    target: target.name,
                    words,
                    input,
                });
                break;
            }
        }
        // Whatever is set up once was set up by the seeds.
        if !is_seed && allocated.is_none() {
            allocated = Some(memory::allocated());
        }
    }
    report.outcomes = outcomes.len();
    let kept: usize = report.new_inputs.iter().map(|input| 2 * input.len()).sum();
    let left = memory::allocated().saturating_sub(allocated.unwrap_or(usize::MAX) + kept);
    if left > MAX_LEFT && report.finding.is_none() {
        report.finding = Some(Finding {
            target: target.name,
            words: format!("{left} bytes are left after {} cases", report.cases),
            input: Vec::new(),
        });
    }
    report
}

/// Tries one input.
///
/// # Errors
/// What it broke.
pub fn once(target: &'static Target, input: &[u8]) -> Result<String, String> {
    let _counted = PanicsCounted::start();
    attempt(target, input)
}

fn attempt(target: &'static Target, input: &[u8]) -> Result<String, String> {
    lock(&PANICS).clear();
    *lock(&CURRENT) = Some((Instant::now(), target.name, input.to_vec()));
    let (peak, result) = memory::peak_of(|| catch_unwind(AssertUnwindSafe(|| (target.run)(input))));
    *lock(&CURRENT) = None;
    let panics = std::mem::take(&mut *lock(&PANICS));
    if !panics.is_empty() {
        return Err(panics.join("\n"));
    }
    if peak > MAX_BYTES + MAX_BYTES_PER_BYTE * input.len() {
        return Err(format!("it held {peak} bytes"));
    }
    result.map_err(|_| "it panicked without a word".to_owned())
}

/// From now on an input that hangs ends the process, with words.
pub fn watch_for_hangs() {
    thread::spawn(|| {
        loop {
            thread::sleep(Duration::from_secs(1));
            let current = lock(&CURRENT);
            let Some((since, target, input)) = &*current else {
                continue;
            };
            if since.elapsed() > HANG {
                let finding = Finding {
                    target,
                    words: format!("it has not ended after {HANG:?}"),
                    input: input.clone(),
                };
                eprintln!("{finding}");
                std::process::exit(1);
            }
        }
    });
}
