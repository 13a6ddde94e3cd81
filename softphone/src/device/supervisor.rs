//! Keeps a stream alive: one thread per device looks at it twenty times a second, gives it up when
//! it failed or fell silent, and opens it again until it is back. The engine learns of a new stream
//! by an empty-handed look into a channel; nobody ever waits for anybody.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use super::callback::{Health, decode, encode};
use super::deadline::{Outstanding, aside};
use super::watch::{Seen, Step, Watch};
use super::{DeviceError, DeviceState, DeviceStats, Direction};

/// How long a device may take to open. Local audio servers need some 50 ms.
pub(super) const OPEN_DEADLINE: Duration = Duration::from_secs(5);
/// How often the supervisor looks: short, because a failing ALSA stream burns a core meanwhile.
const LOOK: Duration = Duration::from_millis(50);
/// Attempts that may hang at a time. An audio server that is frozen for an hour costs this many
/// threads, not one per attempt.
const MAX_HANGING: usize = 4;

/// What a stream is: known before it runs, and the same until it ends.
#[derive(Debug, Clone)]
pub(super) struct Stream {
    pub(super) name: String,
    pub(super) host: String,
    pub(super) rate_hz: u32,
    /// Channels of ours: 1 or 2.
    pub(super) channels: u16,
    pub(super) health: Arc<Health>,
}

#[cfg(test)]
impl Stream {
    pub(super) fn for_test(rate_hz: u32, channels: u16) -> Self {
        Self {
            name: "test".to_owned(),
            host: "test".to_owned(),
            rate_hz,
            channels,
            health: Health::new(),
        }
    }
}

/// The engine's half of a stream.
pub(super) trait Endpoint: Send + 'static {
    fn stream(&self) -> &Stream;
    /// Adds the ring's counters and sets the ring's state.
    fn fill_stats(&self, stats: &mut DeviceStats);
}

/// A stream that plays, and the engine's half of it. Dropping `stream` ends it, and may hang.
pub(super) struct Opened<R> {
    pub(super) stream: cpal::Stream,
    pub(super) ring: R,
}

/// The engine's end of a device that is opened again whenever it is lost.
pub(super) struct Supervised<R: Endpoint> {
    pub(super) current: R,
    next_rx: mpsc::Receiver<R>,
    shared: Arc<Shared>,
    supervisor: Thread,
    /// Counters of the streams before the current one.
    before: DeviceStats,
}

#[derive(Debug, Default)]
struct Shared {
    closed: AtomicBool,
    rebuilds: AtomicU64,
    /// 0: running; else the reason, encoded.
    rebuilding: AtomicU8,
}

/// Starts the supervisor of a device that was just opened. `open` is run, on threads that may be
/// abandoned, whenever it must be opened again.
///
/// # Errors
/// When the operating system gives no thread.
pub(super) fn supervise<R: Endpoint>(
    direction: Direction,
    opened: Opened<R>,
    open: impl Fn() -> Result<Opened<R>, DeviceError> + Send + Sync + 'static,
) -> io::Result<Supervised<R>> {
    let (next_tx, next_rx) = mpsc::channel();
    let shared = Arc::new(Shared::default());
    let health = Arc::clone(&opened.ring.stream().health);
    let stream = opened.stream;
    let mut supervisor = Supervisor {
        direction,
        name: opened.ring.stream().name.clone(),
        shared: Arc::clone(&shared),
        open: Arc::new(open),
        hanging: Outstanding::default(),
        next_tx,
        health,
    };
    let thread = thread::Builder::new()
        .name(format!("{}-watch", direction.noun()))
        .spawn(move || supervisor.run(stream))?;
    Ok(Supervised {
        current: opened.ring,
        next_rx,
        shared,
        supervisor: thread.thread().clone(),
        before: DeviceStats::default(),
    })
}

impl<R: Endpoint> Supervised<R> {
    /// Changes over to a new stream if there is one. Never blocks.
    pub(super) fn take_over(&mut self) {
        while let Ok(next) = self.next_rx.try_recv() {
            let old = std::mem::replace(&mut self.current, next);
            add_counters(&mut self.before, &old);
        }
    }

    pub(super) fn stats(&self) -> DeviceStats {
        let mut stats = self.before.clone();
        add_counters(&mut stats, &self.current);
        let stream = self.current.stream();
        stats.name.clone_from(&stream.name);
        stats.host.clone_from(&stream.host);
        stats.rebuilds = self.shared.rebuilds.load(Ordering::Relaxed);
        stats.state = match decode(self.shared.rebuilding.load(Ordering::Relaxed)) {
            None => DeviceState::Running,
            Some(why) => DeviceState::Rebuilding { why },
        };
        stats
    }
}

fn add_counters<R: Endpoint>(stats: &mut DeviceStats, ring: &R) {
    let health = &ring.stream().health;
    stats.callbacks += health.callbacks();
    stats.xruns += health.xruns();
    stats.backend_errors += health.backend_errors();
    stats.route_changes += health.route_changes();
    ring.fill_stats(stats);
}

impl<R: Endpoint> Drop for Supervised<R> {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Relaxed);
        self.supervisor.unpark();
    }
}

/// What the supervisor's thread owns, but for the stream.
struct Supervisor<R, F> {
    direction: Direction,
    name: String,
    shared: Arc<Shared>,
    open: Arc<F>,
    hanging: Outstanding,
    next_tx: mpsc::Sender<R>,
    health: Arc<Health>,
}

impl<R, F> Supervisor<R, F>
where
    R: Endpoint,
    F: Fn() -> Result<Opened<R>, DeviceError> + Send + Sync + 'static,
{
    fn run(&mut self, stream: cpal::Stream) {
        let start = Instant::now();
        let mut watch = Watch::new(Duration::ZERO);
        let mut stream = Some(stream);
        while !self.shared.closed.load(Ordering::Relaxed) {
            let seen = Seen {
                callbacks: self.health.callbacks(),
                backend_errors: self.health.backend_errors(),
                fault: self.health.fault(),
            };
            match watch.step(start.elapsed(), seen) {
                Step::Keep => thread::park_timeout(LOOK),
                Step::GiveUp(why) => {
                    self.shared
                        .rebuilding
                        .store(encode(Some(why)), Ordering::Relaxed);
                    tracing::warn!(
                        "the {} \"{}\" was lost: {why}; opening it again",
                        self.direction.noun(),
                        self.name
                    );
                    self.drop_aside(stream.take());
                }
                Step::Open => match self.reopen() {
                    Some(opened) => {
                        stream = Some(opened);
                        watch.opened(start.elapsed());
                    }
                    None => watch.failed(start.elapsed()),
                },
            }
        }
        self.drop_aside(stream);
    }

    /// Opens the device and hands its ring to the engine.
    fn reopen(&mut self) -> Option<cpal::Stream> {
        if self.hanging.count() >= MAX_HANGING {
            return None;
        }
        let open = Arc::clone(&self.open);
        let attempt = aside("audio-open", &self.hanging, move || open()).ok()?;
        let opened = match attempt.wait(OPEN_DEADLINE) {
            Some(Ok(opened)) => opened,
            Some(Err(error)) => {
                tracing::debug!("{error}");
                return None;
            }
            None => {
                tracing::debug!("the {} does not answer", self.direction.noun());
                return None;
            }
        };
        let stream = opened.ring.stream();
        self.health = Arc::clone(&stream.health);
        self.name.clone_from(&stream.name);
        self.shared.rebuilds.fetch_add(1, Ordering::Relaxed);
        self.shared
            .rebuilding
            .store(encode(None), Ordering::Relaxed);
        tracing::info!("the {} is back: \"{}\"", self.direction.noun(), self.name);
        // An engine that is gone has closed us: the loop sees it next.
        let _ = self.next_tx.send(opened.ring);
        Some(opened.stream)
    }

    fn drop_aside(&self, stream: Option<cpal::Stream>) {
        if let Some(stream) = stream {
            let _ = aside("audio-drop", &Outstanding::default(), move || drop(stream));
        }
    }
}
