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
