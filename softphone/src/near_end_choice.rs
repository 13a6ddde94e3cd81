//! Which processing the near end gets: what was asked for, or what fits the devices.

use audio::near_end::NearEndOptions;
use clap::ValueEnum;

/// On or off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// On.
    On,
    /// Off.
    #[default]
    Off,
}

/// Whether the echo of the loudspeaker is removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum EchoChoice {
    /// Always.
    On,
    /// Never.
    Off,
    /// Where there is a real microphone and a real speaker, and that is not on somebody's ears.
    #[default]
    Auto,
}

impl EchoChoice {
    /// Whether that means on for this speaker; `None` where one of both ends is no real device.
    pub fn is_on_for(self, speaker_name: Option<&str>) -> bool {
        match self {
            Self::On => true,
            Self::Off => false,
            Self::Auto => speaker_name.is_some_and(|name| !is_worn(name)),
        }
    }
}

/// All of it. Noise and level are by default left to the server, whose chain has a suppressor and a
/// gain control: two of either in a row pump, and a gain behind the canceller raises its residue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NearEndChoice {
    /// `--aec`.
    pub echo: EchoChoice,
    /// `--ns`.
    pub noise_suppression: Switch,
    /// `--agc`.
    pub gain_control: Switch,
}

impl NearEndChoice {
    /// What to do with this speaker; `None` where one of both ends is no real device.
    pub fn options(self, speaker_name: Option<&str>) -> NearEndOptions {
        let echo_canceller = self.echo.is_on_for(speaker_name);
        let noise_suppression = self.noise_suppression == Switch::On;
        let gain_control = self.gain_control == Switch::On;
        NearEndOptions {
            echo_canceller,
            noise_suppression,
            gain_control,
            // Rumble would mislead each of them.
            high_pass: echo_canceller || noise_suppression || gain_control,
        }
    }
}

/// Whether a speaker of this name is obviously worn, so that the microphone does not hear it.
fn is_worn(name: &str) -> bool {
    let name = name.to_lowercase();
    let worn = ["headset", "headphone", "earphone", "earbud", "airpods"];
    worn.iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_canceller_is_on_by_itself_where_a_loudspeaker_may_be_heard() {
        let on = |choice: EchoChoice, name| choice.is_on_for(name);
        assert!(on(EchoChoice::Auto, Some("Built-in Audio Analog Stereo")));
        assert!(on(EchoChoice::Auto, Some("default")));
        for worn in [
            "Jabra HEADSET Mono",
            "Headphones (USB)",
            "Anna's AirPods Pro",
        ] {
            assert!(!on(EchoChoice::Auto, Some(worn)), "{worn}");
            assert!(on(EchoChoice::On, Some(worn)), "{worn}");
        }
        assert!(!on(EchoChoice::Auto, None));
        assert!(on(EchoChoice::On, None));
        assert!(!on(EchoChoice::Off, Some("default")));
    }

    #[test]
    fn nothing_asked_for_on_no_device_is_nothing_at_all() {
        assert!(!NearEndChoice::default().options(None).any());
        let noise_only = NearEndChoice {
            noise_suppression: Switch::On,
            ..NearEndChoice::default()
        };
        let options = noise_only.options(None);
        assert!(options.noise_suppression && options.high_pass);
        assert!(!options.echo_canceller && !options.gain_control);
    }
}
