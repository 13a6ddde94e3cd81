//! How long threads of this process and of its children wait for a processor, as Linux accounts for it;
//! nothing on other systems.
//!
//! A thread that only wakes is preferred by the scheduler to one that works a little each time, as those
//! of sound do: on a busy machine the former may be in time where the latter are not.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
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
}

/// Since the thread began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Account {
    ran: Duration,
    waited: Duration,
}

impl RunDelays {
    pub(crate) fn start() -> Self {
        let now = Instant::now();
        let mut delays = Self {
            threads: HashMap::new(),
            looked: now,
            looked_for_threads: now,
        };
        delays.look_for_threads();
        delays
    }

    /// The longest wait since the last look, of the threads that wanted less than half a processor:
    /// who wants all of it waits on any machine.
    pub(crate) fn longest(&mut self) -> Duration {
        let now = Instant::now();
        let elapsed = now - self.looked;
        self.looked = now;
        let mut longest = Duration::ZERO;
        self.threads.retain(|schedstat, before| {
            let Some(after) = account(schedstat) else {
                return false;
            };
            longest = longest.max(wait(*before, after, elapsed));
            *before = after;
            true
        });
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

/// What a thread waited between two accounts, where it wanted less than half of the time between them.
fn wait(before: Account, after: Account, elapsed: Duration) -> Duration {
    let ran = after.ran.saturating_sub(before.ran);
    if ran * 2 < elapsed {
        after.waited.saturating_sub(before.waited)
    } else {
        Duration::ZERO
    }
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
    fn a_thread_that_wants_little_and_waits_long_stood_still_and_one_that_works_did_not() {
        let at = |ran, waited| Account {
            ran: Duration::from_millis(ran),
            waited: Duration::from_millis(waited),
        };
        let wait = |before, after| wait(before, after, Duration::from_millis(10)).as_millis();
        assert_eq!(wait(at(5, 3), at(6, 33)), 30);
        assert_eq!(wait(at(5, 3), at(6, 3)), 0);
        assert_eq!(wait(at(5, 3), at(11, 33)), 0);
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
