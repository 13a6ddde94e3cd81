//! Encoding and decoding one leg's payloads, with concealment of what cannot be decoded.
//!
//! Both ends are stateful: one [`Decoder`] and one [`Encoder`] a direction. What a decoder returns
//! is always finite and within −1..1, whatever the bytes were: random bytes decode to peaks of
//! thousands, and one NaN would poison every filter behind.

use audio_codec_algorithms::{decode_alaw, decode_ulaw, encode_alaw, encode_ulaw};

use crate::format::{Codec, Format, MAX_CHUNK, PayloadError};

/// Bitrate for Opus at 48 kHz in mono unless told otherwise: `docs/bit-rate.md` says why.
pub const DEFAULT_BITRATE: u32 = 64_000;

/// The same for stereo.
const STEREO_BITRATE: u32 = 96_000;

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
                opus_channels(format),
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

/// The bitrate that an Opus stream of this format gets unless told otherwise: [`DEFAULT_BITRATE`] for
/// 48 kHz in mono, less for lower rates. Means nothing to other codecs.
pub fn default_bitrate(format: Format) -> u32 {
    // With less, packets of 2.5 ms mix the sides, whatever the rate.
    if format.channels() == 2 {
        return STEREO_BITRATE;
    }
    match format.sample_rate_hz() {
        ..=8_000 => 24_000,
        8_001..=12_000 => 32_000,
        12_001..=16_000 => 40_000,
        16_001..=24_000 => 48_000,
        _ => DEFAULT_BITRATE,
    }
}

/// Turns samples into payloads.
pub struct Encoder {
    format: Format,
    opus: Option<opus::Encoder>,
}

impl Encoder {
    /// An encoder for one direction of one leg. `bitrate` is in bits per second and means something
    /// to Opus only; libopus clamps it to what is possible. It is the mean over speech and pauses: a
    /// packet of speech takes up to half as much again, one of silence next to nothing.
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
                opus.set_bitrate(bits(bitrate))?;
                opus.set_complexity(OPUS_COMPLEXITY)?;
                // A constrained packet of speech must do with what one of silence gets. In stereo, what
                // is easy to encode would get too little to keep its sides apart.
                opus.set_vbr_constraint(format.channels() == 2)?;
                Some(opus)
            }
            _ => None,
        };
        Ok(Self { format, opus })
    }

    /// Changes the bitrate (bits per second, Opus only) from the next packet on.
    ///
    /// # Errors
    /// libopus refused it.
    pub fn set_bitrate(&mut self, bitrate: u32) -> Result<(), CodecError> {
        if let Some(opus) = &mut self.opus {
            opus.set_bitrate(bits(bitrate))?;
        }
        Ok(())
    }

    /// What [`Encoder::lookahead`] will be for this format, without setting one up.
    pub fn lookahead_of(format: Format) -> usize {
        match format.codec() {
            Codec::Opus => format.sample_rate_hz() as usize / 400,
            _ => 0,
        }
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

fn peak_of(samples: &[f32]) -> f32 {
    samples
        .iter()
        .fold(0.0, |peak, sample| match sample.is_nan() {
            true => f32::INFINITY,
            false => peak.max(sample.abs()),
        })
}

fn bits(bitrate: u32) -> opus::Bitrate {
    opus::Bitrate::Bits(i32::try_from(bitrate).unwrap_or(i32::MAX))
}

fn opus_channels(format: Format) -> opus::Channels {
    if format.channels() == 1 {
        opus::Channels::Mono
    } else {
        opus::Channels::Stereo
    }
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

pub(crate) fn from_i16(sample: i16) -> f32 {
    f32::from(sample) / 32_768.0
}

fn to_i16(sample: f32) -> i16 {
    // `as` saturates, and takes NaN to 0.
    (sample * 32_768.0).round() as i16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_signal::{
        fit_sine, lag, noise, peak, phase_delay_s, rms_db, sine, speech_like,
    };

    fn format(codec: &str, rate: i32, channels: i32) -> Format {
        Format::parse(codec, rate, channels).unwrap()
    }

    /// Through the encoder and the decoder, in chunks of `samples` per channel.
    fn round_trip(format: Format, bitrate: u32, sound: &[f32], samples: usize) -> Vec<f32> {
        let mut encoder = Encoder::new(format, bitrate).unwrap();
        let mut decoder = Decoder::new(format).unwrap();
        let (mut payload, mut heard) = (Vec::new(), Vec::new());
        for chunk in sound.chunks_exact(samples * format.channels()) {
            payload.clear();
            encoder.encode(chunk, &mut payload).unwrap();
            assert_eq!(decoder.decode(&payload, &mut heard), Ok(Decoded::Sound));
        }
        heard
    }

    /// Scale-invariant signal-to-distortion ratio in dB (Le Roux et al., 2019).
    fn si_sdr_db(reference: &[f32], heard: &[f32]) -> f64 {
        let dot = |a: &[f32], b: &[f32]| -> f64 {
            a.iter()
                .zip(b)
                .map(|(&a, &b)| f64::from(a) * f64::from(b))
                .sum()
        };
        let scale = dot(reference, heard) / dot(reference, reference);
        let signal = scale * scale * dot(reference, reference);
        let rest: f64 = reference
            .iter()
            .zip(heard)
            .map(|(&r, &h)| (f64::from(h) - scale * f64::from(r)).powi(2))
            .sum();
        10.0 * (signal / rest).log10()
    }

    #[test]
    fn opus_keeps_speech_and_is_late_by_its_look_ahead() {
        let speech = speech_like(4);
        for samples in [120, 240, 480, 960, 2_880, 5_760] {
            let heard = round_trip(Format::OPUS_48K_MONO, 64_000, &speech, samples);
            let lookahead = Encoder::new(Format::OPUS_48K_MONO, 64_000)
                .unwrap()
                .lookahead();
            assert_eq!(lookahead, 120);
            assert_eq!(Encoder::lookahead_of(Format::OPUS_48K_MONO), 120);
            let late = lag(&speech[..heard.len()], &heard, 2_000);
            assert!((late - lookahead as f64).abs() < 1.0, "{samples}: {late}");
            let level = rms_db(&heard) - rms_db(&speech[..heard.len()]);
            assert!(level.abs() < 0.5, "{samples}: {level:.2} dB");
            // At 2.5 ms the packets' own overhead eats much of the bitrate.
            let least = if samples < 480 { 5.0 } else { 12.0 };
            let kept = si_sdr_db(&speech, &heard[lookahead..]);
            assert!(kept > least, "{samples}: SI-SDR {kept:.1} dB");
        }
    }

    #[test]
    fn opus_keeps_a_tone_at_every_rate() {
        for rate in [8_000, 12_000, 16_000, 24_000, 48_000] {
            for channels in [1, 2] {
                let format = format("opus", rate, channels);
                let rate = format.sample_rate_hz();
                let mono = sine(1_000.0, 0.25, rate, 2 * rate as usize);
                let sound: Vec<f32> = mono
                    .iter()
                    .flat_map(|&sample| vec![sample; format.channels()])
                    .collect();
                let heard = round_trip(format, 48_000, &sound, rate as usize / 50);
                let left: Vec<f32> = heard.iter().step_by(format.channels()).copied().collect();
                let fit = fit_sine(&left[rate as usize / 2..], 1_000.0, rate);
                assert!((fit.level_db - -12.04).abs() < 0.3, "{format}: {fit:?}");
                assert!(fit.sinad_db > 20.0, "{format}: {fit:?}");
                let stated = Encoder::lookahead_of(format);
                assert_eq!(Encoder::new(format, 48_000).unwrap().lookahead(), stated);
                let late_s = phase_delay_s(&left[rate as usize / 2..], rate / 2, 1_000.0, rate);
                // 2.5 ms are two and a half periods.
                assert!((late_s - 0.000_5).abs() < 0.000_05, "{format}: {late_s}");
            }
        }
    }

    #[test]
    fn the_default_bitrate_goes_by_the_format() {
        for (rate, channels, bitrate) in [
            (48_000, 1, DEFAULT_BITRATE),
            (48_000, 2, 96_000),
            (16_000, 1, 40_000),
            (8_000, 1, 24_000),
            (8_000, 2, 96_000),
        ] {
            assert_eq!(default_bitrate(format("opus", rate, channels)), bitrate);
        }
    }

    #[test]
    fn speech_takes_what_it_needs_and_silence_next_to_nothing() {
        let mean = |sound: &[f32]| {
            let mut encoder = Encoder::new(Format::OPUS_48K_MONO, DEFAULT_BITRATE).unwrap();
            let mut payload = Vec::new();
            for chunk in sound.chunks_exact(480) {
                encoder.encode(chunk, &mut payload).unwrap();
            }
            payload.len() * 8 * 48_000 / sound.len()
        };
        let speech = mean(&speech_like(4));
        assert!((64_000..110_000).contains(&speech), "{speech}");
        let silence = mean(&vec![0.0; 96_000]);
        assert!(silence < 8_000, "{silence}");
    }

    #[test]
    fn pcm_survives_bit_for_bit() {
        for channels in [1, 2] {
            let format = format("pcm", 48_000, channels);
            let mut decoder = Decoder::new(format).unwrap();
            let mut encoder = Encoder::new(format, 0).unwrap();
            let all: Vec<u8> = (i16::MIN..=i16::MAX).flat_map(i16::to_le_bytes).collect();
            for payload in all.chunks(8_192) {
                let (mut samples, mut back) = (Vec::new(), Vec::new());
                decoder.decode(payload, &mut samples).unwrap();
                encoder.encode(&samples, &mut back).unwrap();
                assert!(back == payload);
            }
        }
    }

    #[test]
    fn pcm_beyond_full_scale_is_clamped_and_not_wrapped() {
        let mut encoder = Encoder::new(format("pcm", 48_000, 1), 0).unwrap();
        let mut payload = Vec::new();
        encoder
            .encode(&[1.0, 1e9, -1.0, -1e9, f32::NAN], &mut payload)
            .unwrap();
        let samples: Vec<i16> = payload
            .chunks_exact(2)
            .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
            .collect();
        assert_eq!(samples, [32_767, 32_767, -32_768, -32_768, 0]);
    }

    #[test]
    fn g711_keeps_a_tone_and_its_own_bytes() {
        for codec in ["pcmu", "pcma"] {
            let format = format(codec, 8_000, 1);
            let heard = round_trip(format, 0, &sine(1_020.0, 0.25, 8_000, 8_000), 160);
            let fit = fit_sine(&heard, 1_020.0, 8_000);
            assert!((fit.level_db - -12.04).abs() < 0.1, "{codec}: {fit:?}");
            assert!(fit.sinad_db > 33.0, "{codec}: {fit:?}");
            assert!(fit.phase.abs() < 0.01, "{codec}: {fit:?}");

            let all: Vec<u8> = (0..=255).collect();
            let (mut samples, mut back, mut again) = (Vec::new(), Vec::new(), Vec::new());
            Decoder::new(format)
                .unwrap()
                .decode(&all, &mut samples)
                .unwrap();
            Encoder::new(format, 0)
                .unwrap()
                .encode(&samples, &mut back)
                .unwrap();
            Decoder::new(format)
                .unwrap()
                .decode(&back, &mut again)
                .unwrap();
            // µ-law writes zero in two ways; what they sound like is the same.
            assert_eq!(samples, again, "{codec}");
        }
    }

    #[test]
    fn concealment_fills_any_count_exactly() {
        for (codec, rate, channels) in [
            ("opus", 48_000, 1),
            ("opus", 48_000, 2),
            ("opus", 8_000, 1),
            ("opus", 12_000, 2),
            ("pcm", 44_100, 2),
            ("pcmu", 8_000, 1),
        ] {
            let format = format(codec, rate, channels);
            let mut decoder = Decoder::new(format).unwrap();
            let mut samples = Vec::new();
            // Before anything was heard there is nothing to go on with, but time to fill.
            decoder.conceal(480, &mut samples);
            assert_eq!(samples.len(), 480 * format.channels());
            assert_eq!(peak(&samples), 0.0);
            for count in [
                0, 1, 19, 20, 119, 120, 121, 441, 480, 1_000, 5_760, 5_761, 20_000,
            ] {
                samples.clear();
                decoder.conceal(count, &mut samples);
                assert_eq!(
                    samples.len(),
                    count * format.channels(),
                    "{format}: {count}"
                );
                assert!(samples.iter().all(|sample| sample.is_finite()));
            }
        }
    }

    #[test]
    fn concealment_goes_on_without_a_step_and_fades() {
        for (codec, rate, channels) in [
            ("opus", 48_000, 1),
            ("pcm", 48_000, 1),
            ("pcm", 44_100, 2),
            ("pcma", 8_000, 1),
        ] {
            let format = format(codec, rate, channels);
            let rate = format.sample_rate_hz() as usize;
            let mono = sine(200.0, 0.5, rate as u32, rate);
            let sound: Vec<f32> = mono
                .iter()
                .flat_map(|&sample| vec![sample; format.channels()])
                .collect();
            let mut encoder = Encoder::new(format, 64_000).unwrap();
            let mut decoder = Decoder::new(format).unwrap();
            let (mut payload, mut heard) = (Vec::new(), Vec::new());
            for chunk in sound.chunks_exact(rate / 50 * format.channels()) {
                payload.clear();
                encoder.encode(chunk, &mut payload).unwrap();
                decoder.decode(&payload, &mut heard).unwrap();
            }
            let end = heard.len();
            // In pieces, as a jitter buffer asks for it; the first is no multiple of 2.5 ms.
            decoder.conceal(rate * 3 / 1_000, &mut heard);
            assert!(
                peak(&heard[heard.len() - rate / 4_000 * format.channels()..]) > 0.01,
                "{format}"
            );
            for _ in 0..30 {
                decoder.conceal(rate / 100, &mut heard);
            }
            let left: Vec<f32> = heard.iter().step_by(format.channels()).copied().collect();
            let end = end / format.channels();
            let steepest = |samples: &[f32]| {
                let steps = samples.windows(2).map(|pair| (pair[1] - pair[0]).abs());
                steps.fold(0.0, f32::max)
            };
            let usual = steepest(&left[end / 2..end]);
            let around = steepest(&left[end - 2..]);
            assert!(
                around < 1.3 * usual + 0.01,
                "{format}: {around} after {usual}"
            );
            let level = |from_ms: usize| {
                rms_db(&left[end + from_ms * rate / 1_000..end + (from_ms + 10) * rate / 1_000])
            };
            assert!(level(0) > -13.0, "{format}: {:.1}", level(0));
            assert!(
                level(0) > level(30),
                "{format}: {:.1} {:.1}",
                level(0),
                level(30)
            );
            assert!(level(290) < -25.0, "{format}: {:.1}", level(290));
        }
    }

    #[test]
    fn what_is_decoded_is_finite_and_bounded_whatever_the_bytes() {
        let bytes: Vec<u8> = noise(1.0, 3, 100_000)
            .iter()
            .map(|sample| (sample.to_bits() >> 5) as u8)
            .collect();
        let mut decoder = Decoder::new(format("opus", 48_000, 2)).unwrap();
        let mut samples = Vec::new();
        for n in 0..5_000 {
            samples.clear();
            let start = n * 7_919 % 90_000;
            // A duration that is not ours is the only thing refused.
            let result = decoder.decode(&bytes[start..start + n % 400], &mut samples);
            assert!(!matches!(result, Err(PayloadError::NotOpus)));
            assert!(samples.iter().all(|sample| (-1.0..=1.0).contains(sample)));
        }
    }

    #[test]
    fn what_is_no_number_becomes_silence() {
        let mut samples = [
            f32::NAN,
            f32::INFINITY,
            f32::NEG_INFINITY,
            9_000.0,
            -9_000.0,
            0.5,
        ];
        make_finite(&mut samples);
        assert_eq!(samples, [0.0, 0.0, 0.0, 1.0, -1.0, 0.5]);
        let mut encoder = Encoder::new(Format::OPUS_48K_MONO, 32_000).unwrap();
        let mut decoder = Decoder::new(Format::OPUS_48K_MONO).unwrap();
        let (mut payload, mut heard) = (Vec::new(), Vec::new());
        for chunk in [[f32::NAN; 480], [0.0; 480], [0.0; 480], [0.0; 480]] {
            payload.clear();
            encoder.encode(&chunk, &mut payload).unwrap();
            decoder.decode(&payload, &mut heard).unwrap();
        }
        assert!(heard.iter().all(|sample| sample.is_finite()));
    }
}
