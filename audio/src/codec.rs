//! Encoding and decoding one leg's payloads, with concealment of what cannot be decoded.
//!
//! Both ends are stateful: one [`Decoder`] and one [`Encoder`] a direction. What a decoder returns
//! is always finite and within −1..1, whatever the bytes were: random bytes decode to peaks of
//! thousands, and one NaN would poison every filter behind.

mod decoder;
mod encoder;
pub mod format;
mod libopus;
mod sample;
mod wav;

pub use decoder::{Decoded, Decoder};
pub use encoder::{DEFAULT_BITRATE, Encoder, default_bitrate};
pub use format::{Codec, Format, FormatError, PayloadError};
pub use libopus::CodecError;
pub(crate) use sample::from_i16;
pub use sample::make_finite;
pub use wav::{Wav, WavError};

#[cfg(test)]
mod tests;
