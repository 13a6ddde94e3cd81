//! Payloads into samples, and what is heard in place of one that cannot be decoded.

use audio_codec_algorithms::{decode_alaw, decode_ulaw};

use super::format::{Codec, Format, MAX_CHUNK, PayloadError};
use super::{
    libopus::{self, CodecError},
    sample::{from_i16, make_finite},
};

/// What [`Decoder::decode`] made of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decoded {
    /// The payload's own sound.
    Sound,
    /// The payload was not decodable; its time was filled by concealment.
    Concealed,
}

/// Turns payloads into samples.
pub struct Decoder {
    format: Format,
    opus: Option<opus::Decoder>,
    /// What libopus concealed beyond the last request: the head of the next one.
    surplus: Vec<f32>,
    /// Samples per channel of the last good payload: what an undecodable one is taken to last.
    last_samples: usize,
    /// The tail of the newest decoded sound, for concealment without Opus.
    tail: Vec<f32>,
    /// Gain that concealment without Opus has faded to.
    fade: f32,
    /// The largest magnitude of the newest payload.
    peak: f32,
}

impl Decoder {
    /// A decoder for one direction of one leg.
    ///
    /// # Errors
    /// libopus could not be set up.
    pub fn new(format: Format) -> Result<Self, CodecError> {
        let opus = match format.codec() {
            Codec::Opus => Some(opus::Decoder::new(
                format.sample_rate_hz(),
                libopus::channels(format),
            )?),
            _ => None,
        };
        Ok(Self {
            format,
            opus,
            surplus: Vec::new(),
            last_samples: format.samples_in(std::time::Duration::from_millis(20)),
            tail: Vec::new(),
            fade: 1.0,
            peak: 0.0,
        })
    }

    /// Appends one payload's samples, interleaved, to `samples`.
    ///
    /// # Errors
    /// The payload is not whole samples, too long, or of a duration that is not accepted. Bytes
    /// that merely are not Opus are concealed for as long as the last packet was.
    pub fn decode(
        &mut self,
        payload: &[u8],
        samples: &mut Vec<f32>,
    ) -> Result<Decoded, PayloadError> {
        let count = match self.format.samples_per_channel(payload) {
            Ok(count) => count,
            Err(PayloadError::NotOpus) => {
                self.conceal(self.last_samples, samples);
                return Ok(Decoded::Concealed);
            }
            Err(error) => return Err(error),
        };
        let start = samples.len();
        match self.format.codec() {
            Codec::Opus => {
                samples.resize(start + count * self.format.channels(), 0.0);
                let decoded = self.opus.as_mut().and_then(|opus| {
                    opus.decode_float(payload, &mut samples[start..], false)
                        .ok()
                });
                if decoded != Some(count) {
                    samples.truncate(start);
                    self.conceal(count, samples);
                    return Ok(Decoded::Concealed);
                }
            }
            Codec::Pcm => samples.extend(
                payload
                    .chunks_exact(2)
                    .map(|pair| from_i16(i16::from_le_bytes([pair[0], pair[1]]))),
            ),
            Codec::Pcmu => samples.extend(payload.iter().map(|&byte| from_i16(decode_ulaw(byte)))),
            Codec::Pcma => samples.extend(payload.iter().map(|&byte| from_i16(decode_alaw(byte)))),
        }
        self.peak = peak_of(&samples[start..]);
        make_finite(&mut samples[start..]);
        if count > 0 {
            self.last_samples = count;
        }
        self.surplus.clear();
        self.remember_tail(&samples[start..]);
        Ok(Decoded::Sound)
    }

    /// Appends `samples_per_channel` of concealment: what might have followed, fading out.
    pub fn conceal(&mut self, samples_per_channel: usize, samples: &mut Vec<f32>) {
        let start = samples.len();
        let end = start + samples_per_channel * self.format.channels();
        samples.resize(end, 0.0);
        match &mut self.opus {
            Some(opus) => {
                let out = &mut samples[start..];
                conceal_opus(opus, self.format, &mut self.surplus, out);
            }
            None => self.repeat_tail(&mut samples[start..]),
        }
        make_finite(&mut samples[start..]);
    }

    /// The largest magnitude that the newest payload decoded to, before it was clamped; infinite
    /// where it was not a number.
    pub fn peak(&self) -> f32 {
        self.peak
    }

    /// The format it decodes.
    pub fn format(&self) -> Format {
        self.format
    }

    fn remember_tail(&mut self, sound: &[f32]) {
        if self.opus.is_some() || sound.is_empty() {
            return;
        }
        // Two periods of the lowest voice (66 Hz) are enough to repeat.
        let wanted = self.format.sample_rate_hz() as usize * 30 / 1_000 * self.format.channels();
        self.tail.extend_from_slice(sound);
        let surplus = self.tail.len().saturating_sub(wanted);
        self.tail.drain(..surplus);
        self.fade = 1.0;
    }

    /// Repeats the tail backwards and forwards, which joins without a step, and fades it out
    /// within 60 ms.
    fn repeat_tail(&mut self, out: &mut [f32]) {
        let channels = self.format.channels();
        let tail_len = self.tail.len() / channels;
        if tail_len < 2 {
            return;
        }
        let fade_step = 1.0 / (self.format.sample_rate_hz() as f32 * 0.06);
        let already = ((1.0 - self.fade) / fade_step).round() as usize;
        for (index, sample) in out.chunks_exact_mut(channels).enumerate() {
            let lap = tail_len - 1;
            let position = (already + index) % (2 * lap);
            // 0 is the last sample of the tail; the lap goes back to its first and returns.
            let back = if position < lap {
                position + 1
            } else {
                2 * lap - position
            };
            let source = (tail_len - 1 - back.min(tail_len - 1)) * channels;
            for (channel, value) in sample.iter_mut().enumerate() {
                *value = self.tail[source + channel] * self.fade;
            }
            self.fade = (self.fade - fade_step).max(0.0);
        }
    }
}

fn peak_of(samples: &[f32]) -> f32 {
    samples
        .iter()
        .fold(0.0, |peak, sample| match sample.is_nan() {
            true => f32::INFINITY,
            false => peak.max(sample.abs()),
        })
}

/// libopus conceals multiples of 2.5 ms up to 120 ms; what is beyond the request is kept in
/// `surplus` for the next one.
fn conceal_opus(opus: &mut opus::Decoder, format: Format, surplus: &mut Vec<f32>, out: &mut [f32]) {
    let kept = surplus.len().min(out.len());
    let (head, mut rest) = out.split_at_mut(kept);
    head.copy_from_slice(&surplus[..kept]);
    surplus.drain(..kept);
    let step = format.sample_rate_hz() as usize / 400 * format.channels();
    let most = format.samples_in(MAX_CHUNK) * format.channels();
    while rest.len() >= step {
        let now = (rest.len() / step * step).min(most);
        let (head, tail) = rest.split_at_mut(now);
        if opus.decode_float(&[], head, false).is_err() {
            head.fill(0.0);
        }
        rest = tail;
    }
    if !rest.is_empty() {
        surplus.resize(step, 0.0);
        if opus.decode_float(&[], surplus, false).is_err() {
            surplus.fill(0.0);
        }
        rest.copy_from_slice(&surplus[..rest.len()]);
        surplus.drain(..rest.len());
    }
}
