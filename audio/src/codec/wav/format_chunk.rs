//! The fmt chunk: how the sound of a WAV file is stored.

use super::{WavError, encoding::Encoding};

/// The tag that says: the real one stands in the longer part.
const EXTENSIBLE: u16 = 0xFFFE;

/// Where that begins, and how it goes on: KSDATAFORMAT_SUBTYPE of a format tag.
const SUBFORMAT: usize = 24;
const SUBFORMAT_END: [u8; 14] = [0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xAA, 0, 0x38, 0x9B, 0x71];

/// What is needed of it. Speakers, valid bits and bytes per second are not: nothing follows from them.
#[derive(Debug, Clone, Copy)]
pub(super) struct FormatChunk {
    pub(super) encoding: Encoding,
    /// 1 or 2.
    pub(super) channels: u16,
    pub(super) sample_rate_hz: u32,
}

impl FormatChunk {
    /// Whatever stands behind what is known of it is left alone.
    pub(super) fn parse(body: &[u8]) -> Result<Self, WavError> {
        let short = WavError::ShortFormat(body.len());
        let Some([t0, t1, c0, c1, r0, r1, r2, r3, _, _, _, _, b0, b1, w0, w1]) = body.first_chunk()
        else {
            return Err(short);
        };
        let channels = u16::from_le_bytes([*c0, *c1]);
        let sample_rate_hz = u32::from_le_bytes([*r0, *r1, *r2, *r3]);
        let block_bytes = u16::from_le_bytes([*b0, *b1]);
        let bits = u16::from_le_bytes([*w0, *w1]);
        let tag = match u16::from_le_bytes([*t0, *t1]) {
            EXTENSIBLE => subformat(body).ok_or(short)??,
            tag => tag,
        };
        if !matches!(channels, 1 | 2) {
            return Err(WavError::Channels(channels));
        }
        let encoding = Encoding::find(tag, bits)?;
        if encoding.bytes() * usize::from(channels) != usize::from(block_bytes) {
            return Err(WavError::Contradiction {
                channels,
                bits,
                block_bytes,
            });
        }
        Ok(Self {
            encoding,
            channels,
            sample_rate_hz,
        })
    }
}

/// The real tag, if the chunk is long enough to have one.
fn subformat(body: &[u8]) -> Option<Result<u16, WavError>> {
    let (tag, rest) = body.get(SUBFORMAT..)?.split_first_chunk()?;
    let end = rest.first_chunk()?;
    Some(match *end {
        SUBFORMAT_END => Ok(u16::from_le_bytes(*tag)),
        _ => Err(WavError::UnknownEncoding(
            "in a format without a number".to_owned(),
        )),
    })
}
