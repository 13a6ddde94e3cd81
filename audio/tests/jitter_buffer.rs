//! The jitter buffer on a virtual clock: simulated lines, judged by what is heard and how late.

// Clippy lets tests unwrap, but not the functions that they share.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use audio::{
    Codec, Encoder, Format, Gap, JitterBuffer, JitterBufferStats, Packet, Playout, Tone,
    ToneDetector, ToneReport,
};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A seeded source of chance: a linear congruence, of which the upper bits are used.
struct Chance(u64);

impl Chance {
    fn uniform(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Of mean 0 and deviation 1, by the sum of twelve.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }
}

/// A far end that speaks, a line, and a speaker with a clock of its own.
struct Line {
    format: Format,
    buffer: JitterBuffer,
    packet: usize,
    pull: usize,
    /// Pulls in a row, as a device with a larger period makes them.
    pulls_at_once: usize,
    /// The speaker's clock against the sender's.
    drift_ppm: f64,
    /// How late a packet handed over at a time arrives. The stream keeps the order.
    lateness: Box<dyn FnMut(Duration) -> Duration>,
    /// What happens to a packet handed over at a time: sent, dropped as late, or muted.
    fate: Box<dyn FnMut(Duration) -> Gap>,
    /// That the microphone is muted or away is told when it begins.
    announces: bool,
}

/// What came of it.
struct Heard {
    samples: Vec<f32>,
    /// Time, and by how much what is played then is older than its packet.
    delays: Vec<(Duration, f64)>,
    playouts: Vec<Playout>,
    stats: JitterBufferStats,
    tone: ToneReport,
}

impl Heard {
    fn delay_at(&self, at: Duration) -> f64 {
        let near = self
            .delays
            .iter()
            .filter(|(time, _)| time.abs_diff(at) <= ms(10));
        let (sum, count) = near.fold((0.0, 0), |(sum, count), (_, delay)| {
            (sum + delay, count + 1)
        });
        sum / f64::from(count)
    }

    fn mean_delay(&self, from: Duration, to: Duration) -> f64 {
        let part: Vec<f64> = self
            .delays
            .iter()
            .filter(|(t, _)| (from..to).contains(t))
            .map(|d| d.1)
            .collect();
        part.iter().sum::<f64>() / part.len() as f64
    }

    fn most_delay(&self, from: Duration, to: Duration) -> f64 {
        let part = self.delays.iter().filter(|(t, _)| (from..to).contains(t));
        part.fold(0.0, |most, (_, delay)| delay.max(most))
    }

    fn largest_step(&self) -> f32 {
        self.samples
            .windows(2)
            .fold(0.0, |step, w| step.max((w[1] - w[0]).abs()))
    }
}

const TONE_HZ: f32 = 440.0;

/// Something like a voice: a buzz whose pitch wanders, in syllables with pauses between.
fn voice(rate: u32, seconds: usize) -> Vec<f32> {
    let mut phase = 0.0f32;
    (0..rate as usize * seconds)
        .map(|n| {
            let t = n as f32 / rate as f32;
            phase += (130.0 + 30.0 * (t * 2.1).sin()) / rate as f32;
            let buzz: f32 = (1..8)
                .map(|k| (phase.fract() * std::f32::consts::TAU * k as f32).sin() / k as f32)
                .sum();
            0.2 * buzz * ((t * 9.0).sin() + 0.3).max(0.0)
        })
        .collect()
}

impl Line {
    fn new(format: Format, packet_ms: u64, pull: usize) -> Self {
        Self {
            format,
            buffer: JitterBuffer::new(format).unwrap(),
            packet: format.samples_in(ms(packet_ms)),
            pull,
            pulls_at_once: 1,
            drift_ppm: 0.0,
            lateness: Box::new(|_| Duration::ZERO),
            fate: Box::new(|_| Gap::None),
            announces: true,
        }
    }

    fn run(self, duration: Duration) -> Heard {
        let mut tone = Tone::new(TONE_HZ, -12.0, self.format.sample_rate_hz());
        self.run_with(duration, move |samples| tone.fill(samples))
    }

    fn run_with(mut self, duration: Duration, mut source: impl FnMut(&mut [f32])) -> Heard {
        let (format, channels) = (self.format, self.format.channels());
        let rate = f64::from(format.sample_rate_hz());
        let mut encoder = Encoder::new(format, 32_000).unwrap();
        let mut ear = ToneDetector::new(TONE_HZ, format.sample_rate_hz());
        let mut heard = Heard {
            samples: Vec::new(),
            delays: Vec::new(),
            playouts: Vec::new(),
            stats: JitterBufferStats::default(),
            tone: ear.report(),
        };
        let mut mono = vec![0.0; self.packet];
        let (mut sent, mut gap, mut newest_arrival) = (0, Gap::None, Duration::ZERO);
        let mut under_way = std::collections::VecDeque::new();
        let mut received_end = None;
        // The speaker's period does not begin with the sender's.
        let mut now = Duration::from_micros(3_300);
        while now < duration {
            while format.duration_of(sent + self.packet) <= now {
                let handed_over = format.duration_of(sent + self.packet);
                source(&mut mono);
                let mut payload = Vec::new();
                let frame: Vec<f32> = mono.iter().flat_map(|&s| vec![s; channels]).collect();
                encoder.encode(&frame, &mut payload).unwrap();
                let fate = (self.fate)(handed_over);
                let arrival = (handed_over + (self.lateness)(handed_over)).max(newest_arrival);
                if fate == Gap::None {
                    newest_arrival = arrival;
                    under_way.push_back((arrival, sent as u64, std::mem::take(&mut gap), payload));
                } else {
                    let is_announced = matches!(fate, Gap::Muted | Gap::Device) && self.announces;
                    if gap == Gap::None && is_announced {
                        under_way.push_back((arrival, sent as u64, fate, Vec::new()));
                    }
                    gap = fate;
                }
                sent += self.packet;
            }
            while under_way
                .front()
                .is_some_and(|(arrival, ..)| *arrival <= now)
            {
                let (arrival, media_time, gap, payload) = under_way.pop_front().unwrap();
                self.buffer.insert(
                    Packet {
                        media_time,
                        gap,
                        payload: &payload,
                    },
                    arrival,
                );
                if !payload.is_empty() {
                    received_end = Some(media_time as f64 + self.packet as f64);
                }
            }
            let mut out = vec![f32::NAN; self.pull * channels];
            heard.playouts.push(self.buffer.pull(&mut out, now));
            assert!(out.iter().all(|s| s.is_finite()), "not all was filled");
            let left: Vec<f32> = out.chunks(channels).map(|c| c[0]).collect();
            ear.push(&left);
            heard.samples.extend(left);
            if let Some(end) = received_end {
                let waiting = self.buffer.stats().depth_us as f64 * rate / 1e6;
                let head = end - waiting - self.pull as f64;
                let age_ms = now.as_secs_f64() * 1e3 - head / rate * 1e3;
                heard
                    .delays
                    .push((now, age_ms - self.packet as f64 / rate * 1e3));
            }
            let period = self.pull as f64 / rate / (1.0 + self.drift_ppm * 1e-6);
            if heard.playouts.len().is_multiple_of(self.pulls_at_once) {
                now += Duration::from_secs_f64(period * self.pulls_at_once as f64);
            }
        }
        heard.stats = self.buffer.stats();
        heard.tone = ear.report();
        heard
    }
}

fn pcm(name: &str, rate: i32, channels: i32) -> Format {
    Format::parse(name, rate, channels).unwrap()
}

#[test]
fn a_steady_line_is_heard_whole_and_soon() {
    let opus = Format::OPUS_48K_MONO;
    let formats = [
        opus,
        pcm("opus", 48_000, 2),
        pcm("pcm", 44_100, 1),
        pcm("pcm", 48_000, 2),
        pcm("pcmu", 8_000, 1),
        pcm("pcma", 8_000, 1),
    ];
    for format in formats {
        for packet_ms in [5, 10, 20] {
            let ms_samples = format.sample_rate_hz() as usize / 1_000;
            for pull in [
                10 * ms_samples,
                5 * ms_samples,
                10 * ms_samples / 4,
                7 * ms_samples + 3,
            ] {
                let heard = Line::new(format, packet_ms, pull).run(ms(4_000));
                let delay = heard.mean_delay(ms(2_000), ms(4_000));
                let case = format!("{format} {packet_ms} ms, pull {pull}: {delay:.1} ms");
                let pull_ms = pull as f64 / ms_samples as f64;
                println!(
                    "{case}, depth {} target {}",
                    heard.stats.depth_us, heard.stats.target_us
                );
                assert_eq!(heard.stats.concealed_us, 0, "{case}");
                assert!(delay < pull_ms + 8.0, "{case}");
                assert_eq!(heard.tone.missing_ms, 0.0, "{case} {:?}", heard.tone);
                assert_eq!(heard.tone.clicks, 0, "{case} {:?}", heard.tone);
                assert!((heard.tone.frequency_hz - TONE_HZ).abs() < 0.5, "{case}");
                assert!((heard.tone.level_dbfs + 12.0).abs() < 1.0, "{case}");
                assert!(
                    heard.stats.cut_us + heard.stats.inserted_us < 60_000,
                    "{case} {:?}",
                    heard.stats
                );
            }
        }
    }
}

#[test]
fn where_nothing_jitters_no_more_waits_than_the_next_pull_takes() {
    for pull_ms in [10, 20] {
        let pull = 48 * pull_ms;
        let heard = Line::new(Format::OPUS_48K_MONO, 20, pull).run(ms(20_000));
        let delay = heard.mean_delay(ms(10_000), ms(20_000));
        println!("pulls of {pull_ms} ms: {delay:.1} ms, {:?}", heard.stats);
        // A pull comes 3.3 ms after each packet; what is less than a period is the resampler's.
        assert!((3.3..8.0).contains(&delay), "{pull_ms}: {delay}");
        assert_eq!(heard.stats.concealed_us, 0, "{:?}", heard.stats);
        assert_eq!(heard.tone.clicks, 0, "{:?}", heard.tone);
    }
}

#[test]
fn pulls_that_glide_past_the_arrivals_never_find_nothing() {
    for drift_ppm in [-90.0, -52.0, -10.0, 10.0, 52.0, 90.0] {
        let mut line = Line::new(pcm("pcm", 16_000, 1), 20, 160);
        line.drift_ppm = drift_ppm;
        let heard = line.run(ms(600_000));
        let most = heard.most_delay(ms(5_000), ms(600_000));
        println!("{drift_ppm}: at most {most:.1} ms, {:?}", heard.stats);
        assert_eq!(heard.stats.concealed_us, 0, "{drift_ppm}");
        assert_eq!(heard.tone.missing_ms, 0.0, "{drift_ppm}");
        assert!(most < 18.0, "{drift_ppm}: {most}");
    }
}

#[test]
fn long_packets_are_played_as_they_are_from_the_beginning() {
    for packet_ms in [40, 60, 120] {
        for pull in [24, 240, 480] {
            let heard = Line::new(Format::OPUS_48K_MONO, packet_ms, pull).run(ms(6_000));
            let stats = heard.stats;
            println!("{packet_ms} ms packets, pulls of {pull}: {stats:?}");
            assert_eq!(stats.cut_us + stats.inserted_us, 0, "{packet_ms} {pull}");
            assert_eq!(stats.concealed_us, 0, "{packet_ms} {pull}");
        }
    }
}

#[test]
fn jitter_of_15_ms_is_hardly_heard() {
    for packet_ms in [10, 20] {
        for seed in 1..=2 {
            let mut line = Line::new(Format::OPUS_48K_MONO, packet_ms, 480);
            let mut chance = Chance(seed);
            line.lateness = Box::new(move |_| {
                Duration::from_secs_f64((0.05 + 0.015 * chance.normal()).max(0.0))
            });
            let mut sound = voice(48_000, 40).into_iter();
            let heard = line.run_with(ms(40_000), |out| out.fill_with(|| sound.next().unwrap()));
            let stats = heard.stats;
            // The line's own 50 ms are not the buffer's.
            let delay = heard.mean_delay(ms(5_000), ms(40_000)) - 50.0;
            println!("jitter 15 ms, {packet_ms} ms packets: {delay:.0} ms, {stats:?}");
            assert!(stats.concealed_us < 400_000, "{stats:?}");
            assert!(delay < 70.0, "{delay}");
        }
    }
}

fn stall(length: Duration, keep: Duration) -> (Heard, Duration) {
    let mut line = Line::new(Format::OPUS_48K_MONO, 20, 480);
    let (begin, end) = (ms(8_000), ms(8_000) + length);
    line.lateness = Box::new(move |at| {
        if at >= begin {
            end.saturating_sub(at)
        } else {
            ms(0)
        }
    });
    // What has waited longer than `keep` when the line is back was dropped by the sender.
    line.fate = Box::new(move |at| {
        if at >= begin && at + keep < end {
            Gap::Late
        } else {
            Gap::None
        }
    });
    let mut sound = voice(48_000, 20).into_iter();
    (
        line.run_with(ms(16_000), |out| out.fill_with(|| sound.next().unwrap())),
        end,
    )
}

#[test]
fn after_a_stall_the_line_is_back_at_its_target_within_a_second() {
    for (length, keep) in [
        (100, 10_000),
        (300, 10_000),
        (1_000, 10_000),
        (2_000, 10_000),
        (2_000, 150),
    ] {
        let (heard, end) = stall(ms(length), ms(keep));
        let before = heard.mean_delay(ms(5_000), ms(8_000));
        let after =
            [20, 100, 300, 500, 1_000, 1_200, 2_700].map(|after| heard.delay_at(end + ms(after)));
        println!(
            "stall of {length} ms, kept {keep}: before {before:.0}, after {after:.0?} ms; {:?}",
            heard.stats
        );
        assert!(heard.most_delay(end + ms(1_000), ms(16_000)) < before + 15.0);
        assert!(heard.stats.concealment_events <= 3);
        assert_eq!(heard.stats.long_concealments, 1, "{:?}", heard.stats);
        assert_eq!(
            heard.stats.short_concealments + 1,
            heard.stats.concealment_events
        );
        assert!(heard.stats.longest_concealed_us + 40_000 >= length * 1_000);
    }
}

#[test]
fn drift_becomes_neither_delay_nor_gaps() {
    for drift_ppm in [-200.0, 200.0] {
        let mut line = Line::new(pcm("pcm", 16_000, 1), 10, 160);
        line.drift_ppm = drift_ppm;
        let heard = line.run(ms(600_000));
        let (early, late) = (
            heard.mean_delay(ms(20_000), ms(60_000)),
            heard.mean_delay(ms(560_000), ms(600_000)),
        );
        println!(
            "drift {drift_ppm} ppm: {early:.1} then {late:.1} ms, most {:.1}; {:?}",
            heard.most_delay(ms(5_000), ms(600_000)),
            heard.stats
        );
        assert!((late - early).abs() < 5.0);
        assert!(heard.most_delay(ms(5_000), ms(600_000)) < early + 10.0);
        assert_eq!(heard.stats.concealed_us, 0);
        assert_eq!(heard.tone.missing_ms, 0.0);
    }
}

#[test]
fn a_mute_is_silence_and_no_loss() {
    let mut line = Line::new(Format::OPUS_48K_MONO, 10, 240);
    line.fate = Box::new(|at| {
        if (ms(4_000)..ms(6_000)).contains(&at) {
            Gap::Muted
        } else {
            Gap::None
        }
    });
    let heard = line.run(ms(10_000));
    assert_eq!(heard.stats.concealed_us, 0, "{:?}", heard.stats);
    assert_eq!(heard.stats.dropped_late_us, 0);
    assert!(
        (heard.tone.missing_ms - 2_000.0).abs() < 30.0,
        "{:?}",
        heard.tone
    );
    let silent = heard
        .playouts
        .iter()
        .filter(|p| **p == Playout::Silence)
        .count();
    assert!((395..=405).contains(&silent), "{silent}");
    let (before, after) = (
        heard.mean_delay(ms(2_000), ms(4_000)),
        heard.mean_delay(ms(8_000), ms(10_000)),
    );
    println!("mute: {before:.1} then {after:.1} ms");
    assert!((after - before).abs() < 5.0);
    let tone_step = 0.252 * std::f32::consts::TAU * TONE_HZ / 48_000.0;
    assert!(
        heard.largest_step() < 1.5 * tone_step,
        "{}",
        heard.largest_step()
    );
}

#[test]
fn silence_that_was_not_announced_is_not_counted_as_loss() {
    let mut line = Line::new(Format::OPUS_48K_MONO, 20, 480);
    line.fate = Box::new(|at| {
        if at.as_millis() % 3_000 >= 2_600 {
            Gap::Silence
        } else {
            Gap::None
        }
    });
    let heard = line.run(ms(11_500));
    assert_eq!(heard.stats.concealed_us, 0, "{:?}", heard.stats);
    assert_eq!(heard.stats.concealment_events, 0);
}

#[test]
fn a_microphone_that_was_away_leaves_a_hole_and_one_that_was_muted_none() {
    for (gap, absences) in [(Gap::Muted, 0), (Gap::Device, 1)] {
        let mut line = Line::new(Format::OPUS_48K_MONO, 10, 240);
        line.fate = Box::new(move |at| {
            if (ms(4_000)..ms(6_000)).contains(&at) {
                gap
            } else {
                Gap::None
            }
        });
        let heard = line.run(ms(10_000));
        assert_eq!(heard.stats.concealed_us, 0, "{:?}", heard.stats);
        assert_eq!(heard.stats.absences, absences, "{:?}", heard.stats);
        let absent_ms = heard.stats.absent_us as f64 / 1e3;
        let expected = 2_000.0 * absences as f64;
        assert!((absent_ms - expected).abs() < 30.0, "{absent_ms} ms");
    }
}

#[test]
fn an_absence_that_was_not_announced_stays_counted_as_concealed() {
    let mut line = Line::new(Format::OPUS_48K_MONO, 20, 480);
    line.announces = false;
    line.fate = Box::new(|at| {
        if at.as_millis() % 3_000 >= 2_600 {
            Gap::Device
        } else {
            Gap::None
        }
    });
    let heard = line.run(ms(11_500));
    let missing_ms = (heard.stats.concealed_us + heard.stats.absent_us) / 1_000;
    assert!((1_000..=1_260).contains(&missing_ms), "{:?}", heard.stats);
    // Three holes, each counted once.
    assert_eq!(heard.stats.concealment_events, 3, "{:?}", heard.stats);
    assert_eq!(heard.stats.absences, 0, "{:?}", heard.stats);
}

#[test]
fn a_microphone_that_is_away_from_the_beginning_is_missed_by_nobody() {
    let format = Format::OPUS_48K_MONO;
    let mut buffer = JitterBuffer::new(format).unwrap();
    let mut out = [0.0; 480];
    let away = Packet {
        media_time: 0,
        gap: Gap::Device,
        payload: &[],
    };
    for index in 0..100 {
        buffer.insert(away, ms(10 * index));
        buffer.pull(&mut out, ms(10 * index));
    }
    assert_eq!(buffer.stats(), JitterBufferStats::default());
}

#[test]
fn pcm_and_g711_survive_jitter_and_stalls_without_clicks() {
    for format in [
        pcm("pcm", 16_000, 2),
        pcm("pcmu", 8_000, 1),
        pcm("opus", 16_000, 1),
    ] {
        let pull = format.samples_in(ms(5));
        let mut line = Line::new(format, 20, pull);
        let mut chance = Chance(7);
        line.lateness = Box::new(move |at| {
            let stall = ms(5_150).saturating_sub(at);
            if at > ms(5_000) && !stall.is_zero() {
                return stall;
            }
            Duration::from_secs_f64((0.04 + 0.01 * chance.normal()).max(0.0))
        });
        let heard = line.run(ms(12_000));
        println!("{format}: {:?} {:?}", heard.stats, heard.tone);
        assert!(heard.stats.concealed_us < 300_000);
        let step = 0.252 * std::f32::consts::TAU * TONE_HZ / format.sample_rate_hz() as f32;
        assert!(
            heard.largest_step() < 2.0 * step + 0.02,
            "{} {step}",
            heard.largest_step()
        );
        assert!(heard.tone.missing_ms < 250.0);
        assert!((heard.tone.frequency_hz - TONE_HZ).abs() < 2.0);
    }
}

/// Encoded packets of a tone, for tests that choose each packet's fields.
fn packets(format: Format, packet_ms: u64, count: usize) -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new(format, 32_000).unwrap();
    let mut tone = Tone::new(TONE_HZ, -12.0, format.sample_rate_hz());
    let mut mono = vec![0.0; format.samples_in(ms(packet_ms))];
    let encode = |_| {
        let mut payload = Vec::new();
        tone.fill(&mut mono);
        let channels = format.channels();
        let frame: Vec<f32> = mono.iter().flat_map(|&s| vec![s; channels]).collect();
        encoder.encode(&frame, &mut payload).unwrap();
        payload
    };
    (0..count).map(encode).collect()
}

#[test]
fn media_times_that_jump_do_no_harm() {
    let format = Format::OPUS_48K_MONO;
    let payloads = packets(format, 10, 100);
    for (base, step) in [
        (0, 0),
        (u64::MAX - 5, 480),
        (1 << 40, u64::MAX / 64),
        (u64::MAX, u64::MAX - 479),
    ] {
        for gap in [Gap::None, Gap::Late, Gap::Muted, Gap::Silence, Gap::Device] {
            let mut buffer = JitterBuffer::new(format).unwrap();
            let mut out = [0.0; 480];
            let mut now = Duration::ZERO;
            for (index, payload) in payloads.iter().cycle().take(600).enumerate() {
                let media_time = (index as u64).wrapping_mul(step).wrapping_add(base);
                now += ms(10);
                buffer.insert(
                    Packet {
                        media_time,
                        gap,
                        payload,
                    },
                    now,
                );
                assert!(buffer.stats().depth_us < 700_000, "{:?}", buffer.stats());
                buffer.pull(&mut out, now + ms(2));
            }
            // Sense again: within some seconds the line is as short as ever.
            for (index, payload) in payloads.iter().cycle().take(1_500).enumerate() {
                now += ms(10);
                let media_time = index as u64 * 480;
                buffer.insert(
                    Packet {
                        media_time,
                        gap: Gap::None,
                        payload,
                    },
                    now,
                );
                buffer.pull(&mut out, now + ms(2));
            }
            assert!(
                buffer.stats().depth_us < 40_000,
                "{base} {step} {gap:?} {:?}",
                buffer.stats()
            );
        }
    }
}

#[test]
fn a_lost_stretch_is_concealed_for_60_ms_at_most_and_counted() {
    let format = Format::OPUS_48K_MONO;
    let payloads = packets(format, 10, 100);
    let mut buffer = JitterBuffer::new(format).unwrap();
    let mut out = [0.0; 480];
    for (index, payload) in payloads.iter().enumerate() {
        // At the fiftieth, a second is missing, without time passing.
        let media_time = index as u64 * 480 + if index < 50 { 0 } else { 48_000 };
        let now = ms(10 * index as u64);
        buffer.insert(
            Packet {
                media_time,
                gap: Gap::None,
                payload,
            },
            now,
        );
        buffer.pull(&mut out, now + ms(2));
    }
    let stats = buffer.stats();
    assert_eq!(stats.concealed_us, 60_000, "{stats:?}");
    assert_eq!(stats.concealment_events, 1, "{stats:?}");
    assert_eq!(stats.longest_concealed_us, 60_000, "{stats:?}");
    assert_eq!(
        (stats.short_concealments, stats.long_concealments),
        (1, 0),
        "{stats:?}"
    );
    assert!(stats.dropped_late_us >= 1_000_000, "{stats:?}");
}

#[test]
fn garbage_is_counted_and_never_loud() {
    for format in [
        Format::OPUS_48K_MONO,
        pcm("pcm", 8_000, 1),
        pcm("pcm", 48_000, 2),
    ] {
        let mut buffer = JitterBuffer::new(format).unwrap();
        let mut chance = Chance(3);
        let mut out = vec![0.0; format.samples_in(ms(10)) * format.channels()];
        for index in 0..2_000u64 {
            let length = 1 + (chance.uniform() * 400.0) as usize;
            let payload: Vec<u8> = (0..length)
                .map(|_| (chance.uniform() * 256.0) as u8)
                .collect();
            let now = ms(10 * index);
            buffer.insert(
                Packet {
                    media_time: index * 480,
                    gap: Gap::None,
                    payload: &payload,
                },
                now,
            );
            buffer.pull(&mut out, now);
            assert!(out.iter().all(|s| s.is_finite() && s.abs() <= 1.0));
        }
        let stats = buffer.stats();
        assert!(stats.undecodable > 100, "{stats:?}");
        assert!(stats.depth_us <= 2_120_000, "{stats:?}");
    }
}

#[test]
fn before_the_first_packet_and_after_a_reset_there_is_silence_not_loss() {
    let format = Format::OPUS_48K_MONO;
    let payloads = packets(format, 10, 50);
    let mut buffer = JitterBuffer::new(format).unwrap();
    let mut out = [1.0; 480];
    let mut now = Duration::ZERO;
    for _ in 0..2 {
        for _ in 0..100 {
            now += ms(10);
            out.fill(1.0);
            assert_eq!(buffer.pull(&mut out, now), Playout::Silence);
            assert_eq!(out, [0.0; 480]);
        }
        for (index, payload) in payloads.iter().enumerate() {
            now += ms(10);
            let media_time = 77_777 + index as u64 * 480;
            buffer.insert(
                Packet {
                    media_time,
                    gap: Gap::None,
                    payload,
                },
                now,
            );
            let playout = buffer.pull(&mut out, now + ms(1));
            assert!(
                index < 3 || playout == Playout::Sound,
                "{index} {playout:?}"
            );
        }
        buffer.reset();
        // What waits is still heard.
        while buffer.pull(&mut out, now) != Playout::Silence {
            now += ms(10);
        }
    }
    assert_eq!(buffer.stats().concealed_us, 0, "{:?}", buffer.stats());
    assert!(buffer.stats().played_us > 900_000);
}

#[test]
fn a_speaker_that_stood_still_does_not_make_the_line_late() {
    let format = Format::OPUS_48K_MONO;
    let payloads = packets(format, 10, 100);
    let mut buffer = JitterBuffer::new(format).unwrap();
    let mut out = [0.0; 480];
    for (index, payload) in payloads.iter().cycle().take(1_000).enumerate() {
        let now = ms(10 * index as u64);
        buffer.insert(
            Packet {
                media_time: index as u64 * 480,
                gap: Gap::None,
                payload,
            },
            now,
        );
        if !(400..700).contains(&index) {
            buffer.pull(&mut out, now + ms(2));
        }
        assert!(buffer.stats().depth_us <= 2_010_000);
        if index == 800 {
            assert!(buffer.stats().depth_us < 40_000, "{:?}", buffer.stats());
        }
    }
    assert_eq!(buffer.stats().concealed_us, 0, "{:?}", buffer.stats());
}

#[test]
fn a_speaker_that_takes_several_pulls_at_once_is_heard_whole() {
    for pulls_at_once in [2, 4] {
        let mut line = Line::new(Format::OPUS_48K_MONO, 10, 240);
        line.pulls_at_once = pulls_at_once;
        let heard = line.run(ms(6_000));
        let delay = heard.mean_delay(ms(3_000), ms(6_000));
        println!(
            "{pulls_at_once} pulls of 5 ms at once: {delay:.1} ms, {:?}",
            heard.stats
        );
        assert!(heard.stats.concealed_us <= 20_000, "{:?}", heard.stats);
        assert!(delay < 5.0 * pulls_at_once as f64 + 10.0);
    }
}

#[test]
fn a_rough_start_is_soon_forgotten() {
    let format = Format::OPUS_48K_MONO;
    let mut rough = Line::new(format, 10, 480);
    rough.lateness = Box::new(|at| {
        if (ms(50)..ms(400)).contains(&at) {
            ms(25)
        } else {
            Duration::ZERO
        }
    });
    let rough = rough.run(Duration::from_secs(5));
    let smooth = Line::new(format, 10, 480).run(Duration::from_secs(5));
    let (from, to) = (Duration::from_secs(3), Duration::from_secs(5));
    let (delay, usual) = (rough.mean_delay(from, to), smooth.mean_delay(from, to));
    assert!(
        delay < usual + 2.0,
        "{delay:.1} ms, where {usual:.1} is usual"
    );
}

#[test]
fn duplicates_are_dropped_and_a_stream_that_begins_anew_is_heard() {
    let format = Format::OPUS_48K_MONO;
    let payloads = packets(format, 10, 100);
    let mut buffer = JitterBuffer::new(format).unwrap();
    let mut ear = ToneDetector::new(TONE_HZ, 48_000);
    let mut out = [0.0; 480];
    for index in 0..400u64 {
        let now = ms(10 * index);
        let payload = &payloads[index as usize % 100];
        // From the 200th on, media time is that of the beginning, as of a peer that counts anew.
        let media_time = (index % 200) * 480;
        for _ in 0..2 {
            let gap = Gap::None;
            buffer.insert(
                Packet {
                    media_time,
                    gap,
                    payload,
                },
                now,
            );
        }
        buffer.pull(&mut out, now + ms(2));
        ear.push(&out);
    }
    let (stats, tone) = (buffer.stats(), ear.report());
    // 375 duplicates, and 25 that looked like some.
    assert!((400..=450).contains(&stats.out_of_order), "{stats:?}");
    assert!(stats.depth_us < 40_000, "{stats:?}");
    assert!(stats.concealed_us <= 300_000, "{stats:?}");
    assert!((tone.frequency_hz - TONE_HZ).abs() < 1.0, "{tone:?}");
    assert_eq!(tone.clicks, 0, "{tone:?}");
}

#[test]
fn whatever_arrives_whenever_there_is_no_panic_no_noise_and_no_growth() {
    for (seed, format) in [
        Format::OPUS_48K_MONO,
        pcm("opus", 8_000, 2),
        pcm("pcm", 44_100, 2),
        pcm("pcmu", 8_000, 1),
    ]
    .into_iter()
    .enumerate()
    {
        let mut chance = Chance(seed as u64 + 11);
        let payloads = packets(format, 10, 20);
        let mut buffer = JitterBuffer::new(format).unwrap();
        let (mut now, mut media_time) = (Duration::ZERO, 0u64);
        for _ in 0..20_000 {
            let mut below = |most: f64| (chance.uniform() * most) as u64;
            now = match below(50.0) {
                0 => now.saturating_sub(ms(below(500.0))),
                1 => now + Duration::from_secs(below(100.0)),
                _ => now + Duration::from_micros(below(10_000.0)),
            };
            media_time = match below(40.0) {
                0 => below(u64::MAX as f64),
                1 => media_time.saturating_sub(below(1e6)),
                2 => media_time.saturating_add(below(1e6)),
                3 => media_time,
                _ => media_time.saturating_add(format.samples_in(ms(10)) as u64),
            };
            let gaps = [Gap::Muted, Gap::Silence, Gap::Late, Gap::Device];
            let gap = *gaps.get(below(30.0) as usize).unwrap_or(&Gap::None);
            let payload = match below(10.0) {
                0 => (0..below(300.0)).map(|_| below(256.0) as u8).collect(),
                1 => Vec::new(),
                _ => payloads[below(20.0) as usize].clone(),
            };
            match below(100.0) {
                0 => buffer.reset(),
                1..45 => {
                    let mut out = vec![f32::NAN; below(2_000.0) as usize * format.channels()];
                    buffer.pull(&mut out, now);
                    assert!(out.iter().all(|s| s.is_finite() && s.abs() <= 1.5));
                }
                _ => buffer.insert(
                    Packet {
                        media_time,
                        gap,
                        payload: &payload,
                    },
                    now,
                ),
            }
            let stats = buffer.stats();
            assert!(stats.depth_us <= 2_200_000, "{stats:?}");
            let events = stats.short_concealments + stats.long_concealments;
            assert!(stats.concealment_events - events <= 1, "{stats:?}");
        }
        let stats = buffer.stats();
        println!("{format}: {stats:?}");
        // To G.711 every byte is sound.
        let garbage = stats.undecodable > 10 || format.codec() == Codec::Pcmu;
        assert!(garbage && stats.played_us > 10_000_000, "{stats:?}");
        // And a good line is a good line again.
        let length = format.samples_in(ms(10));
        buffer.reset();
        let mut out = vec![0.0; length * format.channels()];
        let concealed = buffer.stats().concealed_us;
        for index in 0..3_000u64 {
            now += ms(10);
            let payload = &payloads[index as usize % 20];
            let media_time = index * length as u64;
            let gap = Gap::None;
            buffer.insert(
                Packet {
                    media_time,
                    gap,
                    payload,
                },
                now,
            );
            buffer.pull(&mut out, now + ms(2));
        }
        let stats = buffer.stats();
        assert!(stats.depth_us < 40_000, "{format} {stats:?}");
        assert!(
            stats.concealed_us - concealed < 100_000,
            "{format} {stats:?}"
        );
    }
}
