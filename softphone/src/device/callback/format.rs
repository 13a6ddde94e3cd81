//! Sample formats of devices against our `f32`, without allocation: runs in the device callback.

use cpal::{FromSample, SizedSample};

/// Samples converted at a time, on the callback's stack.
pub(super) const BLOCK: usize = 256;

/// The greatest `f32` below 1, so that full scale still fits into a 24-bit integer.
const ALMOST_ONE: f32 = 1.0 - f32::EPSILON / 2.0;

/// A sample type that a device may use.
pub(crate) trait DeviceSample: SizedSample + FromSample<f32> + Send + 'static {
    /// The sample as −1..1; anything not finite is silence.
    fn to_ours(self) -> f32;

    /// From −1..1; what lies outside is clipped, and what is not a number is silence.
    fn from_ours(sample: f32) -> Self {
        let sample = if sample.is_nan() { 0.0 } else { sample };
        Self::from_sample(sample.clamp(-1.0, ALMOST_ONE))
    }
}

impl<T> DeviceSample for T
where
    T: SizedSample + FromSample<f32> + Send + 'static,
    f32: FromSample<T>,
{
    fn to_ours(self) -> f32 {
        let sample: f32 = self.to_sample();
        if sample.is_finite() {
            sample.clamp(-1.0, 1.0)
        } else {
            0.0
        }
    }
}

/// Takes the first `ours` of `theirs` channels out of a callback's buffer, in blocks of whole
/// sample groups. `ours` ≤ `theirs`, and ≤ 2.
pub(super) fn capture<T: DeviceSample>(
    data: &[T],
    theirs: usize,
    ours: usize,
    mut push: impl FnMut(&[f32]),
) {
    let mut block = [0.0; BLOCK];
    for groups in data.chunks(BLOCK / ours * theirs) {
        let mut filled = 0;
        for group in groups.chunks_exact(theirs) {
            for &sample in &group[..ours] {
                block[filled] = sample.to_ours();
                filled += 1;
            }
        }
        push(&block[..filled]);
    }
}

/// Fills a callback's buffer, `ours` of `theirs` channels, further channels silent. `pop` fills as
/// much of its slice as there is and returns how much; the rest becomes silence. Returns how many
/// samples per channel were missing.
pub(super) fn render<T: DeviceSample>(
    data: &mut [T],
    theirs: usize,
    ours: usize,
    mut pop: impl FnMut(&mut [f32]) -> usize,
) -> usize {
    let mut block = [0.0; BLOCK];
    let mut missing = 0;
    for groups in data.chunks_mut(BLOCK / ours * theirs) {
        let wanted = groups.len() / theirs * ours;
        let got = pop(&mut block[..wanted]);
        block[got..wanted].fill(0.0);
        missing += (wanted - got) / ours;
        for (group, source) in groups
            .chunks_exact_mut(theirs)
            .zip(block.chunks_exact(ours))
        {
            for (channel, out) in group.iter_mut().enumerate() {
                *out = T::from_ours(source.get(channel).copied().unwrap_or(0.0));
            }
        }
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;
    use cpal::{I24, U24};

    fn there_and_back<T: DeviceSample>(tolerance: f32) {
        let tone: Vec<f32> = (0..1000).map(|i| (i as f32 * 0.05).sin()).collect();
        let mut device = vec![T::EQUILIBRIUM; tone.len()];
        let mut rest = &tone[..];
        let missing = render(&mut device, 1, 1, |out| {
            out.copy_from_slice(&rest[..out.len()]);
            rest = &rest[out.len()..];
            out.len()
        });
        assert_eq!(missing, 0);
        let mut back = Vec::new();
        capture(&device, 1, 1, |samples| back.extend_from_slice(samples));
        assert_eq!(back.len(), tone.len());
        for (a, b) in tone.iter().zip(&back) {
            assert!((a - b).abs() <= tolerance, "{a} came back as {b}");
        }
    }

    #[test]
    fn every_format_survives_the_round_trip_within_one_step() {
        there_and_back::<f32>(1e-6);
        there_and_back::<f64>(1e-6);
        there_and_back::<i8>(1.01 / 128.0);
        there_and_back::<u8>(1.01 / 128.0);
        there_and_back::<i16>(1.01 / 32768.0);
        there_and_back::<u16>(1.01 / 32768.0);
        there_and_back::<I24>(1.01 / 8_388_608.0);
        there_and_back::<U24>(1.01 / 8_388_608.0);
        there_and_back::<i32>(2e-7);
        there_and_back::<u32>(2e-7);
    }

    #[test]
    fn beyond_full_scale_is_clipped_not_wrapped() {
        for loud in [1.0, 1.5, f32::INFINITY] {
            assert!(i16::from_ours(loud) > 32_700);
            assert!(I24::from_ours(loud).inner() > 8_388_000);
            assert!(i32::from_ours(loud) > 2_147_000_000);
            assert!(u16::from_ours(loud) > 65_400);
            assert!(i16::from_ours(-loud) < -32_700);
            assert!(u16::from_ours(-loud) < 100);
        }
    }

    #[test]
    fn not_a_number_from_a_device_is_silence() {
        let mut got = Vec::new();
        capture(&[f32::NAN, f32::INFINITY, 7.0, 0.5], 1, 1, |s| {
            got.extend_from_slice(s)
        });
        assert_eq!(got, [0.0, 0.0, 1.0, 0.5]);
    }

    #[test]
    fn a_device_with_six_channels_gives_its_first_two_and_gets_silence_in_the_others() {
        let groups = 700; // more than a block, not a multiple of one
        let device: Vec<f32> = (0..groups * 6).map(|i| (i % 6) as f32 / 10.0).collect();
        let mut got = Vec::new();
        capture(&device, 6, 2, |s| got.extend_from_slice(s));
        assert_eq!(got.len(), groups * 2);
        assert!(got.chunks(2).all(|pair| pair == [0.0, 0.1]));

        let mut out = vec![9.0_f32; groups * 6];
        render(&mut out, 6, 2, |block| {
            block
                .chunks_mut(2)
                .for_each(|pair| pair.copy_from_slice(&[0.3, 0.4]));
            block.len()
        });
        assert!(out.chunks(6).all(|g| g == [0.3, 0.4, 0.0, 0.0, 0.0, 0.0]));
    }

    #[test]
    fn what_the_ring_lacks_is_silence_and_counted_per_channel() {
        let mut out = vec![1_i16; 2 * 600];
        let mut left = 2 * 100;
        let missing = render(&mut out, 2, 2, |block| {
            let n = left.min(block.len());
            left -= n;
            block[..n].fill(0.5);
            n
        });
        assert_eq!(missing, 500);
        assert!(out[..200].iter().all(|&s| s == 16384));
        assert!(out[200..].iter().all(|&s| s == 0));
    }
}
