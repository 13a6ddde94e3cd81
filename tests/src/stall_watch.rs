//! Whether this machine stood still meanwhile, asked of threads that want to wake all the time.
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

/// How often each thread wants to wake.
const NAP: Duration = Duration::from_millis(2);

/// Threads for each processor, so that each has one that sleeps on it.
const THREADS_PER_CORE: usize = 2;

/// Watches until it is asked.
#[derive(Debug)]
pub struct StallWatch {
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Duration>>,
}

impl StallWatch {
    /// From now on.
    ///
    /// # Panics
    /// No thread could be started.
    pub fn start() -> Self {
        let is_over = Arc::<AtomicBool>::default();
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let threads = (0..cores * THREADS_PER_CORE)
            .map(|_| {
                let is_over = Arc::clone(&is_over);
                thread::spawn(move || longest_stall(&is_over))
            })
            .collect();
        Self { is_over, threads }
    }

    /// The longest time by which a thread was late since the start.
    ///
    /// # Panics
    /// A thread panicked.
    pub fn longest(mut self) -> Duration {
        self.is_over.store(true, Ordering::Relaxed);
        let late = self.threads.drain(..).map(JoinHandle::join);
        late.map(|late| late.expect("it only sleeps"))
            .max()
            .unwrap_or_default()
    }
}

impl Drop for StallWatch {
    fn drop(&mut self) {
        // Also where nobody asks any more.
        self.is_over.store(true, Ordering::Relaxed);
    }
}

fn longest_stall(is_over: &AtomicBool) -> Duration {
    let mut longest = Duration::ZERO;
    while !is_over.load(Ordering::Relaxed) {
        let asleep = Instant::now();
        thread::sleep(NAP);
        longest = longest.max(asleep.elapsed().saturating_sub(NAP));
    }
    longest
}
