//! How much of a sound the samples before it do not foretell.
//!
//! What comes out of throats and instruments is foretold well by a dozen samples; of white noise,
//! and of bytes that are no sound, nothing is. By autocorrelation and the recursion of Levinson and
//! Durbin (Makhoul, "Linear prediction: a tutorial review", 1975).

/// Samples from which the next one is foretold.
const ORDER: usize = 16;

/// Added to the power, of 1: what is foretold quite well is not divided by next to nothing.
const REGULARISATION: f64 = 1e-4;

/// Mean square of the part of `samples` that a linear predictor of order 16, the best for them, does
/// not foretell. At least a ten-thousandth of their own.
pub(crate) fn residual_power(samples: &[f32]) -> f32 {
    let mut autocorrelation = [0.0; ORDER + 1];
    for (lag, sum) in autocorrelation.iter_mut().enumerate() {
        let later = samples.get(lag..).unwrap_or_default();
        let products = samples.iter().zip(later);
        *sum = products.map(|(a, b)| f64::from(a * b)).sum();
    }
    autocorrelation[0] *= 1.0 + REGULARISATION;
    let mut error = autocorrelation[0];
    let mut predictor = [0.0; ORDER + 1];
    predictor[0] = 1.0;
    for order in 1..=ORDER {
        if error <= 0.0 {
            return 0.0;
        }
        let unforetold: f64 = (0..order)
            .map(|n| predictor[n] * autocorrelation[order - n])
            .sum();
        let reflection = -unforetold / error;
        let before = predictor;
        for n in 1..=order {
            predictor[n] += reflection * before[order - n];
        }
        error *= 1.0 - reflection * reflection;
    }
    (error / samples.len() as f64) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{noise, sine, speech_like};

    fn gain_db(samples: &[f32]) -> f32 {
        let power: f32 = samples.iter().map(|sample| sample * sample).sum();
        10.0 * (power / samples.len() as f32 / residual_power(samples)).log10()
    }

    #[test]
    fn noise_is_not_foretold_and_sound_is() {
        assert!(gain_db(&noise(0.5, 1, 960)) < 0.3);
        assert!(gain_db(&sine(440.0, 1.0, 48_000, 960)) > 20.0);
        let speech = speech_like(1);
        let window = &speech[24_000..24_960];
        assert!(gain_db(window) > 10.0, "{} dB", gain_db(window));
    }

    #[test]
    fn nothing_comes_of_nothing() {
        assert_eq!(residual_power(&[0.0; 160]), 0.0);
        assert_eq!(residual_power(&[0.5]), 0.25 * (1.0 + REGULARISATION as f32));
    }
}
