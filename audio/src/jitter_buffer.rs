//! The jitter buffer: packets come in when the line delivers them, samples go out when the speaker
//! asks for them.
//!
//! Made for streams that lose nothing but are late in bursts (gRPC on TCP). Packets are decoded on
//! arrival; what waits is samples, and its amount is the delay. When nothing is left, the decoder
//! conceals; what arrives afterwards is then surplus and is played faster, by whole periods of the
//! voice, until the delay is what the line needs (`playout_schedule`). Belongs to the
//! audio thread, not to a device callback: decoding may allocate. Pure: `now` is the caller's.

use std::time::Duration;

use crate::codec::Decoded;
use crate::playout_schedule::PlayoutSchedule;
use crate::sample_fifo::SampleFifo;
use crate::time_stretch::TimeStretch;
use crate::{Codec, CodecError, Decoder, Format};

/// The most that is concealed in one piece: what follows would be a guess, and is silence.
const MOST_CONCEALED: Duration = Duration::from_millis(60);
/// Concealment is at full level for so long and then fades to the end of [`MOST_CONCEALED`].
const CONCEALED_IN_FULL: Duration = Duration::from_millis(20);
/// Sound sets in over this after silence.
const RAMP: Duration = Duration::from_millis(5);
/// Concealment is made in such steps: libopus makes multiples of 2.5 ms.
const CONCEALMENT_STEP: Duration = Duration::from_millis(5);
/// A marked gap that arrives with the sound on both its sides still waiting lasts at most so long:
/// the line is late, and silence is what is missed least.
const SHORTENED_GAP: Duration = Duration::from_millis(10);
/// A surplus beyond this is dropped at once; up to it, it is played faster.
const MOST_PLAYED_FASTER: Duration = Duration::from_millis(400);
/// More never waits: the bound on memory while nobody pulls.
const MOST_WAITING: Duration = Duration::from_secs(2);
/// A media time that jumps farther says nothing about this line.
const LONGEST_JUMP: Duration = Duration::from_secs(10);
/// Without a pull for so long, the speaker had stopped.
const SPEAKER_STOPPED: Duration = Duration::from_millis(100);

/// Why media before a packet is missing, or, without audio, from it on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Gap {
    /// None is marked.
    #[default]
    None,
    /// The speaker muted.
    Muted,
    /// There was nothing to say.
    Silence,
    /// It came too late and was dropped.
    Late,
    /// The microphone was gone.
    Device,
}

impl Gap {
    /// Whether nothing was to be heard, as opposed to something that was lost.
    fn is_silence(self) -> bool {
        matches!(self, Self::Muted | Self::Silence | Self::Device)
    }
}

/// One chunk as the jitter buffer sees it.
#[derive(Debug, Clone, Copy)]
pub struct Packet<'a> {
    /// Position of the first sample, in samples per channel. A peer that does not say: the count of
    /// samples it has sent before.
    pub media_time: u64,
    /// Why media before it (without audio: from it on) is missing.
    pub gap: Gap,
    /// The encoded audio; empty: none.
    pub payload: &'a [u8],
}

/// What a pull was filled with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Playout {
    /// The far end's sound.
    Sound,
    /// At least in part a guess (or, after 60 ms, silence) in place of sound that is late or lost.
    Concealed,
    /// There is nothing to hear: a marked gap, or nothing has arrived yet.
    Silence,
}

/// Where the jitter buffer stands, and what it has done since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JitterBufferStats {
    /// Waiting now, in µs: how long a sample that arrives now will wait.
    pub depth_us: u64,
    /// What `depth_us` tends to: its mean of late, without what is surplus or wanting.
    pub target_us: u64,
    /// Unevenness of arrivals in µs (RFC 3550, section 6.4.1, interarrival jitter).
    pub arrival_jitter_us: u64,
    /// The far end's sound that was played.
    pub played_us: u64,
    /// Played in place of sound that was late, lost or undecodable.
    pub concealed_us: u64,
    /// How often that began.
    pub concealment_events: u64,
    /// Of the events that are over, those of up to 60 ms: covered by a guess, often unheard.
    pub short_concealments: u64,
    /// Events of more than 60 ms, as soon as they are that long: their rest is silence.
    pub long_concealments: u64,
    /// The longest of these.
    pub longest_concealed_us: u64,
    /// Never played because it came too late: dropped here, or marked as dropped by the sender.
    pub dropped_late_us: u64,
    /// Taken out period by period to become less late.
    pub cut_us: u64,
    /// Put in period by period to be less often too late.
    pub inserted_us: u64,
    /// Packets that could not be decoded.
    pub undecodable: u64,
    /// Packets whose media time went back.
    pub out_of_order: u64,
}

/// By how much what waits differs from what should, for a [`DriftControl`](crate::DriftControl).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DepthError {
    /// Samples per channel too many; negative: too few.
    pub samples: f64,
    /// Played since the error before.
    pub elapsed: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing is to be heard until enough waits.
    Waiting,
    Playing,
}

/// A jitter buffer for one direction of one leg.
pub struct JitterBuffer {
    format: Format,
    decoder: Decoder,
    fifo: SampleFifo,
    stretch: TimeStretch,
    schedule: PlayoutSchedule,
    state: State,
    /// A marked gap began: when what waits is played, silence is right.
    pausing: bool,
    /// The media time that should come next.
    expected: Option<u64>,
    last_length: usize,
    /// Samples concealed since the last real one.
    concealed_in_a_row: usize,
    /// Level that the sound has faded to.
    gain: f32,
    /// Samples to be played before the next cut or insertion.
    rest: usize,
    /// The last time at which was pulled, and how much was pulled then.
    last_pull: Option<(Duration, usize)>,
    last_arrival: Duration,
    last_transit_us: Option<i64>,
    jitter_us: i64,
    mean_depth: f64,
    overlap: Vec<f32>,
    totals: Totals,
}

/// Samples per channel, but for the counts.
#[derive(Debug, Default)]
struct Totals {
    played: u64,
    concealed: u64,
    events: u64,
    long_events: u64,
    longest: u64,
    dropped_late: u64,
    cut: u64,
    inserted: u64,
    undecodable: u64,
    out_of_order: u64,
}

impl JitterBuffer {
    /// An empty jitter buffer that gives out samples at the format's rate.
    ///
    /// # Errors
    /// libopus could not be set up.
    pub fn new(format: Format) -> Result<Self, CodecError> {
        let stretch = TimeStretch::new(format.sample_rate_hz(), format.channels());
        let room = *stretch.periods().end();
        let capacity = format.samples_in(MOST_WAITING);
        Ok(Self {
            format,
            decoder: Decoder::new(format)?,
            fifo: SampleFifo::new(format.channels(), room, capacity),
            stretch,
            schedule: PlayoutSchedule::new(format),
            state: State::Waiting,
            pausing: false,
            expected: None,
            last_length: format.samples_in(CONCEALED_IN_FULL),
            concealed_in_a_row: 0,
            gain: 0.0,
            rest: 0,
            last_pull: None,
            last_arrival: Duration::ZERO,
            last_transit_us: None,
            jitter_us: 0,
            mean_depth: 0.0,
            overlap: Vec::with_capacity(format.samples_in(RAMP) * format.channels()),
            totals: Totals::default(),
        })
    }

    /// Takes a packet as it arrives. A packet without audio marks the beginning of a gap, or
    /// nothing.
    pub fn insert(&mut self, packet: Packet<'_>, now: Duration) {
        if packet.payload.is_empty() {
            self.pausing |= packet.gap.is_silence();
            return;
        }
        self.measure_jitter(packet.media_time, now);
        self.account_for_jump(packet);
        if self.pausing {
            self.schedule.resume();
        }
        self.observe_arrival(now);
        self.join_after_concealment();
        let start = self.fifo.len();
        match self.decoder.decode(packet.payload, self.fifo.tail()) {
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
        self.finish_join(start);
        self.pausing = false;
        self.bound_waiting();
    }

    /// Fills `samples` (interleaved, whole samples of all channels, any number of them) with what
    /// is to be played next.
    pub fn pull(&mut self, samples: &mut [f32], now: Duration) -> Playout {
        let wanted = samples.len() / self.format.channels();
        self.notice_stopped_speaker(wanted, now);
        if self.state == State::Waiting && self.may_start(wanted, now) {
            self.state = State::Playing;
        }
        if self.state == State::Waiting {
            samples.fill(0.0);
            self.schedule.idle(wanted);
            return Playout::Silence;
        }
        if self.pausing && self.fifo.len() <= wanted {
            return self.play_last(samples, wanted);
        }
        self.approach_target(wanted);
        let mut playout = Playout::Sound;
        while self.fifo.len() < wanted {
            self.conceal(wanted - self.fifo.len());
            playout = Playout::Concealed;
        }
        self.fifo.read(samples);
        self.stretch.hear(samples);
        self.rest = self.rest.saturating_sub(wanted);
        self.schedule.pull(wanted);
        if playout == Playout::Sound {
            self.totals.played += wanted as u64;
        }
        let depth = self.fifo.len() as f64 + wanted as f64 / 2.0;
        let pulls_in_100_ms = self.format.sample_rate_hz() as f64 / 10.0 / wanted.max(1) as f64;
        self.mean_depth += (depth - self.mean_depth) / pulls_in_100_ms.max(1.0);
        playout
    }

    /// A new stream begins: media time may start anywhere. What waits is played, silence follows
    /// until more comes. The totals go on.
    pub fn reset(&mut self) {
        self.expected = None;
        self.last_transit_us = None;
        self.pausing = true;
        self.schedule.forget();
    }

    /// The newest depth error, once. `None` while nothing arrives, or too little is known: then the
    /// depth says nothing about clocks.
    pub fn take_depth_error(&mut self) -> Option<DepthError> {
        let (samples, elapsed) = self.schedule.take_error()?;
        Some(DepthError {
            samples: samples as f64,
            elapsed: self.format.duration_of(elapsed),
        })
    }

    /// Where it stands.
    pub fn stats(&self) -> JitterBufferStats {
        let us = |samples: u64| samples * 1_000_000 / u64::from(self.format.sample_rate_hz());
        let totals = &self.totals;
        let target = self.mean_depth as i64 - self.schedule.surplus();
        let running = self.concealed_in_a_row > 0;
        let running_long = self.concealed_in_a_row > self.format.samples_in(MOST_CONCEALED);
        JitterBufferStats {
            depth_us: us(self.fifo.len() as u64),
            target_us: us(u64::try_from(target).unwrap_or(0)),
            arrival_jitter_us: u64::try_from(self.jitter_us / 16).unwrap_or(0),
            played_us: us(totals.played),
            concealed_us: us(totals.concealed),
            concealment_events: totals.events,
            short_concealments: totals.events - totals.long_events - u64::from(running),
            long_concealments: totals.long_events + u64::from(running_long),
            longest_concealed_us: us(totals.longest.max(self.concealed_in_a_row as u64)),
            dropped_late_us: us(totals.dropped_late),
            cut_us: us(totals.cut),
            inserted_us: us(totals.inserted),
            undecodable: totals.undecodable,
            out_of_order: totals.out_of_order,
        }
    }

    /// What lies between the last packet and this one: silence, or loss, or nothing.
    fn account_for_jump(&mut self, packet: Packet<'_>) {
        let Some(expected) = self.expected else {
            return;
        };
        if packet.media_time < expected {
            self.totals.out_of_order += 1;
        }
        let jump = packet.media_time.saturating_sub(expected);
        if jump == 0 {
            return;
        }
        // Smaller than ten seconds' samples, so it fits.
        let jump = jump.min(self.format.samples_in(LONGEST_JUMP) as u64) as usize;
        self.schedule.skip(jump);
        if packet.gap.is_silence() || self.pausing {
            self.take_back_concealment(jump);
            if self.state == State::Playing && self.fifo.len() == 0 {
                self.state = State::Waiting;
                self.schedule.resume();
                self.gain = 0.0;
            } else if self.state == State::Playing {
                self.fade_out_tail();
                self.append_silence(jump.min(self.format.samples_in(SHORTENED_GAP)));
            }
            return;
        }
        self.totals.dropped_late += jump as u64;
        let already = self.concealed_in_a_row;
        let most = self.format.samples_in(MOST_CONCEALED);
        let mut missing = jump.min(most).saturating_sub(already);
        while missing > 0 && self.state == State::Playing {
            let step = missing.min(self.format.samples_in(CONCEALMENT_STEP));
            self.conceal(step);
            missing -= step;
        }
    }

    /// What was concealed turns out to have been silence.
    fn take_back_concealment(&mut self, jump: usize) {
        if self.concealed_in_a_row > 0 && self.concealed_in_a_row <= jump {
            self.totals.concealed -= (self.concealed_in_a_row as u64).min(self.totals.concealed);
            self.totals.events -= 1;
            self.concealed_in_a_row = 0;
        }
    }

    /// Appends a step of concealment, at least as long as `wanted` unless that is longer than one.
    fn conceal(&mut self, wanted: usize) {
        let most = self.format.samples_in(MOST_CONCEALED);
        let channels = self.format.channels();
        let start = self.fifo.len() * channels;
        let already = self.concealed_in_a_row;
        let length = if already < most && self.gain > 0.0 {
            let step = self.format.samples_in(CONCEALMENT_STEP);
            self.decoder.conceal(step, self.fifo.tail());
            let full = self.format.samples_in(CONCEALED_IN_FULL);
            let fade_step = 1.0 / (most - full) as f32;
            let made = &mut self.fifo.waiting()[start..];
            for (index, sample) in made.chunks_exact_mut(channels).enumerate() {
                if already + index >= full {
                    self.gain = (self.gain - fade_step).max(0.0);
                }
                sample.iter_mut().for_each(|value| *value *= self.gain);
            }
            step
        } else {
            self.gain = 0.0;
            let end = self.fifo.tail().len() + wanted * channels;
            self.fifo.tail().resize(end, 0.0);
            wanted
        };
        self.schedule.insert(length);
        self.count_concealed(length);
    }

    fn count_concealed(&mut self, samples: usize) {
        if self.concealed_in_a_row == 0 {
            self.totals.events += 1;
        }
        self.concealed_in_a_row += samples;
        self.totals.concealed += samples as u64;
    }

    fn end_concealment(&mut self) {
        if self.concealed_in_a_row > self.format.samples_in(MOST_CONCEALED) {
            self.totals.long_events += 1;
        }
        self.totals.longest = self.totals.longest.max(self.concealed_in_a_row as u64);
        self.concealed_in_a_row = 0;
    }

    /// libopus leads from its own concealment into the next packet; for the others, a little more
    /// concealment is made to fade out under the sound that begins.
    fn join_after_concealment(&mut self) {
        self.overlap.clear();
        if self.concealed_in_a_row > 0 && self.gain > 0.0 && self.format.codec() != Codec::Opus {
            self.decoder
                .conceal(self.format.samples_in(RAMP) / 2, &mut self.overlap);
        }
    }

    /// Ramps the sound from `start` on (samples per channel) up from where it had faded to.
    fn finish_join(&mut self, start: usize) {
        let channels = self.format.channels();
        let ramp_step = 1.0 / self.format.samples_in(RAMP) as f32;
        let fade_step = channels as f32 / self.overlap.len().max(1) as f32;
        let (mut gain, faded) = (self.gain, self.gain);
        let sound = &mut self.fifo.waiting()[start * channels..];
        for (index, sample) in sound.chunks_exact_mut(channels).enumerate() {
            if gain >= 1.0 && index * channels >= self.overlap.len() {
                break;
            }
            let weight = (index as f32 * fade_step).min(1.0);
            for (channel, value) in sample.iter_mut().enumerate() {
                *value *= gain;
                if let Some(old) = self.overlap.get(index * channels + channel) {
                    *value = old * faded + (*value - old * faded) * weight;
                }
            }
            gain = (gain + ramp_step).min(1.0);
        }
        self.gain = gain;
        self.end_concealment();
    }

    /// Lengthens or shortens what waits towards what the line needs.
    fn approach_target(&mut self, wanted: usize) {
        let surplus = self.schedule.surplus();
        let waiting = self.fifo.len();
        if self.rest > 0 || self.concealed_in_a_row > 0 || waiting == 0 {
            return;
        }
        let spare = waiting.saturating_sub(wanted);
        let extra = usize::try_from(surplus).unwrap_or(0).min(spare);
        if extra > self.format.samples_in(MOST_PLAYED_FASTER) {
            self.drop_stretch(extra);
        } else if extra >= *self.stretch.periods().start() {
            self.cut_period(extra);
        } else if surplus < -(self.format.samples_in(RAMP) as i64) / 5 {
            self.insert_period(usize::try_from(-surplus).unwrap_or(0));
        }
    }

    fn drop_stretch(&mut self, extra: usize) {
        let longest = *self.stretch.periods().end();
        let fade = self.format.samples_in(RAMP) * 2;
        let least = extra - longest;
        let found = self.stretch.find(self.fifo.waiting(), least..=extra);
        let distance = found.map_or(extra, |found| found.distance);
        self.stretch.cut(self.fifo.waiting(), distance, fade);
        self.fifo.skip(distance);
        self.schedule.remove(distance);
        self.totals.dropped_late += distance as u64;
        self.rest = fade;
    }

    fn cut_period(&mut self, extra: usize) {
        let ms = self.format.sample_rate_hz() as usize / 1_000;
        let (least, most) = self.stretch.periods().into_inner();
        // A little too much waits for a pause, or for what repeats as exactly as a tone. The more there is, the less it matters how well it
        // joins, and the sooner the next may follow.
        let (correlation, pause) = match extra / ms {
            0..8 => (0.95, 100 * ms),
            8..15 => (0.8, 100 * ms),
            15..40 => (0.5, 20 * ms),
            _ => (-1.0, 0),
        };
        let most = most.min(extra).min(self.fifo.len() / 2);
        self.rest = 10 * ms;
        let found = self.stretch.find(self.fifo.waiting(), least..=most);
        let Some(found) = found.filter(|found| found.quiet || found.correlation >= correlation)
        else {
            return;
        };
        self.stretch
            .cut(self.fifo.waiting(), found.distance, found.distance);
        self.fifo.skip(found.distance);
        self.schedule.remove(found.distance);
        self.totals.cut += found.distance as u64;
        self.rest = found.distance + pause;
    }

    fn insert_period(&mut self, wanting: usize) {
        if self.fifo.len() > self.format.samples_in(MOST_PLAYED_FASTER) {
            return;
        }
        let ms = self.format.sample_rate_hz() as usize / 1_000;
        let (least, most) = self.stretch.periods().into_inner();
        let correlation = match wanting / ms {
            0..3 => 0.95,
            3..6 => 0.6,
            _ => -1.0,
        };
        let most = most.min(self.fifo.len() / 2).min(wanting + 3 * least);
        self.rest = 10 * ms;
        let found = self.stretch.find(self.fifo.waiting(), least..=most);
        let Some(found) = found.filter(|found| found.quiet || found.correlation >= correlation)
        else {
            return;
        };
        self.stretch
            .insert(self.fifo.extend_front(found.distance), found.distance);
        self.schedule.insert(found.distance);
        self.totals.inserted += found.distance as u64;
        self.rest = 2 * found.distance;
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
        self.fade_out_tail();
        let read = self.fifo.read(samples);
        samples[read..].fill(0.0);
        self.schedule.idle(wanted - last);
        self.schedule.pull(last);
        self.totals.played += last as u64;
        self.state = State::Waiting;
        self.end_concealment();
        self.gain = 0.0;
        if last > 0 {
            Playout::Sound
        } else {
            Playout::Silence
        }
    }

    fn fade_out_tail(&mut self) {
        let channels = self.format.channels();
        let fade = self.format.samples_in(RAMP).min(self.fifo.len());
        let start = (self.fifo.len() - fade) * channels;
        let tail = &mut self.fifo.waiting()[start..];
        for (index, sample) in tail.chunks_exact_mut(channels).enumerate() {
            let weight = 1.0 - (index + 1) as f32 / fade as f32;
            sample.iter_mut().for_each(|value| *value *= weight);
        }
        self.gain = 0.0;
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

    /// What arrived while the speaker stood still is late, not early.
    fn notice_stopped_speaker(&mut self, wanted: usize, now: Duration) {
        if let Some((last, played)) = self.last_pull {
            if last == now {
                self.last_pull = Some((now, played + wanted));
                return;
            }
            let passed = now.saturating_sub(last).min(LONGEST_JUMP);
            let unplayed = self.format.samples_in(passed).saturating_sub(played);
            if unplayed > self.format.samples_in(SPEAKER_STOPPED) {
                self.schedule.idle(unplayed);
            }
        }
        self.last_pull = Some((now, wanted));
    }

    fn observe_arrival(&mut self, now: Duration) {
        let (last, played) = self.last_pull.unwrap_or((now, 0));
        let passed = now.saturating_sub(last);
        if passed < SPEAKER_STOPPED {
            self.schedule
                .observe(self.format.samples_in(passed).min(played));
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
