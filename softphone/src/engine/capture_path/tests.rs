//! Of the capture path: what is sent, and when.

use super::*;
use crate::device::DeviceStats;

/// Gives 1 ms of a ramp for each 1 ms of `now`, but nothing between `away_from` and `away_to`.
struct ScriptedMicrophone {
    away_ms: std::ops::Range<u64>,
    last_ms: u64,
}

impl Microphone for ScriptedMicrophone {
    fn sample_rate_hz(&self) -> u32 {
        48_000
    }
    fn channels(&self) -> u16 {
        2
    }
    fn read(&mut self, now: Duration, samples: &mut Vec<f32>) {
        let now_ms = now.as_millis() as u64;
        for ms in self.last_ms..now_ms {
            if !self.away_ms.contains(&ms) {
                samples.extend(std::iter::repeat_n(0.25, 96));
            }
        }
        self.last_ms = now_ms;
    }
    fn latency_us(&self) -> u32 {
        3_000
    }
    fn stats(&self) -> DeviceStats {
        DeviceStats::default()
    }
}

fn run(away_ms: std::ops::Range<u64>, muted_ms: std::ops::Range<u64>) -> Vec<Outgoing> {
    run_with(true, away_ms, muted_ms)
}

fn run_with(
    is_ours: bool,
    away_ms: std::ops::Range<u64>,
    muted_ms: std::ops::Range<u64>,
) -> Vec<Outgoing> {
    let format = Format::OPUS_48K_MONO;
    let microphone = Box::new(ScriptedMicrophone {
        away_ms,
        last_ms: 0,
    });
    let mut path = CapturePath::new(microphone, format, 480, 32_000).unwrap();
    if is_ours {
        path.far_end_knows_empty_chunks();
    }
    let mut sent = Vec::new();
    for ms in 0..1_000u64 {
        let now = Duration::from_millis(ms);
        path.tick(now, muted_ms.contains(&ms), |chunk| sent.push(chunk))
            .unwrap();
    }
    sent
}

#[test]
fn chunks_follow_each_other_without_a_gap() {
    let sent = run(0..0, 0..0);
    assert_eq!(sent.len(), 99);
    for (index, chunk) in sent.iter().enumerate() {
        assert_eq!(chunk.media_time, index as u64 * 480);
        assert_eq!(chunk.gap, Gap::None);
        // 10 ms of framing, 2.5 of the encoder's look-ahead, and 3 of device.
        assert_eq!(chunk.stages.total(), 15_500);
        assert_eq!(chunk.stages.framing, 10_000);
        // −12 dBov.
        assert_eq!(chunk.level, 13);
    }
}

#[test]
fn muted_time_passes_and_is_marked() {
    let sent = run(0..0, 300..600);
    let empty: Vec<_> = sent
        .iter()
        .filter(|chunk| chunk.payload.is_empty())
        .collect();
    assert_eq!(empty.len(), 4, "one at once, then one every 100 ms");
    assert_eq!(empty[0].made, Duration::from_millis(300));
    assert!(empty.iter().all(|chunk| chunk.gap == Gap::Muted));
    let after = sent
        .iter()
        .find(|chunk| chunk.made >= Duration::from_millis(600) && !chunk.payload.is_empty())
        .unwrap();
    assert_eq!(after.gap, Gap::Muted);
    // Made when its last sample came, 10 ms after its first.
    let position = Format::OPUS_48K_MONO.duration_of(after.media_time as usize);
    assert_eq!(position, after.made - Duration::from_millis(10));
}

#[test]
fn a_microphone_that_was_away_is_marked_and_time_goes_on() {
    let sent = run(303..700, 0..0);
    assert!(
        sent.iter()
            .any(|chunk| chunk.payload.is_empty() && chunk.gap == Gap::Device)
    );
    let after = sent
        .iter()
        .find(|chunk| chunk.made >= Duration::from_millis(700) && !chunk.payload.is_empty())
        .unwrap();
    assert_eq!(after.gap, Gap::Device);
    let position = Format::OPUS_48K_MONO.duration_of(after.media_time as usize);
    let due = after.made - Duration::from_millis(10);
    assert!(
        position.abs_diff(due) <= Duration::from_millis(2),
        "{position:?} {due:?}"
    );
}

/// A microphone that gives 10 ms at a time, and has lost `lost` before the one that it gives at 500 ms.
struct LossyMicrophone {
    lost: Duration,
    now: Duration,
}

impl Microphone for LossyMicrophone {
    fn sample_rate_hz(&self) -> u32 {
        48_000
    }
    fn channels(&self) -> u16 {
        1
    }
    fn read(&mut self, now: Duration, samples: &mut Vec<f32>) {
        let begins = Duration::from_millis(500) - self.lost;
        if !(begins..Duration::from_millis(500)).contains(&now) {
            samples.extend([0.25; 480]);
        }
        self.now = now;
    }
    fn take_lost(&mut self) -> Duration {
        match self.now == Duration::from_millis(500) {
            true => std::mem::take(&mut self.lost),
            false => Duration::ZERO,
        }
    }
    fn latency_us(&self) -> u32 {
        0
    }
    fn stats(&self) -> DeviceStats {
        DeviceStats::default()
    }
}

#[test]
fn sound_that_was_lost_is_marked_and_time_goes_on() {
    for lost_ms in [10, 170, 400] {
        let lost = Duration::from_millis(lost_ms);
        let now = Duration::ZERO;
        let microphone = Box::new(LossyMicrophone { lost, now });
        let format = Format::OPUS_48K_MONO;
        let mut path = CapturePath::new(microphone, format, 480, 32_000).unwrap();
        path.far_end_knows_empty_chunks();
        let mut sent = Vec::new();
        for n in 1..100 {
            let now = Duration::from_millis(n * 10);
            path.tick(now, false, |chunk| sent.push(chunk)).unwrap();
        }
        sent.retain(|chunk| !chunk.payload.is_empty());
        for chunk in &sent {
            let ends = format.duration_of(chunk.media_time as usize + 480);
            assert_eq!(ends, chunk.made, "{lost_ms} ms");
            let is_first_after = chunk.made == Duration::from_millis(500);
            assert_eq!(chunk.gap == Gap::Device, is_first_after, "{chunk:?}");
        }
        assert_eq!(sent.len() as u64, 99 - lost_ms / 10);
    }
}

#[test]
fn a_far_end_that_did_not_say_it_is_ours_gets_no_empty_chunk_and_time_goes_on() {
    for (away_ms, muted_ms) in [
        (0..0, 300..600),
        (0..0, 0..400),
        (0..0, 305..1_000),
        (303..700, 0..0),
        (0..250, 0..0),
    ] {
        let format = Format::OPUS_48K_MONO;
        let silent = match away_ms.is_empty() {
            true => muted_ms.clone(),
            false => away_ms.clone(),
        };
        let sent = run_with(false, away_ms, muted_ms);
        assert!(sent.iter().all(|chunk| !chunk.payload.is_empty()));
        let is_during = |chunk: &&Outgoing| silent.contains(&(chunk.made.as_millis() as u64));
        let during = sent.iter().filter(is_during).count();
        assert!((1..=8).contains(&during), "{silent:?}: {during}");
        let is_after = |pair: &[Outgoing]| pair[0].media_time + 480 <= pair[1].media_time;
        assert!(sent.windows(2).all(is_after), "{silent:?}");
        // Sound is where it was said, to a chunk.
        let last = sent.last().unwrap();
        let ends = format.duration_of(last.media_time as usize + 480);
        let off = last.made.abs_diff(ends);
        assert!(off <= Duration::from_millis(12), "{silent:?}: {last:?}");
    }
}
