//! What a hostile client sends: streams of every kind whose answers it never reads.

use std::{io, net::SocketAddr};

use prost::Message;
use proto::{callcenter::AudioChunk, fin::TickerRequest};

use crate::raw_http2::{RawConnection, frame, kind, message, request};

/// Paths of what the server offers.
pub const LIVE_CALL: &str = "/callcenter.CallCenter/LiveCall";
const TICKER: &str = "/StockTicker/SubscribeToStockUpdates";
const HEALTH: &str = "/grpc.health.v1.Health/Check";
const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

/// A window that never fills.
pub const WIDE_OPEN: u32 = 0x7fff_ffff;
/// A window that lets nothing through.
pub const NO_WINDOW: u32 = 0;

/// What one stream of a flood says.
pub type Attack = fn(stream: u32) -> Vec<u8>;

/// Floods by name.
pub const UNREAD: [(&str, Attack); 9] = [
    ("health", health),
    ("unknown-path", unknown_path),
    ("reflection", reflection),
    ("empty-legs", empty_leg),
    ("silent-legs", silent_leg),
    ("pouring-legs", pouring_leg),
    ("silent-tickers", silent_ticker),
    ("tickers", ticker),
    ("rapid-reset", rapid_reset),
];

/// One health check.
pub fn health(stream: u32) -> Vec<u8> {
    let mut bytes = request(stream, HEALTH, false);
    bytes.extend(message(stream, &[], true));
    bytes
}

/// A method that nobody has.
pub fn unknown_path(stream: u32) -> Vec<u8> {
    request(stream, "/nobody/is/here", true)
}

/// Twenty questions for the largest answer of reflection.
pub fn reflection(stream: u32) -> Vec<u8> {
    let mut bytes = request(stream, REFLECTION, false);
    let mut which = vec![4 << 3 | 2, 21];
    which.extend(b"callcenter.CallCenter");
    for _ in 0..20 {
        bytes.extend(message(stream, &which, false));
    }
    bytes
}

/// A leg that ends before its first chunk.
pub fn empty_leg(stream: u32) -> Vec<u8> {
    request(stream, LIVE_CALL, true)
}

/// A leg that says nothing.
pub fn silent_leg(stream: u32) -> Vec<u8> {
    request(stream, LIVE_CALL, false)
}

/// A leg that says more than a window holds.
pub fn pouring_leg(stream: u32) -> Vec<u8> {
    let mut bytes = request(stream, LIVE_CALL, false);
    let loud = chunk("pcm", 48_000, 2, 3_840).encode_to_vec();
    for _ in 0..16 {
        bytes.extend(message(stream, &loud, false));
    }
    bytes
}

/// A leg that is held, since no answer of it can be sent ([`NO_WINDOW`]), and whose own window is
/// then filled with frames of a byte, the most that it holds.
pub fn small_frames(stream: u32) -> Vec<u8> {
    const WINDOW: usize = 65_535;
    let mut bytes = Vec::new();
    // More than may wait to be sent.
    for _ in 0..64 {
        bytes.extend(message(
            stream,
            &chunk("pcm", 8_000, 1, 2).encode_to_vec(),
            false,
        ));
    }
    let room = WINDOW - bytes.len();
    bytes.extend(frame(kind::DATA, 0, stream, &[0]).repeat(room));
    [request(stream, LIVE_CALL, false), bytes].concat()
}

/// A leg that is refused, and says so in the log.
pub fn refused_leg(stream: u32) -> Vec<u8> {
    let mut bytes = request(stream, LIVE_CALL, false);
    let wrong = chunk("mp3", 48_000, 2, 10).encode_to_vec();
    bytes.extend(message(stream, &wrong, true));
    bytes
}

/// A ticker stream that asks for nothing.
pub fn silent_ticker(stream: u32) -> Vec<u8> {
    request(stream, TICKER, false)
}

/// A ticker stream of twenty symbols.
pub fn ticker(stream: u32) -> Vec<u8> {
    let mut bytes = request(stream, TICKER, false);
    for n in 0..20 {
        let symbol = TickerRequest {
            ticker_symbol: format!("SYM{n}"),
            ..TickerRequest::default()
        };
        bytes.extend(message(stream, &symbol.encode_to_vec(), false));
    }
    bytes
}

/// A request that is cancelled at once.
pub fn rapid_reset(stream: u32) -> Vec<u8> {
    let mut bytes = health(stream);
    bytes.extend(frame(kind::RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
    bytes
}

fn chunk(codec: &str, rate: i32, channels: i32, bytes: usize) -> AudioChunk {
    AudioChunk {
        audio_data: vec![1; bytes].into(),
        sample_rate: rate,
        channels,
        codec: codec.to_owned(),
        ..AudioChunk::default()
    }
}

/// Opens streams of this kind, each with such a window, and reads nothing, until nothing more goes
/// through, or the server closes, or there were `most`. Returns the connection, which stays open,
/// and how many there were.
///
/// # Errors
///
/// Nobody lets it in.
pub fn flood(
    addr: SocketAddr,
    window: u32,
    attack: Attack,
    most: u32,
) -> io::Result<(RawConnection, u32)> {
    /// What is written at once, in bytes.
    const AT_ONCE: usize = 64 * 1_024;
    let mut raw = RawConnection::try_open(addr, window)?;
    let mut bytes = Vec::new();
    for n in 0..most {
        bytes.extend(attack(2 * n + 1));
        if (bytes.len() >= AT_ONCE || n + 1 == most) && raw.write(&bytes).is_err() {
            return Ok((raw, n));
        }
        if bytes.len() >= AT_ONCE {
            bytes.clear();
        }
    }
    Ok((raw, most))
}
