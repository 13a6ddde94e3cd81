//! A server whose answer to each chunk is what a test says: for far ends that are at fault.

use std::{net::SocketAddr, pin::Pin, sync::Arc};

use proto::callcenter::{
    AudioChunk,
    call_center_server::{CallCenter, CallCenterServer},
};
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming, transport::Server};

use crate::in_process::InProcess;

/// The server, in this process. Gone when dropped.
pub struct ScriptedFarEnd {
    server: InProcess,
}

impl ScriptedFarEnd {
    /// Starts it on a free port; `answer` makes its answer of each chunk.
    pub fn start(answer: impl Fn(AudioChunk) -> AudioChunk + Send + Sync + 'static) -> Self {
        let service = Service {
            answer: Arc::new(answer),
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

struct Service {
    answer: Arc<dyn Fn(AudioChunk) -> AudioChunk + Send + Sync>,
}

#[tonic::async_trait]
impl CallCenter for Service {
    type LiveCallStream = Pin<Box<dyn Stream<Item = Result<AudioChunk, Status>> + Send>>;

    async fn live_call(
        &self,
        request: Request<Streaming<AudioChunk>>,
    ) -> Result<Response<Self::LiveCallStream>, Status> {
        let answer = Arc::clone(&self.answer);
        let answers = request
            .into_inner()
            .map(move |chunk| chunk.map(|chunk| answer(chunk)));
        Ok(Response::new(Box::pin(answers)))
    }
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
            }),
            accepted: Some(Accepted {
                leg_id: "leg".to_owned(),
                processing_delay_us: 7,
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
