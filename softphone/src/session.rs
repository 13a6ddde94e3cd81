//! The call as a stream: connect, send what the engine made, hand it what came back, and when the
//! line breaks, begin again until it is back.
//!
//! Runs on tokio. Everything audible happens in the engine; here chunks are numbered, acknowledged
//! and aged.

use std::{
    sync::{Arc, mpsc::SyncSender},
    time::Duration,
};

use audio::Format;
use proto::callcenter::{AudioChunk, Join, call_center_client::CallCenterClient};
use tokio::{sync::watch, time::timeout};
use tonic::{
    Code, Status, Streaming,
    transport::{Channel, Endpoint},
};

use crate::{
    clock::Clock, numbering::Numbering, playout_path::Downlink, server_address::ServerAddress,
    uplink::Uplink,
};

/// A server that cannot be connected to in this time is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);

/// A dead network is noticed after both: well within five seconds.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(2);

/// As on the server: bounded for a stream, never short for a connection.
const STREAM_WINDOW: u32 = 64 * 1_024;
const CONNECTION_WINDOW: u32 = 16 * 1_024 * 1_024;

/// Once we have said all: how long we wait for each answer that is still due.
const LAST_ANSWER: Duration = Duration::from_secs(2);

/// Pauses between two attempts to get the call back.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(4);

/// What the session is to do.
#[derive(Debug, Clone)]
pub struct SessionOptions {
    /// Where the server is.
    pub server: ServerAddress,
    /// The call to take part in.
    pub call_id: String,
    /// What the engine encodes and decodes.
    pub format: Format,
    /// Wish for this leg's processing; empty: the server's default.
    pub effects: String,
}

/// How the line is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Line {
    /// Not connected yet.
    #[default]
    Connecting,
    /// Sound can flow.
    Connected,
    /// It was connected, and is tried again.
    Lost {
        /// What happened, for people.
        why: String,
        /// When the next attempt begins.
        next_attempt_in: Duration,
    },
    /// Over.
    Ended,
}

/// The session's figures at one moment.
#[derive(Debug, Clone, Default)]
pub struct SessionStatus {
    /// How the line is.
    pub line: Line,
    /// The server's name for our leg, if it numbers its chunks.
    pub leg_id: String,
    /// What the server said it adds, in microseconds.
    pub processing_delay_us: Option<u32>,
    /// Smoothed round trip.
    pub round_trip: Option<Duration>,
    /// Chunks sent over all streams of the call.
    pub chunks_sent: u64,
    /// Chunks received, likewise.
    pub chunks_received: u64,
    /// Of those, chunks with sound.
    pub sound_received: u64,
    /// How often the call had to be begun again.
    pub reconnects: u64,
    /// Chunks that the engine could not take in time.
    pub engine_overflow: u64,
}

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionEnd {
    /// We said all, and heard all that was due.
    Completed,
    /// The server would not have us.
    Rejected(String),
    /// There was no server in the first place.
    NeverConnected(String),
    /// The line was lost and did not come back before we hung up.
    Lost(String),
}

/// Why one stream ended.
enum StreamEnd {
    Completed,
    Rejected(String),
    Broken(String),
}

/// The session of one call.
pub struct Session {
    options: SessionOptions,
    clock: Clock,
    uplink: Arc<Uplink>,
    downlink: SyncSender<Downlink>,
    status: watch::Sender<SessionStatus>,
}

impl Session {
    /// A session between `uplink`, which the engine fills, and `downlink`, which it empties.
    pub fn new(
        options: SessionOptions,
        clock: Clock,
        uplink: Arc<Uplink>,
        downlink: SyncSender<Downlink>,
    ) -> (Self, watch::Receiver<SessionStatus>) {
        let (status, receiver) = watch::channel(SessionStatus::default());
        let session = Self {
            options,
            clock,
            uplink,
            downlink,
            status,
        };
        (session, receiver)
    }

    /// Runs until the uplink is closed and all is said and heard, or until there is no point.
    pub async fn run(self) -> SessionEnd {
        let end = self.run_streams().await;
        self.deliver(Downlink::Ended);
        self.status.send_modify(|status| status.line = Line::Ended);
        end
    }

    async fn run_streams(&self) -> SessionEnd {
        let mut pause = FIRST_PAUSE;
        let mut ever_connected = false;
        loop {
            let why = match self.run_stream().await {
                StreamEnd::Completed => return SessionEnd::Completed,
                StreamEnd::Rejected(why) => return SessionEnd::Rejected(why),
                StreamEnd::Broken(why) => why,
            };
            if self.status.borrow().line == Line::Connected {
                ever_connected = true;
                pause = FIRST_PAUSE;
            }
            if !ever_connected {
                return SessionEnd::NeverConnected(why);
            }
            if self.uplink.is_closed() {
                return SessionEnd::Lost(why);
            }
            self.status.send_modify(|status| {
                status.line = Line::Lost {
                    why,
                    next_attempt_in: pause,
                };
                status.reconnects += 1;
            });
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.uplink.closed() => return SessionEnd::Lost("hung up while the line was lost".to_owned()),
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn run_stream(&self) -> StreamEnd {
        let channel = match self.connect().await {
            Ok(channel) => channel,
            Err(why) => return StreamEnd::Broken(why),
        };
        let numbering = Arc::new(Numbering::new(self.clock, self.options.format));
        let (stop_sending, sending_stops) = watch::channel(());
        let requests = self.requests(Arc::clone(&numbering), sending_stops);
        self.uplink.open();
        let mut client = CallCenterClient::new(channel);
        let end = match client.live_call(requests).await {
            Ok(response) => self.receive(response.into_inner(), &numbering).await,
            Err(status) => ended_by(&status),
        };
        // A request stream that outlived its connection would take chunks from the next one.
        drop(stop_sending);
        self.uplink.interrupt();
        self.status
            .send_modify(|status| status.chunks_sent += numbering.sent());
        end
    }

    async fn connect(&self) -> Result<Channel, String> {
        let server = &self.options.server;
        Endpoint::from_shared(server.uri())
            .map_err(|error| format!("{server} is not an address: {error}"))?
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .connect()
            .await
            .map_err(|error| format!("no server answers at {server} ({})", root_cause(&error)))
    }

    /// What we send on one stream, numbered as the transport takes it.
    fn requests(
        &self,
        numbering: Arc<Numbering>,
        mut stops: watch::Receiver<()>,
    ) -> impl futures_util::Stream<Item = AudioChunk> + Send + 'static {
        let uplink = Arc::clone(&self.uplink);
        let mut first = Some(AudioChunk {
            call_id: self.options.call_id.clone(),
            sample_rate: self.options.format.sample_rate_hz() as i32,
            channels: self.options.format.channels() as i32,
            codec: self.options.format.codec().name().to_owned(),
            join: Some(Join {
                effects: self.options.effects.clone(),
            }),
            ..AudioChunk::default()
        });
        let format = first.clone().unwrap_or_default();
        async_stream::stream! {
            loop {
                let outgoing = tokio::select! {
                    biased;
                    _ = stops.changed() => break,
                    outgoing = uplink.pop() => outgoing,
                };
                let Some(outgoing) = outgoing else { break };
                let mut chunk = first.take().unwrap_or_else(|| AudioChunk {
                    call_id: format.call_id.clone(),
                    sample_rate: format.sample_rate,
                    channels: format.channels,
                    codec: format.codec.clone(),
                    ..AudioChunk::default()
                });
                numbering.stamp(&mut chunk, outgoing);
                yield chunk;
            }
            numbering.say_all_is_said();
        }
    }

    async fn receive(
        &self,
        mut responses: Streaming<AudioChunk>,
        numbering: &Numbering,
    ) -> StreamEnd {
        let mut connected = false;
        loop {
            if numbering.all_is_said() && numbering.nothing_is_due() && !numbering.is_accepted() {
                // Not every server ends its streams.
                return StreamEnd::Completed;
            }
            let patience = numbering.all_is_said().then_some(LAST_ANSWER);
            let chunk = tokio::select! {
                chunk = next(&mut responses, patience) => chunk,
                // From now on an answer that does not come is not waited for.
                () = numbering.wait_until_all_is_said(), if patience.is_none() => continue,
            };
            let chunk = match chunk {
                Ok(Some(chunk)) => chunk,
                Ok(None) if self.uplink.is_closed() => return StreamEnd::Completed,
                Ok(None) => return StreamEnd::Broken("the server ended the call".to_owned()),
                Err(Some(status)) => return ended_by(&status),
                // Whatever is still due will not come.
                Err(None) => return StreamEnd::Completed,
            };
            if !connected {
                connected = true;
                self.deliver(Downlink::Began);
                self.status.send_modify(|status| status.line = Line::Connected);
            }
            let accepted = chunk.accepted.clone();
            let incoming = numbering.receive(chunk);
            let has_sound = !incoming.payload.is_empty();
            self.deliver(Downlink::Chunk(incoming));
            self.status.send_modify(|status| {
                status.chunks_received += 1;
                status.sound_received += u64::from(has_sound);
                status.round_trip = numbering.round_trip();
                if let Some(accepted) = accepted {
                    status.leg_id = accepted.leg_id;
                    status.processing_delay_us = Some(accepted.processing_delay_us);
                }
            });
        }
    }

    fn deliver(&self, downlink: Downlink) {
        if self.downlink.try_send(downlink).is_err() {
            self.status.send_modify(|status| status.engine_overflow += 1);
        }
    }
}

/// The next chunk; `Err(None)` when it did not come within `patience`.
async fn next(
    responses: &mut Streaming<AudioChunk>,
    patience: Option<Duration>,
) -> Result<Option<AudioChunk>, Option<Status>> {
    match patience {
        None => responses.message().await.map_err(Some),
        Some(patience) => match timeout(patience, responses.message()).await {
            Ok(chunk) => chunk.map_err(Some),
            Err(_) => Err(None),
        },
    }
}

/// What a status means for the call: some say that we are not wanted, the rest that the line broke.
fn ended_by(status: &Status) -> StreamEnd {
    let said: String = status.message().escape_debug().collect();
    match status.code() {
        Code::InvalidArgument
        | Code::Unauthenticated
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::Unimplemented
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::NotFound => StreamEnd::Rejected(format!("{:?}: {said}", status.code())),
        _ => StreamEnd::Broken(match root_cause(status).as_str() {
            cause if cause == said || said.is_empty() => format!("{:?}: {said}", status.code()),
            cause => format!("{said}: {cause}"),
        }),
    }
}

/// The innermost reason, which is the one that a person can do something about.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
