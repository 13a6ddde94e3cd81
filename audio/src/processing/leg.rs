//! One leg's sound on the server: decode, process, encode back in the leg's own format.
//!
//! Pure and synchronous: one payload in, one payload out, with the same number of samples. Runs in
//! the task that serves the leg. With no effects the payload is checked and passed on as it is,
//! undecoded, which is what makes such an echo lossless and cheap.

use super::chain::Chain;
use super::effects::Effects;
use super::resampler::ResamplerError;
use crate::codec::format::{Codec, Format, PayloadError};
use crate::codec::{CodecError, Decoded, Decoder, Encoder, default_bitrate};
use crate::measure::rfc6464_level;

/// Over so much sound the bitrate of a peer is measured.
const BITRATE_WINDOW: std::time::Duration = std::time::Duration::from_secs(1);

/// No answer is encoded at more than this, whatever the packets of the peer look like.
const MAX_BITRATE: u32 = 256_000;

/// What an undecodable first packet is taken to last.
const UNKNOWN_DURATION: std::time::Duration = std::time::Duration::from_millis(20);

/// What became of one payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Processed {
    /// Samples per channel, in the payload and in its answer.
    pub samples_per_channel: usize,
    /// The payload was not decodable; the answer holds concealment instead.
    pub concealed: bool,
    /// Level of the answer's sound as RFC 6464 writes it (−dBov, 0–127); `None` when it was not
    /// decoded.
    pub level: Option<u8>,
}

/// A payload that got no answer.
#[derive(Debug, thiserror::Error)]
pub enum LegError {
    /// The peer's fault: this payload is not of the leg's format.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// Our fault: the codec failed.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// Our fault: the format has a rate that cannot be processed.
    #[error(transparent)]
    Resampler(#[from] ResamplerError),
    /// A chunk without audio reached the processing; it is to be answered without.
    #[error("there is no audio in this chunk to process")]
    Empty,
}

/// One leg's decode → chain → encode.
pub struct Leg {
    format: Format,
    effects: Effects,
    /// Samples per channel of the newest payload whose duration was readable, as long as nothing is
    /// decoded; the decoder remembers by itself.
    last_samples: usize,
    /// Set up with the first payload, whose size the framing goes by.
    path: Option<Path>,
}

impl Leg {
    /// A leg of this format. Cheap: nothing is set up before the first payload.
    pub fn new(format: Format, effects: &Effects) -> Self {
        Self {
            format,
            effects: effects.clone(),
            last_samples: format.samples_in(UNKNOWN_DURATION),
            path: None,
        }
    }

    /// Processes one payload (not an empty one) into `answer`, which is cleared first: the same
    /// format, the same number of samples.
    ///
    /// # Errors
    /// [`LegError::Payload`] names what is wrong with the payload; the leg can go on. The others are
    /// faults of ours.
    pub fn process(&mut self, payload: &[u8], answer: &mut Vec<u8>) -> Result<Processed, LegError> {
        answer.clear();
        if payload.is_empty() {
            return Err(LegError::Empty);
        }
        if self.effects.is_none() {
            return self.pass_on(payload, answer);
        }
        let path = match &mut self.path {
            Some(path) => path,
            None => {
                self.last_samples = self.duration_of(payload)?;
                let path = Path::new(self.format, &self.effects, self.last_samples)?;
                self.path.insert(path)
            }
        };
        path.process(payload, answer)
    }

    /// By how much the answer's sound lags the payload's, in microseconds: effects, framing,
    /// resampling and the encoder's look-ahead. Before the first payload it is reckoned for chunks
    /// of 10 ms.
    pub fn processing_delay_us(&self) -> u32 {
        if self.effects.is_none() {
            return 0;
        }
        let rate = self.format.sample_rate_hz();
        let samples = match &self.path {
            Some(path) => path.chain.delay_samples() + path.lookahead,
            None => {
                let chunk = rate as usize / 100;
                Chain::delay_samples_of(&self.effects, rate, chunk)
                    + Encoder::lookahead_of(self.format)
            }
        };
        (samples as u64 * 1_000_000 / u64::from(rate)) as u32
    }

    /// The leg's format.
    pub fn format(&self) -> Format {
        self.format
    }

    fn pass_on(&mut self, payload: &[u8], answer: &mut Vec<u8>) -> Result<Processed, LegError> {
        self.last_samples = self.duration_of(payload)?;
        answer.extend_from_slice(payload);
        Ok(Processed {
            samples_per_channel: self.last_samples,
            concealed: false,
            level: None,
        })
    }

    /// Samples per channel in a payload; as many as in the last one where that is not readable.
    fn duration_of(&self, payload: &[u8]) -> Result<usize, PayloadError> {
        match self.format.samples_per_channel(payload) {
            Err(PayloadError::NotOpus) => Ok(self.last_samples),
            result => result,
        }
    }
}

/// What a payload goes through.
struct Path {
    decoder: Decoder,
    chain: Chain,
    encoder: Encoder,
    lookahead: usize,
    bitrate: u32,
    /// Of the peer's packets since its bitrate was last measured, samples per channel.
    measured_bytes: u64,
    measured_samples: u64,
    samples: Vec<f32>,
}

impl Path {
    fn new(format: Format, effects: &Effects, chunk_samples: usize) -> Result<Self, LegError> {
        let bitrate = default_bitrate(format);
        let mut encoder = Encoder::new(format, bitrate)?;
        Ok(Self {
            decoder: Decoder::new(format)?,
            chain: Chain::new(
                effects,
                format.sample_rate_hz(),
                format.channels(),
                chunk_samples,
            )?,
            lookahead: encoder.lookahead(),
            encoder,
            bitrate,
            measured_bytes: 0,
            measured_samples: 0,
            samples: Vec::new(),
        })
    }

    fn process(&mut self, payload: &[u8], answer: &mut Vec<u8>) -> Result<Processed, LegError> {
        let format = self.encoder.format();
        self.samples.clear();
        let decoded = self.decoder.decode(payload, &mut self.samples)?;
        let samples_per_channel = self.samples.len() / format.channels();
        if decoded == Decoded::Sound {
            self.follow_bitrate(payload.len(), samples_per_channel)?;
        }
        self.chain.process(&mut self.samples);
        self.encoder.encode(&self.samples, answer)?;
        Ok(Processed {
            samples_per_channel,
            concealed: decoded == Decoded::Concealed,
            level: Some(rfc6464_level(&self.samples)),
        })
    }

    /// Answers in no lower quality than the peer speaks in, and not for ever in that of its best
    /// second. Speech takes up to half as much again as the bitrate that an encoder was told, so that
    /// is what the measured one may be and what is taken off it.
    fn follow_bitrate(&mut self, bytes: usize, samples: usize) -> Result<(), CodecError> {
        let format = self.encoder.format();
        if format.codec() != Codec::Opus {
            return Ok(());
        }
        self.measured_bytes += bytes as u64;
        self.measured_samples += samples as u64;
        if self.measured_samples < format.samples_in(BITRATE_WINDOW) as u64 {
            return Ok(());
        }
        let rate = u64::from(format.sample_rate_hz());
        let theirs = self.measured_bytes * 8 * rate / self.measured_samples;
        (self.measured_bytes, self.measured_samples) = (0, 0);
        let told = u32::try_from(theirs * 2 / 3).unwrap_or(u32::MAX);
        let told = told.min(MAX_BITRATE);
        // At once where they are better, an eighth a second where they are not: a pause is no wish.
        let least = default_bitrate(format).max(self.bitrate - self.bitrate / 8);
        let told = told.max(least);
        if told > self.bitrate + self.bitrate / 8 || told < self.bitrate {
            self.bitrate = told;
            self.encoder.set_bitrate(told)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{fit_sine, lag, noise, peak, phase_delay_s, rms_db, sine, speech_like};

    fn format(codec: &str, rate: i32, channels: i32) -> Format {
        Format::parse(codec, rate, channels).unwrap()
    }

    fn effects(list: &str) -> Effects {
        Effects::parse(list).unwrap()
    }

    /// Sends sound through a leg as a client would, and returns what the client hears.
    fn call(leg: &mut Leg, sound: &[f32], chunk_samples: &[usize]) -> Vec<f32> {
        let format = leg.format();
        let mut encoder = Encoder::new(format, 64_000).unwrap();
        let mut decoder = Decoder::new(format).unwrap();
        let (mut payload, mut answer, mut heard) = (Vec::new(), Vec::new(), Vec::new());
        let mut rest = sound;
        for &samples in chunk_samples.iter().cycle() {
            let Some((chunk, after)) = rest.split_at_checked(samples * format.channels()) else {
                break;
            };
            rest = after;
            payload.clear();
            encoder.encode(chunk, &mut payload).unwrap();
            let processed = leg.process(&payload, &mut answer).unwrap();
            assert_eq!(processed.samples_per_channel, samples);
            assert!(!processed.concealed);
            assert_eq!(format.samples_per_channel(&answer), Ok(samples));
            decoder.decode(&answer, &mut heard).unwrap();
        }
        heard
    }

    #[test]
    fn a_tone_keeps_frequency_and_level_in_every_codec() {
        for (codec, rate, sinad_db) in [
            ("opus", 48_000, 20.0),
            ("opus", 24_000, 20.0),
            ("opus", 8_000, 18.0),
            ("pcm", 48_000, 60.0),
            ("pcm", 44_100, 60.0),
            ("pcm", 8_000, 60.0),
            ("pcmu", 8_000, 30.0),
            ("pcma", 8_000, 30.0),
        ] {
            for list in ["none", "highpass,agc,limiter"] {
                for channels in [1, 2] {
                    let format = format(codec, rate, channels);
                    let rate = format.sample_rate_hz();
                    let mono = sine(440.0, 0.25, rate, 3 * rate as usize);
                    let sound: Vec<f32> = mono
                        .iter()
                        .flat_map(|&sample| vec![sample; format.channels()])
                        .collect();
                    let mut leg = Leg::new(format, &effects(list));
                    let heard = call(&mut leg, &sound, &[rate as usize / 50]);
                    assert_eq!(heard.len(), sound.len());
                    let left: Vec<f32> = heard.iter().step_by(format.channels()).copied().collect();
                    let fit = fit_sine(&left[rate as usize..], 440.0, rate);
                    let case = format!("{format}, {list}");
                    assert!((fit.level_db - -12.04).abs() < 0.5, "{case}: {fit:?}");
                    assert!(fit.sinad_db > sinad_db, "{case}: {fit:?}");
                }
            }
        }
    }

    #[test]
    fn the_delay_is_the_one_stated() {
        for (codec, rate, chunk) in [
            ("pcm", 48_000, 480),
            ("pcm", 48_000, 240),
            ("pcm", 48_000, 37),
            ("pcm", 44_100, 441),
            ("pcm", 16_000, 320),
            ("pcma", 8_000, 160),
            ("opus", 48_000, 480),
            ("opus", 48_000, 120),
            ("opus", 48_000, 2_880),
            ("opus", 16_000, 320),
            ("opus", 8_000, 160),
        ] {
            let format = format(codec, rate, 1);
            let rate = format.sample_rate_hz();
            let mut leg = Leg::new(format, &effects("limiter"));
            // 100 Hz through Opus is certain, and 10 ms more than any uncertainty here; it does not
            // tell whole periods apart, which the next test does.
            let sound = sine(100.0, 0.5, rate, 3 * rate as usize);
            let heard = call(&mut leg, &sound, &[chunk]);
            let measured_us = 1e6 * phase_delay_s(&heard[rate as usize..], rate, 100.0, rate);
            // The client's own encoder looks ahead, too.
            let client = Encoder::lookahead_of(format) as f64 * 1e6 / f64::from(rate);
            let stated_us = f64::from(leg.processing_delay_us()) + client;
            let off = (measured_us - stated_us + 5_000.0).rem_euclid(10_000.0) - 5_000.0;
            let allowed = if codec == "opus" {
                200.0
            } else {
                1e6 / f64::from(rate)
            };
            assert!(
                off.abs() <= allowed,
                "{format}/{chunk}: {measured_us:.0} not {stated_us:.0} µs"
            );
        }
    }

    #[test]
    fn the_default_effects_come_with_the_delay_stated() {
        for (codec, rate, chunk) in [
            ("opus", 48_000, 480),
            ("opus", 48_000, 240),
            ("opus", 16_000, 960),
            ("pcm", 48_000, 960),
            ("pcmu", 8_000, 160),
        ] {
            let format = format(codec, rate, 1);
            let mut sound = Vec::new();
            let mut resampler = crate::Resampler::new(48_000, format.sample_rate_hz(), 1).unwrap();
            resampler.process(&speech_like(4), &mut sound);
            let mut leg = Leg::new(format, &Effects::default());
            let heard = call(&mut leg, &sound, &[chunk]);
            let late = lag(&sound[..heard.len()], &heard, sound.len() / 40);
            let late_us = late * 1e6 / f64::from(format.sample_rate_hz());
            let client =
                Encoder::lookahead_of(format) as f64 * 1e6 / f64::from(format.sample_rate_hz());
            let stated_us = f64::from(leg.processing_delay_us()) + client;
            // The high-pass moves the pitch by up to a millisecond, backwards.
            assert!(
                (-1_000.0..200.0).contains(&(late_us - stated_us)),
                "{format}/{chunk}: {late_us:.0} not {stated_us:.0} µs"
            );
        }
    }

    #[test]
    fn the_delay_is_known_before_the_first_payload() {
        let opus = Format::OPUS_48K_MONO;
        // 2 ms of denoising, 0.5 of limiting, 2.5 of Opus.
        let mut leg = Leg::new(opus, &Effects::default());
        assert_eq!(leg.processing_delay_us(), 5_000);
        call(&mut leg, &[0.0; 9_600], &[480]);
        assert_eq!(leg.processing_delay_us(), 5_000);
        let mut leg = Leg::new(opus, &Effects::default());
        call(&mut leg, &[0.0; 9_600], &[240]);
        assert_eq!(leg.processing_delay_us(), 10_000);
        for codec in ["opus", "pcm", "pcmu"] {
            let leg = Leg::new(format(codec, 8_000, 2), &Effects::none());
            assert_eq!(leg.processing_delay_us(), 0);
        }
    }

    #[test]
    fn without_effects_every_byte_comes_back() {
        let mut answer = Vec::new();
        let bytes: Vec<u8> = (0..=255).cycle().take(1_920).collect();
        for codec in ["pcm", "pcmu", "pcma"] {
            let mut leg = Leg::new(format(codec, 8_000, 1), &Effects::none());
            let processed = leg.process(&bytes[..960], &mut answer).unwrap();
            assert_eq!(answer, bytes[..960]);
            assert_eq!((processed.concealed, processed.level), (false, None));
        }
        let mut leg = Leg::new(Format::OPUS_48K_MONO, &Effects::none());
        // What cannot be read as Opus is passed on, too, as long as the last one.
        for (packet, samples) in [
            (&[18 << 3, 1, 2][..], 480),
            (&[18 << 3 | 3][..], 480),
            (&[16 << 3][..], 120),
        ] {
            let processed = leg.process(packet, &mut answer).unwrap();
            assert_eq!(answer, packet);
            assert_eq!(processed.samples_per_channel, samples);
        }
    }

    #[test]
    fn chunks_may_change_their_size_at_any_time() {
        let opus = Format::OPUS_48K_MONO;
        let sound = sine(440.0, 0.25, 48_000, 5 * 48_000);
        for list in ["none", "limiter"] {
            let mut leg = Leg::new(opus, &effects(list));
            let heard = call(&mut leg, &sound, &[480, 120, 960, 240, 5_760, 1_920]);
            let fit = fit_sine(&heard[72_000..72_000 + 4_800], 440.0, 48_000);
            assert!((fit.level_db - -12.04).abs() < 0.5, "{list}: {fit:?}");
        }
        let mut leg = Leg::new(format("pcm", 44_100, 2), &effects("limiter"));
        let sound = sine(440.0, 0.25, 88_200, 10 * 44_100);
        let heard = call(&mut leg, &sound, &[441, 1, 37, 5_292, 882]);
        assert!(rms_db(&heard[88_200..]) > -16.0);
    }

    #[test]
    fn wrong_payloads_are_refused_and_the_leg_goes_on() {
        let mut answer = vec![1, 2, 3];
        for list in ["none", Effects::DEFAULT] {
            let mut leg = Leg::new(format("pcm", 48_000, 2), &effects(list));
            let error = leg.process(&[0; 7], &mut answer).unwrap_err();
            assert!(matches!(
                error,
                LegError::Payload(PayloadError::NotWholeSamples { .. })
            ));
            assert!(answer.is_empty());
            let error = leg.process(&[0; 48_000], &mut answer).unwrap_err();
            assert!(matches!(
                error,
                LegError::Payload(PayloadError::TooLong { .. })
            ));
            assert!(matches!(
                leg.process(&[], &mut answer),
                Err(LegError::Empty)
            ));
            assert_eq!(
                leg.process(&[0; 1_920], &mut answer)
                    .unwrap()
                    .samples_per_channel,
                480
            );
            assert_eq!(answer.len(), 1_920);
        }
    }

    #[test]
    fn an_undecodable_packet_is_concealed_for_as_long_as_the_last() {
        let mut leg = Leg::new(Format::OPUS_48K_MONO, &effects("limiter"));
        call(&mut leg, &sine(440.0, 0.25, 48_000, 48_000), &[480]);
        let mut answer = Vec::new();
        // Code 3 with no frame count.
        let processed = leg.process(&[(18 << 3) | 3], &mut answer).unwrap();
        assert!(processed.concealed);
        assert_eq!(processed.samples_per_channel, 480);
        assert_eq!(Format::OPUS_48K_MONO.samples_per_channel(&answer), Ok(480));
        // Concealment goes on with the tone: −15 dBFS RMS.
        assert!(processed.level.unwrap() < 25, "{processed:?}");
    }

    #[test]
    fn the_level_is_that_of_the_answer() {
        let mut leg = Leg::new(format("pcm", 48_000, 1), &effects("highpass"));
        let mut answer = Vec::new();
        let payload: Vec<u8> = sine(1_000.0, 0.1, 48_000, 480)
            .iter()
            .flat_map(|sample| ((sample * 32_768.0) as i16).to_le_bytes())
            .collect();
        leg.process(&payload, &mut answer).unwrap();
        assert_eq!(leg.process(&payload, &mut answer).unwrap().level, Some(23));
        for _ in 0..20 {
            leg.process(&[0; 960], &mut answer).unwrap();
        }
        assert_eq!(
            leg.process(&[0; 960], &mut answer).unwrap().level,
            Some(127)
        );
    }

    #[test]
    fn a_peer_with_a_high_bitrate_is_answered_in_kind() {
        let sound = speech_like(4);
        for (theirs, low, high) in [(16_000, 64_000, 110_000), (160_000, 150_000, 320_000)] {
            let mut encoder = Encoder::new(Format::OPUS_48K_MONO, theirs).unwrap();
            let mut leg = Leg::new(Format::OPUS_48K_MONO, &effects("limiter"));
            let (mut payload, mut answer, mut bytes) = (Vec::new(), Vec::new(), 0);
            for (index, chunk) in sound.chunks_exact(960).enumerate() {
                payload.clear();
                encoder.encode(chunk, &mut payload).unwrap();
                leg.process(&payload, &mut answer).unwrap();
                if index >= 100 {
                    bytes += answer.len();
                }
            }
            // Of two seconds.
            assert!(
                (low..high).contains(&(bytes * 4)),
                "{theirs}: {}",
                bytes * 4
            );
        }
    }

    #[test]
    fn one_rich_second_is_not_answered_in_kind_for_ever() {
        let sound = speech_like(4);
        let mut leg = Leg::new(Format::OPUS_48K_MONO, &effects("limiter"));
        let (mut payload, mut answer) = (Vec::new(), Vec::new());
        let mut say = |bitrate, seconds| {
            let mut encoder = Encoder::new(Format::OPUS_48K_MONO, bitrate).unwrap();
            let mut bytes = 0;
            for chunk in sound.chunks_exact(960).cycle().take(50 * seconds) {
                payload.clear();
                encoder.encode(chunk, &mut payload).unwrap();
                leg.process(&payload, &mut answer).unwrap();
                bytes += answer.len();
            }
            bytes * 8 / seconds
        };
        let usual = say(64_000, 4);
        say(200_000, 2);
        let rich = say(64_000, 1);
        assert!(rich > usual * 3 / 2, "{rich} after {usual}");
        say(64_000, 20);
        let after = say(64_000, 4);
        assert!(
            after < usual * 9 / 8,
            "{after} after {rich}, {usual} before"
        );
    }

    #[test]
    fn random_bytes_do_no_harm() {
        for (codec, rate, channels, list) in [
            ("opus", 48_000, 1, Effects::DEFAULT),
            ("opus", 8_000, 2, "highpass,agc,limiter"),
            ("opus", 48_000, 2, "none"),
            ("pcm", 44_100, 2, "highpass,agc,limiter,delay"),
            ("pcmu", 8_000, 1, "agc,limiter"),
        ] {
            let format = format(codec, rate, channels);
            let mut leg = Leg::new(format, &effects(list));
            let mut decoder = Decoder::new(format).unwrap();
            let bytes: Vec<u8> = noise(1.0, 7, 200_000)
                .iter()
                .map(|sample| (sample.to_bits() >> 5) as u8)
                .collect();
            let (mut answer, mut heard, mut answered) = (Vec::new(), Vec::new(), 0);
            let packets = if codec == "opus" { 10_000 } else { 2_000 };
            for n in 0..packets {
                let start = n * 7_919 % 190_000;
                let payload = &bytes[start..start + 1 + n * 31 % 300];
                match leg.process(payload, &mut answer) {
                    Ok(processed) => {
                        answered += 1;
                        if list == "none" {
                            continue;
                        }
                        assert_eq!(
                            format.samples_per_channel(&answer),
                            Ok(processed.samples_per_channel)
                        );
                        heard.clear();
                        decoder.decode(&answer, &mut heard).unwrap();
                        assert!(heard.iter().all(|sample| sample.is_finite()));
                        assert!(peak(&heard) <= 1.0);
                    }
                    Err(error) => assert!(matches!(error, LegError::Payload(_)), "{error}"),
                }
            }
            assert!(answered > packets / 5, "{format}: {answered}");
        }
    }
}
