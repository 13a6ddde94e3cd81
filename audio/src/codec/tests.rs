use super::format::{Format, PayloadError};
use super::*;
use crate::measure::{fit_sine, lag, noise, peak, phase_delay_s, rms_db, sine, speech_like};

fn format(codec: &str, rate: i32, channels: i32) -> Format {
    Format::parse(codec, rate, channels).unwrap()
}

/// Through the encoder and the decoder, in chunks of `samples` per channel.
fn round_trip(format: Format, bitrate: u32, sound: &[f32], samples: usize) -> Vec<f32> {
    let mut encoder = Encoder::new(format, bitrate).unwrap();
    let mut decoder = Decoder::new(format).unwrap();
    let (mut payload, mut heard) = (Vec::new(), Vec::new());
    for chunk in sound.chunks_exact(samples * format.channels()) {
        payload.clear();
        encoder.encode(chunk, &mut payload).unwrap();
        assert_eq!(decoder.decode(&payload, &mut heard), Ok(Decoded::Sound));
    }
    heard
}

/// Scale-invariant signal-to-distortion ratio in dB (Le Roux et al., 2019).
fn si_sdr_db(reference: &[f32], heard: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter()
            .zip(b)
            .map(|(&a, &b)| f64::from(a) * f64::from(b))
            .sum()
    };
    let scale = dot(reference, heard) / dot(reference, reference);
    let signal = scale * scale * dot(reference, reference);
    let rest: f64 = reference
        .iter()
        .zip(heard)
        .map(|(&r, &h)| (f64::from(h) - scale * f64::from(r)).powi(2))
        .sum();
    10.0 * (signal / rest).log10()
}

#[test]
fn opus_keeps_speech_and_is_late_by_its_look_ahead() {
    let speech = speech_like(4);
    for samples in [120, 240, 480, 960, 2_880, 5_760] {
        let heard = round_trip(Format::OPUS_48K_MONO, 64_000, &speech, samples);
        let lookahead = Encoder::new(Format::OPUS_48K_MONO, 64_000)
            .unwrap()
            .lookahead();
        assert_eq!(lookahead, 120);
        assert_eq!(Encoder::lookahead_of(Format::OPUS_48K_MONO), 120);
        let late = lag(&speech[..heard.len()], &heard, 2_000);
        assert!((late - lookahead as f64).abs() < 1.0, "{samples}: {late}");
        let level = rms_db(&heard) - rms_db(&speech[..heard.len()]);
        assert!(level.abs() < 0.5, "{samples}: {level:.2} dB");
        // At 2.5 ms the packets' own overhead eats much of the bitrate.
        let least = if samples < 480 { 5.0 } else { 12.0 };
        let kept = si_sdr_db(&speech, &heard[lookahead..]);
        assert!(kept > least, "{samples}: SI-SDR {kept:.1} dB");
    }
}

#[test]
fn opus_keeps_a_tone_at_every_rate() {
    for rate in [8_000, 12_000, 16_000, 24_000, 48_000] {
        for channels in [1, 2] {
            let format = format("opus", rate, channels);
            let rate = format.sample_rate_hz();
            let mono = sine(1_000.0, 0.25, rate, 2 * rate as usize);
            let sound: Vec<f32> = mono
                .iter()
                .flat_map(|&sample| vec![sample; format.channels()])
                .collect();
            let heard = round_trip(format, 48_000, &sound, rate as usize / 50);
            let left: Vec<f32> = heard.iter().step_by(format.channels()).copied().collect();
            let fit = fit_sine(&left[rate as usize / 2..], 1_000.0, rate);
            assert!((fit.level_db - -12.04).abs() < 0.3, "{format}: {fit:?}");
            assert!(fit.sinad_db > 20.0, "{format}: {fit:?}");
            let stated = Encoder::lookahead_of(format);
            assert_eq!(Encoder::new(format, 48_000).unwrap().lookahead(), stated);
            let late_s = phase_delay_s(&left[rate as usize / 2..], rate / 2, 1_000.0, rate);
            // 2.5 ms are two and a half periods.
            assert!((late_s - 0.000_5).abs() < 0.000_05, "{format}: {late_s}");
        }
    }
}

#[test]
fn the_default_bitrate_goes_by_the_format() {
    for (rate, channels, bitrate) in [
        (48_000, 1, DEFAULT_BITRATE),
        (48_000, 2, 96_000),
        (16_000, 1, 40_000),
        (8_000, 1, 24_000),
        (8_000, 2, 96_000),
    ] {
        assert_eq!(default_bitrate(format("opus", rate, channels)), bitrate);
    }
}

#[test]
fn speech_takes_what_it_needs_and_silence_next_to_nothing() {
    let mean = |sound: &[f32]| {
        let mut encoder = Encoder::new(Format::OPUS_48K_MONO, DEFAULT_BITRATE).unwrap();
        let mut payload = Vec::new();
        for chunk in sound.chunks_exact(480) {
            encoder.encode(chunk, &mut payload).unwrap();
        }
        payload.len() * 8 * 48_000 / sound.len()
    };
    let speech = mean(&speech_like(4));
    assert!((64_000..110_000).contains(&speech), "{speech}");
    let silence = mean(&vec![0.0; 96_000]);
    assert!(silence < 8_000, "{silence}");
}

#[test]
fn pcm_survives_bit_for_bit() {
    for channels in [1, 2] {
        let format = format("pcm", 48_000, channels);
        let mut decoder = Decoder::new(format).unwrap();
        let mut encoder = Encoder::new(format, 0).unwrap();
        let all: Vec<u8> = (i16::MIN..=i16::MAX).flat_map(i16::to_le_bytes).collect();
        for payload in all.chunks(8_192) {
            let (mut samples, mut back) = (Vec::new(), Vec::new());
            decoder.decode(payload, &mut samples).unwrap();
            encoder.encode(&samples, &mut back).unwrap();
            assert!(back == payload);
        }
    }
}

#[test]
fn pcm_beyond_full_scale_is_clamped_and_not_wrapped() {
    let mut encoder = Encoder::new(format("pcm", 48_000, 1), 0).unwrap();
    let mut payload = Vec::new();
    encoder
        .encode(&[1.0, 1e9, -1.0, -1e9, f32::NAN], &mut payload)
        .unwrap();
    let samples: Vec<i16> = payload
        .chunks_exact(2)
        .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
        .collect();
    assert_eq!(samples, [32_767, 32_767, -32_768, -32_768, 0]);
}

#[test]
fn g711_keeps_a_tone_and_its_own_bytes() {
    for codec in ["pcmu", "pcma"] {
        let format = format(codec, 8_000, 1);
        let heard = round_trip(format, 0, &sine(1_020.0, 0.25, 8_000, 8_000), 160);
        let fit = fit_sine(&heard, 1_020.0, 8_000);
        assert!((fit.level_db - -12.04).abs() < 0.1, "{codec}: {fit:?}");
        assert!(fit.sinad_db > 33.0, "{codec}: {fit:?}");
        assert!(fit.phase.abs() < 0.01, "{codec}: {fit:?}");

        let all: Vec<u8> = (0..=255).collect();
        let (mut samples, mut back, mut again) = (Vec::new(), Vec::new(), Vec::new());
        Decoder::new(format)
            .unwrap()
            .decode(&all, &mut samples)
            .unwrap();
        Encoder::new(format, 0)
            .unwrap()
            .encode(&samples, &mut back)
            .unwrap();
        Decoder::new(format)
            .unwrap()
            .decode(&back, &mut again)
            .unwrap();
        // µ-law writes zero in two ways; what they sound like is the same.
        assert_eq!(samples, again, "{codec}");
    }
}

#[test]
fn concealment_fills_any_count_exactly() {
    for (codec, rate, channels) in [
        ("opus", 48_000, 1),
        ("opus", 48_000, 2),
        ("opus", 8_000, 1),
        ("opus", 12_000, 2),
        ("pcm", 44_100, 2),
        ("pcmu", 8_000, 1),
    ] {
        let format = format(codec, rate, channels);
        let mut decoder = Decoder::new(format).unwrap();
        let mut samples = Vec::new();
        // Before anything was heard there is nothing to go on with, but time to fill.
        decoder.conceal(480, &mut samples);
        assert_eq!(samples.len(), 480 * format.channels());
        assert_eq!(peak(&samples), 0.0);
        for count in [
            0, 1, 19, 20, 119, 120, 121, 441, 480, 1_000, 5_760, 5_761, 20_000,
        ] {
            samples.clear();
            decoder.conceal(count, &mut samples);
            assert_eq!(
                samples.len(),
                count * format.channels(),
                "{format}: {count}"
            );
            assert!(samples.iter().all(|sample| sample.is_finite()));
        }
    }
}

#[test]
fn concealment_goes_on_without_a_step_and_fades() {
    for (codec, rate, channels) in [
        ("opus", 48_000, 1),
        ("pcm", 48_000, 1),
        ("pcm", 44_100, 2),
        ("pcma", 8_000, 1),
    ] {
        let format = format(codec, rate, channels);
        let rate = format.sample_rate_hz() as usize;
        let mono = sine(200.0, 0.5, rate as u32, rate);
        let sound: Vec<f32> = mono
            .iter()
            .flat_map(|&sample| vec![sample; format.channels()])
            .collect();
        let mut encoder = Encoder::new(format, 64_000).unwrap();
        let mut decoder = Decoder::new(format).unwrap();
        let (mut payload, mut heard) = (Vec::new(), Vec::new());
        for chunk in sound.chunks_exact(rate / 50 * format.channels()) {
            payload.clear();
            encoder.encode(chunk, &mut payload).unwrap();
            decoder.decode(&payload, &mut heard).unwrap();
        }
        let end = heard.len();
        // In pieces, as a jitter buffer asks for it; the first is no multiple of 2.5 ms.
        decoder.conceal(rate * 3 / 1_000, &mut heard);
        assert!(
            peak(&heard[heard.len() - rate / 4_000 * format.channels()..]) > 0.01,
            "{format}"
        );
        for _ in 0..30 {
            decoder.conceal(rate / 100, &mut heard);
        }
        let left: Vec<f32> = heard.iter().step_by(format.channels()).copied().collect();
        let end = end / format.channels();
        let steepest = |samples: &[f32]| {
            let steps = samples.windows(2).map(|pair| (pair[1] - pair[0]).abs());
            steps.fold(0.0, f32::max)
        };
        let usual = steepest(&left[end / 2..end]);
        let around = steepest(&left[end - 2..]);
        assert!(
            around < 1.3 * usual + 0.01,
            "{format}: {around} after {usual}"
        );
        let level = |from_ms: usize| {
            rms_db(&left[end + from_ms * rate / 1_000..end + (from_ms + 10) * rate / 1_000])
        };
        assert!(level(0) > -13.0, "{format}: {:.1}", level(0));
        assert!(
            level(0) > level(30),
            "{format}: {:.1} {:.1}",
            level(0),
            level(30)
        );
        assert!(level(290) < -25.0, "{format}: {:.1}", level(290));
    }
}

#[test]
fn what_is_decoded_is_finite_and_bounded_whatever_the_bytes() {
    let bytes: Vec<u8> = noise(1.0, 3, 100_000)
        .iter()
        .map(|sample| (sample.to_bits() >> 5) as u8)
        .collect();
    let mut decoder = Decoder::new(format("opus", 48_000, 2)).unwrap();
    let mut samples = Vec::new();
    for n in 0..5_000 {
        samples.clear();
        let start = n * 7_919 % 90_000;
        // A duration that is not ours is the only thing refused.
        let result = decoder.decode(&bytes[start..start + n % 400], &mut samples);
        assert!(!matches!(result, Err(PayloadError::NotOpus)));
        assert!(samples.iter().all(|sample| (-1.0..=1.0).contains(sample)));
    }
}

#[test]
fn what_is_no_number_becomes_silence() {
    let mut samples = [
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        9_000.0,
        -9_000.0,
        0.5,
    ];
    make_finite(&mut samples);
    assert_eq!(samples, [0.0, 0.0, 0.0, 1.0, -1.0, 0.5]);
    let mut encoder = Encoder::new(Format::OPUS_48K_MONO, 32_000).unwrap();
    let mut decoder = Decoder::new(Format::OPUS_48K_MONO).unwrap();
    let (mut payload, mut heard) = (Vec::new(), Vec::new());
    for chunk in [[f32::NAN; 480], [0.0; 480], [0.0; 480], [0.0; 480]] {
        payload.clear();
        encoder.encode(&chunk, &mut payload).unwrap();
        decoder.decode(&payload, &mut heard).unwrap();
    }
    assert!(heard.iter().all(|sample| sample.is_finite()));
}
