//! The course of a call, second by second: what each cost in delay and concealment, and how a
//! listener would have judged it.
//!
//! Runs on the engine thread; pure, and bounded in memory however long the call. All stages are
//! means over the same sound with the same weight, so they add up to the mouth-to-ear delay.

use std::time::Duration;

use audio::{
    measure::e_model::{self, CodecImpairment},
    playout::JitterBufferStats,
};

use super::delay::Stages;

/// A second whose loudest sample stays below this (−60 dBFS) is silence.
const SILENCE: f32 = 0.001;

/// What is older says nothing of now.
const CURRENT_FOR: Duration = Duration::from_secs(3);

/// Seconds that are remembered one by one. When a call is longer, every other one is dropped and
/// from then on only each second, fourth ... is added.
const MAX_REMEMBERED: usize = 4_096;

/// Delay and judgement, now and over the call.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct CallStats {
    /// Of the newest one to two seconds with sound. `None` where that is some seconds ago, and while no
    /// peer has told its part.
    pub now: Option<Stages>,
    /// The same, however long ago.
    pub newest: Option<Stages>,
    /// The median second: as many seconds of the call had more delay as had less. One second and not
    /// a median for each stage, so that these add up as well.
    pub median: Option<Stages>,
    /// The total that 95 % of the seconds did not exceed, in microseconds.
    pub p95_us: Option<u32>,
    /// The total of the worst second, likewise.
    pub worst_us: Option<u32>,
    /// How the call was judged. `None` while there was nothing to judge: silence, or no sound at all.
    pub mos: Option<MosStats>,
}

/// Mean opinion scores by the E-model, 1 to 4.5.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MosStats {
    /// Of the newest whole second that was judged. `None` where that is some seconds ago.
    pub now: Option<f64>,
    /// The same, however long ago.
    pub newest: f64,
    /// Of the worst one.
    pub worst: f64,
    /// Of the whole call: the mean of its seconds, or less where its holes were many.
    pub mean: f64,
}

/// The newest piece of sound that was heard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Heard {
    /// Samples heard so far: tells a new piece from the one before.
    pub samples: u64,
    /// How late it was, mouth to ear, in microseconds.
    pub delay_us: u32,
}

/// What is remembered of a call.
#[derive(Debug, Default)]
pub struct CallStatsCollector {
    codec: CodecImpairment,
    newest: Heard,
    now: Duration,
    /// When something of known age was heard last, and when a second was judged.
    heard_at: Duration,
    judged_at: Duration,
    /// The loudest sample of the second.
    peak: f32,
    spoiled: bool,
    /// Which second `current` is of.
    second: u64,
    current: Sum,
    previous: Sum,
    /// Of the last sum that had any.
    last_known: Option<Stages>,
    /// Sorted by their totals.
    remembered: Vec<Stages>,
    /// One in so many seconds is remembered.
    stride: u64,
    known_seconds: u64,
    worst_us: u32,
    /// Where the jitter buffer's totals stood when the second began.
    heard_us: u64,
    missing_us: u64,
    judged: Judged,
    mos: Option<MosStats>,
}

/// What was judged so far.
#[derive(Debug, Clone, Copy, Default)]
struct Judged {
    heard_us: u64,
    /// What was concealed, and what was silent because a microphone was away: a listener does not ask
    /// whose fault a hole is.
    missing_us: u64,
    /// How often that began.
    holes: u64,
    seconds: u32,
    delay: Duration,
    mos_sum: f64,
}

/// Stages, weighted by how long they were heard.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    weight: u64,
    us: [u64; Stages::COUNT],
}

impl Judged {
    /// The worse of two: that of the mean delay and of all holes, which knows what many short ones do, and
    /// the mean of the seconds, which knows how long nothing was heard.
    fn mos(&self, codec: CodecImpairment) -> f64 {
        let seconds = self.seconds.max(1);
        let [missing, heard] = [self.missing_us, self.heard_us].map(Duration::from_micros);
        let missing = e_model::concealed_ratio(missing, self.holes, heard);
        let whole = e_model::rate(codec, self.delay / seconds, missing).mos;
        whole.min(self.mos_sum / f64::from(seconds))
    }
}

impl Sum {
    fn add(&mut self, stages: &Stages, weight: u64) {
        self.weight += weight;
        for (sum, us) in self.us.iter_mut().zip(stages.array()) {
            *sum += u64::from(us) * weight;
        }
    }

    fn with(mut self, other: &Self) -> Self {
        self.weight += other.weight;
        for (sum, us) in self.us.iter_mut().zip(other.us) {
            *sum += us;
        }
        self
    }

    fn mean(&self) -> Option<Stages> {
        let half = self.weight / 2;
        // A mean of u32 is one.
        let mean = |sum: u64| ((sum + half) / self.weight) as u32;
        (self.weight > 0).then(|| Stages::from_array(self.us.map(mean)))
    }
}

impl CallStatsCollector {
    /// For a call whose codec takes this much.
    pub fn new(codec: CodecImpairment) -> Self {
        Self {
            codec,
            ..Self::default()
        }
    }

    /// This is played: sound, concealment or silence.
    pub fn play(&mut self, samples: &[f32]) {
        self.peak = samples
            .iter()
            .fold(self.peak, |peak, sample| peak.max(sample.abs()));
    }

    /// This second says nothing of the call: what came was no sound, or is known to lack what nobody
    /// here has counted.
    pub fn spoil(&mut self) {
        self.spoiled = true;
    }

    /// Sound of this age is heard, `samples` of it.
    pub fn hear(&mut self, stages: &Stages, samples: usize) {
        self.newest = Heard {
            samples: self.newest.samples + samples as u64,
            delay_us: stages.total(),
        };
        self.heard_at = self.now;
        self.current.add(stages, samples as u64);
    }

    /// To be called more often than once a second, with the jitter buffer's figures.
    pub fn advance(&mut self, now: Duration, buffer: &JitterBufferStats) {
        self.now = now;
        let second = now.as_secs();
        if second > self.second {
            self.second = second;
            self.finish_second(buffer);
        }
    }

    /// What was heard last, if its age was known.
    pub fn newest(&self) -> Heard {
        self.newest
    }

    /// The figures of this moment.
    pub fn stats(&self) -> CallStats {
        let percentile = |percent: usize| {
            let rank = (self.remembered.len() * percent).div_ceil(100);
            self.remembered.get(rank.saturating_sub(1))
        };
        let newest = self.current.with(&self.previous).mean().or(self.last_known);
        CallStats {
            now: newest.filter(|_| self.is_current(self.heard_at)),
            newest,
            median: percentile(50).copied(),
            p95_us: percentile(95).map(Stages::total),
            worst_us: (self.known_seconds > 0).then_some(self.worst_us),
            mos: self.mos.map(|mos| MosStats {
                now: mos.now.filter(|_| self.is_current(self.judged_at)),
                ..mos
            }),
        }
    }

    fn is_current(&self, at: Duration) -> bool {
        self.now.saturating_sub(at) <= CURRENT_FOR
    }

    fn finish_second(&mut self, buffer: &JitterBufferStats) {
        let stages = self.current.mean();
        if let Some(stages) = stages {
            self.remember(stages);
            self.last_known = Some(stages);
        }
        self.judge(buffer);
        self.previous = std::mem::take(&mut self.current);
    }

    fn remember(&mut self, stages: Stages) {
        self.worst_us = self.worst_us.max(stages.total());
        self.stride = self.stride.max(1);
        if self.known_seconds.is_multiple_of(self.stride) {
            let place = self
                .remembered
                .partition_point(|other| other.total() <= stages.total());
            self.remembered.insert(place, stages);
        }
        self.known_seconds += 1;
        if self.remembered.len() >= MAX_REMEMBERED {
            let mut keep = false;
            self.remembered.retain(|_| {
                keep = !keep;
                keep
            });
            self.stride *= 2;
        }
    }

    /// A second in which nothing was due, or nothing but silence came, is not judged; one in which all
    /// was missing has the delay of the last that was heard.
    fn judge(&mut self, buffer: &JitterBufferStats) {
        // What was concealed can turn out to have been silence, also when it was counted already.
        let all_missing_us = buffer.concealed_us + buffer.absent_us;
        let all_us = buffer.played_us + all_missing_us;
        let heard_us = all_us.saturating_sub(self.heard_us);
        let missing_us = all_missing_us.saturating_sub(self.missing_us);
        self.heard_us = all_us;
        self.missing_us = all_missing_us;
        let spoiled = std::mem::take(&mut self.spoiled);
        let silent = std::mem::take(&mut self.peak) < SILENCE && missing_us < heard_us;
        let Some(stages) = self.last_known else {
            return;
        };
        if heard_us == 0 || silent || spoiled {
            return;
        }
        let delay = Duration::from_micros(u64::from(stages.total()));
        let mos = e_model::rate(self.codec, delay, missing_us as f64 / heard_us as f64).mos;
        self.judged.heard_us += heard_us;
        self.judged.missing_us += missing_us;
        self.judged.holes = buffer.concealment_events + buffer.absences;
        self.judged.seconds += 1;
        self.judged.mos_sum += mos;
        self.judged.delay += delay;
        self.judged_at = self.now;
        self.mos = Some(MosStats {
            now: Some(mos),
            newest: mos,
            worst: self.mos.map_or(mos, |before| before.worst.min(mos)),
            mean: self.judged.mos(self.codec),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stages(total_us: u32) -> Stages {
        Stages {
            framing: 10_000,
            jitter_buffer: total_us - 10_000,
            ..Stages::default()
        }
    }

    /// A call on its virtual clock.
    #[derive(Default)]
    struct Call {
        collector: CallStatsCollector,
        ms: u64,
        buffer: JitterBufferStats,
        level: f32,
    }

    fn speech(codec: CodecImpairment) -> Call {
        Call {
            collector: CallStatsCollector::new(codec),
            level: 0.1,
            ..Call::default()
        }
    }

    #[test]
    fn what_was_concealed_and_turns_out_to_have_been_silence_is_taken_back_at_any_time() {
        let mut call = speech(CodecImpairment::default());
        call.second(Some(40_000), 900);
        call.buffer.concealed_us -= 900_000;
        let stats = call.second(Some(40_000), 0);
        assert!(
            stats.mos.is_some_and(|mos| mos.newest > 4.0),
            "{:?}",
            stats.mos
        );
    }

    #[test]
    fn a_second_of_garbage_is_not_judged() {
        let mut call = speech(CodecImpairment::default());
        call.collector.spoil();
        assert_eq!(call.second(Some(40_000), 0).mos, None);
        assert!(call.second(Some(40_000), 0).mos.is_some());
    }

    impl Call {
        fn second(&mut self, heard: Option<u32>, concealed_ms: u64) -> CallStats {
            for ms in 0..1_000 {
                self.collector
                    .advance(Duration::from_millis(self.ms), &self.buffer);
                self.ms += 1;
                if ms < concealed_ms {
                    self.buffer.concealed_us += 1_000;
                } else if let Some(total_us) = heard {
                    self.collector.hear(&stages(total_us), 48);
                    self.collector.play(&[self.level]);
                    self.buffer.played_us += 1_000;
                }
            }
            self.collector
                .advance(Duration::from_millis(self.ms), &self.buffer);
            self.collector.stats()
        }
    }

    #[test]
    fn before_anything_was_heard_nothing_is_claimed() {
        let mut call = Call::default();
        assert_eq!(call.collector.stats(), CallStats::default());
        assert_eq!(call.second(None, 0), CallStats::default());
    }

    #[test]
    fn the_newest_figure_forgets_what_is_two_seconds_old() {
        let mut call = Call::default();
        for _ in 0..10 {
            call.second(Some(500_000), 0);
        }
        call.second(Some(50_000), 0);
        let figures = call.second(Some(50_000), 0);
        assert_eq!(figures.now, Some(stages(50_000)));
        assert_eq!(figures.median, Some(stages(500_000)));
        // And nothing is forgotten in a pause.
        assert_eq!(call.second(None, 0).now, Some(stages(50_000)));
        assert_eq!(call.second(None, 0).now, Some(stages(50_000)));
    }

    #[test]
    fn what_is_some_seconds_old_says_nothing_of_now() {
        let mut call = speech(CodecImpairment::NONE);
        let before = call.second(Some(50_000), 0);
        assert!(before.now.is_some() && before.now == before.newest);
        let mos = before.mos.unwrap();
        assert_eq!(mos.now, Some(mos.newest));
        for _ in 0..4 {
            call.second(None, 0);
        }
        let after = call.collector.stats();
        assert_eq!((after.now, after.newest), (None, before.newest));
        assert_eq!(after.mos, Some(MosStats { now: None, ..mos }));
        // Silence has a delay, and no quality.
        call.level = 0.0;
        let silent = call.second(Some(60_000), 0);
        assert_eq!(silent.now, Some(stages(60_000)));
        assert_eq!(silent.mos.and_then(|mos| mos.now), None);
    }

    #[test]
    fn the_median_is_a_second_and_adds_up() {
        let mut call = Call::default();
        for total_us in [90_000, 50_000, 60_000, 40_000, 70_000] {
            call.second(Some(total_us), 0);
        }
        let figures = call.collector.stats();
        assert_eq!(figures.median, Some(stages(60_000)));
        assert_eq!(figures.p95_us, Some(90_000));
        assert_eq!(figures.worst_us, Some(90_000));
    }

    #[test]
    fn a_long_call_is_remembered_in_little_room() {
        let mut collector = CallStatsCollector::default();
        let buffer = JitterBufferStats::default();
        for second in 0..100_000u32 {
            collector.advance(Duration::from_secs(u64::from(second)), &buffer);
            collector.hear(&stages(10_000 + second), 48_000);
        }
        assert!(collector.remembered.len() <= MAX_REMEMBERED);
        let median_us = collector.stats().median.unwrap().total();
        assert!(median_us.abs_diff(60_000) < 1_000, "{median_us}");
    }

    #[test]
    fn each_second_is_judged_by_its_own_delay_and_losses() {
        let mut call = speech(CodecImpairment::NONE);
        let good = call.second(Some(50_000), 0).mos.unwrap();
        assert!((good.newest - 4.41).abs() < 0.01, "{good:?}");
        let bad = call.second(Some(300_000), 50).mos.unwrap();
        assert!((bad.newest - 1.79).abs() < 0.01, "{bad:?}");
        call.buffer.concealment_events = 2;
        let lost = call.second(None, 1_000).mos.unwrap();
        assert!(lost.newest < 1.1 && lost.worst == lost.newest, "{lost:?}");
        let back = call.second(Some(50_000), 0).mos.unwrap();
        assert_eq!((back.newest, back.worst), (good.newest, lost.worst));
        // Two holes of 300 ms, as far as they count, in four seconds.
        let whole = e_model::rate(CodecImpairment::NONE, Duration::from_millis(175), 0.15);
        assert!((back.mean - whole.mos).abs() < 1e-9, "{back:?}");
        // Nobody spoke: no second of the call.
        assert_eq!(call.second(None, 0).mos, Some(back));
    }

    #[test]
    fn a_hole_is_one_whoever_made_it_and_a_pause_is_none() {
        let mut concealed = speech(CodecImpairment::NONE);
        let mut absent = speech(CodecImpairment::NONE);
        for call in [&mut concealed, &mut absent] {
            call.second(Some(50_000), 0);
        }
        concealed.buffer.concealed_us += 1_000_000;
        concealed.buffer.concealment_events += 1;
        absent.buffer.absent_us += 1_000_000;
        absent.buffer.absences += 1;
        let by_line = concealed.second(None, 0).mos.unwrap();
        let by_device = absent.second(None, 0).mos.unwrap();
        assert_eq!(by_device, by_line);
        assert!(by_device.newest < 1.2, "{by_device:?}");
        assert_eq!(absent.second(None, 0).mos, Some(by_device));
    }

    #[test]
    fn many_short_holes_are_worse_than_the_mean_of_their_seconds() {
        let mut call = speech(CodecImpairment::NONE);
        for second in 0..20 {
            let concealed_ms = if second % 5 == 4 { 250 } else { 0 };
            call.buffer.concealment_events += u64::from(concealed_ms > 0);
            call.second(Some(50_000), concealed_ms);
        }
        let mos = call.collector.stats().mos.unwrap();
        assert!((2.0..3.0).contains(&mos.mean), "{mos:?}");
        assert!(mos.worst < 1.5 && mos.newest < 1.5, "{mos:?}");
    }

    #[test]
    fn the_codec_is_in_the_judgement_and_silence_is_not_judged() {
        let narrow = CodecImpairment::of(audio::Format::parse("pcmu", 8_000, 1).unwrap(), 64_000);
        let mut call = speech(narrow);
        let mos = call.second(Some(50_000), 0).mos.unwrap();
        assert!((mos.newest - 2.93).abs() < 0.05, "{mos:?}");
        call.level = 0.000_5;
        assert_eq!(call.second(Some(900_000), 0).mos, Some(mos));
        let mut silent = Call::default();
        assert_eq!(silent.second(Some(50_000), 0).mos, None);
        assert_eq!(silent.second(Some(50_000), 20).mos, None);
    }
}
