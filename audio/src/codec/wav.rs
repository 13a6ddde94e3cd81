//! A WAV file in memory: its header read strictly, its sound decoded as it is asked for.
//!
//! RIFF, RF64 and BW64 (EBU Tech 3306, ITU-R BS.2088). A size in the file is only ever compared with
//! the bytes that are there: none is trusted, and none is allocated for.
// Foreign bytes arrive here: what they say must not panic.
#![warn(clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod encoding;
mod format_chunk;

use std::ops::RangeInclusive;

use encoding::Encoding;
use format_chunk::FormatChunk;

/// Rates that are played. What lies outside is a damaged file rather than sound.
const RATES_HZ: RangeInclusive<u32> = 8_000..=384_000;

/// What a program that writes into a pipe puts for a size that it does not know: 0, or one so large that
/// nobody reaches it (`sox` 0x7FFFF000, others 0xFFFFFFFF and a little less).
const LEAST_PIPE_SIZE: u32 = 0x7FFF_0000;

/// Identifier and size before each chunk.
const CHUNK_HEADER: usize = 8;

/// Identifier and size of the whole, and the word WAVE.
const FILE_HEADER: usize = 12;

/// Why a WAV file cannot be played.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WavError {
    /// Not even the first bytes fit.
    #[error("it is no WAV file: it does not begin with RIFF, RF64 or BW64 and WAVE")]
    NotWav,
    /// A chunk before the sound reaches beyond the end of the file.
    #[error("its chunk \"{name}\" reaches beyond the end of the file")]
    ChunkCutOff {
        /// The chunk's identifier.
        name: String,
    },
    /// The sound comes before its description, or there is none.
    #[error("nothing in it says how its sound is stored (no fmt chunk before the data chunk)")]
    NoFormat,
    /// The file ends before any sound.
    #[error("there is no sound in it (no data chunk)")]
    NoData,
    /// There is less than one sample.
    #[error("there is no sound in it (its data chunk is empty)")]
    Empty,
    /// The sound ends before it should.
    #[error("it is cut short: it should hold {expected} bytes of sound, and {found} are there")]
    CutShort {
        /// What the header says.
        expected: u64,
        /// What the file has.
        found: u64,
    },
    /// The fmt chunk is too short for what it begins with.
    #[error("its fmt chunk is too short, with {0} bytes")]
    ShortFormat(usize),
    /// A codec that is not decoded, or a width that nobody uses.
    #[error("its sound is {0}, which is not read here")]
    UnknownEncoding(String),
    /// No channel, or more than are sent.
    #[error("it has {0} channels; accepted are 1 and 2")]
    Channels(u16),
    /// A rate outside what is played.
    #[error("its sample rate is {0} Hz; accepted are 8000 to 384000 Hz")]
    SampleRate(u32),
    /// It cannot be known where a sample begins.
    #[error(
        "its fmt chunk contradicts itself: {channels} channel(s) of {bits} bits in blocks of \
         {block_bytes} bytes"
    )]
    Contradiction {
        /// How many channels it names.
        channels: u16,
        /// Bits of a sample.
        bits: u16,
        /// Bytes of a sample of all channels.
        block_bytes: u16,
    },
}

/// The sound of a WAV file.
#[derive(Debug, Clone)]
pub struct Wav {
    /// The data chunk, whole blocks only.
    data: Vec<u8>,
    encoding: Encoding,
    channels: u16,
    sample_rate_hz: u32,
}

impl Wav {
    /// Reads the header of a whole file: integers of 8 to 32 bits, floats of 32 and 64, µ-law and A-law,
    /// in 1 or 2 channels.
    ///
    /// A file that was written into a pipe does not know its length: its sound reaches to its end.
    ///
    /// # Errors
    /// [`WavError`], in words.
    pub fn parse(file: Vec<u8>) -> Result<Self, WavError> {
        let is_long = match (file.get(..4), file.get(8..FILE_HEADER)) {
            (Some(b"RIFF"), Some(b"WAVE")) => false,
            (Some(b"RF64" | b"BW64"), Some(b"WAVE")) => true,
            _ => return Err(WavError::NotWav),
        };
        let mut long_size = None;
        let mut format = None;
        let mut at = FILE_HEADER;
        while let Some((name, size)) = chunk_header(&file, at) {
            let start = at + CHUNK_HEADER;
            if &name == b"data" {
                let format = format.ok_or(WavError::NoFormat)?;
                let stated = stated_size(&file, start, size, long_size);
                return Self::of(file, start, stated, format);
            }
            let end = start.saturating_add(size as usize);
            let body = file
                .get(start..end)
                .ok_or_else(|| WavError::ChunkCutOff { name: shown(name) })?;
            match &name {
                b"fmt " if format.is_none() => format = Some(FormatChunk::parse(body)?),
                b"ds64" if is_long => long_size = data_size_of_ds64(body),
                _ => {}
            }
            // A chunk of odd length is followed by one byte that belongs to nobody.
            at = end.saturating_add(end % 2);
        }
        Err(match format {
            Some(_) => WavError::NoData,
            None => WavError::NoFormat,
        })
    }

    fn of(
        file: Vec<u8>,
        start: usize,
        stated: Option<u64>,
        format: FormatChunk,
    ) -> Result<Self, WavError> {
        let found = file.len() - start;
        let length = match stated {
            None => found,
            Some(size) => usize::try_from(size)
                .ok()
                .filter(|size| *size <= found)
                .ok_or(WavError::CutShort {
                    expected: size,
                    found: found as u64,
                })?,
        };
        if !RATES_HZ.contains(&format.sample_rate_hz) {
            return Err(WavError::SampleRate(format.sample_rate_hz));
        }
        let block = format.encoding.bytes() * usize::from(format.channels);
        let whole = length - length % block;
        if whole == 0 {
            return Err(WavError::Empty);
        }
        let mut data = file;
        data.truncate(start + whole);
        data.drain(..start);
        Ok(Self {
            data,
            encoding: format.encoding,
            channels: format.channels,
            sample_rate_hz: format.sample_rate_hz,
        })
    }

    /// Samples per channel in a second.
    pub fn sample_rate_hz(&self) -> u32 {
        self.sample_rate_hz
    }

    /// 1 or 2.
    pub fn channels(&self) -> u16 {
        self.channels
    }

    /// How much sound there is, in samples per channel.
    pub fn samples_per_channel(&self) -> usize {
        self.data.len() / self.block()
    }

    /// Appends up to `count` samples per channel from position `from` on, interleaved, all of them
    /// finite. Returns how many there were.
    pub fn append(&self, from: usize, count: usize, samples: &mut Vec<f32>) -> usize {
        let from = from.min(self.samples_per_channel());
        let count = count.min(self.samples_per_channel() - from);
        let (start, end) = (from * self.block(), (from + count) * self.block());
        let stored = self.data.get(start..end).unwrap_or_default();
        self.encoding.decode(stored, samples);
        count
    }

    /// Bytes of a sample of all channels.
    fn block(&self) -> usize {
        self.encoding.bytes() * usize::from(self.channels)
    }
}

/// Identifier and size of the chunk at a place.
fn chunk_header(file: &[u8], at: usize) -> Option<([u8; 4], u32)> {
    let (name, rest) = file.get(at..)?.split_first_chunk()?;
    let size = u32::from_le_bytes(*rest.first_chunk()?);
    Some((*name, size))
}

/// How long the data chunk is by the file's own words; `None` where it does not know.
fn stated_size(file: &[u8], start: usize, size: u32, long_size: Option<u64>) -> Option<u64> {
    let found = file.len() - start;
    match (size, long_size) {
        (u32::MAX, Some(0 | u64::MAX)) => None,
        (u32::MAX, Some(long_size)) => Some(long_size),
        // A file that knows its whole length was finished, and is empty.
        (0, _) if !knows_its_length(file) => None,
        (LEAST_PIPE_SIZE.., _) if size as usize > found => None,
        _ => Some(size.into()),
    }
}

fn knows_its_length(file: &[u8]) -> bool {
    let stated = chunk_header(file, 0).map(|(_, size)| size as usize);
    stated == Some(file.len() - CHUNK_HEADER)
}

/// Size of the whole, then that of the data chunk.
fn data_size_of_ds64(body: &[u8]) -> Option<u64> {
    let size = body.get(8..)?.first_chunk()?;
    Some(u64::from_le_bytes(*size))
}

/// An identifier as people can read it.
fn shown(name: [u8; 4]) -> String {
    name.escape_ascii().to_string()
}

#[cfg(test)]
mod tests;
