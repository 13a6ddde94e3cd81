//! A WAV file: it is refused in words, or what is read of it is sound and no more than there is.

use audio::{Resampler, Wav, codec::make_finite};

use super::sound::assert_is_sound;

pub(super) fn run(bytes: &[u8]) -> String {
    let wav = match Wav::parse(bytes.to_vec()) {
        Ok(wav) => wav,
        Err(error) => {
            let words = error.to_string();
            assert!(
                words.len() < 300 && proto::text::is_printable(&words),
                "{words:?}"
            );
            return words
                .chars()
                .filter(char::is_ascii_lowercase)
                .take(40)
                .collect();
        }
    };
    let channels = usize::from(wav.channels());
    let count = wav.samples_per_channel();
    assert!(count > 0 && count * channels <= bytes.len());
    let mut samples = Vec::new();
    assert_eq!(wav.append(0, usize::MAX, &mut samples), count);
    assert_eq!(samples.len(), count * channels);
    assert!(samples.iter().all(|sample| sample.is_finite()));
    // In two parts it is the same.
    let mut parts = Vec::new();
    let first = wav.append(0, count / 2, &mut parts);
    wav.append(first, count, &mut parts);
    assert!(parts == samples, "in parts it is not the same");
    // As the softphone takes it.
    let mut resampler = Resampler::new(wav.sample_rate_hz(), 48_000, channels)
        .unwrap_or_else(|error| panic!("{} Hz: {error}", wav.sample_rate_hz()));
    let mut taken = Vec::new();
    resampler.process(&samples, &mut taken);
    make_finite(&mut taken);
    assert_is_sound(&taken, 1.0);
    format!(
        "{channels} channels, {} bytes a sample",
        bytes.len() / samples.len()
    )
}
