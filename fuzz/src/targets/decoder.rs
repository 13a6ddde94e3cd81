//! Decoders and encoders: whatever the payload, what comes out is sound of the length that was stated,
//! and can be encoded again.

use arbitrary::{Result, Unstructured};
use audio::{Decoder, Encoder, codec::Decoded};

use super::sound::{Payloads, assert_is_sound, format};

/// Samples per channel of 120 ms at 192 kHz.
const MAX_SAMPLES: usize = 23_040;

pub(super) fn run(bytes: &[u8]) -> String {
    let mut counts = Counts::default();
    // What is missing at the end of an input ends it.
    let _ = decode_all(&mut Unstructured::new(bytes), &mut counts);
    format!("{counts:?}")
}

/// What became of the payloads, roughly.
#[derive(Debug, Default)]
struct Counts {
    format: String,
    sound: bool,
    concealed: bool,
    asked: bool,
    refused: Option<String>,
}

fn decode_all(input: &mut Unstructured<'_>, counts: &mut Counts) -> Result<()> {
    let format = format(input)?;
    counts.format = format.to_string();
    let mut payloads = Payloads::new(format);
    let mut decoder = Decoder::new(format).expect("a decoder of an accepted format");
    let mut encoder = Encoder::new(format, 64_000).expect("an encoder of an accepted format");
    let channels = format.channels();
    while !input.is_empty() {
        let mut samples = vec![0.5; channels];
        if input.ratio(1, 6)? {
            let wanted = input.int_in_range(0..=MAX_SAMPLES)?;
            decoder.conceal(wanted, &mut samples);
            assert_eq!(samples.len(), (1 + wanted) * channels);
            assert_is_sound(&samples, 1.0);
            counts.asked = true;
            continue;
        }
        let payload = payloads.next(input)?;
        let stated = format.samples_per_channel(&payload);
        match decoder.decode(&payload, &mut samples) {
            Ok(decoded) => {
                counts.sound |= decoded == Decoded::Sound;
                counts.concealed |= decoded == Decoded::Concealed;
                let got = samples.len() / channels - 1;
                assert!(got <= MAX_SAMPLES);
                if let Ok(stated) = stated {
                    assert_eq!(got, stated, "{format}");
                }
                assert_eq!(
                    samples[..channels],
                    [0.5; 2][..channels],
                    "what was there before"
                );
                assert_is_sound(&samples, 1.0);
                let mut encoded = Vec::new();
                encoder
                    .encode(&samples[channels..], &mut encoded)
                    .unwrap_or_else(|error| panic!("{got} samples of {format}: {error}"));
                if got > 0 {
                    assert_eq!(format.samples_per_channel(&encoded), Ok(got));
                }
            }
            Err(error) => {
                assert_eq!(Err(&error), stated.as_ref(), "{format}");
                assert_eq!(samples.len(), channels, "nothing is left of it");
                let words = error.to_string();
                assert!(proto::text::is_printable(&words));
                counts.refused = Some(words.chars().filter(char::is_ascii_lowercase).collect());
            }
        }
    }
    Ok(())
}
