//! The same tone in each kind of WAV file that programs write.

use audio::{Encoder, Format};

/// Format tags, as RFC 2361 numbers them; the last says that the real one stands in the longer part.
const PCM: u16 = 1;
const FLOAT: u16 = 3;
const ALAW: u16 = 6;
const ULAW: u16 = 7;
const EXTENSIBLE: u16 = 0xFFFE;

/// A kind of file.
pub struct WavVariant {
    /// What is special about it.
    pub name: &'static str,
    /// The file.
    pub file: Vec<u8>,
}

/// How the samples are stored, and how the fmt chunk says it.
#[derive(Clone, Copy)]
struct Stored {
    tag: u16,
    channels: u16,
    rate_hz: u32,
    bits: u16,
}

/// `sound`, a function of seconds that is `seconds` long, in each of them.
pub fn wav_variants(seconds: f64, sound: impl Fn(f64) -> f64) -> Vec<WavVariant> {
    let stored = |tag, rate_hz, bits| Stored {
        tag,
        channels: 1,
        rate_hz,
        bits,
    };
    let samples = |rate_hz: u32| -> Vec<f64> {
        (0..(seconds * f64::from(rate_hz)) as u32)
            .map(|n| sound(f64::from(n) / f64::from(rate_hz)))
            .collect()
    };
    let data = |stored: Stored| store(stored, &samples(stored.rate_hz));
    let plain = |stored: Stored| finished(&[fmt(stored), chunk(b"data", &data(stored))]);
    let i16 = stored(PCM, 48_000, 16);
    let i32 = stored(PCM, 48_000, 32);
    let of_32 = |tail: &[u8]| {
        let format = [&fmt_body(i32)[..], tail].concat();
        finished(&[chunk(b"fmt ", &format), chunk(b"data", &data(i32))])
    };
    // 24 valid bits: the lowest eight are 0.
    let upper_24 = data(i32)
        .as_chunks::<4>()
        .0
        .iter()
        .flat_map(|&[_, b, c, d]| [0, b, c, d])
        .collect::<Vec<u8>>();
    let ulaw = stored(ULAW, 8_000, 8);
    let sizes = |riff: u32, data_size: u32| {
        let data = data(i16);
        let head = [
            b"RIFF".to_vec(),
            riff.to_le_bytes().to_vec(),
            b"WAVE".to_vec(),
            fmt(i16),
        ];
        [
            head.concat(),
            b"data".to_vec(),
            data_size.to_le_bytes().to_vec(),
            data,
        ]
        .concat()
    };
    // Nine bytes, and the one that pads them.
    let odd = || chunk(b"LIST", b"INFOodd..");
    let long = |form: &[u8; 4], data_size: u64| {
        let samples = (data(i16).len() / 2) as u64;
        let riff_size = data(i16).len() as u64 + 72;
        let body = [riff_size, data_size, samples]
            .map(u64::to_le_bytes)
            .concat();
        let ds64 = chunk(b"ds64", &[&body[..], &[0; 4]].concat());
        let format = fmt(i16);
        let head = [
            &form[..],
            &[0xFF; 4],
            b"WAVE",
            &ds64,
            &format,
            b"data",
            &[0xFF; 4],
        ];
        [head.concat(), data(i16)].concat()
    };
    let length = data(i16).len() as u64;
    let extensible = |stored: Stored, valid| {
        finished(&[extensible(stored, valid), chunk(b"data", &data(stored))])
    };
    [
        ("8 bits", plain(stored(PCM, 8_000, 8))),
        ("16 bits", plain(i16)),
        ("16 bits in stereo", plain(Stored { channels: 2, ..i16 })),
        ("16 bits at 44100 Hz", plain(stored(PCM, 44_100, 16))),
        ("24 bits", plain(stored(PCM, 48_000, 24))),
        ("32 bits", plain(i32)),
        ("32 bits, fmt chunk of 18 bytes", of_32(&[0, 0])),
        ("32 bits, fmt chunk of 20 bytes", of_32(&[2, 0, 0, 0])),
        ("32 bits, extensible", extensible(i32, 32)),
        (
            "24 valid bits in 32",
            finished(&[self::extensible(i32, 24), chunk(b"data", &upper_24)]),
        ),
        (
            "20 valid bits in 24",
            extensible(stored(PCM, 48_000, 24), 20),
        ),
        ("float32", plain(stored(FLOAT, 48_000, 32))),
        ("float64", plain(stored(FLOAT, 48_000, 64))),
        (
            "float64, extensible",
            extensible(stored(FLOAT, 48_000, 64), 64),
        ),
        ("µ-law", plain(ulaw)),
        ("A-law", plain(stored(ALAW, 8_000, 8))),
        ("µ-law, extensible", extensible(ulaw, 8)),
        ("sizes of 0, written into a pipe", sizes(0, 0)),
        ("sizes before the first sample", sizes(36, 0)),
        ("sizes of 0xFFFFFFFF", sizes(u32::MAX, u32::MAX)),
        (
            "sizes of 0xFFFFFFFF less the header",
            sizes(u32::MAX, u32::MAX - 36),
        ),
        (
            "sizes that sox puts into a pipe",
            sizes(0x7FFF_F024, 0x7FFF_F000),
        ),
        (
            "an odd chunk before the sound",
            finished(&[odd(), fmt(i16), odd(), chunk(b"data", &data(i16))]),
        ),
        (
            "an odd chunk behind it",
            finished(&[
                fmt(ulaw),
                chunk(b"data", &[&data(ulaw)[..], &[0xFF]].concat()),
                odd(),
            ]),
        ),
        ("RF64", long(b"RF64", length)),
        ("BW64", long(b"BW64", length)),
        ("RF64 that was never finished", long(b"RF64", 0)),
    ]
    .map(|(name, file)| WavVariant { name, file })
    .into()
}

fn store(stored: Stored, samples: &[f64]) -> Vec<u8> {
    let scaled = |sample: f64, bits: u32| (sample * f64::from(1u32 << (bits - 1))) as i32;
    let mono: Vec<Vec<u8>> = match (stored.tag, stored.bits) {
        (PCM, 8) => samples
            .iter()
            .map(|s| vec![(scaled(*s, 8) + 128) as u8])
            .collect(),
        (PCM, bits) => {
            let bytes = usize::from(bits / 8);
            let stored =
                |sample: &f64| scaled(*sample, bits.into()).to_le_bytes()[..bytes].to_vec();
            samples.iter().map(stored).collect()
        }
        (FLOAT, 32) => samples
            .iter()
            .map(|s| (*s as f32).to_le_bytes().to_vec())
            .collect(),
        (FLOAT, _) => samples.iter().map(|s| s.to_le_bytes().to_vec()).collect(),
        (tag, _) => g711(tag, samples)
            .into_iter()
            .map(|code| vec![code])
            .collect(),
    };
    mono.iter()
        .flat_map(|sample| sample.repeat(stored.channels.into()))
        .collect()
}

fn g711(tag: u16, samples: &[f64]) -> Vec<u8> {
    let codec = if tag == ULAW { "pcmu" } else { "pcma" };
    let format = Format::parse(codec, 8_000, 1).expect("a format of ours");
    let mut encoder = Encoder::new(format, 64_000).expect("it needs nothing");
    let samples: Vec<f32> = samples.iter().map(|sample| *sample as f32).collect();
    let mut codes = Vec::new();
    for frame in samples.chunks_exact(80) {
        encoder.encode(frame, &mut codes).expect("10 ms");
    }
    codes
}

fn fmt_body(stored: Stored) -> Vec<u8> {
    let Stored {
        tag,
        channels,
        rate_hz,
        bits,
    } = stored;
    let block = channels * bits / 8;
    let head = [tag.to_le_bytes(), channels.to_le_bytes()].concat();
    let rates = [rate_hz, rate_hz * u32::from(block)]
        .map(u32::to_le_bytes)
        .concat();
    [head, rates, [block, bits].map(u16::to_le_bytes).concat()].concat()
}

fn fmt(stored: Stored) -> Vec<u8> {
    chunk(b"fmt ", &fmt_body(stored))
}

fn extensible(stored: Stored, valid_bits: u16) -> Vec<u8> {
    let tag = stored.tag;
    let head = fmt_body(Stored {
        tag: EXTENSIBLE,
        ..stored
    });
    // Length of what follows, valid bits, speakers, and the tag as a GUID.
    let [length, valid, front, none, tag] = [22, valid_bits, 4, 0, tag].map(u16::to_le_bytes);
    let guid = [0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xAA, 0, 0x38, 0x9B, 0x71];
    let body = [&head[..], &length, &valid, &front, &none, &tag, &guid].concat();
    chunk(b"fmt ", &body)
}

/// A chunk, with the byte that pads one of odd length.
fn chunk(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut chunk = [&name[..], &(body.len() as u32).to_le_bytes(), body].concat();
    chunk.resize(chunk.len().next_multiple_of(2), 0);
    chunk
}

/// A file that knows its length.
fn finished(chunks: &[Vec<u8>]) -> Vec<u8> {
    let body = [b"WAVE".to_vec(), chunks.concat()].concat();
    let size = (body.len() as u32).to_le_bytes();
    [b"RIFF".to_vec(), size.to_vec(), body].concat()
}
