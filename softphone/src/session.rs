//! The call as a stream: connect, send what the engine made, hand it what came back, and when the
//! line breaks, begin again until it is back. A line that has merely stalled is raced by a second
//! one: whichever is heard first goes on, the old one where both are.
//!
//! Runs on tokio. Everything audible happens in the engine; here chunks are numbered, acknowledged
//! and aged.

use std::{
    convert::Infallible,
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::SyncSender,
    },
    time::Duration,
};

use audio::Format;
use proto::{
    ServerAddress,
    callcenter::{AudioChunk, Join, call_center_client::CallCenterClient},
    text::{excerpt, words},
};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tonic::{
    Code, Status, Streaming,
    codegen::{Service, http},
    transport::{Channel, Endpoint},
};

use crate::{
    answered_format,
    clock::Clock,
    numbering::Numbering,
    playout_path::Downlink,
    race::{Contender, Outcome, Race},
    reachability::{self, Unreachable},
    uplink::{Outgoing, Uplink},
};

/// A server that cannot be connected to in this time is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);

/// The same for a server that we were connected to: each attempt is a new first packet, where the
/// system would wait ever longer until it sends another. Or four round trips, if that is longer.
const CONNECT_AGAIN_TIMEOUT: Duration = Duration::from_millis(500);

/// How long a second line may take from its connection to its first answer, before it is given up
/// for a third; or eight round trips, likewise.
const RACE_ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// What lies at least between the beginnings of two such lines.
const RACE_EVERY: Duration = Duration::from_millis(500);

/// How much longer the first line is listened to when the second was heard, beyond the time of a chunk:
/// where both thaw at once the first goes on, for nothing is lost on it.
const FIRST_STREAM_GRACE: Duration = Duration::from_millis(30);

/// When nothing at all was heard of the far end for so long, it is asked whether it is there.
const ASK_AFTER: Duration = Duration::from_millis(500);

/// A dead network is noticed after both: well within five seconds.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(2);

/// As on the server: bounded for a stream, never short for a connection.
const STREAM_WINDOW: u32 = 64 * 1_024;
const CONNECTION_WINDOW: u32 = 16 * 1_024 * 1_024;

/// Once we have said all: how long we wait for each answer that is still due.
const LAST_ANSWER: Duration = Duration::from_secs(2);

/// Likewise for the beginning of the answer: so long that a server that is not there is told from
/// one that has nothing to say.
const FIRST_ANSWER: Duration = Duration::from_millis(4_500);

/// The most of the server's name for our leg that is shown.
const LEG_ID_COLUMNS: usize = 64;

/// Pauses between two attempts to get the call back.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Why a call is lost that stood still when we hung up.
pub const NOTHING_COMES: &str = "nothing comes from the server any more";

/// What the session is to do.
#[derive(Debug, Clone)]
pub struct SessionOptions {
    /// Where the server is.
    pub server: ServerAddress,
    /// The call to take part in.
    pub call_id: String,
    /// What the engine encodes and decodes.
    pub format: Format,
    /// How long a chunk lasts.
    pub chunk: Duration,
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
    /// Connected, but nothing has come for a while; a second connection is tried beside it.
    Stalled,
    /// It was connected, and is tried again.
    Lost {
        /// What happened, for people.
        why: String,
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
    /// How often the call was taken up again on a new line, after one that was lost or stalled.
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
    /// The server answers in another format than it was asked for.
    WrongFormat(String),
}

/// Why one stream ended.
enum StreamEnd {
    Completed,
    Rejected(String),
    Broken(String),
    WrongFormat(String),
}

/// How listening to a stream ended.
enum Received {
    End(StreamEnd),
    /// A second one was heard first.
    Overtaken(Box<Winner>),
}

/// One stream of the call, as far as we send on it. When it is dropped, sending ends: a request
/// stream that outlived it would take chunks from the next one.
struct Sending {
    numbering: Arc<Numbering>,
    /// Whether what the engine makes is sent; until then only what sets the stream up.
    flows: watch::Sender<bool>,
}

/// A second stream that was heard before the first.
struct Winner {
    sending: Sending,
    responses: Streaming<AudioChunk>,
    /// What came on it while the first was still listened to.
    received: Vec<AudioChunk>,
}

impl Contender for Winner {
    async fn broken(&mut self) {
        while let Ok(Some(chunk)) = self.responses.message().await {
            self.received.push(chunk);
        }
    }
}

/// The session of one call.
pub struct Session {
    options: SessionOptions,
    clock: Clock,
    uplink: Arc<Uplink>,
    downlink: SyncSender<Downlink>,
    status: watch::Sender<SessionStatus>,
    /// Whether the far end has been seen to acknowledge, on whichever stream.
    acknowledges: AtomicBool,
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
            acknowledges: AtomicBool::new(false),
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
            let why = match self.run_stream(ever_connected).await {
                StreamEnd::Completed => return SessionEnd::Completed,
                StreamEnd::Rejected(why) => return SessionEnd::Rejected(why),
                StreamEnd::WrongFormat(why) => return SessionEnd::WrongFormat(why),
                StreamEnd::Broken(why) => why,
            };
            if matches!(self.status.borrow().line, Line::Connected | Line::Stalled) {
                ever_connected = true;
                pause = FIRST_PAUSE;
            }
            if !ever_connected {
                let doctor = reachability::doctor(&self.options.server);
                return SessionEnd::NeverConnected(format!("{why}; \"{doctor}\" looks into it"));
            }
            if self.uplink.is_closed() {
                return SessionEnd::Lost(why);
            }
            self.status
                .send_modify(|status| status.line = Line::Lost { why: why.clone() });
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.uplink.closed() => return SessionEnd::Lost(why),
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn run_stream(&self, again: bool) -> StreamEnd {
        let patience = match again {
            true => self.connect_again_timeout(),
            false => CONNECT_TIMEOUT,
        };
        let channel = tokio::select! {
            channel = self.connect(patience) => channel.map_err(|cause| match again {
                true => cause.message(&self.options.server),
                false => cause.sentence(&self.options.server),
            }),
            () = self.uplink.closed() => Err(format!("{} did not answer yet", self.options.server)),
        };
        let channel = match channel {
            Ok(channel) => channel,
            Err(why) => return StreamEnd::Broken(why),
        };
        let sending = self.sending(true);
        let requests = self.requests(&sending, None);
        self.uplink.open();
        let mut heard = Heard::new(self.clock.now());
        let mut client = CallCenterClient::new(channel.clone());
        // Some servers send nothing at all, not even headers, before they have sound to send.
        let response = patient(client.live_call(requests), FIRST_ANSWER, &sending.numbering);
        let response = tokio::select! {
            biased;
            response = response => response,
            never = ask_whether_it_lives(channel, || self.far_end_lives(&sending.numbering)) => match never {},
        };
        let received = match response {
            Some(Ok(response)) => {
                self.far_end_lives(&sending.numbering);
                self.receive(response.into_inner(), &sending.numbering, &mut heard)
                    .await
            }
            Some(Err(status)) => Received::End(self.ended_by(&status, heard)),
            None => Received::End(StreamEnd::Completed),
        };
        self.stop_sending(sending);
        match received {
            Received::End(end) => end,
            Received::Overtaken(winner) => self.run_winner(*winner).await,
        }
    }

    /// Goes on with the stream that was heard first, and with the one that overtakes it, and so on.
    async fn run_winner(&self, winner: Winner) -> StreamEnd {
        let mut winner = winner;
        loop {
            let Winner {
                sending,
                responses,
                received,
            } = winner;
            self.uplink.open();
            sending.flows.send_replace(true);
            let mut heard = Heard::new(self.clock.now());
            let taken = received
                .into_iter()
                .try_for_each(|chunk| self.take(chunk, &sending.numbering, &mut heard));
            let received = match taken {
                Ok(()) => {
                    self.receive(responses, &sending.numbering, &mut heard)
                        .await
                }
                Err(end) => Received::End(end),
            };
            self.stop_sending(sending);
            match received {
                Received::End(end) => return end,
                Received::Overtaken(next) => winner = *next,
            }
        }
    }

    fn sending(&self, flows: bool) -> Sending {
        let acknowledges = self.acknowledges.load(Ordering::Relaxed);
        let numbering = Numbering::new(self.clock, self.options.format, acknowledges);
        Sending {
            numbering: Arc::new(numbering),
            flows: watch::Sender::new(flows),
        }
    }

    fn stop_sending(&self, sending: Sending) {
        let Sending { numbering, flows } = sending;
        drop(flows);
        self.uplink.interrupt();
        self.acknowledges
            .store(numbering.acknowledges(), Ordering::Relaxed);
    }

    async fn connect(&self, patience: Duration) -> Result<Channel, Unreachable> {
        Endpoint::from_shared(self.options.server.uri())
            .map_err(|error| Unreachable::Other(words(&error.to_string())))?
            .connect_timeout(patience)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .connect()
            .await
            .map_err(|error| Unreachable::of(&error, patience))
    }

    /// Returns once a second stream is worth a try.
    async fn stalled(&self, numbering: &Numbering) {
        numbering.stalled().await;
        if self.uplink.is_closed() {
            // There is nothing left to say on another.
            return std::future::pending().await;
        }
        self.status
            .send_modify(|status| status.line = Line::Stalled);
    }

    /// Opens a second stream without sound, and returns it once the far end has answered.
    async fn second_stream(&self) -> Option<Winner> {
        let patience = self.connect_again_timeout();
        let channel = timeout(patience, self.connect(patience)).await.ok()?.ok()?;
        let sending = self.sending(false);
        let set_up = Outgoing::without_sound(self.uplink.media_time(), self.clock.now());
        let requests = self.requests(&sending, Some(set_up));
        let answered = async {
            let mut client = CallCenterClient::new(channel);
            let mut responses = client.live_call(requests).await?.into_inner();
            let first = responses.message().await?;
            Ok::<_, Status>((responses, first))
        };
        let patience = RACE_ANSWER_TIMEOUT.max(self.round_trip() * 8);
        let (responses, first) = timeout(patience, answered).await.ok()?.ok()?;
        Some(Winner {
            sending,
            responses,
            received: vec![first?],
        })
    }

    fn connect_again_timeout(&self) -> Duration {
        CONNECT_AGAIN_TIMEOUT.max(self.round_trip() * 4)
    }

    fn round_trip(&self) -> Duration {
        self.status.borrow().round_trip.unwrap_or_default()
    }

    /// What we send on one stream, numbered and counted as the transport takes it: a session may be
    /// aborted at any time. `set_up` goes before all else.
    fn requests(
        &self,
        sending: &Sending,
        set_up: Option<Outgoing>,
    ) -> impl futures_util::Stream<Item = AudioChunk> + Send + 'static {
        let numbering = Arc::clone(&sending.numbering);
        let mut flows = sending.flows.subscribe();
        let status = self.status.clone();
        let count = move |chunks| status.send_modify(|status| status.chunks_sent += chunks);
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
        let mut chunk_of = move |numbering: &Numbering, outgoing| {
            let mut chunk = first.take().unwrap_or_else(|| AudioChunk {
                call_id: format.call_id.clone(),
                sample_rate: format.sample_rate,
                channels: format.channels,
                codec: format.codec.clone(),
                ..AudioChunk::default()
            });
            numbering.stamp(&mut chunk, outgoing);
            chunk
        };
        async_stream::stream! {
            let set_ups = u64::from(set_up.is_some());
            if let Some(set_up) = set_up {
                yield chunk_of(&numbering, set_up);
            }
            // Neither this one nor any below is waited for once the session has let go of it.
            if flows.wait_for(|flows| *flows).await.is_err() {
                return;
            }
            // A stream that did not become the call's own does not count.
            count(set_ups);
            loop {
                let outgoing = tokio::select! {
                    biased;
                    _ = flows.changed() => break,
                    outgoing = async {
                        tokio::select! {
                            () = numbering.line_is_clear() => {}
                            () = uplink.closed() => {}
                        }
                        uplink.pop().await
                    } => outgoing,
                };
                let Some(outgoing) = outgoing else { break };
                count(1);
                yield chunk_of(&numbering, outgoing);
            }
            numbering.say_all_is_said();
        }
    }

    async fn receive(
        &self,
        mut responses: Streaming<AudioChunk>,
        numbering: &Numbering,
        heard: &mut Heard,
    ) -> Received {
        let race = Race {
            every: RACE_EVERY,
            grace: self.options.chunk + FIRST_STREAM_GRACE,
        };
        loop {
            if numbering.all_is_said() && numbering.nothing_will_come() {
                return Received::End(StreamEnd::Completed);
            }
            let answer = patient(responses.message(), LAST_ANSWER, numbering);
            let is_over = |answer: &Option<Result<Option<AudioChunk>, Status>>| {
                !matches!(answer, Some(Ok(Some(_)))) && !self.uplink.is_closed()
            };
            let stalled = self.stalled(numbering);
            let answer = match race
                .run(answer, is_over, stalled, || self.second_stream())
                .await
            {
                Outcome::First(answer) => answer,
                Outcome::Second(winner) => return Received::Overtaken(Box::new(winner)),
            };
            let end = match answer {
                Some(Ok(Some(chunk))) => match self.take(chunk, numbering, heard) {
                    Ok(()) => continue,
                    Err(end) => end,
                },
                Some(Ok(None)) if self.uplink.is_closed() => StreamEnd::Completed,
                Some(Ok(None)) => StreamEnd::Broken("the server ended the call".to_owned()),
                Some(Err(status)) => self.ended_by(&status, *heard),
                // Whatever is still due will not come.
                None if self.status.borrow().line == Line::Stalled => {
                    StreamEnd::Broken(NOTHING_COMES.to_owned())
                }
                None => StreamEnd::Completed,
            };
            return Received::End(end);
        }
    }

    /// Takes one chunk of the far end, unless its sound is not what the engine decodes.
    fn take(
        &self,
        chunk: AudioChunk,
        numbering: &Numbering,
        heard: &mut Heard,
    ) -> Result<(), StreamEnd> {
        answered_format::check(&chunk, self.options.format)
            .map_err(|wrong| StreamEnd::WrongFormat(wrong.to_string()))?;
        if !heard.anything {
            self.begin();
        }
        *heard = Heard {
            anything: true,
            last: self.clock.now(),
        };
        let accepted = chunk.accepted.clone();
        if let Some(accepted) = &accepted {
            self.deliver(Downlink::FarEnd {
                returns_own_voice: accepted.echo,
            });
        }
        let incoming = numbering.receive(chunk);
        let has_sound = !incoming.payload.is_empty();
        self.deliver(Downlink::Chunk(incoming));
        self.status.send_modify(|status| {
            status.line = Line::Connected;
            status.chunks_received += 1;
            status.sound_received += u64::from(has_sound);
            status.round_trip = numbering.round_trip();
            if let Some(accepted) = accepted {
                status.leg_id = excerpt(&accepted.leg_id, LEG_ID_COLUMNS);
                status.processing_delay_us = Some(accepted.processing_delay_us);
            }
        });
        Ok(())
    }

    /// The far end has shown that it is there.
    fn far_end_lives(&self, numbering: &Numbering) {
        numbering.far_end_lives();
        self.deliver(Downlink::Lives);
    }

    /// The far end is heard for the first time on this stream.
    fn begin(&self) {
        self.deliver(Downlink::Began);
        self.status.send_modify(|status| {
            let is_again = matches!(status.line, Line::Lost { .. } | Line::Stalled);
            status.reconnects += u64::from(is_again);
        });
    }

    /// What a status means for the call: some say that we are not wanted, the rest that the line
    /// broke.
    fn ended_by(&self, status: &Status, heard: Heard) -> StreamEnd {
        let said = format!("{:?}: {}", status.code(), words(status.message()));
        match status.code() {
            Code::Unimplemented => StreamEnd::Rejected(format!(
                "it does not offer calls (no callcenter.CallCenter/LiveCall): {}",
                if status.message().is_empty() {
                    "Unimplemented"
                } else {
                    &said
                },
            )),
            // In the middle of a call we wait for our place again; nobody else hangs up for us.
            Code::ResourceExhausted if matches!(self.status.borrow().line, Line::Lost { .. }) => {
                StreamEnd::Broken(said)
            }
            Code::InvalidArgument
            | Code::Unauthenticated
            | Code::PermissionDenied
            | Code::ResourceExhausted
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::NotFound => StreamEnd::Rejected(said),
            // With a source it was made here, out of what happened to the connection.
            _ => StreamEnd::Broken(match status.source() {
                Some(source) => self.connection_lost(&root_cause(source), heard),
                None => said,
            }),
        }
    }

    fn connection_lost(&self, cause: &str, heard: Heard) -> String {
        let server = &self.options.server;
        let silent = self.clock.now().saturating_sub(heard.last);
        if silent >= KEEPALIVE_TIMEOUT {
            format!(
                "{server} has not answered for {:.0} s",
                silent.as_secs_f32()
            )
        } else if heard.anything {
            format!("the connection to {server} broke")
        } else {
            format!("what answers at {server} is no gRPC server ({cause})")
        }
    }

    fn deliver(&self, downlink: Downlink) {
        if self.downlink.try_send(downlink).is_err() {
            self.status
                .send_modify(|status| status.engine_overflow += 1);
        }
    }
}

/// What came from the far end on one stream, and when.
#[derive(Clone, Copy)]
struct Heard {
    anything: bool,
    /// The newest chunk; before there is one, the beginning of the stream.
    last: Duration,
}

impl Heard {
    fn new(now: Duration) -> Self {
        Self {
            anything: false,
            last: now,
        }
    }
}

/// What `answer` gives; `None` if it does not come within `patience` once we have said all.
async fn patient<T>(
    answer: impl Future<Output = T>,
    patience: Duration,
    numbering: &Numbering,
) -> Option<T> {
    let too_late = async {
        numbering.wait_until_all_is_said().await;
        if !numbering.nothing_will_come() {
            tokio::time::sleep(patience).await;
        }
    };
    tokio::select! {
        biased;
        answer = answer => Some(answer),
        () = too_late => None,
    }
}

/// Asks a server that sends nothing whether it is there: one that is answers a call of a method that
/// it does not have at once, whatever else it is doing.
async fn ask_whether_it_lives(mut channel: Channel, lives: impl Fn()) -> Infallible {
    sleep(ASK_AFTER).await;
    let mut request = http::Request::new(tonic::body::Body::empty());
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = http::Uri::from_static("/callcenter.CallCenter/AreYouThere");
    let headers = request.headers_mut();
    headers.insert("te", http::HeaderValue::from_static("trailers"));
    headers.insert(
        http::header::CONTENT_TYPE,
        http::HeaderValue::from_static("application/grpc"),
    );
    let ready = std::future::poll_fn(|cx| channel.poll_ready(cx)).await;
    if ready.is_ok() && channel.call(request).await.is_ok() {
        lives();
    }
    std::future::pending().await
}

/// The innermost reason, which is the one that a person can do something about.
fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    words(&cause.to_string())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures_util::StreamExt;

    use super::*;

    #[tokio::test]
    async fn a_chunk_counts_as_soon_as_the_transport_has_it() {
        let clock = Clock::start();
        let uplink = Arc::new(Uplink::new(clock));
        let options = SessionOptions {
            server: "127.0.0.1:1".parse().unwrap(),
            call_id: "call".to_owned(),
            format: Format::parse("pcmu", 8_000, 1).unwrap(),
            chunk: Duration::from_millis(20),
            effects: String::new(),
        };
        let (downlink, _) = mpsc::sync_channel(1);
        let (session, status) = Session::new(options, clock, Arc::clone(&uplink), downlink);
        uplink.open();
        let chunk = || Outgoing::without_sound(0, clock.now());
        for (set_up, expected) in [(None, 1), (Some(chunk()), 3)] {
            let sending = session.sending(set_up.is_none());
            let mut requests = Box::pin(session.requests(&sending, set_up.clone()));
            if set_up.is_some() {
                assert!(requests.next().await.is_some());
                // Until it has won the race.
                assert_eq!(status.borrow().chunks_sent, 1);
                sending.flows.send_replace(true);
            }
            uplink.push(chunk());
            assert!(requests.next().await.is_some());
            assert_eq!(status.borrow().chunks_sent, expected);
        }
    }
}
