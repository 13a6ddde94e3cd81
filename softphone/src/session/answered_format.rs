//! Whether the far end answers in the format it was asked for. Pure.
//!
//! Sound in another format decodes to noise, as loud as can be: none of it may reach the decoder.

use audio::{Codec, Format};
use proto::{callcenter::AudioChunk, text::excerpt};

/// An answer in another format than was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the server answers in {answered} but was asked for {requested}; nothing of it was played: {remedy}"
)]
pub struct WrongFormat {
    answered: String,
    requested: Format,
    remedy: String,
}

/// Checks fields 3 to 5 of `chunk`, a chunk of the far end. A field that it leaves unset is taken to
/// be as requested, and on a chunk without sound nothing can be wrong.
///
/// # Errors
/// Says what was answered, what was asked for, and what to do.
pub fn check(chunk: &AudioChunk, requested: Format) -> Result<(), WrongFormat> {
    let codec = Codec::parse(&chunk.codec);
    let is_set_to = |field: i32, value: usize| field == 0 || usize::try_from(field) == Ok(value);
    let is_right = chunk.audio_data.is_empty()
        || (chunk.codec.is_empty() || codec == Ok(requested.codec()))
            && is_set_to(chunk.sample_rate, requested.sample_rate_hz() as usize)
            && is_set_to(chunk.channels, requested.channels());
    if is_right {
        return Ok(());
    }
    let remedy = match codec {
        Ok(codec) if codec != requested.codec() => {
            format!("call with --codec {}, or mend the server", codec.name())
        }
        _ => "mend the server, which must answer in the format of the first chunk it was sent"
            .to_owned(),
    };
    Err(WrongFormat {
        answered: words(chunk, requested),
        requested,
        remedy,
    })
}

/// The chunk's format, as far as it says one, like `Format` would be written.
fn words(chunk: &AudioChunk, requested: Format) -> String {
    let codec = match &chunk.codec[..] {
        "" => requested.codec().name().to_owned(),
        name => excerpt(name, 40),
    };
    let rate_hz = match chunk.sample_rate {
        0 => i64::from(requested.sample_rate_hz()),
        rate_hz => rate_hz.into(),
    };
    let channels = match chunk.channels {
        0 => requested.channels().to_string(),
        channels => channels.to_string(),
    };
    let channels = match &channels[..] {
        "1" => "mono".to_owned(),
        "2" => "stereo".to_owned(),
        count => format!("{count} channels"),
    };
    format!("{codec} {rate_hz} Hz {channels}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(codec: &str, sample_rate: i32, channels: i32) -> AudioChunk {
        AudioChunk {
            audio_data: (&[1, 2, 3, 4][..]).into(),
            codec: codec.to_owned(),
            sample_rate,
            channels,
            ..AudioChunk::default()
        }
    }

    #[test]
    fn what_was_asked_for_is_right_in_all_its_names_and_where_nothing_is_said() {
        let pcmu = Format::parse("pcmu", 8_000, 1).unwrap();
        for (chunk, requested) in [
            (answer("opus", 48_000, 1), Format::OPUS_48K_MONO),
            (answer("OPUS", 48_000, 1), Format::OPUS_48K_MONO),
            (answer("", 0, 0), Format::OPUS_48K_MONO),
            (answer("", 48_000, 0), Format::OPUS_48K_MONO),
            (answer("MULAW", 8_000, 1), pcmu),
        ] {
            assert_eq!(check(&chunk, requested), Ok(()), "{chunk:?}");
        }
        let without_sound = AudioChunk {
            audio_data: (&[][..]).into(),
            ..answer("pcm", 8_000, 2)
        };
        assert_eq!(check(&without_sound, Format::OPUS_48K_MONO), Ok(()));
    }

    #[test]
    fn each_field_may_be_wrong_and_is_named() {
        for (chunk, answered, remedy) in [
            (answer("pcm", 48_000, 1), "pcm 48000 Hz mono", "--codec pcm"),
            (
                answer("ALAW", 8_000, 1),
                "ALAW 8000 Hz mono",
                "--codec pcma",
            ),
            (answer("pcm", 0, 0), "pcm 48000 Hz mono", "--codec pcm"),
            (
                answer("", 16_000, 0),
                "opus 16000 Hz mono",
                "mend the server",
            ),
            (
                answer("opus", 48_000, 2),
                "opus 48000 Hz stereo",
                "mend the server",
            ),
            (
                answer("opus", -1, 7),
                "opus -1 Hz 7 channels",
                "mend the server",
            ),
            (answer("mp3\n", 48_000, 1), "mp3", "mend the server"),
        ] {
            let words = check(&chunk, Format::OPUS_48K_MONO)
                .unwrap_err()
                .to_string();
            assert!(
                words.contains(answered) && words.contains(remedy),
                "{words}"
            );
            assert!(
                words.contains("was asked for opus 48000 Hz mono"),
                "{words}"
            );
            assert!(!words.contains('\n'), "{words}");
        }
    }
}
