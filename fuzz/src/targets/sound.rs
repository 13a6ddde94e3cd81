//! Formats and payloads made of bytes: right ones, wrong ones, and right ones with a fault in them.

use arbitrary::{Result, Unstructured};
use audio::{Encoder, Format, Tone};

/// A format that is accepted.
pub(super) fn format(input: &mut Unstructured<'_>) -> Result<Format> {
    let codec = *input.choose(&["opus", "pcm", "pcmu", "pcma"])?;
    let rate = match codec {
        "opus" => *input.choose(&[8_000, 12_000, 16_000, 24_000, 48_000])?,
        "pcm" => *input.choose(&[8_000, 11_025, 16_000, 44_100, 48_000, 96_000, 192_000])?,
        _ => 8_000,
    };
    let channels = input.int_in_range(1..=2)?;
    Ok(Format::parse(codec, rate, channels).expect("it is in the list of the contract"))
}

/// Makes payloads of a format.
pub(super) struct Payloads {
    format: Format,
    encoder: Encoder,
    tone: Tone,
}

impl Payloads {
    pub(super) fn new(format: Format) -> Self {
        Self {
            format,
            encoder: Encoder::new(format, 48_000).expect("an encoder of an accepted format"),
            tone: Tone::new(440.0, -12.0, format.sample_rate_hz()),
        }
    }

    /// One that is good, damaged, or nothing but bytes; perhaps empty.
    pub(super) fn next(&mut self, input: &mut Unstructured<'_>) -> Result<Vec<u8>> {
        match input.int_in_range(0..=7)? {
            0 => Ok(Vec::new()),
            1 | 2 => Ok(input.arbitrary::<&[u8]>()?.to_vec()),
            3 => {
                let mut payload = self.good(input)?;
                let length = payload.len();
                for _ in 0..input.int_in_range(1..=8)? {
                    if length > 0 {
                        payload[input.choose_index(length)?] = input.arbitrary()?;
                    }
                }
                if input.ratio(1, 4)? {
                    payload.truncate(input.int_in_range(0..=length)?);
                }
                Ok(payload)
            }
            4 => Ok(vec![input.arbitrary()?; input.int_in_range(0..=48_000)?]),
            _ => self.good(input),
        }
    }

    /// A tone of a length that the codec can have.
    pub(super) fn good(&mut self, input: &mut Unstructured<'_>) -> Result<Vec<u8>> {
        let eighths_of_20_ms = *input.choose(&[8, 1, 2, 4, 16, 24, 32, 40, 48])?;
        Ok(self.tone(eighths_of_20_ms))
    }

    /// A tone that lasts for so many times 2.5 ms.
    pub(super) fn tone(&mut self, quarters_of_10_ms: usize) -> Vec<u8> {
        let samples = self.format.sample_rate_hz() as usize * quarters_of_10_ms / 400;
        let mut mono = vec![0.0; samples];
        self.tone.fill(&mut mono);
        let channels = self.format.channels();
        let sound: Vec<f32> = mono
            .iter()
            .flat_map(|sample| std::iter::repeat_n(*sample, channels))
            .collect();
        let mut payload = Vec::new();
        self.encoder
            .encode(&sound, &mut payload)
            .expect("a length of the codec's");
        payload
    }
}

/// All of it is sound: finite, and no louder than `most`.
pub(super) fn assert_is_sound(samples: &[f32], most: f32) {
    for (place, sample) in samples.iter().enumerate() {
        assert!(
            sample.abs() <= most,
            "sample {place} of {} is {sample}",
            samples.len()
        );
    }
}
