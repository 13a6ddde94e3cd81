//! The frame that the processing chain works on: 10 ms at 48 kHz, channel by channel.

/// Rate of every [`Frame`].
pub const SAMPLE_RATE_HZ: u32 = 48_000;

/// Samples per channel in every [`Frame`]: 10 ms.
pub const SAMPLES_PER_CHANNEL: usize = 480;

/// 10 ms of sound at 48 kHz in one or two channels, planar.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    samples: [[f32; SAMPLES_PER_CHANNEL]; 2],
    channels: usize,
}

impl Frame {
    /// Silence in `channels` (1 or 2; anything else is taken as the nearer of them).
    pub fn silence(channels: usize) -> Self {
        Self {
            samples: [[0.0; SAMPLES_PER_CHANNEL]; 2],
            channels: channels.clamp(1, 2),
        }
    }

    /// Takes over interleaved samples; those that are missing become silence, a surplus is ignored.
    pub fn fill_from_interleaved(&mut self, interleaved: &[f32]) {
        let channels = self.channels;
        for (channel, samples) in self.channels_mut().enumerate() {
            let source = interleaved.iter().skip(channel).step_by(channels);
            let source = source.copied().chain(std::iter::repeat(0.0));
            for (sample, value) in samples.iter_mut().zip(source) {
                *sample = value;
            }
        }
    }

    /// Appends the samples, interleaved, to `interleaved`.
    pub fn append_interleaved(&self, interleaved: &mut Vec<f32>) {
        if self.channels == 1 {
            interleaved.extend_from_slice(&self.samples[0]);
        } else {
            let pairs = self.samples[0].iter().zip(&self.samples[1]);
            interleaved.extend(pairs.flat_map(|(&left, &right)| [left, right]));
        }
    }

    /// How many channels it has: 1 or 2.
    pub fn channel_count(&self) -> usize {
        self.channels
    }

    /// Each channel's samples.
    pub fn channels(&self) -> impl Iterator<Item = &[f32; SAMPLES_PER_CHANNEL]> {
        self.samples[..self.channels].iter()
    }

    /// Each channel's samples, to change them.
    pub fn channels_mut(&mut self) -> impl Iterator<Item = &mut [f32; SAMPLES_PER_CHANNEL]> {
        self.samples[..self.channels].iter_mut()
    }

    /// The largest magnitude among all channels at `index` (below [`SAMPLES_PER_CHANNEL`]).
    pub fn peak_at(&self, index: usize) -> f32 {
        self.channels()
            .fold(0.0, |peak, samples| peak.max(samples[index].abs()))
    }

    /// Mean square over all channels.
    pub fn mean_square(&self) -> f32 {
        let sum: f32 = self
            .channels()
            .flatten()
            .map(|sample| sample * sample)
            .sum();
        sum / (SAMPLES_PER_CHANNEL * self.channels) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interleaved_samples_come_back_as_they_went_in() {
        for channels in [1, 2] {
            let samples: Vec<f32> = (0..SAMPLES_PER_CHANNEL * channels)
                .map(|n| n as f32)
                .collect();
            let mut frame = Frame::silence(channels);
            frame.fill_from_interleaved(&samples);
            assert_eq!(frame.channel_count(), channels);
            for (channel, planar) in frame.channels().enumerate() {
                assert_eq!(planar[3], (3 * channels + channel) as f32);
            }
            let mut back = Vec::new();
            frame.append_interleaved(&mut back);
            assert_eq!(back, samples);
        }
    }

    #[test]
    fn missing_samples_are_silence() {
        let mut frame = Frame::silence(2);
        frame.fill_from_interleaved(&[1.0; 960]);
        frame.fill_from_interleaved(&[0.5, 0.25, 0.5]);
        assert_eq!(frame.peak_at(1), 0.5);
        assert_eq!(frame.peak_at(2), 0.0);
        assert!((frame.mean_square() - 0.5625 / 960.0).abs() < 1e-9);
    }
}
