//! Microphone to packets: down-mix, resample, process the near end, cut into chunks, encode, number in media time.
//!
//! Runs on the engine thread; pure but for the microphone it reads.

use std::time::Duration;

use audio::{
    CodecError, Encoder, Format, RenderPathError, Resampler, ResamplerError, frame,
    measure::{Level, LevelMeter, rfc6464_level},
    near_end::{NearEndOptions, NearEndStats},
    processing::SmoothGain,
};
use bytes::Bytes;
use proto::callcenter::Gap;

use super::{
    aligned_frames::Rendered, delay::Stages, near_end_switch::NearEndSwitch, uplink::Outgoing,
};
use crate::device::{DeviceNotice, Microphone};

/// Without sound to send, a chunk so often: it keeps acknowledgements flowing. An empty one to a far end of
/// ours. Others may know the contract as it first was, and hand whatever comes to a decoder: as long as they
/// did not say what they are, they get a piece of silence.
const KEEP_ALIVE: Duration = Duration::from_millis(100);

/// A microphone that gave nothing for so long is away.
const AWAY: Duration = Duration::from_millis(200);

/// Why the softphone cannot turn its sound into what the call wants, or back.
#[derive(Debug, thiserror::Error)]
pub enum PathError {
    /// The codec failed.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The device's rate cannot be resampled.
    #[error(transparent)]
    Resampler(#[from] ResamplerError),
    /// The playout side cannot be set up.
    #[error(transparent)]
    Render(#[from] RenderPathError),
}

/// The sending half of the engine.
pub struct CapturePath {
    microphone: Box<dyn Microphone>,
    /// To the near end's rate.
    resampler: Resampler,
    resampler_rate_hz: u32,
    near_end: NearEndSwitch,
    /// Behind it.
    gain: SmoothGain,
    /// From there to the format's.
    to_format: Resampler,
    encoder: Encoder,
    /// What the encoder's look-ahead adds to the age of a chunk, in microseconds.
    lookahead_us: u32,
    chunk_samples: usize,
    /// As read from the device, interleaved.
    read: Vec<f32>,
    mono: Vec<f32>,
    /// The same at 48 kHz, as the near end takes it.
    captured: Vec<f32>,
    /// How old its newest sample was when it was read.
    capture_latency: Duration,
    processed: Vec<f32>,
    /// At the format's rate, not yet a whole chunk.
    pending: Vec<f32>,
    /// Position of the first pending sample.
    media_time: u64,
    /// Why samples before `media_time` are missing, until a chunk has told it.
    gap: Gap,
    muted: bool,
    /// Whether the far end has said that it knows chunks without audio.
    knows_empty_chunks: bool,
    /// Samples that the microphone has yet to give of time that was sent as silence already.
    sent_ahead: usize,
    last_sound: Duration,
    last_chunk: Duration,
    meter: LevelMeter,
    encoded: Vec<u8>,
    age_us: u32,
    failures: u64,
}

impl CapturePath {
    /// Encodes what `microphone` hears as `format`, in chunks of `chunk_samples` per channel.
    ///
    /// # Errors
    /// The codec or the resampler cannot be set up.
    pub fn new(
        microphone: Box<dyn Microphone>,
        format: Format,
        chunk_samples: usize,
        bitrate: u32,
    ) -> Result<Self, PathError> {
        let rate = microphone.sample_rate_hz();
        let mut encoder = Encoder::new(format, bitrate)?;
        let lookahead_us = micros(format.duration_of(encoder.lookahead()));
        Ok(Self {
            resampler: Resampler::new(rate, frame::SAMPLE_RATE_HZ, 1)?,
            near_end: NearEndSwitch::default(),
            gain: SmoothGain::new(),
            to_format: Resampler::new(frame::SAMPLE_RATE_HZ, format.sample_rate_hz(), 1)?,
            resampler_rate_hz: rate,
            microphone,
            encoder,
            lookahead_us,
            chunk_samples,
            read: Vec::new(),
            mono: Vec::new(),
            captured: Vec::new(),
            capture_latency: Duration::ZERO,
            processed: Vec::new(),
            pending: Vec::new(),
            media_time: 0,
            gap: Gap::None,
            muted: false,
            knows_empty_chunks: false,
            sent_ahead: 0,
            last_sound: Duration::ZERO,
            last_chunk: Duration::ZERO,
            meter: LevelMeter::new(),
            encoded: Vec::new(),
            age_us: 0,
            failures: 0,
        })
    }

    /// From soon on with what `options` ask for: in a pause, or at once where that is `urgent`.
    ///
    /// # Errors
    /// A rate that cannot be resampled.
    pub fn set_near_end(
        &mut self,
        options: NearEndOptions,
        urgent: bool,
        now: Duration,
    ) -> Result<(), PathError> {
        Ok(self.near_end.set(options, urgent, now)?)
    }

    /// From now on sends what the near end leaves at a level changed by `db`.
    pub fn set_gain_db(&mut self, db: f32) {
        self.gain.set_db(db);
    }

    /// What the microphone gave at the last [`CapturePath::tick`], before any processing: mono at
    /// 48 kHz.
    pub fn captured(&self) -> &[f32] {
        &self.captured
    }

    /// How old the newest sample of that was.
    pub fn capture_latency(&self) -> Duration {
        self.capture_latency
    }

    /// Takes what the speaker was given since the last call, whose echo the microphone may hear.
    ///
    /// # Errors
    /// The speaker came back at a rate that cannot be resampled.
    pub fn hear(&mut self, rendered: Rendered<'_>) -> Result<(), PathError> {
        Ok(self.near_end.hear(rendered)?)
    }

    /// Reads what was captured since the last call and hands every chunk that is complete to
    /// `send`.
    ///
    /// # Errors
    /// The device came back at a rate that cannot be resampled.
    pub fn tick(
        &mut self,
        now: Duration,
        muted: bool,
        mut send: impl FnMut(Outgoing),
    ) -> Result<(), PathError> {
        let falls_silent = muted && !self.muted;
        if falls_silent && self.media_time > 0 && now.saturating_sub(self.last_sound) < AWAY {
            send(self.closing_chunk(now));
        }
        self.set_muted(muted);
        self.read(now)?;
        while !self.muted && self.pending.len() >= self.chunk_samples {
            let chunk = self.next_chunk(now);
            self.last_chunk = now;
            send(chunk);
        }
        let keep_alive = KEEP_ALIVE.max(self.chunk_duration() * 2);
        let is_due = now.saturating_sub(self.last_chunk) >= keep_alive;
        // Nothing waits behind a source that has not begun.
        if self.microphone.waits_for_line() {
            self.last_chunk = now;
            return Ok(());
        }
        if self.knows_empty_chunks {
            // Said at once, or the far end would take the silence for a loss and conceal it.
            if falls_silent || is_due {
                self.last_chunk = now;
                send(self.empty_chunk(now));
            }
        } else if is_due {
            self.last_chunk = now;
            send(self.closing_chunk(now));
        }
        Ok(())
    }

    /// The far end hears us from now on.
    pub fn line_is_up(&mut self) {
        self.microphone.line_is_up();
    }

    /// The far end is one of ours: chunks without audio mean something to it.
    pub fn far_end_knows_empty_chunks(&mut self) {
        if self.muted && !self.knows_empty_chunks {
            // Behind the piece of silence that it was sent it would conceal, until it is told.
            self.last_chunk = Duration::ZERO;
        }
        self.knows_empty_chunks = true;
    }

    /// The microphone, for its figures.
    pub fn microphone(&self) -> &dyn Microphone {
        &*self.microphone
    }

    /// The next thing to tell people about the microphone.
    pub fn device_notice(&mut self) -> Option<DeviceNotice> {
        self.microphone.notice()
    }

    /// Level of what the microphone heard since the last call of this.
    pub fn read_level(&mut self) -> Level {
        self.meter.read()
    }

    /// Level of all that was captured.
    pub fn overall_level(&self) -> Level {
        self.meter.overall()
    }

    /// Age of the newest chunk's first sample when it was made, in microseconds.
    pub fn age_us(&self) -> u32 {
        self.age_us
    }

    /// Chunks that the encoder refused.
    pub fn failures(&self) -> u64 {
        self.failures
    }

    /// Figures of the near end's processing, where any is on.
    pub fn near_end(&self) -> Option<NearEndStats> {
        self.near_end.stats()
    }

    fn set_muted(&mut self, muted: bool) {
        if muted != self.muted {
            self.muted = muted;
            self.gap = Gap::Muted;
        }
    }

    fn read(&mut self, now: Duration) -> Result<(), PathError> {
        self.follow_device_rate()?;
        self.captured.clear();
        self.read.clear();
        self.microphone.read(now, &mut self.read);
        if self.read.is_empty() {
            return Ok(());
        }
        self.follow_absence(now);
        let channels = usize::from(self.microphone.channels());
        self.mono.clear();
        self.mono.extend(
            self.read
                .chunks_exact(channels)
                .map(|sample| sample.iter().sum::<f32>() / channels as f32),
        );
        audio::codec::make_finite(&mut self.mono);
        self.meter.push(&self.mono);
        self.resampler.process(&self.mono, &mut self.captured);
        let latency_us = self.microphone.latency_us() + self.resampler.delay_us();
        self.capture_latency = Duration::from_micros(u64::from(latency_us));
        // Also while muted: an echo that is known already needs not be found again.
        self.processed.clear();
        self.near_end.process(
            &self.captured,
            self.capture_latency,
            now,
            &mut self.processed,
        );
        self.gain.process(&mut self.processed);
        self.to_format.process(&self.processed, &mut self.pending);
        self.last_sound = now;
        let sent = self.sent_ahead.min(self.pending.len());
        self.pending.drain(..sent);
        self.sent_ahead -= sent;
        if self.muted {
            self.media_time += self.pending.len() as u64;
            self.pending.clear();
        }
        Ok(())
    }

    /// After the microphone was away, or has lost sound, media time goes on from where real time is.
    fn follow_absence(&mut self, now: Duration) {
        let lost = self.microphone.take_lost();
        let away = now.saturating_sub(self.last_sound);
        if (away < AWAY && lost.is_zero()) || self.media_time == 0 {
            return;
        }
        let format = self.encoder.format();
        let fresh = self.read.len() / usize::from(self.microphone.channels());
        let fresh = lasting(fresh, self.resampler_rate_hz);
        let missing = match away < AWAY {
            true => lost,
            false => away.saturating_sub(fresh),
        };
        // What was begun before is too short to send, and older than what is missing.
        let held = lasting(self.near_end.forget(), frame::SAMPLE_RATE_HZ);
        let missing = format.samples_in(held + missing);
        let ahead = self.sent_ahead.min(missing);
        self.sent_ahead -= ahead;
        self.media_time += (self.pending.len() + missing - ahead) as u64;
        self.pending.clear();
        if !self.muted {
            self.gap = Gap::Device;
        }
    }

    fn follow_device_rate(&mut self) -> Result<(), PathError> {
        let rate = self.microphone.sample_rate_hz();
        if rate != self.resampler_rate_hz {
            self.resampler = Resampler::new(rate, frame::SAMPLE_RATE_HZ, 1)?;
            self.resampler_rate_hz = rate;
        }
        Ok(())
    }

    /// What was begun, faded out and filled up with silence, or silence alone. A codec plays the end of a
    /// packet with the beginning of the next: without this one, the last milliseconds before the silence
    /// would be heard after it.
    fn closing_chunk(&mut self, now: Duration) -> Outgoing {
        let begun = self.pending.len();
        for (n, sample) in self.pending.iter_mut().enumerate() {
            *sample *= 1.0 - n as f32 / begun as f32;
        }
        self.pending.resize(self.chunk_samples, 0.0);
        self.sent_ahead += self.chunk_samples - begun;
        self.next_chunk(now)
    }

    fn next_chunk(&mut self, now: Duration) -> Outgoing {
        let samples = &self.pending[..self.chunk_samples];
        let level = 1 + u32::from(rfc6464_level(samples));
        self.encoded.clear();
        if self.encoder.encode(samples, &mut self.encoded).is_err() {
            self.failures += 1;
        }
        let format = self.encoder.format();
        let (unframed, delayed) = self.near_end.held();
        let held = |samples| micros(lasting(samples, frame::SAMPLE_RATE_HZ));
        let stages = Stages {
            capture_device: self.microphone.latency_us(),
            framing: micros(format.duration_of(self.pending.len())) + held(unframed),
            processing: held(delayed),
            codec: self.lookahead_us,
            resampler: self.resampler.delay_us() + self.to_format.delay_us(),
            ..Stages::default()
        };
        self.age_us = stages.total();
        let chunk = Outgoing {
            payload: Bytes::copy_from_slice(&self.encoded),
            media_time: self.media_time,
            stages,
            gap: std::mem::replace(&mut self.gap, Gap::None),
            level,
            made: now,
        };
        self.pending.drain(..self.chunk_samples);
        self.media_time += self.chunk_samples as u64;
        chunk
    }

    fn empty_chunk(&self, now: Duration) -> Outgoing {
        Outgoing {
            payload: Bytes::new(),
            media_time: self.media_time,
            stages: Stages::default(),
            gap: match self.gap {
                _ if self.muted => Gap::Muted,
                Gap::None => Gap::Device,
                // No chunk has told it yet.
                before => before,
            },
            level: 0,
            made: now,
        }
    }

    fn chunk_duration(&self) -> Duration {
        self.encoder.format().duration_of(self.chunk_samples)
    }
}

/// How long `samples` per channel last.
fn lasting(samples: usize, rate_hz: u32) -> Duration {
    Duration::from_secs_f64(samples as f64 / f64::from(rate_hz))
}

/// As the contract counts delays; saturates after 71 minutes.
pub(crate) fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
