//! A microphone as the engine reads it: the ring behind the callback, and how old its sound is.

use std::sync::Arc;
use std::time::Duration;

use line::sending_rule::LONGEST_WAIT;
use ringbuf::traits::{Consumer, Observer, Split};
use ringbuf::{HeapCons, HeapRb};

use super::latency_line::{LatencyLine, to_us};
use super::running_stream::{Endpoint, Stream};
use super::supervisor::Supervised;
use crate::device::callback::{CaptureCallback, RECORDS, Record};
use crate::device::{DeviceNotice, DeviceStats, Microphone};

/// What the ring holds at most. An engine that stood still for longer has lost the line anyway.
const CAPACITY: Duration = Duration::from_millis(500);

/// What a callback takes at most, from its time stamp to its samples in the ring, on a machine that
/// is not busy.
const CALLBACK_TIME: Duration = Duration::from_micros(200);

/// The half that the engine reads.
pub(crate) struct CaptureRing {
    samples: HeapCons<f32>,
    records: HeapCons<Record>,
    stream: Stream,
    line: LatencyLine,
    /// Samples per channel that came out of the ring or were lost.
    passed: u64,
    /// Those of them that waited in the ring for too long.
    stale: u64,
    /// Lost samples per channel of which nobody was told yet.
    untold: u64,
    last: Option<Record>,
    /// When the engine looked last, on the stream's clock.
    polled_at: Option<Duration>,
    latency_us: u32,
}

/// A ring for `theirs` channels of a device, of which `stream.channels` are ours.
pub(crate) fn ring(stream: Stream, theirs: u16) -> (CaptureCallback, CaptureRing) {
    let ours = usize::from(stream.channels);
    let capacity = stream.rate_hz as usize * CAPACITY.as_millis() as usize / 1000 * ours;
    let (samples_tx, samples_rx) = HeapRb::new(capacity.max(ours)).split();
    let (records_tx, records_rx) = HeapRb::new(RECORDS).split();
    let health = Arc::clone(&stream.health);
    let callback = CaptureCallback::new(
        samples_tx,
        records_tx,
        health,
        stream.rate_hz,
        usize::from(theirs),
        ours,
    );
    let ring = CaptureRing {
        samples: samples_rx,
        records: records_rx,
        stream,
        line: LatencyLine::default(),
        passed: 0,
        stale: 0,
        untold: 0,
        last: None,
        polled_at: None,
        latency_us: 0,
    };
    (callback, ring)
}

impl CaptureRing {
    fn read(&mut self, samples: &mut Vec<f32>) {
        let rate_hz = self.stream.rate_hz;
        let now = self.stream.health.now();
        let polled_at = self.polled_at.replace(now).unwrap_or(now);
        let lost_before = self.last.map_or(0, |record| record.faulty);
        while let Some(record) = self.records.try_pop() {
            if let Some(latency) = record.latency {
                let first = record.total - u64::from(record.samples);
                let captured_s = record.at.as_secs_f64() - latency.as_secs_f64();
                self.line.observe(first, captured_s, rate_hz);
            }
            self.last = Some(record);
        }
        let lost = self.last.map_or(0, |record| record.faulty) - lost_before;
        let channels = usize::from(self.stream.channels);
        if lost > 0 || now.saturating_sub(polled_at) > LONGEST_WAIT {
            // The engine stood still, or all of the program: what is left in the ring is from before
            // that, and late speech is worse than none.
            let stale = (self.samples.clear() / channels) as u64;
            self.passed += lost + stale;
            self.stale += stale;
            self.untold += lost + stale;
        }
        let start = samples.len();
        samples.extend(self.samples.pop_iter());
        if samples.len() == start {
            return;
        }
        self.passed += ((samples.len() - start) / channels) as u64;
        self.latency_us = self
            .line
            .time_of(self.passed, rate_hz)
            .map_or(0, |captured_s| to_us(now.as_secs_f64() - captured_s));
    }

    fn take_lost(&mut self) -> Duration {
        let samples = std::mem::take(&mut self.untold);
        Duration::from_secs_f64(samples as f64 / f64::from(self.stream.rate_hz))
    }
}

impl CaptureRing {
    /// Passes over what was captured until now: the stream before this one has delivered it.
    fn skip(&mut self) {
        let samples = self.samples.clear();
        self.passed += (samples / usize::from(self.stream.channels)) as u64;
    }
}

impl Endpoint for CaptureRing {
    fn stream(&self) -> &Stream {
        &self.stream
    }

    fn fill_stats(&self, stats: &mut DeviceStats) {
        stats.ring_samples =
            (self.samples.occupied_len() / usize::from(self.stream.channels)) as u32;
        stats.ring_fault_samples += self.stale;
        if let Some(last) = self.last {
            stats.ring_faults += last.faults;
            stats.ring_fault_samples += last.faulty;
            stats.callback_samples = last.samples;
        }
    }
}

/// A real microphone.
pub(crate) struct DeviceMicrophone(pub(crate) Supervised<CaptureRing>);

impl Microphone for DeviceMicrophone {
    fn sample_rate_hz(&self) -> u32 {
        self.0.current.stream.rate_hz
    }

    fn channels(&self) -> u16 {
        self.0.current.stream.channels
    }

    // `now` is not needed: callbacks are stamped with the stream's own clock, and so are reads.
    fn read(&mut self, _now: Duration, samples: &mut Vec<f32>) {
        self.0.current.read(samples);
        // The rate may change only between two reads, and the old ring is empty now.
        if self.0.take_over() {
            self.0.current.skip();
        }
    }

    fn take_lost(&mut self) -> Duration {
        self.0.current.take_lost()
    }

    fn rest(&self) -> Option<Duration> {
        let ring = &self.0.current;
        let now = ring.stream.health.now();
        ring.last.map(|last| rest(last, ring.stream.rate_hz, now))
    }

    fn latency_us(&self) -> u32 {
        self.0.current.latency_us
    }

    fn stats(&self) -> DeviceStats {
        self.0.stats()
    }

    fn notice(&mut self) -> Option<DeviceNotice> {
        self.0.notice()
    }
}

/// How long until the callback after `last` will have been.
fn rest(last: Record, rate_hz: u32, now: Duration) -> Duration {
    let period = Duration::from_secs_f64(f64::from(last.samples) / f64::from(rate_hz));
    let expected = last.at + period + CALLBACK_TIME;
    // A late one is looked for the less often the later it is.
    let late = now.saturating_sub(expected);
    expected.checked_sub(now).unwrap_or(late / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::callback::Health;
    use cpal::{InputCallbackInfo, InputStreamTimestamp, StreamInstant};

    fn info(callback_us: u64, capture_us: u64) -> InputCallbackInfo {
        InputCallbackInfo::new(InputStreamTimestamp {
            callback: StreamInstant::from_micros(callback_us),
            capture: StreamInstant::from_micros(capture_us),
        })
    }

    #[test]
    fn what_the_callback_gets_the_engine_reads_whatever_the_sizes() {
        let (mut callback, mut ring) = ring(Stream::for_test(48_000, 2), 2);
        let mut read = Vec::new();
        let mut sent = Vec::new();
        for size in [1, 480, 7, 1024, 333] {
            let data: Vec<i16> = (0..size * 2).map(|i| (sent.len() + i) as i16).collect();
            callback.on_data(&data, &info(0, 0));
            sent.extend_from_slice(&data);
            if size % 2 == 1 {
                ring.read(&mut read);
            }
        }
        ring.read(&mut read);
        let expected: Vec<f32> = sent.iter().map(|&s| f32::from(s) / 32768.0).collect();
        assert_eq!(read, expected);
    }

    #[test]
    fn after_an_overrun_stale_sound_is_dropped_and_counted() {
        let (mut callback, mut ring) = ring(Stream::for_test(48_000, 1), 1);
        for _ in 0..100 {
            callback.on_data(&[0.25_f32; 480], &info(0, 0)); // a second: twice the ring
        }
        let mut read = Vec::new();
        ring.read(&mut read);
        assert!(read.is_empty());
        let mut stats = DeviceStats::default();
        ring.fill_stats(&mut stats);
        assert_eq!((stats.ring_faults, stats.ring_fault_samples), (50, 48_000));
        assert_eq!(ring.take_lost(), Duration::from_secs(1));
        assert_eq!(ring.take_lost(), Duration::ZERO);
        callback.on_data(&[0.5_f32; 480], &info(0, 0));
        ring.read(&mut read);
        assert_eq!(read, [0.5; 480]);
    }

    #[test]
    fn what_waited_for_an_engine_that_stood_still_is_dropped_and_counted() {
        let (mut callback, mut ring) = ring(Stream::for_test(48_000, 1), 1);
        let mut read = Vec::new();
        ring.read(&mut read);
        callback.on_data(&[0.25_f32; 480], &info(0, 0));
        // A second ago, by the stream's clock.
        ring.stream.health = Health::begun(Duration::from_secs(1));
        ring.polled_at = Some(Duration::ZERO);
        ring.read(&mut read);
        assert!(read.is_empty());
        let mut stats = DeviceStats::default();
        ring.fill_stats(&mut stats);
        assert_eq!(stats.ring_fault_samples, 480);
        assert_eq!(ring.take_lost(), Duration::from_millis(10));
        callback.on_data(&[0.5_f32; 480], &info(0, 0));
        ring.read(&mut read);
        assert_eq!(read, [0.5; 480]);
    }

    #[test]
    fn the_age_of_the_newest_sample_is_the_hosts_latency_less_what_it_covers() {
        let (mut callback, mut ring) = ring(Stream::for_test(48_000, 1), 1);
        // First sample 400 ms old, and the callback holds 200 ms: the newest is 200 ms old.
        callback.on_data(&[0.0_f32; 9_600], &info(900_000, 500_000));
        ring.read(&mut Vec::new());
        let age = ring.latency_us;
        assert!((200_000..250_000).contains(&age), "{age} µs");
    }

    #[test]
    fn a_stream_that_takes_over_begins_with_fresh_sound_of_the_right_age() {
        let (mut callback, mut ring) = ring(Stream::for_test(48_000, 1), 1);
        // 400 and then 200 ms old at the first sample of 100 ms each.
        callback.on_data(&[0.25_f32; 4_800], &info(900_000, 500_000));
        ring.skip();
        callback.on_data(&[0.5_f32; 4_800], &info(900_000, 600_000));
        let mut read = Vec::new();
        ring.read(&mut read);
        assert_eq!(read, [0.5; 4_800]);
        let age = ring.latency_us;
        assert!((200_000..250_000).contains(&age), "{age} µs");
    }

    #[test]
    fn a_host_without_timestamps_gives_no_latency() {
        let (mut callback, mut ring) = ring(Stream::for_test(48_000, 1), 1);
        callback.on_data(&[0.0_f32; 480], &info(0, 0));
        ring.read(&mut Vec::new());
        assert_eq!(ring.latency_us, 0);
    }

    #[test]
    fn the_next_callback_is_looked_for_when_it_will_have_been() {
        let ms = Duration::from_millis;
        let last = Record {
            at: ms(1_000),
            total: 480,
            samples: 480,
            faulty: 0,
            faults: 0,
            latency: None,
        };
        let rest_at = |now| rest(last, 48_000, now);
        assert_eq!(rest_at(ms(1_000)), ms(10) + CALLBACK_TIME);
        assert_eq!(rest_at(ms(1_008)), ms(2) + CALLBACK_TIME);
        assert_eq!(rest_at(ms(1_010) + CALLBACK_TIME), Duration::ZERO);
        // One that does not come is not looked for without end.
        assert_eq!(rest_at(ms(1_018) + CALLBACK_TIME), ms(4));
    }
}
