//! RNNoise's network: from the features of a frame to the gain of each band, and the probability that
//! somebody speaks.
//!
//! The crate `nnnoiseless` computes the features and runs the network as well, but keeps the gains for
//! its own transform, which delays by a hop. The weights are those of the crate (BSD 3-clause, see
//! `rnnoise/COPYING`), in its format: for each layer the number of inputs and of neurons, the
//! activation, weights by input, recurrent weights, biases; all signed bytes.

use std::sync::LazyLock;

/// Bands with a gain each.
pub(crate) const BANDS: usize = 22;

/// Inputs of the network.
const FEATURES: usize = 42;

/// What one step of the signed bytes stands for.
const SCALE: f32 = 1.0 / 256.0;

static WEIGHTS: &[u8] = include_bytes!("../../rnnoise/weights.rnn");

static LAYERS: LazyLock<Layers> = LazyLock::new(|| Layers::read(WEIGHTS));

#[derive(Clone, Copy)]
enum Activation {
    Tanh,
    Sigmoid,
    Relu,
}

impl Activation {
    fn of(self, x: f32) -> f32 {
        match self {
            Self::Tanh => x.tanh(),
            Self::Sigmoid => sigmoid(x),
            Self::Relu => x.max(0.0),
        }
    }
}

fn sigmoid(x: f32) -> f32 {
    0.5 + 0.5 * (0.5 * x).tanh()
}

/// Weights of `outputs` sums over inputs, row by row.
struct Matrix {
    outputs: usize,
    weights: Vec<f32>,
}

impl Matrix {
    fn read(bytes: &mut &[u8], inputs: usize, outputs: usize) -> Self {
        let weights = take(bytes, inputs * outputs);
        Self { outputs, weights }
    }

    /// Adds the product with `input` to `sums`, from the output `first` on.
    fn add_product(&self, first: usize, input: &[f32], sums: &mut [f32]) {
        for (row, &input) in self.weights.chunks_exact(self.outputs).zip(input) {
            for (sum, weight) in sums.iter_mut().zip(&row[first..]) {
                *sum += weight * input;
            }
        }
    }
}

/// A layer without memory.
struct Dense {
    activation: Activation,
    weights: Matrix,
    bias: Vec<f32>,
}

/// A gated recurrent unit.
struct Gru {
    activation: Activation,
    weights: Matrix,
    recurrent: Matrix,
    bias: Vec<f32>,
}

struct Layers {
    input: Dense,
    voice: Gru,
    noise: Gru,
    denoise: Gru,
    gains: Dense,
    voice_probability: Dense,
}

fn take(bytes: &mut &[u8], count: usize) -> Vec<f32> {
    let (now, later) = bytes.split_at(count);
    *bytes = later;
    now.iter()
        .map(|&byte| f32::from(byte.cast_signed()) * SCALE)
        .collect()
}

fn head(bytes: &mut &[u8]) -> (usize, usize, Activation) {
    let (head, rest) = bytes.split_at(3);
    *bytes = rest;
    let activation = match head[2] {
        0 => Activation::Tanh,
        1 => Activation::Sigmoid,
        _ => Activation::Relu,
    };
    (head[0].into(), head[1].into(), activation)
}

impl Dense {
    fn read(bytes: &mut &[u8]) -> Self {
        let (inputs, neurons, activation) = head(bytes);
        Self {
            activation,
            weights: Matrix::read(bytes, inputs, neurons),
            bias: take(bytes, neurons),
        }
    }

    fn run(&self, input: &[f32], output: &mut [f32]) {
        output.copy_from_slice(&self.bias);
        self.weights.add_product(0, input, output);
        for value in output {
            *value = self.activation.of(*value);
        }
    }
}

/// No layer has more.
const MAX_NEURONS: usize = 128;

impl Gru {
    fn read(bytes: &mut &[u8]) -> Self {
        let (inputs, neurons, activation) = head(bytes);
        Self {
            activation,
            weights: Matrix::read(bytes, inputs, 3 * neurons),
            recurrent: Matrix::read(bytes, neurons, 3 * neurons),
            bias: take(bytes, 3 * neurons),
        }
    }

    fn run(&self, input: &[f32], state: &mut [f32]) {
        let n = state.len();
        let mut update = [0.0; MAX_NEURONS];
        let mut reset = [0.0; MAX_NEURONS];
        let mut new = [0.0; MAX_NEURONS];
        let (update, reset, new) = (&mut update[..n], &mut reset[..n], &mut new[..n]);
        self.sum(0, input, state, update);
        self.sum(n, input, state, reset);
        for (reset, state) in reset.iter_mut().zip(state.iter()) {
            *reset = sigmoid(*reset) * state;
        }
        self.sum(2 * n, input, reset, new);
        for ((state, update), new) in state.iter_mut().zip(update).zip(new) {
            let kept = sigmoid(*update);
            *state = kept * *state + (1.0 - kept) * self.activation.of(*new);
        }
    }

    fn sum(&self, first: usize, input: &[f32], state: &[f32], sums: &mut [f32]) {
        sums.copy_from_slice(&self.bias[first..first + sums.len()]);
        self.weights.add_product(first, input, sums);
        self.recurrent.add_product(first, state, sums);
    }
}

impl Layers {
    fn read(mut bytes: &[u8]) -> Self {
        let bytes = &mut bytes;
        Self {
            input: Dense::read(bytes),
            voice: Gru::read(bytes),
            noise: Gru::read(bytes),
            denoise: Gru::read(bytes),
            gains: Dense::read(bytes),
            voice_probability: Dense::read(bytes),
        }
    }
}

const INPUT: usize = 24;
const VOICE: usize = 24;
const NOISE: usize = 48;
const DENOISE: usize = 96;

/// What the network remembers.
pub(crate) struct Network {
    voice: [f32; VOICE],
    noise: [f32; NOISE],
    denoise: [f32; DENOISE],
}

impl Network {
    /// A network that has heard nothing.
    pub(crate) fn new() -> Self {
        Self {
            voice: [0.0; VOICE],
            noise: [0.0; NOISE],
            denoise: [0.0; DENOISE],
        }
    }

    /// The gains (0 to 1) that the next frame's 42 `features` ask for; returns the probability of
    /// speech.
    pub(crate) fn run(&mut self, features: &[f32], gains: &mut [f32; BANDS]) -> f32 {
        let layers = &*LAYERS;
        let mut input = [0.0; INPUT];
        layers.input.run(features, &mut input);
        layers.voice.run(&input, &mut self.voice);
        let mut probability = [0.0];
        layers.voice_probability.run(&self.voice, &mut probability);

        let mut for_noise = [0.0; INPUT + VOICE + FEATURES];
        join(&mut for_noise, [&input, &self.voice, features]);
        layers.noise.run(&for_noise, &mut self.noise);
        let mut for_gains = [0.0; VOICE + NOISE + FEATURES];
        join(&mut for_gains, [&self.voice, &self.noise, features]);
        layers.denoise.run(&for_gains, &mut self.denoise);
        layers.gains.run(&self.denoise, gains);
        probability[0]
    }
}

fn join(whole: &mut [f32], parts: [&[f32]; 3]) {
    let values = parts.into_iter().flatten();
    for (slot, value) in whole.iter_mut().zip(values) {
        *slot = *value;
    }
}

#[cfg(test)]
mod tests {
    use nnnoiseless::{DenoiseFeatures, DenoiseState};

    use super::*;
    use crate::{
        frame::SAMPLES_PER_CHANNEL,
        measure::{fan_noise, speech_like},
    };

    #[test]
    fn the_probability_of_speech_is_the_one_that_the_crate_computes() {
        let speech = speech_like(3);
        let noise = fan_noise(0.1, 1, speech.len());
        let mut theirs = DenoiseState::new();
        let mut features = DenoiseFeatures::new();
        let mut ours = Network::new();
        let mut gains = [0.0; BANDS];
        let (mut most, mut least) = (0.0_f32, 1.0_f32);
        for index in 0..speech.len() / SAMPLES_PER_CHANNEL {
            let mut input = [0.0; SAMPLES_PER_CHANNEL];
            for (n, sample) in input.iter_mut().enumerate() {
                let n = index * SAMPLES_PER_CHANNEL + n;
                *sample = 32_768.0 * (speech[n] + noise[n]);
            }
            let expected = theirs.process_frame(&mut [0.0; SAMPLES_PER_CHANNEL], &input);
            features.shift_and_filter_input(&input);
            assert!(!features.compute_frame_features(), "{index}");
            let probability = ours.run(features.features(), &mut gains);
            // Their hyperbolic tangent is a table.
            assert!(
                (probability - expected).abs() < 0.01,
                "frame {index}: {probability}, not {expected}"
            );
            assert!(gains.iter().all(|gain| (0.0..=1.0).contains(gain)));
            (most, least) = (most.max(probability), least.min(probability));
        }
        assert!(most > 0.9 && least < 0.5, "{least} to {most}");
    }
}
