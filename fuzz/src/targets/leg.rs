//! `LiveCall`, alone in a call: any sequence of chunks gets one answer for each chunk, of as many samples and
//! with sound in it unless the leg wished otherwise, or a status that is the peer's fault; never one that is the server's.

use std::{sync::Arc, time::Duration};

use arbitrary::{Result, Unstructured};
use audio::{Decoder, Effects, Format};
use bytes::Bytes;
use prost::Message;
use proto::callcenter::{
    Accepted, Alone, AudioChunk, Dtmf, Event, Hold, Join, Muted, Talking,
    call_center_server::CallCenterServer, event,
};
use server::{
    MAX_MESSAGE_BYTES,
    calls::{CallCenterConfig, CallCenterService},
};
use tokio::sync::watch;

use super::sound::{Payloads, assert_is_sound, format};
use crate::service::{Answered, call, checked_end};

/// Chunks of one stream.
const MAX_CHUNKS: usize = 40;

/// More than all of them are answered with.
const ALL: usize = 1_000;

pub(super) fn run(bytes: &[u8]) -> String {
    let mut input = Unstructured::new(bytes);
    // What is missing at the end of an input ends the stream.
    let lab = input.ratio(1, 16).unwrap_or(false);
    let most = match input.ratio(1, 8).unwrap_or(false) {
        true => input.int_in_range(0..=MAX_CHUNKS).unwrap_or(0),
        false => ALL,
    };
    let requests = requests(&mut input);
    let encoded = requests.iter().cloned().map(Request::encoded).collect();
    let answered = call(
        service(lab),
        "/callcenter.CallCenter/LiveCall",
        encoded,
        most,
    );
    let end = checked_end(&answered.end);
    if !lab {
        check(&requests, &answered);
    }
    format!(
        "{end}, {} answers",
        answered.messages.len().next_power_of_two()
    )
}

fn service(lab: bool) -> CallCenterServer<CallCenterService> {
    let config = CallCenterConfig {
        effects: Effects::default(),
        lab,
        idle_timeout: Duration::from_secs(60),
        max_legs: 4,
        max_legs_per_call: 4,
        max_calls: 4,
    };
    let (_, never) = watch::channel(None);
    CallCenterServer::from_arc(Arc::new(CallCenterService::new(config, never)))
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
}

/// One message of the peer.
#[derive(Debug, Clone)]
enum Request {
    Chunk(Box<AudioChunk>),
    Bytes(Bytes),
}

impl Request {
    fn encoded(self) -> Bytes {
        match self {
            Self::Chunk(chunk) => chunk.encode_to_vec().into(),
            Self::Bytes(bytes) => bytes,
        }
    }
}

fn requests(input: &mut Unstructured<'_>) -> Vec<Request> {
    let mut requests = Vec::new();
    let Ok(format) = format(input) else {
        return requests;
    };
    let mut payloads = Payloads::new(format);
    let mut sequence = 0;
    let numbered = input.ratio(1, 2).unwrap_or(false);
    while requests.len() < MAX_CHUNKS && !input.is_empty() {
        sequence += 1;
        let is_first = requests.is_empty();
        match request(input, format, &mut payloads, is_first) {
            Ok(Request::Chunk(mut chunk)) => {
                if numbered && chunk.sequence == 0 {
                    chunk.sequence = sequence;
                }
                requests.push(Request::Chunk(chunk));
            }
            Ok(request) => requests.push(request),
            Err(_) => break,
        }
    }
    requests
}

fn request(
    input: &mut Unstructured<'_>,
    format: Format,
    payloads: &mut Payloads,
    is_first: bool,
) -> Result<Request> {
    if input.ratio(1, 32)? {
        return Ok(Request::Bytes(input.arbitrary::<Vec<u8>>()?.into()));
    }
    let mut chunk = AudioChunk {
        audio_data: payloads.next(input)?.into(),
        ..AudioChunk::default()
    };
    if is_first {
        chunk.codec = format.codec().name().to_owned();
        chunk.sample_rate = format.sample_rate_hz() as i32;
        chunk.channels = format.channels() as i32;
        let effects = match input.int_in_range(0..=4)? {
            0 => "",
            1 => "none",
            2 => "limiter",
            3 => "highpass,denoise,agc,limiter,delay=7",
            _ => input.arbitrary()?,
        };
        chunk.join = Some(Join {
            effects: effects.to_owned(),
            display_name: input.arbitrary()?,
            alone: input.int_in_range(-1..=5)?,
            resume_token: input.arbitrary()?,
        });
    }
    // Faults are rare, or no stream is long.
    if input.ratio(1, 24)? {
        match input.int_in_range(0..=3)? {
            0 => chunk.codec = input.arbitrary()?,
            1 => chunk.sample_rate = input.arbitrary()?,
            2 => chunk.channels = input.arbitrary()?,
            _ => chunk.call_id = input.arbitrary()?,
        }
    }
    if input.ratio(1, 3)? {
        chunk.sequence = input.arbitrary()?;
        chunk.media_time = input.arbitrary()?;
        chunk.age_us = input.arbitrary()?;
        chunk.ack_sequence = input.arbitrary()?;
        chunk.ack_delay_us = input.arbitrary()?;
        chunk.gap = input.arbitrary()?;
        chunk.level = input.arbitrary()?;
        chunk.accepted = input.arbitrary::<bool>()?.then(Accepted::default);
        for _ in 0..input.int_in_range(0..=20)? {
            chunk.events.push(event(input)?);
        }
    }
    Ok(Request::Chunk(Box::new(chunk)))
}

fn event(input: &mut Unstructured<'_>) -> Result<Event> {
    let leg_id = input.arbitrary()?;
    let event = match input.int_in_range(0..=4)? {
        0 => event::Event::Muted(Muted {
            leg_id,
            muted: input.arbitrary()?,
        }),
        1 => event::Event::Hold(Hold {
            leg_id,
            on_hold: input.arbitrary()?,
        }),
        2 => event::Event::Dtmf(Dtmf {
            leg_id,
            digit: input.arbitrary()?,
            duration_ms: input.arbitrary()?,
        }),
        3 => event::Event::Talking(Talking::default()),
        _ => return Ok(Event { event: None }),
    };
    Ok(Event { event: Some(event) })
}

/// Whether each chunk has an answer of as many samples.
fn is_echoed(requests: &[Request]) -> bool {
    match requests.first() {
        Some(Request::Chunk(first)) => first
            .join
            .as_ref()
            .is_none_or(|join| matches!(join.alone(), Alone::Unspecified | Alone::Echo)),
        _ => true,
    }
}

fn check(requests: &[Request], answered: &Answered) {
    if let Some(Ok(())) = answered.end
        && is_echoed(requests)
    {
        let numbers = matches!(requests.first(), Some(Request::Chunk(first)) if first.sequence > 0);
        // A peer that numbers is spared what would come too late.
        let lost = requests.len() - answered.messages.len().min(requests.len());
        assert!(numbers || lost == 0, "{lost} chunks have no answer");
    }
    let mut decoder = None;
    let mut sequence = 0;
    for (place, message) in answered.messages.iter().enumerate() {
        let answer = AudioChunk::decode(&message[..]).expect("an answer is a chunk");
        let format = Format::parse(&answer.codec, answer.sample_rate, answer.channels)
            .expect("an answer has a format");
        assert!(!answer.call_id.is_empty() && answer.call_id.len() <= 128);
        if answer.sequence > 0 {
            assert_eq!(answer.sequence, sequence + 1);
            sequence = answer.sequence;
        } else if let Some(Request::Chunk(request)) = requests.get(place)
            && is_echoed(requests)
        {
            let asked = format.samples_per_channel(&request.audio_data);
            if let Ok(asked) = asked
                && !request.audio_data.is_empty()
            {
                let got = format.samples_per_channel(&answer.audio_data);
                assert_eq!(got, Ok(asked), "chunk {place}");
            }
        }
        if answer.audio_data.is_empty() {
            continue;
        }
        let decoder = decoder.get_or_insert_with(|| Decoder::new(format).expect("a decoder"));
        let mut samples = Vec::new();
        // Passed on undecoded, it is as wrong as it came.
        if decoder.decode(&answer.audio_data, &mut samples).is_ok() {
            assert_is_sound(&samples, 1.0);
        }
    }
}
