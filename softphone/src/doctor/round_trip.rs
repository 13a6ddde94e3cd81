//! Plays three chirps and looks for them in the microphone: how long sound takes out of the speaker
//! and back, and how loud it returns.

use std::{cell::Cell, time::Duration};

use audio::echo_path::{self, Echo};
use serde_json::json;

use super::finding::Finding;
use crate::{
    clock::Clock,
    device::{self, DeviceOptions, Microphone, Speaker},
};

/// When the chirps begin. The devices find their pace before the first.
const CHIRPS: [Duration; 3] = [
    Duration::from_millis(500),
    Duration::from_millis(1_200),
    Duration::from_millis(1_900),
];
/// How long each is looked for: wireless headsets take some 300 ms.
const WINDOW: Duration = Duration::from_millis(690);
const END: Duration = Duration::from_millis(2_700);

const CHIRP_DBFS: f32 = -24.0;

const LOOK: Duration = Duration::from_millis(2);

/// Takes at most some nine seconds.
pub(super) fn check(options: &DeviceOptions) -> Finding {
    match device::open(options) {
        Ok((mut microphone, mut speaker)) => {
            judge(&sound(&mut *microphone, &mut *speaker, real_time()))
        }
        Err(_) => Finding::skip("needs a microphone and a speaker that open together"),
    }
}

/// What was played and recorded, on one clock.
#[derive(Debug, Default)]
struct Sounding {
    /// When each chirp was handed to the speaker.
    played: Vec<Duration>,
    /// The speaker's own idea of its delay then, and the microphone's, added.
    estimates: Vec<Duration>,
    /// Mono.
    recording: Vec<f32>,
    rate_hz: u32,
    /// When the recording's first sample would have come, at the pace at which later ones did.
    began: f64,
}

/// The time now, after the pause between two looks at the devices.
fn real_time() -> impl FnMut() -> Duration {
    let clock = Clock::start();
    move || {
        std::thread::sleep(LOOK);
        clock.now()
    }
}

fn sound(
    microphone: &mut dyn Microphone,
    speaker: &mut dyn Speaker,
    mut next_look: impl FnMut() -> Duration,
) -> Sounding {
    let mut sounding = Sounding::default();
    let chirp = echo_path::chirp(peak(), speaker.sample_rate_hz());
    let mut rest: &[f32] = &[];
    let (mut captured, mut block) = (Vec::new(), Vec::new());
    let (mut offsets, mut looks) = (0.0, 0_u32);
    let latency = Cell::new(0);
    loop {
        let now = next_look();
        if now >= END {
            break;
        }
        sounding.rate_hz = microphone.sample_rate_hz();
        let channels = usize::from(microphone.channels()).max(1);
        captured.clear();
        microphone.read(now, &mut captured);
        latency.set(microphone.latency_us());
        let mono = captured
            .chunks_exact(channels)
            .map(|group| group.iter().sum::<f32>() / channels as f32);
        sounding.recording.extend(mono);
        if !captured.is_empty() && now >= CHIRPS[0] {
            let length = sounding.recording.len() as f64 / f64::from(sounding.rate_hz);
            offsets += now.as_secs_f64() - length;
            looks += 1;
        }

        let wanted = speaker.wanted(now);
        let next = CHIRPS.get(sounding.played.len());
        if wanted > 0 && next.is_some_and(|&at| now >= at) {
            rest = &chirp;
            sounding.played.push(now);
            let estimate = u64::from(speaker.latency_us()) + u64::from(latency.get());
            sounding.estimates.push(Duration::from_micros(estimate));
        }
        let (part, later) = rest.split_at(wanted.min(rest.len()));
        rest = later;
        block.clear();
        let channels = usize::from(speaker.channels());
        for &sample in part {
            block.extend(std::iter::repeat_n(sample, channels));
        }
        block.resize(wanted * channels, 0.0);
        speaker.write(&block);
    }
    sounding.began = offsets / f64::from(looks.max(1));
    sounding
}

fn peak() -> f32 {
    10.0_f32.powf(CHIRP_DBFS / 20.0)
}

/// The delay of each chirp from the hand-over to the speaker to its coming from the microphone.
fn echoes(sounding: &Sounding) -> Vec<Option<Echo>> {
    let rate = f64::from(sounding.rate_hz);
    let echo = |played: &Duration| {
        let from = ((played.as_secs_f64() - sounding.began).max(0.0) * rate) as usize;
        let to = (from + (WINDOW.as_secs_f64() * rate) as usize).min(sounding.recording.len());
        let window = sounding.recording.get(from..to)?;
        echo_path::find(window, peak(), sounding.rate_hz)
    };
    sounding.played.iter().map(echo).collect()
}

fn judge(sounding: &Sounding) -> Finding {
    let Some(echo) = echo_path::agreed(&echoes(sounding)) else {
        return Finding::ok(
            "the microphone does not hear the speaker: right with headphones; before a loudspeaker, \
             one of the two may be muted",
        )
        .with_figures(json!({ "heard": false }));
    };
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let estimates = &sounding.estimates;
    let own =
        estimates.iter().sum::<Duration>() / u32::try_from(estimates.len().max(1)).unwrap_or(1);
    Finding::ok(format!(
        "a chirp came back after {:.0} ms, {} (the devices' own figures: {:.0} ms)",
        ms(echo.delay),
        loudness(echo.gain_db),
        ms(own),
    ))
    .with_figures(json!({
        "heard": true,
        "delay_ms": ms(echo.delay),
        "devices_own_ms": ms(own),
        "gain_db": echo.gain_db,
        "level_dbfs": CHIRP_DBFS + echo.gain_db,
        "correlation": echo.correlation,
    }))
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
                    samples.push(heard * self.gain);
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

    fn finding(gain: f32) -> Finding {
        let air = Air::default();
        let mut ear = Ear {
            air: Arc::clone(&air),
            gain,
            given: 0,
        };
        let now = Rc::new(RefCell::new(Duration::ZERO));
        let next_look = move || {
            *now.borrow_mut() += LOOK;
            *now.borrow()
        };
        judge(&sound(&mut ear, &mut Loud(air), next_look))
    }

    #[test]
    fn the_way_out_and_back_is_measured_in_virtual_time() {
        let finding = finding(0.1);
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
        let finding = finding(0.0);
        assert_eq!(finding.figures["heard"], false);
        assert!(
            finding.message.contains("headphones"),
            "{}",
            finding.message
        );
        assert!(finding.fixes.is_empty());
    }
}
