//! Encoding and decoding one leg's payloads, with concealment of what cannot be decoded.
//!
//! Both ends are stateful: one [`Decoder`] and one [`Encoder`] a direction. What a decoder returns
//! is always finite and within −1..1, whatever the bytes were: random bytes decode to peaks of
//! thousands, and one NaN would poison every filter behind.

use audio_codec_algorithms::{decode_alaw, decode_ulaw, encode_alaw, encode_ulaw};

use crate::format::{Codec, Format, MAX_CHUNK, PayloadError};

/// Bitrate for Opus unless told otherwise: transparent for wideband speech (PESQ 3.5 at 20 ms).
pub const DEFAULT_BITRATE: u32 = 32_000;

/// Encoder effort: most of complexity 10's quality for three quarters of its time.
const OPUS_COMPLEXITY: i32 = 5;

/// The longest packet libopus writes: 1,275 bytes for each 20 ms, six of them, and their framing.
const MAX_OPUS_PACKET: usize = 1_277 * 6;

/// A codec that could not be set up or refused to work. A fault of ours, not of a peer.
#[derive(Debug, thiserror::Error)]
#[error("the Opus library failed: {0}")]
pub struct CodecError(#[from] opus::Error);

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
    /// Samples per channel of the last good payload: what an undecodable one is taken to last.
    last_samples: usize,
    /// The tail of the newest decoded sound, for concealment without Opus.
    tail: Vec<f32>,
    /// Gain that concealment without Opus has faded to.
    fade: f32,
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
                opus_channels(format),
            )?),
            _ => None,
        };
        Ok(Self {
            format,
            opus,
            last_samples: format.samples_in(std::time::Duration::from_millis(20)),
            tail: Vec::new(),
            fade: 1.0,
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
        make_finite(&mut samples[start..]);
        if count > 0 {
            self.last_samples = count;
        }
        self.remember_tail(&samples[start..]);
        Ok(Decoded::Sound)
    }

    /// Appends `samples_per_channel` of concealment: what might have followed, fading out.
    pub fn conceal(&mut self, samples_per_channel: usize, samples: &mut Vec<f32>) {
        let start = samples.len();
        let end = start + samples_per_channel * self.format.channels();
        samples.resize(end, 0.0);
        match &mut self.opus {
            Some(opus) => conceal_opus(opus, self.format, &mut samples[start..]),
            None => self.repeat_tail(&mut samples[start..]),
        }
        make_finite(&mut samples[start..]);
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

/// Turns samples into payloads.
pub struct Encoder {
    format: Format,
    opus: Option<opus::Encoder>,
}

impl Encoder {
    /// An encoder for one direction of one leg. `bitrate` is in bits per second and means something
    /// to Opus only; libopus clamps it to what is possible.
    ///
    /// # Errors
    /// libopus could not be set up.
    pub fn new(format: Format, bitrate: u32) -> Result<Self, CodecError> {
        let opus = match format.codec() {
            Codec::Opus => {
                let mut opus = opus::Encoder::new(
                    format.sample_rate_hz(),
                    opus_channels(format),
                    opus::Application::LowDelay,
                )?;
                opus.set_bitrate(opus::Bitrate::Bits(
                    i32::try_from(bitrate).unwrap_or(i32::MAX),
                ))?;
                opus.set_complexity(OPUS_COMPLEXITY)?;
                Some(opus)
            }
            _ => None,
        };
        Ok(Self { format, opus })
    }

    /// Samples per channel by which the decoded sound lags what was encoded (120 at 48 kHz for
    /// Opus in its low-delay form, else 0).
    pub fn lookahead(&mut self) -> usize {
        self.opus
            .as_mut()
            .and_then(|opus| opus.get_lookahead().ok())
            .map_or(0, |samples| samples.unsigned_abs() as usize)
    }

    /// Appends the payload of `samples` (interleaved; for Opus exactly one packet's duration) to
    /// `payload`.
    ///
    /// # Errors
    /// libopus refused the samples: their count is not a packet's duration.
    pub fn encode(&mut self, samples: &[f32], payload: &mut Vec<u8>) -> Result<(), CodecError> {
        match self.format.codec() {
            Codec::Opus => {
                if let Some(opus) = &mut self.opus {
                    let start = payload.len();
                    payload.resize(start + MAX_OPUS_PACKET, 0);
                    let written = opus.encode_float(samples, &mut payload[start..]);
                    payload.truncate(start + written.as_ref().map_or(0, |&bytes| bytes));
                    written?;
                }
            }
            Codec::Pcm => {
                payload.extend(
                    samples
                        .iter()
                        .flat_map(|&sample| to_i16(sample).to_le_bytes()),
                );
            }
            Codec::Pcmu => payload.extend(samples.iter().map(|&s| encode_ulaw(to_i16(s)))),
            Codec::Pcma => payload.extend(samples.iter().map(|&s| encode_alaw(to_i16(s)))),
        }
        Ok(())
    }

    /// The format it encodes.
    pub fn format(&self) -> Format {
        self.format
    }
}

/// Replaces what is not a number by silence and clamps the rest to −1..1.
pub fn make_finite(samples: &mut [f32]) {
    for sample in samples {
        *sample = if sample.is_finite() {
            sample.clamp(-1.0, 1.0)
        } else {
            0.0
        };
    }
}

fn opus_channels(format: Format) -> opus::Channels {
    if format.channels() == 1 {
        opus::Channels::Mono
    } else {
        opus::Channels::Stereo
    }
}

/// libopus conceals multiples of 2.5 ms up to 120 ms; a remainder is the head of one more.
fn conceal_opus(opus: &mut opus::Decoder, format: Format, out: &mut [f32]) {
    let channels = format.channels();
    let step = format.sample_rate_hz() as usize / 400 * channels;
    let most = format.samples_in(MAX_CHUNK) * channels;
    let mut rest = out;
    while rest.len() >= step {
        let now = (rest.len() / step * step).min(most);
        let (head, tail) = rest.split_at_mut(now);
        if opus.decode_float(&[], head, false).is_err() {
            head.fill(0.0);
        }
        rest = tail;
    }
    if !rest.is_empty() {
        let mut last = vec![0.0; step];
        if opus.decode_float(&[], &mut last, false).is_ok() {
            rest.copy_from_slice(&last[..rest.len()]);
        }
    }
}

fn from_i16(sample: i16) -> f32 {
    f32::from(sample) / 32_768.0
}

fn to_i16(sample: f32) -> i16 {
    // `as` saturates, and takes NaN to 0.
    (sample * 32_768.0).round() as i16
}
