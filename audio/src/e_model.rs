//! What a listener would say of a line, from its delay and its losses: the E-model. Pure.
//!
//! ITU-T G.107.2 (the fullband E-model), reduced to the two things that a call over a network
//! changes; everything else is at the recommendation's defaults (no side tone trouble, no noise, no
//! residual echo). A planning model: it says how a line of these figures is judged on average, not
//! how this sentence sounded.

use std::time::Duration;

/// R of a fullband line without any impairment (G.107.2: Ro).
const R_BEST: f64 = 148.0;

/// Equipment impairment of the codec without loss, and its robustness against loss: the fullband
/// figures of a codec with concealment, which Opus at our bitrates is.
const IE: f64 = 10.2;
const BPL: f64 = 4.3;

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

/// Rates a line of this mouth-to-ear `delay` on which this part of the playing time (0 to 1) was
/// concealed. Concealed time stands for the model's random packet loss: a frame that was concealed is
/// one that was not heard, whether it was lost or late.
pub fn rate(delay: Duration, concealed_ratio: f64) -> Rating {
    let r = (R_BEST - delay_impairment(delay) - equipment_impairment(concealed_ratio)).max(0.0);
    Rating {
        r,
        mos: mean_opinion_score(r),
    }
}

/// Ie,eff of G.107.2 for random loss.
fn equipment_impairment(concealed_ratio: f64) -> f64 {
    let percent = concealed_ratio.clamp(0.0, 1.0) * 100.0;
    IE + (IE_MOST - IE) * percent / (percent + BPL)
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
        rate(Duration::from_millis(delay_ms), concealed_ratio).mos
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
        let best = rate(Duration::ZERO, 0.0);
        assert!((best.r - 137.8).abs() < 1e-9, "{best:?}");
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
    fn nonsense_is_the_worst_line_and_not_a_panic() {
        assert_eq!(rate(Duration::MAX, 7.0), Rating { r: 0.0, mos: 1.0 });
        assert_eq!(mos(0, -1.0), mos(0, 0.0));
    }
}
