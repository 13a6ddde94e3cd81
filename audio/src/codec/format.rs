//! The format of a leg: codec, sample rate and channels, and what a payload in it may be.
//!
//! The one place that knows which formats the contract admits and says why another is refused.
// Foreign bytes arrive here: what they say must not panic.
#![warn(clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::time::Duration;

/// The longest a chunk may be: the longest Opus packet, and our bound for PCM too.
pub const MAX_CHUNK: Duration = Duration::from_millis(120);

/// How the samples of a chunk are written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// Opus (RFC 6716), one packet a chunk.
    Opus,
    /// 16-bit little-endian signed samples, interleaved.
    Pcm,
    /// G.711 µ-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
}

impl Codec {
    /// Reads a codec name, upper and lower case alike.
    ///
    /// # Errors
    /// The name is not one of those that [`FormatError::UnknownCodec`] lists.
    pub fn parse(name: &str) -> Result<Self, FormatError> {
        match name.to_ascii_lowercase().as_str() {
            "opus" => Ok(Self::Opus),
            "pcm" | "pcm_s16le" | "linear16" => Ok(Self::Pcm),
            "pcmu" | "mulaw" => Ok(Self::Pcmu),
            "pcma" | "alaw" => Ok(Self::Pcma),
            _ => Err(FormatError::UnknownCodec(shortened(name))),
        }
    }

    /// The name we write ourselves.
    pub fn name(self) -> &'static str {
        match self {
            Self::Opus => "opus",
            Self::Pcm => "pcm",
            Self::Pcmu => "pcmu",
            Self::Pcma => "pcma",
        }
    }

    /// Bytes of one sample of one channel; `None` where packets vary in size.
    pub fn bytes_per_sample(self) -> Option<usize> {
        match self {
            Self::Opus => None,
            Self::Pcm => Some(2),
            Self::Pcmu | Self::Pcma => Some(1),
        }
    }
}

/// A leg's format, known to be one that we accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Format {
    codec: Codec,
    sample_rate_hz: u32,
    channels: u8,
}

impl Format {
    /// Checks the three fields as they stand on the wire.
    ///
    /// # Errors
    /// Says which of the three is wrong and what is accepted.
    pub fn parse(codec: &str, sample_rate: i32, channels: i32) -> Result<Self, FormatError> {
        let codec = Codec::parse(codec)?;
        let rate_ok = match codec {
            Codec::Opus => matches!(sample_rate, 8_000 | 12_000 | 16_000 | 24_000 | 48_000),
            Codec::Pcm => (8_000..=192_000).contains(&sample_rate),
            Codec::Pcmu | Codec::Pcma => sample_rate == 8_000,
        };
        if !rate_ok {
            return Err(FormatError::SampleRate { codec, sample_rate });
        }
        if !matches!(channels, 1 | 2) {
            return Err(FormatError::Channels(channels));
        }
        Ok(Self {
            codec,
            sample_rate_hz: sample_rate.unsigned_abs(),
            channels: if channels == 1 { 1 } else { 2 },
        })
    }

    /// Opus at 48 kHz in mono: what the softphone speaks unless told otherwise.
    pub const OPUS_48K_MONO: Self = Self {
        codec: Codec::Opus,
        sample_rate_hz: 48_000,
        channels: 1,
    };

    /// The codec.
    pub fn codec(self) -> Codec {
        self.codec
    }

    /// Samples per channel and second.
    pub fn sample_rate_hz(self) -> u32 {
        self.sample_rate_hz
    }

    /// 1 or 2.
    pub fn channels(self) -> usize {
        usize::from(self.channels)
    }

    /// Samples per channel in `duration`, rounded down.
    pub fn samples_in(self, duration: Duration) -> usize {
        (duration.as_micros() * u128::from(self.sample_rate_hz) / 1_000_000) as usize
    }

    /// How long `samples_per_channel` last.
    pub fn duration_of(self, samples_per_channel: usize) -> Duration {
        Duration::from_nanos(
            samples_per_channel as u64 * 1_000_000_000 / u64::from(self.sample_rate_hz),
        )
    }

    /// Samples per channel in one chunk's payload, without decoding it.
    ///
    /// # Errors
    /// The payload is not whole samples, or longer than 120 ms, or does not begin like an Opus
    /// packet ([`PayloadError::NotOpus`], which a receiver conceals instead of refusing).
    pub fn samples_per_channel(self, payload: &[u8]) -> Result<usize, PayloadError> {
        let samples = match self.codec.bytes_per_sample() {
            Some(bytes_per_sample) => {
                let unit = bytes_per_sample * self.channels();
                if !payload.len().is_multiple_of(unit) {
                    return Err(PayloadError::NotWholeSamples {
                        bytes: payload.len(),
                        unit,
                        format: self,
                    });
                }
                payload.len() / unit
            }
            None => return self.opus_samples_per_channel(payload),
        };
        if samples > self.samples_in(MAX_CHUNK) {
            return Err(PayloadError::TooLong {
                duration: self.duration_of(samples),
            });
        }
        Ok(samples)
    }

    fn opus_samples_per_channel(self, packet: &[u8]) -> Result<usize, PayloadError> {
        let samples = opus::packet::get_nb_samples(packet, self.sample_rate_hz)
            .map_err(|_| PayloadError::NotOpus)?;
        let duration = self.duration_of(samples);
        if OPUS_DURATIONS_US.contains(&duration.as_micros()) {
            return Ok(samples);
        }
        // The first byte alone gives the duration, so a corrupt packet can claim any: only one that
        // is whole is taken at its word.
        match opus::packet::parse(packet) {
            Ok(_) => Err(PayloadError::OpusDuration { duration }),
            Err(_) => Err(PayloadError::NotOpus),
        }
    }
}

/// What one call of the encoder can make; packets of 30 or 7.5 ms exist, but only as merged ones.
const OPUS_DURATIONS_US: [u128; 9] = [
    2_500, 5_000, 10_000, 20_000, 40_000, 60_000, 80_000, 100_000, 120_000,
];

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let channels = if self.channels == 1 { "mono" } else { "stereo" };
        write!(
            f,
            "{} {} Hz {channels}",
            self.codec.name(),
            self.sample_rate_hz
        )
    }
}

/// A format that we do not accept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// Not a codec of ours.
    #[error(
        "codec {0:?} is not known here; accepted are opus, pcm (pcm_s16le, LINEAR16), pcmu (MULAW) and pcma (ALAW)"
    )]
    UnknownCodec(String),
    /// Not a rate of this codec.
    #[error("sample_rate {sample_rate} is not possible with codec {}; accepted: {}", codec.name(), rates(*codec))]
    SampleRate {
        /// The codec asked for.
        codec: Codec,
        /// The rate asked for, as it came.
        sample_rate: i32,
    },
    /// Neither mono nor stereo.
    #[error("channels is {0}; accepted are 1 (mono) and 2 (stereo, interleaved)")]
    Channels(i32),
}

/// A payload that does not fit its format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// A sample, or a stereo pair, was cut.
    #[error(
        "audio_data holds {bytes} bytes, which are not whole samples: {format} takes {unit} bytes for each sample of all channels"
    )]
    NotWholeSamples {
        /// Bytes in the payload.
        bytes: usize,
        /// Bytes of one sample of all channels.
        unit: usize,
        /// The leg's format.
        format: Format,
    },
    /// Longer than 120 ms.
    #[error("audio_data lasts {} ms; a chunk may hold at most 120 ms: send several", duration.as_millis())]
    TooLong {
        /// How long it would last.
        duration: Duration,
    },
    /// An Opus packet of a duration that Opus cannot encode back as one packet.
    #[error("the Opus packet lasts {} µs; accepted are packets of 2.5, 5, 10, 20, 40, 60, 80, 100 and 120 ms", duration.as_micros())]
    OpusDuration {
        /// How long the packet lasts.
        duration: Duration,
    },
    /// Not an Opus packet at all. Concealed, not refused, until there are too many in a row.
    #[error("audio_data is not an Opus packet; check that codec names what the bytes are")]
    NotOpus,
}

fn rates(codec: Codec) -> &'static str {
    match codec {
        Codec::Opus => "8000, 12000, 16000, 24000 and 48000",
        Codec::Pcm => "8000 to 192000",
        Codec::Pcmu | Codec::Pcma => "8000",
    }
}

/// At most 40 characters of a peer's text, for a message.
pub fn shortened(text: &str) -> String {
    let mut chars = text.chars();
    let head: String = chars.by_ref().take(40).collect();
    match chars.next() {
        Some(_) => format!("{head}…"),
        None => head,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_one_codec_are_one_codec() {
        for (name, codec) in [
            ("OPUS", Codec::Opus),
            ("pcm", Codec::Pcm),
            ("PCM_S16LE", Codec::Pcm),
            ("LINEAR16", Codec::Pcm),
            ("pcmu", Codec::Pcmu),
            ("MuLaw", Codec::Pcmu),
            ("pcma", Codec::Pcma),
            ("ALAW", Codec::Pcma),
        ] {
            assert_eq!(Codec::parse(name), Ok(codec), "{name}");
        }
    }

    #[test]
    fn refusals_name_the_value_and_what_is_accepted() {
        let message = |codec, rate, channels| {
            Format::parse(codec, rate, channels)
                .unwrap_err()
                .to_string()
        };
        assert!(message("mp3", 48_000, 1).contains("\"mp3\""));
        assert!(message("mp3", 48_000, 1).contains("opus, pcm"));
        assert!(message("", 48_000, 1).contains("opus, pcm"));
        assert!(message("opus", 44_100, 1).contains("44100"));
        assert!(message("opus", 44_100, 1).contains("12000"));
        for rate in [0, -1, 7, i32::MIN, i32::MAX] {
            assert!(message("pcm", rate, 1).contains(&rate.to_string()));
        }
        for channels in [0, 3, -1] {
            assert!(message("pcm", 8_000, channels).contains(&format!("is {channels};")));
        }
        assert!(message("pcmu", 16_000, 1).contains("8000"));
    }

    #[test]
    fn a_hostile_codec_name_is_escaped_and_shortened() {
        let message = Format::parse(&"\x1b[2J\n".repeat(10_000), 8_000, 1)
            .unwrap_err()
            .to_string();
        assert!(message.len() < 400, "{}", message.len());
        assert!(!message.contains('\x1b') && !message.contains('\n'));
    }

    #[test]
    fn payloads_are_measured_in_samples_per_channel() {
        let stereo = Format::parse("pcm", 48_000, 2).unwrap();
        assert_eq!(stereo.samples_per_channel(&[0; 1_920]), Ok(480));
        assert!(matches!(
            stereo.samples_per_channel(&[0; 1_922]),
            Err(PayloadError::NotWholeSamples { unit: 4, .. })
        ));
        let pcmu = Format::parse("pcmu", 8_000, 1).unwrap();
        assert_eq!(pcmu.samples_per_channel(&[0; 960]), Ok(960));
        assert!(matches!(
            pcmu.samples_per_channel(&[0; 961]),
            Err(PayloadError::TooLong { .. })
        ));
        let opus = Format::OPUS_48K_MONO;
        // RFC 6716, section 3.1: config 16-19 are CELT narrowband of 2.5, 5, 10 and 20 ms.
        assert_eq!(opus.samples_per_channel(&[16 << 3, 0]), Ok(120));
        assert_eq!(opus.samples_per_channel(&[18 << 3, 0]), Ok(480));
        assert_eq!(opus.samples_per_channel(&[]), Err(PayloadError::NotOpus));
        // Code 3, three frames of 10 ms: whole, but of a duration that no encoder makes at once.
        let thirty_ms = [(18 << 3) | 3, 3, 0, 0, 0];
        assert_eq!(
            opus.samples_per_channel(&thirty_ms),
            Err(PayloadError::OpusDuration {
                duration: Duration::from_millis(30)
            })
        );
        // The same claim on bytes that cannot be three frames.
        assert_eq!(
            opus.samples_per_channel(&thirty_ms[..4]),
            Err(PayloadError::NotOpus)
        );
    }
}
