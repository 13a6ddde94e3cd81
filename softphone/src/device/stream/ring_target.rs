//! How full the speaker's ring must be, and when: as late as is safe.
//!
//! A device takes its samples in steps: 480 every 10 ms, say. Keeping a full step in the ring at
//! all times would cost a step of delay for nothing; writing the step just before it is taken costs
//! only the margin. The devices' clock is found from their callbacks: the earliest that the n-th
//! sample was ever taken, lately, is when it may be taken again.
//!
//! Pure: times and counts in, a count out.

use std::time::Duration;

/// Margin before an expected callback: for the start, and its bounds.
const MARGIN_START: Duration = Duration::from_millis(3);
const MIN_MARGIN: Duration = Duration::from_millis(2);
const MAX_MARGIN: Duration = Duration::from_millis(20);
/// Each underrun makes the margin longer by this …
const MARGIN_STEP: Duration = Duration::from_millis(2);
/// … and each such time without one makes it shorter by a quarter of that: late, but for what one that
/// came alone has added. Machines have bad moments that no margin would have met.
const PATIENCE_ALONE: Duration = Duration::from_millis(1_250);
const PATIENCE: Duration = Duration::from_secs(20);
/// Underruns within this of each other recur.
const RECURRING: Duration = Duration::from_secs(20);

/// Underruns closer together than this are one: an engine that stood still for 60 ms misses six
/// callbacks, and no margin would have helped.
const ONE_EVENT: Duration = Duration::from_millis(100);

/// How long an early callback is remembered: twice this at most. Shorter at first, because a device
/// fills its own buffer in one go when it starts.
const WINDOW: Duration = Duration::from_secs(1);
const FIRST_WINDOW: Duration = Duration::from_millis(100);
/// What a device takes a sample at a time is written in pieces of a millisecond.
const PIECES_PER_S: f64 = 1_000.0;

/// Samples for the rounding of the line: a hair's breadth.
const ROUNDING: f64 = 0.1;

/// A callback later than this against the line is a device that stood still: a new line begins.
const STALL: f64 = 0.08;

/// Decides how much to write into a speaker's ring.
#[derive(Debug)]
pub(crate) struct RingTarget {
    rate_hz: f64,
    steps: Steps,
    lead: Lead,
    lateness: Lateness,
    taken: u64,
    margin: Duration,
    margin_since: Duration,
    patience: Duration,
    /// How often it became shorter since the last underrun.
    given_back: u32,
    underrun: Option<Duration>,
}

impl RingTarget {
    /// `step`: samples per channel that the device is expected to take at a time.
    pub(crate) fn new(rate_hz: u32, step: u32) -> Self {
        Self {
            rate_hz: f64::from(rate_hz.max(1)),
            steps: Steps::new(step.max(1)),
            lead: Lead::default(),
            lateness: Lateness::default(),
            taken: 0,
            margin: MARGIN_START,
            margin_since: Duration::ZERO,
            patience: PATIENCE,
            given_back: 0,
            underrun: None,
        }
    }

    /// The device took `step` samples at `at`, and `taken` altogether.
    pub(crate) fn on_callback(&mut self, at: Duration, taken: u64, step: u32) {
        self.taken = taken;
        self.steps.observe(step);
        self.lead
            .observe(at, taken as f64 / self.rate_hz - at.as_secs_f64());
    }

    /// A callback found too little.
    pub(crate) fn on_underrun(&mut self, now: Duration) {
        let before = self.underrun.replace(now);
        let is_within = |time| before.is_some_and(|before| now.saturating_sub(before) < time);
        if is_within(ONE_EVENT) {
            // They may go on like this: nothing is quiet yet.
            self.margin_since = now;
            return;
        }
        self.given_back = 0;
        self.patience = match is_within(RECURRING) {
            true => PATIENCE,
            false => PATIENCE_ALONE,
        };
        self.margin = (self.margin + MARGIN_STEP).min(MAX_MARGIN);
        self.margin_since = now;
    }

    /// Samples per channel to write now. `put`: what was put until now, so that `put` less what the
    /// device took lies in the ring.
    pub(crate) fn wanted(&mut self, now: Duration, put: u64) -> usize {
        if now.saturating_sub(self.margin_since) >= self.patience {
            self.margin = self.margin.saturating_sub(MARGIN_STEP / 4).max(MIN_MARGIN);
            self.margin_since = now;
            self.given_back += 1;
            if self.given_back == 4 {
                self.patience = PATIENCE;
            }
        }
        let needed = self.taken + self.may_be_taken(now + self.ahead());
        usize::try_from(needed.saturating_sub(put)).unwrap_or(0)
    }

    /// When the next samples are to be written, if no callback comes before; `None` if only a
    /// callback can make room.
    pub(crate) fn due(&self, put: u64) -> Option<Duration> {
        let lead_s = self.lead.greatest()?;
        let grain = u64::from(self.steps.grain());
        let piece = grain.max((self.rate_hz / PIECES_PER_S) as u64);
        let whole = (put.saturating_sub(self.taken) + piece) / grain * grain;
        let most = 2 * u64::from(self.steps.largest());
        let line = (self.taken + whole) as f64 - ROUNDING;
        let taken_at = line / self.rate_hz - lead_s - self.ahead().as_secs_f64();
        (whole <= most).then(|| Duration::from_secs_f64(taken_at.max(0.0)))
    }

    /// The engine looks; before that, samples were to be written at `due`.
    pub(crate) fn on_look(&mut self, now: Duration, due: Duration) {
        if let Some(late) = now.checked_sub(due) {
            self.lateness.observe(late);
        }
    }

    /// How long before the device may take samples they are written.
    pub(crate) fn ahead(&self) -> Duration {
        self.lateness.allowed() + self.margin
    }

    /// The margin, for the statistics.
    pub(crate) fn margin(&self) -> Duration {
        self.margin
    }

    /// Samples per channel that the device may take from now until `until`.
    fn may_be_taken(&self, until: Duration) -> u64 {
        let most = 2 * u64::from(self.steps.largest());
        let Some(lead_s) = self.lead.greatest() else {
            // Nothing was taken yet: the first step, and be it early.
            return u64::from(self.steps.largest());
        };
        let line = (until.as_secs_f64() + lead_s) * self.rate_hz;
        let ahead = (line - self.taken as f64).max(0.0);
        let grain = u64::from(self.steps.grain());
        let whole_steps = (ahead + ROUNDING) as u64 / grain * grain;
        whole_steps.min(most)
    }
}

/// The sizes in which the device takes samples.
#[derive(Debug)]
struct Steps {
    recent: [u32; 16],
    next: usize,
}

impl Steps {
    fn new(expected: u32) -> Self {
        Self {
            recent: [expected; 16],
            next: 0,
        }
    }

    fn observe(&mut self, step: u32) {
        if step > 0 {
            self.recent[self.next] = step;
            self.next = (self.next + 1) % self.recent.len();
        }
    }

    fn largest(&self) -> u32 {
        self.recent.iter().copied().max().unwrap_or(1)
    }

    /// The size that all recent steps are multiples of; 1 if there is none.
    fn grain(&self) -> u32 {
        let least = self.recent.iter().copied().min().unwrap_or(1);
        if self.recent.iter().all(|step| step % least == 0) {
            least
        } else {
            1
        }
    }
}

/// How far the device was ahead of the clock at most, lately: a maximum over one to two windows.
#[derive(Debug, Default)]
struct Lead {
    before_s: Option<f64>,
    current_s: Option<f64>,
    begun: Duration,
    turn: Duration,
}

impl Lead {
    fn observe(&mut self, at: Duration, lead_s: f64) {
        if self
            .greatest()
            .is_some_and(|greatest| greatest - lead_s > STALL)
        {
            *self = Self {
                begun: at,
                turn: at,
                ..Self::default()
            };
        }
        let window = (at.saturating_sub(self.begun) / 2).clamp(FIRST_WINDOW, WINDOW);
        if at.saturating_sub(self.turn) >= window {
            self.before_s = self.current_s.take();
            self.turn = at;
        }
        self.current_s = Some(self.current_s.map_or(lead_s, |current| current.max(lead_s)));
    }

    fn greatest(&self) -> Option<f64> {
        match (self.before_s, self.current_s) {
            (Some(before), Some(current)) => Some(before.max(current)),
            (one, other) => one.or(other),
        }
    }
}

/// How late the engine looks after it should have: nine of ten looks are less late than this. The
/// tenth is the margin's business.
#[derive(Debug)]
struct Lateness {
    allowed_s: f64,
}

impl Default for Lateness {
    fn default() -> Self {
        Self { allowed_s: 0.003 }
    }
}

impl Lateness {
    const STEP_S: f64 = 0.000_1;
    const MOST_S: f64 = 0.01;

    fn observe(&mut self, late: Duration) {
        let late_s = late.as_secs_f64();
        let news = if late_s > self.allowed_s { 0.9 } else { -0.1 };
        self.allowed_s = (self.allowed_s + news * Self::STEP_S).clamp(0.0, Self::MOST_S);
    }

    fn allowed(&self) -> Duration {
        Duration::from_secs_f64(self.allowed_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A device and an engine on a virtual clock of 0.1 ms.
    struct Rig {
        target: RingTarget,
        tick: u64,
        put: u64,
        taken: u64,
        missing: u64,
        underruns: u64,
        /// Samples times the ticks they lay in the ring, for the mean delay.
        waited: u64,
    }

    impl Rig {
        fn new(step: u32) -> Self {
            Self {
                target: RingTarget::new(48_000, step),
                tick: 0,
                put: 0,
                taken: 0,
                missing: 0,
                underruns: 0,
                waited: 0,
            }
        }

        /// `calls(tick)`: how many samples the device takes in this tick; `is_awake(tick)`: whether
        /// the engine may look, which it does when samples are due and every 2 ms. It writes whole
        /// frames of `frame`.
        fn run(
            &mut self,
            ticks: u64,
            frame: u64,
            mut calls: impl FnMut(u64) -> u32,
            mut is_awake: impl FnMut(u64) -> bool,
        ) {
            for _ in 0..ticks {
                let now = Duration::from_micros(self.tick * 100);
                let step = calls(self.tick);
                if step > 0 {
                    let queued = self.put - self.taken;
                    let lacking = u64::from(step).saturating_sub(queued);
                    let started = self.put > 0;
                    self.put += lacking; // silence takes the place
                    self.taken += u64::from(step);
                    self.target.on_callback(now, self.taken, step);
                    if lacking > 0 && started {
                        self.missing += lacking;
                        self.underruns += 1;
                        self.target.on_underrun(now);
                    }
                }
                let due = self.target.due(self.put);
                let is_due = due.is_some_and(|due| now >= due);
                if is_awake(self.tick) && (is_due || self.tick.is_multiple_of(20)) {
                    if let Some(due) = due {
                        self.target.on_look(now, due);
                    }
                    while self.target.wanted(now, self.put) > 0 {
                        self.put += frame;
                    }
                }
                self.waited += self.put - self.taken;
                self.tick += 1;
            }
        }

        fn reset_counts(&mut self) {
            (self.missing, self.underruns, self.waited) = (0, 0, 0);
        }

        fn mean_ring_ms(&self, ticks: u64) -> f64 {
            self.waited as f64 / ticks as f64 / 48.0
        }
    }

    #[test]
    fn a_regular_device_never_runs_dry_and_waits_for_little_more_than_the_margin() {
        let mut rig = Rig::new(480);
        rig.run(
            20_000,
            480,
            |t| if t.is_multiple_of(100) { 480 } else { 0 },
            |_| true,
        );
        rig.reset_counts();
        rig.run(
            100_000,
            480,
            |t| if t.is_multiple_of(100) { 480 } else { 0 },
            |_| true,
        );
        assert_eq!(rig.missing, 0);
        // Between 3 and 5 ms before its callback, a frame of 10 ms is put: 40 % of the time there
        // are 10 ms in the ring. Filled at once it would be 10 ms all the time.
        let mean = rig.mean_ring_ms(100_000);
        assert!((2.0..6.0).contains(&mean), "{mean} ms in the ring");
    }

    #[test]
    fn pairs_of_callbacks_as_alsa_over_pulse_makes_them_are_foreseen() {
        // 320 samples, sometimes two at once: 960 every 20 ms.
        let calls = |t: u64| match t % 200 {
            0 => 640,
            100 => 320,
            _ => 0,
        };
        let mut rig = Rig::new(320);
        rig.run(20_000, 480, calls, |_| true);
        rig.reset_counts();
        rig.run(100_000, 480, calls, |_| true);
        assert_eq!(rig.missing, 0);
    }

    #[test]
    fn a_device_faster_or_slower_by_200_ppm_is_followed_for_an_hour() {
        for ppm in [-200_i64, 200] {
            // Callbacks every 10 ms ∓ 2 µs: one tick more or less in 50 callbacks.
            let period = |n: u64| (n as i128 * 100_000 - n as i128 * i128::from(ppm) / 10) / 1000;
            let mut n = 0;
            let mut rig = Rig::new(480);
            let mut calls = |t: u64| {
                if i128::from(t) >= period(n) {
                    n += 1;
                    480
                } else {
                    0
                }
            };
            rig.run(20_000, 480, &mut calls, |_| true);
            rig.reset_counts();
            rig.run(3_600_000, 480, &mut calls, |_| true);
            assert_eq!(rig.missing, 0, "{ppm} ppm");
            let mean = rig.mean_ring_ms(3_600_000);
            assert!(mean < 7.0, "{ppm} ppm: {mean} ms in the ring");
        }
    }

    #[test]
    fn late_callbacks_cost_nothing_and_early_ones_are_learnt() {
        // Each callback up to 4 ms late, in an order that repeats after 7.
        let late = [0_u64, 40, 10, 30, 0, 20, 35];
        let calls = |t: u64| {
            let n = t / 100;
            if t % 100 == late[n as usize % 7] {
                480
            } else {
                0
            }
        };
        let mut rig = Rig::new(480);
        rig.run(40_000, 480, calls, |_| true);
        rig.reset_counts();
        rig.run(100_000, 480, calls, |_| true);
        assert_eq!(rig.missing, 0);
    }

    #[test]
    fn an_engine_that_oversleeps_pays_with_margin_until_it_fits() {
        // For 12 ms in each half second.
        let is_awake = |t: u64| t % 5_000 >= 120;
        let calls = |t: u64| if t.is_multiple_of(97) { 466 } else { 0 };
        let mut rig = Rig::new(466);
        rig.run(100_000, 466, calls, is_awake);
        assert!(rig.underruns > 0, "the rig does not trouble the target");
        let learnt = rig.target.margin();
        assert!(learnt > MARGIN_START);
        rig.reset_counts();
        rig.run(100_000, 466, calls, is_awake);
        assert!(
            rig.underruns <= 1,
            "{} underruns after learning",
            rig.underruns
        );
        assert!(rig.target.margin() <= MAX_MARGIN);
    }

    #[test]
    fn a_row_of_underruns_is_one_event() {
        let mut target = RingTarget::new(48_000, 480);
        for ms in [1_000, 1_010, 1_020, 1_030, 1_040] {
            target.on_underrun(Duration::from_millis(ms));
        }
        assert_eq!(target.margin(), MARGIN_START + MARGIN_STEP);
    }

    #[test]
    fn an_underrun_that_comes_alone_is_forgotten_after_five_seconds() {
        let mut target = RingTarget::new(48_000, 480);
        for minute in 0..20 {
            let begun = Duration::from_secs(60 * minute);
            let before = target.margin();
            target.on_underrun(begun);
            assert_eq!(target.margin(), before + MARGIN_STEP);
            for ms in (0..=15_000).step_by(10) {
                target.wanted(begun + Duration::from_millis(ms), u64::MAX);
                if ms == 5_000 {
                    assert_eq!(target.margin(), before);
                }
            }
            assert_eq!(target.margin(), before, "and no more than it had added");
            if minute == 0 {
                // What recurs is not forgotten for one that comes alone.
                for second in [16, 21, 26] {
                    target.on_underrun(Duration::from_secs(second));
                }
            }
        }
    }

    #[test]
    fn the_margin_shrinks_again_when_all_is_quiet() {
        let mut target = RingTarget::new(48_000, 480);
        for second in 0..20 {
            target.on_underrun(Duration::from_secs(second));
        }
        assert_eq!(target.margin(), MAX_MARGIN);
        for second in 20..=99 {
            target.wanted(Duration::from_secs(second), u64::MAX);
        }
        assert_eq!(target.margin(), MAX_MARGIN - MARGIN_STEP);
        for second in 100..10_000 {
            target.wanted(Duration::from_secs(second), u64::MAX);
        }
        assert_eq!(target.margin(), MIN_MARGIN);
    }

    #[test]
    fn a_device_that_stands_still_is_not_fed_without_end_and_starts_a_new_line() {
        let mut rig = Rig::new(480);
        // 2 s of life, 300 ms of nothing, life again.
        let calls = |t: u64| {
            if t.is_multiple_of(100) && !(20_000..23_000).contains(&t) {
                480
            } else {
                0
            }
        };
        rig.run(22_999, 480, calls, |_| true);
        assert!(
            rig.put - rig.taken <= 3 * 480,
            "{} queued",
            rig.put - rig.taken
        );
        rig.run(10_000, 480, calls, |_| true);
        rig.reset_counts();
        rig.run(10_000, 480, calls, |_| true);
        assert_eq!(rig.missing, 0);
        assert!(rig.mean_ring_ms(10_000) < 6.0);
    }
}
