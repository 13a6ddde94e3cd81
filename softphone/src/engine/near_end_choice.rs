//! Which processing the near end gets: what was asked for, or what fits the devices.

use audio::near_end::{EchoCanceller, NearEndOptions};
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
    /// Where the microphone is found to hear the speaker.
    #[default]
    Auto,
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
    /// What to do, with this canceller or none.
    pub fn options(self, echo_canceller: Option<EchoCanceller>) -> NearEndOptions {
        let noise_suppression = self.noise_suppression == Switch::On;
        let gain_control = self.gain_control == Switch::On;
        NearEndOptions {
            echo_canceller,
            noise_suppression,
            gain_control,
            // Rumble would mislead each of them.
            high_pass: echo_canceller.is_some() || noise_suppression || gain_control,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_asked_for_is_nothing_at_all() {
        assert!(!NearEndChoice::default().options(None).any());
        let canceller = NearEndChoice::default().options(Some(EchoCanceller::Kalman));
        assert!(canceller.echo_canceller.is_some() && canceller.high_pass);
        let noise_only = NearEndChoice {
            noise_suppression: Switch::On,
            ..NearEndChoice::default()
        };
        let options = noise_only.options(None);
        assert!(options.noise_suppression && options.high_pass);
        assert!(options.echo_canceller.is_none() && !options.gain_control);
    }
}
