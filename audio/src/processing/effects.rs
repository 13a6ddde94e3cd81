//! The list of effects that a person or a peer asks for, read and checked.

use std::fmt;

use super::{denoise, limiter};
use crate::codec::format::shortened;

/// Range of the echo's delay, in milliseconds.
const DELAY_MS: std::ops::RangeInclusive<u32> = 1..=2_000;

/// The echo's delay where none is given, in milliseconds.
const DEFAULT_DELAY_MS: u32 = 300;

/// The most effects in one list.
const MAX_EFFECTS: usize = 8;

/// What the effects of one list may cost together: two noise suppressors and one of each other kind.
const MAX_COST: u32 = 120;

/// How long the delays of one list may last together, in milliseconds: each remembers as much sound,
/// 375 KiB a second and channel.
const MAX_DELAYS_MS: u32 = 2_000;

/// One block of the processing chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Removes hum and rumble.
    HighPass,
    /// Removes noise.
    Denoise,
    /// Raises quiet speech.
    Agc,
    /// Holds peaks at −1 dBFS.
    Limiter,
    /// Adds audible echoes.
    Delay {
        /// Milliseconds between them, 1–2000.
        ms: u32,
    },
}

impl Effect {
    /// What it costs: about as many microseconds of a processor for 10 ms of one channel.
    fn cost(self) -> u32 {
        match self {
            Self::Denoise => 50,
            Self::HighPass | Self::Agc | Self::Limiter | Self::Delay { .. } => 3,
        }
    }

    /// How much sound it remembers, in milliseconds.
    fn remembers_ms(self) -> u32 {
        match self {
            Self::Delay { ms } => ms,
            Self::HighPass | Self::Denoise | Self::Agc | Self::Limiter => 0,
        }
    }

    /// Samples at 48 kHz by which it delays the sound.
    pub fn delay_samples(self) -> usize {
        match self {
            Self::Denoise => denoise::DELAY_SAMPLES,
            Self::Limiter => limiter::DELAY_SAMPLES,
            // The echo's copies come later; the sound itself does not.
            Self::HighPass | Self::Agc | Self::Delay { .. } => 0,
        }
    }
}

/// Effects in the order in which they are applied; none at all means that the sound is passed on
/// undecoded.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Effects(Vec<Effect>);

impl Effects {
    /// The list that a leg gets unless told otherwise.
    pub const DEFAULT: &'static str = "highpass,denoise,agc,limiter";

    /// No effects.
    pub fn none() -> Self {
        Self(Vec::new())
    }

    /// Reads a comma list like `highpass,denoise,delay=250`, or `none`. Case and the spaces around a
    /// word do not matter.
    ///
    /// # Errors
    /// A word that is not an effect (an empty one, too), a delay out of range, `none` among others,
    /// more than eight, or effects that together cost too much time or memory. What an absent list means is the caller's to say.
    pub fn parse(list: &str) -> Result<Self, EffectsError> {
        let mut effects = Vec::new();
        let mut none = false;
        for (index, word) in list.split(',').enumerate() {
            if index == MAX_EFFECTS {
                return Err(EffectsError::TooMany);
            }
            match parse_word(word.trim())? {
                Some(effect) => effects.push(effect),
                None => none = true,
            }
            if none && index > 0 {
                return Err(EffectsError::NoneAmongOthers);
            }
        }
        let cost = effects.iter().map(|effect: &Effect| effect.cost()).sum();
        if cost > MAX_COST {
            return Err(EffectsError::TooCostly(cost));
        }
        let delays_ms = effects.iter().map(|effect| effect.remembers_ms()).sum();
        if delays_ms > MAX_DELAYS_MS {
            return Err(EffectsError::DelaysTooLong(delays_ms));
        }
        Ok(Self(effects))
    }

    /// Whether there is nothing to do.
    pub fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// The effects, first to last.
    pub fn iter(&self) -> impl Iterator<Item = Effect> + '_ {
        self.0.iter().copied()
    }
}

impl Default for Effects {
    /// [`Effects::DEFAULT`], read.
    fn default() -> Self {
        Self(vec![
            Effect::HighPass,
            Effect::Denoise,
            Effect::Agc,
            Effect::Limiter,
        ])
    }
}

impl std::str::FromStr for Effects {
    type Err = EffectsError;

    fn from_str(list: &str) -> Result<Self, EffectsError> {
        Self::parse(list)
    }
}

impl fmt::Display for Effects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_none() {
            return f.write_str("none");
        }
        for (index, effect) in self.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            match effect {
                Effect::HighPass => f.write_str("highpass")?,
                Effect::Denoise => f.write_str("denoise")?,
                Effect::Agc => f.write_str("agc")?,
                Effect::Limiter => f.write_str("limiter")?,
                Effect::Delay { ms } => write!(f, "delay={ms}")?,
            }
        }
        Ok(())
    }
}

/// A list of effects that cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EffectsError {
    /// Not an effect of ours.
    #[error(
        "effect {0:?} is not known here; accepted is a comma list of highpass, denoise, agc, limiter and delay[=ms], or none"
    )]
    Unknown(String),
    /// The echo's delay is no number, or out of range.
    #[error(
        "delay {0:?} is not possible; accepted is delay=ms with whole milliseconds from 1 to 2000"
    )]
    Delay(String),
    /// `none` contradicts any other effect.
    #[error("effect \"none\" stands alone; leave it out, or all the others")]
    NoneAmongOthers,
    /// More than eight.
    #[error("more than 8 effects; accepted are at most 8")]
    TooMany,
    /// Together they take too much time.
    #[error(
        "these effects cost {0} together; accepted is at most {MAX_COST} (denoise costs 50, each other 3): leave some out"
    )]
    TooCostly(u32),
    /// Together they take too much memory.
    #[error(
        "the delays of these effects last {0} ms together; accepted are at most {MAX_DELAYS_MS} ms: make them shorter, or leave some out"
    )]
    DelaysTooLong(u32),
}

/// `None` for the word `none`.
fn parse_word(word: &str) -> Result<Option<Effect>, EffectsError> {
    let (name, value) = match word.split_once('=') {
        Some((name, value)) => (name.trim_end(), Some(value.trim_start())),
        None => (word, None),
    };
    let effect = match (name.to_ascii_lowercase().as_str(), value) {
        ("none", None) => return Ok(None),
        ("highpass", None) => Effect::HighPass,
        ("denoise", None) => Effect::Denoise,
        ("agc", None) => Effect::Agc,
        ("limiter", None) => Effect::Limiter,
        ("delay", None) => Effect::Delay {
            ms: DEFAULT_DELAY_MS,
        },
        ("delay", Some(value)) => match value.parse() {
            Ok(ms) if DELAY_MS.contains(&ms) => Effect::Delay { ms },
            _ => return Err(EffectsError::Delay(shortened(value))),
        },
        _ => return Err(EffectsError::Unknown(shortened(word))),
    };
    Ok(Some(effect))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_in_order_and_written_back() {
        let effects = Effects::parse(" HighPass , denoise,delay = 250,delay,LIMITER").unwrap();
        assert_eq!(
            effects.iter().collect::<Vec<_>>(),
            [
                Effect::HighPass,
                Effect::Denoise,
                Effect::Delay { ms: 250 },
                Effect::Delay { ms: 300 },
                Effect::Limiter
            ]
        );
        let text = effects.to_string();
        assert_eq!(text, "highpass,denoise,delay=250,delay=300,limiter");
        assert_eq!(Effects::parse(&text), Ok(effects));
    }

    #[test]
    fn the_default_and_none() {
        assert_eq!(Effects::parse(Effects::DEFAULT), Ok(Effects::default()));
        assert_eq!(Effects::default().to_string(), Effects::DEFAULT);
        let none = Effects::parse(" NONE ").unwrap();
        assert!(none.is_none());
        assert_eq!(none, Effects::none());
        assert_eq!(none.to_string(), "none");
        assert!(!Effects::default().is_none());
    }

    #[test]
    fn refusals_name_the_word_and_what_is_accepted() {
        let message = |list| Effects::parse(list).unwrap_err().to_string();
        for (list, word) in [
            ("", "\"\""),
            ("agc,", "\"\""),
            ("agc,reverb", "\"reverb\""),
            ("agc=3", "\"agc=3\""),
            ("none=1", "\"none=1\""),
            ("agc denoise", "\"agc denoise\""),
        ] {
            let message = message(list);
            assert!(message.contains(word), "{message}");
            assert!(
                message.contains("highpass, denoise, agc, limiter and delay"),
                "{message}"
            );
        }
        for value in ["0", "2001", "-1", "", "1.5", "99999999999999"] {
            let list = format!("delay={value}");
            let message = Effects::parse(&list).unwrap_err().to_string();
            assert!(
                message.contains(&format!("{value:?}")) && message.contains("2000"),
                "{message}"
            );
        }
        for list in ["none,agc", "agc,none", "none,none"] {
            assert!(message(list).contains("\"none\" stands alone"));
        }
        assert!(Effects::parse("denoise,denoise,highpass,agc,limiter,delay").is_ok());
        let costly = message("denoise,denoise,denoise");
        for words in [
            "cost 150",
            "at most 120",
            "denoise costs 50",
            "leave some out",
        ] {
            assert!(costly.contains(words), "{costly}");
        }
        assert!(Effects::parse("delay=1000,delay=999,delay=1").is_ok());
        let long = message("delay=2000,delay=1");
        for words in ["2001 ms together", "at most 2000 ms", "make them shorter"] {
            assert!(long.contains(words), "{long}");
        }
        assert!(Effects::parse(&["agc"; 8].join(",")).is_ok());
        assert!(message(&["agc"; 9].join(",")).contains("at most 8"));
    }

    #[test]
    fn a_hostile_list_is_escaped_and_shortened() {
        for list in [
            "\x1b[2J\n".repeat(10_000),
            ",".repeat(100_000),
            "delay=\x1b[2J".repeat(99),
        ] {
            let message = Effects::parse(&list).unwrap_err().to_string();
            assert!(message.len() < 400, "{}", message.len());
            assert!(!message.contains(['\x1b', '\n']));
        }
    }
}
