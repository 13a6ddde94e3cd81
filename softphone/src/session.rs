//! The call as a stream: connect, send what the engine made, hand it what came back, and when the
//! line breaks, try until it is back. A line that has merely stalled is raced by a second one:
//! whichever is heard first goes on, the old one where both are.
//!
//! `attempt_pace` says when it is tried again, `attempts` does so, `dial` is the network's part of it;
//! `race` decides between two streams; `requests` and `responses` are the two directions of one, and
//! `stream_end` says what its end means. `context` is what all streams share.
//! `parties` is who is in the call. `numbering` counts and acknowledges; `answered_format` refuses what was not asked for; `reachability` says why there is
//! no connection.
//!
//! Runs on tokio. Everything audible happens in the engine; here chunks are numbered, acknowledged
//! and aged.

pub mod answered_format;
mod attempt_pace;
mod attempts;
mod connection;
mod context;
mod dial;
pub mod numbering;
pub mod parties;
mod race;
pub mod reachability;
mod requests;
mod responses;
pub mod stamp;
mod state;
mod stream_end;

use std::{
    sync::{Arc, Mutex, atomic::AtomicBool, mpsc::SyncSender},
    time::Duration,
};

use proto::{
    ServerAddress,
    callcenter::{AudioChunk, call_center_client::CallCenterClient},
};
use tokio::sync::watch;
use tonic::{Status, Streaming, transport::Channel};

use crate::{
    clock::Clock,
    engine::{playout_path::Downlink, uplink::Uplink},
    session::numbering::Numbering,
};
use attempts::Attempts;
use connection::{ask_when_silent, connect};
use context::Context;
use dial::{HeardLeg, Opened};
use race::{Outcome, race};
use responses::patient;
pub use state::{Line, SessionEnd, SessionOptions, SessionStatus};
use stream_end::{Heard, StreamEnd};

/// A server that cannot be connected to in this time is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);

/// How much longer the first line is listened to when the second was heard, beyond the time of a chunk:
/// where both thaw at once the first goes on, for nothing is lost on it.
const FIRST_STREAM_GRACE: Duration = Duration::from_millis(30);

/// Once we have said all: how long we wait for each answer that is still due.
const LAST_ANSWER: Duration = Duration::from_secs(2);

/// Likewise for the beginning of the answer: so long that a server that is not there is told from
/// one that has nothing to say.
const FIRST_ANSWER: Duration = Duration::from_millis(4_500);

/// Why a call is lost that stood still when we hung up.
pub const NOTHING_COMES: &str = "nothing comes from the server any more";

/// How a call ended to whose `server` we hung up before it said a word.
pub fn never_answered(server: &ServerAddress) -> SessionEnd {
    never_connected(server, &no_answer_yet(server))
}

fn no_answer_yet(server: &ServerAddress) -> String {
    format!("{server} did not answer yet")
}

fn never_connected(server: &ServerAddress, why: &str) -> SessionEnd {
    let doctor = reachability::doctor(server);
    SessionEnd::NeverConnected(format!("{why}; \"{doctor}\" looks into it"))
}

/// How one stream gave way.
enum Received {
    End(StreamEnd),
    /// A second one was heard first.
    Overtaken(Opened),
}

/// The session of one call.
pub struct Session {
    context: Context,
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
        let context = Context {
            options,
            clock,
            uplink,
            downlink,
            status,
            acknowledges: AtomicBool::new(false),
            resume_token: Mutex::default(),
        };
        (Self { context }, receiver)
    }

    /// Runs until the uplink is closed and all is said and heard, or until there is no point.
    pub async fn run(self) -> SessionEnd {
        let end = self.context.run_streams().await;
        self.context.deliver(Downlink::Ended);
        let status = &self.context.status;
        status.send_modify(|status| status.line = Line::Ended);
        end
    }
}

impl Context {
    async fn run_streams(&self) -> SessionEnd {
        let mut attempts = Attempts::new(self);
        let mut opened = match self.first_connection().await {
            Ok(channel) => Opened::Connection(channel),
            Err(why) => return self.never_connected(&why),
        };
        loop {
            let why = match self.run_stream(opened, &mut attempts).await {
                Received::Overtaken(second) => {
                    opened = second;
                    continue;
                }
                Received::End(StreamEnd::Broken(why)) => why,
                Received::End(end) => return end.of_call(),
            };
            if self.status.borrow().line == Line::Connecting {
                return self.never_connected(&why);
            }
            if self.uplink.is_closed() {
                return SessionEnd::Lost(why);
            }
            self.status.send_modify(|status| {
                status.line = Line::Lost {
                    why: why.clone(),
                    attempt: None,
                }
            });
            let next = tokio::select! {
                next = attempts.next() => next,
                () = self.uplink.closed() => return SessionEnd::Lost(why),
            };
            opened = match next {
                Ok(next) => next,
                Err(end) => return end.of_call(),
            };
        }
    }

    async fn first_connection(&self) -> Result<Channel, String> {
        let server = &self.options.server;
        tokio::select! {
            channel = connect(server, CONNECT_TIMEOUT) => channel.map_err(|cause| cause.sentence(server)),
            () = self.uplink.closed() => Err(no_answer_yet(server)),
        }
    }

    fn never_connected(&self, why: &str) -> SessionEnd {
        never_connected(&self.options.server, why)
    }

    async fn run_stream(&self, opened: Opened, attempts: &mut Attempts<'_, Self>) -> Received {
        let (sending, received) = match opened {
            Opened::Leg(leg) => {
                let HeardLeg {
                    sending,
                    responses,
                    received,
                } = *leg;
                self.uplink.open();
                sending.flows.send_replace(true);
                let mut heard = Heard::new(self.clock.now());
                let taken = received
                    .into_iter()
                    .try_for_each(|chunk| self.take(chunk, &sending.numbering, &mut heard));
                let received = match taken {
                    Ok(()) => {
                        self.receive(responses, &sending.numbering, &mut heard, attempts)
                            .await
                    }
                    Err(end) => Received::End(end),
                };
                (sending, received)
            }
            Opened::Connection(channel) => {
                let sending = self.sending(true);
                let requests = self.requests(&sending, None);
                self.uplink.open();
                let mut heard = Heard::new(self.clock.now());
                let mut client = CallCenterClient::new(channel.clone());
                // Some servers send nothing at all, not even headers, before they have sound to send.
                let response =
                    patient(client.live_call(requests), FIRST_ANSWER, &sending.numbering);
                let response = tokio::select! {
                    biased;
                    response = response => response,
                    never = ask_when_silent(channel, || self.far_end_lives(&sending.numbering)) => match never {},
                };
                let received = match response {
                    Some(Ok(response)) => {
                        self.far_end_lives(&sending.numbering);
                        self.receive(
                            response.into_inner(),
                            &sending.numbering,
                            &mut heard,
                            attempts,
                        )
                        .await
                    }
                    Some(Err(status)) => Received::End(self.ended_by(&status, heard)),
                    None if self.status.borrow().server_lives => {
                        Received::End(StreamEnd::Completed)
                    }
                    None => Received::End(StreamEnd::Broken(no_answer_yet(&self.options.server))),
                };
                (sending, received)
            }
        };
        self.stop_sending(sending);
        received
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

    async fn receive(
        &self,
        mut responses: Streaming<AudioChunk>,
        numbering: &Numbering,
        heard: &mut Heard,
        attempts: &mut Attempts<'_, Self>,
    ) -> Received {
        let grace = self.options.chunk + FIRST_STREAM_GRACE;
        loop {
            if numbering.all_is_said() && numbering.nothing_will_come() {
                return Received::End(StreamEnd::Completed);
            }
            let answer = patient(responses.message(), LAST_ANSWER, numbering);
            let is_over = |answer: &Option<Result<Option<AudioChunk>, Status>>| {
                !matches!(answer, Some(Ok(Some(_)))) && !self.uplink.is_closed()
            };
            let stalled = self.stalled(numbering);
            let answer = match race(answer, is_over, stalled, attempts, grace).await {
                Outcome::First(answer) => answer,
                Outcome::Second(second) => return Received::Overtaken(second),
            };
            let end = match answer {
                Some(Ok(Some(chunk))) => match self.take(chunk, numbering, heard) {
                    Ok(()) => {
                        attempts.line_is_well();
                        continue;
                    }
                    Err(end) => end,
                },
                Some(Ok(None)) if self.uplink.is_closed() => StreamEnd::Completed,
                Some(Ok(None)) => StreamEnd::Broken("the server ended the call".to_owned()),
                Some(Err(status)) => self.ended_by(&status, heard.clone()),
                // Whatever is still due will not come.
                None if self.status.borrow().line == Line::Stalled => {
                    StreamEnd::Broken(NOTHING_COMES.to_owned())
                }
                None => StreamEnd::Completed,
            };
            return Received::End(end);
        }
    }
}
