//! A bad line, described in words and played out on a virtual clock: when does what is handed over
//! arrive?
//!
//! In order, like everything on TCP: a packet never overtakes, and what a stall held back arrives at
//! its end, all at once. Nothing is lost. Pure and seeded: the same words are the same line for
//! ever, which is why the chance is our own and not a library's of today. Whichever thread asks.

use std::{f64::consts::TAU, fmt, str::FromStr, time::Duration};

use audio::codec::format::shortened;

/// The mean of a jittery line lies so many deviations above its quickest, so that only one delay in
/// 700 has to be clipped at zero and the deviation remains what was asked for.
const BASE_DEVIATIONS: f64 = 3.0;

const LONGEST_JITTER: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_secs(10);
const LONGEST_STALL: Duration = Duration::from_secs(600);
const LATEST_STALL: Duration = Duration::from_secs(24 * 3_600);
const MOST_PPM: f64 = 10_000.0;
/// The most stalls in one description.
const MOST_STALLS: usize = 1_000;

/// A span in which nothing arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stall {
    /// How long it lasts.
    pub length: Duration,
    /// When it begins.
    pub at: Duration,
}

/// What is wrong with a line and with the clocks at its ends. Read from and written as
/// `delay=20ms,jitter=15ms,stall=2s@10s,stall-every=300ms/5s,ppm=200,seed=7`, or `none`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Impairment {
    /// What each packet travels besides its jitter.
    pub delay: Duration,
    /// Standard deviation of a Gaussian delay, on top of three times as much.
    pub jitter: Duration,
    /// Stalls at certain times.
    pub stalls: Vec<Stall>,
    /// A stall of this length every such period; the first begins one period in.
    pub stall_every: Option<(Duration, Duration)>,
    /// The speaker's clock against the sender's, in parts per million: positive, the speaker wants
    /// more than is sent.
    pub ppm: f64,
    /// Another seed, another line of the same kind.
    pub seed: u64,
}

impl Impairment {
    /// The line, from its beginning.
    pub fn line(&self) -> ImpairedLine {
        ImpairedLine {
            chance: Chance(self.seed),
            newest: Duration::ZERO,
            impairment: self.clone(),
        }
    }

    /// The speaker's clock against the sender's, in parts per million.
    pub fn drift_ppm(&self) -> f64 {
        self.ppm
    }

    /// What a packet travels on average while nothing stalls.
    pub fn mean_delay(&self) -> Duration {
        self.delay + self.jitter.mul_f64(BASE_DEVIATIONS)
    }

    /// The end of the stall that this moment falls into.
    fn stalled_until(&self, at: Duration) -> Option<Duration> {
        let in_one = self
            .stalls
            .iter()
            .filter(|stall| at >= stall.at && at < stall.at + stall.length)
            .map(|stall| stall.at + stall.length)
            .max();
        let in_periodic = self.stall_every.and_then(|(length, period)| {
            let periods = at.as_nanos() / period.as_nanos().max(1);
            let into = Duration::from_nanos((at.as_nanos() % period.as_nanos().max(1)) as u64);
            (periods > 0 && into < length).then(|| at - into + length)
        });
        in_one.max(in_periodic)
    }
}

/// A line in use.
#[derive(Debug, Clone)]
pub struct ImpairedLine {
    impairment: Impairment,
    chance: Chance,
    /// Nothing arrives before what was handed over before it.
    newest: Duration,
}

impl ImpairedLine {
    /// When what is handed over at a time arrives. Times are given in order.
    pub fn arrival(&mut self, handed_over: Duration) -> Duration {
        let line = &self.impairment;
        let deviations = BASE_DEVIATIONS + self.chance.normal();
        let jitter = line.jitter.mul_f64(deviations.max(0.0));
        let mut arrival = (handed_over + line.delay + jitter).max(self.newest);
        // One stall may end within another.
        while let Some(end) = line.stalled_until(arrival) {
            arrival = end;
        }
        self.newest = arrival;
        arrival
    }
}

/// SplitMix64 (Steele, Lea and Flood, 2014): good enough for delays, and never changes.
#[derive(Debug, Clone)]
struct Chance(u64);

impl Chance {
    /// 0 to 1, without either.
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        ((mixed >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    /// Of mean 0 and deviation 1 (Box and Muller, 1958).
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        radius * (TAU * self.uniform()).cos()
    }
}

/// A description of a line that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImpairmentError {
    /// Not a word of ours.
    #[error(
        "unknown impairment `{0}`; accepted are none, delay=20ms, jitter=15ms, stall=2s@10s (a length at a time, may be given several times), stall-every=300ms/5s, ppm=200 and seed=7"
    )]
    Unknown(String),
    /// Its value cannot be read, or is out of range.
    #[error("`{word}` cannot be read; accepted is {accepted}")]
    Value {
        /// What was given.
        word: String,
        /// What could have been.
        accepted: &'static str,
    },
    /// Given twice.
    #[error("`{0}` is given twice; give it once (only stall may be repeated)")]
    Twice(&'static str),
    /// `none` beside something.
    #[error("`none` stands alone: no other impairment can be given beside it")]
    NoneAmongOthers,
    /// More stalls than anyone needs.
    #[error("too many stalls: accepted are up to 1000, or one stall-every=LENGTH/PERIOD")]
    TooManyStalls,
}

const DELAY: &str = "delay=TIME from 0 to 10 s, like delay=20ms";
const JITTER: &str = "jitter=TIME, a standard deviation from 0 to 1 s, like jitter=15ms";
const STALL: &str =
    "stall=LENGTH@TIME, up to 10 minutes long within the first 24 hours, like stall=2s@10s";
const STALL_EVERY: &str =
    "stall-every=LENGTH/PERIOD, a length shorter than its period, like stall-every=300ms/5s";
const PPM: &str = "ppm=NUMBER from -10000 to 10000, like ppm=200";
const SEED: &str = "seed=WHOLE NUMBER, like seed=7";

impl FromStr for Impairment {
    type Err = ImpairmentError;

    fn from_str(text: &str) -> Result<Self, ImpairmentError> {
        let mut impairment = Self::default();
        let mut seen: Vec<&'static str> = Vec::new();
        let mut once = |name: &'static str| {
            if seen.contains(&name) {
                return Err(ImpairmentError::Twice(name));
            }
            seen.push(name);
            Ok(())
        };
        if text.trim().eq_ignore_ascii_case("none") {
            return Ok(impairment);
        }
        for word in text.split(',').map(str::trim) {
            let unknown = || ImpairmentError::Unknown(shortened(word));
            if word.eq_ignore_ascii_case("none") {
                return Err(ImpairmentError::NoneAmongOthers);
            }
            let (name, value) = word.split_once('=').ok_or_else(unknown)?;
            let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
            let refused = |accepted| ImpairmentError::Value {
                word: shortened(word),
                accepted,
            };
            match name.as_str() {
                "delay" => {
                    once("delay")?;
                    impairment.delay =
                        time_up_to(value, LONGEST_DELAY).ok_or_else(|| refused(DELAY))?;
                }
                "jitter" => {
                    once("jitter")?;
                    impairment.jitter =
                        time_up_to(value, LONGEST_JITTER).ok_or_else(|| refused(JITTER))?;
                }
                "stall" => {
                    if impairment.stalls.len() == MOST_STALLS {
                        return Err(ImpairmentError::TooManyStalls);
                    }
                    let stall = stall(value).ok_or_else(|| refused(STALL))?;
                    impairment.stalls.push(stall);
                }
                "stall-every" => {
                    once("stall-every")?;
                    let every = stall_every(value).ok_or_else(|| refused(STALL_EVERY))?;
                    impairment.stall_every = Some(every);
                }
                "ppm" => {
                    once("ppm")?;
                    let ppm = value.parse().ok();
                    let ppm = ppm.filter(|ppm: &f64| ppm.abs() <= MOST_PPM);
                    impairment.ppm = ppm.ok_or_else(|| refused(PPM))?;
                }
                "seed" => {
                    once("seed")?;
                    impairment.seed = value.parse().map_err(|_| refused(SEED))?;
                }
                _ => return Err(unknown()),
            }
        }
        Ok(impairment)
    }
}

fn stall(value: &str) -> Option<Stall> {
    let (length, at) = value.split_once('@')?;
    Some(Stall {
        length: time_up_to(length, LONGEST_STALL)?,
        at: time_up_to(at, LATEST_STALL)?,
    })
}

fn stall_every(value: &str) -> Option<(Duration, Duration)> {
    let (length, period) = value.split_once('/')?;
    let length = time_up_to(length, LONGEST_STALL)?;
    let period = time_up_to(period, LATEST_STALL)?;
    (length < period).then_some((length, period))
}

/// Reads `15ms`, `2s` or `1.5s`.
fn time_up_to(text: &str, most: Duration) -> Option<Duration> {
    let text = text.trim();
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 1e-3),
        None => (text.strip_suffix('s')?, 1.0),
    };
    let seconds = number.trim().parse::<f64>().ok()? * unit;
    let time = Duration::try_from_secs_f64(seconds).ok()?;
    // To a microsecond, so that it is written as it was read.
    let time = Duration::from_micros((time.as_nanos() as u64 + 500) / 1_000);
    (time <= most).then_some(time)
}

/// The shortest of what [`time_up_to`] reads.
struct Time(Duration);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let us = self.0.as_micros();
        if us != 0 && us.is_multiple_of(1_000_000) {
            write!(f, "{}s", us / 1_000_000)
        } else {
            write!(f, "{}ms", us as f64 / 1e3)
        }
    }
}

impl fmt::Display for Impairment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::default() {
            return f.write_str("none");
        }
        let mut words = Vec::new();
        if !self.delay.is_zero() {
            words.push(format!("delay={}", Time(self.delay)));
        }
        if !self.jitter.is_zero() {
            words.push(format!("jitter={}", Time(self.jitter)));
        }
        for stall in &self.stalls {
            words.push(format!("stall={}@{}", Time(stall.length), Time(stall.at)));
        }
        if let Some((length, period)) = self.stall_every {
            words.push(format!("stall-every={}/{}", Time(length), Time(period)));
        }
        if self.ppm != 0.0 {
            words.push(format!("ppm={}", self.ppm));
        }
        if self.seed != 0 {
            words.push(format!("seed={}", self.seed));
        }
        f.write_str(&words.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn read(text: &str) -> Impairment {
        text.parse().unwrap()
    }

    /// Hand-over and arrival of a packet each 20 ms.
    fn travel(text: &str, seconds: u64) -> Vec<(Duration, Duration)> {
        let mut line = read(text).line();
        (0..seconds * 50)
            .map(|index| (ms(20 * index), line.arrival(ms(20 * index))))
            .collect()
    }

    #[test]
    fn what_is_written_is_what_was_read() {
        for text in [
            "none",
            "jitter=15ms",
            "stall=2s@10s",
            "jitter=15ms,stall=2s@10s,ppm=200,seed=7",
            "delay=20ms,jitter=1.5ms,stall=300ms@8s,stall=10s@20.5s,stall-every=300ms/5s,ppm=-0.5,seed=18446744073709551615",
        ] {
            assert_eq!(read(text).to_string().replace("20500ms", "20.5s"), text);
            assert_eq!(read(&read(text).to_string()), read(text));
        }
        assert_eq!(
            read(" Jitter = 15 ms , PPM=200 "),
            read("jitter=15ms,ppm=200")
        );
        assert_eq!(
            read("stall=1s@2s,stall=1s@5s").stalls,
            [
                Stall {
                    length: ms(1_000),
                    at: ms(2_000)
                },
                Stall {
                    length: ms(1_000),
                    at: ms(5_000)
                }
            ]
        );
    }

    #[test]
    fn what_cannot_be_read_is_named_with_what_can() {
        for (text, named, accepted) in [
            ("", "``", "jitter=15ms"),
            ("loss=3%", "loss=3%", "stall-every=300ms/5s"),
            ("jitter", "jitter", "jitter=15ms"),
            ("jitter=15", "jitter=15", "jitter=15ms"),
            ("jitter=-1ms", "jitter=-1ms", "from 0 to 1 s"),
            ("jitter=2s", "jitter=2s", "from 0 to 1 s"),
            ("jitter=NaNs", "jitter=NaNs", "from 0 to 1 s"),
            ("delay=1e300s", "delay=1e300s", "10 s"),
            ("stall=2s", "stall=2s", "stall=2s@10s"),
            ("stall=2s@", "stall=2s@", "stall=2s@10s"),
            (
                "stall-every=5s/5s",
                "stall-every=5s/5s",
                "shorter than its period",
            ),
            (
                "stall-every=0s/0s",
                "stall-every=0s/0s",
                "shorter than its period",
            ),
            ("ppm=inf", "ppm=inf", "-10000 to 10000"),
            ("ppm=NaN", "ppm=NaN", "-10000 to 10000"),
            ("seed=-1", "seed=-1", "seed=7"),
            ("ppm=1,ppm=2", "ppm", "once"),
            ("none,ppm=2", "none", "alone"),
        ] {
            let error = text.parse::<Impairment>().unwrap_err().to_string();
            assert!(error.contains(named), "{text}: {error}");
            assert!(error.contains(accepted), "{text}: {error}");
        }
        let many = vec!["stall=1s@1s"; 1_001].join(",");
        assert_eq!(
            many.parse::<Impairment>(),
            Err(ImpairmentError::TooManyStalls)
        );
        let long = "x".repeat(100_000).parse::<Impairment>().unwrap_err();
        assert!(long.to_string().len() < 500);
    }

    #[test]
    fn a_good_line_delivers_at_once_and_a_long_one_evenly() {
        assert!(travel("none", 10).iter().all(|(sent, came)| sent == came));
        let even = travel("delay=30ms,ppm=100,seed=9", 10);
        assert!(even.iter().all(|(sent, came)| *came == *sent + ms(30)));
    }

    #[test]
    fn jitter_has_the_deviation_asked_for_and_keeps_the_order() {
        for seed in 1..=3 {
            // So far apart that no packet waits for the one before it.
            let mut line = read(&format!("jitter=15ms,seed={seed}")).line();
            let delays: Vec<f64> = (0..20_000)
                .map(|index| {
                    let sent = ms(1_000 * index);
                    (line.arrival(sent) - sent).as_secs_f64() * 1e3
                })
                .collect();
            let mean = delays.iter().sum::<f64>() / delays.len() as f64;
            let variance = delays
                .iter()
                .map(|delay| (delay - mean).powi(2))
                .sum::<f64>()
                / delays.len() as f64;
            assert!((mean - 45.0).abs() < 0.5, "{mean}");
            assert!((variance.sqrt() - 15.0).abs() < 0.3, "{variance}");
            assert!(
                delays.iter().any(|&delay| delay > 85.0),
                "the tail is there"
            );
        }
        let close = travel("jitter=40ms,seed=1", 60);
        assert!(close.windows(2).all(|pair| pair[0].1 <= pair[1].1));
        assert!(close.windows(2).any(|pair| pair[0].1 == pair[1].1));
    }

    #[test]
    fn the_same_words_are_the_same_line_and_another_seed_is_another() {
        assert_eq!(
            travel("jitter=5ms,seed=7", 5),
            travel("jitter=5ms,seed=7", 5)
        );
        assert_ne!(
            travel("jitter=5ms,seed=7", 5),
            travel("jitter=5ms,seed=8", 5)
        );
        // For ever, on every machine: to a microsecond, which no rounding of a logarithm reaches.
        let first = travel("jitter=15ms,seed=7", 1)[0].1;
        assert_eq!(first.as_micros(), 65_474, "{first:?}");
    }

    #[test]
    fn a_stall_holds_everything_back_until_its_end() {
        for (sent, came) in travel("stall=2s@4s,stall=100ms@6s", 10) {
            let held = (ms(4_000)..ms(6_100)).contains(&sent);
            assert_eq!(came, if held { ms(6_100) } else { sent }, "{sent:?}");
        }
        for (sent, came) in travel("delay=30ms,stall=1s@4s", 10) {
            assert!(!(ms(4_000)..ms(5_000)).contains(&came), "{sent:?} {came:?}");
            assert_eq!(came, (sent + ms(30)).max(came));
        }
    }

    #[test]
    fn a_stall_comes_back_every_period() {
        for (sent, came) in travel("stall-every=300ms/5s", 60) {
            let into = Duration::from_millis(sent.as_millis() as u64 % 5_000);
            let held = sent >= ms(5_000) && into < ms(300);
            let expected = if held { sent - into + ms(300) } else { sent };
            assert_eq!(came, expected, "{sent:?}");
        }
    }
}
