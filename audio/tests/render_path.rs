//! The render path under a speaker's ring that is filled earlier or later, or runs dry.

// Clippy lets tests unwrap, but not the functions that they share.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use audio::{Encoder, Format, Gap, Packet, RenderPath};

const FORMAT: Format = Format::OPUS_48K_MONO;
/// Samples of a packet, and of what the speaker takes at once.
const PACKET: usize = 480;
const PERIOD: usize = 240;
const RATE: f64 = 48_000.0;

/// A sender, a line that takes no time, a render path and a speaker behind a ring.
struct Rig {
    render: RenderPath,
    packets: Vec<Vec<u8>>,
    /// Packets that arrived, and periods that were pulled.
    arrived: u64,
    pulled: u64,
    /// Pulls come so long before the speaker takes what they pulled.
    ahead: Duration,
    /// What the speaker played in silence, in samples.
    silent: u64,
}

impl Rig {
    fn new() -> Self {
        let mut encoder = Encoder::new(FORMAT, 64_000).unwrap();
        let packets = (0..200).map(|packet| {
            let frame: Vec<f32> = (0..PACKET)
                .map(|n| {
                    let t = (packet * PACKET + n) as f32 / RATE as f32;
                    // A buzz in syllables, with pauses between.
                    let buzz = (t * 130.0).fract() - 0.5;
                    0.3 * buzz * ((t * 9.0).sin() + 0.3).max(0.0)
                })
                .collect();
            let mut payload = Vec::new();
            encoder.encode(&frame, &mut payload).unwrap();
            payload
        });
        Self {
            packets: packets.collect(),
            render: RenderPath::new(FORMAT, 48_000).unwrap(),
            arrived: 0,
            pulled: 0,
            ahead: Duration::from_millis(3),
            silent: 0,
        }
    }

    /// When the speaker takes the period that is pulled next.
    fn taken_at(&self) -> f64 {
        0.052 + (self.pulled * PERIOD as u64 + self.silent) as f64 / RATE
    }

    /// Goes on until the speaker's clock shows so many seconds.
    fn run_until(&mut self, end_s: f64) {
        self.render.set_ahead(self.ahead);
        let mut out = [0.0; PERIOD];
        while self.taken_at() < end_s {
            let pull_s = self.taken_at() - self.ahead.as_secs_f64();
            loop {
                // Mostly at once, at most 2 ms late.
                let late_ms = [0, 0, 1, 0, 2, 0, 0, 1][self.arrived as usize % 8];
                let sent_s = (self.arrived + 1) as f64 * PACKET as f64 / RATE;
                let arrival_s = sent_s + f64::from(late_ms) * 1e-3;
                if arrival_s > pull_s {
                    break;
                }
                let payload = &self.packets[self.arrived as usize % self.packets.len()];
                self.render.insert(
                    Packet {
                        media_time: self.arrived * PACKET as u64,
                        gap: Gap::None,
                        payload,
                    },
                    Duration::from_secs_f64(arrival_s),
                );
                self.arrived += 1;
            }
            self.render
                .pull(&mut out, Duration::from_secs_f64(pull_s.max(0.0)));
            self.pulled += 1;
        }
    }

    /// How old what the speaker plays next is, in milliseconds.
    fn age_ms(&self) -> f64 {
        let received_s = (self.arrived * PACKET as u64) as f64 / RATE;
        let played_s = received_s - self.render.stats().depth_us as f64 * 1e-6;
        (self.taken_at() - played_s) * 1e3
    }

    /// The same, over the second that follows.
    fn mean_age_ms(&mut self) -> f64 {
        let begun_s = self.taken_at();
        let ages = (1..=200).map(|look| {
            self.run_until(begun_s + f64::from(look) * 0.005);
            self.age_ms()
        });
        ages.sum::<f64>() / 200.0
    }

    /// The speaker finds nothing and plays so much silence.
    fn run_dry(&mut self, samples: u64) {
        self.silent += samples;
        self.render.underrun(samples);
    }
}

#[test]
fn what_a_speaker_played_in_silence_is_made_up_for_soon() {
    for samples in [100, 192, 240, 480] {
        let mut rig = Rig::new();
        rig.run_until(20.0);
        let usual = rig.mean_age_ms();
        rig.run_dry(samples);
        let after = rig.mean_age_ms();
        // Less than a period of the voice is left to the resampler.
        rig.run_until(36.0);
        let later = rig.mean_age_ms();
        let drift = rig.render.drift_ppm();
        println!("{samples}: {usual:.2}, {after:.2}, {later:.2} ms, {drift:.0} ppm");
        assert!(
            later < usual + 0.5,
            "{samples}: {usual:.2} to {later:.2} ms"
        );
        assert!(drift.abs() < 20.0, "{samples}: {drift:.0} ppm");
    }
}

#[test]
fn pulls_that_come_earlier_or_later_are_no_drift() {
    for [before, after] in [[3, 5], [5, 3], [2, 8], [8, 2]] {
        let mut rig = Rig::new();
        rig.ahead = Duration::from_millis(before);
        rig.run_until(20.0);
        rig.ahead = Duration::from_millis(after);
        let mut most = 0.0_f64;
        for second in 21..40 {
            rig.run_until(f64::from(second));
            most = most.max(rig.render.drift_ppm().abs());
        }
        assert!(most < 20.0, "{before} to {after} ms: {most:.0} ppm");
    }
}
