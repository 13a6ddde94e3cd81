//! A transform of one size and its inverse, in place and without allocating.

use std::sync::Arc;

use rustfft::{Fft, FftPlanner, num_complex::Complex32};

pub(super) struct InPlaceFft {
    forward: Arc<dyn Fft<f32>>,
    inverse: Arc<dyn Fft<f32>>,
    scratch: Vec<Complex32>,
}

impl InPlaceFft {
    /// For buffers of `size` values.
    pub(super) fn new(size: usize) -> Self {
        let mut planner = FftPlanner::new();
        let forward = planner.plan_fft_forward(size);
        let inverse = planner.plan_fft_inverse(size);
        let scratch = forward
            .get_inplace_scratch_len()
            .max(inverse.get_inplace_scratch_len());
        Self {
            forward,
            inverse,
            scratch: vec![Complex32::ZERO; scratch],
        }
    }

    /// From time to frequency.
    pub(super) fn forward(&mut self, buffer: &mut [Complex32]) {
        self.forward.process_with_scratch(buffer, &mut self.scratch);
    }

    /// Back again, `size` times as large.
    pub(super) fn inverse(&mut self, buffer: &mut [Complex32]) {
        self.inverse.process_with_scratch(buffer, &mut self.scratch);
    }
}
