//! The engine: every stateful audio object of the softphone. Pure: devices are passed in, and so is
//! `now`. `engine_thread` runs one in real time.
//!
//! `capture_path` is the microphone's way to the `uplink`, `playout_path` the way of what arrives to the speaker;
//! `near_end_path` cleans the microphone, changed unheard by `near_end_switch`, and `echo_control` decides whether a
//! canceller is needed. `delay`, `heard_delay` and `call_stats` tell how late and how good it is.

pub mod aligned_frames;
pub mod call_stats;
pub mod capture_path;
pub mod delay;
pub mod echo_control;
pub mod engine_thread;
pub mod heard_delay;
pub mod near_end_choice;
pub mod near_end_path;
pub mod near_end_switch;
pub mod playout_path;
pub mod priority;
pub mod recent_log;
pub mod uplink;

use std::{
    sync::mpsc::{Receiver, TryRecvError},
    time::Duration,
};

use audio::{frame::SAMPLE_RATE_HZ, near_end::NearEndStats, playout::JitterBufferStats};

use crate::{
    device::{DeviceNotice, DeviceStats},
    engine::{
        call_stats::{CallStats, Heard},
        capture_path::{CapturePath, PathError},
        echo_control::{
            EchoControl, EchoStatus, connect_tone, control::Learned, decision::EchoPath,
            memory::DevicePair,
        },
        playout_path::{Downlink, GarbageStats, PlayoutPath},
        priority::EnginePriority,
        recent_log::RecentLog,
        uplink::Outgoing,
    },
    recording::{Batch, Recorder},
};

/// How long the thread sleeps while a device does not say when it will have something, or need it.
/// Otherwise it looks just then: what waits for a look is delay, and what waits now longer, now
/// shorter is delay once more, in the jitter buffer.
const LOOK: Duration = Duration::from_millis(2);

/// The bounds of what devices say. Each look costs some 10 µs.
const SHORTEST_REST: Duration = Duration::from_micros(200);
const LONGEST_REST: Duration = Duration::from_millis(10);

/// The engine's figures at one moment.
#[derive(Debug, Clone, Default)]
pub struct EngineStatus {
    /// Level of the microphone over the last tenth of a second: RMS and peak in dBFS.
    pub near_level: Option<audio::measure::Level>,
    /// Level of what was played, likewise.
    pub far_level: Option<audio::measure::Level>,
    /// Level of the microphone over the whole call, muted or not.
    pub near_overall_level: Option<audio::measure::Level>,
    /// Level of what was played over the whole call.
    pub far_overall_level: Option<audio::measure::Level>,
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

    /// Whoever runs it is scheduled so.
    pub fn set_priority(&mut self, priority: EnginePriority) {
        self.priority = priority;
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
