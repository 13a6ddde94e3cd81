//! Opens the microphone as a call would, listens for a second, and judges what came.

use std::time::Duration;

use audio::measure::{Level, LevelMeter};
use serde_json::json;

use super::{
    fault::Fault,
    finding::{Finding, Fix},
    fixes,
    mixer::{Control, Mixer},
};
use crate::{
    clock::Clock,
    device::{self, DeviceOptions, DeviceStats, Direction, Microphone},
};

/// How long to listen, from the first sound on.
const LISTEN: Duration = Duration::from_secs(1);

/// How long the first sound may take to come.
const FIRST_SOUND: Duration = Duration::from_secs(3);

const LOOK: Duration = Duration::from_millis(5);

/// Peaks above this touch the top of the scale.
const CLIPPING_DBFS: f32 = -0.1;

/// Less of the listening time than this came as sound: the device is not keeping up.
const LEAST_SOUND: f64 = 0.7;

/// What came from the microphone.
struct Heard {
    stats: DeviceStats,
    rate_hz: u32,
    channels: u16,
    latency_us: u32,
    /// Of the listening time, as sound.
    sound: Duration,
    level: Level,
    /// Every sample was zero.
    all_zero: bool,
}

/// Takes at most some nine seconds. `mixer`: the one that the device is in, where there is one.
pub(super) fn check(options: &DeviceOptions, mixer: Option<&Mixer>) -> Finding {
    let named = options.input.is_some();
    match device::open_microphone(options) {
        Ok(mut microphone) => {
            let heard = listen(&mut *microphone);
            let device = &heard.stats.name;
            let control = mixer.and_then(|mixer| mixer.control(Direction::Input, named, device));
            let fault = mixer
                .zip(control)
                .and_then(|(mixer, control)| mixer.judge(Direction::Input, named, control));
            describe(
                &heard,
                control,
                fault.unwrap_or_else(|| judge(&heard, control)),
            )
        }
        Err(error) => fixes::cannot_open(Direction::Input, &error),
    }
}

fn listen(microphone: &mut dyn Microphone) -> Heard {
    let clock = Clock::start();
    let mut samples = Vec::new();
    let mut end = FIRST_SOUND;
    let mut meter = LevelMeter::new();
    let mut sound = Duration::ZERO;
    let mut all_zero = true;
    while clock.now() < end {
        samples.clear();
        // The rate of what is read now.
        let per_second = f64::from(microphone.sample_rate_hz()) * f64::from(microphone.channels());
        microphone.read(clock.now(), &mut samples);
        if !samples.is_empty() && sound.is_zero() {
            end = clock.now() + LISTEN;
        }
        meter.push(&samples);
        all_zero &= samples.iter().all(|&sample| sample == 0.0);
        sound += Duration::from_secs_f64(samples.len() as f64 / per_second.max(1.0));
        std::thread::sleep(LOOK);
    }
    Heard {
        stats: microphone.stats(),
        rate_hz: microphone.sample_rate_hz(),
        channels: microphone.channels(),
        latency_us: microphone.latency_us(),
        sound,
        level: meter.read(),
        all_zero,
    }
}

/// What the sound itself says, where the mixer has nothing against it.
fn judge(heard: &Heard, control: Option<&Control>) -> Finding {
    let Heard { stats, level, .. } = heard;
    let device = device_words(stats, control);
    if heard.sound.is_zero() {
        Finding::fail(
            Fault::DeviceStalled,
            format!(
                "{device} opened, but nothing came from it for {} s",
                FIRST_SOUND.as_secs()
            ),
            fixes::restart_audio_server(),
        )
        .or(Fix::command(
            "try another (\"softphone devices\" lists them)",
            "softphone doctor --input NAME",
        ))
    } else if heard.all_zero {
        let muted = match control {
            Some(_) => "though it is not muted here",
            None => "is it muted?",
        };
        Finding::warn(
            Fault::MicrophoneSilent,
            format!("{device} is silent: every sample is zero, which no room is; {muted}"),
            fixes::silent_microphone(),
        )
    } else if heard.sound.as_secs_f64() < LEAST_SOUND * LISTEN.as_secs_f64() {
        Finding::warn(
            Fault::SoundGaps,
            format!(
                "{device} gave only {} ms of sound in {} s",
                heard.sound.as_millis(),
                LISTEN.as_secs()
            ),
            fixes::restart_audio_server(),
        )
    } else if level.peak_dbfs > CLIPPING_DBFS {
        Finding::warn(
            Fault::MicrophoneClips,
            format!("{device} is too loud: peaks are at full scale"),
            Fix::advice("lower its level in the system's sound settings"),
        )
    } else if stats.xruns > 0 {
        Finding::warn(
            Fault::SoundGaps,
            format!(
                "{device} works, but lost sound {} times in a second: {}",
                stats.xruns,
                levels(level)
            ),
            Fix::advice(
                "close programs that keep this machine busy; see also real-time threads below",
            ),
        )
    } else {
        Finding::ok(format!(
            "{device}: {}; {}",
            levels(level),
            pace(stats, heard.rate_hz, heard.channels, heard.latency_us)
        ))
    }
}

/// Adds the figures.
fn describe(heard: &Heard, control: Option<&Control>, finding: Finding) -> Finding {
    let Heard { stats, level, .. } = heard;
    finding.with_figures(json!({
        "device": stats.name,
        "host": stats.host,
        "sample_rate_hz": heard.rate_hz,
        "channels": heard.channels,
        "callback_samples": stats.callback_samples,
        "latency_ms": f64::from(heard.latency_us) / 1e3,
        "xruns": stats.xruns,
        "rebuilds": stats.rebuilds,
        "sound_ms": heard.sound.as_millis() as u64,
        "rms_dbfs": level.rms_dbfs,
        "peak_dbfs": level.peak_dbfs,
        "silent": heard.all_zero,
        "muted": control.map(|control| control.muted),
        "volume_percent": control.map(|control| control.percent),
        "monitor_of": control.and_then(|control| control.monitor_of.as_ref()),
    }))
}

/// The device, its host and its volume.
pub(super) fn device_words(stats: &DeviceStats, control: Option<&Control>) -> String {
    let volume = control.map_or_else(String::new, |control| format!(" at {} %", control.percent));
    format!("\"{}\" on {}{volume}", stats.name, stats.host)
}

fn levels(level: &Level) -> String {
    format!(
        "level {:.0} dBFS, peaks {:.0} dBFS",
        level.rms_dbfs, level.peak_dbfs
    )
}

/// How a device delivers or takes its sound, for microphone and speaker alike.
pub(super) fn pace(stats: &DeviceStats, rate_hz: u32, channels: u16, latency_us: u32) -> String {
    let latency = match latency_us {
        0 => "latency unknown".to_owned(),
        us => format!("latency {:.0} ms", f64::from(us) / 1e3),
    };
    let channels = match channels {
        1 => "mono",
        _ => "stereo",
    };
    format!(
        "{rate_hz} Hz {channels}, {:.1} ms a callback, {latency}",
        f64::from(stats.callback_samples) * 1e3 / f64::from(rate_hz.max(1)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Status;

    fn heard() -> Heard {
        Heard {
            stats: DeviceStats {
                name: "Desk Phone".to_owned(),
                host: "pulseaudio".to_owned(),
                callback_samples: 480,
                ..DeviceStats::default()
            },
            rate_hz: 48_000,
            channels: 1,
            latency_us: 12_400,
            sound: Duration::from_millis(1_010),
            level: Level {
                rms_dbfs: -41.2,
                peak_dbfs: -28.0,
            },
            all_zero: false,
        }
    }

    fn finding(change: impl FnOnce(&mut Heard)) -> Finding {
        let mut heard = heard();
        change(&mut heard);
        describe(&heard, None, judge(&heard, None))
    }

    #[test]
    fn a_good_microphone_shows_its_level_and_pace() {
        let finding = finding(|_| {});
        assert_eq!(finding.status, Status::Ok);
        assert_eq!(
            finding.message,
            "\"Desk Phone\" on pulseaudio: level -41 dBFS, peaks -28 dBFS; 48000 Hz mono, \
             10.0 ms a callback, latency 12 ms"
        );
        assert_eq!(finding.details, [""; 0], "one line");
        assert_eq!(finding.figures["callback_samples"], 480);
    }

    #[test]
    fn silence_is_told_from_a_mute_that_the_mixer_knows() {
        let mut silent = heard();
        silent.all_zero = true;
        let control = Control {
            percent: 74,
            ..Control::default()
        };
        let finding = judge(&silent, Some(&control));
        assert_eq!(finding.fault, Some(Fault::MicrophoneSilent));
        assert!(finding.message.contains("at 74 % is silent"), "{finding:?}");
        assert!(finding.message.contains("not muted here"), "{finding:?}");
    }

    #[test]
    fn each_fault_is_told_from_the_others() {
        let nothing = finding(|heard| heard.sound = Duration::ZERO);
        assert_eq!(nothing.status, Status::Fail);
        assert!(nothing.message.contains("nothing came"), "{nothing:?}");
        let warned = [
            (finding(|heard| heard.all_zero = true), "muted"),
            (
                finding(|heard| heard.sound = Duration::from_millis(300)),
                "300 ms",
            ),
            (finding(|heard| heard.level.peak_dbfs = 0.0), "too loud"),
            (finding(|heard| heard.stats.xruns = 3), "3 times"),
        ];
        for (finding, word) in warned {
            assert_eq!(finding.status, Status::Warn, "{finding:?}");
            assert!(finding.message.contains(word), "{finding:?}");
        }
    }

    /// Gives zeros, or nothing at all.
    struct Still {
        samples: usize,
    }

    impl Microphone for Still {
        fn sample_rate_hz(&self) -> u32 {
            48_000
        }
        fn channels(&self) -> u16 {
            1
        }
        fn read(&mut self, _now: Duration, samples: &mut Vec<f32>) {
            samples.resize(self.samples, 0.0);
        }
        fn latency_us(&self) -> u32 {
            0
        }
        fn stats(&self) -> DeviceStats {
            DeviceStats::default()
        }
    }

    #[test]
    fn zeros_are_heard_as_silence_and_not_as_nothing() {
        let heard = listen(&mut Still { samples: 480 });
        assert!(heard.all_zero && !heard.sound.is_zero());
    }
}
