//! What a listener would say of a line, from its delay and its losses: the E-model. Pure.
//!
//! ITU-T G.107.2 (the fullband E-model), reduced to the codec and the two things that a call over a
//! network changes; everything else is at the recommendation's defaults (no side tone trouble, no noise,
//! no residual echo). A planning model: it says how a line of these figures is judged on average, not
//! how this sentence sounded.

use std::time::Duration;

use crate::codec::format::{Codec, Format};

/// R of a fullband line without any impairment (G.107.2: Ro).
const R_BEST: f64 = 148.0;

/// Robustness of the codec against loss: the fullband figure of a codec with concealment.
const BPL: f64 = 4.3;

/// Equipment impairment of Opus (48 kHz, mono, 10 ms, low delay) without loss, by thousands of bits per
/// second: that which leads to the mean of the PESQ once and twice through the codec, which
/// `docs/bit-rate.md` tells. Between two of them it is interpolated.
const OPUS: [(f64, f64); 6] = [
    (16.0, 79.0),
    (24.0, 62.0),
    (32.0, 44.3),
    (48.0, 27.7),
    (64.0, 18.6),
    (96.0, CodecImpairment::NONE.0),
];

/// Of G.711, and of anything else without the upper half of the wide band: PESQ 2.9.
const NARROW_BAND: f64 = 64.1;

/// What a codec takes from R without any loss (Ie).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CodecImpairment(f64);

impl CodecImpairment {
    /// Of a codec whose coding is not heard: the fullband figure of G.107.2.
    pub const NONE: Self = Self(10.2);

    /// Of this format, by Opus at `bitrate` bits per second (48 kHz in mono; other rates and stereo are
    /// taken to be as good at their own default bitrates).
    pub fn of(format: Format, bitrate: u32) -> Self {
        if format.sample_rate_hz() < 16_000 {
            return Self(NARROW_BAND);
        }
        if format.codec() != Codec::Opus {
            return Self::NONE;
        }
        let usual = f64::from(crate::codec::default_bitrate(format));
        let mono_48k = f64::from(crate::codec::DEFAULT_BITRATE);
        let thousands = f64::from(bitrate) / 1e3 * mono_48k / usual;
        Self(interpolated(thousands))
    }
}

impl Default for CodecImpairment {
    fn default() -> Self {
        Self::NONE
    }
}

fn interpolated(thousands: f64) -> f64 {
    let within = OPUS.windows(2).find(|pair| thousands < pair[1].0);
    let Some([low, high]) = within else {
        return CodecImpairment::NONE.0;
    };
    // Below the first it goes on as between the first two.
    let part = (thousands - low.0) / (high.0 - low.0);
    (low.1 + part * (high.1 - low.1)).min(IE_MOST)
}

/// What Ie,eff tends to when everything is lost (G.107.2).
const IE_MOST: f64 = 132.0;

/// The fullband scale is so many times as long as the narrowband scale of G.107, for which the delay
/// impairment and the mapping to MOS are given.
const SCALE: f64 = R_BEST / 100.0;

/// Delay up to this, in milliseconds, is not noticed in a conversation.
const UNNOTICED_MS: f64 = 100.0;

/// How a line is judged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rating {
    /// Transmission rating factor on the fullband scale: 0 to 148, of which Opus reaches 137.8.
    pub r: f64,
    /// Mean opinion score of a conversation, estimated: 1 (bad) to 4.5.
    pub mos: f64,
}

/// Rates a line of this `codec` and mouth-to-ear `delay` on which this part of the playing time (0 to 1) was
/// concealed. Concealed time stands for the model's random packet loss: a frame that was concealed is
/// one that was not heard, whether it was lost or late.
pub fn rate(codec: CodecImpairment, delay: Duration, concealed_ratio: f64) -> Rating {
    let equipment = equipment_impairment(codec, concealed_ratio);
    let r = (R_BEST - delay_impairment(delay) - equipment).max(0.0);
    Rating {
        r,
        mos: mean_opinion_score(r),
    }
}

/// The longest that one hole counts: a listener who waits for the rest is not disturbed anew.
const MAX_HOLE: Duration = Duration::from_millis(300);

/// The part of the playing time that counts as concealed in the judgement of a whole call: so much in so
/// many holes, of all that was `played`.
pub fn concealed_ratio(concealed: Duration, holes: u64, played: Duration) -> f64 {
    let most = MAX_HOLE.saturating_mul(u32::try_from(holes).unwrap_or(u32::MAX));
    concealed.min(most).as_secs_f64() / played.as_secs_f64().max(1e-3)
}

/// Ie,eff of G.107.2 for random loss.
fn equipment_impairment(codec: CodecImpairment, concealed_ratio: f64) -> f64 {
    let percent = concealed_ratio.clamp(0.0, 1.0) * 100.0;
    codec.0 + (IE_MOST - codec.0) * percent / (percent + BPL)
}

/// Idd (G.107, section 7.4, equations 7-27 and 7-28) on the fullband scale.
fn delay_impairment(delay: Duration) -> f64 {
    let ms = delay.as_secs_f64() * 1e3;
    if ms <= UNNOTICED_MS {
        return 0.0;
    }
    let x = (ms / UNNOTICED_MS).log2();
    let sixth = |x: f64| (1.0 + x.powi(6)).powf(1.0 / 6.0);
    SCALE * 25.0 * (sixth(x) - 3.0 * sixth(x / 3.0) + 2.0)
}

/// G.107, annex B, equation B-4, after R was brought to the narrowband scale.
fn mean_opinion_score(r: f64) -> f64 {
    let r = r / SCALE;
    if r <= 0.0 {
        1.0
    } else if r >= 100.0 {
        4.5
    } else {
        // The cubic dips below 1 for the very smallest R, which nobody means.
        (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mos(delay_ms: u64, concealed_ratio: f64) -> f64 {
        let delay = Duration::from_millis(delay_ms);
        rate(CodecImpairment::NONE, delay, concealed_ratio).mos
    }

    #[test]
    fn known_lines_get_their_known_scores() {
        for (delay_ms, concealed, expected) in [
            (0, 0.0, 4.41),
            (100, 0.0, 4.41),
            (200, 0.02, 3.30),
            (300, 0.05, 1.79),
        ] {
            let mos = mos(delay_ms, concealed);
            assert!(
                (mos - expected).abs() < 0.005,
                "{delay_ms} ms, {concealed}: {mos}"
            );
        }
        let best = rate(CodecImpairment::NONE, Duration::ZERO, 0.0);
        assert!((best.r - 137.8).abs() < 1e-9, "{best:?}");
    }

    #[test]
    fn each_codec_has_the_score_that_pesq_gives_it() {
        let opus = Format::OPUS_48K_MONO;
        let format = |codec, rate| Format::parse(codec, rate, 1).unwrap();
        for (format, bitrate, pesq) in [
            (opus, 24_000, 3.0),
            (opus, 32_000, 3.6),
            (opus, 64_000, 4.27),
            (opus, 510_000, 4.41),
            (format("opus", 16_000), 40_000, 4.27),
            (format("pcmu", 8_000), 64_000, 2.93),
            (format("opus", 8_000), 24_000, 2.93),
            (format("pcm", 48_000), 64_000, 4.41),
        ] {
            let codec = CodecImpairment::of(format, bitrate);
            let mos = rate(codec, Duration::ZERO, 0.0).mos;
            assert!((mos - pesq).abs() < 0.05, "{format}, {bitrate}: {mos}");
        }
        let mos = |bitrate| rate(CodecImpairment::of(opus, bitrate), Duration::ZERO, 0.0).mos;
        for thousands in 6..200 {
            assert!(mos(1_000 * thousands) <= mos(1_000 * (thousands + 1)));
            assert!((1.0..=4.5).contains(&mos(1_000 * thousands)));
        }
    }

    #[test]
    fn more_delay_and_more_loss_are_never_better() {
        for concealed in 0..=100 {
            let ratio = f64::from(concealed) / 100.0;
            for delay_ms in (0..3_000).step_by(20) {
                let here = mos(delay_ms, ratio);
                assert!((1.0..=4.5).contains(&here));
                assert!(mos(delay_ms + 20, ratio) <= here, "{delay_ms} ms, {ratio}");
                assert!(
                    mos(delay_ms, ratio + 0.01) <= here,
                    "{delay_ms} ms, {ratio}"
                );
            }
        }
        assert!(mos(400, 0.0) < mos(150, 0.0));
        assert!(mos(50, 0.01) < mos(50, 0.0));
    }

    #[test]
    fn a_long_hole_counts_less_than_as_much_in_many() {
        let ms = Duration::from_millis;
        let ratio = |concealed, holes| concealed_ratio(ms(concealed), holes, ms(20_000));
        assert_eq!(ratio(2_000, 1), 0.015);
        assert_eq!(ratio(2_000, 7), 0.1);
        assert_eq!(ratio(100, 10), 0.005);
        assert_eq!(ratio(0, 0), 0.0);
    }

    #[test]
    fn nonsense_is_the_worst_line_and_not_a_panic() {
        let worst = rate(CodecImpairment::NONE, Duration::MAX, 7.0);
        assert_eq!(worst, Rating { r: 0.0, mos: 1.0 });
        assert_eq!(mos(0, -1.0), mos(0, 0.0));
    }
}
