use super::*;
use proto::callcenter::Join;

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn pcm(sequence: u64, samples: usize) -> AudioChunk {
    AudioChunk {
        audio_data: vec![0; 2 * samples].into(),
        call_id: "a-call".to_owned(),
        sample_rate: 48_000,
        channels: 1,
        codec: "pcm".to_owned(),
        sequence,
        ..AudioChunk::default()
    }
}

/// A leg and the queue for its answers.
struct Ends {
    leg: Leg,
    downlink: Downlink,
}

fn open(first: &AudioChunk, effects: &str) -> Ends {
    let effects = Effects::parse(effects).unwrap();
    let leg = Leg::open(first, "leg-1".to_owned(), &effects).unwrap();
    Ends {
        downlink: leg.downlink(),
        leg,
    }
}

/// A chunk that arrives at one time and whose answer is handed over at another.
fn answer(ends: &mut Ends, chunk: &AudioChunk, arrived: Duration, ready: Duration) -> AudioChunk {
    let age_us = ends.downlink.receive(chunk, arrived);
    let answer = ends.leg.answer(chunk, arrived, age_us).unwrap();
    if let Some(accepted) = ends.leg.accepted() {
        ends.downlink.accept(accepted, arrived);
    }
    ends.downlink.push(answer, arrived);
    ends.downlink.pop(ready, false).unwrap()
}

#[test]
fn the_age_grows_by_the_time_here_and_by_the_processing() {
    let mut leg = open(&pcm(1, 480), "limiter");
    let chunk = AudioChunk {
        age_us: 12_000,
        ..pcm(1, 480)
    };
    let first = answer(&mut leg, &chunk, ms(100), ms(103));
    assert_eq!(first.ack_delay_us, 3_000);
    // The limiter's 0.5 ms; of the way here nothing is known yet.
    assert_eq!(first.age_us, 12_000 + 3_000 + 500);
}

#[test]
fn the_age_counts_the_way_here_once_it_is_known() {
    let mut leg = open(&pcm(1, 480), "none");
    // Each chunk leaves the microphone 10 ms after the last, is handed over 15 ms old, and takes
    // 20 ms for its way; the answers take as long.
    let chunk = |n: u64, ack_sequence, ack_delay_us| AudioChunk {
        media_time: 480 * (n - 1),
        age_us: 15_000,
        ack_sequence,
        ack_delay_us,
        ..pcm(n, 480)
    };
    let at = |n: u64| ms(10 * n + 15 + 20);
    for n in 1..=10 {
        answer(&mut leg, &chunk(n, 0, 0), at(n), at(n));
    }
    // The answer to the first was under way until at(1) + 20 ms, and the ack waits for the next
    // chunk: at(11) - 20 ms.
    let held = (at(11) - ms(20)) - (at(1) + ms(20));
    let held_us = held.as_micros() as u32;
    let known = answer(&mut leg, &chunk(11, 1, held_us), at(11), at(11) + ms(2));
    assert_eq!(known.age_us, 15_000 + 20_000 + 2_000);
    // A chunk that was held up by 70 ms on its way is older by that.
    let late = answer(&mut leg, &chunk(12, 0, 0), at(12) + ms(70), at(12) + ms(70));
    assert_eq!(late.age_us, 15_000 + 20_000 + 70_000);
    // The peer may not know: then nobody does.
    let unknown = AudioChunk {
        age_us: 0,
        ..chunk(13, 0, 0)
    };
    assert_eq!(answer(&mut leg, &unknown, at(13), at(13)).age_us, 0);
}

#[test]
fn an_age_beyond_measure_stays_the_largest() {
    let mut leg = open(&pcm(1, 480), "limiter");
    let chunk = AudioChunk {
        age_us: u32::MAX - 10,
        media_time: u64::MAX,
        ack_sequence: u64::MAX,
        ack_delay_us: u32::MAX,
        ..pcm(1, 480)
    };
    let first = answer(&mut leg, &chunk, ms(0), ms(100));
    assert_eq!((first.age_us, first.ack_delay_us), (u32::MAX, 100_000));
    assert_eq!(first.media_time, u64::MAX);
    let second = answer(&mut leg, &pcm(2, 480), ms(0), ms(0));
    assert_eq!(second.media_time, u64::MAX, "never falls, never wraps");
}

#[test]
fn a_clock_that_goes_backwards_is_no_harm() {
    let mut leg = open(&pcm(1, 480), "none");
    let chunk = AudioChunk {
        age_us: 5_000,
        ..pcm(1, 480)
    };
    let first = answer(&mut leg, &chunk, ms(10), ms(9));
    assert_eq!((first.ack_delay_us, first.age_us), (0, 5_000));
}

#[test]
fn each_answer_acknowledges_the_request_that_it_answers() {
    let mut leg = open(&pcm(7, 480), "none");
    for (n, sequence) in [7, 8, 20, 3, 0].into_iter().enumerate() {
        let delay = ms(n as u64);
        let answer = answer(&mut leg, &pcm(sequence, 480), ms(50), ms(50) + delay);
        assert_eq!(answer.ack_sequence, sequence);
        assert_eq!(answer.ack_delay_us, 1_000 * n as u32);
        assert_eq!(answer.sequence, n as u64 + 1);
    }
}

#[test]
fn media_time_follows_the_peers_jumps_but_never_falls() {
    let first = AudioChunk {
        media_time: 1_000,
        ..pcm(1, 480)
    };
    let mut leg = open(&first, "none");
    let mut times = Vec::new();
    for (media_time, samples) in [
        (1_000, 480),
        (1_480, 0),
        (1_480, 480),
        (5_000, 240),
        (0, 240),
    ] {
        let chunk = AudioChunk {
            media_time,
            ..pcm(1, samples)
        };
        times.push(answer(&mut leg, &chunk, ms(0), ms(0)).media_time);
    }
    assert_eq!(times, [1_000, 1_480, 1_480, 5_000, 5_240]);
}

#[test]
fn a_gap_is_passed_on_and_an_unknown_one_is_none() {
    let mut leg = open(&pcm(1, 480), "none");
    for (gap, passed) in [
        (0, 0),
        (1, 1),
        (3, 3),
        (4, 4),
        (5, 0),
        (-1, 0),
        (i32::MAX, 0),
    ] {
        let chunk = AudioChunk { gap, ..pcm(1, 0) };
        assert_eq!(answer(&mut leg, &chunk, ms(0), ms(0)).gap, passed);
    }
}

#[test]
fn an_unnumbered_peer_gets_the_five_fields_it_knows() {
    let first = AudioChunk {
        media_time: 9,
        age_us: 9,
        gap: 3,
        level: 9,
        ack_sequence: 9,
        join: Some(Join {
            effects: "none".to_owned(),
            ..Join::default()
        }),
        ..pcm(0, 480)
    };
    let mut leg = open(&first, "limiter");
    assert_eq!(answer(&mut leg, &first, ms(1), ms(2)), pcm(0, 480));
}

#[test]
fn a_call_without_an_id_gets_one_that_its_chunks_may_name() {
    let first = AudioChunk {
        call_id: String::new(),
        ..pcm(0, 480)
    };
    let mut leg = open(&first, "none");
    let id = leg.leg.call_id().to_owned();
    let named = AudioChunk {
        call_id: id.clone(),
        ..first.clone()
    };
    for chunk in [&first, &named] {
        assert_eq!(answer(&mut leg, chunk, ms(0), ms(0)).call_id, id);
    }
    assert!(leg.leg.answer(&pcm(0, 480), ms(0), None).is_err());
}

#[test]
fn totals_count_what_was_carried_and_what_could_not_be_decoded() {
    let opus = |audio_data: &[u8]| AudioChunk {
        audio_data: audio_data.to_vec().into(),
        codec: "opus".to_owned(),
        ..pcm(0, 0)
    };
    let mut leg = open(&opus(&[]), "limiter");
    for chunk in [opus(&[]), opus(&[31 << 3, 1, 2]), opus(&[31 << 3 | 3])] {
        answer(&mut leg, &chunk, ms(0), ms(0));
    }
    let totals = leg.leg.totals();
    assert_eq!((totals.chunks, totals.dropped, totals.bytes_in), (3, 1, 4));
    assert!(leg.downlink.bytes_out() > 0);
}

#[test]
fn one_good_packet_ends_a_row_of_bad_ones() {
    let opus = |audio_data: &[u8]| AudioChunk {
        audio_data: audio_data.to_vec().into(),
        codec: "opus".to_owned(),
        ..pcm(0, 0)
    };
    let (good, bad) = (opus(&[31 << 3, 1, 2]), opus(&[31 << 3 | 3]));
    let mut leg = open(&good, "limiter");
    for _ in 0..3 {
        for _ in 1..MAX_UNDECODABLE_IN_A_ROW {
            answer(&mut leg, &bad, ms(0), ms(0));
            // Neither good nor bad.
            answer(&mut leg, &opus(&[]), ms(0), ms(0));
        }
        answer(&mut leg, &good, ms(0), ms(0));
    }
    for _ in 1..MAX_UNDECODABLE_IN_A_ROW {
        answer(&mut leg, &bad, ms(0), ms(0));
    }
    let error = leg.leg.answer(&bad, ms(0), None).unwrap_err();
    assert!(matches!(error, LegError::Undecodable), "{error}");
}

#[test]
fn a_leg_that_opens_without_sound_says_its_delay_again_when_it_is_known() {
    let mut leg = open(&pcm(1, 0), "limiter");
    let told = |answer: &AudioChunk| answer.accepted.as_ref().map(|a| a.processing_delay_us);
    let first = answer(&mut leg, &pcm(1, 0), ms(0), ms(0));
    let reckoned = told(&first).unwrap();
    // Of 5 ms, which make up a frame of 10 only with the next.
    let said = AudioChunk {
        age_us: 1_000,
        ..pcm(2, 240)
    };
    let second = answer(&mut leg, &said, ms(10), ms(10));
    assert_eq!(second.age_us, 1_000 + reckoned + 5_000);
    assert_eq!(told(&second), Some(reckoned + 5_000));
    let third = answer(&mut leg, &pcm(3, 240), ms(15), ms(15));
    assert_eq!(told(&third), None);
    // Where it was right it is said once.
    let mut leg = open(&pcm(1, 0), "limiter");
    for (sequence, samples) in [(1, 0), (2, 480), (3, 480)] {
        let answer = answer(&mut leg, &pcm(sequence, samples), ms(0), ms(0));
        assert_eq!(answer.accepted.is_some(), sequence == 1);
    }
}
