//! The engine: every stateful audio object of the softphone, on one thread of its own.
//!
//! [`Engine`] is pure (devices are passed in, so is `now`); [`EngineThread`] runs one in real time.
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

use audio::{frame::SAMPLE_RATE_HZ, jitter_buffer::JitterBufferStats, near_end::NearEndStats};
use tokio::sync::watch;

use crate::{
    call_stats::{CallStats, Heard},
    capture_path::{CapturePath, PathError},
    clock::Clock,
    device::{DeviceNotice, DeviceStats},
    echo_control::{
        EchoControl, EchoStatus, connect_tone, control::Learned, decision::EchoPath,
        memory::DevicePair,
    },
    playout_path::{Downlink, GarbageStats, PlayoutPath},
    priority::{EnginePriority, ask_for_real_time},
    recent_log::RecentLog,
    recording::{Batch, Recorder},
    uplink::{Outgoing, Uplink},
};

/// How long the thread sleeps while a device does not say when it will have something, or need it.
/// Otherwise it looks just then: what waits for a look is delay, and what waits now longer, now
/// shorter is delay once more, in the jitter buffer.
const LOOK: Duration = Duration::from_millis(2);

/// The bounds of what devices say. Each look costs some 10 µs.
const SHORTEST_REST: Duration = Duration::from_micros(200);
const LONGEST_REST: Duration = Duration::from_millis(10);

/// How often the figures for the screen are renewed.
const PUBLISH: Duration = Duration::from_millis(100);

/// The volume goes in such steps, between these. The most is what a quiet caller needs.
const VOLUME_STEP_DB: i32 = 2;
const MIN_VOLUME_DB: i32 = -40;
/// The most, in dB.
pub const MAX_VOLUME_DB: i32 = 12;

/// The engine's figures at one moment.
#[derive(Debug, Clone, Default)]
pub struct EngineStatus {
    /// Level of the microphone over the last tenth of a second: RMS and peak in dBFS.
    pub near_level: Option<audio::meter::Level>,
    /// Level of what was played, likewise.
    pub far_level: Option<audio::meter::Level>,
    /// Level of the microphone over the whole call, muted or not.
    pub near_overall_level: Option<audio::meter::Level>,
    /// Level of what was played over the whole call.
    pub far_overall_level: Option<audio::meter::Level>,
    /// Mouth-to-ear delay by stages, and the judgement that follows from it.
    pub call_stats: CallStats,
    /// Age of the newest sent chunk's first sample when it was made, in microseconds.
    pub sent_age_us: u32,
    /// The jitter buffer.
    pub jitter_buffer: JitterBufferStats,
    /// What the far end sent that was no sound.
    pub garbage: GarbageStats,
    /// By how much the speaker's clock is faster than the far end's, as far as learned, in parts per
    /// million.
    pub drift_ppm: f64,
    /// The near end's processing, where any is on.
    pub near_end: Option<NearEndStats>,
    /// Whether the echo canceller is on, and why.
    pub echo: EchoStatus,
    /// What the call found out about echoes.
    pub learned: RecentLog<Learned>,
    /// The microphone.
    pub microphone: DeviceStats,
    /// The speaker.
    pub speaker: DeviceStats,
    /// What people are told about both, since the call began.
    pub device_notices: RecentLog<DeviceNotice>,
    /// How the engine's thread is scheduled.
    pub priority: EnginePriority,
    /// Whether the near end is muted.
    pub muted: bool,
    /// Whether the microphone is still kept from the far end, until the echo is measured.
    pub withheld: bool,
    /// By how much what is played was made louder, in dB.
    pub volume_db: i32,
    /// Chunks that the encoder refused.
    pub encoder_failures: u64,
    /// Why the engine stopped, if it had to.
    pub failure: Option<String>,
}

/// A loss that may have been the connect tone. What is left of it after a shorter one is found.
const TORN_LIMIT: Duration = Duration::from_millis(50);

/// A search for the connect tone.
pub type Search = Box<dyn FnOnce() -> EchoPath + Send>;

/// Both halves.
pub struct Engine {
    capture: CapturePath,
    playout: PlayoutPath,
    echo: EchoControl,
    learned: RecentLog<Learned>,
    /// The search for the connect tone, while one runs.
    search: Option<Receiver<EchoPath>>,
    /// Samples that microphone and speaker had lost when the tone began.
    lost_before_tone: [u64; 2],
    volume_db: i32,
    device_notices: RecentLog<DeviceNotice>,
    priority: EnginePriority,
    recorder: Option<Recorder>,
}

impl Engine {
    /// An engine of these two halves, whose near end `echo` decides on.
    pub fn new(capture: CapturePath, playout: PlayoutPath, echo: EchoControl) -> Self {
        Self {
            capture,
            playout,
            volume_db: 0,
            device_notices: RecentLog::default(),
            priority: EnginePriority::default(),
            echo,
            learned: RecentLog::default(),
            search: None,
            lost_before_tone: [0; 2],
            recorder: None,
        }
    }

    /// The same, recorded.
    pub fn recorded_by(mut self, recorder: Option<Recorder>) -> Self {
        self.recorder = recorder;
        self
    }

    /// Looks which devices are in use now. Called now and then.
    ///
    /// # Errors
    /// A rate that cannot be resampled.
    pub fn follow_devices(&mut self) -> Result<(), PathError> {
        let speaker = self.playout.speaker().stats();
        let pair = DevicePair {
            microphone: self.capture.microphone().stats().name,
            speaker: speaker.name,
        };
        Ok(self.echo.follow_devices(&pair, &speaker.worn)?)
    }

    /// Takes what came from the far end.
    pub fn receive(&mut self, downlink: Downlink, now: Duration) {
        match downlink {
            Downlink::Lives => self.capture.line_is_up(),
            Downlink::Began => {
                self.capture.line_is_up();
                self.echo.answered();
            }
            Downlink::FarEnd { returns_own_voice } => {
                self.capture.far_end_knows_empty_chunks();
                self.echo.far_end_returns(returns_own_voice);
            }
            Downlink::Chunk(_) | Downlink::Ended => {}
        }
        self.playout.receive(downlink, now);
    }

    /// Plays everything louder or more quietly from now on.
    pub fn set_volume_db(&mut self, db: i32) {
        if db != self.volume_db {
            self.volume_db = db;
            self.playout.set_volume_db(db);
        }
    }

    /// Plays what the speaker wants and hands the chunks that are complete to `send`.
    ///
    /// # Errors
    /// A device came back at a rate that cannot be resampled.
    pub fn tick(
        &mut self,
        now: Duration,
        muted: bool,
        send: impl FnMut(Outgoing),
    ) -> Result<(), PathError> {
        let told_us = self.playout.speaker().latency_us() + self.capture.microphone().latency_us();
        let told = Duration::from_micros(u64::from(told_us));
        if self.echo.wants_tone(told, now) {
            let rate_hz = self.playout.speaker().sample_rate_hz();
            self.playout.play_over(connect_tone::samples(rate_hz));
            self.lost_before_tone = self.lost();
        }
        // First what is played: the echo canceller must know it before the microphone hears it.
        self.playout.tick(now)?;
        let rendered = self.playout.rendered();
        self.echo.hear(rendered)?;
        self.capture.hear(rendered)?;
        let muted = muted || self.echo.withholds();
        self.capture.tick(now, muted, send)?;
        self.record(now, muted)?;
        let latency = self.capture.capture_latency();
        self.echo.listen(self.capture.captured(), latency, now);
        if self.echo.may_harm_own_voice() {
            self.playout.leave_unjudged();
        }
        let (near_end, urgent) = self.echo.near_end();
        self.capture.set_gain_db(self.echo.gain_db());
        self.capture.set_near_end(near_end, urgent, now)
    }

    fn record(&mut self, now: Duration, muted: bool) -> Result<(), PathError> {
        let Some(recorder) = &mut self.recorder else {
            return Ok(());
        };
        // What others must not hear is not kept either.
        let captured = match muted {
            true => &[][..],
            false => self.capture.captured(),
        };
        let near = Batch {
            samples: captured,
            sample_rate_hz: SAMPLE_RATE_HZ,
            ends_s: now.as_secs_f64() - self.capture.capture_latency().as_secs_f64(),
        };
        let rendered = self.playout.rendered();
        let far = Batch {
            samples: rendered.samples,
            sample_rate_hz: rendered.sample_rate_hz,
            ends_s: now.as_secs_f64() + f64::from(rendered.latency_us) * 1e-6,
        };
        Ok(recorder.push(&near, &far)?)
    }

    /// How long nothing needs to be done.
    pub fn rest(&self) -> Duration {
        let microphone = self.capture.microphone().rest().unwrap_or(LOOK);
        let speaker = self.playout.speaker().rest().unwrap_or(LOOK);
        microphone.min(speaker).clamp(SHORTEST_REST, LONGEST_REST)
    }

    /// Searches for the connect tone, once it is recorded, on a thread that `search_aside` starts.
    pub fn search_for_tone(&mut self, search_aside: impl FnOnce(Search) -> Receiver<EchoPath>) {
        if let Some(recording) = self.echo.take_recording() {
            self.search = Some(search_aside(Box::new(move || recording.measure())));
        }
        let found = self.search.as_ref().map(Receiver::try_recv);
        match found {
            Some(Ok(path)) => self.end_search(path),
            Some(Err(TryRecvError::Disconnected)) => self.end_search(EchoPath::Unknown),
            Some(Err(TryRecvError::Empty)) | None => {}
        }
    }

    /// Samples that microphone and speaker have lost.
    fn lost(&self) -> [u64; 2] {
        let (microphone, speaker) = (self.capture.microphone(), self.playout.speaker());
        [microphone.stats(), speaker.stats()].map(|stats| stats.ring_fault_samples)
    }

    fn end_search(&mut self, path: EchoPath) {
        self.search = None;
        let rates_hz = [
            self.capture.microphone().sample_rate_hz(),
            self.playout.speaker().sample_rate_hz(),
        ];
        let before = self.lost_before_tone;
        let lost_s: f64 = (0..2)
            .map(|device| {
                let samples = self.lost()[device].saturating_sub(before[device]);
                samples as f64 / f64::from(rates_hz[device].max(1))
            })
            .sum();
        self.echo.measured(path, lost_s > TORN_LIMIT.as_secs_f64());
    }

    /// Whether the far end has said all and all of it was played.
    pub fn is_finished(&self) -> bool {
        self.playout.is_finished()
    }

    /// What was heard last, if its age was known.
    pub fn heard(&self) -> Heard {
        self.playout.call_stats().newest()
    }

    /// The figures of this moment; levels since the last call.
    pub fn status(&mut self, muted: bool) -> EngineStatus {
        while let Some(notice) = self.capture.device_notice() {
            self.device_notices.push(notice);
        }
        while let Some(notice) = self.playout.device_notice() {
            self.device_notices.push(notice);
        }
        for learned in self.echo.take_learned() {
            self.learned.push(learned);
        }
        EngineStatus {
            call_stats: self.playout.call_stats().stats(),
            sent_age_us: self.capture.age_us(),
            jitter_buffer: self.playout.jitter_buffer(),
            garbage: self.playout.garbage(),
            drift_ppm: self.playout.drift_ppm(),
            near_end: self.capture.near_end(),
            echo: self.echo.status().clone(),
            learned: self.learned.clone(),
            microphone: self.capture.microphone().stats(),
            speaker: self.playout.speaker().stats(),
            device_notices: self.device_notices.clone(),
            priority: self.priority.clone(),
            muted,
            withheld: self.echo.withholds(),
            volume_db: self.volume_db,
            encoder_failures: self.capture.failures(),
            failure: None,
            near_level: Some(self.capture.read_level()),
            far_level: Some(self.playout.read_level()),
            near_overall_level: Some(self.capture.overall_level()),
            far_overall_level: Some(self.playout.overall_level()),
        }
    }
}

impl EngineStatus {
    /// Mouth-to-ear delay of the newest one to two seconds with sound, in microseconds. `None` where that is
    /// some seconds ago.
    pub fn mouth_to_ear_us(&self) -> Option<u32> {
        self.call_stats.now.map(|stages| stages.total())
    }
}

/// What the rest of the program tells the engine thread.
#[derive(Debug, Default)]
pub struct EngineControl {
    muted: AtomicBool,
    volume_db: AtomicI32,
    stop: AtomicBool,
}

impl EngineControl {
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
    engine.priority = ask_for_real_time();
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
        let mut done = engine.tick(now, muted, |chunk| uplink.push(chunk));
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
        echo_control::EchoMemory,
        near_end_choice::{EchoChoice, NearEndChoice, Switch},
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
