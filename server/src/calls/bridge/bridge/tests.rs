//! Calls of several on a virtual clock: what each party hears, sample by sample.

use std::collections::{BTreeMap, BTreeSet};

use audio::{
    Decoder, Effects, Encoder, Format, Gap,
    measure::{peak_dbfs, rms_dbfs},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::*;
use crate::calls::route::{Place, TICK};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn format(codec: &str, rate: i32, channels: i32) -> Format {
    Format::parse(codec, rate, channels).unwrap()
}

fn pcm() -> Format {
    format("pcm", 48_000, 1)
}

/// The amplitude of the sine of this frequency in `samples`, whole periods of it or many, in dB of full
/// scale.
fn level_db(samples: &[f32], hz: f64, rate: u32) -> f64 {
    let step = std::f64::consts::TAU * hz / f64::from(rate);
    let (mut re, mut im) = (0.0, 0.0);
    for (n, &sample) in samples.iter().enumerate() {
        let (sin, cos) = (step * n as f64).sin_cos();
        re += f64::from(sample) * cos;
        im += f64::from(sample) * sin;
    }
    20.0 * (2.0 * re.hypot(im) / samples.len() as f64)
        .max(1e-9)
        .log10()
}

/// The same in pieces of 20 ms, in the mean: a clock that is steered makes no pure tone for long.
fn steady_level_db(samples: &[f32], hz: f64, rate: u32) -> f64 {
    let pieces = samples.chunks_exact(rate as usize / 50);
    let levels: Vec<f64> = pieces.map(|piece| level_db(piece, hz, rate)).collect();
    levels.iter().sum::<f64>() / levels.len() as f64
}

/// Somebody in the call: says a tone, and keeps what it hears.
struct Peer {
    name: &'static str,
    format: Format,
    is_numbered: bool,
    chunk: Duration,
    hz: f64,
    amplitude: f32,
    /// Whether it says how loud it is.
    tells_level: bool,
    encoder: Encoder,
    decoder: Decoder,
    said: u64,
    due: Duration,
    /// By how many parts per million its clock is fast.
    fast_ppm: f64,
    /// Until then its line stands still; then all comes at once.
    stalled_until: Duration,
    held_up: Vec<Arrived>,
    payloads: Vec<Vec<u8>>,
    heard: Vec<f32>,
    /// Packets that came, with when.
    came: Vec<(Duration, Outgoing)>,
    events: Vec<event::Event>,
}

impl Peer {
    fn new(name: &'static str, format: Format, hz: f64) -> Self {
        Self {
            name,
            format,
            is_numbered: true,
            chunk: ms(20),
            hz,
            amplitude: 0.25,
            tells_level: false,
            encoder: Encoder::new(format, 64_000).unwrap(),
            decoder: Decoder::new(format).unwrap(),
            said: 0,
            due: Duration::ZERO,
            fast_ppm: 0.0,
            stalled_until: Duration::ZERO,
            held_up: Vec::new(),
            payloads: Vec::new(),
            heard: Vec::new(),
            came: Vec::new(),
            events: Vec::new(),
        }
    }

    fn plain(self) -> Self {
        Self {
            is_numbered: false,
            ..self
        }
    }

    fn chunks_of(self, chunk: Duration) -> Self {
        Self { chunk, ..self }
    }

    fn at(self, amplitude: f32) -> Self {
        Self { amplitude, ..self }
    }

    fn speak(&mut self, now: Duration) -> Arrived {
        let samples = self.format.samples_in(self.chunk);
        let rate = f64::from(self.format.sample_rate_hz());
        let mut sound = Vec::new();
        for n in 0..samples as u64 {
            let phase = std::f64::consts::TAU * self.hz * (self.said + n) as f64 / rate;
            let sample = self.amplitude * phase.sin() as f32;
            sound.extend(std::iter::repeat_n(sample, self.format.channels()));
        }
        let mut payload = Vec::new();
        self.encoder.encode(&sound, &mut payload).unwrap();
        self.payloads.push(payload.clone());
        let media_time = self.said;
        self.said += samples as u64;
        self.due += self.chunk.div_f64(1.0 + self.fast_ppm * 1e-6);
        Arrived {
            media_time,
            gap: Gap::None,
            payload: payload.into(),
            level: self
                .tells_level
                .then(|| audio::measure::rfc6464_level(&sound)),
            at: now,
            age_us: self.is_numbered.then_some(self.chunk.as_micros() as u32),
        }
    }

    fn hear(&mut self, outgoing: Outgoing, now: Duration) {
        if !outgoing.payload.is_empty() {
            let start = self.heard.len();
            self.decoder
                .decode(&outgoing.payload, &mut self.heard)
                .unwrap();
            let samples = (self.heard.len() - start) / self.format.channels();
            assert_eq!(samples as u64, outgoing.samples_per_channel);
        }
        self.came.push((now, outgoing));
    }

    /// How loud a tone is in what was heard from `from` to `to` seconds of it, in dBFS of its RMS; of one ear.
    fn hears(&self, hz: f64, from: f64, to: f64) -> f64 {
        let rate = self.format.sample_rate_hz();
        let ear: Vec<f32> = self
            .heard
            .iter()
            .step_by(self.format.channels())
            .copied()
            .collect();
        let at = |seconds: f64| (seconds * f64::from(rate)) as usize;
        steady_level_db(&ear[at(from)..at(to)], hz, rate)
    }
}

#[derive(Default)]
struct World {
    bridge: Bridge,
    peers: BTreeMap<PartyId, Peer>,
    gone: Vec<Peer>,
    now: Duration,
    ticks: u64,
}

impl World {
    fn join(&mut self, mut peer: Peer) -> PartyId {
        peer.due = self.now;
        let party = Party {
            leg_id: peer.name.to_owned(),
            display_name: peer.name.to_uppercase(),
            ..Party::default()
        };
        let leg = LegFormat {
            format: peer.format,
            effects: Effects::none(),
            is_numbered: peer.is_numbered,
        };
        let id = self.bridge.join(party, leg, false, self.now).unwrap();
        self.peers.insert(id, peer);
        self.send();
        id
    }

    fn leave(&mut self, id: PartyId) {
        self.bridge.leave(id, "hung up", self.now);
        self.gone.extend(self.peers.remove(&id));
        self.send();
    }

    fn act(&mut self, id: PartyId, act: Act) {
        self.bridge.act(id, act, self.now);
        self.send();
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            let due: Vec<_> = self.peers.keys().copied().collect();
            for id in due {
                let peer = self.peers.get_mut(&id).unwrap();
                if peer.due <= self.now {
                    let arrived = peer.speak(self.now);
                    peer.held_up.push(arrived);
                }
                if peer.stalled_until > self.now {
                    continue;
                }
                for mut arrived in peer.held_up.split_off(0) {
                    let late = (self.now - arrived.at).as_micros() as u32;
                    arrived.age_us = arrived.age_us.map(|age_us| age_us + late);
                    arrived.at = self.now;
                    self.bridge.insert(id, arrived).unwrap();
                }
            }
            if self.now.as_millis().is_multiple_of(TICK.as_millis()) && self.bridge.needs_ticks() {
                self.ticks += 1;
                assert_eq!(self.bridge.tick(self.now), []);
            }
            self.send();
            self.now += ms(1);
        }
    }

    fn send(&mut self) {
        for (id, output) in self.bridge.take_outputs() {
            let peer = self.peers.get_mut(&id).expect("nothing for who is gone");
            match output {
                Output::Send(outgoing) => peer.hear(outgoing, self.now),
                Output::Tell(event) => peer.events.extend(event.event),
            }
        }
    }

    fn peer(&self, id: PartyId) -> &Peer {
        &self.peers[&id]
    }
}

#[test]
fn two_equal_legs_are_relayed_packet_by_packet_without_a_tick() {
    for codec in ["pcm", "opus"] {
        let mut world = World::default();
        let format = format(codec, 48_000, 1);
        // Of other lengths than the listener's own.
        let one = world.join(Peer::new("one", format, 400.0).chunks_of(ms(10)));
        let two = world.join(Peer::new("two", format, 900.0));
        world.run(ms(2_000));
        for (listener, speaker) in [(one, two), (two, one)] {
            let came = world.peer(listener).came.iter();
            let came: Vec<_> = came
                .map(|(_, outgoing)| outgoing.payload.to_vec())
                .collect();
            assert!(came == world.peer(speaker).payloads, "{codec}");
            assert!(world.peer(listener).came.iter().all(|(now, outgoing)| {
                *now == outgoing.since
                    && outgoing.age_us == Some(world.peer(speaker).chunk.as_micros() as u32)
            }));
        }
        assert_eq!((world.ticks, world.bridge.encoded()), (0, 0));
    }
}

#[test]
fn what_is_missing_in_a_relayed_stream_is_missing_at_the_other_end() {
    let mut world = World::default();
    let one = world.join(Peer::new("one", pcm(), 400.0));
    let two = world.join(Peer::new("two", pcm(), 900.0));
    world.run(ms(100));
    world.peers.get_mut(&one).unwrap().said += 4_800;
    world.run(ms(100));
    let places: Vec<_> = world
        .peer(two)
        .came
        .iter()
        .map(|(_, outgoing)| outgoing.place)
        .collect();
    let expected: Vec<_> = (0..10)
        .map(|n| Place::After(if n == 5 { 4_800 } else { 0 }))
        .collect();
    assert_eq!(places, expected);
}

#[test]
fn peers_of_any_format_and_length_hear_each_other_and_not_themselves() {
    let legs = [
        ("a", format("pcm", 8_000, 1), ms(20)),
        ("b", format("opus", 48_000, 1), ms(10)),
        ("c", format("pcmu", 8_000, 1), ms(60)),
        ("d", format("pcm", 44_100, 2), ms(30)),
        ("e", format("opus", 16_000, 2), ms(40)),
        ("f", format("pcma", 8_000, 1), ms(5)),
        ("g", format("opus", 48_000, 2), ms(5)),
    ];
    let hz = |n: usize| 500.0 + 300.0 * n as f64;
    let mut world = World::default();
    let ids: Vec<_> = (0..legs.len())
        .map(|n| {
            let (name, format, chunk) = legs[n];
            let peer = Peer::new(name, format, hz(n)).chunks_of(chunk).at(0.1);
            world.join(if n % 2 == 0 { peer.plain() } else { peer })
        })
        .collect();
    world.run(ms(3_000));
    for (n, &id) in ids.iter().enumerate() {
        let peer = world.peer(id);
        // At the pace of time, in chunks of its own length.
        let heard_ms = 1_000 * peer.heard.len()
            / peer.format.channels()
            / peer.format.sample_rate_hz() as usize;
        assert!(
            (2_900..=3_000).contains(&heard_ms),
            "{}: {heard_ms} ms",
            peer.name
        );
        let samples = peer.format.samples_in(peer.chunk) as u64;
        assert!(
            peer.came
                .iter()
                .all(|(_, outgoing)| outgoing.samples_per_channel == samples)
        );
        for (other, (name, ..)) in legs.iter().enumerate() {
            let level = peer.hears(hz(other), 1.0, 2.8);
            let case = format!("{} of {}: {level} dB", peer.name, name);
            match other == n {
                true => assert!(level < -60.0, "{case}"),
                // A sine of 0.1.
                false => assert!((level - -20.0).abs() < 1.5, "{case}"),
            }
        }
    }
}

#[test]
fn who_speaks_at_full_scale_is_not_heard_by_itself() {
    for format in [pcm(), format("opus", 48_000, 1)] {
        let mut world = World::default();
        let one = world.join(Peer::new("one", format, 400.0).plain().at(1.0));
        let two = world.join(Peer::new("two", format, 1_000.0).plain().at(1.0));
        let three = world.join(Peer::new("three", format, 2_000.0).plain().at(0.0));
        world.run(ms(3_000));
        for (listener, own, other) in [(one, 400.0, 1_000.0), (two, 1_000.0, 400.0)] {
            let peer = world.peer(listener);
            assert!(
                peer.hears(own, 1.0, 2.8) < -60.0,
                "{format}: {}",
                peer.hears(own, 1.0, 2.8)
            );
            assert!(peer.hears(other, 1.0, 2.8) > -3.0);
        }
        // Both, limited and not clipped.
        let third = world.peer(three);
        assert!((third.hears(400.0, 1.0, 2.8) - third.hears(1_000.0, 1.0, 2.8)).abs() < 0.5);
        assert!(peak_dbfs(&third.heard) < -0.5);
    }
}

#[test]
fn stereo_stays_stereo_for_who_has_two_ears() {
    let mut world = World::default();
    let stereo = format("pcm", 48_000, 2);
    let one = world.join(Peer::new("one", stereo, 400.0));
    let two = world.join(Peer::new("two", stereo, 0.0));
    let three = world.join(Peer::new("three", pcm(), 0.0));
    for n in 0..200_u64 {
        let sound: Vec<f32> = (0..960_u64)
            .flat_map(|at| {
                let t = (n * 960 + at) as f64 / 48_000.0;
                let sine = |hz: f64| 0.2 * (std::f64::consts::TAU * hz * t).sin() as f32;
                [sine(500.0), sine(1_500.0)]
            })
            .collect();
        let mut payload = Vec::new();
        world
            .peers
            .get_mut(&one)
            .unwrap()
            .encoder
            .encode(&sound, &mut payload)
            .unwrap();
        world.peers.get_mut(&one).unwrap().due = ms(1_000_000);
        let now = world.now;
        let arrived = Arrived {
            media_time: n * 960,
            gap: Gap::None,
            payload: payload.into(),
            level: None,
            at: now,
            age_us: None,
        };
        world.bridge.insert(one, arrived).unwrap();
        world.run(ms(20));
    }
    let heard = &world.peer(two).heard[96_000..];
    let side = |side: usize| {
        heard
            .iter()
            .skip(side)
            .step_by(2)
            .copied()
            .collect::<Vec<_>>()
    };
    for (ear, own, other) in [(side(0), 500.0, 1_500.0), (side(1), 1_500.0, 500.0)] {
        assert!((steady_level_db(&ear, own, 48_000) - -13.98).abs() < 0.1);
        assert!(steady_level_db(&ear, other, 48_000) < -60.0);
    }
    let third = world.peer(three);
    for hz in [500.0, 1_500.0] {
        assert!((third.hears(hz, 1.0, 3.0) - -20.0).abs() < 0.2);
    }
}

#[test]
fn a_crowd_that_hears_the_same_is_encoded_once() {
    let mut world = World::default();
    let opus = format("opus", 48_000, 1);
    let talkers: Vec<_> = (0..3)
        .map(|n| world.join(Peer::new("talker", opus, 400.0 + 300.0 * f64::from(n))))
        .collect();
    let crowd: Vec<_> = (0..20)
        .map(|_| world.join(Peer::new("listener", opus, 0.0).at(0.0)))
        .collect();
    world.run(ms(1_000));
    let before = world.bridge.encoded();
    world.run(ms(1_000));
    // For the crowd, and for each of those who must not hear themselves; 20 ms a packet.
    assert_eq!(world.bridge.encoded() - before, 4 * 50);
    let heard = &world.peer(crowd[0]).heard;
    assert!(
        crowd
            .iter()
            .all(|id| world.peer(*id).heard.len() == heard.len())
    );
    assert!(world.peer(talkers[0]).hears(400.0, 1.0, 1.8) < -60.0);
    assert!(world.peer(talkers[0]).hears(700.0, 1.0, 1.8) > -20.0);
}

#[test]
fn who_is_muted_or_on_hold_is_told_and_heard_accordingly() {
    let mut world = World::default();
    let ids: Vec<_> = (0..3)
        .map(|n| {
            world.join(Peer::new(
                ["a", "b", "c"][n],
                pcm(),
                500.0 + 400.0 * n as f64,
            ))
        })
        .collect();
    world.run(ms(1_000));
    world.act(ids[0], Act::Mute(true));
    world.run(ms(1_000));
    // From here only c is heard by b, and b by c; a hears both.
    let level = |world: &World, listener: usize, speaker: usize, from: f64, to: f64| {
        world
            .peer(ids[listener])
            .hears(500.0 + 400.0 * speaker as f64, from, to)
    };
    assert!(level(&world, 1, 0, 0.5, 0.9) > -20.0);
    assert!(level(&world, 1, 0, 1.2, 1.9) < -70.0);
    assert!(level(&world, 0, 1, 1.2, 1.9) > -20.0 && level(&world, 1, 2, 1.2, 1.9) > -20.0);
    world.act(ids[0], Act::Mute(false));
    world.act(ids[2], Act::Hold(true));
    world.run(ms(1_000));
    let c = world.peer(ids[2]);
    assert!(
        c.came.last().unwrap().1.payload.is_empty(),
        "it hears nothing"
    );
    for listener in [0, 1] {
        let heard = world.peer(ids[listener]).heard.len() as f64 / 48_000.0;
        assert!(level(&world, listener, 2, heard - 0.5, heard - 0.1) < -70.0);
        assert!(level(&world, listener, 1 - listener, heard - 0.5, heard - 0.1) > -20.0);
    }
    let told: Vec<_> = world
        .peer(ids[1])
        .events
        .iter()
        .filter(|event| matches!(event, event::Event::Muted(_) | event::Event::Hold(_)))
        .cloned()
        .collect();
    let muted = |muted| {
        event::Event::Muted(callcenter::Muted {
            leg_id: "a".to_owned(),
            muted,
        })
    };
    let hold = event::Event::Hold(callcenter::Hold {
        leg_id: "c".to_owned(),
        on_hold: true,
    });
    assert_eq!(told, [muted(true), muted(false), hold]);
}

#[test]
fn who_comes_goes_speaks_and_presses_keys_is_told_in_order() {
    let mut world = World::default();
    let a = world.join(Peer::new("a", pcm(), 0.0).at(0.0));
    let mut loud = Peer::new("b", pcm(), 700.0);
    loud.tells_level = true;
    let b = world.join(loud);
    world.run(ms(500));
    let key = Act::Dtmf {
        digit: "5".to_owned(),
        duration_ms: 0,
    };
    world.act(b, key);
    world.peers.get_mut(&b).unwrap().amplitude = 0.0;
    world.run(ms(1_000));
    world.leave(b);
    let told: Vec<String> = world
        .peer(a)
        .events
        .iter()
        .map(|event| match event {
            event::Event::Roster(roster) => format!(
                "roster of {}, own {}",
                roster.parties.len(),
                roster.own_leg_id
            ),
            event::Event::Joined(party) => {
                format!("joined {} {}", party.leg_id, party.display_name)
            }
            event::Event::Left(left) => format!("left {} {}", left.leg_id, left.reason),
            event::Event::Talking(talking) => {
                format!("talking {} {}", talking.leg_id, talking.talking)
            }
            event::Event::Dtmf(dtmf) => format!(
                "key {} of {} for {} ms",
                dtmf.digit, dtmf.leg_id, dtmf.duration_ms
            ),
            other => format!("{other:?}"),
        })
        .collect();
    assert_eq!(
        told,
        [
            "roster of 1, own a",
            "joined b B",
            "talking b true",
            "key 5 of b for 100 ms",
            "talking b false",
            "left b hung up"
        ]
    );
    let gone = &world.gone[0].events;
    assert!(matches!(&gone[0], event::Event::Roster(roster) if roster.parties.len() == 2));
    assert_eq!(
        gone.len(),
        1,
        "one's own key and voice are no news: {gone:?}"
    );
}

/// The largest part of a sound that no steady tone of this frequency explains: of a seam, a sample too many or
/// one too few.
fn seam(sound: &[f32], hz: f64, rate: f64) -> f32 {
    let k = 2.0 * (std::f64::consts::TAU * hz / rate).cos();
    let residue = |window: &[f32]| {
        (f64::from(window[2]) - k * f64::from(window[1]) + f64::from(window[0])).abs() as f32
    };
    sound.windows(3).map(residue).fold(0.0, f32::max)
}

#[test]
fn a_tone_passes_whole_while_others_come_and_go() {
    for others in [1, 4, 19] {
        let mut world = World::default();
        let speaker = world.join(Peer::new("speaker", pcm(), 400.0));
        let listener = world.join(Peer::new("listener", pcm(), 0.0).at(0.0));
        let mut guests: Vec<_> = (2..=others)
            .map(|_| world.join(Peer::new("guest", pcm(), 0.0).at(0.0)))
            .collect();
        for second in 0..30 {
            world.run(ms(1_000));
            // Each makes of a relay a mix, or of a mix a relay.
            if second % 2 == 0 {
                guests.push(world.join(Peer::new("guest", pcm(), 0.0).at(0.0)));
            } else if let Some(guest) = guests.pop() {
                world.leave(guest);
            }
        }
        let heard = &world.peer(listener).heard;
        // Its beginning is one.
        let start = heard.iter().position(|sample| *sample != 0.0).unwrap() + 480;
        let residue = seam(&heard[start..], 400.0, 48_000.0);
        assert!(residue < 1e-3, "{others} others: {residue}");
        assert!(
            heard.len() > 29 * 48_000,
            "{others} others: {}",
            heard.len()
        );
        let _ = speaker;
    }
}

/// What happens to twenty legs, the same for each seed; `silenced` says nothing throughout. Who heard what, packet
/// by packet, and whom it was allowed to hear since at least the tick before.
fn random_call(seed: u64, silenced: Option<usize>) -> Vec<(usize, Vec<u8>, BTreeSet<usize>)> {
    const LEGS: usize = 20;
    let mut random = StdRng::seed_from_u64(seed);
    let mut world = World::default();
    let mut present: BTreeMap<usize, PartyId> = BTreeMap::new();
    let mut log = Vec::new();
    for _ in 0..200 {
        let n = random.random_range(0..LEGS);
        match (present.get(&n).copied(), random.random_range(0..4)) {
            (None, _) => {
                let amplitude = if silenced == Some(n) { 0.0 } else { 0.04 };
                let peer = Peer::new("leg", pcm(), 400.0 + 210.0 * n as f64);
                let peer = peer.plain().chunks_of(ms(10)).at(amplitude);
                present.insert(n, world.join(peer));
            }
            (Some(id), 0) => {
                world.leave(id);
                present.remove(&n);
            }
            (Some(id), 1 | 2) => {
                let muted = world.bridge.call.party(id).unwrap().is_muted;
                world.act(id, Act::Mute(!muted));
            }
            (Some(id), _) => {
                let on_hold = world.bridge.call.party(id).unwrap().is_on_hold;
                world.act(id, Act::Hold(!on_hold));
            }
        }
        let rules = |world: &World| -> BTreeMap<usize, BTreeSet<usize>> {
            let party = |n: &usize| present.get(n).and_then(|id| world.bridge.call.party(*id));
            let speaks =
                |n: &usize| party(n).is_some_and(|party| !party.is_muted && !party.is_on_hold);
            let hears = |n: usize| match party(&n).is_some_and(|party| !party.is_on_hold) {
                true => (0..LEGS)
                    .filter(|other| *other != n && speaks(other))
                    .collect(),
                false => BTreeSet::new(),
            };
            present.keys().map(|&n| (n, hears(n))).collect()
        };
        let allowed = rules(&world);
        let before: BTreeMap<_, _> = present
            .iter()
            .map(|(n, id)| (*n, world.peer(*id).came.len()))
            .collect();
        world.run(ms(10 * random.random_range(1..8)));
        for (n, id) in &present {
            // In the first tick after a change who was heard before it may fade.
            for (_, outgoing) in world.peer(*id).came.iter().skip(before[n] + 1) {
                log.push((*n, outgoing.payload.to_vec(), allowed[n].clone()));
            }
        }
    }
    log
}

#[test]
fn what_somebody_says_changes_no_bit_for_those_who_must_not_hear_it() {
    let seed = 1;
    let all = random_call(seed, None);
    assert!(all.len() > 5_000, "{}", all.len());
    for silenced in (0..20).step_by(2) {
        let without = random_call(seed, Some(silenced));
        assert_eq!(all.len(), without.len());
        let (mut heard, mut forbidden) = (0, 0);
        for ((listener, with, allowed), (_, without, _)) in all.iter().zip(&without) {
            match allowed.contains(&silenced) {
                true => heard += usize::from(with != without),
                false => {
                    forbidden += 1;
                    assert!(with == without, "{listener} hears {silenced}");
                }
            }
        }
        assert!(
            heard > 100 && forbidden > 500,
            "{silenced}: {heard}, {forbidden}"
        );
    }
}

#[test]
fn who_joins_is_heard_within_a_tenth_of_a_second() {
    for (codec, chunk) in [("pcm", 20), ("opus", 10), ("opus", 20), ("pcmu", 20)] {
        let rate = if codec == "pcmu" { 8_000 } else { 48_000 };
        let mut world = World::default();
        let opus = format("opus", 48_000, 1);
        let a = world.join(Peer::new("a", opus, 0.0).at(0.0));
        world.join(Peer::new("b", opus, 0.0).at(0.0));
        world.run(ms(1_000));
        let before = world.peer(a).heard.len();
        world.join(Peer::new("c", format(codec, rate, 1), 1_000.0).chunks_of(ms(chunk)));
        let joined = world.now;
        let mut heard_at = None;
        while heard_at.is_none() {
            world.run(ms(10));
            let heard = &world.peer(a).heard[before..];
            if heard.len() >= 480 && rms_dbfs(&heard[heard.len() - 480..]) > -25.0 {
                heard_at = Some(world.now - joined);
            }
            assert!(world.now - joined < ms(1_000), "{codec}: never");
        }
        assert!(
            heard_at.unwrap() <= ms(100),
            "{codec}, {chunk} ms: {heard_at:?}"
        );
    }
}

/// How old the sound is that a listener was sent within the last second, in ms: the median.
fn age_ms(world: &World, listener: PartyId) -> f64 {
    let from = world.now - ms(1_000);
    let came = world.peer(listener).came.iter().rev();
    let newest = came.take_while(|(at, _)| *at >= from);
    let mut ages: Vec<u32> = newest.filter_map(|(_, outgoing)| outgoing.age_us).collect();
    ages.sort_unstable();
    f64::from(ages[ages.len() / 2]) / 1e3
}

/// One who speaks, one who listens, and a third one, so that all is mixed.
fn mixed(speaker: Peer) -> (World, PartyId, PartyId) {
    let mut world = World::default();
    let speaker = world.join(speaker);
    let listener = world.join(Peer::new("listener", pcm(), 0.0).at(0.0));
    world.join(Peer::new("third", pcm(), 0.0).at(0.0));
    (world, speaker, listener)
}

#[test]
fn clocks_that_differ_become_neither_delay_nor_gaps_in_a_mix() {
    for fast_ppm in [200.0, -200.0] {
        let mut peer = Peer::new("speaker", pcm(), 400.0);
        peer.fast_ppm = fast_ppm;
        let (mut world, _, listener) = mixed(peer);
        world.run(ms(30_000));
        let before = age_ms(&world, listener);
        let heard = world.peer(listener).heard.len();
        world.peers.get_mut(&listener).unwrap().came.clear();
        world.run(ms(2 * 60_000));
        let after = age_ms(&world, listener);
        assert!(
            (after - before).abs() < 5.0,
            "{fast_ppm} ppm: {before} to {after} ms"
        );
        let heard = &world.peer(listener).heard[heard..];
        let quietest = heard.chunks_exact(480).map(rms_dbfs).fold(0.0, f32::min);
        assert!(quietest > -16.0, "{fast_ppm} ppm: {quietest} dBFS");
    }
}

#[test]
fn after_a_stall_a_voice_is_back_in_time_within_a_second_and_others_notice_nothing() {
    for stall in [300, 2_000] {
        let (mut world, speaker, listener) = mixed(Peer::new("speaker", pcm(), 400.0));
        let other = world.join(Peer::new("other", pcm(), 1_000.0));
        world.run(ms(5_000));
        world.peers.get_mut(&other).unwrap().amplitude = 0.0;
        world.run(ms(2_000));
        let before = age_ms(&world, listener);
        world.peers.get_mut(&other).unwrap().amplitude = 0.25;
        world.run(ms(1_000));
        let heard = world.peer(listener).heard.len();
        world.peers.get_mut(&speaker).unwrap().stalled_until = world.now + ms(stall);
        world.run(ms(stall + 1_500));
        // The other one, at its level throughout.
        let pieces = world.peer(listener).heard[heard..].chunks_exact(4_800);
        for piece in pieces {
            let level = level_db(piece, 1_000.0, 48_000);
            assert!((level - -12.04).abs() < 0.5, "{stall} ms: {level} dB");
        }
        world.peers.get_mut(&other).unwrap().amplitude = 0.0;
        world.run(ms(1_500));
        let after = age_ms(&world, listener);
        assert!(after < before + 10.0, "{stall} ms: {before} to {after} ms");
    }
}

#[test]
fn in_whatever_set_up_of_two_each_hears_the_other_soon() {
    let mut random = StdRng::seed_from_u64(1);
    for n in 0..400 {
        let mut peer = |name| {
            let (codec, rate) = [
                ("opus", 48_000),
                ("opus", 16_000),
                ("opus", 8_000),
                ("pcm", 48_000),
                ("pcm", 44_100),
                ("pcm", 8_000),
                ("pcmu", 8_000),
                ("pcma", 8_000),
            ][random.random_range(0..8)];
            let format = format(codec, rate, random.random_range(1..=2));
            let chunk = [5, 10, 20, 40, 60, 120][random.random_range(0..6)];
            let mut peer = Peer::new(name, format, 600.0).chunks_of(ms(chunk));
            peer.is_numbered = random.random_range(0..2) == 0;
            peer.tells_level = random.random_range(0..2) == 0;
            peer
        };
        let (one, two) = (peer("one"), peer("two"));
        let case = format!(
            "{n}: {} {:?} {}, {} {:?} {}",
            one.format, one.chunk, one.is_numbered, two.format, two.chunk, two.is_numbered
        );
        let mut world = World::default();
        let one = world.join(one);
        world.run(ms(random.random_range(0..50)));
        let two = world.join(two);
        // Each has sent its first chunk when that is over, and is heard within 300 ms of it.
        world.run(ms(120 + 300));
        for id in [one, two] {
            let peer = world.peer(id);
            let last = &peer.heard[peer
                .heard
                .len()
                .saturating_sub(peer.format.samples_in(ms(20)))..];
            assert!(
                rms_dbfs(last) > -25.0,
                "{case}: {} hears {} dBFS",
                peer.name,
                rms_dbfs(last)
            );
        }
    }
}
