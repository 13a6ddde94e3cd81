//! Echo cancellation: what the loudspeaker plays, removed from what the microphone hears.
//!
//! Runs on the engine thread. Works on 10 ms in three bands of 16 kHz. In the lowest the echo is
//! found ([`delay_estimator`]), subtracted ([`kalman_filter`]) and what is left of it lowered
//! ([`residual_suppressor`]); the bands above 8 kHz are only lowered ([`upper_bands`]).

mod delay_estimator;
mod in_place_fft;
mod kalman_filter;
mod residual_suppressor;
mod upper_bands;

use sonora::three_band_filter_bank::{NUM_BANDS, SPLIT_BAND_SIZE, ThreeBandFilterBank};

use delay_estimator::DelayEstimator;
use kalman_filter::{KalmanFilter, MAX_OFFSET};
use residual_suppressor::ResidualSuppressor;
use upper_bands::UpperBands;

use crate::frame::SAMPLES_PER_CHANNEL;

/// Rate and frame of a band.
const BAND_HZ: usize = 16_000;
pub(crate) const BAND_SAMPLES: usize = SPLIT_BAND_SIZE;

/// Samples at 48 kHz by which the canceller delays the microphone.
pub(crate) const DELAY_SAMPLES: usize = residual_suppressor::DELAY * 3;

/// 10 ms in bands of 0 to 8, 8 to 16 and 16 to 24 kHz, each at 16 kHz.
pub(crate) type Bands = [[f32; BAND_SAMPLES]; NUM_BANDS];

/// How much of the filter lies before the echo's first sound, at least and at most, in samples.
const MIN_LEAD: usize = BAND_HZ / 1_000;
const LEAD: usize = 4 * BAND_HZ / 1_000;
const MAX_LEAD: usize = 25 * BAND_HZ / 1_000;

/// A microphone that reaches this is taken for overdriven.
const CLIPPED: f32 = 0.998;

/// A loudspeaker above this (mean square, −50 dBFS) is heard if it can be.
const ACTIVE: f32 = 1e-5;
/// Frames of it within which an echo that is there is found and removed; until then all may be echo.
const SEARCH_FRAMES: usize = 100;
/// The filter is trusted when it has once left less than this part of the power.
const PROOF: f32 = 0.3;
/// Frames for which what was played may be in the room.
const HANGOVER_FRAMES: usize = 40;
/// Frames after one that was overdriven while something was played: a loop that howls. Nothing
/// linear can be learned from it, so it has to be broken.
const OVERDRIVEN_FRAMES: usize = 10;
/// The gain while all may be echo.
const SEARCH_GAIN: f32 = 0.03;

/// The canceller of one microphone and one loudspeaker, both mono.
pub(crate) struct EchoCanceller {
    render_bank: ThreeBandFilterBank,
    render: [f32; BAND_SAMPLES],
    delay: DelayEstimator,
    filter: KalmanFilter,
    suppressor: ResidualSuppressor,
    upper: UpperBands,
    active_frames: usize,
    quiet_frames: usize,
    unclipped_frames: usize,
    microphone_power: f32,
    error_power: f32,
    /// The filter has removed echo where it is now.
    proved: bool,
}

impl EchoCanceller {
    pub(crate) fn new() -> Self {
        Self {
            render_bank: ThreeBandFilterBank::new(),
            render: [0.0; BAND_SAMPLES],
            delay: DelayEstimator::new(),
            filter: KalmanFilter::new(),
            suppressor: ResidualSuppressor::new(),
            upper: UpperBands::new(),
            active_frames: 0,
            quiet_frames: HANGOVER_FRAMES,
            unclipped_frames: OVERDRIVEN_FRAMES,
            microphone_power: 0.0,
            error_power: 0.0,
            proved: false,
        }
    }

    /// Takes the next 10 ms of the loudspeaker.
    pub(crate) fn render(&mut self, frame: &[f32; SAMPLES_PER_CHANNEL]) {
        let mut bands = [[0.0; BAND_SAMPLES]; NUM_BANDS];
        self.render_bank.analysis(frame, &mut bands);
        let [low, upper @ ..] = &bands;
        self.render = *low;
        self.upper.render(upper);
        self.filter.render(&self.render);
        if power(&self.render) > ACTIVE {
            self.active_frames += 1;
            self.quiet_frames = 0;
        } else {
            self.quiet_frames += 1;
        }
    }

    /// Removes the echo from the next 10 ms of the microphone. `peak` is the largest magnitude of
    /// the whole band.
    pub(crate) fn capture(&mut self, bands: &mut Bands, peak: f32) {
        let [low, upper @ ..] = bands;
        self.delay.update(&self.render, low);
        self.follow_delay();
        let cancelled = self.filter.capture(low, peak >= CLIPPED);
        self.watch_filter(power(low), power(&cancelled.error));
        self.unclipped_frames = if peak >= CLIPPED {
            0
        } else {
            self.unclipped_frames + 1
        };
        let searching = !self.proved && self.active_frames < SEARCH_FRAMES;
        let overdriven = self.unclipped_frames < OVERDRIVEN_FRAMES;
        let may_be_echo = self.quiet_frames < HANGOVER_FRAMES;
        let limit = if may_be_echo && (searching || overdriven) {
            SEARCH_GAIN
        } else {
            1.0
        };
        self.upper.capture(
            upper,
            self.filter.offset(),
            self.filter.upper_power(),
            limit,
        );
        *low = self.suppressor.process(
            &cancelled.error,
            &cancelled.echo,
            self.filter.expected_residue(),
            limit,
        );
    }

    /// How much later than the loudspeaker's frames their echo is found, in milliseconds.
    pub(crate) fn delay_ms(&self) -> Option<u32> {
        self.delay
            .delay()
            .map(|samples| (samples * 1_000 / BAND_HZ) as u32)
    }

    fn follow_delay(&mut self) {
        let Some(delay) = self.delay.delay() else {
            return;
        };
        let start = self.filter.offset() * BAND_SAMPLES;
        if !(start + MIN_LEAD..start + MAX_LEAD).contains(&delay) {
            let offset = delay.saturating_sub(LEAD) / BAND_SAMPLES;
            let offset = offset.min(MAX_OFFSET);
            if offset != self.filter.offset() {
                self.filter.move_to(offset);
            }
        }
    }

    /// A filter that adds sound where it should remove some has to begin again; one that removes
    /// some is trusted.
    fn watch_filter(&mut self, microphone: f32, error: f32) {
        self.microphone_power += 0.05 * (microphone - self.microphone_power);
        self.error_power += 0.05 * (error - self.error_power);
        if self.error_power > 2.0 * self.microphone_power + 1e-9 {
            self.filter.forget();
            self.error_power = 0.0;
        }
        self.proved |=
            self.quiet_frames < HANGOVER_FRAMES && self.error_power < PROOF * self.microphone_power;
    }
}

fn power(samples: &[f32]) -> f32 {
    samples.iter().map(|x| x * x).sum::<f32>() / samples.len() as f32
}
