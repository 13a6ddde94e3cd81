//! What we send on one stream of the call.

use std::sync::Arc;

use proto::callcenter::{AudioChunk, Join};
use tokio::sync::watch;

use super::context::Context;
use super::numbering::Numbering;
use crate::engine::uplink::Outgoing;

/// One stream of the call, as far as we send on it. When it is dropped, sending ends: a request
/// stream that outlived it would take chunks from the next one.
pub(super) struct Sending {
    pub(super) numbering: Arc<Numbering>,
    /// Whether what the engine makes is sent; until then only what sets the stream up.
    pub(super) flows: watch::Sender<bool>,
}

impl Context {
    pub(super) fn sending(&self, flows: bool) -> Sending {
        Sending {
            numbering: self.numbering(),
            flows: watch::Sender::new(flows),
        }
    }

    pub(super) fn stop_sending(&self, sending: Sending) {
        drop(sending);
        self.uplink.interrupt();
    }

    /// What we send on one stream, numbered and counted as the transport takes it: a session may be
    /// aborted at any time. `set_up` goes before all else.
    pub(super) fn requests(
        &self,
        sending: &Sending,
        set_up: Option<Outgoing>,
    ) -> impl futures_util::Stream<Item = AudioChunk> + Send + 'static {
        let numbering = Arc::clone(&sending.numbering);
        let mut flows = sending.flows.subscribe();
        let status = self.status.clone();
        let count = move |chunks| status.send_modify(|status| status.chunks_sent += chunks);
        let uplink = Arc::clone(&self.uplink);
        let tells = Arc::clone(&self.uplink);
        let mut first = Some(AudioChunk {
            call_id: self.options.call_id.clone(),
            sample_rate: self.options.format.sample_rate_hz() as i32,
            channels: self.options.format.channels() as i32,
            codec: self.options.format.codec().name().to_owned(),
            join: Some(Join {
                effects: self.options.effects.clone(),
                display_name: self.options.display_name.clone(),
                alone: self.options.alone.into(),
                resume_token: self.resume_token(),
            }),
            ..AudioChunk::default()
        });
        let format = first.clone().unwrap_or_default();
        let mut chunk_of = move |numbering: &Numbering, outgoing, is_flowing: bool| {
            let mut chunk = first.take().unwrap_or_else(|| AudioChunk {
                call_id: format.call_id.clone(),
                sample_rate: format.sample_rate,
                channels: format.channels,
                codec: format.codec.clone(),
                ..AudioChunk::default()
            });
            numbering.stamp(&mut chunk, outgoing);
            if is_flowing {
                chunk.events = tells.take_events();
            }
            chunk
        };
        async_stream::stream! {
            let set_ups = u64::from(set_up.is_some());
            if let Some(set_up) = set_up {
                yield chunk_of(&numbering, set_up, false);
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
                yield chunk_of(&numbering, outgoing, true);
            }
            numbering.say_all_is_said();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Mutex, atomic::AtomicBool, mpsc},
        time::Duration,
    };

    use audio::Format;
    use futures_util::StreamExt;
    use proto::callcenter::Alone;

    use super::*;
    use crate::{
        clock::Clock,
        engine::uplink::Uplink,
        session::state::{SessionOptions, SessionStatus},
    };

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
            display_name: String::new(),
            alone: Alone::Echo,
        };
        let (downlink, _) = mpsc::sync_channel(1);
        let (status_tx, status) = watch::channel(SessionStatus::default());
        let context = Context {
            options,
            clock,
            uplink: Arc::clone(&uplink),
            downlink,
            status: status_tx,
            acknowledges: AtomicBool::new(false),
            resume_token: Mutex::default(),
        };
        uplink.open();
        let chunk = || Outgoing::without_sound(0, clock.now());
        for (set_up, expected) in [(None, 1), (Some(chunk()), 3)] {
            let sending = context.sending(set_up.is_none());
            let mut requests = Box::pin(context.requests(&sending, set_up.clone()));
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
