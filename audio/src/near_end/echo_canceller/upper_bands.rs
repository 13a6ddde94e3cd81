//! The bands above 8 kHz: no filter models their echo, so they are lowered where most of what is
//! heard may be echo.

use std::{array, collections::VecDeque};

use super::{
    BAND_SAMPLES,
    kalman_filter::{MAX_OFFSET, PARTITIONS},
    power, residual_suppressor,
};

/// 8 to 16 and 16 to 24 kHz.
const BANDS: usize = 2;

const DELAY: usize = residual_suppressor::DELAY;

/// By how much the echo is overestimated: its path is that from 4 to 8 kHz.
const FACTOR: f32 = 8.0;
/// What a room leaves of an echo after 10 ms.
const REVERB: f32 = 0.5;
const FLOOR: f32 = 0.001;

type Band = [f32; BAND_SAMPLES];

pub(super) struct UpperBands {
    /// Powers of what was played, the newest frame first.
    played: VecDeque<[f32; BANDS]>,
    delayed: [[f32; DELAY]; BANDS],
    gains: [f32; BANDS],
}

impl UpperBands {
    pub(super) fn new() -> Self {
        Self {
            played: VecDeque::from(vec![[0.0; BANDS]; MAX_OFFSET + PARTITIONS]),
            delayed: [[0.0; DELAY]; BANDS],
            gains: [1.0; BANDS],
        }
    }

    /// Takes the next frame of the loudspeaker.
    pub(super) fn render(&mut self, bands: &[Band; BANDS]) {
        self.played.pop_back();
        self.played
            .push_front(bands.each_ref().map(|band| power(band)));
    }

    /// Lowers and delays the next frame of the microphone, whose echo is at least `offset` frames
    /// late and of `path_power` times the power. No gain is above `limit`.
    pub(super) fn capture(
        &mut self,
        bands: &mut [Band; BANDS],
        offset: usize,
        path_power: f32,
        limit: f32,
    ) {
        let mut echo = [0.0_f32; BANDS];
        let mut left = FACTOR * path_power;
        for played in self.played.range(offset..offset + PARTITIONS) {
            for (echo, played) in echo.iter_mut().zip(played) {
                *echo = echo.max(left * played);
            }
            left *= REVERB;
        }
        for (index, band) in bands.iter_mut().enumerate() {
            let heard = power(band);
            let gain = (1.0 - echo[index] / (heard + 1e-12)).clamp(FLOOR, 1.0);
            let gain = if echo[index] > 0.0 { gain } else { 1.0 }.min(limit);
            let delayed: Band = array::from_fn(|n| match n.checked_sub(DELAY) {
                None => self.delayed[index][n],
                Some(n) => band[n],
            });
            self.delayed[index].copy_from_slice(&band[BAND_SAMPLES - DELAY..]);
            // From the last gain to this over the frame: no steps.
            let last = self.gains[index];
            for (n, sample) in band.iter_mut().enumerate() {
                let part = (n + 1) as f32 / BAND_SAMPLES as f32;
                *sample = delayed[n] * (last + part * (gain - last));
            }
            self.gains[index] = gain;
        }
    }
}
