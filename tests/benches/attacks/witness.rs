//! A call that does nothing but talk, at the pace of time, and notes when each answer comes.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::mpsc::{Receiver, Sender, channel},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use proto::callcenter::{AudioChunk, call_center_client::CallCenterClient};
use tests::{analysis::percentile, cpu::thread_wait_seconds};
use tokio::{
    runtime,
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};
use tokio_stream::wrappers::UnboundedReceiverStream;

/// Of one chunk.
const PACE: Duration = Duration::from_millis(10);

/// What the witness saw.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
    /// What ended the call, or chunks without an answer; `0` if all is well.
    pub(crate) lost: String,
    /// How long it waited for a processor itself.
    pub(crate) wait_seconds: f64,
}

/// The call, on a thread of its own.
pub(crate) struct Witness {
    orders: Sender<()>,
    thread: JoinHandle<Seen>,
}

impl Witness {
    pub(crate) fn start(addr: SocketAddr) -> Self {
        let (orders, begin) = channel();
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("the system has descriptors");
        let thread = thread::spawn(move || runtime.block_on(call(addr, begin)));
        Self { orders, thread }
    }

    /// What was before does not count.
    pub(crate) fn begin(&self) {
        let _ = self.orders.send(());
    }

    pub(crate) fn end(self) -> Seen {
        drop(self.orders);
        self.thread.join().expect("it does not panic")
    }
}

async fn call(addr: SocketAddr, orders: Receiver<()>) -> Seen {
    let mut client = CallCenterClient::connect(format!("http://{addr}"))
        .await
        .expect("the server is there");
    let (requests, stream) = mpsc::unbounded_channel();
    let answers = client.live_call(UnboundedReceiverStream::new(stream)).await;
    let mut answers = answers.expect("accepted").into_inner();
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut said = VecDeque::new();
    let mut times = Vec::new();
    let mut waited = thread_wait_seconds();
    let mut fault = None;
    while fault.is_none() {
        tokio::select! {
            _ = pace.tick() => {
                match orders.try_recv() {
                    Ok(()) => {
                        times.clear();
                        waited = thread_wait_seconds();
                    }
                    Err(std::sync::mpsc::TryRecvError::Empty) => {}
                    Err(std::sync::mpsc::TryRecvError::Disconnected) => break,
                }
                said.push_back(Instant::now());
                let _ = requests.send(chunk());
            }
            answer = answers.message() => match answer {
                Ok(Some(_)) => {
                    let at: Instant = said.pop_front().expect("an answer for each chunk");
                    times.push(at.elapsed().as_secs_f64() * 1e3);
                }
                Ok(None) => fault = Some("ended".to_owned()),
                Err(status) => fault = Some(format!("{:?}: {}", status.code(), status.message())),
            },
        }
    }
    let overdue = said.iter().filter(|at| at.elapsed() > PACE);
    // What has no answer yet has waited at least so long.
    times.extend(overdue.clone().map(|at| at.elapsed().as_secs_f64() * 1e3));
    Seen {
        p50_ms: percentile(&times, 50.0),
        p99_ms: percentile(&times, 99.0),
        max_ms: percentile(&times, 100.0),
        lost: fault.unwrap_or_else(|| overdue.count().to_string()),
        wait_seconds: thread_wait_seconds() - waited,
    }
}

/// 10 ms at 8 kHz.
fn chunk() -> AudioChunk {
    AudioChunk {
        audio_data: vec![1; 160].into(),
        sample_rate: 8_000,
        channels: 1,
        codec: "pcm".to_owned(),
        ..AudioChunk::default()
    }
}
