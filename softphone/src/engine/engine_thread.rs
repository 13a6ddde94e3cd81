//! Runs an engine in real time, on a thread of its own.
//!
//! The thread sleeps between two looks at its devices; it never waits for the network.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI32, Ordering},
        mpsc::{Receiver, TryRecvError, channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use tokio::sync::watch;

use super::{
    Engine, EngineStatus, Search, echo_control::decision::EchoPath, playout_path::Downlink,
    priority::ask_for_real_time, uplink::Uplink,
};
use crate::clock::Clock;

/// How often the figures for the screen are renewed.
const PUBLISH: Duration = Duration::from_millis(100);

/// The volume goes in such steps, between these. The most is what a quiet caller needs.
const VOLUME_STEP_DB: i32 = 2;
const MIN_VOLUME_DB: i32 = -40;
/// The most, in dB.
pub const MAX_VOLUME_DB: i32 = 12;

/// What the rest of the program tells the engine thread.
#[derive(Debug, Default)]
pub struct EngineControl {
    muted: AtomicBool,
    on_hold: AtomicBool,
    volume_db: AtomicI32,
    stop: AtomicBool,
}

impl EngineControl {
    /// Whether nothing is to be said, muted or not.
    pub fn is_on_hold(&self) -> bool {
        self.on_hold.load(Ordering::Relaxed)
    }

    /// From now on nothing is said, or again what the microphone takes unless it is muted.
    pub fn set_on_hold(&self, on_hold: bool) {
        self.on_hold.store(on_hold, Ordering::Relaxed);
    }

    /// Whether the microphone is muted.
    pub fn is_muted(&self) -> bool {
        self.muted.load(Ordering::Relaxed)
    }

    /// Mutes or unmutes the microphone.
    pub fn set_muted(&self, muted: bool) {
        self.muted.store(muted, Ordering::Relaxed);
    }

    /// Plays the far end louder or more quietly by so many steps, within what hurts nobody.
    pub fn change_volume(&self, steps: i32) {
        let change = |db: i32| {
            let db = db + steps * VOLUME_STEP_DB;
            Some(db.clamp(MIN_VOLUME_DB, MAX_VOLUME_DB))
        };
        // It never refuses.
        let _ = self
            .volume_db
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, change);
    }

    /// Ends the thread, without waiting for what is buffered.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// A running engine.
pub struct EngineThread {
    control: Arc<EngineControl>,
    status: watch::Receiver<EngineStatus>,
    thread: Option<JoinHandle<()>>,
}

impl EngineThread {
    /// Starts `engine` on a thread of its own. It ends when it is told to, or when the far end has
    /// said all and all was played.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(
        engine: Engine,
        clock: Clock,
        uplink: Arc<Uplink>,
        downlink: Receiver<Downlink>,
    ) -> std::io::Result<Self> {
        let control = Arc::new(EngineControl::default());
        let (status_tx, status) = watch::channel(EngineStatus::default());
        let thread_control = Arc::clone(&control);
        let thread = std::thread::Builder::new()
            .name("engine".to_owned())
            .spawn(move || {
                let running = AssertUnwindSafe(|| {
                    run(
                        engine,
                        clock,
                        &uplink,
                        &downlink,
                        &thread_control,
                        &status_tx,
                    );
                });
                if catch_unwind(running).is_err() {
                    status_tx.send_modify(|status| {
                        let failure = "a fault of this program ended its sound; please report it";
                        status.failure = Some(failure.to_owned());
                    });
                }
            })?;
        Ok(Self {
            control,
            status,
            thread: Some(thread),
        })
    }

    /// The way to tell it something.
    pub fn control(&self) -> Arc<EngineControl> {
        Arc::clone(&self.control)
    }

    /// The newest figures. The sender is gone once the thread has ended.
    pub fn status(&self) -> watch::Receiver<EngineStatus> {
        self.status.clone()
    }
}

impl Drop for EngineThread {
    fn drop(&mut self) {
        self.control.stop();
        if let Some(thread) = self.thread.take() {
            // A panic was already printed; there is nobody left to tell.
            let _ = thread.join();
        }
    }
}

/// Searches on a thread of its own, which nobody waits for.
fn aside(search: Search) -> Receiver<EchoPath> {
    let (found, receiver) = channel();
    // Where the system gives no thread, the sender is gone, and nothing was found.
    let _ = std::thread::Builder::new()
        .name("echo-search".to_owned())
        .spawn(move || {
            // The call may have ended meanwhile.
            let _ = found.send(search());
        });
    receiver
}

fn run(
    mut engine: Engine,
    clock: Clock,
    uplink: &Uplink,
    downlink: &Receiver<Downlink>,
    control: &EngineControl,
    status: &watch::Sender<EngineStatus>,
) {
    engine.set_priority(ask_for_real_time());
    let mut next_publish = Duration::ZERO;
    let mut failure = None;
    while failure.is_none() && !control.stop.load(Ordering::Relaxed) && !engine.is_finished() {
        let now = clock.now();
        let muted = control.is_muted();
        engine.set_volume_db(control.volume_db.load(Ordering::Relaxed));
        loop {
            match downlink.try_recv() {
                Ok(received) => engine.receive(received, now),
                Err(TryRecvError::Empty) => break,
                // The session was given up before it could say so.
                Err(TryRecvError::Disconnected) => {
                    engine.receive(Downlink::Ended, now);
                    break;
                }
            }
        }
        let is_silent = muted || control.is_on_hold();
        let mut done = engine.tick(now, is_silent, |chunk| uplink.push(chunk));
        if now >= next_publish {
            next_publish = now + PUBLISH;
            done = done.and_then(|()| engine.follow_devices());
            status.send_replace(engine.status(muted));
        }
        engine.search_for_tone(aside);
        failure = done.err().map(|error| error.to_string());
        std::thread::sleep(engine.rest());
    }
    let mut last = engine.status(control.is_muted());
    last.failure = failure;
    status.send_replace(last);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        device::{DeviceStats, Microphone, Speaker},
        engine::{
            capture_path::CapturePath,
            echo_control::{EchoControl, EchoMemory},
            near_end_choice::{EchoChoice, NearEndChoice, Switch},
            playout_path::PlayoutPath,
        },
    };
    use audio::Format;

    struct Silence;

    impl Microphone for Silence {
        fn sample_rate_hz(&self) -> u32 {
            48_000
        }
        fn channels(&self) -> u16 {
            1
        }
        fn read(&mut self, _: Duration, _: &mut Vec<f32>) {}
        fn latency_us(&self) -> u32 {
            0
        }
        fn stats(&self) -> DeviceStats {
            DeviceStats::default()
        }
    }

    /// A speaker with a fault.
    struct Faulty;

    impl Speaker for Faulty {
        fn sample_rate_hz(&self) -> u32 {
            48_000
        }
        fn channels(&self) -> u16 {
            1
        }
        fn wanted(&mut self, _: Duration) -> usize {
            panic!("a fault for a test")
        }
        fn write(&mut self, _: &[f32]) {}
        fn latency_us(&self) -> u32 {
            0
        }
        fn stats(&self) -> DeviceStats {
            DeviceStats::default()
        }
    }

    #[tokio::test]
    async fn a_fault_of_the_engine_is_said_and_not_mistaken_for_silence() {
        let format = Format::OPUS_48K_MONO;
        let choice = NearEndChoice {
            echo: EchoChoice::Off,
            noise_suppression: Switch::Off,
            gain_control: Switch::Off,
        };
        let capture = CapturePath::new(Box::new(Silence), format, 480, 64_000).unwrap();
        let playout = PlayoutPath::new(Box::new(Faulty), format).unwrap();
        let echo = EchoControl::new(choice, true, false, EchoMemory::default()).unwrap();
        let clock = Clock::start();
        let (_downlink, received) = channel();
        let uplink = Arc::new(Uplink::new(clock));
        let engine = Engine::new(capture, playout, echo);
        let thread = EngineThread::start(engine, clock, uplink, received).unwrap();
        let mut status = thread.status();
        let ended = status.wait_for(|status| status.failure.is_some()).await;
        assert!(ended.is_ok());
    }
}
