//! Opens the speaker as a call would, plays a short quiet tone, and judges how it was taken.

use std::time::Duration;

use audio::measure::Tone;
use serde_json::json;

use super::{
    fault::Fault,
    finding::{Finding, Fix},
    fixes, microphone,
    mixer::{Control, Mixer},
};
use crate::{
    clock::Clock,
    device::{self, DeviceOptions, Direction, Speaker},
};

/// Silence first: a device needs a moment to find its pace.
const LEAD: Duration = Duration::from_millis(300);
const TONE: Duration = Duration::from_millis(300);
/// Silence after it, so that all of it leaves the device.
const TAIL: Duration = Duration::from_millis(300);
const FADE: Duration = Duration::from_millis(20);

const TONE_HZ: f32 = 440.0;
const TONE_DBFS: f32 = -30.0;

const LOOK: Duration = Duration::from_millis(2);

/// Takes at most some six seconds. `quiet`: silence instead of the tone. `mixer`: the one that the
/// device is in, where there is one.
pub(super) fn check(options: &DeviceOptions, mixer: Option<&Mixer>, quiet: bool) -> Finding {
    let named = options.output.is_some();
    match device::open_speaker(options) {
        Ok(mut speaker) => {
            play(&mut *speaker, quiet);
            let device = speaker.stats().name;
            let control = mixer.and_then(|mixer| mixer.control(Direction::Output, named, &device));
            let fault = mixer
                .zip(control)
                .and_then(|(mixer, control)| mixer.judge(Direction::Output, named, control));
            let finding = fault.unwrap_or_else(|| judge(&*speaker, control, quiet));
            describe(&*speaker, control, quiet, finding)
        }
        Err(error) => fixes::cannot_open(Direction::Output, &error),
    }
}

fn play(speaker: &mut dyn Speaker, quiet: bool) {
    let clock = Clock::start();
    let sound = sound(speaker.sample_rate_hz(), quiet);
    let mut position = 0;
    let mut block = Vec::new();
    while clock.now() < LEAD + TONE + TAIL {
        let wanted = speaker.wanted(clock.now());
        let channels = usize::from(speaker.channels());
        block.clear();
        for index in position..position + wanted {
            let sample = sound.get(index).copied().unwrap_or(0.0);
            block.extend(std::iter::repeat_n(sample, channels));
        }
        position += wanted;
        speaker.write(&block);
        std::thread::sleep(LOOK);
    }
}

/// The lead and the tone, faded in and out.
fn sound(rate_hz: u32, quiet: bool) -> Vec<f32> {
    let samples = |time: Duration| (time.as_secs_f64() * f64::from(rate_hz)) as usize;
    let mut sound = vec![0.0; samples(LEAD)];
    if quiet {
        return sound;
    }
    let mut tone = vec![0.0; samples(TONE)];
    Tone::new(TONE_HZ, TONE_DBFS, rate_hz).fill(&mut tone);
    let (length, fade) = (tone.len(), samples(FADE).max(1));
    for (index, sample) in tone.iter_mut().enumerate() {
        *sample *= (index.min(length - index) as f32 / fade as f32).min(1.0);
    }
    sound.extend(tone);
    sound
}

/// What the device itself says, where the mixer has nothing against it.
fn judge(speaker: &dyn Speaker, control: Option<&Control>, quiet: bool) -> Finding {
    let stats = speaker.stats();
    let device = microphone::device_words(&stats, control);
    let gaps = stats.xruns + stats.ring_faults;
    let played = if quiet {
        "played silence (--quiet)".to_owned()
    } else {
        format!(
            "played a tone of {} ms at {TONE_DBFS:.0} dBFS",
            TONE.as_millis()
        )
    };
    let pace = microphone::pace(
        &stats,
        speaker.sample_rate_hz(),
        speaker.channels(),
        speaker.latency_us(),
    );
    if stats.callbacks == 0 {
        Finding::fail(
            Fault::DeviceStalled,
            format!("{device} opened, but takes no sound"),
            fixes::restart_audio_server(),
        )
        .or(Fix::command(
            "try another (\"softphone devices\" lists them)",
            "softphone doctor --output NAME",
        ))
    } else if gaps > 0 {
        Finding::warn(
            Fault::SoundGaps,
            format!("{device}: {played}, with {gaps} short gaps; {pace}"),
            Fix::advice(
                "close programs that keep this machine busy; see also real-time threads below",
            ),
        )
    } else {
        let finding = Finding::ok(format!("{device}: {played}; {pace}"));
        if control.is_none() && !quiet {
            finding.with_details(vec![fixes::inaudible()])
        } else {
            finding
        }
    }
}

/// Adds the figures.
fn describe(
    speaker: &dyn Speaker,
    control: Option<&Control>,
    quiet: bool,
    finding: Finding,
) -> Finding {
    let stats = speaker.stats();
    finding.with_figures(json!({
        "device": stats.name,
        "host": stats.host,
        "sample_rate_hz": speaker.sample_rate_hz(),
        "channels": speaker.channels(),
        "callbacks": stats.callbacks,
        "callback_samples": stats.callback_samples,
        "latency_ms": f64::from(speaker.latency_us()) / 1e3,
        "xruns": stats.xruns,
        "ring_faults": stats.ring_faults,
        "rebuilds": stats.rebuilds,
        "audible": !quiet,
        "muted": control.map(|control| control.muted),
        "volume_percent": control.map(|control| control.percent),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{device::DeviceStats, doctor::finding::Status};

    #[test]
    fn the_tone_is_short_quiet_and_without_a_click() {
        let sound = sound(48_000, false);
        assert_eq!(sound.len(), 28_800);
        let peak = audio::measure::peak_dbfs(&sound);
        assert!((peak - TONE_DBFS).abs() < 0.1, "{peak} dBFS");
        let first_ms = &sound[14_400..14_448];
        assert!(audio::measure::peak_dbfs(first_ms) < TONE_DBFS - 20.0);
        let last_ms = &sound[sound.len() - 48..];
        assert!(audio::measure::peak_dbfs(last_ms) < TONE_DBFS - 20.0);
    }

    struct Fake {
        callbacks: u64,
        gaps: u64,
        loudest: f32,
    }

    impl Speaker for Fake {
        fn sample_rate_hz(&self) -> u32 {
            48_000
        }
        fn channels(&self) -> u16 {
            2
        }
        fn wanted(&mut self, _now: Duration) -> usize {
            480
        }
        fn write(&mut self, samples: &[f32]) {
            self.callbacks += 1;
            self.loudest = samples.iter().fold(self.loudest, |m, s| m.max(s.abs()));
        }
        fn latency_us(&self) -> u32 {
            20_000
        }
        fn stats(&self) -> DeviceStats {
            DeviceStats {
                name: "Desk Phone".to_owned(),
                callbacks: self.callbacks,
                ring_faults: self.gaps,
                ..DeviceStats::default()
            }
        }
    }

    fn fake(callbacks: u64, gaps: u64) -> Fake {
        Fake {
            callbacks,
            gaps,
            loudest: 0.0,
        }
    }

    #[test]
    fn a_speaker_that_takes_nothing_fails_and_gaps_warn() {
        let status = |speaker: Fake| judge(&speaker, None, false).status;
        assert_eq!(status(fake(0, 0)), Status::Fail);
        assert_eq!(status(fake(90, 2)), Status::Warn);
        assert_eq!(status(fake(90, 0)), Status::Ok);
    }

    #[test]
    fn quiet_is_inaudible() {
        let mut speaker = fake(0, 0);
        play(&mut speaker, true);
        assert!(speaker.callbacks > 0);
        assert_eq!(speaker.loudest, 0.0);
        let words = judge(&speaker, None, true);
        assert!(words.message.contains("--quiet"), "{words:?}");
        play(&mut speaker, false);
        assert!(speaker.loudest > 0.02);
    }
}
