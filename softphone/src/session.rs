//! The call as a stream: connect, send what the engine made, hand it what came back, and when the
//! line breaks, begin again until it is back. A line that has merely stalled is raced by a second
//! one: whichever is heard first goes on, the old one where both are.
//!
//! Runs on tokio. Everything audible happens in the engine; here chunks are numbered, acknowledged
//! and aged.

mod connection;
mod context;
mod race;
mod requests;
mod responses;
mod state;
mod stream_end;

use std::{
    sync::{Arc, atomic::AtomicBool, mpsc::SyncSender},
    time::Duration,
};

use proto::callcenter::{AudioChunk, call_center_client::CallCenterClient};
use tokio::{sync::watch, time::timeout};
use tonic::{Status, Streaming};

use crate::{
    clock::Clock,
    numbering::Numbering,
    playout_path::Downlink,
    reachability,
    uplink::{Outgoing, Uplink},
};
use connection::{ask_whether_it_lives, connect};
use context::Context;
use race::{Contender, Outcome, Race};
use requests::Sending;
use responses::patient;
pub use state::{Line, SessionEnd, SessionOptions, SessionStatus};
use stream_end::{Heard, StreamEnd};

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

/// Once we have said all: how long we wait for each answer that is still due.
const LAST_ANSWER: Duration = Duration::from_secs(2);

/// Likewise for the beginning of the answer: so long that a server that is not there is told from
/// one that has nothing to say.
const FIRST_ANSWER: Duration = Duration::from_millis(4_500);

/// Pauses between two attempts to get the call back.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Why a call is lost that stood still when we hung up.
pub const NOTHING_COMES: &str = "nothing comes from the server any more";

/// How listening to a stream ended.
enum Received {
    End(StreamEnd),
    /// A second one was heard first.
    Overtaken(Box<Winner>),
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
        };
        let session = Self { context };
        (session, receiver)
    }

    /// Runs until the uplink is closed and all is said and heard, or until there is no point.
    pub async fn run(self) -> SessionEnd {
        let end = self.run_streams().await;
        self.context.deliver(Downlink::Ended);
        self.context
            .status
            .send_modify(|status| status.line = Line::Ended);
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
            if matches!(
                self.context.status.borrow().line,
                Line::Connected | Line::Stalled
            ) {
                ever_connected = true;
                pause = FIRST_PAUSE;
            }
            if !ever_connected {
                let doctor = reachability::doctor(&self.context.options.server);
                return SessionEnd::NeverConnected(format!("{why}; \"{doctor}\" looks into it"));
            }
            if self.context.uplink.is_closed() {
                return SessionEnd::Lost(why);
            }
            self.context
                .status
                .send_modify(|status| status.line = Line::Lost { why: why.clone() });
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.context.uplink.closed() => return SessionEnd::Lost(why),
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
            channel = connect(&self.context.options.server, patience) => channel.map_err(|cause| match again {
                true => cause.message(&self.context.options.server),
                false => cause.sentence(&self.context.options.server),
            }),
            () = self.context.uplink.closed() => Err(format!("{} did not answer yet", self.context.options.server)),
        };
        let channel = match channel {
            Ok(channel) => channel,
            Err(why) => return StreamEnd::Broken(why),
        };
        let sending = self.context.sending(true);
        let requests = self.context.requests(&sending, None);
        self.context.uplink.open();
        let mut heard = Heard::new(self.context.clock.now());
        let mut client = CallCenterClient::new(channel.clone());
        // Some servers send nothing at all, not even headers, before they have sound to send.
        let response = patient(client.live_call(requests), FIRST_ANSWER, &sending.numbering);
        let response = tokio::select! {
            biased;
            response = response => response,
            never = ask_whether_it_lives(channel, || self.context.far_end_lives(&sending.numbering)) => match never {},
        };
        let received = match response {
            Some(Ok(response)) => {
                self.context.far_end_lives(&sending.numbering);
                self.receive(response.into_inner(), &sending.numbering, &mut heard)
                    .await
            }
            Some(Err(status)) => Received::End(self.context.ended_by(&status, heard)),
            None => Received::End(StreamEnd::Completed),
        };
        self.context.stop_sending(sending);
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
            self.context.uplink.open();
            sending.flows.send_replace(true);
            let mut heard = Heard::new(self.context.clock.now());
            let taken = received
                .into_iter()
                .try_for_each(|chunk| self.context.take(chunk, &sending.numbering, &mut heard));
            let received = match taken {
                Ok(()) => {
                    self.receive(responses, &sending.numbering, &mut heard)
                        .await
                }
                Err(end) => Received::End(end),
            };
            self.context.stop_sending(sending);
            match received {
                Received::End(end) => return end,
                Received::Overtaken(next) => winner = *next,
            }
        }
    }

    /// Returns once a second stream is worth a try.
    async fn stalled(&self, numbering: &Numbering) {
        numbering.stalled().await;
        if self.context.uplink.is_closed() {
            // There is nothing left to say on another.
            return std::future::pending().await;
        }
        self.context
            .status
            .send_modify(|status| status.line = Line::Stalled);
    }

    /// Opens a second stream without sound, and returns it once the far end has answered.
    async fn second_stream(&self) -> Option<Winner> {
        let patience = self.connect_again_timeout();
        let channel = timeout(patience, connect(&self.context.options.server, patience))
            .await
            .ok()?
            .ok()?;
        let sending = self.context.sending(false);
        let set_up =
            Outgoing::without_sound(self.context.uplink.media_time(), self.context.clock.now());
        let requests = self.context.requests(&sending, Some(set_up));
        let answered = async {
            let mut client = CallCenterClient::new(channel);
            let mut responses = client.live_call(requests).await?.into_inner();
            let first = responses.message().await?;
            Ok::<_, Status>((responses, first))
        };
        let patience = RACE_ANSWER_TIMEOUT.max(self.context.round_trip() * 8);
        let (responses, first) = timeout(patience, answered).await.ok()?.ok()?;
        Some(Winner {
            sending,
            responses,
            received: vec![first?],
        })
    }

    fn connect_again_timeout(&self) -> Duration {
        CONNECT_AGAIN_TIMEOUT.max(self.context.round_trip() * 4)
    }

    async fn receive(
        &self,
        mut responses: Streaming<AudioChunk>,
        numbering: &Numbering,
        heard: &mut Heard,
    ) -> Received {
        let race = Race {
            every: RACE_EVERY,
            grace: self.context.options.chunk + FIRST_STREAM_GRACE,
        };
        loop {
            if numbering.all_is_said() && numbering.nothing_will_come() {
                return Received::End(StreamEnd::Completed);
            }
            let answer = patient(responses.message(), LAST_ANSWER, numbering);
            let is_over = |answer: &Option<Result<Option<AudioChunk>, Status>>| {
                !matches!(answer, Some(Ok(Some(_)))) && !self.context.uplink.is_closed()
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
                Some(Ok(Some(chunk))) => match self.context.take(chunk, numbering, heard) {
                    Ok(()) => continue,
                    Err(end) => end,
                },
                Some(Ok(None)) if self.context.uplink.is_closed() => StreamEnd::Completed,
                Some(Ok(None)) => StreamEnd::Broken("the server ended the call".to_owned()),
                Some(Err(status)) => self.context.ended_by(&status, *heard),
                // Whatever is still due will not come.
                None if self.context.status.borrow().line == Line::Stalled => {
                    StreamEnd::Broken(NOTHING_COMES.to_owned())
                }
                None => StreamEnd::Completed,
            };
            return Received::End(end);
        }
    }
}
