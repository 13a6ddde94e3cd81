//! How a line that is gone is dialled again: a connection whose server answers, and a leg on it.

use std::time::Duration;

use proto::callcenter::{AudioChunk, call_center_client::CallCenterClient};
use tokio::time::timeout;
use tonic::{Status, Streaming, transport::Channel};

use super::reachability::Unreachable;
use super::{
    attempts::{Dial, NoConnection, NoLeg},
    connection::{ask, connect},
    context::Context,
    race::Contender,
    requests::Sending,
    state::Line,
    stream_end::{Heard, StreamEnd},
};
use crate::engine::uplink::Outgoing;

/// What an attempt may take until its server answers; or eight round trips, if that is longer. Others
/// begin meanwhile, so this is for servers that are slow.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(4);

/// What it may take then until its leg is heard; likewise.
const LEG_TIMEOUT: Duration = Duration::from_secs(8);

/// A way on.
pub(super) enum Opened {
    /// A connection, for a far end that may say nothing before it hears sound.
    Connection(Channel),
    /// A leg that was heard.
    Leg(Box<HeardLeg>),
}

/// A leg without sound as yet, to which the far end has answered.
pub(super) struct HeardLeg {
    pub(super) sending: Sending,
    pub(super) responses: Streaming<AudioChunk>,
    /// What has come on it.
    pub(super) received: Vec<AudioChunk>,
}

impl Contender for Opened {
    async fn broken(&mut self) {
        match self {
            // Nothing is known of it.
            Self::Connection(_) => std::future::pending().await,
            Self::Leg(leg) => {
                while let Ok(Some(chunk)) = leg.responses.message().await {
                    leg.received.push(chunk);
                }
            }
        }
    }
}

impl Dial for Context {
    type Connection = Channel;
    type Leg = Opened;
    type End = StreamEnd;

    async fn connect(&self) -> Result<Channel, NoConnection> {
        let server = &self.options.server;
        let patience = ANSWER_TIMEOUT.max(self.round_trip() * 8);
        let answered = async {
            let channel = connect(server, patience).await?;
            match ask(channel.clone()).await {
                true => Ok(channel),
                false => Err(Unreachable::Other("the connection broke".to_owned())),
            }
        };
        let answered = timeout(patience, answered).await;
        let answered = answered.unwrap_or(Err(Unreachable::NoAnswer(patience)));
        answered.map_err(|cause| NoConnection {
            refused: cause == Unreachable::Refused,
            why: cause.message(server),
        })
    }

    async fn open(&self, channel: Channel) -> Result<Opened, NoLeg<StreamEnd>> {
        if !self.acknowledges() {
            return Ok(Opened::Connection(channel));
        }
        let began = Heard::new(self.clock.now());
        let sending = self.sending(false);
        let set_up = Outgoing::without_sound(self.uplink.media_time(), self.clock.now());
        let requests = self.requests(&sending, Some(set_up));
        let answered = async {
            let mut client = CallCenterClient::new(channel);
            let mut responses = client.live_call(requests).await?.into_inner();
            let first = responses.message().await?;
            Ok::<_, Status>((responses, first))
        };
        let patience = LEG_TIMEOUT.max(self.round_trip() * 8);
        let server = &self.options.server;
        match timeout(patience, answered).await {
            Ok(Ok((responses, Some(first)))) => Ok(Opened::Leg(Box::new(HeardLeg {
                sending,
                responses,
                received: vec![first],
            }))),
            Ok(Ok((_, None))) => Err(NoLeg::Failed("the server ended the call".to_owned())),
            Ok(Err(status)) => Err(match self.ended_by(&status, began) {
                StreamEnd::Broken(why) => NoLeg::Failed(why),
                end => NoLeg::Final(end),
            }),
            Err(_) => Err(NoLeg::Failed(
                Unreachable::NoAnswer(patience).message(server),
            )),
        }
    }

    fn failed(&self, why: String) {
        self.status
            .send_if_modified(|status| match &mut status.line {
                Line::Lost { attempt, .. } if attempt.as_ref() != Some(&why) => {
                    *attempt = Some(why);
                    true
                }
                _ => false,
            });
    }
}
