//! Makes sound shorter or longer without changing its pitch: one stretch is cross-faded onto a
//! later one that looks like it, so that whole periods of the voice go or come (WSOLA: Verhelst
//! and Roelands, 1993). Pure; works in place and allocates only when it is set up.

use std::ops::RangeInclusive;

/// Mean square below which sound is silence, any part of which may go: −55 dBFS.
const QUIET: f32 = 3.2e-6;
/// Silence, too, is what lies 25 dB below what was loud lately: a pause with the room's noise.
const PAUSE: f32 = 0.003;
/// "Lately" fades by half in so many seconds.
const LATELY_S: f32 = 5.0;

/// A later place that continues like the first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Match {
    /// Samples per channel from the first place to this one.
    pub distance: usize,
    /// Normalised cross-correlation of the two, −1 to 1. Silence matches silence: 1.
    pub correlation: f32,
    /// Both are silence.
    pub quiet: bool,
}

/// Finds and joins matching places of sound in one format.
pub(super) struct TimeStretch {
    sample_rate_hz: usize,
    channels: usize,
    /// The rough search runs at about 8 kHz: one value for so many samples.
    factor: usize,
    rough: Vec<f32>,
    mono: Vec<f32>,
    /// Mean square of what was loud lately.
    loud: f32,
}

impl TimeStretch {
    /// For sound of 8–192 kHz in one or two interleaved channels.
    pub(super) fn new(sample_rate_hz: u32, channels: usize) -> Self {
        let sample_rate_hz = sample_rate_hz as usize;
        let factor = (sample_rate_hz / 8_000).max(1);
        let longest = 40 * sample_rate_hz / 1_000;
        Self {
            sample_rate_hz,
            channels: channels.max(1),
            factor,
            rough: Vec::with_capacity(longest / factor + 1),
            mono: Vec::with_capacity(longest),
            loud: 0.0,
        }
    }

    /// Hears what is played (interleaved), to tell pauses from sound.
    pub(super) fn hear(&mut self, samples: &[f32]) {
        let seconds = samples.len() as f32 / (self.channels * self.sample_rate_hz) as f32;
        let faded = self.loud * (-seconds * std::f32::consts::LN_2 / LATELY_S).exp();
        self.loud = mean_square(samples).max(faded);
    }

    /// The pitch periods searched for: 2.5–15 ms (400–66 Hz), or several shorter ones at once.
    pub(super) fn periods(&self) -> RangeInclusive<usize> {
        self.sample_rate_hz / 400..=self.sample_rate_hz * 15 / 1_000
    }

    /// Where in `distances` the sound goes on most like it does at its beginning, over up to
    /// 7.5 ms. `None` if there is too little sound to tell, or no distance to choose from.
    /// Distances that span more than 20 ms are looked at only as far as that.
    pub(super) fn find(
        &mut self,
        samples: &[f32],
        distances: RangeInclusive<usize>,
    ) -> Option<Match> {
        let least_overlap = self.sample_rate_hz / 400;
        let available = samples.len() / self.channels;
        let first = (*distances.start()).max(1);
        let last = (*distances.end())
            .min(available.checked_sub(least_overlap)?)
            .min(first + self.sample_rate_hz / 50);
        if first > last {
            return None;
        }
        let overlap = (available - last).min(self.sample_rate_hz * 3 / 400);
        // Only these two stretches matter: the pattern, and where it may recur.
        self.mix_down(samples, overlap, first..last + overlap);
        let (pattern, field) = self.mono.split_at(overlap);
        let quiet = QUIET.max(self.loud * PAUSE);
        // Both are sums of the channels.
        let quiet = quiet * (self.channels * self.channels) as f32;
        if mean_square(pattern) < quiet && mean_square(field) < quiet {
            return Some(Match {
                distance: last,
                correlation: 1.0,
                quiet: true,
            });
        }
        let factor = self.factor;
        self.rough.clear();
        for part in [pattern, field] {
            let averages = part.chunks_exact(factor).map(|c| c.iter().sum::<f32>());
            self.rough.extend(averages);
        }
        let (rough_pattern, rough_field) = self.rough.split_at(overlap / factor);
        let lags = rough_field.len().saturating_sub(rough_pattern.len()) + 1;
        let (lag, _) = best(rough_pattern, rough_field, 0..lags);
        let near = (lag * factor).saturating_sub(factor)..(lag * factor + factor + 1);
        let (lag, correlation) = best(pattern, field, near.start..near.end.min(last - first + 1));
        Some(Match {
            distance: first + lag,
            correlation,
            quiet: false,
        })
    }

    /// Takes out `distance`: fades the beginning out onto what follows so much later, over `fade`.
    /// What the caller is to play then begins `distance` samples (per channel) later. Does nothing
    /// to what is too short.
    pub(super) fn cut(&self, samples: &mut [f32], distance: usize, fade: usize) {
        let (distance, fade) = (distance * self.channels, fade * self.channels);
        if samples.len() < distance + fade || distance < fade {
            return;
        }
        for index in 0..fade {
            let weight = self.weight(index, fade);
            let later = samples[distance + index];
            samples[distance + index] = samples[index] + (later - samples[index]) * weight;
        }
    }

    /// Plays the first `distance` twice. `samples` begin with room for `distance` more, and the
    /// sound follows, at least twice as long; what the caller is to play then begins with the room.
    pub(super) fn insert(&self, samples: &mut [f32], distance: usize) {
        let distance = distance * self.channels;
        if samples.len() < 3 * distance {
            return;
        }
        for index in 0..distance {
            let weight = self.weight(index, distance);
            let (first, second) = (samples[distance + index], samples[2 * distance + index]);
            samples[index] = first;
            samples[distance + index] = second + (first - second) * weight;
        }
    }

    /// 0 to 1 over `length` interleaved values, the same for all channels of one sample.
    fn weight(&self, index: usize, length: usize) -> f32 {
        (index / self.channels) as f32 / (length / self.channels).max(1) as f32
    }

    fn mix_down(&mut self, samples: &[f32], overlap: usize, field: std::ops::Range<usize>) {
        let channels = self.channels;
        self.mono.clear();
        for range in [0..overlap, field] {
            let part = &samples[range.start * channels..range.end * channels];
            let mixed = part
                .chunks_exact(channels)
                .map(|sample| sample.iter().sum::<f32>());
            self.mono.extend(mixed);
        }
    }
}

fn mean_square(samples: &[f32]) -> f32 {
    samples.iter().map(|s| s * s).sum::<f32>() / samples.len().max(1) as f32
}

/// The lag at which `field` is most like `pattern`, and the correlation there.
fn best(pattern: &[f32], field: &[f32], lags: std::ops::Range<usize>) -> (usize, f32) {
    let own: f32 = pattern.iter().map(|s| s * s).sum();
    let mut found = (lags.start, -1.0);
    for lag in lags {
        let Some(part) = field.get(lag..lag + pattern.len()) else {
            break;
        };
        let (product, other) = pattern
            .iter()
            .zip(part)
            .fold((0.0, 0.0), |(p, o), (a, b)| (p + a * b, o + b * b));
        let correlation = product / (own * other).sqrt().max(1e-9);
        if correlation > found.1 {
            found = (lag, correlation);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Tone, ToneDetector};

    const RATES: [u32; 4] = [8_000, 16_000, 44_100, 48_000];

    fn tone(hz: f32, rate: u32, seconds: f32) -> Vec<f32> {
        let mut samples = vec![0.0; (rate as f32 * seconds) as usize];
        Tone::new(hz, -6.0, rate).fill(&mut samples);
        samples
    }

    fn largest_step(samples: &[f32]) -> f32 {
        samples
            .windows(2)
            .fold(0.0, |step, w| step.max((w[1] - w[0]).abs()))
    }

    #[test]
    fn the_period_of_a_tone_is_found() {
        for rate in RATES {
            for hz in [80.0, 125.0, 200.0, 440.0, 1_000.0] {
                let mut stretch = TimeStretch::new(rate, 1);
                let periods = stretch.periods();
                let found = stretch.find(&tone(hz, rate, 0.03), periods).unwrap();
                let turns = found.distance as f32 * hz / rate as f32;
                assert!(
                    (turns - turns.round()).abs() < 0.07,
                    "{rate} {hz} {found:?}"
                );
                assert!(found.correlation > 0.9, "{rate} {hz} {found:?}");
            }
        }
    }

    #[test]
    fn cutting_and_inserting_periods_neither_clicks_nor_bends_the_pitch() {
        for rate in RATES {
            for hz in [100.0, 440.0, 1_000.0] {
                let source = tone(hz, rate, 3.0);
                let mut stretch = TimeStretch::new(rate, 1);
                let room = rate as usize * 15 / 1_000;
                let step = rate as usize / 25;
                for inserting in [false, true] {
                    let mut heard = Vec::new();
                    let mut changed = 0;
                    for part in source.chunks_exact(step).collect::<Vec<_>>().windows(2) {
                        // Each 40 ms is joined to its continuation, one period longer or shorter.
                        let mut samples = vec![0.0; room];
                        samples.extend_from_slice(part[0]);
                        let periods = stretch.periods();
                        let found = stretch.find(&samples[room..], periods).unwrap().distance;
                        changed += found;
                        if inserting {
                            stretch.insert(&mut samples[room - found..], found);
                            heard.extend_from_slice(&samples[room - found..]);
                        } else {
                            stretch.cut(&mut samples[room..], found, found);
                            heard.extend_from_slice(&samples[room + found..]);
                        }
                    }
                    let expected = if inserting {
                        source.len() + changed
                    } else {
                        source.len() - changed
                    };
                    assert!(heard.len().abs_diff(expected) <= 2 * step);
                    let bound = largest_step(&source) * 1.2 + 0.005;
                    assert!(largest_step(&heard) < bound, "{rate} {hz} {inserting}");
                    let mut ear = ToneDetector::new(hz, rate);
                    ear.push(&heard);
                    let report = ear.report();
                    assert!(
                        (report.frequency_hz - hz).abs() < hz * 0.01,
                        "{rate} {hz} {report:?}"
                    );
                    assert_eq!(report.missing_ms, 0.0, "{rate} {hz} {report:?}");
                }
            }
        }
    }

    #[test]
    fn stereo_channels_stay_apart() {
        let mono = tone(200.0, 48_000, 0.03);
        let mut samples: Vec<f32> = mono.iter().flat_map(|&s| [s, -0.5 * s]).collect();
        let mut stretch = TimeStretch::new(48_000, 2);
        let periods = stretch.periods();
        let found = stretch.find(&samples, periods).unwrap().distance;
        stretch.cut(&mut samples, found, found);
        for pair in samples[2 * found..].chunks(2) {
            assert!((pair[1] + 0.5 * pair[0]).abs() < 1e-6);
        }
    }

    #[test]
    fn silence_goes_in_the_longest_stretch_and_too_little_is_left_alone() {
        let mut stretch = TimeStretch::new(48_000, 1);
        let found = stretch.find(&[0.0; 2_000], 120..=720).unwrap();
        assert_eq!(
            found,
            Match {
                distance: 720,
                correlation: 1.0,
                quiet: true
            }
        );
        // A room's noise is a pause after speech, and the sound itself where there is no louder.
        let noise = crate::measure::noise(0.005, 3, 2_000);
        assert!(!stretch.find(&noise, 120..=720).unwrap().quiet);
        stretch.hear(&tone(200.0, 48_000, 0.5));
        assert!(stretch.find(&noise, 120..=720).unwrap().quiet);
        assert!(
            !stretch
                .find(&tone(200.0, 48_000, 0.1), 120..=720)
                .unwrap()
                .quiet
        );
        for _ in 0..100 {
            stretch.hear(&noise);
        }
        assert!(stretch.find(&noise, 120..=720).unwrap().quiet);
        for _ in 0..2_000 {
            stretch.hear(&noise);
        }
        assert!(!stretch.find(&noise, 120..=720).unwrap().quiet);
        assert_eq!(stretch.find(&[0.0; 200], 120..=720), None);
        assert_eq!(stretch.find(&[], 120..=720), None);
        let mut samples = [0.5; 100];
        stretch.cut(&mut samples, 90, 20);
        stretch.insert(&mut samples, 50);
        assert_eq!(samples, [0.5; 100]);
    }
}
