//! The time that goes by here: nobody sets it, and it goes on while the machine sleeps.

use std::time::Duration;

/// Started with the program.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    started: Source,
}

/// A moment on Linux's clock since the machine was booted; `Instant` stands still in its sleep there.
#[cfg(target_os = "linux")]
type Source = Duration;
#[cfg(not(target_os = "linux"))]
type Source = std::time::Instant;

impl Clock {
    /// From now on.
    pub(crate) fn start() -> Self {
        Self { started: moment() }
    }

    /// Time since then.
    pub(crate) fn now(self) -> Duration {
        #[cfg(target_os = "linux")]
        return moment().saturating_sub(self.started);
        #[cfg(not(target_os = "linux"))]
        return self.started.elapsed();
    }
}

#[cfg(target_os = "linux")]
fn moment() -> Source {
    use rustix::time::{ClockId, clock_gettime};
    let now = clock_gettime(ClockId::Boottime);
    Duration::try_from(now).unwrap_or_default()
}

#[cfg(not(target_os = "linux"))]
fn moment() -> Source {
    std::time::Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_begins_at_nothing_and_goes_on() {
        let clock = Clock::start();
        let first = clock.now();
        assert!(first < Duration::from_secs(3_600), "{first:?}");
        while clock.now() == first {}
    }
}
