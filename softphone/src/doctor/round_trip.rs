//! Plays chirps and looks for them in the microphone: how long sound takes out of the speaker and
//! back, and how loud it returns.

use std::time::Duration;

use audio::{
    measure::rms_dbfs,
    near_end::{EchoPath, Measurement, Probe, echo_path},
};
use serde_json::json;

use super::{
    fault::Fault,
    finding::{Finding, Fix},
};
use crate::{
    clock::Clock,
    device::{self, DeviceOptions, Microphone, Speaker},
};

/// When the chirps begin. The devices find their pace before the first.
const CHIRPS: [Duration; 3] = [
    Duration::from_millis(500),
    Duration::from_millis(1_250),
    Duration::from_millis(2_000),
];
const CHIRP_LENGTH: Duration = Duration::from_millis(400);
const CHIRP_DBFS: f32 = -24.0;
/// How late each is looked for: wireless headsets take some 300 ms.
const MAX_LAG: Duration = Duration::from_millis(700);
const END: Duration = Duration::from_millis(3_200);

/// Only who would have found an echo as weak as this may say that there is none.
const MAX_DETECTABLE_DB: f32 = -35.0;

const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// Takes at most some nine seconds.
pub(super) fn check(options: &DeviceOptions) -> Finding {
    match device::open(options) {
        Ok((mut microphone, mut speaker)) => {
            judge(&sound(&mut *microphone, &mut *speaker, real_time()))
        }
        Err(_) => Finding::skip("needs a microphone and a speaker that open together"),
    }
}

/// What was recorded while the chirps were played, on one clock.
#[derive(Debug, Default)]
struct Sounding {
    /// Mono.
    recording: Vec<f32>,
    rate_hz: u32,
    /// Where each chirp was handed to the speaker, in samples of the recording.
    starts: Vec<usize>,
    /// The devices' own idea of their delays, added.
    own_delay: Duration,
    /// Whether a device was opened again meanwhile.
    interrupted: bool,
}

/// The time now, after the pause between two polls of the devices.
fn real_time() -> impl FnMut() -> Duration {
    let clock = Clock::start();
    move || {
        std::thread::sleep(POLL_INTERVAL);
        clock.now()
    }
}

fn sound(
    microphone: &mut dyn Microphone,
    speaker: &mut dyn Speaker,
    mut next_poll: impl FnMut() -> Duration,
) -> Sounding {
    let mut recording = Vec::new();
    let (mut captured, mut block) = (Vec::new(), Vec::new());
    let (mut began, mut handed_over, mut own_delay) =
        (Mean::default(), Mean::default(), Mean::default());
    let rates = (microphone.sample_rate_hz(), speaker.sample_rate_hz());
    let (rate_hz, speaker_hz) = rates;
    let sound = chirps(speaker_hz);
    let mut position = 0;
    let mut interrupted = false;
    loop {
        let now = next_poll();
        if now >= END {
            break;
        }
        let measuring = now >= CHIRPS[0];
        let channels = usize::from(microphone.channels()).max(1);
        captured.clear();
        microphone.read(now, &mut captured);
        let mono = captured
            .chunks_exact(channels)
            .map(|group| group.iter().sum::<f32>() / channels as f32);
        recording.extend(mono);
        if measuring && !captured.is_empty() {
            began.add(now.as_secs_f64() - recording.len() as f64 / f64::from(rate_hz));
        }

        let wanted = speaker.wanted(now);
        if measuring && wanted > 0 {
            handed_over.add(now.as_secs_f64() - position as f64 / f64::from(speaker_hz));
            own_delay.add(f64::from(speaker.latency_us() + microphone.latency_us()) / 1e6);
        }
        block.clear();
        for index in position..position + wanted {
            let sample = sound.get(index).copied().unwrap_or(0.0);
            block.extend(std::iter::repeat_n(sample, usize::from(speaker.channels())));
        }
        position += wanted;
        speaker.write(&block);
        interrupted |= (microphone.sample_rate_hz(), speaker.sample_rate_hz()) != rates;
    }
    interrupted |= microphone.stats().rebuilds + speaker.stats().rebuilds > 0;
    let starts = CHIRPS.iter().map(|chirp| {
        let at = chirp.as_secs_f64() + handed_over.value() - began.value();
        (at.max(0.0) * f64::from(rate_hz)) as usize
    });
    Sounding {
        starts: starts.collect(),
        recording,
        rate_hz,
        own_delay: Duration::from_secs_f64(own_delay.value().max(0.0)),
        interrupted,
    }
}

#[derive(Default)]
struct Mean {
    sum: f64,
    count: u32,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
    }

    fn value(&self) -> f64 {
        self.sum / f64::from(self.count.max(1))
    }
}

fn probe(rate_hz: u32) -> Probe {
    Probe::chirp(CHIRP_LENGTH, 10.0_f32.powf(CHIRP_DBFS / 20.0), rate_hz)
}

/// All that is played: the chirps in silence.
fn chirps(rate_hz: u32) -> Vec<f32> {
    let probe = probe(rate_hz);
    let mut sound = Vec::new();
    for at in CHIRPS {
        sound.resize((at.as_secs_f64() * f64::from(rate_hz)) as usize, 0.0);
        sound.extend(probe.samples());
    }
    sound
}

fn judge(sounding: &Sounding) -> Finding {
    if sounding.interrupted {
        return Finding::warn(
            Fault::EchoNotMeasurable,
            "could not be measured: a device was changed or opened again meanwhile",
            ask_again(),
        );
    }
    let probe = probe(sounding.rate_hz);
    match echo_path::find(&sounding.recording, &probe, &sounding.starts, MAX_LAG) {
        Measurement::Heard(path) => heard(&path, sounding.own_delay),
        Measurement::NotHeard { detectable_db } => {
            not_heard(detectable_db, rms_dbfs(&sounding.recording))
        }
    }
}

fn heard(path: &EchoPath, own_delay: Duration) -> Finding {
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    Finding::ok(format!(
        "the microphone hears the speaker {:.0} ms later, {} (the devices' own figures: {:.0} ms)",
        ms(path.lag),
        loudness(path.gain_db),
        ms(own_delay),
    ))
    .with_figures(json!({
        "heard": true,
        "delay_ms": ms(path.lag),
        "devices_own_ms": ms(own_delay),
        "gain_db": path.gain_db,
        "level_dbfs": CHIRP_DBFS + path.gain_db,
        "confidence": path.confidence,
    }))
}

fn not_heard(detectable_db: f32, level_dbfs: f32) -> Finding {
    if detectable_db > MAX_DETECTABLE_DB {
        return Finding::warn(
            Fault::EchoNotMeasurable,
            format!(
                "could not be measured: somebody speaks or it is noisy ({level_dbfs:.0} dBFS), so \
                 that only an echo above {detectable_db:.0} dB would have been noticed"
            ),
            ask_again(),
        )
        .with_figures(json!({ "heard": null, "detectable_db": detectable_db }));
    }
    Finding::ok("the microphone does not hear the speaker, as with headphones")
        .with_figures(json!({ "heard": false, "detectable_db": detectable_db }))
}

fn ask_again() -> Fix {
    Fix::command(
        "be silent for three seconds while it asks again",
        "softphone doctor",
    )
}

fn loudness(gain_db: f32) -> String {
    match gain_db.round() {
        0.0 => "as loud as it was played".to_owned(),
        db if db < 0.0 => format!("{:.0} dB weaker than it was played", -db),
        db => format!("{db:.0} dB louder than it was played"),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        cell::RefCell,
        rc::Rc,
        sync::{Arc, Mutex},
    };

    use super::*;
    use crate::device::DeviceStats;

    const SPEAKER_HZ: u32 = 48_000;
    const MICROPHONE_HZ: u32 = 16_000;
    /// What lies between the hand-over and the microphone.
    const DELAY_MS: usize = 130;

    /// What the speaker was given, in mono at its rate.
    type Air = Arc<Mutex<Vec<f32>>>;

    struct Loud(Air);

    impl Speaker for Loud {
        fn sample_rate_hz(&self) -> u32 {
            SPEAKER_HZ
        }
        fn channels(&self) -> u16 {
            2
        }
        fn wanted(&mut self, now: Duration) -> usize {
            let due = (now.as_secs_f64() * f64::from(SPEAKER_HZ)) as usize;
            due - self.0.lock().unwrap().len()
        }
        fn write(&mut self, samples: &[f32]) {
            let mut air = self.0.lock().unwrap();
            air.extend(samples.chunks_exact(2).map(|group| group[0]));
        }
        fn latency_us(&self) -> u32 {
            60_000
        }
        fn stats(&self) -> DeviceStats {
            DeviceStats::default()
        }
    }

    struct Ear {
        air: Air,
        gain: f32,
        given: usize,
        /// What else there is to hear.
        noise: Vec<f32>,
    }

    impl Microphone for Ear {
        fn sample_rate_hz(&self) -> u32 {
            MICROPHONE_HZ
        }
        fn channels(&self) -> u16 {
            1
        }
        fn read(&mut self, now: Duration, samples: &mut Vec<f32>) {
            let air = self.air.lock().unwrap();
            // In blocks of 10 ms, as devices do.
            while ((self.given + 160) as f64) < now.as_secs_f64() * f64::from(MICROPHONE_HZ) {
                for index in self.given..self.given + 160 {
                    let at = (index * 3).checked_sub(DELAY_MS * 48);
                    let heard = at.and_then(|at| air.get(at)).copied().unwrap_or(0.0);
                    let noise = self.noise.get(index).copied().unwrap_or(0.0);
                    samples.push(heard * self.gain + noise);
                }
                self.given += 160;
            }
        }
        fn latency_us(&self) -> u32 {
            40_000
        }
        fn stats(&self) -> DeviceStats {
            DeviceStats::default()
        }
    }

    /// White noise, the same for the same seed.
    fn noise(amplitude: f32) -> Vec<f32> {
        let mut seed = 1_u32;
        (0..MICROPHONE_HZ * 4)
            .map(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                amplitude * (seed as f32 / u32::MAX as f32 * 2.0 - 1.0)
            })
            .collect()
    }

    fn finding(gain: f32, noise: Vec<f32>) -> Finding {
        let air = Air::default();
        let mut ear = Ear {
            air: Arc::clone(&air),
            gain,
            given: 0,
            noise,
        };
        let now = Rc::new(RefCell::new(Duration::ZERO));
        let next_poll = move || {
            *now.borrow_mut() += POLL_INTERVAL;
            *now.borrow()
        };
        judge(&sound(&mut ear, &mut Loud(air), next_poll))
    }

    #[test]
    fn the_way_out_and_back_is_measured_in_virtual_time() {
        let finding = finding(0.1, Vec::new());
        assert_eq!(finding.figures["heard"], true, "{finding:?}");
        let delay = finding.figures["delay_ms"].as_f64().unwrap();
        assert!((delay - DELAY_MS as f64).abs() < 4.0, "{delay} ms");
        let gain = finding.figures["gain_db"].as_f64().unwrap();
        assert!((gain + 20.0).abs() < 1.0, "{gain} dB");
        assert_eq!(finding.figures["devices_own_ms"], 100.0);
        assert!(
            finding.message.contains("20 dB weaker"),
            "{}",
            finding.message
        );
    }

    #[test]
    fn headphones_are_no_fault() {
        let finding = finding(0.0, Vec::new());
        assert_eq!(finding.figures["heard"], false);
        assert!(
            finding.message.contains("headphones"),
            "{}",
            finding.message
        );
        assert!(finding.fixes.is_empty());
    }

    #[test]
    fn an_echo_is_found_under_noise_that_is_louder() {
        // The chirp returns at −47 dBFS, under noise of −31 dBFS.
        let finding = finding(0.1, noise(0.05));
        assert_eq!(finding.figures["heard"], true, "{finding:?}");
        let delay = finding.figures["delay_ms"].as_f64().unwrap();
        assert!((delay - DELAY_MS as f64).abs() < 4.0, "{delay} ms");
    }

    #[test]
    fn noise_that_hides_any_echo_is_not_taken_for_headphones() {
        let finding = finding(0.0, noise(0.9));
        assert_eq!(finding.fault, Some(Fault::EchoNotMeasurable), "{finding:?}");
        assert!(
            finding.message.contains("could not be measured"),
            "{finding:?}"
        );
        assert_eq!(finding.figures["heard"], serde_json::Value::Null);
    }
}
