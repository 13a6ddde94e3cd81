//! How one sample is stored in a WAV file.

use audio_codec_algorithms::{decode_alaw, decode_ulaw};

use super::WavError;
use crate::codec::from_i16;

/// Format tags, as RFC 2361 and Microsoft's mmreg.h number them.
const PCM: u16 = 1;
const FLOAT: u16 = 3;
const ALAW: u16 = 6;
const ULAW: u16 = 7;

/// What else is met, with the name that people know it by.
const UNREAD: [(u16, &str); 7] = [
    (2, "Microsoft ADPCM"),
    (0x11, "IMA ADPCM"),
    (0x31, "GSM 6.10"),
    (0x40, "G.721 ADPCM"),
    (0x45, "G.726 ADPCM"),
    (0x50, "MPEG audio"),
    (0x55, "MP3"),
];

/// How one sample is stored. Integers fill their container from the top (24 valid bits in 32 are the upper
/// ones), so how many of their bits are valid does not matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// The only one without a sign: silence is 128.
    U8,
    I16,
    I24,
    I32,
    F32,
    F64,
    ALaw,
    ULaw,
}

impl Encoding {
    /// By the format tag, and the bits of a sample.
    pub(super) fn find(tag: u16, bits: u16) -> Result<Self, WavError> {
        Ok(match (tag, bits) {
            (PCM, 1..=8) => Self::U8,
            (PCM, 9..=16) => Self::I16,
            (PCM, 17..=24) => Self::I24,
            (PCM, 25..=32) => Self::I32,
            (FLOAT, 32) => Self::F32,
            (FLOAT, 64) => Self::F64,
            (ALAW, 8) => Self::ALaw,
            (ULAW, 8) => Self::ULaw,
            _ => return Err(WavError::UnknownEncoding(name(tag, bits))),
        })
    }

    /// Bytes of one sample.
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::ALaw | Self::ULaw => 1,
            Self::I16 => 2,
            Self::I24 => 3,
            Self::I32 | Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// Appends what whole samples mean, −1..1 but for floats, which may be louder.
    pub(super) fn decode(self, stored: &[u8], samples: &mut Vec<f32>) {
        match self {
            Self::U8 => {
                samples.extend(stored.iter().map(|&byte| (f32::from(byte) - 128.0) / 128.0))
            }
            Self::ALaw => samples.extend(stored.iter().map(|&byte| from_i16(decode_alaw(byte)))),
            Self::ULaw => samples.extend(stored.iter().map(|&byte| from_i16(decode_ulaw(byte)))),
            Self::I16 => extend(samples, stored, |bytes| from_i16(i16::from_le_bytes(bytes))),
            Self::I24 => extend(samples, stored, |[a, b, c]| from_i32([0, a, b, c])),
            Self::I32 => extend(samples, stored, from_i32),
            Self::F32 => extend(samples, stored, |bytes| finite(f32::from_le_bytes(bytes))),
            Self::F64 => extend(samples, stored, |bytes| {
                finite(f64::from_le_bytes(bytes) as f32)
            }),
        }
    }
}

fn extend<const N: usize>(samples: &mut Vec<f32>, stored: &[u8], decode: impl Fn([u8; N]) -> f32) {
    let (stored, _) = stored.as_chunks();
    samples.extend(stored.iter().map(|&bytes| decode(bytes)));
}

fn from_i32(bytes: [u8; 4]) -> f32 {
    i32::from_le_bytes(bytes) as f32 / 2_147_483_648.0
}

/// What is no number is silence: one of them would poison every filter behind.
fn finite(sample: f32) -> f32 {
    if sample.is_finite() { sample } else { 0.0 }
}

fn name(tag: u16, bits: u16) -> String {
    match UNREAD.iter().find(|(unread, _)| *unread == tag) {
        Some((_, name)) => (*name).to_owned(),
        None => {
            let kind = match tag {
                PCM => "integers",
                FLOAT => "floats",
                ALAW => "A-law",
                ULAW => "µ-law",
                _ => return format!("in the format 0x{tag:X}"),
            };
            format!("{kind} of {bits} bits")
        }
    }
}
