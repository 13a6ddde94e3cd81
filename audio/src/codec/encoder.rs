//! Samples into payloads.

use audio_codec_algorithms::{encode_alaw, encode_ulaw};

use super::format::{Codec, Format};
use super::{
    libopus::{self, CodecError},
    sample::to_i16,
};

/// Bitrate for Opus at 48 kHz in mono unless told otherwise: `docs/bit-rate.md` says why.
pub const DEFAULT_BITRATE: u32 = 64_000;

/// The same for stereo.
const STEREO_BITRATE: u32 = 96_000;

/// Encoder effort: most of complexity 10's quality for three quarters of its time.
const OPUS_COMPLEXITY: i32 = 5;

/// The longest packet libopus writes: 1,275 bytes for each 20 ms, six of them, and their framing.
const MAX_OPUS_PACKET: usize = 1_277 * 6;

/// Turns samples into payloads.
pub struct Encoder {
    format: Format,
    opus: Option<opus::Encoder>,
    is_independent: bool,
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
                    libopus::channels(format),
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
        Ok(Self {
            format,
            opus,
            is_independent: false,
        })
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

    /// Whether the packets from now on are to be understood without those before them. A decoder that has
    /// heard another encoder would otherwise take its levels for this one's.
    ///
    /// # Errors
    /// libopus refused it.
    pub fn set_independent(&mut self, independent: bool) -> Result<(), CodecError> {
        if let Some(opus) = &mut self.opus
            && self.is_independent != independent
        {
            opus.set_prediction_disabled(independent)?;
            self.is_independent = independent;
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

fn bits(bitrate: u32) -> opus::Bitrate {
    opus::Bitrate::Bits(i32::try_from(bitrate).unwrap_or(i32::MAX))
}
