//! Encoding and decoding one leg's payloads, with concealment of what cannot be decoded.
//!
//! Both ends are stateful: one [`Decoder`] and one [`Encoder`] a direction. What a decoder returns
//! is always finite and within −1..1, whatever the bytes were: random bytes decode to peaks of
//! thousands, and one NaN would poison every filter behind.

mod decoder;
mod encoder;
mod libopus;
mod sample;

pub use decoder::{Decoded, Decoder};
pub use encoder::{DEFAULT_BITRATE, Encoder, default_bitrate};
pub use libopus::CodecError;
pub(crate) use sample::from_i16;
pub use sample::make_finite;

#[cfg(test)]
mod tests;
