//! The jitter buffer: packets come in when the line delivers them, samples go out when the speaker
//! asks for them.
//!
//! Made for streams that lose nothing but are late in bursts (gRPC on TCP). Packets are decoded on
//! arrival; what waits is samples, and its amount is the delay. When nothing is left, the decoder
//! conceals (`concealment`); what arrives afterwards is then surplus and is played faster, by whole
//! periods of the voice (`delay_adjustment`), until the delay is what the line needs
//! (`playout_schedule`). Belongs to the audio thread, not to a device callback: decoding may
//! allocate. Pure: `now` is the caller's.

use std::time::Duration;

use super::concealment::{CONCEALED_IN_FULL, CONCEALMENT_STEP, Concealment, MOST_CONCEALED};
use super::delay_adjustment::DelayAdjustment;
use super::jitter_buffer_stats::Totals;
use super::plausibility::{DecodedPacket, Plausibility};
use super::playout_schedule::PlayoutSchedule;
use super::speaker_pace::{STOPPED, SpeakerPace};
use crate::codec::Decoded;
use crate::processing::SampleFifo;
use crate::{CodecError, Decoder, Format};

pub use super::jitter_buffer_stats::{DepthError, JitterBufferStats};
pub use super::packet::{Gap, Packet, Playout};

/// A marked gap that arrives with the sound on both its sides still waiting lasts at most so long:
/// the line is late, and silence is what is missed least.
const SHORTENED_GAP: Duration = Duration::from_millis(10);
/// More never waits: the bound on memory while nobody pulls.
const MOST_WAITING: Duration = Duration::from_secs(2);
/// A media time that jumps farther says nothing about this line.
const LONGEST_JUMP: Duration = Duration::from_secs(10);
/// So many packets in a row whose media time went back are not stale: it begins anew.
const MOST_STALE: usize = 25;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing is to be heard until enough waits.
    Waiting,
    Playing,
}

/// Whether what is missing is missing because the far end's microphone is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Absence {
    No,
    /// It is, as was marked; what came before may still be heard.
    Marked,
    /// Some of it was heard, and it was counted that it began.
    Heard,
}

/// A jitter buffer for one direction of one leg.
pub struct JitterBuffer {
    format: Format,
    decoder: Decoder,
    plausibility: Plausibility,
    fifo: SampleFifo,
    schedule: PlayoutSchedule,
    concealment: Concealment,
    adjustment: DelayAdjustment,
    state: State,
    /// A marked gap began: when what waits is played, silence is right.
    pausing: bool,
    absence: Absence,
    /// The media time that should come next.
    expected: Option<u64>,
    last_length: usize,
    stale_in_a_row: usize,
    pace: SpeakerPace,
    last_arrival: Duration,
    last_transit_us: Option<i64>,
    jitter_us: i64,
    mean_depth: f64,
    totals: Totals,
}

impl JitterBuffer {
    /// An empty jitter buffer that gives out samples at the format's rate.
    ///
    /// # Errors
    /// libopus could not be set up.
    pub fn new(format: Format) -> Result<Self, CodecError> {
        let adjustment = DelayAdjustment::new(format);
        let room = adjustment.longest_insertion();
        let capacity = format.samples_in(MOST_WAITING);
        Ok(Self {
            format,
            decoder: Decoder::new(format)?,
            plausibility: Plausibility::new(format),
            fifo: SampleFifo::new(format.channels(), room, capacity),
            schedule: PlayoutSchedule::new(format),
            concealment: Concealment::new(format),
            adjustment,
            state: State::Waiting,
            pausing: false,
            absence: Absence::No,
            expected: None,
            last_length: format.samples_in(CONCEALED_IN_FULL),
            stale_in_a_row: 0,
            pace: SpeakerPace::new(format),
            last_arrival: Duration::ZERO,
            last_transit_us: None,
            jitter_us: 0,
            mean_depth: 0.0,
            totals: Totals::default(),
        })
    }

    /// Takes a packet as it arrives. A packet without audio marks the beginning of a gap, or
    /// nothing.
    pub fn insert(&mut self, packet: Packet<'_>, now: Duration) {
        if packet.payload.is_empty() {
            self.pausing |= packet.gap.is_silence();
            self.absence = match packet.gap {
                // Before the first sound nothing is missing.
                Gap::Device if self.absence == Absence::No && self.expected.is_some() => {
                    Absence::Marked
                }
                Gap::Muted | Gap::Silence => Absence::No,
                _ => self.absence,
            };
            return;
        }
        if self.is_stale(packet.media_time) {
            return;
        }
        self.measure_jitter(packet.media_time, now);
        self.account_for_jump(packet);
        if self.pausing {
            self.schedule.resume();
        }
        self.observe_arrival(now);
        self.concealment.before_packet(&mut self.decoder);
        let start = self.fifo.len();
        let decoded = self.decoder.decode(packet.payload, self.fifo.tail());
        match decoded {
            Ok(Decoded::Sound) => {}
            Ok(Decoded::Concealed) => self.totals.undecodable += 1,
            Err(_) => {
                self.totals.undecodable += 1;
                self.decoder.conceal(self.last_length, self.fifo.tail());
            }
        }
        let length = self.fifo.len() - start;
        self.schedule.receive(length);
        self.expected = Some(packet.media_time.saturating_add(length as u64));
        self.last_length = length;
        self.last_arrival = now;
        let sound = &mut self.fifo.waiting()[start * self.format.channels()..];
        self.plausibility.observe(DecodedPacket {
            payload: packet.payload,
            decodable: matches!(decoded, Ok(Decoded::Sound)),
            sound,
            peak: self.decoder.peak(),
        });
        self.concealment.join(sound, &mut self.totals);
        self.pausing = false;
        self.absence = Absence::No;
        self.bound_waiting();
    }

    /// Decodes a packet into `samples` (appended, interleaved) that is not to be played, so that the
    /// decoder is as if it had been.
    pub fn warm(&mut self, payload: &[u8], samples: &mut Vec<f32>) {
        let start = samples.len();
        match self.decoder.decode(payload, samples) {
            Ok(_) => self.concealment.continue_sound(),
            Err(_) => samples.truncate(start),
        }
    }

    /// Fills `samples` (interleaved, whole samples of all channels, any number of them) with what
    /// is to be played next.
    pub fn pull(&mut self, samples: &mut [f32], now: Duration) -> Playout {
        let wanted = samples.len() / self.format.channels();
        // What arrived while the speaker played something else is late, not early.
        let skipped = self.pace.pull(wanted, now);
        self.schedule.idle(skipped);
        if self.state == State::Waiting && self.may_start(wanted, now) {
            self.state = State::Playing;
        }
        if self.state == State::Waiting {
            samples.fill(0.0);
            self.schedule.idle(wanted);
            self.count_absent(wanted);
            return Playout::Silence;
        }
        if self.pausing && self.fifo.len() <= wanted {
            return self.play_last(samples, wanted);
        }
        if self.concealment.in_a_row() == 0 {
            self.adjustment.approach_target(
                wanted,
                &mut self.fifo,
                &mut self.schedule,
                &mut self.totals,
            );
        }
        let mut playout = Playout::Sound;
        while self.fifo.len() < wanted {
            self.conceal(wanted - self.fifo.len());
            playout = Playout::Concealed;
        }
        self.fifo.read(samples);
        self.adjustment.played(samples);
        self.schedule.pull(wanted);
        if playout == Playout::Sound {
            self.totals.played += wanted as u64;
        }
        let depth = self.fifo.len() as f64 + wanted as f64 / 2.0;
        let pulls_in_100_ms = self.format.sample_rate_hz() as f64 / 10.0 / wanted.max(1) as f64;
        self.mean_depth += (depth - self.mean_depth) / pulls_in_100_ms.max(1.0);
        playout
    }

    /// From now on samples are pulled so long before the speaker takes them.
    pub fn set_ahead(&mut self, ahead: Duration) {
        let ahead = self.format.samples_in(ahead);
        self.pace.set_ahead(ahead);
        self.schedule.set_ahead(ahead);
    }

    /// The speaker found nothing to take and played so much silence, in samples per channel: all that
    /// waits is heard so much later.
    pub fn underrun(&mut self, samples: usize) {
        let new = self.pace.underrun(samples);
        self.schedule.idle(new);
    }

    /// A new stream begins: media time may start anywhere. What waits is played, silence follows
    /// until more comes. The totals go on.
    pub fn reset(&mut self) {
        self.expected = None;
        self.last_transit_us = None;
        self.pausing = true;
        self.absence = Absence::No;
        self.schedule.forget();
    }

    /// The newest depth error, once. `None` while nothing arrives, or too little is known: then the
    /// depth says nothing about clocks.
    pub fn take_depth_error(&mut self) -> Option<DepthError> {
        let error = self.schedule.take_error()?;
        Some(DepthError {
            samples: error.samples as f64,
            adjusted: error.adjusted as f64,
            elapsed: self.format.duration_of(error.elapsed),
        })
    }

    /// Whether what arrives is no sound, and not to be played (`plausibility`).
    pub fn is_garbage(&self) -> bool {
        self.plausibility.is_garbage()
    }

    /// Where it stands.
    pub fn stats(&self) -> JitterBufferStats {
        let us = |samples: u64| samples * 1_000_000 / u64::from(self.format.sample_rate_hz());
        let target = self.mean_depth as i64 - self.schedule.surplus();
        JitterBufferStats {
            depth_us: us(self.fifo.len() as u64),
            target_us: us(u64::try_from(target).unwrap_or(0)),
            arrival_jitter_us: u64::try_from(self.jitter_us / 16).unwrap_or(0),
            ..self.concealment.stats(&self.totals)
        }
    }

    /// What lies between the last packet and this one: silence, or loss, or nothing.
    fn account_for_jump(&mut self, packet: Packet<'_>) {
        let Some(expected) = self.expected else {
            return;
        };
        let jump = packet.media_time.saturating_sub(expected);
        if jump == 0 {
            return;
        }
        // Smaller than ten seconds' samples, so it fits.
        let jump = jump.min(self.format.samples_in(LONGEST_JUMP) as u64) as usize;
        self.schedule.skip(jump);
        if packet.gap.is_silence() || self.pausing {
            if packet.gap == Gap::Device && self.absence == Absence::No {
                self.absence = Absence::Marked;
            }
            if self.absence == Absence::No {
                self.concealment.take_back(jump, &mut self.totals);
            }
            if self.state == State::Playing && self.fifo.len() == 0 {
                self.state = State::Waiting;
                self.schedule.resume();
                self.concealment.fade_out(&mut []);
            } else if self.state == State::Playing {
                self.concealment.fade_out(self.fifo.waiting());
                let silence = jump.min(self.format.samples_in(SHORTENED_GAP));
                self.append_silence(silence);
                self.count_absent(silence);
            }
            return;
        }
        self.totals.dropped_late += jump as u64;
        let already = self.concealment.in_a_row();
        let most = self.format.samples_in(MOST_CONCEALED);
        let mut missing = jump.min(most).saturating_sub(already);
        while missing > 0 && self.state == State::Playing {
            let step = missing.min(self.format.samples_in(CONCEALMENT_STEP));
            self.conceal(step);
            missing -= step;
        }
    }

    fn conceal(&mut self, wanted: usize) {
        let (decoder, fifo) = (&mut self.decoder, &mut self.fifo);
        let length = self
            .concealment
            .append(wanted, decoder, fifo, &mut self.totals);
        self.schedule.insert(length);
    }

    /// Whether this was heard before, or should have been: a stream keeps its order, so such a packet
    /// is somebody's mistake. Going back by less than half a packet is inexact reckoning, and by more
    /// than anybody would repeat, another beginning.
    fn is_stale(&mut self, media_time: u64) -> bool {
        let back = self.expected.unwrap_or(0).saturating_sub(media_time);
        if back == 0 {
            self.stale_in_a_row = 0;
            return false;
        }
        self.totals.out_of_order += 1;
        let stale = back > self.last_length as u64 / 2
            && back <= self.format.samples_in(LONGEST_JUMP) as u64
            && self.stale_in_a_row < MOST_STALE;
        self.stale_in_a_row = if stale { self.stale_in_a_row + 1 } else { 0 };
        stale
    }

    /// After silence: whether what waits lasts until the next packet, if that is as late as the
    /// line has been seen to be and comes just after a pull.
    fn may_start(&self, wanted: usize, now: Duration) -> bool {
        let since_arrival = now.saturating_sub(self.last_arrival).min(LONGEST_JUMP);
        let until_next = self
            .last_length
            .saturating_sub(self.format.samples_in(since_arrival));
        let waiting = self.fifo.len();
        waiting > 0 && waiting >= until_next + wanted + self.schedule.reserve()
    }

    /// The end of the sound before a marked gap.
    fn play_last(&mut self, samples: &mut [f32], wanted: usize) -> Playout {
        let last = self.fifo.len();
        self.concealment.fade_out(self.fifo.waiting());
        let read = self.fifo.read(samples);
        samples[read..].fill(0.0);
        self.schedule.idle(wanted - last);
        self.schedule.pull(last);
        self.totals.played += last as u64;
        self.state = State::Waiting;
        self.count_absent(wanted - last);
        self.concealment.finish(&mut self.totals);
        if last > 0 {
            Playout::Sound
        } else {
            Playout::Silence
        }
    }

    /// So much silence is heard, which is a hole where the far end's microphone is away.
    fn count_absent(&mut self, silence: usize) {
        match self.absence {
            Absence::No => return,
            Absence::Marked if self.concealment.in_a_row() == 0 => self.totals.absences += 1,
            Absence::Marked | Absence::Heard => {}
        }
        self.absence = Absence::Heard;
        self.totals.absent += silence as u64;
    }

    fn append_silence(&mut self, samples: usize) {
        let end = self.fifo.tail().len() + samples * self.format.channels();
        self.fifo.tail().resize(end, 0.0);
        self.schedule.insert(samples);
    }

    /// While nobody pulls, the oldest gives way.
    fn bound_waiting(&mut self) {
        let surplus = self
            .fifo
            .len()
            .saturating_sub(self.format.samples_in(MOST_WAITING));
        self.fifo.skip(surplus);
        self.schedule.remove(surplus);
        self.totals.dropped_late += surplus as u64;
    }

    fn observe_arrival(&mut self, now: Duration) {
        let (last, played) = self.pace.last_pull().unwrap_or((now, 0));
        let passed = now.saturating_sub(last);
        if passed < STOPPED {
            let since_pull = self.format.samples_in(passed).min(played);
            self.schedule.observe(since_pull, played);
        }
    }

    fn measure_jitter(&mut self, media_time: u64, now: Duration) {
        let rate = u128::from(self.format.sample_rate_hz());
        let media_us = u128::from(media_time) * 1_000_000 / rate;
        let transit_us = i64::try_from(now.as_micros())
            .unwrap_or(i64::MAX)
            .saturating_sub(i64::try_from(media_us).unwrap_or(i64::MAX));
        if let Some(last) = self.last_transit_us.replace(transit_us) {
            let change = transit_us
                .saturating_sub(last)
                .saturating_abs()
                .min(10_000_000);
            // Sixteen times the jitter, as the RFC's own integer form keeps it.
            self.jitter_us += change - (self.jitter_us + 8) / 16;
        }
    }
}
