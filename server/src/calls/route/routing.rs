//! Which way sound takes to each listener, and what each is to be sent.
//!
//! Pure: packets come in as they arrive, and every 10 ms a tick. What is to be sent is taken after each.

use std::{collections::VecDeque, time::Duration};

use audio::{
    Effects, Format,
    mixing::{Arrived, ExactSum, MixingError},
};
use bytes::Bytes;
use proto::callcenter::Gap;

use super::{
    Outgoing, Place,
    bus::{Bus, Class, Packet, Said},
    voices::{Before, Voice},
};
use crate::calls::call::{Call, PartyId, PartySet};

/// A listener whose route becomes a mix waits at most so many ticks until its speaker is heard in it.
const MAX_WAIT_TICKS: u64 = 10;

/// Nobody is sent shorter packets, however short its own chunks: each costs as much as a long one.
const MIN_PACKET: Duration = Duration::from_micros(2_500);

/// The length of a listener's packets becomes another at most once in so many ticks: each time an encoder is
/// set up.
const TICKS_OF_A_LENGTH: u64 = 100;

/// More than this is not missing, but another beginning.
const MAX_JUMP: Duration = Duration::from_secs(10);

/// What a leg's sound looks like.
#[derive(Debug, Clone)]
pub(crate) struct LegFormat {
    pub(crate) format: Format,
    /// What its sound goes through before others hear it.
    pub(crate) effects: Effects,
    /// Whether its peer numbers its chunks: then it may be sent packets of any length, and none.
    pub(crate) is_numbered: bool,
}

/// Something for one party.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) to: PartyId,
    pub(crate) outgoing: Outgoing,
}

/// How a listener hears whom it hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    Nothing,
    /// The packets of this one, as they come.
    Relay {
        from: PartyId,
        /// Where what was forwarded ends, in the speaker's media time.
        until: Option<u64>,
    },
    Mix {
        /// Until it is heard there from where it was heard last.
        waits: Option<Wait>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wait {
    speaker: PartyId,
    from: u64,
    /// In ticks: then it waits no longer.
    deadline: u64,
}

/// One leg as the routes see it.
struct Leg {
    format: LegFormat,
    /// Samples per channel in its own newest chunk; `None` before the first.
    chunk_samples: Option<usize>,
    /// Samples per channel in what it is sent from a mix, and since which tick.
    packet_samples: usize,
    packet_since: u64,
    /// Of its newest chunk without sound, if that was the newest.
    last_gap: Option<audio::Gap>,
    /// Where the next sample of a peer stands that does not number.
    media_time: u64,
    voice: Voice,
    hears: PartySet,
    route: Route,
}

/// The routes of one call.
#[derive(Default)]
pub(crate) struct Routing {
    legs: Vec<Option<Leg>>,
    buses: Vec<Bus>,
    ticks: u64,
    audible: PartySet,
    /// Who was cut off, as it spoke, since the last tick: its last words fade.
    cut_off: Vec<(PartyId, Voice)>,
    encoded: u64,
    /// What was chosen for somebody is no more so.
    is_dirty: bool,
    deliveries: Vec<Delivery>,
}

impl Routing {
    /// One more party. [`Routing::update`] is due.
    pub(crate) fn join(&mut self, party: PartyId, format: LegFormat) {
        self.cut_off.retain(|(id, _)| *id != party);
        if self.legs.len() <= party.index() {
            self.legs.resize_with(party.index() + 1, || None);
        }
        let leg = Leg {
            chunk_samples: None,
            packet_samples: format.format.samples_in(2 * super::TICK),
            packet_since: self.ticks,
            voice: Voice::new(format.format, &format.effects),
            format,
            last_gap: None,
            media_time: 0,
            hears: PartySet::default(),
            route: Route::Nothing,
        };
        if let Some(place) = self.legs.get_mut(party.index()) {
            *place = Some(leg);
        }
    }

    /// A party has gone. [`Routing::update`] is due.
    pub(crate) fn leave(&mut self, party: PartyId) {
        let leg = self.legs.get_mut(party.index()).and_then(Option::take);
        if let Some(leg) = leg {
            self.cut_off.push((party, leg.voice));
        }
        self.remove_listener(party);
    }

    /// Chooses the routes anew, after somebody has come, gone, been muted or held. What it returns is a
    /// fault: those parties cannot be in the call.
    pub(crate) fn update(&mut self, call: &Call, now: Duration) -> Vec<PartyId> {
        self.is_dirty = false;
        for (party, _) in call.parties() {
            let hears = call.hears(party);
            if let Some(leg) = self.leg_mut(party) {
                leg.hears = hears;
            }
        }
        let parties: Vec<_> = call.parties().map(|(party, _)| party).collect();
        let mut faults: Vec<_> = parties
            .into_iter()
            .filter(|&party| self.route(party, now).is_err())
            .collect();
        for speaker in self.mixed().iter() {
            let leg = self.leg_mut(speaker);
            if leg.is_some_and(|leg| leg.voice.begin(Before::NotHeard).is_err()) {
                faults.push(speaker);
            }
        }
        faults
    }

    /// Takes a chunk of a party as it arrives; of one that does not number, its media time is counted
    /// here.
    ///
    /// # Errors
    /// It panicked, with these words.
    pub(crate) fn insert(&mut self, from: PartyId, mut arrived: Arrived) -> Result<(), String> {
        let ticks = self.ticks;
        let mut turns_choppy = false;
        let Some(leg) = self.leg_mut(from) else {
            return Ok(());
        };
        let samples = match arrived.payload.is_empty() {
            true => 0,
            false => {
                let samples = leg.format.format.samples_per_channel(&arrived.payload);
                let samples = samples.unwrap_or(leg.packet_samples);
                let was_choppy = leg.is_choppy();
                let is_first = leg.chunk_samples.replace(samples).is_none();
                leg.follow_chunks(ticks, is_first);
                turns_choppy = leg.is_choppy() && !was_choppy;
                samples as u64
            }
        };
        if !leg.format.is_numbered {
            arrived.media_time = leg.media_time;
            leg.media_time += samples;
        }
        // What says no more than the one before it is nothing to anybody else.
        let is_news = match arrived.payload.is_empty() {
            true => {
                leg.last_gap.replace(arrived.gap) != Some(arrived.gap)
                    && arrived.gap != audio::Gap::None
            }
            false => {
                leg.last_gap = None;
                true
            }
        };
        self.is_dirty |= turns_choppy;
        if is_news {
            self.forward(from, &arrived);
        }
        let Some(leg) = self.leg_mut(from) else {
            return Ok(());
        };
        output::contain(|| leg.voice.insert(&arrived))
    }

    /// Whether [`Routing::update`] is due, by what came.
    pub(crate) fn is_dirty(&self) -> bool {
        self.is_dirty
    }

    /// The next 10 ms. What it returns is a fault of ours: those parties cannot go on.
    pub(crate) fn tick(&mut self, now: Duration) -> Vec<PartyId> {
        self.ticks += 1;
        let mixed = self.mixed();
        let before = self.audible;
        self.audible = PartySet::default();
        let mut faults = Vec::new();
        for (party, leg) in parties_mut(&mut self.legs) {
            let is_mixed = mixed.contains(party);
            if output::contain(|| leg.voice.tick(is_mixed, now)).is_err() {
                faults.push(party);
            } else if leg.voice.frame().is_some() {
                self.audible.insert(party);
            }
        }
        self.cut_off
            .retain_mut(|(_, voice)| output::contain(|| voice.tick(true, now)).is_ok());
        let begun = self.audible.without(&before);
        faults.extend(self.sort_into_buses());
        faults.extend(self.mix(begun, now));
        self.cut_off.clear();
        self.relay_in_pauses(now);
        faults
    }

    /// What is to be sent by now, in order.
    pub(crate) fn take_deliveries(&mut self) -> Vec<Delivery> {
        std::mem::take(&mut self.deliveries)
    }

    /// Whether anybody needs ticks.
    pub(crate) fn needs_ticks(&self) -> bool {
        let mut legs = self.legs.iter().flatten();
        legs.any(|leg| matches!(leg.route, Route::Mix { .. }) || leg.voice.is_mixed())
    }

    /// The level of what a party says (−dBov, RFC 6464), if it is mixed.
    pub(crate) fn level(&self, party: PartyId) -> Option<u8> {
        self.leg(party)?.voice.level()
    }

    /// How many packets were encoded so far.
    pub(crate) fn encoded(&self) -> u64 {
        self.encoded
    }

    fn leg(&self, party: PartyId) -> Option<&Leg> {
        self.legs.get(party.index())?.as_ref()
    }

    fn leg_mut(&mut self, party: PartyId) -> Option<&mut Leg> {
        self.legs.get_mut(party.index())?.as_mut()
    }

    /// Whose packets a listener can be sent as they are.
    fn can_relay(&self, listener: PartyId) -> Option<PartyId> {
        let leg = self.leg(listener)?;
        let from = leg.hears.only().filter(|_| leg.format.is_numbered)?;
        let speaker = self.leg(from)?;
        let is_equal = speaker.format.format == leg.format.format;
        (is_equal && speaker.format.effects.is_none() && !speaker.is_choppy()).then_some(from)
    }

    /// Chooses the route of one listener.
    fn route(&mut self, listener: PartyId, now: Duration) -> Result<(), MixingError> {
        let relay = self.can_relay(listener);
        let Some(leg) = self.leg(listener) else {
            return Ok(());
        };
        let next = match (leg.route, relay) {
            _ if leg.format.is_numbered && leg.hears.is_empty() => Route::Nothing,
            (Route::Relay { from, .. }, Some(wanted)) if from == wanted => return Ok(()),
            // In the middle of a word that would be heard.
            (Route::Mix { .. }, Some(from)) if !self.is_pausing(from) => return Ok(()),
            (Route::Mix { .. }, Some(from)) => Route::Relay {
                from,
                until: self.leg(from).and_then(|leg| leg.voice.position()),
            },
            (_, Some(from)) => Route::Relay { from, until: None },
            (Route::Mix { .. }, None) => return Ok(()),
            (Route::Nothing | Route::Relay { .. }, None) => return self.begin_mix(listener),
        };
        let stops = next == Route::Nothing && leg.route != Route::Nothing;
        let waiting = match (leg.route, next) {
            (Route::Mix { .. }, Route::Relay { from, .. }) => {
                self.leg(from).map(|leg| leg.voice.waiting())
            }
            _ => None,
        };
        self.remove_listener(listener);
        if let Some(leg) = self.leg_mut(listener) {
            leg.route = next;
        }
        // What waited to be mixed goes ahead of what comes; before it there is a pause.
        for (n, mut arrived) in waiting.into_iter().flatten().enumerate() {
            if n == 0 {
                arrived.gap = audio::Gap::Silence;
            }
            self.forward_to(listener, &arrived);
        }
        if stops {
            let marker = Outgoing {
                payload: Bytes::new(),
                samples_per_channel: 0,
                place: Place::After(0),
                gap: Gap::Silence,
                level: None,
                since: now,
                age_us: None,
                answers: None,
            };
            self.deliveries.push(Delivery {
                to: listener,
                outgoing: marker,
            });
        }
        Ok(())
    }

    /// From now on the listener hears a mix, from where its speaker was heard last.
    fn begin_mix(&mut self, listener: PartyId) -> Result<(), MixingError> {
        let ticks = self.ticks;
        let Some(leg) = self.leg(listener) else {
            return Ok(());
        };
        let (route, format, hears) = (leg.route, leg.format.format, leg.hears);
        let packet_samples = leg.packet_samples;
        let mut history = VecDeque::new();
        let mut heard = PartySet::default();
        let mut waits = None;
        if let Route::Relay { from, until } = route
            && hears.contains(from)
            && let Some(speaker) = self.leg_mut(from)
        {
            history.extend(speaker.voice.begin(Before::Heard)?);
            heard.insert(from);
            waits = until.map(|from_time| Wait {
                speaker: from,
                from: from_time,
                deadline: ticks + MAX_WAIT_TICKS,
            });
        }
        if !history.is_empty() {
            let class = Class {
                voices: heard,
                format,
                packet_samples,
            };
            let mut bus = Bus::new(class, history, 0)?;
            bus.add(listener);
            self.buses.push(bus);
        }
        if let Some(leg) = self.leg_mut(listener) {
            leg.route = Route::Mix { waits };
        }
        Ok(())
    }

    fn is_pausing(&self, speaker: PartyId) -> bool {
        self.leg(speaker)
            .is_none_or(|leg| leg.voice.is_quiet() || !leg.voice.is_playing())
    }

    /// Everybody whom somebody hears in a mix.
    fn mixed(&self) -> PartySet {
        let legs = self.legs.iter().flatten();
        legs.filter(|leg| matches!(leg.route, Route::Mix { .. }))
            .flat_map(|leg| leg.hears.iter())
            .collect()
    }

    /// Sends a packet to all to whom its speaker is relayed.
    fn forward(&mut self, from: PartyId, arrived: &Arrived) {
        let listeners: PartySet = parties_mut(&mut self.legs)
            .filter(
                |(_, leg)| matches!(leg.route, Route::Relay { from: heard, .. } if heard == from),
            )
            .map(|(listener, _)| listener)
            .collect();
        for listener in listeners.iter() {
            self.forward_to(listener, arrived);
        }
    }

    /// Sends a packet of the one who is relayed to this listener.
    fn forward_to(&mut self, listener: PartyId, arrived: &Arrived) {
        let Some(leg) = self.leg_mut(listener) else {
            return;
        };
        let format = leg.format.format;
        let Route::Relay { until, .. } = &mut leg.route else {
            return;
        };
        let (mut skipped, mut samples) = (0, 0);
        if !arrived.payload.is_empty() {
            samples = format.samples_per_channel(&arrived.payload).unwrap_or(0) as u64;
            skipped = until.map_or(0, |until| arrived.media_time.saturating_sub(until));
            *until = Some(arrived.media_time.saturating_add(samples));
        }
        let most = format.samples_in(MAX_JUMP) as u64;
        self.deliveries.push(Delivery {
            to: listener,
            outgoing: Outgoing {
                payload: arrived.payload.clone(),
                samples_per_channel: samples,
                place: Place::After(if skipped > most { 0 } else { skipped }),
                gap: gap(arrived.gap),
                level: arrived.level,
                since: arrived.at,
                age_us: arrived.age_us.filter(|_| samples > 0),
                answers: None,
            },
        });
    }

    /// Each listener to the bus on which it hears what it hears now, in its format.
    fn sort_into_buses(&mut self) -> Vec<PartyId> {
        let mut classes: Vec<(PartyId, Class)> = Vec::new();
        for (party, leg) in parties_mut(&mut self.legs) {
            if matches!(leg.route, Route::Mix { .. }) {
                let class = Class {
                    voices: leg.hears.and(&self.audible),
                    format: leg.format.format,
                    packet_samples: leg.packet_samples,
                };
                classes.push((party, class));
            }
        }
        for bus in &mut self.buses {
            bus.plan(&classes);
        }
        let mut faults = Vec::new();
        for (party, class) in classes {
            let bus = self.buses.iter().position(|bus| bus.takes(party, &class));
            let bus = bus.and_then(|at| self.buses.get_mut(at));
            match bus.map(|bus| bus.listeners.contains(party)) {
                Some(true) => {}
                Some(false) => {
                    self.remove_listener(party);
                    let mut buses = self.buses.iter_mut();
                    if let Some(bus) = buses.find(|bus| bus.takes(party, &class)) {
                        bus.add(party);
                    }
                }
                None => match self.new_bus(party, class) {
                    Ok(mut bus) => {
                        self.remove_listener(party);
                        bus.plan_for(class);
                        bus.add(party);
                        self.buses.push(bus);
                    }
                    Err(_) => faults.push(party),
                },
            }
        }
        self.buses.retain(|bus| !bus.listeners.is_empty());
        faults
    }

    /// A bus of its own for a listener, which goes on with what it has heard until now.
    fn new_bus(&self, listener: PartyId, class: Class) -> Result<Bus, MixingError> {
        let mut buses = self.buses.iter();
        match buses.find(|bus| bus.listeners.contains(listener) && bus.fits(&class)) {
            Some(bus) => bus.fork(),
            None => Bus::new(class, VecDeque::new(), 0),
        }
    }

    /// Mixes each bus and sends its packets to its listeners.
    fn mix(&mut self, begun: PartySet, now: Duration) -> Vec<PartyId> {
        let mut totals = [ExactSum::silence(1), ExactSum::silence(2)];
        let legs = &self.legs;
        let cut_off = &self.cut_off;
        let frame = |party: PartyId| {
            let leg = legs.get(party.index()).and_then(Option::as_ref);
            let gone = || {
                cut_off
                    .iter()
                    .find(|(id, _)| *id == party)
                    .map(|(_, voice)| voice)
            };
            leg.map(|leg| &leg.voice).or_else(gone)?.frame()
        };
        for voice in self.audible.iter().filter_map(frame) {
            totals.iter_mut().for_each(|total| total.add(voice));
        }
        let said = Said {
            now,
            audible: self.audible,
            begun,
            totals,
            frame,
        };
        let mut faults = Vec::new();
        let mut ready = Vec::new();
        for bus in &mut self.buses {
            // All its listeners hear the same.
            let Some(listener) = bus.listeners.iter().next() else {
                continue;
            };
            let Some(Some(leg)) = legs.get(listener.index()) else {
                continue;
            };
            let voices = leg.hears.and(&self.audible);
            let ages = voices.iter().filter_map(|voice| {
                let leg = legs.get(voice.index())?.as_ref()?;
                leg.voice.age_us()
            });
            match bus.mix(voices, &said, ages.max()) {
                Ok(packets) => {
                    self.encoded += packets.len() as u64;
                    ready.push((bus.listeners, packets));
                }
                Err(_) => faults.extend(bus.listeners.iter()),
            }
        }
        for (listeners, packets) in ready {
            for listener in listeners.iter() {
                if self.has_waited(listener) {
                    self.deliver(listener, &packets, now);
                }
            }
        }
        faults
    }

    /// Whether a listener hears its mix by now.
    fn has_waited(&mut self, listener: PartyId) -> bool {
        let Some(Route::Mix { waits }) = self.leg(listener).map(|leg| leg.route) else {
            return false;
        };
        let Some(wait) = waits else {
            return true;
        };
        let speaker = self.leg(wait.speaker).map(|leg| &leg.voice);
        let is_heard = speaker.is_some_and(|voice| {
            voice.is_playing()
                && voice
                    .position()
                    .is_some_and(|position| position >= wait.from)
        });
        let is_over = is_heard || self.ticks >= wait.deadline;
        if is_over && let Some(leg) = self.leg_mut(listener) {
            leg.route = Route::Mix { waits: None };
        }
        is_over
    }

    fn deliver(&mut self, listener: PartyId, packets: &[Packet], now: Duration) {
        for packet in packets {
            self.deliveries.push(Delivery {
                to: listener,
                outgoing: Outgoing {
                    payload: packet.payload.clone(),
                    samples_per_channel: packet.samples_per_channel as u64,
                    place: Place::After(0),
                    gap: Gap::None,
                    level: Some(packet.level),
                    since: now,
                    age_us: packet.age_us,
                    answers: None,
                },
            });
        }
    }

    /// Listeners that no longer need a mix are relayed to from the next pause on.
    fn relay_in_pauses(&mut self, now: Duration) {
        let listeners: Vec<_> = parties_mut(&mut self.legs)
            .filter(|(_, leg)| {
                matches!(leg.route, Route::Mix { waits: None }) && leg.hears.len() <= 1
            })
            .map(|(party, _)| party)
            .collect();
        for listener in listeners {
            // From a mix nothing is set up.
            let _ = self.route(listener, now);
        }
    }

    fn remove_listener(&mut self, listener: PartyId) {
        for bus in &mut self.buses {
            bus.listeners.remove(listener);
        }
    }
}

impl Leg {
    /// Whether its chunks are too short to be passed on one by one.
    fn is_choppy(&self) -> bool {
        let least = self.format.format.samples_in(MIN_PACKET);
        self.chunk_samples.is_some_and(|samples| samples < least)
    }

    /// A peer is sent packets as long as its own chunks, of which one has come.
    fn follow_chunks(&mut self, ticks: u64, is_first: bool) {
        let least = self.format.format.samples_in(MIN_PACKET).max(1);
        let wanted = self.chunk_samples.unwrap_or(least).max(least);
        let is_due = is_first || ticks - self.packet_since >= TICKS_OF_A_LENGTH;
        if wanted != self.packet_samples && is_due {
            self.packet_samples = wanted;
            self.packet_since = ticks;
        }
    }
}

fn parties_mut(legs: &mut [Option<Leg>]) -> impl Iterator<Item = (PartyId, &mut Leg)> {
    let places = legs.iter_mut().enumerate();
    places.filter_map(|(index, leg)| Some((PartyId::at(index)?, leg.as_mut()?)))
}

fn gap(gap: audio::Gap) -> Gap {
    match gap {
        audio::Gap::None => Gap::None,
        audio::Gap::Muted => Gap::Muted,
        audio::Gap::Silence => Gap::Silence,
        audio::Gap::Late => Gap::Late,
        audio::Gap::Device => Gap::Device,
    }
}
