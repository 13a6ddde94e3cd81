//! A leg on a paused clock, between a scripted peer and a transport that takes when it may.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use audio::Effects;
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use proto::callcenter::{Event, Gap, Join, Muted, event};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::{Instant, sleep},
};
use tonic::Code;

use super::*;
use crate::transport::{InTime, Permits, Pouring, Turn};

impl Requests for UnboundedReceiver<AudioChunk> {
    async fn next(&mut self) -> Result<Option<AudioChunk>, Status> {
        Ok(self.recv().await)
    }
}

const IDLE: Duration = Duration::from_secs(60);
/// 10 ms at 8 kHz.
const SAMPLES: u64 = 80;
const CHUNK: Duration = Duration::from_millis(10);

struct Ends {
    peer: UnboundedSender<AudioChunk>,
    answers: Contained<Answers>,
    permits: Arc<Permits>,
    /// Keeps the service from ending.
    _shutdown: watch::Sender<Option<String>>,
    sent: u64,
    newest: u64,
    newest_came: Instant,
}

fn leg() -> Ends {
    leg_on(Turn::default())
}

fn config() -> CallCenterConfig {
    CallCenterConfig {
        effects: Effects::none(),
        lab: false,
        idle_timeout: IDLE,
        max_legs: 1,
        max_legs_per_call: 64,
        max_calls: 64,
    }
}

fn leg_on(turn: Turn) -> Ends {
    leg_with(turn, |shutdown| context(config(), shutdown))
}

/// One of several legs of one server.
fn leg_in(directory: &Arc<Directory>, key: u64, epoch: Instant) -> Ends {
    leg_with(Turn::default(), |shutdown| LegContext {
        key,
        directory: Arc::clone(directory),
        config: Arc::new(config()),
        epoch,
        shutdown,
    })
}

fn leg_with(
    turn: Turn,
    context: impl FnOnce(watch::Receiver<Option<String>>) -> LegContext,
) -> Ends {
    let (peer, requests) = unbounded_channel();
    let (shutdown, ends) = watch::channel(None);
    let permits = Permits::new("legs", "", 1);
    let permit = permits.take(None).unwrap();
    let context = context(ends);
    let log = LegLog::new(format!("leg-{}", context.key), "a test".to_owned());
    Ends {
        peer,
        answers: begin(requests, context, log, permit, turn),
        permits,
        _shutdown: shutdown,
        sent: 0,
        newest: 0,
        newest_came: Instant::now(),
    }
}

/// Of a leg that is the only one.
fn context(config: CallCenterConfig, shutdown: watch::Receiver<Option<String>>) -> LegContext {
    LegContext {
        key: 1,
        directory: Directory::new(config.max_calls, config.max_legs_per_call),
        config: Arc::new(config),
        epoch: Instant::now(),
        shutdown,
    }
}

impl Ends {
    /// The next 10 ms, numbered, acknowledging what was taken.
    fn say(&mut self) {
        self.sent += 1;
        let chunk = AudioChunk {
            sequence: self.sent,
            media_time: SAMPLES * (self.sent - 1),
            ack_sequence: self.newest,
            ack_delay_us: self.newest_came.elapsed().as_micros() as u32,
            ..self.plain()
        };
        self.peer.send(chunk).unwrap();
    }

    fn plain(&self) -> AudioChunk {
        AudioChunk {
            audio_data: vec![0; 2 * SAMPLES as usize].into(),
            call_id: "a-call".to_owned(),
            sample_rate: 8_000,
            channels: 1,
            codec: "pcm".to_owned(),
            ..AudioChunk::default()
        }
    }

    /// The peer has this one, and will acknowledge it.
    fn reaches(&mut self, sequence: u64) {
        self.newest = sequence;
        self.newest_came = Instant::now();
    }

    /// What the transport is given if it asks now.
    fn take(&mut self) -> Option<Result<AudioChunk, Status>> {
        self.answers.next().now_or_never().flatten()
    }

    /// All that it is given now.
    fn take_all(&mut self) -> Vec<AudioChunk> {
        std::iter::from_fn(|| self.take())
            .map(Result::unwrap)
            .collect()
    }

    /// Speaks for so long while the line flows: everything comes back, and is acknowledged.
    async fn flow(&mut self, chunks: u64) {
        for _ in 0..chunks {
            self.say();
            sleep(CHUNK).await;
            let taken = self.take_all();
            assert_eq!(taken.len(), 1);
            assert_eq!(taken[0].audio_data.len(), 160);
            assert_eq!(
                (taken[0].gap(), taken[0].ack_sequence),
                (Gap::None, self.sent)
            );
            self.reaches(taken[0].sequence);
        }
    }
}

fn sound(chunks: &[AudioChunk]) -> Vec<&AudioChunk> {
    chunks
        .iter()
        .filter(|chunk| !chunk.audio_data.is_empty())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn while_nothing_is_acknowledged_no_more_sound_is_handed_over_than_in_150_ms() {
    let mut ends = leg();
    ends.flow(100).await;
    // From here on what the transport takes does not reach the peer, whose own chunks still come.
    let mut taken = Vec::new();
    for _ in 0..200 {
        ends.say();
        sleep(CHUNK).await;
        taken.extend(ends.take_all());
    }
    let handed_over = sound(&taken).len();
    assert!((14..=16).contains(&handed_over), "{handed_over}");
    // Yet each request was acknowledged, and by consecutive numbers.
    let acks: Vec<_> = taken.iter().map(|chunk| chunk.ack_sequence).collect();
    assert_eq!(acks, (101..=300).collect::<Vec<_>>());
    assert!(taken.iter().map(|chunk| chunk.sequence).eq(101..=300));
    let silent = taken.last().unwrap();
    assert_eq!(
        (silent.gap(), silent.media_time),
        (Gap::Late, taken[handed_over - 1].media_time + SAMPLES)
    );

    // The peer has received them all, and says so.
    let newest = silent.sequence;
    ends.reaches(newest);
    ends.say();
    sleep(CHUNK).await;
    let taken = ends.take_all();
    let first = &taken[0];
    assert_eq!(first.gap(), Gap::Late);
    // What was said within the last 150 ms and no more.
    assert_eq!(first.media_time, SAMPLES * (301 - 15));
    assert!(
        sound(&taken)[1..]
            .iter()
            .all(|chunk| chunk.gap() == Gap::None)
    );
    assert_eq!(taken.len(), 15);
    let newest = taken.last().unwrap().sequence;
    ends.reaches(newest);
    ends.flow(100).await;
}

#[tokio::test(start_paused = true)]
async fn what_the_transport_does_not_take_in_150_ms_is_dropped() {
    let mut ends = leg();
    ends.flow(10).await;
    for _ in 0..200 {
        ends.say();
        sleep(CHUNK).await;
    }
    let taken = ends.take_all();
    assert!((15..=16).contains(&taken.len()), "{}", taken.len());
    assert_eq!(taken[0].gap(), Gap::Late);
    assert!(taken[0].media_time >= SAMPLES * (210 - 16));
    assert_eq!(taken[0].sequence, 11);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_numbers_and_pours_loses_nothing_while_it_acknowledges() {
    let mut ends = leg();
    let mut heard = Vec::new();
    for _ in 0..50 {
        for _ in 0..100 {
            ends.say();
        }
        // The requests are read while answers are taken; only then the newest are acknowledged.
        for _ in 0..60 {
            tokio::task::yield_now().await;
            heard.extend(ends.take_all());
        }
        sleep(Duration::from_millis(1)).await;
        heard.extend(ends.take_all());
        let newest = heard.last().unwrap().sequence;
        ends.reaches(newest);
    }
    assert_eq!(sound(&heard).len(), 5_000);
    assert!(heard.iter().all(|chunk| chunk.gap() == Gap::None));
}

#[tokio::test(start_paused = true)]
async fn acknowledgements_behind_unread_sound_are_not_missed() {
    let mut ends = leg();
    ends.flow(10).await;
    ends.say();
    sleep(CHUNK).await;
    let under_way = ends.take_all()[0].sequence;
    // The thread was busy elsewhere for a second, and all that was said in it lies there unread; the
    // acknowledgement half-way.
    for n in 0..100 {
        if n == 50 {
            ends.reaches(under_way);
        }
        ends.say();
    }
    tokio::time::advance(Duration::from_secs(1)).await;
    let mut heard = Vec::new();
    for _ in 0..100 {
        heard.extend(ends.take_all());
        tokio::task::yield_now().await;
    }
    assert_eq!((heard.len(), sound(&heard).len()), (100, 100));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_numbers_and_never_acknowledges_is_sent_everything() {
    let mut ends = leg();
    for n in 1..=300 {
        ends.say();
        sleep(CHUNK).await;
        let taken = ends.take_all();
        assert_eq!(sound(&taken).len(), 1, "{n}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_unnumbered_leg_that_is_not_read_is_held_then_ended_and_its_place_is_free() {
    let mut ends = leg();
    for _ in 0..10_000 {
        ends.peer.send(ends.plain()).unwrap();
    }
    sleep(IDLE / 2).await;
    // Held, and nothing lost: whoever reads in time has it all.
    for _ in 0..100 {
        let chunk = ends.answers.next().await.unwrap().unwrap();
        assert_eq!(chunk.audio_data.len(), 160);
    }
    assert!(ends.permits.take(None).is_err());
    sleep(IDLE + Duration::from_secs(1)).await;
    assert!(ends.permits.take(None).is_ok(), "the place is free");
    let status = ends.take().unwrap().unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(
        status.message().contains("no answer was read for 1m"),
        "{status}"
    );
    assert!(ends.take().is_none());
    // What it still says is read, and dropped.
    ends.peer.send(ends.plain()).unwrap();
    tokio::task::yield_now().await;
    assert!(!ends.peer.is_closed());
    drop(ends.answers);
    sleep(CHUNK).await;
    assert!(ends.peer.is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_numbered_leg_that_is_never_read_is_ended_too() {
    let mut ends = leg();
    let began = Instant::now();
    while ends.permits.take(None).is_err() {
        ends.say();
        sleep(CHUNK).await;
        assert!(began.elapsed() < IDLE * 2, "it keeps its place");
    }
    assert!(began.elapsed() >= IDLE);
    let status = ends.take().unwrap().unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
}

#[tokio::test(start_paused = true)]
async fn a_leg_that_was_ended_or_half_closed_and_is_not_read_keeps_no_place() {
    for half_closes in [false, true] {
        let mut ends = leg();
        let began = Instant::now();
        ends.peer.send(ends.plain()).unwrap();
        // The transport has one answer in hand, and no room for what comes after it.
        ends.answers.next().await.unwrap().unwrap();
        if half_closes {
            ends.peer.send(ends.plain()).unwrap();
            ends.peer = unbounded_channel().0;
        }
        while ends.permits.take(None).is_err() {
            sleep(CHUNK).await;
            assert!(began.elapsed() < IDLE * 3, "it keeps its place");
        }
        assert!(began.elapsed() >= IDLE);
        let status = ends.take().unwrap().unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded);
        assert!(ends.take().is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_half_close_comes_what_is_due_whether_the_line_has_stalled_or_not() {
    let mut ends = leg();
    ends.flow(50).await;
    for _ in 0..10 {
        ends.say();
    }
    sleep(Duration::from_millis(100)).await;
    drop(ends.peer);
    let rest: Vec<_> = ends.answers.collect().await;
    assert_eq!(rest.len(), 10);
    assert!(rest.iter().all(Result::is_ok));
}

/// A leg that says as much as it may for so long, and hears it; how many times as fast as it lasts.
async fn poured(mut ends: Ends, time: Duration) -> f64 {
    let (from, mut chunks) = (Instant::now(), 0_u32);
    while from.elapsed() < time {
        ends.peer.send(ends.plain()).unwrap();
        ends.answers.next().await.unwrap().unwrap();
        chunks += 1;
    }
    (CHUNK * chunks).as_secs_f64() / from.elapsed().as_secs_f64()
}

#[tokio::test(start_paused = true)]
async fn beside_a_leg_that_does_not_pour_one_that_does_goes_twenty_times_as_fast() {
    // Each on a thread of its own.
    let in_time = InTime::default();
    let turn = || Turn::on(Pouring::beside(in_time.clone()));
    let mut other = leg_on(turn());
    let pours = tokio::spawn(poured(leg_on(turn()), Duration::from_secs(20)));
    while !pours.is_finished() {
        other.flow(1).await;
    }
    let times = pours.await.unwrap();
    // What is worked on takes real time, which is none here.
    assert!((19.0..21.0).contains(&times), "{times}");
}

#[tokio::test(start_paused = true)]
async fn alone_or_among_its_like_a_leg_pours_as_fast_as_it_can() {
    let in_time = InTime::default();
    let legs = (0..3).map(|_| leg_on(Turn::on(Pouring::beside(in_time.clone()))));
    for mut ends in legs {
        let from = Instant::now();
        for _ in 0..100_000 / 50 {
            for _ in 0..50 {
                ends.peer.send(ends.plain()).unwrap();
            }
            for _ in 0..50 {
                ends.answers.next().await.unwrap().unwrap();
            }
        }
        assert_eq!(from.elapsed(), Duration::ZERO, "it waited");
    }
}

/// A peer that always has one more chunk.
struct Endless {
    chunk: AudioChunk,
    read: Arc<AtomicUsize>,
}

impl Requests for Endless {
    async fn next(&mut self) -> Result<Option<AudioChunk>, Status> {
        self.read.fetch_add(1, Ordering::Relaxed);
        Ok(Some(self.chunk.clone()))
    }
}

/// On the real clock, because the work is real: each chunk is worth more than a turn.
#[tokio::test]
async fn of_twenty_legs_that_pour_one_chunk_comes_between_two_of_others() {
    between_two_of_others(&vec![Turn::default(); 20], Turn::default()).await;
    // On connections of their own, and beside them one whose line comes back after a stall.
    let pouring = Pouring::default();
    let turns: Vec<_> = (0..20).map(|_| Turn::on(pouring.clone())).collect();
    between_two_of_others(&turns, Turn::on(pouring)).await;
}

/// On the real clock, as above.
#[tokio::test]
async fn of_twenty_legs_that_begin_to_pour_one_chunk_comes_between_two_of_others() {
    let pouring = Pouring::default();
    let mut witness = leg_on(Turn::on(pouring.clone()));
    witness.peer.send(witness.plain()).unwrap();
    witness.answers.next().await.unwrap().unwrap();
    // So that what it says below is in time, however quickly it follows.
    sleep(Duration::from_secs(1)).await;
    let (_shutdown, ends) = watch::channel(None);
    let permits = Permits::new("legs", "", 100);
    let answered = Arc::<AtomicUsize>::default();
    for _ in 0..20 {
        let mut answers = endless(&Arc::default(), &ends, &permits, Turn::on(pouring.clone()));
        let answered = Arc::clone(&answered);
        tokio::spawn(async move {
            while answers.next().await.is_some() {
                answered.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    for n in 0..50 {
        let before = answered.load(Ordering::Relaxed);
        witness.peer.send(witness.plain()).unwrap();
        witness.answers.next().await.unwrap().unwrap();
        let between = answered.load(Ordering::Relaxed) - before;
        assert!(
            between <= 3,
            "{between} chunks of others came before answer {n}"
        );
    }
}

/// A leg whose peer always has one more chunk.
fn endless(
    read: &Arc<AtomicUsize>,
    ends: &watch::Receiver<Option<String>>,
    permits: &Arc<Permits>,
    turn: Turn,
) -> Contained<Answers> {
    let requests = Endless {
        chunk: AudioChunk {
            audio_data: vec![1; 48 * 60 * 4].into(),
            sample_rate: 48_000,
            channels: 2,
            codec: "pcm".to_owned(),
            ..AudioChunk::default()
        },
        read: Arc::clone(read),
    };
    let config = CallCenterConfig {
        effects: Effects::default(),
        lab: false,
        idle_timeout: IDLE,
        max_legs: 100,
        max_legs_per_call: 64,
        max_calls: 100,
    };
    begin(
        requests,
        context(config, ends.clone()),
        LegLog::new("leg".to_owned(), "a test".to_owned()),
        permits.take(None).unwrap(),
        turn,
    )
}

/// `turns`: of those that pour; `other`: of one that does not, however much comes of it at once.
async fn between_two_of_others(turns: &[Turn], other: Turn) {
    /// Six seconds of sound of each leg, in far less.
    const POURING: usize = 20 * 100;
    let read = Arc::default();
    let (_shutdown, ends) = watch::channel(None);
    let permits = Permits::new("legs", "", 100);
    for turn in turns {
        let mut answers = endless(&read, &ends, &permits, turn.clone());
        tokio::spawn(async move { while answers.next().await.is_some() {} });
    }
    let mut witness = leg_on(other);
    // The first sound of a leg takes one more turn, with those that begin.
    witness.peer.send(witness.plain()).unwrap();
    witness.answers.next().await.unwrap().unwrap();
    // Until it is known of each that it pours.
    while read.load(Ordering::Relaxed) < POURING {
        tokio::task::yield_now().await;
    }
    // One at a time, then many at once.
    for (rounds, at_once) in [(50, 1), (1, 50)] {
        for _ in 0..rounds {
            let before = read.load(Ordering::Relaxed);
            for _ in 0..at_once {
                witness.peer.send(witness.plain()).unwrap();
            }
            for _ in 0..at_once {
                witness.answers.next().await.unwrap().unwrap();
            }
            let between = read.load(Ordering::Relaxed) - before;
            assert!(
                between <= 3 * at_once,
                "{between} chunks of others came between {at_once}"
            );
        }
    }
    // The others go on, too.
    while read.load(Ordering::Relaxed) < POURING + 25 {
        tokio::task::yield_now().await;
    }
}

/// The legs of one server.
struct CallOfSeveral {
    directory: Arc<Directory>,
    epoch: Instant,
    legs: u64,
}

impl CallOfSeveral {
    fn new() -> Self {
        Self {
            directory: Directory::new(64, 64),
            epoch: Instant::now(),
            legs: 0,
        }
    }

    fn leg(&mut self) -> Ends {
        self.legs += 1;
        leg_in(&self.directory, self.legs, self.epoch)
    }
}

/// A chunk whose every byte is this one.
fn of(byte: u8, chunk: AudioChunk) -> AudioChunk {
    AudioChunk {
        audio_data: vec![byte; chunk.audio_data.len()].into(),
        ..chunk
    }
}

impl Ends {
    fn say_of(&mut self, byte: u8) {
        self.sent += 1;
        let chunk = AudioChunk {
            sequence: self.sent,
            media_time: SAMPLES * (self.sent - 1),
            ..of(byte, self.plain())
        };
        self.peer.send(chunk).unwrap();
    }

    /// The bytes of the sound that it is given now, one of each chunk.
    fn heard(&mut self) -> Vec<u8> {
        let chunks = self.take_all();
        sound(&chunks)
            .iter()
            .map(|chunk| chunk.audio_data[0])
            .collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_leg_is_echoed_until_another_joins_its_call_and_again_when_that_has_gone() {
    let mut call = CallOfSeveral::new();
    let mut one = call.leg();
    let mut accepted = Vec::new();
    let mut step = async |one: &mut Ends, two: Option<&mut Ends>| {
        one.say_of(1);
        let two_heard = match two {
            Some(two) => {
                two.say_of(2);
                sleep(CHUNK).await;
                two.heard()
            }
            None => {
                sleep(CHUNK).await;
                Vec::new()
            }
        };
        let chunks = one.take_all();
        accepted.extend(
            chunks
                .iter()
                .filter_map(|chunk| chunk.accepted.as_ref()?.echo),
        );
        let heard: Vec<_> = sound(&chunks)
            .iter()
            .map(|chunk| chunk.audio_data[0])
            .collect();
        (heard, two_heard)
    };
    for _ in 0..20 {
        assert_eq!(step(&mut one, None).await.0, [1]);
    }
    let mut two = call.leg();
    // The first chunk of the second brings them together.
    step(&mut one, Some(&mut two)).await;
    for _ in 0..50 {
        assert_eq!(step(&mut one, Some(&mut two)).await, (vec![2], vec![1]));
    }
    drop(two.answers);
    sleep(CHUNK).await;
    step(&mut one, None).await;
    for _ in 0..50 {
        assert_eq!(step(&mut one, None).await.0, [1]);
    }
    assert_eq!(accepted, [true, false, true]);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_waits_for_each_answer_has_one_whoever_comes_and_goes() {
    let mut call = CallOfSeveral::new();
    let mut one = call.leg();
    let mut two: Option<Ends> = None;
    for n in 0..400 {
        // Knows fields 1 to 5, and says nothing before it has heard something.
        one.peer.send(one.plain()).unwrap();
        if n % 40 == 35 {
            // While it waits.
            sleep(Duration::from_millis(1)).await;
            two = None;
        }
        let answer = timeout(Duration::from_millis(200), one.answers.next()).await;
        assert!(matches!(answer, Ok(Some(Ok(_)))), "chunk {n}: {answer:?}");
        sleep(CHUNK / 2).await;
        match n % 40 {
            10 => two = Some(call.leg()),
            30 if n < 200 => two = None,
            _ => {}
        }
        if let Some(two) = &mut two {
            two.say_of(2);
            two.take_all();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_stream_takes_the_place_of_the_first_when_it_speaks_and_not_before() {
    let mut call = CallOfSeveral::new();
    let (mut old, mut other) = (call.leg(), call.leg());
    let mut token = String::new();
    for _ in 0..20 {
        old.say_of(1);
        other.say_of(2);
        sleep(CHUNK).await;
        other.take_all();
        for chunk in old.take_all() {
            token = chunk
                .accepted
                .map_or(token, |accepted| accepted.resume_token);
        }
    }
    assert!(!token.is_empty());
    let mut new = call.leg();
    let tried = AudioChunk {
        audio_data: Bytes::new(),
        sequence: 1,
        join: Some(Join {
            resume_token: token,
            ..Join::default()
        }),
        ..new.plain()
    };
    new.sent = 1;
    new.peer.send(tried).unwrap();
    sleep(CHUNK).await;
    // It is answered, and nobody else notices.
    assert_eq!(new.take_all().len(), 1);
    old.say_of(1);
    sleep(CHUNK).await;
    assert_eq!(other.heard(), [1]);
    new.say_of(3);
    sleep(CHUNK).await;
    assert_eq!(other.heard(), [3]);
    let ended = std::iter::from_fn(|| old.take()).find_map(Result::err);
    assert_eq!(ended.map(|status| status.code()), Some(Code::Aborted));
    other.say_of(2);
    sleep(CHUNK).await;
    assert_eq!(new.heard(), [2]);
}

#[tokio::test(start_paused = true)]
async fn who_pours_into_a_call_of_several_is_heard_at_the_pace_of_time() {
    let mut call = CallOfSeveral::new();
    let (pours, mut other) = (call.leg(), call.leg());
    other.say_of(2);
    sleep(CHUNK).await;
    // Alone until then.
    assert_eq!(other.heard(), [2]);
    for n in 0..1_000_u32 {
        let chunk = of((n / 100) as u8, pours.plain());
        pours.peer.send(chunk).unwrap();
    }
    // Ten seconds at once.
    let mut heard = Vec::new();
    for _ in 0..800 {
        other.say_of(2);
        sleep(CHUNK).await;
        heard.extend(other.heard());
    }
    // All of the first eight seconds, each in its time.
    let ahead = heard.len() as i64 - 800;
    assert!((-10..=20).contains(&ahead), "{ahead} chunks ahead of time");
    // Nothing is missing or comes twice.
    let counts: Vec<_> = (0..7_u8)
        .map(|second| heard.iter().filter(|byte| **byte == second).count())
        .collect();
    assert_eq!(counts, [100; 7]);
    assert!(heard.is_sorted());
}

#[tokio::test(start_paused = true)]
async fn legs_that_all_leave_at_once_leave_no_ghost_for_who_comes_then() {
    let mut call = CallOfSeveral::new();
    let (mut one, mut two) = (call.leg(), call.leg());
    for _ in 0..5 {
        one.say_of(1);
        two.say_of(2);
        sleep(CHUNK).await;
    }
    let permits = [Arc::clone(&one.permits), Arc::clone(&two.permits)];
    // Both go, and another comes before the call has heard of that.
    drop((one.answers, two.answers));
    let mut three = call.leg();
    three.say_of(3);
    sleep(CHUNK).await;
    assert_eq!(three.heard(), [3]);
    let mut four = call.leg();
    four.say_of(4);
    sleep(CHUNK).await;
    three.take_all();
    four.take_all();
    for _ in 0..20 {
        three.say_of(3);
        four.say_of(4);
        sleep(CHUNK).await;
        assert_eq!((three.heard(), four.heard()), (vec![4], vec![3]));
    }
    drop((three.answers, four.answers));
    sleep(CHUNK).await;
    for permits in permits.iter().chain([&three.permits, &four.permits]) {
        assert!(
            permits.take(None).is_ok(),
            "a place is kept for who has gone"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_events_ends_its_leg_and_no_other() {
    let mut call = CallOfSeveral::new();
    let (mut floods, mut other) = (call.leg(), call.leg());
    let mut heard = 0;
    let mut ended = None;
    for n in 0..200 {
        let muted = |muted| Event {
            event: Some(event::Event::Muted(Muted {
                leg_id: String::new(),
                muted,
            })),
        };
        floods.sent += 1;
        let chunk = AudioChunk {
            sequence: floods.sent,
            events: (0..10).map(|n| muted(n % 2 == 0)).collect(),
            ..floods.plain()
        };
        floods.peer.send(chunk).unwrap();
        other.say_of(2);
        sleep(CHUNK).await;
        other.take_all();
        ended = ended.or(std::iter::from_fn(|| floods.take()).find_map(Result::err));
        heard += usize::from(ended.is_none());
        if n == 100 {
            break;
        }
    }
    assert_eq!(
        ended.map(|status| status.code()),
        Some(Code::ResourceExhausted)
    );
    assert!(heard < 20, "{heard} chunks");
    // Alone again.
    other.say_of(2);
    sleep(CHUNK).await;
    assert_eq!(other.heard(), [2]);
}
