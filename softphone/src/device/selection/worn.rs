//! Whether a speaker sits on somebody's ears, so that a microphone does not hear it: judged by what
//! the audio server knows of the device, never by its name.

use proto::text::excerpt;

/// What the audio server says about it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Worn {
    /// Worn on the ears, or standing somewhere; `None`: the server does not know.
    pub worn: Option<bool>,
    /// What that is concluded from, for people; empty without a conclusion.
    pub reason: String,
}

/// Properties of a sink from which it can be concluded; as PulseAudio and PipeWire name them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SinkTraits<'a> {
    /// `device.form_factor`.
    pub(crate) form_factor: Option<&'a str>,
    /// The name of the active port, such as `analog-output-headphones`.
    pub(crate) port: Option<&'a str>,
    /// The kind of the active port, such as `Headphones`.
    pub(crate) port_type: Option<&'a str>,
}

/// In names of ports, and as form factors.
const WORN: [&str; 5] = ["headset", "headphone", "handset", "earpiece", "earphone"];
const NOT_WORN: [&str; 11] = [
    "speaker",
    "hands-free",
    "handsfree",
    "tv",
    "car",
    "hifi",
    "hdmi",
    "lineout",
    "line-out",
    "iec958",
    "portable",
];

/// Worn where anything says so: many USB headsets call their port a speaker, and a laptop is an
/// internal device with headphones in it.
pub(crate) fn judge(traits: SinkTraits<'_>) -> Worn {
    let clues = [
        ("form factor", traits.form_factor),
        ("port", traits.port),
        ("port type", traits.port_type),
    ];
    for (words, worn) in [(&WORN[..], true), (&NOT_WORN[..], false)] {
        for (what, value) in clues {
            let Some(value) = value else { continue };
            let lower = value.to_lowercase();
            if words.iter().any(|word| contains_word(&lower, word)) {
                return Worn {
                    worn: Some(worn),
                    reason: format!("{what} {}", excerpt(value, 60)),
                };
            }
        }
    }
    Worn::default()
}

/// Whether one of the parts of `text` begins with `word`: "card" is no car.
fn contains_word(text: &str, word: &str) -> bool {
    let begins = |at: usize| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..]
            .trim_start_matches('s')
            .chars()
            .next();
        !before.is_some_and(char::is_alphanumeric) && !after.is_some_and(char::is_alphabetic)
    };
    text.match_indices(word).any(|(at, _)| begins(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(form_factor: &str, port: &str, port_type: &str) -> (Option<bool>, String) {
        let some = |text| Some(text).filter(|text: &&str| !text.is_empty());
        let worn = judge(SinkTraits {
            form_factor: some(form_factor),
            port: some(port),
            port_type: some(port_type),
        });
        (worn.worn, worn.reason)
    }

    #[test]
    fn headphones_in_a_laptop_are_worn_and_its_speaker_is_not() {
        let (worn, reason) = judged("internal", "analog-output-headphones", "Headphones");
        assert_eq!(worn, Some(true));
        assert_eq!(reason, "port analog-output-headphones");
        let (worn, reason) = judged("internal", "analog-output-speaker", "Speaker");
        assert_eq!(worn, Some(false));
        assert_eq!(reason, "port analog-output-speaker");
    }

    #[test]
    fn a_usb_headset_is_worn_though_its_port_is_called_a_speaker() {
        let (worn, reason) = judged("headset", "analog-output-speaker", "Speaker");
        assert_eq!((worn, reason.as_str()), (Some(true), "form factor headset"));
        assert_eq!(judged("", "headset-output", "Headset").0, Some(true));
        // PipeWire's names of ports come from the use case manager.
        assert_eq!(judged("", "[Out] Headphones", "").0, Some(true));
    }

    #[test]
    fn screens_and_hifi_are_not_worn() {
        assert_eq!(judged("", "hdmi-output-0", "Hdmi").0, Some(false));
        assert_eq!(judged("hifi", "", "").0, Some(false));
        assert_eq!(judged("", "analog-output-lineout", "Line").0, Some(false));
        assert_eq!(judged("hands-free", "", "").0, Some(false));
    }

    #[test]
    fn nothing_is_concluded_from_words_that_say_nothing() {
        for port in ["analog-output", "output-card-1", "cartridge", ""] {
            assert_eq!(
                judged("internal", port, "Analog"),
                (None, String::new()),
                "{port}"
            );
        }
        assert_eq!(judged("", "", ""), (None, String::new()));
    }
}
