//! The one parameter that a stream needs, as PipeWire's plain old data: raw audio, 32 bit floats,
//! interleaved. (`spa/pod/pod.h`, `spa/param/audio/raw.h`)

/// Types of pods.
const ID: u32 = 3;
const INT: u32 = 4;
const ARRAY: u32 = 13;
const OBJECT: u32 = 15;
/// The object, and what it is for.
const FORMAT: u32 = 0x4_0003;
const ENUM_FORMAT: u32 = 3;
/// Its properties, …
const MEDIA_TYPE: u32 = 1;
const MEDIA_SUBTYPE: u32 = 2;
const AUDIO_FORMAT: u32 = 0x1_0001;
const AUDIO_RATE: u32 = 0x1_0003;
const AUDIO_CHANNELS: u32 = 0x1_0004;
const AUDIO_POSITION: u32 = 0x1_0005;
/// … and their values.
const AUDIO: u32 = 1;
const RAW: u32 = 1;
const F32: u32 = if cfg!(target_endian = "little") {
    283
} else {
    284
};
const MONO: u32 = 2;
const FRONT_LEFT: u32 = 3;
const FRONT_RIGHT: u32 = 4;

/// Raw audio of this rate and one or two channels. Pods are aligned to 8 bytes, hence the type.
pub(super) fn raw_audio(rate_hz: u32, channels: u16) -> Vec<u64> {
    let positions: &[u32] = match channels {
        1 => &[MONO],
        _ => &[FRONT_LEFT, FRONT_RIGHT],
    };
    let mut body = vec![FORMAT, ENUM_FORMAT];
    for (key, kind, value) in [
        (MEDIA_TYPE, ID, AUDIO),
        (MEDIA_SUBTYPE, ID, RAW),
        (AUDIO_FORMAT, ID, F32),
        (AUDIO_RATE, INT, rate_hz),
        (AUDIO_CHANNELS, INT, positions.len() as u32),
    ] {
        // Key, flags, size and type of the value, the value, padding.
        body.extend([key, 0, 4, kind, value, 0]);
    }
    let bytes = 4 * positions.len() as u32;
    body.extend([AUDIO_POSITION, 0, 8 + bytes, ARRAY, 4, ID]);
    body.extend(positions);
    body.resize(body.len().next_multiple_of(2), 0);
    let mut words = vec![4 * body.len() as u32, OBJECT];
    words.append(&mut body);
    words.chunks_exact(2).map(pair).collect()
}

/// Two words as they follow each other in memory.
fn pair(words: &[u32]) -> u64 {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&words[0].to_ne_bytes());
    bytes[4..].copy_from_slice(&words[1].to_ne_bytes());
    u64::from_ne_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `spa_format_audio_raw_build` of PipeWire 0.3.65 makes of the same, word by word.
    #[test]
    fn the_format_is_the_one_that_the_headers_build() {
        let words: Vec<u32> = raw_audio(48_000, 2)
            .iter()
            .flat_map(|pair| {
                let bytes = pair.to_ne_bytes();
                [0, 4].map(|at| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap()))
            })
            .collect();
        let expected = [
            160, 15, 262_147, 3, 1, 0, 4, 3, 1, 0, 2, 0, 4, 3, 1, 0, 65_537, 0, 4, 3, F32, 0,
            65_539, 0, 4, 4, 48_000, 0, 65_540, 0, 4, 4, 2, 0, 65_541, 0, 16, 13, 4, 3, 3, 4,
        ];
        assert_eq!(words, expected);
    }

    #[test]
    fn an_odd_number_of_channels_is_padded() {
        let pod = raw_audio(48_000, 1);
        assert_eq!(pod[0] as u32 as usize, 8 * (pod.len() - 1));
    }
}
