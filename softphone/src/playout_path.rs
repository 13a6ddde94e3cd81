//! Packets to speaker: jitter buffer, decode or conceal, resample, play.
//!
//! Runs on the engine thread; pure but for the speaker it writes. The speaker's clock drives it:
//! nothing is pulled that the speaker does not want.

use std::time::Duration;

use audio::{
    Format, Resampler,
    jitter_buffer::{self, JitterBuffer, JitterBufferStats, Packet, Playout},
    meter::{Level, LevelMeter},
};
use bytes::Bytes;
use proto::callcenter::Gap;

use crate::{
    capture_path::{PathError, micros},
    course::{Course, CourseFigures},
    delay::Stages,
    device::Speaker,
    heard_delay::HeardDelay,
    near_end_path::Rendered,
};

/// The most that is pulled from the jitter buffer at once: what the speaker wants is met by pieces,
/// so that hardly anything waits behind the buffer, where it could not be steered any more.
const PIECE: Duration = Duration::from_micros(2_500);

/// What the session has for the engine.
#[derive(Debug, Clone, PartialEq)]
pub enum Downlink {
    /// A new stream begins: its media time has nothing to do with the one before.
    Began,
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

/// The receiving half of the engine.
pub struct PlayoutPath {
    speaker: Box<dyn Speaker>,
    format: Format,
    jitter_buffer: JitterBuffer,
    resampler: Resampler,
    resampler_rate_hz: u32,
    /// One piece from the jitter buffer.
    pulled: Vec<f32>,
    /// At the speaker's rate, mono; a remainder of a piece stays here.
    ready: Vec<f32>,
    /// As the speaker takes it, interleaved.
    played: Vec<f32>,
    /// What was written to the speaker last, mono.
    rendered: Vec<f32>,
    meter: LevelMeter,
    ended: bool,
    heard_delay: HeardDelay,
    course: Course,
}

impl PlayoutPath {
    /// Plays chunks of `format` through `speaker`.
    ///
    /// # Errors
    /// The codec or the resampler cannot be set up.
    pub fn new(speaker: Box<dyn Speaker>, format: Format) -> Result<Self, PathError> {
        let rate = speaker.sample_rate_hz();
        Ok(Self {
            resampler: Resampler::new(format.sample_rate_hz(), rate, 1)?,
            resampler_rate_hz: rate,
            speaker,
            jitter_buffer: JitterBuffer::new(format)?,
            format,
            pulled: Vec::new(),
            ready: Vec::new(),
            played: Vec::new(),
            rendered: Vec::new(),
            meter: LevelMeter::new(),
            ended: false,
            heard_delay: HeardDelay::default(),
            course: Course::default(),
        })
    }

    /// Takes what came from the session.
    pub fn receive(&mut self, downlink: Downlink, now: Duration) {
        match downlink {
            Downlink::Began => {
                self.ended = false;
                self.jitter_buffer.reset();
                self.heard_delay.forget();
            }
            Downlink::Chunk(chunk) => self.insert(&chunk, now),
            Downlink::Ended => {
                self.ended = true;
                // What is not there any more is not missing.
                self.jitter_buffer.insert(
                    Packet {
                        media_time: 0,
                        gap: jitter_buffer::Gap::Silence,
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
        self.course.advance(now, &self.jitter_buffer.stats());
        self.rendered.clear();
        let wanted = self.speaker.wanted(now);
        self.follow_device_rate()?;
        while self.ready.len() < wanted && !self.is_finished() {
            self.pull(now);
        }
        let count = wanted.min(self.ready.len());
        if count == 0 {
            return Ok(());
        }
        self.meter.push(&self.ready[..count]);
        let channels = usize::from(self.speaker.channels());
        self.played.clear();
        self.rendered.extend(self.ready.drain(..count));
        for &sample in &self.rendered {
            self.played.extend(std::iter::repeat_n(sample, channels));
        }
        self.speaker.write(&self.played);
        Ok(())
    }

    /// Whether the far end has said all and all of it was played.
    pub fn is_finished(&self) -> bool {
        self.ended && self.jitter_buffer.stats().depth_us == 0
    }

    /// What the last [`PlayoutPath::tick`] wrote to the speaker.
    pub fn rendered(&self) -> Rendered<'_> {
        Rendered {
            samples: &self.rendered,
            sample_rate_hz: self.resampler_rate_hz,
            latency_us: self.speaker.latency_us(),
        }
    }

    /// The speaker, for its figures.
    pub fn speaker(&self) -> &dyn Speaker {
        &*self.speaker
    }

    /// The jitter buffer's figures.
    pub fn jitter_buffer(&self) -> JitterBufferStats {
        self.jitter_buffer.stats()
    }

    /// Level of what was played since the last call of this.
    pub fn read_level(&mut self) -> Level {
        self.meter.read()
    }

    /// Delay and judgement so far.
    pub fn course(&self) -> CourseFigures {
        self.course.figures()
    }

    fn insert(&mut self, chunk: &Incoming, now: Duration) {
        if let Ok(samples) = self.format.samples_per_channel(&chunk.payload)
            && samples > 0
        {
            let stages = chunk.stages.map(|mut stages| {
                stages.downlink += micros(now.saturating_sub(chunk.arrived));
                stages
            });
            let length = self.format.duration_of(samples);
            self.heard_delay.insert(stages, length, now);
        }
        self.jitter_buffer.insert(
            Packet {
                media_time: chunk.media_time,
                gap: buffer_gap(chunk.gap),
                payload: &chunk.payload,
            },
            now,
        );
    }

    fn pull(&mut self, now: Duration) {
        self.pulled.clear();
        self.pulled
            .resize(self.format.samples_in(PIECE) * self.format.channels(), 0.0);
        let depth = Duration::from_micros(self.jitter_buffer.stats().depth_us);
        if self.jitter_buffer.pull(&mut self.pulled, now) == Playout::Sound
            && let Some(mut stages) = self.heard_delay.pull(depth, now)
        {
            // What is ready goes to the speaker before it.
            stages.jitter_buffer += micros(Duration::from_nanos(
                self.ready.len() as u64 * 1_000_000_000 / u64::from(self.resampler_rate_hz),
            ));
            stages.resampler += self.resampler.delay_us();
            stages.playback_device = self.speaker.latency_us();
            self.course.hear(&stages, self.pulled.len());
        }
        self.resampler.process(&self.pulled, &mut self.ready);
    }

    fn follow_device_rate(&mut self) -> Result<(), PathError> {
        let rate = self.speaker.sample_rate_hz();
        if rate != self.resampler_rate_hz {
            self.resampler = Resampler::new(self.format.sample_rate_hz(), rate, 1)?;
            self.resampler_rate_hz = rate;
            self.ready.clear();
        }
        Ok(())
    }
}

fn buffer_gap(gap: Gap) -> jitter_buffer::Gap {
    match gap {
        Gap::None => jitter_buffer::Gap::None,
        Gap::Muted => jitter_buffer::Gap::Muted,
        Gap::Silence => jitter_buffer::Gap::Silence,
        Gap::Late => jitter_buffer::Gap::Late,
        Gap::Device => jitter_buffer::Gap::Device,
    }
}
