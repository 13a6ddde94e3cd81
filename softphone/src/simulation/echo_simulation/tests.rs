//! What happens in such a room.

use super::*;

#[test]
fn an_echo_call_with_the_loudspeaker_next_to_the_microphone_does_not_howl() {
    let voice = voice(125.0, 8);
    let talks = |near_end, gain_db, delay| {
        call(&Setting {
            near_end,
            gain_db,
            delay,
            voice: voice.clone(),
            seconds: 18,
            ..Setting::default()
        })
    };
    let spoken = |call: &Call| rms_dbfs(&call.sent[2 * RATE..8 * RATE]);
    let clean = talks(ON, -200.0, ms(5));
    for delay in [ms(120), ms(300)] {
        for gain_db in [-6.0, 0.0, 6.0] {
            let call = talks(ON, gain_db, delay);
            let setting = format!("{gain_db} dB, {delay:?}");
            let loudest = call.loudest_dbfs(0);
            assert!(loudest < -8.0, "{setting}: {loudest} dBFS");
            let last = call.last_dbfs();
            assert!(last < -60.0, "{setting}: {last} dBFS ten seconds later");
            let (sent, alone) = (spoken(&call), spoken(&clean));
            assert!(
                (sent - alone).abs() < 3.0,
                "{setting}: {sent}, not {alone} dBFS"
            );
        }
    }
    // The same room without the canceller: that is what it is for.
    let off = talks(OFF, 6.0, ms(120));
    assert!(off.last_dbfs() > -12.0, "{} dBFS", off.last_dbfs());
}

#[test]
fn the_echo_stays_away_while_the_two_clocks_drift_apart() {
    for drift_ppm in [200.0, -200.0] {
        let call = call(&Setting {
            drift_ppm,
            far_voice: Some(voice(210.0, 100)),
            seconds: 100,
            ..Setting::default()
        });
        let mut erle: Vec<f32> = (10..100).map(|second| call.erle_db(second)).collect();
        erle.sort_by(f32::total_cmp);
        // Now and then the canceller loses its bearings for a second, on steady clocks as well.
        assert!(
            erle[4] > 30.0,
            "{drift_ppm} ppm: {} dB at the 5th percentile",
            erle[4]
        );
        assert!(
            erle[45] > 45.0,
            "{drift_ppm} ppm: {} dB in the median",
            erle[45]
        );
    }
}

#[test]
fn a_speaker_of_another_rate_and_a_microphone_that_was_away_are_survived() {
    let call = call(&Setting {
        far_voice: Some(voice(210.0, 20)),
        seconds: 20,
        rebuilt: Duration::from_secs(6),
        away: Duration::from_secs(12)..Duration::from_millis(13_500),
        ..Setting::default()
    });
    for second in [5, 11, 18] {
        let erle_db = call.erle_db(second);
        assert!(erle_db > 25.0, "second {second}: {erle_db} dB");
    }
}

#[test]
fn a_headset_that_is_pulled_out_brings_the_canceller() {
    let call = call(&Setting {
        near_end: AUTO,
        speaker: "Headset",
        far_voice: Some(voice(210.0, 14)),
        seconds: 14,
        coupled: Duration::from_secs(6),
        rebuilt: Duration::from_secs(6),
        ..Setting::default()
    });
    assert_eq!(call.course[4].near_end, None);
    assert!(call.erle_db(12) > 25.0, "{} dB", call.erle_db(12));
    // Nothing of the sound is numbered twice.
    let sound = call.chunks.iter().filter(|chunk| !chunk.payload.is_empty());
    let times: Vec<u64> = sound.map(|chunk| chunk.media_time).collect();
    assert!(times.windows(2).all(|pair| pair[1] >= pair[0] + 480));
}

/// A voice with a word a second from the beginning on, of its own pitch.
fn far_voice(seed: usize, seconds: usize) -> Vec<f32> {
    voice(170.0 + 13.0 * seed as f32, seconds)
}

#[test]
fn an_echo_is_cancelled_from_the_first_words_on() {
    for (seed, gain_db) in [-20.0, -10.0, 0.0, 6.0].into_iter().enumerate() {
        for delay in [ms(20), ms(120), ms(300)] {
            let call = call(&Setting {
                near_end: AUTO,
                gain_db,
                delay,
                far_voice: Some(far_voice(seed, 6)),
                seconds: 6,
                ..Setting::default()
            });
            let setting = format!("{gain_db} dB, {delay:?}");
            assert_eq!(call.switched.len(), 1, "{setting}: {:?}", call.switched);
            assert!(
                call.switched[0].0 < ms(1_200),
                "{setting}: {:?}",
                call.switched
            );
            let echo = &call.course[5].echo;
            assert_eq!((echo.reason, echo.changes), ("heard", 0), "{setting}");
            assert!(call.erle_db(5) > 20.0, "{setting}: {}", call.erle_db(5));
            // Nothing was let through before.
            let first = call.chunks.iter().find(|chunk| !chunk.payload.is_empty());
            assert!(first.unwrap().made >= call.switched[0].0, "{setting}");
        }
    }
}

#[test]
fn in_an_echo_call_a_loop_is_cancelled_only_where_it_would_howl() {
    let voice = voice(125.0, 8);
    for delay in [ms(20), ms(120), ms(300)] {
        for (gain_db, tone, canceller) in [
            (-20.0, true, false),
            (-10.0, true, true),
            (0.0, true, true),
            (6.0, true, true),
            (6.0, false, true),
        ] {
            let call = call(&Setting {
                near_end: AUTO,
                tone,
                gain_db,
                delay,
                voice: voice.clone(),
                seconds: 18,
                ..Setting::default()
            });
            let setting = format!("{gain_db} dB, {delay:?}, tone: {tone}");
            let on = call.course[17].echo.canceller();
            assert_eq!(on, canceller, "{setting}: {:?}", call.course[17].echo);
            let last = call.last_dbfs();
            assert!(last < -60.0, "{setting}: {last} dBFS ten seconds later");
            if tone {
                let loudest = call.loudest_dbfs(0);
                assert!(loudest < -8.0, "{setting}: {loudest} dBFS");
            }
        }
    }
}

#[test]
fn a_loop_that_is_torn_dies_away() {
    // Each of these once went round for ever. At each time the speaker plays so many samples of
    // silence that its reference does not have.
    type Tears = &'static [(f32, usize)];
    let cases: [(f32, Duration, f32, Tears); 7] = [
        (
            197.0,
            ms(20),
            6.0,
            &[(1.153, 330), (2.652, 1_643), (3.703, 96)],
        ),
        (149.0, ms(20), 6.0, &[(3.564, 274)]),
        (
            151.0,
            ms(20),
            0.0,
            &[(2.895, 1_430), (3.109, 1_943), (4.711, 453)],
        ),
        (184.0, ms(20), 0.0, &[(2.362, 465)]),
        (130.0, ms(120), 0.0, &[(5.104, 400), (5.233, 1_154)]),
        (105.0, ms(300), -6.0, &[(1.72, 489)]),
        (185.0, ms(300), 6.0, &[(1.388, 1_144), (2.424, 402)]),
    ];
    for (pitch_hz, delay, gain_db, tears) in cases {
        let call = call(&Setting {
            near_end: AUTO,
            gain_db,
            delay,
            voice: [vec![0.0; RATE], voice(pitch_hz, 6)].concat(),
            seconds: 18,
            runs_dry: tears
                .iter()
                .map(|&(at, samples)| (Duration::from_secs_f32(at), samples))
                .collect(),
            ..Setting::default()
        });
        let setting = format!("{pitch_hz} Hz, {gain_db} dB, {delay:?}");
        let (last, loudest) = (call.last_dbfs(), call.loudest_dbfs(0));
        assert!(last < -60.0, "{setting}: {last} dBFS six seconds later");
        assert!(loudest < -8.0, "{setting}: {loudest} dBFS");
        let spoken = rms_dbfs(&call.played[3 * RATE / 2..7 * RATE]);
        assert!(spoken > -35.0, "{setting}: {spoken} dBFS");
    }
}

/// A second of it, at −80 dBFS.
fn room_noise() -> Vec<f32> {
    let mut state = 1_u32;
    (0..RATE)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state as f32 / u32::MAX as f32 - 0.5) * 3e-4
        })
        .collect()
}

#[test]
fn without_an_echo_nothing_is_done_and_nothing_is_held_back() {
    for far in [None, Some(far_voice(3, 8))] {
        let is_echo_call = far.is_none();
        let call = call(&Setting {
            near_end: AUTO,
            gain_db: -200.0,
            // A quiet room first: while somebody speaks, less can be told.
            voice: [room_noise(), voice(125.0, 7)].concat(),
            far_voice: far,
            seconds: 8,
            ..Setting::default()
        });
        assert_eq!(call.switched, [], "echo call: {is_echo_call}");
        let status = &call.course[7];
        assert_eq!(
            status.echo.message,
            "echo canceller off: the microphone does not hear the speaker"
        );
        assert_eq!(status.near_end, None);
        let stages = call.chunks.last().unwrap().stages;
        assert_eq!((stages.framing, stages.processing), (10_000, 0));
        // And the next call needs no tone.
        assert_eq!(status.learned.count(), 1);
        assert_eq!(status.learned.after(0)[0].path, EchoPath::None);
    }
}

#[test]
fn what_is_remembered_is_not_measured_again() {
    let pair = DevicePair {
        microphone: String::new(),
        speaker: "Desk".to_owned(),
    };
    for (path, reason) in [
        (EchoPath::None, "not_heard"),
        (
            EchoPath::Some {
                gain_db: -6.0,
                lag_ms: 45,
            },
            "heard",
        ),
    ] {
        let mut memory = EchoMemory::default();
        memory.learn(&pair, path);
        let call = call(&Setting {
            near_end: AUTO,
            memory,
            gain_db: if path == EchoPath::None { -200.0 } else { -6.0 },
            far_voice: Some(Vec::new()),
            seconds: 3,
            ..Setting::default()
        });
        assert_eq!(call.course[0].echo.reason, reason);
        // No tone was played, and the microphone was let through at once.
        assert!(rms_dbfs(&call.played) < -100.0);
        assert!(call.chunks[1].made < ms(50));
    }
}

#[test]
fn an_echo_that_begins_in_the_midst_of_a_call_is_cancelled_within_two_seconds() {
    for (seed, gain_db) in [-10.0, 0.0, 6.0].into_iter().enumerate() {
        for delay in [ms(20), ms(120), ms(300)] {
            let begins = Duration::from_secs(5);
            let call = call(&Setting {
                near_end: AUTO,
                gain_db,
                delay,
                coupled: begins,
                far_voice: Some(far_voice(seed, 12)),
                seconds: 12,
                ..Setting::default()
            });
            let setting = format!("{gain_db} dB, {delay:?}");
            assert_eq!(call.switched.len(), 1, "{setting}: {:?}", call.switched);
            let after = call.switched[0].0.checked_sub(begins).expect(&setting);
            assert!(after < ms(2_000), "{setting}: {after:?}");
            // The figure of the canceller is a mean of seconds: what is left is measured.
            let last = |samples: &[f32]| rms_dbfs(&samples[samples.len() - RATE..]);
            let loss_db = last(&call.played) + gain_db - last(&call.sent);
            assert!(loss_db > 30.0, "{setting}: {loss_db} dB");
            // Every sample has its place, over the change too.
            let sound = call.chunks.iter().filter(|chunk| !chunk.payload.is_empty());
            let times: Vec<u64> = sound.map(|chunk| chunk.media_time).collect();
            assert!(
                times.windows(2).all(|pair| pair[1] == pair[0] + 480),
                "{setting}"
            );
        }
    }
}

#[test]
fn an_echo_that_was_too_weak_and_has_grown_is_cancelled() {
    let too_weak = EchoPath::Some {
        gain_db: -60.0,
        lag_ms: 100,
    };
    let pair = DevicePair {
        microphone: String::new(),
        speaker: "Desk".to_owned(),
    };
    let mut memory = EchoMemory::default();
    memory.learn(&pair, too_weak);
    let call = call(&Setting {
        near_end: AUTO,
        memory,
        gain_db: -10.0,
        far_voice: Some(far_voice(1, 6)),
        seconds: 6,
        ..Setting::default()
    });
    assert_eq!(call.course[0].echo.reason, "too_weak");
    assert_eq!(call.course[5].echo.reason, "heard");
    assert!(call.course[5].echo.canceller());
}

#[test]
fn an_echo_that_stays_too_weak_is_learned_once() {
    let call = call(&Setting {
        near_end: AUTO,
        gain_db: -50.0,
        tone: false,
        far_voice: Some(far_voice(1, 10)),
        seconds: 10,
        ..Setting::default()
    });
    let last = &call.course[9];
    assert!(!last.echo.canceller(), "{:?}", last.echo);
    assert!(last.learned.count() <= 1, "{}", last.learned.count());
}

#[test]
fn what_a_canceller_takes_of_an_echo_call_is_not_judged() {
    let judged = |near_end, far_voice| {
        let call = call(&Setting {
            near_end,
            gain_db: -200.0,
            voice: voice(125.0, 6),
            far_voice,
            seconds: 6,
            ..Setting::default()
        });
        call.course[5].call_stats.mos.is_some()
    };
    assert!(judged(OFF, None), "without a canceller");
    assert!(!judged(ON, None), "with one");
    assert!(
        judged(ON, Some(far_voice(1, 6))),
        "where somebody else is heard"
    );
}

#[test]
fn both_speak_at_once_and_the_near_end_is_heard() {
    let setting = |far_voice| Setting {
        voice: [vec![0.0; 5 * RATE], voice(125.0, 10)].concat(),
        far_voice: Some(far_voice),
        seconds: 15,
        ..Setting::default()
    };
    let alone = call(&setting(Vec::new()));
    let both = call(&setting(voice(210.0, 15)));
    let part = |call: &Call| call.sent[6 * RATE..14 * RATE].to_vec();
    let (alone, both) = (part(&alone), part(&both));
    let lost_db = rms_dbfs(&alone) - rms_dbfs(&both);
    let sdr_db = sdr_db(&alone, &both);
    assert!(lost_db < 6.0, "{lost_db} dB");
    assert!(sdr_db > 3.0, "{sdr_db} dB");
}

#[test]
fn a_telephone_codec_gets_the_same_processing() {
    let call = call(&Setting {
        format: Format::parse("pcmu", 8_000, 1).unwrap(),
        far_voice: Some(voice(210.0, 60).into_iter().step_by(6).collect()),
        seconds: 8,
        ..Setting::default()
    });
    let erle_db = call.erle_db(7);
    assert!(erle_db > 25.0, "{erle_db} dB");
    let left = rms_dbfs(&call.sent[5 * 8_000..7 * 8_000]);
    assert!(left < -50.0, "{left} dBFS");
}

#[test]
fn the_stated_age_is_the_true_one() {
    let all = NearEndChoice {
        noise_suppression: Switch::On,
        gain_control: Switch::On,
        ..ON
    };
    // With nothing on, nothing is framed: 5 ms chunks wait for 5 ms, not for 10.
    for (near_end, chunk_ms, at_most_ms) in [
        (OFF, 5, 16),
        (OFF, 10, 20),
        (ON, 5, 30),
        (ON, 10, 30),
        (all, 20, 46),
    ] {
        let at = 2 * RATE + 100;
        let mut voice = vec![0.0; 3 * RATE];
        voice[at] = 0.9;
        let call = call(&Setting {
            near_end,
            format: Format::parse("pcm", 48_000, 1).unwrap(),
            chunk: ms(chunk_ms),
            voice,
            seconds: 3,
            ..Setting::default()
        });
        let (position, _) = call
            .sent
            .iter()
            .enumerate()
            .max_by(|a, b| a.1.abs().total_cmp(&b.1.abs()))
            .unwrap();
        let samples = chunk_ms as usize * 48;
        let chunk = &call.chunks[position / samples];
        let click_made = MICROPHONE_LATENCY + chunk.made;
        let captured_s = (at as f64 - (position % samples) as f64) / RATE as f64;
        let true_us = ((click_made.as_secs_f64() - captured_s) * 1e6) as i64;
        let stated_us = i64::from(chunk.stages.total());
        assert!(
            (true_us - stated_us).abs() < 300,
            "{near_end:?}: {true_us}, not {stated_us} µs"
        );
        assert!(
            stated_us <= at_most_ms * 1_000,
            "{near_end:?}: {stated_us} µs"
        );
    }
}
