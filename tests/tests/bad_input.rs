//! Whatever a peer sends: the right status, words that help, and nobody else disturbed.

mod caller;

use bytes::Bytes;
use caller::{
    Caller, GoodCall, LIMIT, chunk, connect, later, numbered, raw_body, raw_call, raw_stream,
    wishing,
};
use proto::callcenter::AudioChunk;
use tests::Server;
use tonic::{Code, Status, transport::Channel};

/// Sends these chunks on a leg of their own and returns the status that it ends with.
async fn refusal_of(channel: &Channel, chunks: Vec<AudioChunk>) -> Status {
    let mut caller = Caller::on(channel).await;
    for chunk in chunks {
        caller.say(chunk);
    }
    caller.refusal().await
}

/// What is wrong with these chunks is said with these words, while a good call on the same
/// connection goes on.
async fn each_is_refused(cases: Vec<(&str, Vec<AudioChunk>, &[&str])>) {
    let server = Server::start(&[]);
    let channel = connect(&server).await;
    let mut good = GoodCall::on(&channel).await;
    for (what, chunks, words) in cases {
        let status = refusal_of(&channel, chunks).await;
        assert_eq!(status.code(), Code::InvalidArgument, "{what}: {status:?}");
        for word in words {
            assert!(
                status.message().contains(word),
                "{what}: no `{word}` in {status:?}"
            );
        }
        assert!(status.message().len() < 500, "{what}: {status:?}");
        assert!(
            !status.message().contains(char::is_control),
            "{what}: {status:?}"
        );
        good.goes_on().await;
    }
    good.ends_well().await;
    log_is_clean(&server.stop().stderr);
}

/// No control character but the line feed, and no line of anybody else's making.
fn log_is_clean(log: &str) {
    let control = |c: char| (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c);
    assert!(!log.contains(control), "{log:?}");
    for line in log.lines() {
        assert!(line.starts_with("20"), "a line without a date: {line:?}");
        assert!(line.len() < 1_500, "{line}");
    }
    assert!(!log.contains("panicked"), "{log}");
}

#[tokio::test]
async fn wrong_formats() {
    let first = |codec: &str, rate: i32, channels: i32| {
        vec![AudioChunk {
            sample_rate: rate,
            channels,
            ..chunk(codec, 0, 0, [0; 4])
        }]
    };
    let names = &["opus", "pcm_s16le", "LINEAR16", "MULAW", "ALAW"];
    let opus = &["8000, 12000, 16000, 24000", "48000"];
    let long = "x".repeat(100_000);
    each_is_refused(vec![
        ("no codec", first("", 48_000, 1), names),
        (
            "unknown codec",
            first("mp3", 48_000, 1),
            &["\"mp3\"", "opus", "ALAW"],
        ),
        (
            "hostile codec",
            first("a\x1b[2J\r\nb\u{202e}", 48_000, 1),
            &["\\u{1b}[2J\\r\\nb"],
        ),
        ("long codec", first(&long, 48_000, 1), names),
        (
            "codec with a space",
            first("opus ", 48_000, 1),
            &["\"opus \""],
        ),
        (
            "rate 0",
            first("pcm", 0, 1),
            &["sample_rate 0", "8000 to 192000"],
        ),
        ("rate -1", first("pcm", -1, 1), &["sample_rate -1", "8000"]),
        ("rate 7", first("pcm", 7, 1), &["sample_rate 7", "8000"]),
        ("rate 7999", first("pcm", 7_999, 1), &["7999", "8000"]),
        (
            "rate 192001",
            first("pcm", 192_001, 1),
            &["192001", "192000"],
        ),
        (
            "largest rate",
            first("pcm", i32::MAX, 1),
            &["2147483647", "192000"],
        ),
        (
            "smallest rate",
            first("pcm", i32::MIN, 1),
            &["-2147483648", "8000"],
        ),
        ("opus at 44100", first("opus", 44_100, 1), &["44100"]),
        ("opus at 44100, accepted", first("opus", 44_100, 1), opus),
        ("opus at 0", first("opus", 0, 1), opus),
        (
            "G.711 at 16000",
            first("pcmu", 16_000, 1),
            &["16000", "pcmu", "8000"],
        ),
        (
            "G.711 at 0",
            first("alaw", 0, 1),
            &["sample_rate 0", "8000"],
        ),
        (
            "no channels",
            first("pcm", 8_000, 0),
            &["channels is 0", "1 (mono)", "2 (stereo"],
        ),
        (
            "three channels",
            first("pcm", 8_000, 3),
            &["channels is 3", "1 (mono)"],
        ),
        (
            "-1 channels",
            first("opus", 48_000, -1),
            &["channels is -1", "2 (stereo"],
        ),
        ("an empty message", vec![later([])], names),
    ])
    .await;
}

#[tokio::test]
async fn wrong_payloads() {
    let opus = |packet: &[u8]| vec![chunk("opus", 48_000, 1, packet)];
    let pcm = |channels, bytes| vec![chunk("pcm", 8_000, channels, vec![0; bytes])];
    let durations = &["2.5, 5, 10, 20, 40, 60, 80, 100 and 120 ms"];
    each_is_refused(vec![
        (
            "half a sample",
            pcm(1, 321),
            &["chunk 1", "321 bytes", "2 bytes for each sample"],
        ),
        (
            "half a stereo pair",
            pcm(2, 322),
            &["322 bytes", "stereo", "4 bytes"],
        ),
        (
            "half a G.711 pair",
            vec![chunk("pcmu", 8_000, 2, [0; 3])],
            &["3 bytes", "pcmu", "2 bytes"],
        ),
        ("a sample over 120 ms", pcm(1, 2 * 961), &["120 ms"]),
        ("a second", pcm(1, 16_000), &["1000 ms", "at most 120 ms"]),
        (
            "G.711 over 120 ms",
            vec![chunk("ALAW", 8_000, 2, vec![0; 2 * 961])],
            &["at most 120 ms"],
        ),
        // Three 10 ms frames in one packet: good Opus, but not to be encoded back as one frame.
        ("opus of 30 ms", opus(&[18 << 3 | 3, 3, 1, 1, 1]), durations),
        // Seven of 20 ms are more than Opus has.
        (
            "a good chunk, then a bad one",
            vec![chunk("pcm", 8_000, 1, [0; 2]), later([]), later([1])],
            &["chunk 3", "1 bytes"],
        ),
        (
            "effects none check, too",
            vec![wishing("none", chunk("pcm", 8_000, 2, [0; 2]))],
            &["2 bytes"],
        ),
        (
            "effects none and too long",
            vec![wishing("none", chunk("pcm", 8_000, 1, [0; 1_922]))],
            &["at most 120 ms"],
        ),
        (
            "effects none and opus of 30 ms",
            vec![wishing(
                "none",
                chunk("opus", 48_000, 1, [18 << 3 | 3, 3, 1, 1, 1]),
            )],
            durations,
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_call_id_that_cannot_be_carried() {
    let named = |call_id: &str| {
        vec![AudioChunk {
            call_id: call_id.to_owned(),
            ..chunk("pcm", 8_000, 1, [])
        }]
    };
    let control: &[&str] = &["call_id", "control characters"];
    each_is_refused(vec![
        (
            "100 kB",
            named(&"x".repeat(100_000)),
            &["call_id is 100000 bytes", "at most 128"],
        ),
        ("129 bytes", named(&"x".repeat(129)), &["129", "128"]),
        (
            "65 letters of two bytes",
            named(&"ж".repeat(65)),
            &["130", "128"],
        ),
        (
            "line feed",
            named("a\n2026-01-01 INFO call ended"),
            &["\\n", "control characters"],
        ),
        (
            "escape",
            named("\x1b[31m"),
            &["\\u{1b}", "control characters"],
        ),
        ("NUL", named("\0"), control),
        ("C1 control", named("a\u{9b}2J"), control),
        ("line separator", named("a\u{2028}b"), control),
        ("writing direction", named("a\u{202e}b"), control),
    ])
    .await;
}

#[tokio::test]
async fn what_changes_in_mid_call_is_named_with_both_values() {
    let first = || chunk("pcm", 16_000, 1, [0; 2]);
    let then = |second: AudioChunk| vec![first(), later([0; 2]), second];
    each_is_refused(vec![
        (
            "rate",
            then(AudioChunk {
                sample_rate: 48_000,
                ..first()
            }),
            &["chunk 3", "sample_rate changed from 16000 to 48000"],
        ),
        (
            "negative rate",
            then(AudioChunk {
                sample_rate: -16_000,
                ..later([])
            }),
            &["from 16000 to -16000"],
        ),
        (
            "channels",
            then(AudioChunk {
                channels: 2,
                ..first()
            }),
            &["channels changed from 1 to 2"],
        ),
        (
            "codec",
            then(AudioChunk {
                codec: "opus".to_owned(),
                ..first()
            }),
            &["codec changed from \"pcm\" to \"opus\""],
        ),
        (
            "codec of no meaning",
            then(AudioChunk {
                codec: "a\nb".to_owned(),
                ..first()
            }),
            &["from \"pcm\" to \"a\\nb\""],
        ),
        (
            "call id",
            then(AudioChunk {
                call_id: "b-call".to_owned(),
                ..later([])
            }),
            &["call_id changed from \"call-", "to \"b-call\""],
        ),
        (
            "call id to a hostile one",
            then(AudioChunk {
                call_id: "\x1b\n".repeat(50_000),
                ..later([])
            }),
            &["from \"call-", "\" to \"\\u{1b}\\n"],
        ),
        (
            "the assigned call id",
            vec![
                AudioChunk {
                    call_id: String::new(),
                    ..first()
                },
                AudioChunk {
                    call_id: "b-call".to_owned(),
                    ..later([])
                },
            ],
            &["call_id changed from", "to \"b-call\""],
        ),
    ])
    .await;
}

#[tokio::test]
async fn unknown_effects() {
    let wish = |effects: &str| vec![wishing(effects, chunk("pcm", 8_000, 1, []))];
    let list: &[&str] = &[
        "join.effects",
        "highpass, denoise, agc, limiter and delay",
        "none",
    ];
    each_is_refused(vec![
        (
            "reverb",
            wish("reverb"),
            &["\"reverb\"", "highpass, denoise"],
        ),
        (
            "one among others",
            wish("denoise,reverb,agc"),
            &["\"reverb\""],
        ),
        ("an empty word", wish("denoise,,agc"), list),
        ("hostile", wish("\x1b]0;x\x07"), &["\\u{1b}]0;x\\u{7}"]),
        ("long", wish(&"r".repeat(100_000)), list),
        (
            "none among others",
            wish("denoise,none"),
            &["\"none\"", "alone"],
        ),
        ("no delay", wish("delay=0"), &["\"0\"", "1 to 2000"]),
        ("much delay", wish("delay=2001"), &["\"2001\"", "1 to 2000"]),
        (
            "delay of words",
            wish("delay=soon"),
            &["\"soon\"", "milliseconds"],
        ),
        ("a hundred", wish(&["agc"; 100].join(",")), &["at most 8"]),
        (
            "all of them denoise",
            wish(&["denoise"; 8].join(",")),
            &["cost 400", "at most 120", "leave some out"],
        ),
        (
            "all of them remember",
            wish(&["delay=2000"; 8].join(",")),
            &["16000 ms together", "at most 2000 ms", "make them shorter"],
        ),
    ])
    .await;
}

#[tokio::test]
async fn corrupt_opus_is_concealed_and_then_refused() {
    // Neither a packet that ends too early, nor one that claims more than 120 ms, can be read.
    each_is_refused(
        [
            &[31 << 3 | 3][..],
            &[31 << 3 | 3, 0],
            &[31 << 3 | 3, 7, 1, 2, 3, 4, 5, 6, 7],
            &[3],
        ]
        .map(|packet| {
            let mut chunks = vec![chunk("opus", 48_000, 1, [31 << 3, 1, 2, 3])];
            chunks.extend(vec![later(packet); 50]);
            ("corrupt", chunks, &["50 packets in a row", "codec"][..])
        })
        .into(),
    )
    .await;

    let server = Server::start(&[]);
    let mut caller = Caller::dial(&server).await;
    for n in 1..=49 {
        let answer = caller
            .ask(numbered(n, chunk("opus", 48_000, 2, [31 << 3 | 3])))
            .await;
        // Nothing is known of the duration yet: 20 ms.
        assert!(!answer.audio_data.is_empty());
        assert_eq!(answer.media_time, (n - 1) * 960);
    }
    assert_eq!(caller.rest().await, []);
}

#[tokio::test]
async fn a_message_over_the_limit() {
    let server = Server::start(&[]);
    let channel = connect(&server).await;
    let mut good = GoodCall::on(&channel).await;
    for bytes in [200_000, 10_000_000] {
        let status = refusal_of(&channel, vec![chunk("pcm", 8_000, 1, vec![0; bytes])]).await;
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        assert!(status.message().contains("131072 bytes"), "{status:?}");
        good.goes_on().await;
    }
    // The largest that is read: it has another fault, of which it is told.
    let whole = |bytes| {
        let mut message = vec![0x0a];
        let length = bytes - 4;
        message.extend([
            length as u8 | 0x80,
            (length >> 7) as u8 | 0x80,
            (length >> 14) as u8,
        ]);
        message.resize(bytes, 0);
        vec![Bytes::from(message)]
    };
    let (_, status) = raw_call(&channel, whole(131_072)).await;
    let status = status.expect("no codec is no good");
    assert!(status.message().contains("codec \"\""), "{status:?}");
    let (_, status) = raw_call(&channel, whole(131_073)).await;
    let status = status.expect("too large");
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("131072 bytes"), "{status:?}");
    good.ends_well().await;
    log_is_clean(&server.stop().stderr);
}

#[tokio::test]
async fn bytes_that_are_no_protobuf() {
    let server = Server::start(&[]);
    let channel = connect(&server).await;
    let mut good = GoodCall::on(&channel).await;
    for bytes in [
        &b"\xff\xff\xff\xff"[..],
        b"GET / HTTP/1.1\r\n",
        &[0x0a, 0x7f],
        &[0x12, 2, 0xff, 0xfe],
    ] {
        let (answers, status) = raw_call(&channel, vec![Bytes::from_static(bytes)]).await;
        assert_eq!(answers, Vec::<Bytes>::new());
        let status = status.expect("an error");
        assert_eq!(
            status.code(),
            Code::InvalidArgument,
            "{bytes:?}: {status:?}"
        );
        for word in ["AudioChunk", "callcenter.proto"] {
            assert!(status.message().contains(word), "{status:?}");
        }
        good.goes_on().await;
    }
    let (_, status) = raw_stream(&channel, "/callcenter.CallCenter/LiveCal", vec![]).await;
    assert_eq!(
        status.map(|status| status.code()),
        Some(Code::Unimplemented)
    );
    good.ends_well().await;
    log_is_clean(&server.stop().stderr);
}

/// A message as gRPC frames it.
fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("a short message");
    [&[flag][..], &length.to_be_bytes(), message].concat()
}

#[tokio::test]
async fn requests_that_cannot_be_read_on_either_service() {
    let server = Server::start(&[]);
    let channel = connect(&server).await;
    let mut good = GoodCall::on(&channel).await;
    let gzip = [("grpc-encoding", "gzip".to_owned())];
    for (method, message, file) in [
        (
            "/callcenter.CallCenter/LiveCall",
            "an AudioChunk",
            "callcenter.proto",
        ),
        (
            "/StockTicker/SubscribeToStockUpdates",
            "a TickerRequest",
            "fin.proto",
        ),
    ] {
        let too_large = framed(0, &vec![0; 200_000]);
        let mut torn = framed(0, b"\x0a\x04AAPL");
        torn.pop();
        let plain = framed(0, &[]);
        for (what, headers, body, code, words) in [
            (
                "no protobuf",
                &[][..],
                framed(0, b"\xff\xff\xff"),
                Code::InvalidArgument,
                message,
            ),
            (
                "a wrong wire type",
                &[],
                framed(0, b"\x09AAPL"),
                Code::InvalidArgument,
                file,
            ),
            (
                "a length too long",
                &[],
                framed(0, b"\x0a\x7f"),
                Code::InvalidArgument,
                file,
            ),
            (
                "no UTF-8",
                &[],
                framed(0, b"\x12\x01\xff\x0a\x01\xff"),
                Code::InvalidArgument,
                file,
            ),
            (
                "too large",
                &[],
                too_large,
                Code::InvalidArgument,
                "131072 bytes",
            ),
            (
                "torn",
                &[],
                torn,
                Code::InvalidArgument,
                "ended within a message",
            ),
            (
                "an unknown flag",
                &[],
                framed(7, &[]),
                Code::InvalidArgument,
                "0 or 1",
            ),
            // As the gRPC specification wants it.
            (
                "compressed by nothing",
                &[],
                framed(1, &[]),
                Code::Internal,
                "names no grpc-encoding",
            ),
            (
                "compressed",
                &gzip,
                framed(1, &[]),
                Code::Unimplemented,
                "compressed with \"gzip\"",
            ),
            (
                "said to be compressed",
                &gzip,
                plain,
                Code::Unimplemented,
                "send them uncompressed",
            ),
        ] {
            let status = raw_body(&channel, method, headers, body).await;
            assert_eq!(status.code(), code, "{method}, {what}: {status:?}");
            assert!(
                status.message().contains(words),
                "{method}, {what}: {status:?}"
            );
            if code == Code::Unimplemented {
                let accepted = status.metadata().get("grpc-accept-encoding");
                assert_eq!(accepted.expect("said"), "identity");
            }
        }
        good.goes_on().await;
    }
    good.ends_well().await;
    log_is_clean(&server.stop().stderr);
}

#[tokio::test]
async fn bytes_that_are_no_http() {
    use std::{io::Write, net::TcpStream};
    let server = Server::start(&[]);
    let channel = connect(&server).await;
    let mut good = GoodCall::on(&channel).await;
    for bytes in [
        &b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        &[0; 4_096],
    ] {
        let mut socket = TcpStream::connect(server.addr()).expect("the server is there");
        // It may be closed before all is written.
        let _ = socket.write_all(bytes);
        tokio::task::spawn_blocking(|| caller::wait_for_close(socket))
            .await
            .expect("closed");
        good.goes_on().await;
    }
    good.ends_well().await;
    log_is_clean(&server.stop().stderr);
}

#[tokio::test]
async fn no_chunk_at_all() {
    let server = Server::start(&[]);
    let channel = connect(&server).await;
    let good = GoodCall::on(&channel).await;
    let mut caller = Caller::on(&channel).await;
    caller.half_close();
    let status = caller.refusal().await;
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(
        status.message().contains("before its first chunk"),
        "{status:?}"
    );
    assert!(status.message().contains("sample_rate"), "{status:?}");
    good.ends_well().await;
}

#[tokio::test]
async fn a_leg_that_falls_silent_is_ended() {
    let server = Server::start(&["--idle-timeout", "300ms"]);
    let channel = connect(&server).await;
    let mut mute = Caller::on(&channel).await;
    let mut silent = Caller::on(&channel).await;
    silent.ask(chunk("pcm", 8_000, 1, [])).await;
    for caller in [&mut mute, &mut silent] {
        let status = caller.refusal().await;
        assert_eq!(status.code(), Code::DeadlineExceeded);
        assert!(status.message().contains("300ms"), "{status:?}");
        assert!(status.message().contains("without audio"), "{status:?}");
    }
}

#[tokio::test]
async fn a_first_chunk_without_audio_is_good_and_one_without_a_format_is_not() {
    let server = Server::start(&[]);
    let mut caller = Caller::dial(&server).await;
    let set_up = caller.ask(numbered(1, chunk("opus", 48_000, 1, []))).await;
    assert!(set_up.audio_data.is_empty() && set_up.accepted.is_some());
    assert_eq!(caller.rest().await, []);
    let status = refusal_of(
        &connect(&server).await,
        vec![later([]), chunk("pcm", 8_000, 1, [])],
    )
    .await;
    assert_eq!(status.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_peer_that_vanishes_leaves_nothing_behind() {
    let mut server = Server::start(&["--max-legs", "1"]);
    let mut caller = Caller::dial(&server).await;
    caller.ask(chunk("pcm", 8_000, 1, [0; 2])).await;
    drop(caller);
    server.process().wait_for_stderr("call ended", LIMIT);
    // Its place is free again.
    GoodCall::on(&connect(&server).await)
        .await
        .ends_well()
        .await;
    log_is_clean(&server.stop().stderr);
}
