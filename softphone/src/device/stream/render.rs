//! A speaker as the engine writes it: the ring before the callback, and when its sound is heard.

use std::sync::Arc;
use std::time::Duration;

use ringbuf::traits::{Consumer, Producer, Split};
use ringbuf::{HeapCons, HeapProd, HeapRb};

use super::latency_line::{LatencyLine, to_us};
use super::ring_target::RingTarget;
use super::running_stream::{Endpoint, Stream};
use super::supervisor::Supervised;
use crate::device::callback::{RECORDS, Record, RenderCallback};
use crate::device::{DeviceNotice, DeviceStats, Speaker};

/// What the ring holds at most: two callbacks of the largest device and some more.
const CAPACITY: Duration = Duration::from_millis(500);

/// How long a device may take to find its pace.
const SETTLING: Duration = Duration::from_millis(200);

/// A device that has not called for this long (or for four of its periods) is not consuming: the
/// engine is paced by the clock instead, well before the supervisor gives the stream up.
const NOT_CONSUMING: Duration = Duration::from_millis(150);

/// The half that the engine writes.
pub(crate) struct RenderRing {
    samples: HeapProd<f32>,
    records: HeapCons<Record>,
    stream: Stream,
    target: RingTarget,
    line: LatencyLine,
    /// Samples per channel that went into the ring.
    written: u64,
    /// Faults, and their samples, before the first write and while the device settles: a device
    /// that fills its own buffer in one go is not running dry.
    excused: (u64, u64),
    /// Faulty samples that were told of, or that nobody needs to know of.
    told: u64,
    last: Option<Record>,
    opened: Duration,
    settled: Duration,
    pace: Option<Pace>,
}

/// What a device would have taken, by the clock.
#[derive(Debug, Clone, Copy)]
struct Pace {
    since: Duration,
    given: u64,
}

impl Pace {
    fn wanted(&self, now: Duration, rate_hz: u32) -> usize {
        let due = now.saturating_sub(self.since).as_secs_f64() * f64::from(rate_hz);
        usize::try_from((due as u64).saturating_sub(self.given)).unwrap_or(0)
    }
}

/// A ring for `theirs` channels of a device, of which `stream.channels` are ours. `step`: samples
/// per channel that the device is expected to take at a time.
pub(crate) fn ring(stream: Stream, theirs: u16, step: u32) -> (RenderCallback, RenderRing) {
    let ours = usize::from(stream.channels);
    let samples =
        (stream.rate_hz as usize * CAPACITY.as_millis() as usize / 1000).max(step as usize * 4);
    let (samples_tx, samples_rx) = HeapRb::new(samples * ours).split();
    let (records_tx, records_rx) = HeapRb::new(RECORDS).split();
    let health = Arc::clone(&stream.health);
    let callback = RenderCallback::new(samples_rx, records_tx, health, usize::from(theirs), ours);
    let ring = RenderRing {
        samples: samples_tx,
        records: records_rx,
        target: RingTarget::new(stream.rate_hz, step),
        line: LatencyLine::default(),
        written: 0,
        excused: (0, 0),
        told: 0,
        last: None,
        opened: stream.health.now(),
        settled: stream.health.now() + SETTLING,
        pace: None,
        stream,
    };
    (callback, ring)
}

impl RenderRing {
    fn wanted(&mut self, now: Duration) -> usize {
        if let Some(due) = self.target.due(self.put()) {
            self.target.on_look(now, due);
        }
        self.drain_records();
        let rate_hz = self.stream.rate_hz;
        let (last_at, period) = self.last.map_or((self.opened, Duration::ZERO), |record| {
            let period = f64::from(record.samples) / f64::from(rate_hz);
            (record.at, Duration::from_secs_f64(period))
        });
        if now.saturating_sub(last_at) > NOT_CONSUMING.max(period * 4) {
            let pace = self.pace.get_or_insert(Pace {
                since: last_at,
                given: 0,
            });
            return pace.wanted(now, rate_hz);
        }
        if let Some(pace) = self.pace.take() {
            // That was pulled and went nowhere: nobody need be told that it was missing.
            let faulty = self.last.map_or(0, |record| record.faulty);
            self.told = (self.told + pace.given).min(faulty);
        }
        self.target.wanted(now, self.put())
    }

    /// How long until more is wanted; `None` if only a callback can make room, or none comes.
    fn rest(&self, now: Duration) -> Option<Duration> {
        let due = self.target.due(self.put())?;
        self.pace.is_none().then(|| due.saturating_sub(now))
    }

    fn drain_records(&mut self) {
        while let Some(record) = self.records.try_pop() {
            self.target
                .on_callback(record.at, record.total, record.samples);
            let faults_before = self.last.map_or(0, |last| last.faults);
            if self.written == 0 || record.at < self.settled {
                self.told = record.faulty;
                self.excused = (record.faults, record.faulty);
            } else if record.faults > faults_before {
                self.target.on_underrun(record.at);
            }
            if let Some(latency) = record.latency {
                let first = record.total - u64::from(record.samples);
                let heard_s = record.at.as_secs_f64() + latency.as_secs_f64();
                self.line.observe(first, heard_s, self.stream.rate_hz);
            }
            self.last = Some(record);
        }
    }

    fn take_underrun(&mut self) -> u64 {
        let faulty = self.last.map_or(0, |record| record.faulty);
        faulty - std::mem::replace(&mut self.told, faulty)
    }

    /// Samples per channel that the device was or will be given: ours, and the silence that took
    /// the place of those that were not there.
    fn put(&self) -> u64 {
        self.written + self.last.map_or(0, |record| record.faulty)
    }

    fn write(&mut self, samples: &[f32]) {
        let groups = (samples.len() / usize::from(self.stream.channels)) as u64;
        if let Some(pace) = &mut self.pace {
            pace.given += groups;
            return;
        }
        let pushed = self.samples.push_slice(samples);
        self.written += (pushed / usize::from(self.stream.channels)) as u64;
    }

    /// `now` on the stream's clock.
    fn latency_us(&self, now: Duration) -> u32 {
        let rate_hz = self.stream.rate_hz;
        let queued_s = self.queued() as f64 / f64::from(rate_hz);
        let heard_s = self.line.time_of(self.put(), rate_hz);
        to_us(heard_s.map_or(queued_s, |heard_s| {
            (heard_s - now.as_secs_f64()).max(queued_s)
        }))
    }

    fn queued(&self) -> u64 {
        self.put()
            .saturating_sub(self.last.map_or(0, |record| record.total))
    }
}

impl Endpoint for RenderRing {
    fn stream(&self) -> &Stream {
        &self.stream
    }

    fn fill_stats(&self, stats: &mut DeviceStats) {
        stats.ring_samples = u32::try_from(self.queued()).unwrap_or(u32::MAX);
        stats.ring_margin_us = self.target.margin().as_micros() as u32;
        let Some(last) = self.last else { return };
        stats.callback_samples = last.samples;
        stats.ring_faults += last.faults - self.excused.0;
        stats.ring_fault_samples += last.faulty - self.excused.1;
    }
}

/// A real speaker.
pub(crate) struct DeviceSpeaker(pub(crate) Supervised<RenderRing>);

impl Speaker for DeviceSpeaker {
    fn sample_rate_hz(&self) -> u32 {
        self.0.current.stream.rate_hz
    }

    fn channels(&self) -> u16 {
        self.0.current.stream.channels
    }

    // `now` is not needed: callbacks are stamped with the stream's own clock, and the engine's
    // looks must be on the same one.
    fn wanted(&mut self, _now: Duration) -> usize {
        self.0.take_over();
        let now = self.0.current.stream.health.now();
        self.0.current.wanted(now)
    }

    fn write(&mut self, samples: &[f32]) {
        self.0.current.write(samples);
    }

    fn ahead(&self) -> Duration {
        self.0.current.target.ahead()
    }

    fn take_underrun(&mut self) -> u64 {
        self.0.current.take_underrun()
    }

    fn rest(&self) -> Option<Duration> {
        let now = self.0.current.stream.health.now();
        self.0.current.rest(now)
    }

    fn latency_us(&self) -> u32 {
        self.0
            .current
            .latency_us(self.0.current.stream.health.now())
    }

    fn stats(&self) -> DeviceStats {
        self.0.stats()
    }

    fn notice(&mut self) -> Option<DeviceNotice> {
        self.0.notice()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cpal::{OutputCallbackInfo, OutputStreamTimestamp, StreamInstant};

    fn info() -> OutputCallbackInfo {
        OutputCallbackInfo::new(OutputStreamTimestamp {
            callback: StreamInstant::from_micros(0),
            playback: StreamInstant::from_micros(0),
        })
    }

    #[test]
    fn what_the_engine_writes_the_device_gets_and_silence_after_it() {
        let (mut callback, mut ring) = ring(Stream::for_test(48_000, 2), 2, 480);
        ring.settled = Duration::ZERO;
        ring.write(&[0.5; 600]);
        let mut out = [1_i16; 960];
        callback.on_data(&mut out, &info());
        assert!(out[..600].iter().all(|&s| s == 16384));
        assert!(out[600..].iter().all(|&s| s == 0));
        ring.drain_records();
        let mut stats = DeviceStats::default();
        ring.fill_stats(&mut stats);
        assert_eq!((stats.ring_faults, stats.ring_fault_samples), (1, 180));
    }

    #[test]
    fn a_device_that_starts_before_the_engine_writes_is_not_running_dry() {
        let (mut callback, mut ring) = ring(Stream::for_test(48_000, 1), 1, 480);
        ring.settled = Duration::ZERO;
        for _ in 0..3 {
            callback.on_data(&mut [0.0_f32; 480], &info());
        }
        ring.drain_records();
        ring.write(&[0.1; 480]);
        callback.on_data(&mut [0.0_f32; 480], &info());
        ring.drain_records();
        let mut stats = DeviceStats::default();
        ring.fill_stats(&mut stats);
        assert_eq!((stats.ring_faults, ring.queued()), (0, 0));
    }

    #[test]
    fn without_callbacks_the_clock_consumes_and_writes_go_nowhere() {
        let (_callback, mut ring) = ring(Stream::for_test(48_000, 2), 2, 480);
        let start = ring.opened;
        let mut given = 0;
        let mut first_paced = None;
        for ms in 0..10_000 {
            let wanted = ring.wanted(start + Duration::from_millis(ms));
            if wanted > 0 {
                ring.write(&vec![0.1; wanted * 2]);
                given += wanted;
                if ms > 0 && first_paced.is_none() {
                    first_paced = Some(ms);
                }
            }
        }
        assert_eq!(first_paced, Some(151));
        // Ten seconds, and the first step that was put into the ring while there was hope.
        assert!((479_900..=480_500).contains(&given), "{given}");
    }
}
