//! Whether this machine stood still meanwhile, asked of threads that want to wake all the time, and of
//! the threads of this process and its children that wait for a processor.
//!
//! A machine that shares its host with others is at times not run for tens of milliseconds. No
//! program on it can play sound then, so a call that broke meanwhile says nothing about us. The
//! load of a call alone, a third of one core, lets nobody wait so long.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::run_delay::RunDelays;

/// What stands still for longer stops any sound: a jitter buffer of a steady line holds no more.
pub const MAX_HARMLESS_STALL: Duration = Duration::from_millis(8);

/// How often something is tried on a machine that stands still meanwhile.
const ATTEMPTS: usize = 3;

/// Tries until the result is good, or this machine ran throughout, and returns the result. `None`
/// where it was bad each time and the machine stood still each time: then nothing can be said, and
/// that is printed. Each attempt says for how long the machine stood still while it counted.
///
/// `good` should excuse nothing but what a machine that stands still does. The caller judges the result
/// once more, with its own words.
pub fn judged<T>(
    mut attempt: impl FnMut() -> (T, Duration),
    good: impl Fn(&T) -> bool,
) -> Option<T> {
    for count in 1..=ATTEMPTS {
        let (result, stall) = attempt();
        if good(&result) || stall <= MAX_HARMLESS_STALL {
            return Some(result);
        }
        println!("not judged, {count} of {ATTEMPTS}: this machine stood still for {stall:?}");
    }
    None
}

/// The same, of attempts whose result knows the `stall`.
pub fn judged_by<T>(
    mut attempt: impl FnMut() -> T,
    stall: impl Fn(&T) -> Duration,
    good: impl Fn(&T) -> bool,
) -> Option<T> {
    let attempt = || {
        let result = attempt();
        let stall = stall(&result);
        (result, stall)
    };
    judged(attempt, good)
}

/// What `run` returns, and for how long the machine stood still meanwhile.
pub fn watched<T>(run: impl FnOnce() -> T) -> (T, Duration) {
    let stalls = StallWatch::start();
    let result = run();
    (result, stalls.longest())
}

/// How often each thread wants to wake.
const NAP: Duration = Duration::from_millis(2);

/// How often the others' waits are looked at. Short, so that a thread that waits a little each time it
/// wakes is not taken for one that stood still.
const LOOK_AT_WAITS: Duration = Duration::from_millis(10);

/// Threads for each processor, so that each has one that sleeps on it.
const THREADS_PER_CORE: usize = 2;

/// Watches until it is asked.
#[derive(Debug)]
pub struct StallWatch {
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Stalls>>,
}

/// The longest stall of each second since the start.
type Stalls = Vec<Duration>;

impl StallWatch {
    /// From now on.
    ///
    /// # Panics
    /// No thread could be started.
    pub fn start() -> Self {
        let is_over = Arc::<AtomicBool>::default();
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let mut threads: Vec<_> = (0..cores * THREADS_PER_CORE)
            .map(|_| {
                let is_over = Arc::clone(&is_over);
                thread::spawn(move || naps_by_second(&is_over))
            })
            .collect();
        threads.push(thread::spawn({
            let is_over = Arc::clone(&is_over);
            move || waits_by_second(&is_over)
        }));
        Self { is_over, threads }
    }

    /// The longest time by which a thread was late, or waited, since the start.
    ///
    /// # Panics
    /// A thread panicked.
    pub fn longest(self) -> Duration {
        self.by_second().into_iter().max().unwrap_or_default()
    }

    /// The longest time by which a thread was late in each second since the start. What went on over
    /// several seconds is in each of them, as long as it was.
    ///
    /// # Panics
    /// A thread panicked.
    pub fn by_second(mut self) -> Vec<Duration> {
        self.is_over.store(true, Ordering::Relaxed);
        let mut longest = Stalls::new();
        for thread in self.threads.drain(..) {
            let stalls = thread.join().expect("it only sleeps");
            longest.resize(longest.len().max(stalls.len()), Duration::ZERO);
            for (longest, stall) in longest.iter_mut().zip(stalls) {
                *longest = stall.max(*longest);
            }
        }
        longest
    }
}

impl Drop for StallWatch {
    fn drop(&mut self) {
        // Also where nobody asks any more.
        self.is_over.store(true, Ordering::Relaxed);
    }
}

fn naps_by_second(is_over: &AtomicBool) -> Stalls {
    let began = Instant::now();
    let mut stalls = Stalls::new();
    while !is_over.load(Ordering::Relaxed) {
        let asleep = began.elapsed();
        thread::sleep(NAP);
        let awake = began.elapsed();
        let stall = (awake - asleep).saturating_sub(NAP);
        add(&mut stalls, stall, awake);
    }
    stalls
}

fn waits_by_second(is_over: &AtomicBool) -> Stalls {
    let began = Instant::now();
    let mut stalls = Stalls::new();
    let mut delays = RunDelays::start();
    while !is_over.load(Ordering::Relaxed) {
        thread::sleep(LOOK_AT_WAITS);
        add(&mut stalls, delays.longest(), began.elapsed());
    }
    stalls
}

/// One stall that has just ended, in each second that it touched.
fn add(stalls: &mut Stalls, stall: Duration, end: Duration) {
    let [first, last] = [end.saturating_sub(stall), end].map(|at| at.as_secs() as usize);
    stalls.resize(last + 1, Duration::ZERO);
    for longest in &mut stalls[first..] {
        *longest = stall.max(*longest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALL: Duration = Duration::from_millis(30);

    #[test]
    fn a_stall_is_in_each_second_that_it_touched() {
        let mut stalls = Stalls::new();
        let at = Duration::from_millis;
        add(&mut stalls, at(30), at(132));
        add(&mut stalls, at(0), at(202));
        add(&mut stalls, at(1_200), at(3_102));
        let late = [30, 1_200, 1_200, 1_200].map(at);
        assert_eq!(stalls, late);
    }

    /// What is returned where the attempts are so good and see such stalls, and how many there were.
    fn returned(attempts: &[(bool, Duration)]) -> (Option<bool>, usize) {
        let mut left = attempts.iter();
        let result = judged(|| *left.next().expect("no more"), |is_good| *is_good);
        (result, attempts.len() - left.len())
    }

    #[test]
    fn what_is_good_is_taken_on_any_machine() {
        assert_eq!(returned(&[(true, STALL)]), (Some(true), 1));
        let again = [(false, STALL), (true, STALL)];
        assert_eq!(returned(&again), (Some(true), 2));
    }

    #[test]
    fn what_is_bad_on_a_machine_that_ran_is_never_tried_again() {
        assert_eq!(returned(&[(false, MAX_HARMLESS_STALL)]), (Some(false), 1));
        let again = [(false, STALL), (false, Duration::ZERO)];
        assert_eq!(returned(&again), (Some(false), 2));
    }

    #[test]
    fn what_is_bad_where_the_machine_always_stood_still_says_nothing() {
        assert_eq!(returned(&[(false, STALL); 3]), (None, 3));
    }
}
