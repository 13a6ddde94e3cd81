//! The service `callcenter.CallCenter`: a leg for each stream of `LiveCall`.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use proto::callcenter::{AudioChunk, call_center_server::CallCenter};
use tokio::{sync::watch, time::Instant};
use tonic::{Request, Response, Status, Streaming};

use super::{
    bridge::Directory,
    config::CallCenterConfig,
    leg::{Answers, LegContext, LegLog, begin},
};
use crate::transport::{Contained, Permits, Turn};

/// `LiveCall` for everybody.
pub struct CallCenterService {
    config: Arc<CallCenterConfig>,
    /// Becomes the reason when streams in flight must end.
    shutdown: watch::Receiver<Option<String>>,
    permits: Arc<Permits>,
    directory: Arc<Directory>,
    epoch: Instant,
    next_leg: AtomicU64,
}

impl CallCenterService {
    /// A service that ends its streams with UNAVAILABLE as soon as `shutdown` holds a reason.
    pub fn new(config: CallCenterConfig, shutdown: watch::Receiver<Option<String>>) -> Self {
        Self {
            permits: Permits::new("legs", " (--max-legs)", config.max_legs),
            directory: Directory::new(config.max_calls, config.max_legs_per_call),
            epoch: Instant::now(),
            config: Arc::new(config),
            shutdown,
            next_leg: AtomicU64::new(1),
        }
    }
}

#[tonic::async_trait]
impl CallCenter for CallCenterService {
    type LiveCallStream = Contained<Answers>;

    async fn live_call(
        &self,
        request: Request<Streaming<AudioChunk>>,
    ) -> Result<Response<Self::LiveCallStream>, Status> {
        let peer = request.remote_addr();
        let permit = self.permits.take(peer.map(|addr| addr.ip()))?;
        let peer = peer.map_or_else(|| "unknown".to_owned(), |addr| addr.to_string());
        let turn = request.extensions().get::<Turn>().cloned();
        let key = self.next_leg.fetch_add(1, Ordering::Relaxed);
        let context = LegContext {
            key,
            config: Arc::clone(&self.config),
            directory: Arc::clone(&self.directory),
            epoch: self.epoch,
            shutdown: self.shutdown.clone(),
        };
        Ok(Response::new(begin(
            request.into_inner(),
            context,
            LegLog::new(format!("leg-{key}"), peer),
            permit,
            turn.unwrap_or_default(),
        )))
    }
}
