//! Many subscribers at once, each a task of this process: what they receive, and how late.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use prost::Message as _;
use tests::subscriber::{Subscriber, connect};
use tokio::{task::JoinSet, time::sleep};

/// A crowd that has not begun to receive by then never will.
const LIMIT: Duration = Duration::from_secs(60);

/// How many subscribers, on how many connections, to how many symbols each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) subscribers: usize,
    pub(crate) connections: usize,
    pub(crate) symbols: usize,
}

/// Running subscribers.
pub(crate) struct Crowd {
    shared: Arc<Shared>,
    tasks: JoinSet<Vec<Received>>,
    shape: Shape,
}

/// What the subscribers and their owner tell each other.
#[derive(Default)]
struct Shared {
    settled: AtomicUsize,
    updates: AtomicU64,
    /// Of the measurement, from 1 on; in part 0 nothing is kept.
    part: AtomicUsize,
    over: AtomicBool,
}

/// What came in one part of the measurement.
#[derive(Debug, Default)]
pub(crate) struct Received {
    /// From the trade to the receiving task, in milliseconds.
    pub(crate) delays_ms: Vec<f64>,
    /// Trades left out.
    pub(crate) conflated: u64,
    /// Of the messages.
    pub(crate) bytes: u64,
}

impl Crowd {
    /// Connects all, and returns once each has had two updates of each of its symbols.
    pub(crate) async fn gather(uri: &str, shape: Shape) -> Self {
        let mut channels = Vec::new();
        for _ in 0..shape.connections {
            channels.push(connect(uri, None).await);
        }
        let shared = Arc::<Shared>::default();
        let mut tasks = JoinSet::new();
        for index in 0..shape.subscribers {
            let subscriber = Subscriber::on(&channels[index % channels.len()]).await;
            for symbol in 0..shape.symbols {
                subscriber.ask(&format!("SYM{symbol}"));
            }
            tasks.spawn(receive(subscriber, shape.symbols, Arc::clone(&shared)));
        }
        let crowd = Self {
            shared,
            tasks,
            shape,
        };
        crowd.settle().await;
        crowd
    }

    async fn settle(&self) {
        let started = Instant::now();
        while self.shared.settled.load(Ordering::Relaxed) < self.shape.subscribers {
            assert!(started.elapsed() < LIMIT, "few updates come, or none");
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// How many came until now.
    pub(crate) fn updates(&self) -> u64 {
        self.shared.updates.load(Ordering::Relaxed)
    }

    /// Begins a part of the measurement; in part 0 nothing is kept.
    pub(crate) fn begin(&self, part: usize) {
        self.shared.part.store(part, Ordering::Relaxed);
    }

    /// Ends all, and returns what came in the parts 1, 2 ... `parts`.
    pub(crate) async fn disperse(mut self, parts: usize) -> Vec<Received> {
        self.shared.over.store(true, Ordering::Relaxed);
        let mut all: Vec<_> = (0..parts).map(|_| Received::default()).collect();
        while let Some(one) = self.tasks.join_next().await {
            let one = one.expect("no subscriber fails");
            // Without its part 0.
            for (all, one) in all.iter_mut().zip(one.into_iter().skip(1)) {
                all.add(one);
            }
        }
        all
    }
}

impl Received {
    /// Adds what another one received.
    pub(crate) fn add(&mut self, mut other: Self) {
        self.delays_ms.append(&mut other.delays_ms);
        self.conflated += other.conflated;
        self.bytes += other.bytes;
    }
}

/// One subscriber's task: all that it received, by part.
async fn receive(mut subscriber: Subscriber, symbols: usize, shared: Arc<Shared>) -> Vec<Received> {
    let mut parts = vec![Received::default()];
    let mut until_settled = 2 * symbols;
    while !shared.over.load(Ordering::Relaxed) {
        let update = subscriber.update().await;
        shared.updates.fetch_add(1, Ordering::Relaxed);
        if until_settled > 0 {
            until_settled -= 1;
            shared
                .settled
                .fetch_add(usize::from(until_settled == 0), Ordering::Relaxed);
        }
        let part = shared.part.load(Ordering::Relaxed);
        if part == 0 || update.snapshot {
            continue;
        }
        if part >= parts.len() {
            parts.resize_with(part + 1, Received::default);
        }
        let received = &mut parts[part];
        received.delays_ms.push(delay_ms(update.trade_time_us));
        received.conflated += u64::from(update.conflated);
        received.bytes += update.encoded_len() as u64;
    }
    parts
}

/// How long ago that was, in milliseconds.
fn delay_ms(trade_time_us: i64) -> f64 {
    (now_us() - trade_time_us) as f64 / 1e3
}

/// Microseconds since 1970.
pub(crate) fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let since = since.expect("it is after 1970");
    i64::try_from(since.as_micros()).expect("some time is left")
}
