//! How long threads of this process and of its children wait for a processor, as Linux accounts for it;
//! nothing on other systems.
//!
//! A thread that only wakes is preferred by the scheduler to one that works a little each time, as those
//! of sound do: on a machine that is busy with something else the former may be in time where the latter
//! are not. What they wait for one another is no fault of the machine, and is not counted.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// How often new threads are looked for.
const LOOK_FOR_THREADS: Duration = Duration::from_millis(100);

/// The threads, and what they were given and denied until the last look.
#[derive(Debug)]
pub(crate) struct RunDelays {
    /// By their schedstat.
    threads: HashMap<PathBuf, Account>,
    looked: Instant,
    looked_for_threads: Instant,
    cores: u32,
}

/// What a thread was given and denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Account {
    ran: Duration,
    waited: Duration,
}

impl Account {
    fn since(self, before: Self) -> Self {
        Self {
            ran: self.ran.saturating_sub(before.ran),
            waited: self.waited.saturating_sub(before.waited),
        }
    }
}

impl RunDelays {
    pub(crate) fn start() -> Self {
        let now = Instant::now();
        let mut delays = Self {
            threads: HashMap::new(),
            looked: now,
            looked_for_threads: now,
            cores: thread::available_parallelism()
                .map_or(1, |cores| cores.get().try_into().unwrap_or(u32::MAX)),
        };
        delays.look_for_threads();
        delays
    }

    /// The longest wait since the last look that somebody else caused.
    pub(crate) fn longest(&mut self) -> Duration {
        let now = Instant::now();
        let elapsed = now - self.looked;
        self.looked = now;
        let mut spent = Vec::new();
        self.threads.retain(|schedstat, before| {
            let Some(after) = account(schedstat) else {
                return false;
            };
            spent.push(after.since(*before));
            *before = after;
            true
        });
        let longest = longest_wait(&spent, elapsed, self.cores);
        if now - self.looked_for_threads >= LOOK_FOR_THREADS {
            self.look_for_threads();
            self.looked_for_threads = now;
        }
        longest
    }

    fn look_for_threads(&mut self) {
        let mut processes = vec![std::process::id()];
        while let Some(process) = processes.pop() {
            let tasks = fs::read_dir(format!("/proc/{process}/task"));
            for task in tasks.into_iter().flatten().flatten() {
                let task = task.path();
                let children = fs::read_to_string(task.join("children")).unwrap_or_default();
                processes.extend(children.split(' ').filter_map(|id| id.parse::<u32>().ok()));
                let schedstat = task.join("schedstat");
                if let Some(account) = account(&schedstat) {
                    self.threads.entry(schedstat).or_insert(account);
                }
            }
        }
    }
}

/// The longest wait of threads that had these parts of a time. Nothing where they together had half of
/// what `cores` processors can do: who wants so much waits on any machine, and has only itself to blame.
fn longest_wait(spent: &[Account], elapsed: Duration, cores: u32) -> Duration {
    let ran: Duration = spent.iter().map(|thread| thread.ran).sum();
    if ran * 2 >= elapsed * cores {
        return Duration::ZERO;
    }
    let waits = spent.iter().map(|thread| thread.waited);
    waits.max().unwrap_or_default()
}

/// `None` for a thread that has ended.
fn account(schedstat: &Path) -> Option<Account> {
    let text = fs::read_to_string(schedstat).ok()?;
    let mut nanoseconds = text.split(' ').map_while(|field| field.parse().ok());
    Some(Account {
        ran: Duration::from_nanos(nanoseconds.next()?),
        waited: Duration::from_nanos(nanoseconds.next()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_make_our_threads_wait_counts_and_what_they_make_each_other_wait_does_not() {
        let spent = |ran, waited| Account {
            ran: Duration::from_millis(ran),
            waited: Duration::from_millis(waited),
        };
        let wait = |spent: &[Account]| {
            let elapsed = Duration::from_millis(10);
            longest_wait(spent, elapsed, 2).as_millis()
        };
        assert_eq!(wait(&[spent(1, 0), spent(2, 30)]), 30);
        assert_eq!(wait(&[spent(1, 0), spent(2, 0)]), 0);
        // Three of ours that want all there is, and get two thirds or, beside others, a third of it.
        assert_eq!(wait(&[spent(6, 4), spent(7, 3), spent(1, 9)]), 0);
        assert_eq!(wait(&[spent(4, 9), spent(3, 9), spent(3, 9)]), 0);
        assert_eq!(wait(&[]), 0);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_threads_of_a_child_are_among_those_that_are_asked() {
        let mut delays = RunDelays::start();
        let mut child = std::process::Command::new("sleep").arg("60").spawn();
        let child = child.as_mut().expect("there is a program that sleeps");
        delays.look_for_threads();
        let task = PathBuf::from(format!("/proc/{0}/task/{0}/schedstat", child.id()));
        assert!(delays.threads.contains_key(&task));
        child
            .kill()
            .and_then(|()| child.wait())
            .expect("it is ours");
        let _ = delays.longest();
        assert!(!delays.threads.contains_key(&task));
    }
}
