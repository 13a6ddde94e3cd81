//! What is stored and what it decodes to, and files that are wrong in each way.

use super::*;

/// A chunk, with its pad byte.
fn chunk(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut chunk = [&name[..], &(body.len() as u32).to_le_bytes(), body].concat();
    chunk.resize(chunk.len().next_multiple_of(2), 0);
    chunk
}

fn fmt(tag: u16, channels: u16, rate_hz: u32, bits: u16) -> Vec<u8> {
    let block = channels * bits.div_ceil(8);
    let head = [tag.to_le_bytes(), channels.to_le_bytes()].concat();
    let rates = [rate_hz, rate_hz.wrapping_mul(block.into())].map(u32::to_le_bytes);
    let tail = [block, bits].map(u16::to_le_bytes).concat();
    [head, rates.concat(), tail].concat()
}

fn riff(chunks: &[Vec<u8>]) -> Vec<u8> {
    let body = [b"WAVE".to_vec(), chunks.concat()].concat();
    [
        b"RIFF".to_vec(),
        (body.len() as u32).to_le_bytes().to_vec(),
        body,
    ]
    .concat()
}

fn mono(tag: u16, bits: u16, data: &[u8]) -> Vec<u8> {
    riff(&[
        chunk(b"fmt ", &fmt(tag, 1, 8_000, bits)),
        chunk(b"data", data),
    ])
}

fn decoded(file: Vec<u8>) -> Vec<f32> {
    let wav = Wav::parse(file).expect("a WAV file");
    let mut samples = Vec::new();
    wav.append(0, usize::MAX, &mut samples);
    samples
}

fn refused(file: Vec<u8>) -> String {
    Wav::parse(file).expect_err("it is refused").to_string()
}

#[test]
fn each_encoding_reaches_from_its_least_to_its_largest_value() {
    let f32s = |values: [f32; 3]| values.map(f32::to_le_bytes).concat();
    let f64s = |values: [f64; 3]| values.map(f64::to_le_bytes).concat();
    for (tag, bits, data, expected) in [
        (1, 8, vec![0, 128, 192], [-1.0, 0.0, 0.5]),
        (1, 16, vec![0, 0x80, 0, 0, 0, 0x40], [-1.0, 0.0, 0.5]),
        // Twelve bits stand at the top of sixteen.
        (1, 12, vec![0, 0x80, 0, 0, 0, 0x40], [-1.0, 0.0, 0.5]),
        (
            1,
            24,
            vec![0, 0, 0x80, 0, 0, 0, 0, 0, 0x40],
            [-1.0, 0.0, 0.5],
        ),
        (
            1,
            32,
            vec![0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0x40],
            [-1.0, 0.0, 0.5],
        ),
        (3, 32, f32s([-1.0, f32::NAN, 0.5]), [-1.0, 0.0, 0.5]),
        (3, 64, f64s([-1.0, f64::INFINITY, 0.5]), [-1.0, 0.0, 0.5]),
        // What is larger than 32 bits can say is no sound either.
        (3, 64, f64s([1e300, -1.0, 0.0]), [0.0, -1.0, 0.0]),
        // G.711: the loudest negative code, the quietest and the loudest positive one.
        (
            6,
            8,
            vec![0x2A, 0xD5, 0xAA],
            [-0.984375, 0.000_244_140_63, 0.984375],
        ),
        (
            7,
            8,
            vec![0x00, 0xFF, 0x80],
            [-0.980_346_7, 0.0, 0.980_346_7],
        ),
    ] {
        let heard = decoded(mono(tag, bits, &data));
        assert_eq!(heard, expected, "format {tag}, {bits} bits");
    }
}

#[test]
fn any_part_can_be_read_and_nothing_behind_the_end() {
    let stereo: Vec<u8> = (0..6i16).flat_map(|n| (n * 256).to_le_bytes()).collect();
    let format = chunk(b"fmt ", &fmt(1, 2, 48_000, 16));
    let wav = Wav::parse(riff(&[format, chunk(b"data", &stereo)])).expect("a WAV file");
    assert_eq!((wav.channels(), wav.sample_rate_hz()), (2, 48_000));
    assert_eq!(wav.samples_per_channel(), 3);
    let mut samples = Vec::new();
    assert_eq!(wav.append(1, 1, &mut samples), 1);
    assert_eq!(samples, [2.0 / 128.0, 3.0 / 128.0]);
    assert_eq!(wav.append(2, 5, &mut samples), 1);
    assert_eq!(wav.append(3, 5, &mut samples), 0);
    assert_eq!(wav.append(usize::MAX, usize::MAX, &mut samples), 0);
    assert_eq!(samples.len(), 4);
}

#[test]
fn what_follows_the_sound_is_not_heard() {
    let format = chunk(b"fmt ", &fmt(1, 1, 8_000, 8));
    let rest = chunk(b"LIST", b"INFOISFT....");
    // Three bytes, and the one that pads them.
    let file = riff(&[format, chunk(b"data", &[192; 3]), rest]);
    assert_eq!(decoded(file), [0.5; 3]);
}

#[test]
fn half_a_sample_at_the_end_is_left_out() {
    assert_eq!(decoded(mono(1, 16, &[0, 0x40, 0x11])), [0.5]);
}

#[test]
fn what_is_wrong_is_said() {
    let format = |tag, channels, rate_hz, bits| chunk(b"fmt ", &fmt(tag, channels, rate_hz, bits));
    let data = || chunk(b"data", &[0; 64]);
    let good = || format(1, 1, 8_000, 16);
    let sized = |name: &[u8; 4], size: u32| [&name[..], &size.to_le_bytes(), &[0; 64]].concat();
    let odd_blocks = {
        let mut body = fmt(1, 2, 8_000, 24);
        body[12] = 8;
        chunk(b"fmt ", &body)
    };
    let extensible = |end: &[u8]| {
        let valid_and_speakers = [22, 0, 16, 0, 4, 0, 0, 0];
        chunk(
            b"fmt ",
            &[&fmt(0xFFFE, 1, 8_000, 16), &valid_and_speakers[..], end].concat(),
        )
    };
    for (file, words) in [
        (vec![], "it is no WAV file"),
        (b"RIFF".to_vec(), "it is no WAV file"),
        (
            b"this is text, and long enough for a header".to_vec(),
            "it is no WAV file",
        ),
        // Numbers the other way round.
        (b"RIFX\0\0\0\0WAVE".to_vec(), "it is no WAV file"),
        (riff(&[]), "no fmt chunk"),
        (riff(&[data(), good()]), "no fmt chunk"),
        (riff(&[good()]), "no data chunk"),
        (riff(&[good(), b"data".to_vec()]), "no data chunk"),
        (
            riff(&[good(), chunk(b"data", &[])]),
            "its data chunk is empty",
        ),
        (
            riff(&[good(), chunk(b"data", &[1])]),
            "its data chunk is empty",
        ),
        (
            riff(&[good(), chunk(b"data", &[]), chunk(b"LIST", &[1; 64])]),
            "its data chunk is empty",
        ),
        (
            riff(&[good(), sized(b"data", 65)]),
            "should hold 65 bytes of sound, and 64 are there",
        ),
        (
            riff(&[good(), sized(b"data", 0x7FFE_FFFF)]),
            "should hold 2147418111 bytes",
        ),
        (
            riff(&[sized(b"LIST", 200), data()]),
            "\"LIST\" reaches beyond the end",
        ),
        (
            riff(&[sized(b"fmt ", u32::MAX)]),
            "\"fmt \" reaches beyond the end",
        ),
        (
            riff(&[sized(b"\x1B[2J", u32::MAX)]),
            "\"\\x1b[2J\" reaches beyond",
        ),
        (
            riff(&[chunk(b"fmt ", &[1, 0, 1, 0]), data()]),
            "too short, with 4 bytes",
        ),
        (
            riff(&[chunk(b"fmt ", &fmt(0xFFFE, 1, 8_000, 16)), data()]),
            "too short, with 16 bytes",
        ),
        (
            riff(&[format(1, 0, 8_000, 16), data()]),
            "0 channels; accepted are 1 and 2",
        ),
        (riff(&[format(1, 3, 8_000, 16), data()]), "3 channels"),
        (
            riff(&[format(1, 0x4001, 8_000, 16), data()]),
            "16385 channels",
        ),
        (
            riff(&[format(1, 1, 0, 16), data()]),
            "0 Hz; accepted are 8000 to",
        ),
        (riff(&[format(1, 1, 7_999, 16), data()]), "7999 Hz"),
        (riff(&[format(1, 1, u32::MAX, 16), data()]), "4294967295 Hz"),
        (
            riff(&[format(1, 1, 8_000, 0), data()]),
            "integers of 0 bits",
        ),
        (
            riff(&[format(1, 1, 8_000, 33), data()]),
            "integers of 33 bits",
        ),
        (
            riff(&[format(1, 1, 8_000, u16::MAX), data()]),
            "integers of 65535 bits",
        ),
        (
            riff(&[format(3, 1, 8_000, 16), data()]),
            "floats of 16 bits",
        ),
        (riff(&[format(7, 1, 8_000, 16), data()]), "µ-law of 16 bits"),
        (
            riff(&[format(0x11, 1, 8_000, 4), data()]),
            "IMA ADPCM, which is not read",
        ),
        (riff(&[format(0x31, 1, 8_000, 0), data()]), "GSM 6.10"),
        (
            riff(&[format(0x1234, 1, 8_000, 16), data()]),
            "in the format 0x1234",
        ),
        (
            riff(&[odd_blocks, data()]),
            "2 channel(s) of 24 bits in blocks of 8 bytes",
        ),
        (
            riff(&[extensible(&[1; 16]), data()]),
            "in a format without a number",
        ),
    ] {
        let said = refused(file);
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn long_sizes_of_a_short_file_are_no_sound() {
    let ds64 = |size: u64| {
        let sizes = [0, size, 0].map(u64::to_le_bytes).concat();
        chunk(b"ds64", &[&sizes[..], &[0; 4]].concat())
    };
    let file = |form: &[u8; 4], size: u64| {
        let format = chunk(b"fmt ", &fmt(1, 1, 8_000, 8));
        let mut file = riff(&[ds64(size), format, chunk(b"data", &[192; 4])]);
        let data = file.len() - 8;
        file[..4].copy_from_slice(form);
        file[data..data + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        file
    };
    for form in [b"RF64", b"BW64"] {
        assert_eq!(decoded(file(form, 3)), [0.5; 3]);
        assert_eq!(decoded(file(form, 0)), [0.5; 4], "it was never finished");
        let said = refused(file(form, 5 << 30));
        assert!(said.contains("should hold 5368709120 bytes"), "{said}");
    }
    // In a short file the long size means nothing.
    assert_eq!(decoded(file(b"RIFF", 3)), [0.5; 4]);
}

/// Every prefix of a good file, and the file with every byte changed, is played or refused.
#[test]
fn no_damage_is_more_than_a_word() {
    let sound: Vec<u8> = (0..64).collect();
    let list = chunk(b"LIST", b"odd");
    let format = chunk(b"fmt ", &fmt(1, 2, 8_000, 16));
    let good = riff(&[list, format, chunk(b"data", &sound)]);
    assert_eq!(decoded(good.clone()).len(), 32);
    for length in 0..good.len() {
        assert!(
            Wav::parse(good[..length].to_vec()).is_err(),
            "{length} bytes"
        );
    }
    for place in 0..good.len() {
        for value in [0, 1, 0x7F, 0x80, 0xFF] {
            let mut file = good.clone();
            file[place] = value;
            let Ok(wav) = Wav::parse(file) else { continue };
            let mut samples = Vec::new();
            wav.append(0, usize::MAX, &mut samples);
            assert!(samples.iter().all(|sample| sample.is_finite()));
            assert!(samples.len() <= sound.len());
        }
    }
}
