//! Runs what may never return on a thread of its own.
//!
//! An audio server that accepts and never answers holds `open` for 20 s or for ever, a frozen one
//! holds `drop` for as long as it is frozen. Nothing of that may reach a thread we need: the work
//! runs aside, the caller waits up to a deadline and then forgets it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Work that was sent aside and may never come back.
#[derive(Debug)]
pub(crate) struct Aside<T> {
    result_rx: mpsc::Receiver<T>,
    started: Instant,
}

/// Counts the threads that are still out, so that a server that hangs for an hour does not cost a
/// thread per attempt.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outstanding(Arc<AtomicUsize>);

impl Outstanding {
    /// How many have not come back yet.
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn enter(&self) -> Guard {
        self.0.fetch_add(1, Ordering::Relaxed);
        Guard(self.clone())
    }
}

struct Guard(Outstanding);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Starts `work` on a thread called `name`. A result that nobody waits for any more is dropped on
/// that thread.
///
/// # Errors
/// When the operating system gives no thread.
pub(crate) fn aside<T: Send + 'static>(
    name: &str,
    outstanding: &Outstanding,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<Aside<T>> {
    let (result_tx, result_rx) = mpsc::sync_channel(1);
    let guard = outstanding.enter();
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            let _guard = guard;
            // The receiver may be gone: then the unclaimed result is dropped here, where it may hang.
            let _ = result_tx.send(work());
        })?;
    Ok(Aside {
        result_rx,
        started: Instant::now(),
    })
}

impl<T> Aside<T> {
    /// Waits until `deadline` after the start. `None`: not back, and abandoned.
    pub(crate) fn wait(self, deadline: Duration) -> Option<T> {
        let left = deadline.saturating_sub(self.started.elapsed());
        self.result_rx.recv_timeout(left).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_comes_back_and_the_thread_is_off_the_books() {
        let outstanding = Outstanding::default();
        let work = aside("t", &outstanding, || 7).unwrap();
        assert_eq!(work.wait(Duration::from_secs(60)), Some(7));
    }

    #[test]
    fn work_that_hangs_is_abandoned_and_its_late_result_dropped_aside() {
        struct TellWhere(mpsc::Sender<String>);
        impl Drop for TellWhere {
            fn drop(&mut self) {
                let name = thread::current().name().unwrap_or_default().to_owned();
                let _ = self.0.send(name);
            }
        }
        let outstanding = Outstanding::default();
        let (release_tx, release_rx) = mpsc::channel::<()>();
        let (dropped_tx, dropped_rx) = mpsc::channel();
        let work = aside("late", &outstanding, move || {
            let _ = release_rx.recv();
            TellWhere(dropped_tx)
        })
        .unwrap();
        assert!(work.wait(Duration::ZERO).is_none());
        assert_eq!(outstanding.count(), 1);
        release_tx.send(()).unwrap();
        assert_eq!(dropped_rx.recv().unwrap(), "late");
    }
}
