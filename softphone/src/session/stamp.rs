//! The stamp that the lab's server appends to the audio it returns.

/// `payload` without a trailing `|processed_<unix time>|`, if it ends in one.
pub fn strip(payload: &[u8]) -> &[u8] {
    const HEAD: &[u8] = b"|processed_";
    /// A float of the lab's language in full, with room to spare.
    const LONGEST_TIME: usize = 32;
    let Some((b'|', body)) = payload.split_last() else {
        return payload;
    };
    let digits = body
        .iter()
        .rev()
        .take(LONGEST_TIME)
        .take_while(|byte| byte.is_ascii_digit() || **byte == b'.')
        .count();
    match body[..body.len() - digits].strip_suffix(HEAD) {
        Some(sound) if digits > 0 => sound,
        _ => payload,
    }
}

#[cfg(test)]
mod tests {
    use super::strip;

    #[test]
    fn a_stamp_is_stripped() {
        assert_eq!(strip(b"sound|processed_1758700000.123456|"), b"sound");
        assert_eq!(strip(b"|processed_1758700000.0|"), b"");
    }

    #[test]
    fn only_the_last_stamp_goes() {
        assert_eq!(
            strip(b"x|processed_1.5|processed_2.5|"),
            b"x|processed_1.5".as_slice()
        );
    }

    #[test]
    fn what_is_no_stamp_stays() {
        for sound in [
            b"".as_slice(),
            b"|",
            b"sound",
            b"sound|",
            b"sound|processed_|",
            b"sound|processed_12x3|",
            b"sound|processed_1.5",
        ] {
            assert_eq!(strip(sound), sound);
        }
    }
}
