//! Where the time goes between the microphone and the ear.

use serde::Serialize;

/// Sums over all chunks heard, from which means come.
#[derive(Debug, Clone, Copy, Default)]
pub struct DelaySum {
    chunks: u64,
    aged_chunks: u64,
    age_us: u64,
    handling_us: u64,
    jitter_buffer_us: u64,
    playback_us: u64,
    /// Of the newest second or so, smoothed, in microseconds.
    recent_us: f64,
}

/// Means over the call, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct DelayMeans {
    /// From the microphone to the arrival here, as the peer reckons and the transit adds. 0 when
    /// the peer does not tell.
    pub arrival_age_us: u64,
    /// From the arrival to the engine.
    pub handling_us: u64,
    /// In the jitter buffer.
    pub jitter_buffer_us: u64,
    /// Behind it: resampler, ring, and the speaker's own latency.
    pub playback_us: u64,
}

impl DelaySum {
    /// Adds one chunk.
    pub fn add(
        &mut self,
        age_us: Option<u32>,
        handling_us: u32,
        jitter_buffer_us: u32,
        playback_us: u32,
    ) {
        self.chunks += 1;
        self.handling_us += u64::from(handling_us);
        self.jitter_buffer_us += u64::from(jitter_buffer_us);
        self.playback_us += u64::from(playback_us);
        if let Some(age_us) = age_us {
            self.aged_chunks += 1;
            self.age_us += u64::from(age_us);
            let total = f64::from(age_us)
                + f64::from(handling_us)
                + f64::from(jitter_buffer_us)
                + f64::from(playback_us);
            let weight = if self.aged_chunks == 1 { 1.0 } else { 0.05 };
            self.recent_us += weight * (total - self.recent_us);
        }
    }

    /// The means so far.
    pub fn means(&self) -> DelayMeans {
        let mean = |sum: u64, count: u64| sum.checked_div(count).unwrap_or(0);
        DelayMeans {
            arrival_age_us: mean(self.age_us, self.aged_chunks),
            handling_us: mean(self.handling_us, self.chunks),
            jitter_buffer_us: mean(self.jitter_buffer_us, self.chunks),
            playback_us: mean(self.playback_us, self.chunks),
        }
    }

    /// Mouth to ear, of late, in microseconds; `None` while no peer has told its part.
    pub fn mouth_to_ear_us(&self) -> Option<u32> {
        (self.aged_chunks > 0).then_some(self.recent_us as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_add_up_and_unknown_ages_are_left_out() {
        let mut sum = DelaySum::default();
        assert_eq!(sum.mouth_to_ear_us(), None);
        sum.add(None, 1_000, 10_000, 20_000);
        assert_eq!(sum.mouth_to_ear_us(), None);
        for _ in 0..200 {
            sum.add(Some(30_000), 1_000, 10_000, 20_000);
        }
        assert_eq!(sum.mouth_to_ear_us(), Some(61_000));
        let means = sum.means();
        assert_eq!(means.arrival_age_us, 30_000);
        assert_eq!(means.jitter_buffer_us, 10_000);
    }
}
