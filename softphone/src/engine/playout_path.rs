//! Packets to speaker: what the render path makes of them, played and accounted for.
//!
//! Runs on the engine thread; pure but for the speaker it writes. The speaker's clock drives it:
//! nothing is pulled that the speaker does not want.

use std::{collections::VecDeque, time::Duration};

use audio::{
    Format, OutputLimiter, RenderPath,
    measure::{Level, LevelMeter, e_model::CodecImpairment},
    playout::{JitterBufferStats, Packet, Playout},
    processing::SmoothGain,
};
use bytes::Bytes;
use proto::callcenter::Gap;

use super::{
    aligned_frames::Rendered,
    call_stats::CallStatsCollector,
    capture_path::{PathError, micros},
    delay::Stages,
    heard_delay::HeardDelay,
};
use crate::device::{DeviceNotice, Speaker};

/// What the session has for the engine.
#[derive(Debug, Clone, PartialEq)]
pub enum Downlink {
    /// The far end is there, though it may have said nothing yet.
    Lives,
    /// A new stream begins: its media time has nothing to do with the one before.
    Began,
    /// What the far end said of itself.
    FarEnd {
        /// Whether it returns what it is sent.
        returns_own_voice: Option<bool>,
    },
    /// One chunk from the far end.
    Chunk(Incoming),
    /// The far end has said all; what is buffered is still played.
    Ended,
}

/// One chunk from the far end.
#[derive(Debug, Clone, PartialEq)]
pub struct Incoming {
    /// One packet; empty on a chunk without audio.
    pub payload: Bytes,
    /// Position of its first sample, in samples per channel.
    pub media_time: u64,
    /// Why samples before `media_time` are missing.
    pub gap: Gap,
    /// What its first sample had been through when it arrived; `None` if nobody tells.
    pub stages: Option<Stages>,
    /// When it arrived, on the softphone's clock.
    pub arrived: Duration,
}

/// Of what has not come for so long nothing is said any more.
const STILL_COMES: Duration = Duration::from_millis(200);

/// What arrived that was no sound ([`audio::playout`]) and was not played.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GarbageStats {
    /// Whether that is so now.
    pub muted: bool,
    /// For how long in all, in microseconds.
    pub muted_us: u64,
}

/// The receiving half of the engine.
pub struct PlayoutPath {
    speaker: Box<dyn Speaker>,
    format: Format,
    render: RenderPath,
    volume: SmoothGain,
    garbage: GarbageStats,
    /// When sound last came, or what was none.
    last_arrival: Duration,
    /// Nothing comes between it and the speaker.
    limiter: OutputLimiter,
    /// What was written to the speaker last, mono.
    pulled: Vec<f32>,
    /// What is still to be played over all else, mono at the speaker's rate.
    over: VecDeque<f32>,
    /// As the speaker takes it, interleaved.
    played: Vec<f32>,
    meter: LevelMeter,
    ended: bool,
    heard_delay: HeardDelay,
    call_stats: CallStatsCollector,
}

impl PlayoutPath {
    /// Plays chunks of `format` through `speaker`.
    ///
    /// # Errors
    /// The codec or the resampler cannot be set up.
    pub fn new(speaker: Box<dyn Speaker>, format: Format) -> Result<Self, PathError> {
        Ok(Self {
            render: RenderPath::new(format, speaker.sample_rate_hz())?,
            volume: SmoothGain::new(),
            garbage: GarbageStats::default(),
            last_arrival: Duration::ZERO,
            limiter: OutputLimiter::new(speaker.sample_rate_hz()),
            speaker,
            format,
            pulled: Vec::new(),
            over: VecDeque::new(),
            played: Vec::new(),
            meter: LevelMeter::new(),
            ended: false,
            heard_delay: HeardDelay::default(),
            call_stats: CallStatsCollector::default(),
        })
    }

    /// For a call whose sound was encoded at `bitrate`, which the judgement must know.
    #[must_use]
    pub fn encoded_at(mut self, bitrate: u32) -> Self {
        let codec = CodecImpairment::of(self.format, bitrate);
        self.call_stats = CallStatsCollector::new(codec);
        self
    }

    /// Takes what came from the session.
    pub fn receive(&mut self, downlink: Downlink, now: Duration) {
        match downlink {
            Downlink::Began => {
                self.ended = false;
                self.render.reset();
                self.heard_delay.forget();
            }
            Downlink::Lives | Downlink::FarEnd { .. } => {}
            Downlink::Chunk(chunk) => self.insert(&chunk, now),
            Downlink::Ended => {
                self.ended = true;
                // What is not there any more is not missing.
                self.render.insert(
                    Packet {
                        media_time: 0,
                        gap: audio::Gap::Silence,
                        payload: &[],
                    },
                    now,
                );
            }
        }
    }

    /// Plays as much as the speaker wants.
    ///
    /// # Errors
    /// The device came back at a rate that cannot be resampled.
    pub fn tick(&mut self, now: Duration) -> Result<(), PathError> {
        self.call_stats.advance(now, &self.render.stats());
        self.pulled.clear();
        let wanted = self.speaker.wanted(now);
        let rate_hz = self.speaker.sample_rate_hz();
        self.render.set_speaker_rate(rate_hz)?;
        self.limiter.set_sample_rate(rate_hz);
        self.render.set_ahead(self.speaker.ahead());
        self.render.underrun(self.speaker.take_underrun());
        if wanted == 0 || self.is_finished() {
            return Ok(());
        }
        self.pull(wanted, now);
        // Before anything of ours is mixed in, which is still to be heard.
        self.watch_for_garbage(now, rate_hz);
        self.volume.set_muted(self.garbage.muted);
        self.volume.process(&mut self.pulled);
        self.call_stats.play(&self.pulled);
        for (sample, over) in self
            .pulled
            .iter_mut()
            .zip(self.over.drain(..wanted.min(self.over.len())))
        {
            *sample += over;
        }
        self.limiter.process(&mut self.pulled);
        self.meter.push(&self.pulled);
        let channels = usize::from(self.speaker.channels());
        self.played.clear();
        for &sample in &self.pulled {
            self.played.extend(std::iter::repeat_n(sample, channels));
        }
        self.speaker.write(&self.played);
        Ok(())
    }

    /// Plays `samples` (mono, at the speaker's rate) over all else, from the next
    /// [`PlayoutPath::tick`] on.
    pub fn play_over(&mut self, samples: Vec<f32>) {
        self.over.extend(samples);
    }

    /// Plays everything louder or more quietly from now on.
    pub fn set_volume_db(&mut self, db: i32) {
        self.volume.set_db(db as f32);
    }

    /// Whether the far end has said all and all of it was played.
    pub fn is_finished(&self) -> bool {
        self.ended && self.render.stats().depth_us == 0
    }

    /// What the last [`PlayoutPath::tick`] wrote to the speaker.
    pub fn rendered(&self) -> Rendered<'_> {
        Rendered {
            samples: &self.pulled,
            sample_rate_hz: self.speaker.sample_rate_hz(),
            latency_us: self.speaker.latency_us(),
        }
    }

    /// The speaker, for its figures.
    pub fn speaker(&self) -> &dyn Speaker {
        &*self.speaker
    }

    /// The next thing to tell people about the speaker.
    pub fn device_notice(&mut self) -> Option<DeviceNotice> {
        self.speaker.notice()
    }

    /// What the far end sent that was no sound.
    pub fn garbage(&self) -> GarbageStats {
        self.garbage
    }

    /// The jitter buffer's figures.
    pub fn jitter_buffer(&self) -> JitterBufferStats {
        self.render.stats()
    }

    /// By how many parts per million the speaker's clock is faster than the sender's, as far as
    /// learned.
    pub fn drift_ppm(&self) -> f64 {
        self.render.drift_ppm()
    }

    /// Level of what was played since the last call of this.
    pub fn read_level(&mut self) -> Level {
        self.meter.read()
    }

    /// Level of all that was played.
    pub fn overall_level(&self) -> Level {
        self.meter.overall()
    }

    /// The second that goes on says nothing of the call.
    pub fn leave_unjudged(&mut self) {
        self.call_stats.spoil();
    }

    /// Delay and judgement so far.
    pub fn call_stats(&self) -> &CallStatsCollector {
        &self.call_stats
    }

    fn insert(&mut self, chunk: &Incoming, now: Duration) {
        if !chunk.payload.is_empty() {
            self.last_arrival = now;
        }
        let before = self.depth();
        self.render.insert(
            Packet {
                media_time: chunk.media_time,
                gap: buffer_gap(chunk.gap),
                payload: &chunk.payload,
            },
            now,
        );
        if let Ok(samples) = self.format.samples_per_channel(&chunk.payload)
            && samples > 0
        {
            let stages = chunk.stages.map(|mut stages| {
                stages.downlink += micros(now.saturating_sub(chunk.arrived));
                stages
            });
            let length = self.format.duration_of(samples);
            let grown = self.depth().saturating_sub(before);
            self.heard_delay.insert(stages, length, grown, now);
        }
    }

    fn watch_for_garbage(&mut self, now: Duration, rate_hz: u32) {
        self.garbage.muted = self.render.is_garbage();
        if self.garbage.muted {
            self.call_stats.spoil();
        }
        // Where nothing comes any more there is no noise.
        let still_comes = now.saturating_sub(self.last_arrival) < STILL_COMES;
        if self.garbage.muted && still_comes {
            let length_us = self.pulled.len() as u64 * 1_000_000 / u64::from(rate_hz);
            self.garbage.muted_us += length_us;
        }
    }

    /// What waits in the jitter buffer.
    fn depth(&self) -> Duration {
        Duration::from_micros(self.render.stats().depth_us)
    }

    fn pull(&mut self, wanted: usize, now: Duration) {
        let depth = self.depth();
        self.pulled.resize(wanted, 0.0);
        if self.render.pull(&mut self.pulled, now) == Playout::Sound
            && let Some(mut stages) = self.heard_delay.pull(depth, now)
        {
            stages.resampler += self.render.resampler_us();
            stages.playback_device = self.speaker.latency_us();
            self.call_stats.hear(&stages, wanted);
        }
    }
}

fn buffer_gap(gap: Gap) -> audio::Gap {
    match gap {
        Gap::None => audio::Gap::None,
        Gap::Muted => audio::Gap::Muted,
        Gap::Silence => audio::Gap::Silence,
        Gap::Late => audio::Gap::Late,
        Gap::Device => audio::Gap::Device,
    }
}
