//! The service `callcenter.CallCenter`: a leg for each stream of `LiveCall`.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use proto::callcenter::{AudioChunk, call_center_server::CallCenter};
use tokio::sync::watch;
use tonic::{Request, Response, Status, Streaming};

use super::{
    config::CallCenterConfig,
    leg::{Answers, LegLog, begin},
};
use crate::transport::{Contained, Permits, Turn};

/// `LiveCall` for everybody.
pub struct CallCenterService {
    config: Arc<CallCenterConfig>,
    /// Becomes the reason when streams in flight must end.
    shutdown: watch::Receiver<Option<String>>,
    permits: Arc<Permits>,
    next_leg: AtomicU64,
}

impl CallCenterService {
    /// A service that ends its streams with UNAVAILABLE as soon as `shutdown` holds a reason.
    pub fn new(config: CallCenterConfig, shutdown: watch::Receiver<Option<String>>) -> Self {
        Self {
            permits: Permits::new("legs", " (--max-legs)", config.max_legs),
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
        let leg_id = format!("leg-{}", self.next_leg.fetch_add(1, Ordering::Relaxed));
        Ok(Response::new(begin(
            request.into_inner(),
            Arc::clone(&self.config),
            self.shutdown.clone(),
            LegLog::new(leg_id, peer),
            permit,
            turn.unwrap_or_default(),
        )))
    }
}
