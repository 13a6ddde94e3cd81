//! Whether what arrives can be sound at all. Pure.
//!
//! Bytes of another codec, or encrypted ones, decode to noise as loud as can be. How it is told from
//! sound, however loud or clipped that may be (measured on speech clipped by up to 50 dB, at 6 to
//! 64 kb/s, and on a dozen kinds of garbage):
//!
//! - An Opus packet that cannot be decoded, or whose bandwidth or mode is not that of the one before:
//!   encoders change theirs once in seconds, random bytes with each packet.
//! - An Opus packet that decodes to peaks of more than eight times full scale: clipped shouts reach
//!   six, garbage hundreds.
//! - In PCM and G.711, where all bytes are samples: so much that the samples before do not foretell
//!   (`linear_prediction`) as no voice has, be it shouting. Where the tops are flat, somebody
//!   was clipped, and nothing can be said.
//!
//! Each speaks for garbage as long as it lasts; other sound speaks against it, though less: what
//! random bytes decode to is not implausible all the time.
//!
//! Not found: mu-law that is called A-law, and the reverse, which is speech, badly distorted; Opus of
//! random bytes behind a first byte that is right, where its mode is SILK or hybrid. That one's level
//! jumps by 8 to 12 dB from window to window, which is no sign: a drill or a rolled R, pulses of 15 to
//! 25 Hz, jump by more. The limiter before the speaker bounds it.

use std::time::Duration;

use super::linear_prediction::residual_power;
use crate::codec::format::{Codec, Format};

/// So much evidence is enough; of samples that nothing foretells a little more, since the sharpest
/// of sibilants are like that for a moment.
const ENOUGH: Duration = Duration::from_millis(100);
const ENOUGH_UNFORETOLD: Duration = Duration::from_millis(140);

/// One packet, however long, is worth at most so much: an encoder of long ones that changes its
/// bandwidth is no more garbage than one of short ones, and one that is broken is no more than one.
const ONE_CHANGE: Duration = Duration::from_millis(20);
const ONE_PACKET: Duration = Duration::from_millis(60);

/// More is not remembered.
const MOST: Duration = Duration::from_millis(400);

/// What a single packet beyond all measure is worth at least: two that follow soon are enough.
const BEYOND_MEASURE: Duration = Duration::from_millis(60);

/// Garbage is over when nothing has spoken for it for so long.
const CLEAN: Duration = Duration::from_secs(2);

/// A peak that no encoder of real sound causes, of full scale.
const IMPOSSIBLE_PEAK: f32 = 8.0;

/// Samples are judged in pieces of this length.
const WINDOW: Duration = Duration::from_millis(20);

/// Mean square of what nothing foretells, above which it is no sound: −13.5 dBFS. Speech as loud as
/// −15 dBFS stays below, its sibilants too; PCM, floats and G.711 that are taken for one another
/// reach −12 to −5.
const UNFORETOLD: f32 = 0.044_7;

/// Mean square above which flat tops are looked for: −30 dBFS.
const LOUD: f32 = 1e-3;

/// Flat tops: more than a tenth of the samples within 2 % of the peak.
const TOP: f32 = 0.98;
const MOST_AT_TOP: f32 = 0.1;

/// What a packet was decoded to.
#[derive(Debug, Clone, Copy)]
pub(super) struct DecodedPacket<'a> {
    /// As it came.
    pub payload: &'a [u8],
    /// Whether it could be decoded.
    pub decodable: bool,
    /// What is played in its place, interleaved.
    pub sound: &'a [f32],
    /// The largest magnitude it decoded to, before anything was clamped.
    pub peak: f32,
}

/// Watches one direction of one leg.
#[derive(Debug)]
pub(super) struct Plausibility {
    format: Format,
    evidence: Duration,
    /// How long ago something last spoke for garbage, while it is taken to be.
    clean_for: Option<Duration>,
    /// Mode and bandwidth of the newest Opus packet.
    band: Option<u8>,
    /// Of the first channel, until it is a whole window.
    window: Vec<f32>,
}

impl Plausibility {
    /// Nothing has arrived yet.
    pub(super) fn new(format: Format) -> Self {
        Self {
            format,
            evidence: Duration::ZERO,
            clean_for: None,
            band: None,
            window: Vec::with_capacity(format.samples_in(WINDOW)),
        }
    }

    /// Takes the next packet.
    pub(super) fn observe(&mut self, packet: DecodedPacket<'_>) {
        let channels = self.format.channels();
        let length = self.format.duration_of(packet.sound.len() / channels);
        if !packet.decodable {
            return self.weigh(length.min(ONE_PACKET), true);
        }
        match self.format.codec() {
            Codec::Opus => {
                let band = packet.payload.first().map(|&toc| band(toc));
                let changed = self.band.is_some() && band != self.band;
                self.band = band;
                if packet.peak > IMPOSSIBLE_PEAK {
                    self.weigh(length.max(BEYOND_MEASURE), true);
                } else if changed {
                    self.weigh(length.min(ONE_CHANGE), true);
                } else {
                    self.weigh(length, false);
                }
            }
            Codec::Pcm | Codec::Pcmu | Codec::Pcma => {
                for &sample in packet.sound.iter().step_by(channels) {
                    self.window.push(sample);
                    if self.window.len() >= self.format.samples_in(WINDOW) {
                        let is_sound = is_sound(&self.window);
                        self.window.clear();
                        if let Some(is_sound) = is_sound {
                            self.weigh(WINDOW, !is_sound);
                        }
                    }
                }
            }
        }
    }

    /// Whether what arrives is no sound, and not to be played.
    pub(super) fn is_garbage(&self) -> bool {
        self.clean_for.is_some()
    }

    fn enough(&self) -> Duration {
        match self.format.codec() {
            Codec::Opus => ENOUGH,
            Codec::Pcm | Codec::Pcmu | Codec::Pcma => ENOUGH_UNFORETOLD,
        }
    }

    fn weigh(&mut self, length: Duration, speaks_for_garbage: bool) {
        if speaks_for_garbage {
            self.evidence = (self.evidence + length).min(MOST);
            if self.is_garbage() || self.evidence > self.enough() {
                self.clean_for = Some(Duration::ZERO);
            }
            return;
        }
        let weight = match self.format.codec() {
            Codec::Opus => length / 10,
            // Nearly all of it would be noise, and snares are some of it.
            Codec::Pcm | Codec::Pcmu | Codec::Pcma => length / 2,
        };
        self.evidence = self.evidence.saturating_sub(weight);
        if let Some(clean_for) = &mut self.clean_for {
            *clean_for += length;
            if *clean_for >= CLEAN {
                self.clean_for = None;
                self.evidence = Duration::ZERO;
            }
        }
    }
}

/// Mode and bandwidth of an Opus packet (RFC 6716, 3.1), a number for each pair.
fn band(toc: u8) -> u8 {
    match toc >> 3 {
        silk @ 0..12 => silk / 4,
        hybrid @ 12..16 => 3 + (hybrid - 12) / 2,
        celt => 5 + (celt - 16) / 4,
    }
}

/// Whether `window` can be sound; `None` where that cannot be said.
fn is_sound(window: &[f32]) -> Option<bool> {
    let energy: f32 = window.iter().map(|sample| sample * sample).sum();
    let peak = window.iter().fold(0.0_f32, |peak, x| peak.max(x.abs()));
    let at_top = window.iter().filter(|x| x.abs() >= TOP * peak).count();
    let length = window.len() as f32;
    if energy > LOUD * length && at_top as f32 > MOST_AT_TOP * length {
        return None;
    }
    Some(residual_power(window) <= UNFORETOLD)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Decoded, Decoder, Encoder};
    use crate::measure::{noise, sine, speech_like};

    const FORMATS: [(&str, i32); 4] = [
        ("opus", 48_000),
        ("pcm", 48_000),
        ("pcmu", 8_000),
        ("pcma", 8_000),
    ];

    fn format(codec: &str, sample_rate: i32) -> Format {
        Format::parse(codec, sample_rate, 1).unwrap()
    }

    /// After how much sound `packets` were taken for garbage, in ms.
    fn garbage_after(format: Format, packets: &[Vec<u8>]) -> Option<u128> {
        let mut decoder = Decoder::new(format).unwrap();
        let mut plausibility = Plausibility::new(format);
        let mut played = Duration::ZERO;
        for payload in packets {
            let mut sound = Vec::new();
            let decoded = decoder.decode(payload, &mut sound);
            if decoded.is_err() {
                decoder.conceal(format.samples_in(Duration::from_millis(10)), &mut sound);
            }
            plausibility.observe(DecodedPacket {
                payload,
                decodable: decoded == Ok(Decoded::Sound),
                sound: &sound,
                peak: decoder.peak(),
            });
            played += format.duration_of(sound.len());
            if plausibility.is_garbage() {
                return Some(played.as_millis());
            }
        }
        None
    }

    /// `sound` at 48 kHz, as chunks of 10 ms.
    fn encoded(format: Format, sound: &[f32], bitrate: u32) -> Vec<Vec<u8>> {
        let step = 48_000 / format.sample_rate_hz() as usize;
        let sound: Vec<f32> = sound.iter().copied().step_by(step).collect();
        let mut encoder = Encoder::new(format, bitrate).unwrap();
        sound
            .chunks_exact(format.sample_rate_hz() as usize / 100)
            .map(|chunk| {
                let mut payload = Vec::new();
                encoder.encode(chunk, &mut payload).unwrap();
                payload
            })
            .collect()
    }

    fn random_packets(length: usize, seed: u64, count: usize) -> Vec<Vec<u8>> {
        let bytes: Vec<u8> = noise(1.0, seed, length * count)
            .iter()
            .map(|sample| ((sample + 1.0) * 127.999) as u8)
            .collect();
        bytes.chunks_exact(length).map(<[u8]>::to_vec).collect()
    }

    fn amplified(sound: &[f32], gain: f32) -> Vec<f32> {
        sound
            .iter()
            .map(|sample| (sample * gain).clamp(-1.0, 1.0))
            .collect()
    }

    /// Chords of sawtooths with a drum of noise, as loud as records are mastered.
    fn music(seconds: usize) -> Vec<f32> {
        let hiss = noise(1.0, 5, seconds * 48_000);
        (0..seconds * 48_000)
            .map(|n| {
                let t = n as f32 / 48_000.0;
                let saws: f32 = [110.0, 164.8, 220.0, 277.2, 440.0]
                    .iter()
                    .map(|hz| 2.0 * (hz * t).fract() - 1.0)
                    .sum();
                let drum = hiss[n] * (-(t % 0.5) * 25.0).exp();
                (0.5 * saws + 1.5 * drum).clamp(-0.99, 0.99)
            })
            .collect()
    }

    fn dtmf(seconds: usize) -> Vec<f32> {
        let count = seconds * 48_000;
        let (low, high) = (
            sine(697.0, 0.49, 48_000, count),
            sine(1_209.0, 0.49, 48_000, count),
        );
        let keyed = |n: usize| if n % 9_600 < 4_800 { 1.0 } else { 0.0 };
        let sums = low.iter().zip(&high).enumerate();
        sums.map(|(n, (low, high))| (low + high) * keyed(n))
            .collect()
    }

    #[test]
    fn sound_is_never_garbage_however_loud() {
        let speech = speech_like(5);
        let signals = [
            ("speech", speech.clone()),
            ("loud speech", amplified(&speech, 3.0)),
            ("clipped shouting", amplified(&speech, 30.0)),
            ("nothing but clipped", amplified(&speech, 1_000.0)),
            ("music", music(5)),
            ("DTMF", dtmf(5)),
            ("a tone", sine(1_000.0, 1.0, 48_000, 240_000)),
            (
                "a square wave",
                amplified(&sine(100.0, 1.0, 48_000, 240_000), 1_000.0),
            ),
            ("noise at -20 dBFS", noise(0.173, 1, 240_000)),
            ("noise at -15 dBFS", noise(0.308, 2, 240_000)),
            ("silence", vec![0.0; 240_000]),
        ];
        for (codec, rate) in FORMATS {
            let format = format(codec, rate);
            for (name, sound) in &signals {
                for bitrate in [12_000, 64_000] {
                    let after = garbage_after(format, &encoded(format, sound, bitrate));
                    assert_eq!(after, None, "{name} in {codec}, {bitrate} b/s");
                }
            }
        }
    }

    #[test]
    fn what_is_no_sound_is_found_within_a_quarter_of_a_second() {
        let opus = format("opus", 48_000);
        let (pcm, pcmu, pcma) = (
            format("pcm", 48_000),
            format("pcmu", 8_000),
            format("pcma", 8_000),
        );
        let pcm_8k = format("pcm", 8_000);
        let speech = speech_like(5);
        let speech_in = |format| encoded(format, &speech, 64_000);
        // Opus packets one behind the other, cut into chunks of the other codec.
        let opus_in_chunks = |length: usize| -> Vec<Vec<u8>> {
            let bytes = speech_in(opus).concat();
            bytes.chunks_exact(length).map(<[u8]>::to_vec).collect()
        };
        let behind = |header: &[u8]| -> Vec<Vec<u8>> {
            let packets = speech_in(opus).into_iter();
            packets.map(|packet| [header, &packet].concat()).collect()
        };
        for (name, format, packets) in [
            ("Opus from PCM", opus, speech_in(pcm)),
            ("Opus from G.711", opus, speech_in(pcmu)),
            ("Opus from random bytes", opus, random_packets(80, 3, 500)),
            (
                "Opus from long random bytes",
                opus,
                random_packets(960, 4, 500),
            ),
            ("Opus from Ogg pages", opus, behind(b"OggS")),
            (
                "Opus from RTP",
                opus,
                behind(b"\x80\x6f\x12\x34\x00\x01\x02\x03\xde\xad\xbe\xef"),
            ),
            ("PCM from Opus", pcm, opus_in_chunks(960)),
            ("PCM from random bytes", pcm, random_packets(960, 5, 500)),
            ("PCM from odd bytes", pcm, random_packets(81, 6, 500)),
            ("u-law from Opus", pcmu, opus_in_chunks(80)),
            ("u-law from random bytes", pcmu, random_packets(80, 7, 500)),
            ("A-law from random bytes", pcma, random_packets(80, 8, 500)),
            ("PCM from u-law", pcm_8k, speech_in(pcmu)),
            ("PCM from A-law", pcm_8k, speech_in(pcma)),
            ("u-law from PCM", pcmu, speech_in(pcm_8k)),
            ("PCM from floats", pcm, floats(&speech)),
            ("PCM from big-endian", pcm, big_endian(speech_in(pcm))),
        ] {
            let after = garbage_after(format, &packets);
            // The first byte of RTP makes packets of 2.5 ms, so of 7 ms there are three.
            let soon = after.is_some_and(|ms| (5..250).contains(&ms));
            assert!(soon, "{name}: {after:?} ms");
        }
        // Quiet as it makes loud sound.
        let after = garbage_after(pcma, &speech_in(pcm_8k));
        assert!(
            after.is_some_and(|ms| ms < 700),
            "A-law from PCM: {after:?} ms"
        );
    }

    fn floats(sound: &[f32]) -> Vec<Vec<u8>> {
        let bytes: Vec<u8> = sound
            .iter()
            .flat_map(|sample| sample.to_le_bytes())
            .collect();
        bytes.chunks_exact(960).map(<[u8]>::to_vec).collect()
    }

    fn big_endian(mut packets: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        for pair in packets
            .iter_mut()
            .flat_map(|packet| packet.chunks_exact_mut(2))
        {
            pair.swap(0, 1);
        }
        packets
    }

    #[test]
    fn one_broken_packet_is_forgiven_and_garbage_is_over_two_seconds_after_its_end() {
        let opus = Format::OPUS_48K_MONO;
        let mut packets = encoded(opus, &speech_like(3), 64_000);
        for index in [40, 90, 140, 190] {
            packets[index] = vec![0xff; 40];
        }
        assert_eq!(garbage_after(opus, &packets), None);

        let mut plausibility = Plausibility::new(opus);
        let sound = [0.1; 480];
        let mut observe = |decodable| {
            plausibility.observe(DecodedPacket {
                payload: &[0xf0],
                decodable,
                sound: &sound,
                peak: 0.1,
            });
            plausibility.is_garbage()
        };
        assert!(!(0..10).any(|_| observe(false)), "100 ms are not more");
        assert!(observe(false));
        assert!((0..199).all(|_| observe(true)), "over too soon");
        assert!(!observe(true));
    }
}
