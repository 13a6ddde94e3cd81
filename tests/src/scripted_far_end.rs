//! A server whose answer to each chunk is what a test says: for far ends that are at fault. Or one that
//! goes on when it should not, or reads nothing.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use proto::callcenter::{
    AudioChunk,
    call_center_server::{CallCenter, CallCenterServer},
};
use tokio::time::MissedTickBehavior;
use tokio_stream::{Stream, StreamExt, wrappers::IntervalStream};
use tonic::{Request, Response, Status, Streaming, transport::Server};

use crate::in_process::InProcess;

/// What goes on by itself does so at this pace.
const PACE: Duration = Duration::from_millis(20);

/// The server, in this process. Gone when dropped.
pub struct ScriptedFarEnd {
    server: InProcess,
}

impl ScriptedFarEnd {
    /// Starts it on a free port; `answer` makes its answer of each chunk.
    pub fn start(answer: impl Fn(AudioChunk) -> AudioChunk + Send + Sync + 'static) -> Self {
        Self::refusing(move |chunk| Ok(answer(chunk)))
    }

    /// The same, whose answer may be the status that ends the stream.
    pub fn refusing(
        answer: impl Fn(AudioChunk) -> Result<AudioChunk, Status> + Send + Sync + 'static,
    ) -> Self {
        let answer = Arc::new(answer);
        Self::serve(move |requests| {
            let answer = Arc::clone(&answer);
            Box::pin(requests.map(move |chunk| chunk.and_then(|chunk| answer(chunk))))
        })
    }

    /// The same, but where others end their stream it says the same chunk again and again.
    pub fn without_end(
        answer: impl Fn(AudioChunk) -> AudioChunk + Send + Sync + 'static,
        and_then: AudioChunk,
    ) -> Self {
        let answer = Arc::new(answer);
        Self::serve(move |requests| {
            let answer = Arc::clone(&answer);
            let answers = requests.map(move |chunk| chunk.map(|chunk| answer(chunk)));
            Box::pin(answers.chain(again_and_again(and_then.clone())))
        })
    }

    /// One that says the same chunk again and again, and reads nothing.
    pub fn deaf(says: AudioChunk) -> Self {
        Self::serve(move |requests| {
            let says = again_and_again(says.clone());
            // Held, so that it is not refused either.
            Box::pin(says.map(move |said| {
                let _unread = &requests;
                said
            }))
        })
    }

    /// One that takes every call, calls `taken` for that, and says nothing.
    pub fn mute(taken: impl Fn() + Send + Sync + 'static) -> Self {
        Self::serve(move |requests| {
            taken();
            Box::pin(requests.filter(Result::is_err))
        })
    }

    /// One that says a chunk of 20 ms after the other, numbered from 0, whoever listens. It reads what
    /// comes, and `says` is told the newest sequence of it.
    pub fn speaking(says: impl Fn(u64, u64) -> AudioChunk + Send + Sync + 'static) -> Self {
        let says = Arc::new(says);
        Self::serve(move |mut requests| {
            let newest = Arc::new(AtomicU64::new(0));
            let heard = Arc::clone(&newest);
            let says = Arc::clone(&says);
            let mut number = 0;
            let said = IntervalStream::new(tokio::time::interval(PACE)).map(move |_| {
                number += 1;
                Ok(says(number - 1, newest.load(Ordering::Relaxed)))
            });
            tokio::spawn(async move {
                while let Ok(Some(chunk)) = requests.message().await {
                    heard.store(chunk.sequence, Ordering::Relaxed);
                }
            });
            Box::pin(said)
        })
    }

    fn serve(call: impl Fn(Streaming<AudioChunk>) -> Answers + Send + Sync + 'static) -> Self {
        let service = Service {
            call: Arc::new(call),
        };
        let router = Server::builder().add_service(CallCenterServer::new(service));
        Self {
            server: InProcess::start(router),
        }
    }

    /// Returns each message exactly as it came, every field of it: the naive peer that a client must
    /// not take for one of ours.
    pub fn mirror() -> Self {
        Self::start(|chunk| chunk)
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }
}

type Answers = Pin<Box<dyn Stream<Item = Result<AudioChunk, Status>> + Send>>;

struct Service {
    call: Arc<dyn Fn(Streaming<AudioChunk>) -> Answers + Send + Sync>,
}

#[tonic::async_trait]
impl CallCenter for Service {
    type LiveCallStream = Answers;

    async fn live_call(
        &self,
        request: Request<Streaming<AudioChunk>>,
    ) -> Result<Response<Answers>, Status> {
        Ok(Response::new((self.call)(request.into_inner())))
    }
}

fn again_and_again(chunk: AudioChunk) -> impl Stream<Item = Result<AudioChunk, Status>> {
    let mut pace = tokio::time::interval(PACE);
    // Never in bursts.
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    IntervalStream::new(pace).map(move |_| Ok(chunk.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::callcenter::{Accepted, Join, call_center_client::CallCenterClient};

    #[tokio::test]
    async fn every_field_comes_back_and_half_close_ends_the_stream() {
        let mirror = ScriptedFarEnd::mirror();
        let mut client = CallCenterClient::connect(format!("http://{}", mirror.addr()))
            .await
            .expect("connects");
        let sent = AudioChunk {
            audio_data: (&[1, 2, 3][..]).into(),
            sequence: 4,
            media_time: 5,
            level: 6,
            join: Some(Join {
                effects: "none".to_owned(),
                ..Join::default()
            }),
            accepted: Some(Accepted {
                leg_id: "leg".to_owned(),
                processing_delay_us: 7,
                resume_token: String::new(),
                echo: Some(true),
            }),
            ..AudioChunk::default()
        };
        let answer = client
            .live_call(tokio_stream::once(sent.clone()))
            .await
            .expect("accepted");
        let mut answers = answer.into_inner();
        assert_eq!(answers.message().await.expect("no error"), Some(sent));
        assert_eq!(answers.message().await.expect("no error"), None);
    }
}
