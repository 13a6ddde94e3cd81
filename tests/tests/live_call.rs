//! The contract of `LiveCall`, sentence by sentence, against the real server.

mod caller;

use std::collections::HashSet;

use audio::{Decoder, Encoder, Format, Tone};
use bytes::Bytes;
use caller::{
    Caller, GoodCall, LIMIT, Value, bytes_of, chunk, connect, fields, later, message, numbered,
    raw_call, wishing,
};
use proto::callcenter::{Accepted, AudioChunk, Gap};
use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};
use tests::{
    Server,
    analysis::{delays, dominant_frequency, rms_dbfs},
    memory::resident_bytes,
    signals::chirp,
};
use tonic::Code;

/// The five fields of the original contract, as a peer writes them that knows no others.
fn five_fields(audio: &[u8], call_id: &str, rate: u64, channels: u64, codec: &str) -> Bytes {
    let text = |text: &str| Value::Bytes(Bytes::copy_from_slice(text.as_bytes()));
    message(&[
        (1, Value::Bytes(Bytes::copy_from_slice(audio))),
        (2, text(call_id)),
        (3, Value::Number(rate)),
        (4, Value::Number(channels)),
        (5, text(codec)),
    ])
}

/// `channels` tones side by side, each of its own frequency, -12 dBFS at their peaks.
fn tones(frequencies: &[f32], rate: u32, samples: usize) -> Vec<f32> {
    let mut sound = vec![0.0; samples * frequencies.len()];
    let mut one = vec![0.0; samples];
    for (channel, &frequency) in frequencies.iter().enumerate() {
        Tone::new(frequency, -12.0, rate).fill(&mut one);
        for (slot, sample) in sound[channel..]
            .iter_mut()
            .step_by(frequencies.len())
            .zip(&one)
        {
            *slot = *sample;
        }
    }
    sound
}

/// Says `sound` in chunks of these sizes (samples per channel, again and again) on a leg of its own,
/// and returns the answers, of which there must be one a chunk, with as many samples.
async fn call(
    server: &Server,
    format: Format,
    effects: &str,
    sizes: &[usize],
    sound: &[f32],
) -> Vec<AudioChunk> {
    let mut caller = Caller::dial(server).await;
    let mut encoder = Encoder::new(format, 128_000).expect("an encoder");
    let mut first = chunk(
        format.codec().name(),
        format.sample_rate_hz(),
        format.channels(),
        [],
    );
    first = wishing(effects, first);
    let (mut rest, mut expected) = (sound, Vec::new());
    for (n, &size) in sizes.iter().cycle().enumerate() {
        let Some((samples, after)) = rest.split_at_checked(size * format.channels()) else {
            break;
        };
        rest = after;
        let mut payload = Vec::new();
        encoder.encode(samples, &mut payload).expect("encodes");
        expected.push(size);
        first.audio_data = payload.into();
        caller.say(numbered(n as u64 + 1, first.clone()));
    }
    let answers = caller.rest().await;
    let got: Vec<_> = answers
        .iter()
        .map(|answer| {
            format
                .samples_per_channel(&answer.audio_data)
                .expect("a good payload")
        })
        .collect();
    assert_eq!(got, expected, "{format}");
    for answer in &answers {
        let said = (
            answer.codec.as_str(),
            answer.sample_rate as u32,
            answer.channels as usize,
        );
        assert_eq!(
            said,
            (
                format.codec().name(),
                format.sample_rate_hz(),
                format.channels()
            )
        );
    }
    answers
}

/// What the answers sound like, one signal per channel.
fn heard(format: Format, answers: &[AudioChunk]) -> Vec<Vec<f32>> {
    let mut decoder = Decoder::new(format).expect("a decoder");
    let mut samples = Vec::new();
    for answer in answers {
        decoder
            .decode(&answer.audio_data, &mut samples)
            .expect("decodes");
    }
    (0..format.channels())
        .map(|channel| {
            samples[channel..]
                .iter()
                .step_by(format.channels())
                .copied()
                .collect()
        })
        .collect()
}

fn format(codec: &str, rate: i32, channels: i32) -> Format {
    Format::parse(codec, rate, channels).expect("a good format")
}

#[tokio::test]
async fn a_peer_that_knows_only_fields_1_to_5_gets_nothing_else() {
    let server = Server::start(&[]);
    let channel = connect(&server).await;
    let requests = vec![
        five_fields(&[0; 320], "old-times", 8_000, 1, "pcm"),
        five_fields(&[], "old-times", 8_000, 1, "pcm"),
        five_fields(&[1; 160], "old-times", 8_000, 1, "pcm"),
    ];
    let (answers, status) = raw_call(&channel, requests).await;
    assert!(status.is_none(), "{status:?}");
    assert_eq!(answers.len(), 3);
    for (answer, bytes) in answers.into_iter().zip([320, 0, 160]) {
        let mut rest = fields(answer);
        if bytes > 0 {
            let (tag, audio) = rest.remove(0);
            assert!(matches!(audio, Value::Bytes(audio) if audio.len() == bytes) && tag == 1);
        }
        // All four others, always, and not one byte more.
        assert_eq!(
            rest,
            fields(five_fields(&[], "old-times", 8_000, 1, "pcm"))[1..]
        );
    }
}

#[tokio::test]
async fn nothing_above_5_is_sent_when_only_later_chunks_are_numbered() {
    let server = Server::start(&["--effects", "none"]);
    let mut caller = Caller::dial(&server).await;
    let first = chunk("pcm", 8_000, 1, [1, 0]);
    assert_eq!(caller.ask(first.clone()).await, first);
    let second = AudioChunk {
        sequence: 2,
        media_time: 1,
        age_us: 5_000,
        gap: Gap::Muted.into(),
        level: 9,
        ..first.clone()
    };
    assert_eq!(caller.ask(second).await, first);
}

#[tokio::test]
async fn a_codec_is_known_by_all_its_names_and_answered_in_the_peers_own_spelling() {
    let server = Server::start(&[]);
    let channel = connect(&server).await;
    for (codec, bytes) in [
        ("pcm", 320),
        ("PCM", 320),
        ("pcm_s16le", 320),
        ("Pcm_S16LE", 320),
        ("LINEAR16", 320),
        ("linear16", 320),
        ("pcmu", 160),
        ("PCMU", 160),
        ("MULAW", 160),
        ("mulaw", 160),
        ("pcma", 160),
        ("ALAW", 160),
        ("aLaw", 160),
    ] {
        let mut caller = Caller::on(&channel).await;
        let first = chunk(codec, 8_000, 1, vec![0x55; bytes]);
        let answer = caller.ask(first.clone()).await;
        assert_eq!(answer.audio_data.len(), bytes, "{codec}");
        let silent = AudioChunk {
            audio_data: Bytes::new(),
            ..answer
        };
        assert_eq!(silent, chunk(codec, 8_000, 1, []));
        // Another name of the same codec is no change, and the first one stays.
        let alias = match bytes {
            320 => "Linear16",
            _ if codec.to_lowercase().contains('u') => "MuLaw",
            _ => "Alaw",
        };
        let answer = caller.ask(chunk(alias, 8_000, 1, vec![0x55; bytes])).await;
        assert_eq!(answer.codec, codec);
        assert_eq!(caller.rest().await, []);
    }
    let mut caller = Caller::on(&channel).await;
    let answer = caller
        .ask(chunk("OpUs", 48_000, 1, [31 << 3, 0xff, 0xfe]))
        .await;
    assert_eq!(
        (answer.codec.as_str(), answer.sample_rate, answer.channels),
        ("OpUs", 48_000, 1)
    );
}

#[tokio::test]
async fn every_request_gets_one_answer_in_order_with_as_many_samples() {
    let server = Server::start(&[]);
    // Sizes that fit no frame of any processing.
    let sizes = [1, 5_760, 2, 37, 480, 441, 1_000, 4_799, 3];
    let sound = tones(&[300.0], 48_000, 48_000);
    for effects in ["none", "limiter", "highpass,denoise,agc,limiter,delay=7"] {
        let answers = call(&server, format("pcm", 48_000, 1), effects, &sizes, &sound).await;
        let acks: Vec<_> = answers.iter().map(|answer| answer.ack_sequence).collect();
        assert_eq!(acks, (1..=answers.len() as u64).collect::<Vec<_>>());
    }
    let sizes = [960, 120, 2_880, 240, 5_760, 480];
    call(
        &server,
        format("opus", 48_000, 1),
        "limiter",
        &sizes,
        &sound,
    )
    .await;
}

#[tokio::test]
async fn pcm_without_effects_is_lossless_however_fast_it_pours() {
    let mut server = Server::start(&["--effects", "none"]);
    let pid = server.process().id();
    let mut client =
        proto::callcenter::call_center_client::CallCenterClient::new(connect(&server).await);
    // A minute of the widest format; each chunk unlike every other.
    let payload = |n: usize| {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(n as u64);
        let mut bytes = vec![0; 192_000 / 50 * 4];
        random.fill(&mut bytes[..]);
        bytes
    };
    let pour = tokio_stream::iter((0..3_000).map(move |n| chunk("pcm", 192_000, 2, payload(n))));
    let mut answers = client.live_call(pour).await.expect("accepted").into_inner();
    let mut memory = 0;
    for n in 0..3_000 {
        let answer = tokio::time::timeout(LIMIT, answers.message())
            .await
            .expect("hangs");
        let answer = answer.expect("no error").expect("all of it");
        assert!(
            answer.audio_data == payload(n),
            "chunk {n} is not what was sent"
        );
        match n {
            300 => memory = resident_bytes(pid),
            _ if n > 300 && n % 300 == 0 => {
                let grown = resident_bytes(pid).saturating_sub(memory);
                assert!(grown < 8 << 20, "{grown} bytes more at chunk {n}");
            }
            _ => {}
        }
    }
    assert_eq!(answers.message().await.expect("the end is OK"), None);
}

#[tokio::test]
async fn after_a_half_close_comes_all_that_is_due_and_then_ok() {
    let server = Server::start(&[]);
    let mut caller = Caller::dial(&server).await;
    let first = chunk("pcm", 16_000, 1, []);
    for _ in 0..500 {
        caller.say(AudioChunk {
            audio_data: vec![7; 640].into(),
            ..first.clone()
        });
    }
    assert_eq!(caller.rest().await.len(), 500);
}

#[tokio::test]
async fn a_chunk_without_audio_is_legal_anywhere_and_takes_no_media_time() {
    let server = Server::start(&[]);
    let mut caller = Caller::dial(&server).await;
    let mut times = Vec::new();
    for (n, samples) in [0, 160, 0, 0, 160, 0, 80, 0].into_iter().enumerate() {
        let request = numbered(n as u64 + 1, chunk("pcm", 16_000, 1, vec![0; 2 * samples]));
        let request = AudioChunk {
            media_time: times.last().map_or(0, |&(_, end)| end),
            ..request
        };
        let answer = caller.ask(request).await;
        assert_eq!(answer.audio_data.len(), 2 * samples);
        times.push((answer.media_time, answer.media_time + samples as u64));
        if samples == 0 {
            assert_eq!(
                (answer.level, answer.age_us),
                (0, 0),
                "no sound has neither"
            );
        }
    }
    let begins: Vec<_> = times.into_iter().map(|(begin, _)| begin).collect();
    assert_eq!(begins, [0, 0, 160, 160, 160, 320, 320, 400]);

    // It never reaches a decoder either, which would take it for a lost packet.
    let mut opus = Caller::dial(&server).await;
    opus.say(numbered(1, chunk("opus", 48_000, 1, [])));
    for _ in 0..200 {
        opus.say(later([]));
    }
    assert!(
        opus.rest()
            .await
            .iter()
            .all(|answer| answer.audio_data.is_empty())
    );
}

#[tokio::test]
async fn later_chunks_may_leave_the_format_unset_and_the_server_never_does() {
    let server = Server::start(&["--effects", "none"]);
    let mut caller = Caller::dial(&server).await;
    caller.say(chunk("alaw", 8_000, 2, [1, 2]));
    caller.say(later([3, 4, 5, 6]));
    caller.say(AudioChunk {
        channels: 2,
        ..later([])
    });
    caller.say(AudioChunk {
        codec: "PCMA".to_owned(),
        ..later([7, 8])
    });
    caller.say(AudioChunk {
        call_id: "a-call".to_owned(),
        sample_rate: 8_000,
        ..later([9, 10])
    });
    let answers = caller.rest().await;
    let payloads = [&[1, 2][..], &[3, 4, 5, 6], &[], &[7, 8], &[9, 10]];
    assert_eq!(answers.len(), payloads.len());
    for (answer, payload) in answers.into_iter().zip(payloads) {
        assert_eq!(answer, chunk("alaw", 8_000, 2, payload.to_vec()));
    }
}

#[tokio::test]
async fn an_empty_call_id_is_assigned_by_the_server_and_is_the_same_on_every_answer() {
    let server = Server::start(&[]);
    let channel = connect(&server).await;
    let mut ids = HashSet::new();
    for _ in 0..3 {
        let mut caller = Caller::on(&channel).await;
        let first = AudioChunk {
            call_id: String::new(),
            ..chunk("pcm", 8_000, 1, [0; 160])
        };
        let id = caller.ask(first.clone()).await.call_id;
        assert_eq!(id.len(), 36, "a UUID: {id}");
        assert_eq!(caller.ask(first.clone()).await.call_id, id);
        assert_eq!(caller.ask(later([])).await.call_id, id);
        let named = AudioChunk {
            call_id: id.clone(),
            ..first
        };
        assert_eq!(caller.ask(named).await.call_id, id);
        ids.insert(id);
    }
    assert_eq!(ids.len(), 3);
}

#[tokio::test]
async fn a_call_id_may_be_any_text_of_128_bytes() {
    let server = Server::start(&[]);
    for id in ["x".repeat(128), "звонок № 7 ☎ «'\"\\%»".to_owned()] {
        let mut caller = Caller::dial(&server).await;
        let first = AudioChunk {
            call_id: id.clone(),
            ..chunk("pcm", 8_000, 1, [])
        };
        assert_eq!(caller.ask(first).await.call_id, id);
    }
}

#[tokio::test]
async fn a_numbering_peer_gets_fields_6_and_up() {
    let server = Server::start(&["--effects", "limiter"]);
    let mut caller = Caller::dial(&server).await;
    // 960 samples are spoken, then 480 are missing, then the peer is muted.
    let tone = bytes_of(&tones(&[440.0], 48_000, 480));
    let request = |sequence, media_time, gap: Gap, audio: &[u8]| AudioChunk {
        media_time,
        gap: gap.into(),
        age_us: if audio.is_empty() { 0 } else { 12_000 },
        ..numbered(sequence, chunk("pcm", 48_000, 1, audio.to_vec()))
    };
    let requests = [
        request(1, 0, Gap::None, &tone),
        request(2, 480, Gap::None, &tone),
        request(3, 1_440, Gap::Late, &tone),
        request(4, 1_920, Gap::Muted, &[]),
        request(9, 9_600, Gap::Silence, &tone),
        request(10, 9_000, Gap::Device, &tone),
    ];
    let mut answers = Vec::new();
    for request in &requests {
        answers.push(caller.ask(request.clone()).await);
    }
    let sequences: Vec<_> = answers.iter().map(|answer| answer.sequence).collect();
    assert_eq!(sequences, [1, 2, 3, 4, 5, 6]);
    let acks: Vec<_> = answers.iter().map(|answer| answer.ack_sequence).collect();
    assert_eq!(acks, [1, 2, 3, 4, 9, 10]);
    let times: Vec<_> = answers.iter().map(|answer| answer.media_time).collect();
    assert_eq!(
        times,
        [0, 480, 1_440, 1_920, 9_600, 10_080],
        "mirrored, and never falling"
    );
    for (answer, request) in answers.iter().zip(&requests) {
        assert_eq!(answer.gap, request.gap);
        assert!(answer.ack_delay_us < 30_000_000);
    }

    // The first answer alone says what the server made of the leg.
    let accepted = answers[0]
        .accepted
        .clone()
        .expect("the first answer says it");
    assert!(!accepted.leg_id.is_empty());
    assert_eq!(accepted.processing_delay_us, 500, "the limiter's");
    assert!(answers[1..].iter().all(|answer| answer.accepted.is_none()));
    assert!(answers.iter().all(|answer| answer.join.is_none()));
    for (answer, request) in answers.iter().zip(&requests) {
        if request.age_us == 0 {
            assert_eq!(answer.age_us, 0);
        } else {
            assert!(answer.age_us >= request.age_us + 500, "{answer:?}");
        }
    }

    // A sine with its peak at -12 dBFS has -15 dBov; RFC 6464 writes 15, and we add one.
    assert_eq!(answers[1].level, 16);
    assert_eq!(answers[3].level, 0);
}

#[tokio::test]
async fn silence_and_full_scale_have_the_levels_of_rfc_6464_plus_one() {
    let server = Server::start(&["--effects", "highpass"]);
    for (effects, payload, level) in [
        ("highpass", vec![0; 960], 128),
        ("limiter", vec![0; 960], 128),
        ("delay", [0xff, 0x7f, 0x00, 0x80].repeat(240), 1),
    ] {
        let mut caller = Caller::dial(&server).await;
        let first = wishing(effects, chunk("pcm", 48_000, 1, payload));
        assert_eq!(
            caller.ask(numbered(1, first)).await.level,
            level,
            "{effects}"
        );
    }
}

#[tokio::test]
async fn what_only_a_server_may_say_is_not_taken_from_a_client() {
    let server = Server::start(&[]);
    let mut caller = Caller::dial(&server).await;
    let accepted = Some(Accepted {
        leg_id: "mine".to_owned(),
        processing_delay_us: 7,
        resume_token: "mine".to_owned(),
        echo: Some(true),
    });
    let first = AudioChunk {
        accepted: accepted.clone(),
        ..chunk("pcm", 8_000, 1, [])
    };
    assert_eq!(
        caller
            .ask(numbered(1, first.clone()))
            .await
            .accepted
            .map(|a| a.leg_id == "mine"),
        Some(false)
    );
    assert_eq!(caller.ask(numbered(2, first.clone())).await.accepted, None);
    let mut unnumbered = Caller::dial(&server).await;
    assert_eq!(unnumbered.ask(first).await.accepted, None);
}

#[tokio::test]
async fn without_effects_fields_6_and_up_are_still_live() {
    let server = Server::start(&["--effects", "none"]);
    let mut caller = Caller::dial(&server).await;
    let first = AudioChunk {
        media_time: 4_800,
        age_us: 12_000,
        gap: Gap::Device.into(),
        ..numbered(1, chunk("opus", 48_000, 1, [31 << 3, 1, 2, 3]))
    };
    let answer = caller.ask(first.clone()).await;
    assert_eq!(answer.audio_data, first.audio_data);
    assert_eq!((answer.sequence, answer.ack_sequence), (1, 1));
    assert_eq!((answer.media_time, answer.gap), (4_800, first.gap));
    assert!(answer.age_us >= first.age_us);
    assert_eq!(answer.level, 0, "nobody decoded it");
    assert_eq!(
        answer.accepted.map(|accepted| accepted.processing_delay_us),
        Some(0)
    );
    // 20 ms, as the packet itself says.
    let second = numbered(2, later([31 << 3, 4]));
    assert_eq!(caller.ask(second).await.media_time, 5_760);
}

#[tokio::test]
async fn the_processing_delay_is_the_one_that_is_measured() {
    let server = Server::start(&[]);
    let sound = voice(4.0);
    for (codec, samples, effects) in [
        ("pcm", 480, "highpass,denoise,agc,limiter"),
        ("pcm", 240, "highpass,denoise,agc,limiter"),
        ("pcm", 960, ""),
        ("pcm", 480, "limiter"),
        ("opus", 480, ""),
        ("opus", 960, "denoise"),
    ] {
        let format = format(codec, 48_000, 1);
        let answers = call(&server, format, effects, &[samples], &sound).await;
        let accepted = answers[0].accepted.as_ref().expect("a numbered leg");
        // The encoder of this test looks ahead, too.
        let own = Encoder::lookahead_of(format) as f64 / 48.0;
        let stated = f64::from(accepted.processing_delay_us) / 1_000.0 + own;
        let measured = delays(&sound, &heard(format, &answers)[0], 48_000);
        assert!(measured.len() >= 4, "{measured:?}");
        // The noise suppressor and the gain control find their feet in the first half second.
        for delay in &measured[1..] {
            assert!(delay.correlation > 0.8, "{codec} {effects}: {measured:?}");
            // The high-pass moves low voices by up to a millisecond, backwards.
            let off = delay.delay_ms - stated;
            assert!(
                (-1.0..0.3).contains(&off),
                "{codec}/{samples} {effects}: {delay:?}, stated {stated}"
            );
        }
    }
}

/// What a noise suppressor takes for a voice: a gliding pitch through the resonances of changing
/// vowels, in syllables.
fn voice(seconds: f64) -> Vec<f32> {
    const VOWELS: [[f64; 2]; 3] = [[730.0, 1_090.0], [270.0, 2_290.0], [570.0, 840.0]];
    let mut phase = 0.0_f64;
    (0..(seconds * 48_000.0) as usize)
        .map(|n| {
            let t = n as f64 / 48_000.0;
            let pitch = 140.0 + 35.0 * (4.4 * t).sin();
            phase += std::f64::consts::TAU * pitch / 48_000.0;
            let vowel = VOWELS[(t / 0.22) as usize % VOWELS.len()];
            let loud = |hz: f64| {
                let resonance = |of: f64| 1.0 / (1.0 + ((hz - of) / 120.0).powi(2));
                0.02 + resonance(vowel[0]) + 0.5 * resonance(vowel[1])
            };
            let harmonics: f64 = (1..=25)
                .map(|k| loud(pitch * f64::from(k)) * (phase * f64::from(k)).cos())
                .sum();
            let syllable = (std::f64::consts::PI * (t / 0.22).fract()).sin();
            (0.08 * syllable * harmonics) as f32
        })
        .collect()
}

#[tokio::test]
async fn the_age_grows_by_the_processing_delay() {
    let server = Server::start(&[]);
    let mut caller = Caller::dial(&server).await;
    let first = wishing("denoise", chunk("opus", 48_000, 1, [31 << 3, 1, 2, 3]));
    let answer = caller
        .ask(AudioChunk {
            age_us: 20_000,
            ..numbered(1, first)
        })
        .await;
    let delay = answer.accepted.expect("a numbered leg").processing_delay_us;
    assert_eq!(delay, 4_500, "2 ms of denoising and the encoder's 2.5");
    assert!(
        answer.age_us >= 20_000 + delay + answer.ack_delay_us,
        "{} µs",
        answer.age_us
    );
    // Unknown stays unknown, and the largest does not wrap.
    assert_eq!(caller.ask(numbered(2, later([31 << 3, 1]))).await.age_us, 0);
    let oldest = AudioChunk {
        age_us: u32::MAX,
        ..numbered(3, later([31 << 3, 1]))
    };
    assert_eq!(caller.ask(oldest).await.age_us, u32::MAX);
}

#[tokio::test]
async fn a_wish_for_effects_is_this_legs_own() {
    let server = Server::start(&["--effects", "limiter"]);
    let channel = connect(&server).await;
    let mut delay = Vec::new();
    for wish in ["none", "", " Denoise , LIMITER ", "none"] {
        let mut caller = Caller::on(&channel).await;
        let first = wishing(wish, chunk("pcm", 48_000, 1, [0; 960]));
        let answer = caller.ask(numbered(1, first)).await;
        delay.push(answer.accepted.expect("a numbered leg").processing_delay_us);
    }
    assert_eq!(delay[0], 0);
    assert_eq!(delay[1], 500);
    assert!(delay[2] > delay[1], "{delay:?}");
    assert_eq!(delay[3], 0);

    // A peer that numbers nothing may wish, too: what comes back is exactly what was sent.
    let mut caller = Caller::on(&channel).await;
    let loud = chunk("pcm", 48_000, 1, [0xff, 0x7f].repeat(480));
    assert_eq!(caller.ask(wishing("none", loud.clone())).await, loud);
    // Only the first chunk's counts.
    assert_eq!(caller.ask(wishing("limiter", loud.clone())).await, loud);
}

#[tokio::test]
async fn the_effect_delay_is_heard_at_its_milliseconds() {
    let server = Server::start(&[]);
    for (rate, ms) in [(48_000, 120), (8_000, 40)] {
        // A click, and then nothing for as long as three echoes need.
        let samples = rate as usize * ms * 7 / 2_000;
        let mut sound = vec![0.0; samples.next_multiple_of(rate as usize / 50)];
        let click = tones(&[1_000.0], rate, rate as usize / 200);
        sound[..click.len()].copy_from_slice(&click);
        let format = format("pcm", rate as i32, 1);
        let effects = format!("delay={ms}");
        let answers = call(&server, format, &effects, &[rate as usize / 50], &sound).await;
        let heard = heard(format, &answers).remove(0);
        let own = answers[0]
            .accepted
            .as_ref()
            .expect("a numbered leg")
            .processing_delay_us;
        for echo in 0..3 {
            let at_us = own as usize + echo * ms * 1_000;
            let start = at_us * rate as usize / 1_000_000;
            let window = |from: usize| rms_dbfs(&heard[from..from + click.len()]);
            let expected = rms_dbfs(&click) - 6.02 * echo as f64;
            let level = window(start);
            assert!(
                (level - expected).abs() < 0.5,
                "echo {echo} at {rate} Hz: {level} dBFS"
            );
            // Between the echoes there is nothing.
            assert!(window(start + 3 * click.len()) < -60.0);
        }
    }
}

#[tokio::test]
async fn each_opus_rate_and_duration_works_and_stereo_keeps_its_sides_apart() {
    let server = Server::start(&[]);
    for rate in [8_000, 12_000, 16_000, 24_000, 48_000] {
        for tenths_of_ms in [25, 50, 100, 200, 400, 600, 800, 1_000, 1_200] {
            for frequencies in [&[700.0][..], &[500.0, 1_300.0]] {
                let format = format("opus", rate, frequencies.len() as i32);
                let samples = rate as usize * tenths_of_ms / 10_000;
                let sound = tones(frequencies, rate as u32, rate as usize / 2);
                let answers = call(&server, format, "limiter", &[samples], &sound).await;
                judge(format, &heard(format, &answers), frequencies, 2.0, -20.0);
            }
        }
    }
}

#[tokio::test]
async fn pcm_and_g711_work_at_their_edges_and_stereo_keeps_its_sides_apart() {
    let server = Server::start(&[]);
    for (codec, rate) in [
        ("pcm", 8_000),
        ("pcm", 8_001),
        ("pcm", 11_025),
        ("pcm", 44_100),
        ("pcm", 96_000),
        ("pcm", 191_999),
        ("pcm", 192_000),
        ("pcmu", 8_000),
        ("pcma", 8_000),
    ] {
        for frequencies in [&[700.0][..], &[500.0, 1_300.0]] {
            let format = format(codec, rate, frequencies.len() as i32);
            for samples in [
                rate as usize * 12 / 100,
                rate as usize / 100,
                rate as usize / 400,
            ] {
                let sound = tones(frequencies, rate as u32, rate as usize / 2);
                let answers = call(&server, format, "limiter", &[samples], &sound).await;
                judge(format, &heard(format, &answers), frequencies, 0.5, -30.0);
            }
        }
    }
}

/// Each side must hold its own tone at its own level, and of the other's no more than `crosstalk_db`.
fn judge(
    format: Format,
    sides: &[Vec<f32>],
    frequencies: &[f32],
    level_db: f64,
    crosstalk_db: f64,
) {
    let rate = format.sample_rate_hz();
    for (channel, side) in sides.iter().enumerate() {
        // What comes first is the processing delay, and the codec finding its feet.
        let side = &side[side.len() / 4..];
        let frequency = dominant_frequency(side, rate);
        let wanted = f64::from(frequencies[channel]);
        assert!(
            (frequency - wanted).abs() < 5.0,
            "{format}: {frequency} Hz on side {channel}"
        );
        let level = rms_dbfs(side);
        assert!(
            (level + 15.0).abs() < level_db,
            "{format}: {level} dBFS on side {channel}"
        );
        for (other, &foreign) in frequencies.iter().enumerate() {
            if other != channel {
                let leaked = tone_dbfs(side, f64::from(foreign), rate) + 15.0;
                assert!(
                    leaked < crosstalk_db,
                    "{format}: {leaked} dB of side {other} on {channel}"
                );
            }
        }
    }
}

/// Level of one frequency in a signal.
fn tone_dbfs(samples: &[f32], frequency: f64, rate: u32) -> f64 {
    let step = std::f64::consts::TAU * frequency / f64::from(rate);
    let (mut re, mut im) = (0.0, 0.0);
    for (n, &sample) in samples.iter().enumerate() {
        let (sin, cos) = (step * n as f64).sin_cos();
        re += f64::from(sample) * cos;
        im += f64::from(sample) * sin;
    }
    20.0 * (2.0 * re.hypot(im) / samples.len() as f64).log10() - 3.01
}

#[tokio::test]
async fn an_undecodable_packet_is_concealed_and_counted_and_fifty_in_a_row_are_refused() {
    let mut server = Server::start(&["--effects", "limiter"]);
    let format = format("opus", 48_000, 1);
    let mut encoder = Encoder::new(format, 32_000).expect("an encoder");
    let mut good = Vec::new();
    encoder
        .encode(&tones(&[440.0], 48_000, 960), &mut good)
        .expect("encodes");
    // A packet that says it holds a number of frames, and ends before the number.
    let bad = vec![31 << 3 | 3];
    let mut caller = Caller::dial(&server).await;
    caller
        .ask(numbered(1, chunk("opus", 48_000, 1, good.clone())))
        .await;
    for round in 0..2 {
        for n in 0..49 {
            let answer = caller.ask(later(bad.clone())).await;
            let samples = format.samples_per_channel(&answer.audio_data);
            assert_eq!(
                samples,
                Ok(960),
                "{round}, {n}: concealed for as long as the last one"
            );
        }
        caller.ask(later(good.clone())).await;
    }
    for _ in 0..50 {
        caller.say(later(bad.clone()));
    }
    let status = caller.refusal().await;
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(
        status.message().contains("50") && status.message().contains("codec"),
        "{status:?}"
    );
    let line = server.process().wait_for_stderr("call ended", LIMIT);
    assert!(
        line.contains("dropped=148") && line.contains("chunks=151"),
        "{line}"
    );
}

#[tokio::test]
async fn two_legs_in_calls_of_their_own_each_hear_themselves() {
    let server = Server::start(&["--effects", "none"]);
    let (mut one, mut two) = (Caller::dial(&server).await, Caller::dial(&server).await);
    let mut legs = HashSet::new();
    for n in 1..=50 {
        let of = |side: u8| numbered(n, chunk("pcm", 8_000, 1, [n as u8, side].repeat(80)));
        one.say(of(1));
        two.say(of(2));
        for (caller, side) in [(&mut one, 1), (&mut two, 2)] {
            let answer = caller.answer().await;
            assert_eq!(answer.audio_data, of(side).audio_data);
            assert_eq!(answer.call_id, "a-call");
            legs.extend(answer.accepted.map(|accepted| accepted.leg_id));
        }
    }
    assert_eq!(legs.len(), 2, "each leg has its own name: {legs:?}");
}

#[tokio::test]
async fn sound_of_a_chirp_keeps_its_order() {
    let server = Server::start(&["--effects", "limiter"]);
    let sound = chirp(300.0, 3_000.0, 3.0, 0.3);
    let format = format("pcm", 48_000, 1);
    let answers = call(&server, format, "", &[441], &sound).await;
    for delay in delays(&sound, &heard(format, &answers)[0], 48_000) {
        assert!(
            delay.correlation > 0.999 && delay.delay_ms < 20.0,
            "{delay:?}"
        );
    }
}

#[tokio::test]
async fn random_garbage_disturbs_nobody_and_breaks_nothing() {
    let mut server = Server::start(&[]);
    let pid = server.process().id();
    let channel = connect(&server).await;
    let mut good = GoodCall::on(&channel).await;
    let mut random = Xoshiro256PlusPlus::seed_from_u64(20_260_101);
    let (mut sent, mut answered, mut refused) = (0, 0, 0);
    while sent < 6_000 {
        let mut caller = Caller::on(&channel).await;
        let format = random_format(&mut random);
        for n in 0..random.random_range(1..60) {
            let mut request = random_chunk(&mut random, format);
            if n == 0 || random.random_ratio(1, 3) {
                (request.codec, request.sample_rate, request.channels) =
                    (format.0.to_owned(), format.1, format.2);
            }
            caller.say(request);
            sent += 1;
        }
        caller.half_close();
        loop {
            match caller.next().await {
                Ok(Some(answer)) => {
                    assert_eq!((answer.sample_rate, answer.channels), (format.1, format.2));
                    answered += 1;
                }
                Ok(None) => break,
                Err(status) => {
                    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
                    assert!(!status.message().is_empty());
                    refused += 1;
                    break;
                }
            }
        }
        good.goes_on().await;
    }
    good.ends_well().await;
    assert!(
        answered > 1_000 && refused > 50,
        "{sent} sent, {answered} answered, {refused} refused"
    );
    let log = server.stderr();
    assert!(!log.contains("panicked"), "{log}");
    assert!(resident_bytes(pid) < 150 << 20);
}

fn random_format(random: &mut Xoshiro256PlusPlus) -> (&'static str, i32, i32) {
    let channels = random.random_range(1..=2);
    match random.random_range(0..4) {
        0 => ("pcm", random.random_range(8_000..=192_000), channels),
        1 => ("pcmu", 8_000, channels),
        2 => ("pcma", 8_000, channels),
        _ => {
            let rates = [8_000, 12_000, 16_000, 24_000, 48_000];
            ("opus", rates[random.random_range(0..rates.len())], channels)
        }
    }
}

/// A chunk with anything in it; the payload is of the right size more often than not.
fn random_chunk(random: &mut Xoshiro256PlusPlus, format: (&str, i32, i32)) -> AudioChunk {
    let length = match random.random_range(0..10) {
        0 => 0,
        1 => random.random_range(1..300),
        _ if format.0 == "opus" => random.random_range(1..200),
        _ => random.random_range(1..=480) * 4,
    };
    let mut audio_data = vec![0; length];
    random.fill(&mut audio_data[..]);
    if format.0 == "opus" && length > 0 && random.random_ratio(9, 10) {
        // One frame of a duration that is accepted, whatever follows.
        audio_data[0] = (random.random_range(16..32_u8) << 3) | (audio_data[0] & 4);
    }
    let wild = |random: &mut Xoshiro256PlusPlus| match random.random_range(0..4) {
        0 => 0,
        1 => u64::MAX,
        2 => random.random_range(0..100_000),
        _ => random.random(),
    };
    AudioChunk {
        sequence: wild(random),
        media_time: wild(random),
        age_us: wild(random) as u32,
        ack_sequence: wild(random),
        ack_delay_us: wild(random) as u32,
        gap: wild(random) as i32,
        level: wild(random) as u32,
        ..later(audio_data)
    }
}
