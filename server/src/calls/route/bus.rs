//! One mix, for all listeners that hear the same in the same format: summed, limited and encoded once.

use std::{collections::VecDeque, time::Duration};

use audio::{
    Format,
    frame::{Frame, SAMPLE_RATE_HZ, SAMPLES_PER_CHANNEL},
    mixing::{ExactFrame, ExactSum, Fade, MixingError, OutboundPath},
};
use bytes::Bytes;

use crate::calls::call::{PartyId, PartySet};

/// Listeners that share a bus agree in all of this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Class {
    /// Whom they hear, of those who say something.
    pub(super) voices: PartySet,
    pub(super) format: Format,
    /// Samples per channel in a packet.
    pub(super) packet_samples: usize,
}

/// What is said in one tick.
pub(super) struct Said<'a, F: Fn(PartyId) -> Option<&'a ExactFrame>> {
    pub(super) now: Duration,
    /// Who says something.
    pub(super) audible: PartySet,
    /// Of these, who said nothing at the tick before.
    pub(super) begun: PartySet,
    /// All that is said, for one ear and for two.
    pub(super) totals: [ExactSum; 2],
    /// What one of them says.
    pub(super) frame: F,
}

impl<'a, F: Fn(PartyId) -> Option<&'a ExactFrame>> Said<'a, F> {
    fn frames(&self, parties: &PartySet) -> impl Iterator<Item = &'a ExactFrame> {
        parties.iter().filter_map(&self.frame)
    }
}

/// A packet for all listeners of a bus.
#[derive(Debug, Clone)]
pub(super) struct Packet {
    pub(super) payload: Bytes,
    pub(super) samples_per_channel: usize,
    pub(super) level: u8,
    /// How old its first sample is, in microseconds, if known.
    pub(super) age_us: Option<u32>,
}

/// One mix.
pub(super) struct Bus {
    /// What its newest frame was.
    class: Class,
    /// What its next frame will be: what most of its listeners hear then.
    next: Option<Class>,
    pub(super) listeners: PartySet,
    path: OutboundPath,
    /// The newest frames, not limited: for an encoder that takes over.
    history: VecDeque<Frame>,
    /// When the first sample of the packet that is being filled was mixed, and how old it was then.
    first: Option<(Duration, Option<u32>)>,
}

impl Bus {
    /// A bus whose listeners have heard `history`, of which so many samples, at their rate, are in no
    /// packet yet. `voices`: whom they heard in it.
    ///
    /// # Errors
    /// The codec or the resampler cannot be set up.
    pub(super) fn new(
        class: Class,
        history: VecDeque<Frame>,
        pending: usize,
    ) -> Result<Self, MixingError> {
        let (rate, packet) = (class.format.sample_rate_hz(), class.packet_samples.max(1));
        let frames = history.len() as u64 * SAMPLES_PER_CHANNEL as u64;
        let heard = (frames * u64::from(rate) / u64::from(SAMPLE_RATE_HZ)) as usize;
        let already = (pending + packet - heard % packet) % packet;
        let mut path = OutboundPath::new(class.format, class.packet_samples, already)?;
        for frame in &history {
            path.push(frame, |_| {})?;
        }
        path.begin_anew();
        Ok(Self {
            class,
            next: None,
            listeners: PartySet::default(),
            path,
            history,
            first: None,
        })
    }

    /// A bus for some of this one's listeners, who will hear something else.
    ///
    /// # Errors
    /// As [`Bus::new`].
    pub(super) fn fork(&self) -> Result<Self, MixingError> {
        let mut fork = Self::new(
            self.class,
            self.history.clone(),
            self.path.pending_samples(),
        )?;
        fork.path.limit_like(&self.path);
        fork.first = self.first;
        Ok(fork)
    }

    /// Chooses what it goes on with, of what its listeners hear.
    pub(super) fn plan(&mut self, classes: &[(PartyId, Class)]) {
        let mut counts: Vec<(Class, usize)> = Vec::new();
        for (party, class) in classes {
            if !self.listeners.contains(*party) || !self.fits(class) {
                continue;
            }
            match counts.iter_mut().find(|(other, _)| other == class) {
                Some((_, count)) => *count += 1,
                None => counts.push((*class, 1)),
            }
        }
        let most = counts.into_iter().max_by_key(|(_, count)| *count);
        self.next = most.map(|(class, _)| class);
    }

    /// It goes on with this.
    pub(super) fn plan_for(&mut self, class: Class) {
        self.next = Some(class);
    }

    /// Whether a party can hear this class on it. What it was heard to say at the last tick may still fade out
    /// here.
    pub(super) fn takes(&self, party: PartyId, class: &Class) -> bool {
        let is_free = || !self.class.voices.contains(party);
        self.next == Some(*class) && (self.listeners.contains(party) || is_free())
    }

    /// Whether it can go on with another class.
    pub(super) fn fits(&self, class: &Class) -> bool {
        (class.format, class.packet_samples) == (self.class.format, self.class.packet_samples)
    }

    /// One more listener, whose decoder has heard something else.
    pub(super) fn add(&mut self, listener: PartyId) {
        self.listeners.insert(listener);
        self.path.begin_anew();
    }

    /// The next 10 ms, in which `voices` are heard: of `tick`, what is said in them.
    ///
    /// # Errors
    /// The codec failed.
    pub(super) fn mix<'a>(
        &mut self,
        voices: PartySet,
        tick: &Said<'a, impl Fn(PartyId) -> Option<&'a ExactFrame>>,
        age_us: Option<u32>,
    ) -> Result<Vec<Packet>, MixingError> {
        let before = std::mem::replace(&mut self.class.voices, voices);
        let unheard = tick.audible.without(&voices);
        let channels = self.class.format.channels();
        let mut sum = match unheard.len() < voices.len() {
            true => {
                let [mono, stereo] = &tick.totals;
                let mut sum = if channels == 1 { mono } else { stereo }.clone();
                tick.frames(&unheard).for_each(|frame| sum.subtract(frame));
                sum
            }
            false => {
                let mut sum = ExactSum::silence(channels);
                tick.frames(&voices).for_each(|frame| sum.add(frame));
                sum
            }
        };
        // What begins by itself is whole, what is let in or cut off is faded.
        for frame in tick.frames(&voices.without(&before).without(&tick.begun)) {
            sum.subtract(frame);
            sum.add_faded(frame, Fade::In);
        }
        for frame in tick.frames(&before.without(&voices)) {
            sum.add_faded(frame, Fade::Out);
        }
        let frame = sum.frame();
        // What a relay left may be longer.
        while self.history.len() >= self.history_frames() {
            self.history.pop_front();
        }
        self.history.push_back(frame.clone());
        self.encode(&frame, age_us, tick.now)
    }

    fn encode(
        &mut self,
        frame: &Frame,
        age_us: Option<u32>,
        now: Duration,
    ) -> Result<Vec<Packet>, MixingError> {
        let mut first = *self.first.get_or_insert((now, age_us));
        let delay_us = self.path.delay_us();
        let mut packets = Vec::new();
        self.path.push(frame, |packet| {
            let (mixed, age_us) = first;
            let waited_us = micros(now.saturating_sub(mixed));
            packets.push(Packet {
                payload: Bytes::copy_from_slice(packet.payload),
                samples_per_channel: packet.samples_per_channel,
                level: packet.level,
                age_us: age_us.map(|age_us| age_us.saturating_add(waited_us + delay_us)),
            });
            // Of several in one frame, the later are younger by what was before them.
            let length = self.class.format.duration_of(packet.samples_per_channel);
            first = (
                mixed,
                age_us.map(|age_us| age_us.saturating_sub(micros(length))),
            );
        })?;
        if !packets.is_empty() {
            self.first = None;
        }
        Ok(packets)
    }

    /// A packet, and what warms an encoder.
    fn history_frames(&self) -> usize {
        let length = self.class.format.duration_of(self.class.packet_samples);
        length.as_millis().div_ceil(10) as usize + 2
    }
}

fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}
