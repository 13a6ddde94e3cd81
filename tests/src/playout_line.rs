//! A far end that speaks, an impaired line, and a render path under a speaker with a clock of its
//! own, all on a virtual clock: what is heard, and how late.

use std::{collections::VecDeque, time::Duration};

use audio::{Encoder, Format, Gap, JitterBufferStats, Packet, RenderPath};
use line::{ImpairedLine, Impairment};

use crate::{analysis::percentile, cpu::thread_seconds};

/// One run.
#[derive(Debug, Clone)]
pub struct PlayoutLine {
    /// What is wrong with the line and the clocks.
    pub impairment: Impairment,
    /// What is sent.
    pub format: Format,
    /// Of Opus, in bits per second.
    pub bitrate: u32,
    /// Duration of a packet.
    pub packet: Duration,
    /// The speaker's rate.
    pub speaker_hz: u32,
    /// What the speaker takes at once, on its own clock.
    pub period: Duration,
    /// The sending rule: nothing is handed to the line while something handed over so long ago has
    /// not arrived, and what has waited longer is dropped and marked. `None`: all is handed over.
    pub keeps: Option<Duration>,
}

impl PlayoutLine {
    /// Opus of 32 kb/s in 20 ms packets over a line, to a speaker of 48 kHz that takes 10 ms.
    ///
    /// # Panics
    /// The description cannot be read.
    pub fn new(impairment: &str) -> Self {
        Self {
            impairment: impairment
                .parse()
                .unwrap_or_else(|error| panic!("{impairment}: {error}")),
            format: Format::OPUS_48K_MONO,
            bitrate: 32_000,
            packet: Duration::from_millis(20),
            speaker_hz: 48_000,
            period: Duration::from_millis(10),
            keeps: None,
        }
    }

    /// Sends what `source` fills in (mono, at the format's rate) for `length`, and gives what is
    /// heard (one channel, at the speaker's rate) to `ear`, period by period.
    ///
    /// # Panics
    /// The format cannot be encoded, or samples come out that are no numbers.
    pub fn run(
        &self,
        length: Duration,
        source: impl FnMut(&mut [f32]),
        mut ear: impl FnMut(&[f32]),
    ) -> Heard {
        let format = self.format;
        let mut render = RenderPath::new(format, self.speaker_hz).expect("a format that exists");
        let mut sender = Sender::new(self, source);
        let period = (f64::from(self.speaker_hz) * self.period.as_secs_f64()) as usize;
        let period_s =
            period as f64 / f64::from(self.speaker_hz) / (1.0 + self.impairment.ppm * 1e-6);
        let mut heard = Heard::default();
        let mut out = vec![0.0; period * format.channels()];
        let mut first = vec![0.0; period];
        let mut received_end: Option<usize> = None;
        let mut busy = 0.0;
        for index in 0u64.. {
            // The speaker's period does not begin with the sender's.
            let now = Duration::from_secs_f64(0.003_3 + index as f64 * period_s);
            if now >= length {
                break;
            }
            sender.speak_until(now);
            let began = thread_seconds();
            while let Some(packet) = sender.arrived_by(now) {
                render.insert(
                    Packet {
                        media_time: packet.media_time as u64,
                        gap: packet.gap,
                        payload: &packet.payload,
                    },
                    packet.arrival,
                );
                received_end = Some(packet.media_time + sender.packet);
            }
            out.fill(f32::NAN);
            render.pull(&mut out, now);
            busy += thread_seconds() - began;
            for (mono, sample) in first.iter_mut().zip(out.chunks(format.channels())) {
                *mono = sample[0];
                assert!(mono.is_finite(), "what is played is a number");
            }
            ear(&first);
            if let Some(end) = received_end {
                // What begins to be played was recorded so long ago, less its packet's duration.
                let waiting = Duration::from_micros(render.stats().depth_us) + self.period;
                let recorded = format.duration_of(end).as_secs_f64() - waiting.as_secs_f64();
                let behind = f64::from(render.resampler_us()) * 1e-6;
                let age = now.as_secs_f64() - recorded - self.packet.as_secs_f64() + behind;
                heard.course.push(Moment {
                    at_s: now.as_secs_f64(),
                    drift_ppm: render.drift_ppm(),
                    delay_ms: 1e3 * (age - self.impairment.mean_delay().as_secs_f64()),
                });
            }
        }
        heard.stats = render.stats();
        heard.drift_ppm = render.drift_ppm();
        let played_s = heard.course.len() as f64 * period_s;
        heard.cpu_us_per_10_ms = busy * 1e6 / (played_s * 100.0).max(1.0);
        heard
    }
}

/// When, and how much older what is played is than the packets need to be: beyond their own
/// duration and beyond the mean delay of the line while it does not stall.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Since the beginning of the run, in seconds.
    pub at_s: f64,
    /// In milliseconds.
    pub delay_ms: f64,
    /// What was learned of the speaker's clock until then.
    pub drift_ppm: f64,
}

/// What came of a run.
#[derive(Debug, Clone, Default)]
pub struct Heard {
    /// Of each period of the speaker, from the first packet on.
    pub course: Vec<Moment>,
    /// Of the jitter buffer, at the end.
    pub stats: JitterBufferStats,
    /// What was learned of the speaker's clock.
    pub drift_ppm: f64,
    /// CPU time of the receiving half, decoder included, in µs for each 10 ms.
    pub cpu_us_per_10_ms: f64,
}

impl Heard {
    /// The delay around a time, over 40 ms.
    pub fn delay_at(&self, at_s: f64) -> f64 {
        self.mean_delay(at_s - 0.02, at_s + 0.02)
    }

    /// The mean delay of a span, in ms; NaN for one without any.
    pub fn mean_delay(&self, from_s: f64, to_s: f64) -> f64 {
        let delays = self.delays(from_s, to_s);
        delays.iter().sum::<f64>() / delays.len() as f64
    }

    /// The delay that so many percent of a span do not exceed, in ms.
    pub fn percentile(&self, from_s: f64, to_s: f64, percent: f64) -> f64 {
        percentile(&self.delays(from_s, to_s), percent)
    }

    fn delays(&self, from_s: f64, to_s: f64) -> Vec<f64> {
        let span = from_s..to_s;
        let within = self.course.iter().filter(|m| span.contains(&m.at_s));
        within.map(|moment| moment.delay_ms).collect()
    }

    /// What was concealed of what was played, as a part of 1.
    pub fn concealed_ratio(&self) -> f64 {
        let stats = &self.stats;
        stats.concealed_us as f64 / (stats.concealed_us + stats.played_us).max(1) as f64
    }
}

struct Sent {
    media_time: usize,
    gap: Gap,
    payload: Vec<u8>,
    spoken: Duration,
    arrival: Duration,
}

struct Sender<F> {
    format: Format,
    packet: usize,
    keeps: Option<Duration>,
    line: ImpairedLine,
    encoder: Encoder,
    source: F,
    spoken: usize,
    /// Spoken and not yet handed to the line.
    queue: VecDeque<Sent>,
    under_way: VecDeque<Sent>,
    /// Something was dropped before the next packet.
    dropped: bool,
}

impl<F: FnMut(&mut [f32])> Sender<F> {
    fn new(run: &PlayoutLine, source: F) -> Self {
        Self {
            format: run.format,
            packet: run.format.samples_in(run.packet),
            keeps: run.keeps,
            line: run.impairment.line(),
            encoder: Encoder::new(run.format, run.bitrate).expect("a format that exists"),
            source,
            spoken: 0,
            queue: VecDeque::new(),
            under_way: VecDeque::new(),
            dropped: false,
        }
    }

    fn speak_until(&mut self, now: Duration) {
        loop {
            let spoken = self.format.duration_of(self.spoken + self.packet);
            if spoken > now {
                break;
            }
            let mut mono = vec![0.0; self.packet];
            (self.source)(&mut mono);
            let channels = self.format.channels();
            let frame: Vec<f32> = mono
                .iter()
                .flat_map(|&sample| std::iter::repeat_n(sample, channels))
                .collect();
            let mut payload = Vec::new();
            self.encoder
                .encode(&frame, &mut payload)
                .expect("a frame of the packet's size");
            self.queue.push_back(Sent {
                media_time: self.spoken,
                gap: Gap::None,
                payload,
                spoken,
                arrival: Duration::ZERO,
            });
            self.spoken += self.packet;
            self.hand_over(spoken);
        }
        self.hand_over(now);
    }

    /// Hands over what the rule allows at this time, and what it had allowed since the last call.
    fn hand_over(&mut self, now: Duration) {
        while let Some(waiting) = self.queue.front() {
            let mut at = waiting.spoken;
            if let Some(keeps) = self.keeps {
                let may = |at: Duration| {
                    let oldest = self.under_way.iter().find(|sent| sent.arrival > at);
                    oldest.is_none_or(|oldest| at < oldest.spoken + keeps)
                };
                if !may(at) {
                    // Allowed again when something arrives.
                    let next = self.under_way.iter().map(|sent| sent.arrival);
                    let Some(free) = next.filter(|free| *free > at).find(|free| may(*free)) else {
                        break;
                    };
                    at = free;
                }
                if at > now {
                    break;
                }
                if at > waiting.spoken + keeps {
                    self.queue.pop_front();
                    self.dropped = true;
                    continue;
                }
            }
            if let Some(mut sent) = self.queue.pop_front() {
                sent.arrival = self.line.arrival(at);
                if std::mem::take(&mut self.dropped) {
                    sent.gap = Gap::Late;
                }
                self.under_way.push_back(sent);
            }
        }
    }

    fn arrived_by(&mut self, now: Duration) -> Option<Sent> {
        let arrived = self.under_way.front()?.arrival <= now;
        if arrived {
            self.under_way.pop_front()
        } else {
            None
        }
    }
}
