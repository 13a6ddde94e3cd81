//! Keeps a stream alive, and on the right device: one thread per device looks at it twenty times a
//! second, gives it up when it failed or fell silent, opens it again until it is back, and moves it
//! when the default device moves or a pinned one comes and goes. The engine learns of a new stream
//! by an empty-handed look into a channel; nobody ever waits for anybody.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use super::deadline::{Outstanding, aside};
use super::order::Order;
use super::running_stream::{Endpoint, Opened, Playing, Stream};
use super::watch::{Seen, Step, Watch};
use crate::device::callback::{decode, encode};
use crate::device::notice::{DeviceChange, DeviceNotice};
use crate::device::selection::DefaultDeviceWatch;
use crate::device::selection::DeviceSelection;
use crate::device::selection::{DeviceRouting, Move};
use crate::device::{
    DeviceError, DeviceState, DeviceStats, Direction, Placement, RebuildReason, Worn,
};

/// How long a device may take to open. Local audio servers need some 50 ms.
pub(crate) const OPEN_DEADLINE: Duration = Duration::from_secs(5);
/// … and while the old stream still plays, which nobody watches meanwhile.
const MOVE_DEADLINE: Duration = Duration::from_secs(2);
/// How often the supervisor looks: short, because a failing ALSA stream burns a core meanwhile.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Attempts that may hang at a time. An audio server that is frozen for an hour costs this many
/// threads, not one per attempt.
const MAX_HANGING: usize = 4;

/// The engine's end of a device that is opened again whenever it is lost.
pub(crate) struct Supervised<R: Endpoint> {
    pub(crate) current: R,
    next_rx: mpsc::Receiver<R>,
    notice_rx: mpsc::Receiver<DeviceNotice>,
    shared: Arc<Shared>,
    supervisor: Thread,
    /// Counters of the streams before the current one.
    before: DeviceStats,
}

#[derive(Debug, Default)]
struct Shared {
    /// Replaced as a whole: the engine reads it without waiting.
    worn: ArcSwap<Worn>,
    closed: AtomicBool,
    rebuilds: AtomicU64,
    moves: AtomicU64,
    /// 0: running; else the reason, encoded.
    rebuilding: AtomicU8,
}

impl Shared {
    fn set_worn(&self, worn: &Worn) {
        if **self.worn.load() != *worn {
            self.worn.store(Arc::new(worn.clone()));
        }
    }
}

/// Starts the supervisor of a device that was just opened. `open` is run, on threads that may be
/// abandoned, whenever it must be opened again.
///
/// # Errors
/// When the operating system gives no thread.
pub(crate) fn supervise<R: Endpoint>(
    direction: Direction,
    selection: DeviceSelection,
    opened: Opened<R>,
    open: fn(&Order) -> Result<Opened<R>, DeviceError>,
) -> io::Result<Supervised<R>> {
    let (next_tx, next_rx) = mpsc::channel();
    let (notice_tx, notice_rx) = mpsc::channel();
    let shared = Arc::new(Shared::default());
    let first = opened.ring.stream().clone();
    shared.set_worn(&first.worn);
    let stream = opened.stream;
    let mut supervisor = Supervisor {
        direction,
        selection,
        shared: Arc::clone(&shared),
        open,
        hanging: Outstanding::default(),
        next_tx,
        notice_tx,
        routing: DeviceRouting::new(first.placement, &first.pin.id),
        default_watch: DefaultDeviceWatch::new(direction),
        on: first,
        route_changes: 0,
        tries: 0,
    };
    let thread = thread::Builder::new()
        .name(format!("{}-watch", direction.noun()))
        .spawn(move || supervisor.run(stream))?;
    Ok(Supervised {
        current: opened.ring,
        next_rx,
        notice_rx,
        shared,
        supervisor: thread.thread().clone(),
        before: DeviceStats::default(),
    })
}

impl<R: Endpoint> Supervised<R> {
    /// Changes over to a new stream if there is one, and says whether it did. Never blocks.
    pub(crate) fn take_over(&mut self) -> bool {
        let mut changed = false;
        while let Ok(next) = self.next_rx.try_recv() {
            let old = std::mem::replace(&mut self.current, next);
            add_counters(&mut self.before, &old);
            changed = true;
        }
        changed
    }

    /// The next thing to tell people. Never blocks.
    pub(crate) fn notice(&mut self) -> Option<DeviceNotice> {
        self.notice_rx.try_recv().ok()
    }

    pub(crate) fn stats(&self) -> DeviceStats {
        let mut stats = self.before.clone();
        add_counters(&mut stats, &self.current);
        let stream = self.current.stream();
        stats.name.clone_from(&stream.name);
        stats.host.clone_from(&stream.host);
        stats.placement = stream.placement;
        stats.rebuilds = self.shared.rebuilds.load(Ordering::Relaxed);
        stats.moves = self.shared.moves.load(Ordering::Relaxed);
        stats.worn = Worn::clone(&self.shared.worn.load());
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
    stats.callback_busy_ns += health.busy_ns();
    stats.callback_worst_ns = stats.callback_worst_ns.max(health.worst_ns());
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
struct Supervisor<R: Endpoint> {
    direction: Direction,
    selection: DeviceSelection,
    shared: Arc<Shared>,
    open: fn(&Order) -> Result<Opened<R>, DeviceError>,
    hanging: Outstanding,
    next_tx: mpsc::Sender<R>,
    notice_tx: mpsc::Sender<DeviceNotice>,
    routing: DeviceRouting,
    default_watch: DefaultDeviceWatch,
    /// What the current stream is on, or the last one was.
    on: Stream,
    /// Those of the current stream that were acted upon.
    route_changes: u64,
    /// Attempts to open since the stream was lost.
    tries: u32,
}

impl<R: Endpoint> Supervisor<R> {
    fn run(&mut self, stream: Playing) {
        let start = Instant::now();
        let mut watch = Watch::new(Duration::ZERO);
        let mut stream = Some(stream);
        while !self.shared.closed.load(Ordering::Relaxed) {
            let seen = Seen {
                callbacks: self.on.health.callbacks(),
                backend_errors: self.on.health.backend_errors(),
                fault: self.on.health.fault(),
            };
            match watch.step(start.elapsed(), seen) {
                Step::Keep => {
                    if stream.is_some()
                        && let Some(next) = self.move_if_due(start.elapsed())
                    {
                        self.drop_aside(stream.replace(next));
                        watch.opened(start.elapsed());
                    }
                    thread::park_timeout(POLL_INTERVAL);
                }
                Step::GiveUp(why) => {
                    self.lost(why);
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

    fn lost(&mut self, why: RebuildReason) {
        let code = encode(Some(why));
        self.shared.rebuilding.store(code, Ordering::Relaxed);
        self.tries = 0;
        let name = self.on.name.clone();
        self.tell(DeviceChange::Lost { name, why });
    }

    /// Opens the device again, or the default in its place: a call goes on without its headset.
    fn reopen(&mut self) -> Option<Playing> {
        self.tries = self.tries.saturating_add(1);
        let opened = self
            .attempt(self.selection.order(self.selection.wanted()), OPEN_DEADLINE)
            .or_else(
                |error| match self.selection.instead(self.tries, error.as_ref()) {
                    Some(order) => self.attempt(order, OPEN_DEADLINE),
                    None => Err(error),
                },
            );
        let opened = opened.ok()?;
        self.shared.rebuilds.fetch_add(1, Ordering::Relaxed);
        let code = encode(None);
        self.shared.rebuilding.store(code, Ordering::Relaxed);
        Some(self.take(opened, true))
    }

    /// Opens another device while the stream still plays, if it is time for that.
    fn move_if_due(&mut self, now: Duration) -> Option<Playing> {
        let route_changes = self.on.health.route_changes();
        if route_changes != self.route_changes {
            self.route_changes = route_changes;
            self.routing.rerouted();
        }
        let seen = self
            .default_watch
            .look(now, || self.selection.question(&self.on.pin.id))?;
        if let Some(worn) = &seen.worn {
            self.shared.set_worn(worn);
        }
        let device = match self.routing.see(now, &seen)? {
            Move::Default | Move::Fallback => self.selection.default(),
            Move::Pinned => self.selection.wanted(),
        };
        let order = self.selection.order(device);
        let opened = self.attempt(order, MOVE_DEADLINE).ok()?;
        self.shared.moves.fetch_add(1, Ordering::Relaxed);
        Some(self.take(opened, false))
    }

    /// `Err(None)`: no answer, or too many that are still awaited.
    fn attempt(&self, order: Order, deadline: Duration) -> Result<Opened<R>, Option<DeviceError>> {
        if self.hanging.count() >= MAX_HANGING {
            return Err(None);
        }
        let open = self.open;
        let attempt = aside("audio-open", &self.hanging, move || open(&order)).map_err(|_| None)?;
        match attempt.wait(deadline) {
            Some(Ok(opened)) => Ok(opened),
            Some(Err(error)) => {
                tracing::debug!("{error}");
                Err(Some(error))
            }
            None => {
                tracing::debug!("the {} does not answer", self.direction.noun());
                Err(None)
            }
        }
    }

    /// Hands the ring of a new stream to the engine, and says what is used now.
    fn take(&mut self, opened: Opened<R>, was_lost: bool) -> Playing {
        let next = opened.ring.stream().clone();
        let before = std::mem::replace(&mut self.on, next);
        self.route_changes = 0;
        self.shared.set_worn(&self.on.worn);
        self.routing.opened(self.on.placement, &self.on.pin.id);
        self.default_watch.forget();
        // An engine that is gone has closed us: the loop sees it next.
        let _ = self.next_tx.send(opened.ring);
        self.tell_of_change(&before, was_lost);
        opened.stream
    }

    fn tell_of_change(&self, before: &Stream, was_lost: bool) {
        let elsewhere = before.pin.id != self.on.pin.id || before.host != self.on.host;
        let name = self.on.name.clone();
        let change = match (self.on.placement, self.selection.pinned()) {
            (Placement::Fallback, Some(pinned)) if before.placement == Placement::Pinned => {
                let pinned = pinned.to_owned();
                DeviceChange::Fallback { pinned, name }
            }
            (Placement::Pinned, _) if before.placement == Placement::Fallback => {
                DeviceChange::Back { name }
            }
            (Placement::Default | Placement::Fallback, _) if elsewhere => {
                DeviceChange::Moved { name }
            }
            _ if was_lost => DeviceChange::Back { name },
            // The same device once more: nothing that anybody would notice.
            _ => return,
        };
        self.tell(change);
    }

    fn tell(&self, change: DeviceChange) {
        let direction = self.direction;
        let notice = DeviceNotice { direction, change };
        tracing::info!("{notice}");
        let _ = self.notice_tx.send(notice);
    }

    fn drop_aside(&self, stream: Option<Playing>) {
        if let Some(stream) = stream {
            let _ = aside("audio-drop", &Outstanding::default(), move || drop(stream));
        }
    }
}
