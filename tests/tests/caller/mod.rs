//! A caller that a test drives by hand, chunk by chunk, and one that knows no message types at all
//! and sees the bytes as they are on the wire.

// Each test program uses its own part of it, and it is a module of each.
#![allow(dead_code, unreachable_pub)]

use std::{
    io::Read,
    net::TcpStream,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use bytes::{Buf, Bytes};
use http_body_util::{BodyExt, Full};
use proto::callcenter::{AudioChunk, Join, call_center_client::CallCenterClient};
use tests::{Server, raw_codec::Raw};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{
    Status, Streaming,
    codegen::{Service, http},
    transport::{Channel, Endpoint},
};

/// Far more than anything here needs; a hang becomes a failure.
pub const LIMIT: Duration = Duration::from_secs(30);

static NEXT_CALL: AtomicU64 = AtomicU64::new(1);

/// A connection to the server.
pub async fn connect(server: &Server) -> Channel {
    let endpoint = Endpoint::from_shared(server.uri()).expect("a URI");
    endpoint.connect().await.expect("the server is there")
}

/// What [`chunk`] calls its call. On the wire each [`Caller`] has another id in its place: callers are in
/// calls of their own unless a test says otherwise.
pub const OWN_CALL: &str = "a-call";

/// One leg.
pub struct Caller {
    call_id: String,
    requests_tx: Option<mpsc::UnboundedSender<AudioChunk>>,
    answers: Streaming<AudioChunk>,
}

impl Caller {
    /// A leg on a connection of its own.
    pub async fn dial(server: &Server) -> Self {
        Self::on(&connect(server).await).await
    }

    /// A leg on this connection.
    pub async fn on(channel: &Channel) -> Self {
        Self::try_on(channel).await.expect("the call is taken")
    }

    pub async fn try_on(channel: &Channel) -> Result<Self, Status> {
        let (requests_tx, requests_rx) = mpsc::unbounded_channel();
        let requests = UnboundedReceiverStream::new(requests_rx);
        let mut client = CallCenterClient::new(channel.clone());
        let response = timeout(LIMIT, client.live_call(requests)).await;
        Ok(Self {
            call_id: format!("call-{}", NEXT_CALL.fetch_add(1, Ordering::Relaxed)),
            requests_tx: Some(requests_tx),
            answers: response.expect("the call is not answered")?.into_inner(),
        })
    }

    /// Sends a chunk, without waiting for anything.
    pub fn say(&self, mut chunk: AudioChunk) {
        if chunk.call_id == OWN_CALL {
            chunk.call_id.clone_from(&self.call_id);
        }
        let requests_tx = self.requests_tx.as_ref().expect("not half-closed");
        // A stream that is over has no reader; what it said is read below.
        let _ = requests_tx.send(chunk);
    }

    /// The next answer, `None` after an end with OK.
    pub async fn next(&mut self) -> Result<Option<AudioChunk>, Status> {
        let next = timeout(LIMIT, self.answers.message());
        let mut next = next.await.expect("the leg hangs")?;
        if let Some(answer) = next
            .as_mut()
            .filter(|answer| answer.call_id == self.call_id)
        {
            answer.call_id = OWN_CALL.to_owned();
        }
        Ok(next)
    }

    /// The next answer, which must come.
    pub async fn answer(&mut self) -> AudioChunk {
        self.next()
            .await
            .expect("no error")
            .expect("not the end of the stream")
    }

    /// Sends a chunk and waits for its answer.
    pub async fn ask(&mut self, chunk: AudioChunk) -> AudioChunk {
        self.say(chunk);
        self.answer().await
    }

    /// The status that ends the stream, which must be an error; answers before it are skipped.
    pub async fn refusal(&mut self) -> Status {
        loop {
            match self.next().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the stream ended without an error"),
                Err(status) => return status,
            }
        }
    }

    pub fn half_close(&mut self) {
        self.requests_tx = None;
    }

    /// Half-closes, and returns what still comes until the end, which must be OK.
    pub async fn rest(&mut self) -> Vec<AudioChunk> {
        self.half_close();
        let mut rest = Vec::new();
        while let Some(answer) = self.next().await.expect("the end is OK") {
            rest.push(answer);
        }
        rest
    }
}

/// A chunk with fields 2 to 5 and this payload.
pub fn chunk(
    codec: &str,
    rate: u32,
    channels: usize,
    audio_data: impl Into<Vec<u8>>,
) -> AudioChunk {
    AudioChunk {
        audio_data: audio_data.into().into(),
        call_id: OWN_CALL.to_owned(),
        sample_rate: rate as i32,
        channels: channels as i32,
        codec: codec.to_owned(),
        ..AudioChunk::default()
    }
}

/// A later chunk: this payload and nothing else.
pub fn later(audio_data: impl Into<Vec<u8>>) -> AudioChunk {
    AudioChunk {
        audio_data: audio_data.into().into(),
        ..AudioChunk::default()
    }
}

/// The same chunk with a wish for effects.
pub fn wishing(effects: &str, chunk: AudioChunk) -> AudioChunk {
    AudioChunk {
        join: Some(Join {
            effects: effects.to_owned(),
            ..Join::default()
        }),
        ..chunk
    }
}

/// The same chunk with a number.
pub fn numbered(sequence: u64, chunk: AudioChunk) -> AudioChunk {
    AudioChunk { sequence, ..chunk }
}

/// Samples as 16-bit little-endian.
pub fn bytes_of(samples: &[f32]) -> Vec<u8> {
    samples
        .iter()
        .flat_map(|sample| ((sample * 32_768.0).round() as i16).to_le_bytes())
        .collect()
}

/// A good call that is going on while others misbehave: what it hears is exactly what it says.
pub struct GoodCall {
    caller: Caller,
    said: u16,
}

impl GoodCall {
    pub async fn on(channel: &Channel) -> Self {
        let mut caller = Caller::on(channel).await;
        caller
            .ask(wishing("none", chunk("pcm", 8_000, 1, [])))
            .await;
        Self { caller, said: 0 }
    }

    /// Says a chunk that was never said before, and hears it.
    pub async fn goes_on_once(&mut self) {
        self.said += 1;
        let payload = self.said.to_le_bytes().repeat(80);
        let answer = self.caller.ask(later(payload.clone())).await;
        assert_eq!(answer.audio_data, payload, "chunk {}", self.said);
    }

    /// Ten times so.
    pub async fn goes_on(&mut self) {
        for _ in 0..10 {
            self.goes_on_once().await;
        }
    }

    /// Hangs up, and is told that all was well.
    pub async fn ends_well(mut self) {
        self.goes_on().await;
        assert_eq!(self.caller.rest().await, []);
    }
}

/// Reads until the other side closes the socket.
pub fn wait_for_close(mut socket: TcpStream) {
    socket
        .set_read_timeout(Some(LIMIT))
        .expect("a timeout can be set");
    let mut buffer = [0; 1_024];
    // Both an end and a reset are a close.
    while socket.read(&mut buffer).is_ok_and(|count| count > 0) {}
}

/// Sends these messages to a method that streams both ways, half-closes, and returns what came
/// back, and the status if it was an error.
pub async fn raw_stream(
    channel: &Channel,
    method: &'static str,
    requests: Vec<Bytes>,
) -> (Vec<Bytes>, Option<Status>) {
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.expect("the connection is up");
    let requests = tonic::Request::new(tokio_stream::iter(requests));
    let path = tonic::codegen::http::uri::PathAndQuery::from_static(method);
    let mut received = Vec::new();
    let mut stream = match client.streaming(requests, path, Raw).await {
        Ok(response) => response.into_inner(),
        Err(status) => return (received, Some(status)),
    };
    loop {
        match timeout(LIMIT, stream.message())
            .await
            .expect("the stream hangs")
        {
            Ok(Some(message)) => received.push(message),
            Ok(None) => return (received, None),
            Err(status) => return (received, Some(status)),
        }
    }
}

/// `LiveCall` with bytes.
pub async fn raw_call(channel: &Channel, requests: Vec<Bytes>) -> (Vec<Bytes>, Option<Status>) {
    raw_stream(channel, "/callcenter.CallCenter/LiveCall", requests).await
}

/// Sends these bytes as the whole body of a request, with these headers more, and returns the status
/// that it ends with.
pub async fn raw_body(
    channel: &Channel,
    method: &'static str,
    headers: &[(&'static str, String)],
    body: Vec<u8>,
) -> Status {
    let body = tonic::body::Body::new(Full::new(Bytes::from(body)));
    let mut request = http::Request::new(body);
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = http::Uri::from_static(method);
    let usual = [("te", "trailers"), ("content-type", "application/grpc")];
    let usual = usual.map(|(name, value)| (name, value.to_owned()));
    for (name, value) in usual.iter().chain(headers) {
        let value = http::HeaderValue::from_bytes(value.as_bytes());
        let value = value.expect("a header holds it");
        request.headers_mut().insert(*name, value);
    }
    let mut channel = channel.clone();
    let ready = std::future::poll_fn(|cx| channel.poll_ready(cx)).await;
    ready.expect("the connection is up");
    let answered = async {
        let response = channel.call(request).await.expect("an answer");
        let (head, body) = response.into_parts();
        if let Some(status) = Status::from_header_map(&head.headers) {
            return status;
        }
        let body = body.collect().await.expect("an end");
        let trailers = body.trailers().expect("a status");
        Status::from_header_map(trailers).expect("a status")
    };
    timeout(LIMIT, answered).await.expect("the stream hangs")
}

/// The value of a field on the wire: a number, or bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Number(u64),
    Bytes(Bytes),
}

/// Writes a message of these fields by hand.
pub fn message(fields: &[(u32, Value)]) -> Bytes {
    let mut out = Vec::new();
    for (tag, value) in fields {
        match value {
            Value::Number(number) => {
                put_varint(&mut out, u64::from(tag << 3));
                put_varint(&mut out, *number);
            }
            Value::Bytes(bytes) => {
                put_varint(&mut out, u64::from(tag << 3 | 2));
                put_varint(&mut out, bytes.len() as u64);
                out.extend_from_slice(bytes);
            }
        }
    }
    out.into()
}

/// Reads the fields of a message by hand, in the order in which they stand.
pub fn fields(mut message: Bytes) -> Vec<(u32, Value)> {
    let mut found = Vec::new();
    while message.has_remaining() {
        let key = take_varint(&mut message);
        let value = match key & 7 {
            0 => Value::Number(take_varint(&mut message)),
            2 => {
                let length = take_varint(&mut message) as usize;
                Value::Bytes(message.split_to(length))
            }
            other => panic!("wire type {other} in an AudioChunk"),
        };
        found.push(((key >> 3) as u32, value));
    }
    found
}

fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take_varint(message: &mut Bytes) -> u64 {
    let mut number = 0;
    for shift in (0..).step_by(7) {
        let byte = message.get_u8();
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    number
}
