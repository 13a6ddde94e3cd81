//! The service `callcenter.CallCenter`: one response stream a leg.
//!
//! There is no task and no queue a leg: the response stream, when the transport asks it for a
//! chunk, reads one request, processes it and yields the answer. So a peer that stops reading is a
//! peer that is not read, and nothing piles up between the two.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use audio::Effects;
use futures_util::{Stream, stream};
use proto::callcenter::{AudioChunk, call_center_server::CallCenter};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};
use tonic::{Code, Request, Response, Status, Streaming};
use tracing::info;

use crate::{
    MAX_MESSAGE_BYTES,
    lab::stamped,
    leg::{Leg, LegError, LegTotals},
    text::excerpt,
};

/// How the service behaves.
#[derive(Debug, Clone)]
pub struct CallCenterConfig {
    /// What a leg's sound goes through when its `Join` wishes nothing else.
    pub effects: Effects,
    /// Echo opaque bytes with the lab's stamp instead of processing sound.
    pub lab: bool,
    /// A leg that sends nothing for so long is ended.
    pub idle_timeout: Duration,
    /// So many legs at once, no more.
    pub max_legs: usize,
}

/// `LiveCall` for everybody.
pub struct CallCenterService {
    config: Arc<CallCenterConfig>,
    /// Becomes the reason when streams in flight must end.
    shutdown: watch::Receiver<Option<String>>,
    legs: Arc<AtomicUsize>,
    next_leg: AtomicU64,
}

impl CallCenterService {
    /// A service that ends its streams with UNAVAILABLE as soon as `shutdown` holds a reason.
    pub fn new(config: CallCenterConfig, shutdown: watch::Receiver<Option<String>>) -> Self {
        Self {
            config: Arc::new(config),
            shutdown,
            legs: Arc::default(),
            next_leg: AtomicU64::new(1),
        }
    }
}

type AnswerStream = Pin<Box<dyn Stream<Item = Result<AudioChunk, Status>> + Send>>;

#[tonic::async_trait]
impl CallCenter for CallCenterService {
    type LiveCallStream = AnswerStream;

    async fn live_call(
        &self,
        request: Request<Streaming<AudioChunk>>,
    ) -> Result<Response<Self::LiveCallStream>, Status> {
        let place = Place::take(&self.legs, self.config.max_legs)?;
        let peer = request
            .remote_addr()
            .map_or_else(|| "unknown".to_owned(), |addr| addr.to_string());
        let state = LegStream {
            requests: request.into_inner(),
            config: Arc::clone(&self.config),
            shutdown: self.shutdown.clone(),
            log: LegLog {
                leg_id: format!("leg-{}", self.next_leg.fetch_add(1, Ordering::Relaxed)),
                peer,
                opened: Instant::now(),
                call: None,
                outcome: None,
            },
            leg: None,
            _place: place,
        };
        Ok(Response::new(if self.config.lab {
            Box::pin(stream::unfold(Some(state), next_lab_answer))
        } else {
            Box::pin(stream::unfold(Some(state), next_answer))
        }))
    }
}

/// One stream: what it reads from, and what it has understood so far.
struct LegStream {
    requests: Streaming<AudioChunk>,
    config: Arc<CallCenterConfig>,
    shutdown: watch::Receiver<Option<String>>,
    leg: Option<Leg>,
    log: LegLog,
    _place: Place,
}

/// The next item of a stream and what remains of it: nothing after an error.
type Next = Option<(Result<AudioChunk, Status>, Option<LegStream>)>;

async fn next_answer(state: Option<LegStream>) -> Next {
    let mut state = state?;
    let answer = match state.next_request().await {
        Ok(Some(chunk)) => state.answer(&chunk),
        Ok(None) if state.leg.is_none() => Err(Status::invalid_argument(
            "the stream ended before its first chunk; send at least one AudioChunk with codec, sample_rate and channels",
        )),
        Ok(None) => {
            state.log.outcome = Some("ended by the peer".to_owned());
            return None;
        }
        Err(status) => Err(status),
    };
    state.deliver(answer)
}

async fn next_lab_answer(state: Option<LegStream>) -> Next {
    let mut state = state?;
    let answer = match state.next_request().await {
        Ok(Some(chunk)) => {
            state.log.start(&chunk.call_id, "lab");
            let bytes_in = chunk.audio_data.len();
            let answer = stamped(chunk);
            state.log.count(bytes_in, answer.audio_data.len());
            Ok(answer)
        }
        Ok(None) => {
            state.log.outcome = Some("ended by the peer".to_owned());
            return None;
        }
        Err(status) => Err(status),
    };
    state.deliver(answer)
}

impl LegStream {
    /// The next chunk, or `None` at half-close.
    async fn next_request(&mut self) -> Result<Option<AudioChunk>, Status> {
        let idle = self.config.idle_timeout;
        tokio::select! {
            biased;
            reason = ended(&mut self.shutdown) => Err(Status::unavailable(reason)),
            chunk = timeout(idle, self.requests.message()) => match chunk {
                Ok(chunk) => chunk.map_err(readable),
                Err(_) => Err(Status::deadline_exceeded(format!(
                    "no chunk for {}; a party with nothing to say sends a chunk without audio now and then",
                    humantime::format_duration(idle)
                ))),
            },
        }
    }

    fn answer(&mut self, chunk: &AudioChunk) -> Result<AudioChunk, Status> {
        let arrived = self.log.opened.elapsed();
        // A panic here would be a fault of ours in one leg, and must stay in it.
        catch_unwind(AssertUnwindSafe(|| self.answer_or_error(chunk, arrived)))
            .unwrap_or_else(|_| Err(LegError::Internal("a fault ended this leg".to_owned())))
            .map_err(|error| match error {
                LegError::Internal(_) => Status::internal(error.to_string()),
                _ => Status::invalid_argument(error.to_string()),
            })
    }

    fn answer_or_error(
        &mut self,
        chunk: &AudioChunk,
        arrived: Duration,
    ) -> Result<AudioChunk, LegError> {
        let leg = match &mut self.leg {
            Some(leg) => leg,
            None => {
                let leg = Leg::open(chunk, self.log.leg_id.clone(), &self.config.effects)?;
                self.log.start(leg.call_id(), &leg.format().to_string());
                self.leg.insert(leg)
            }
        };
        let opened = self.log.opened;
        let answer = leg.answer(chunk, arrived, || opened.elapsed());
        self.log.totals(leg.totals());
        answer
    }

    fn deliver(mut self, answer: Result<AudioChunk, Status>) -> Next {
        match answer {
            Ok(chunk) => Some((Ok(chunk), Some(self))),
            Err(status) => {
                self.log.outcome = Some(format!("{:?}: {}", status.code(), status.message()));
                Some((Err(status), None))
            }
        }
    }
}

/// Waits until the streams in flight must end, and says why.
async fn ended(shutdown: &mut watch::Receiver<Option<String>>) -> String {
    let reason = shutdown
        .wait_for(Option::is_some)
        .await
        .map(|reason| reason.clone());
    match reason {
        Ok(reason) => reason.unwrap_or_default(),
        // Whoever could end the service is gone: it never ends.
        Err(_) => std::future::pending().await,
    }
}

/// What tonic reports for a message it could not take, in the contract's words.
fn readable(status: Status) -> Status {
    match status.code() {
        Code::OutOfRange => Status::invalid_argument(format!(
            "a message is larger than the {MAX_MESSAGE_BYTES} bytes that are accepted; send shorter chunks (20 ms are usual)"
        )),
        Code::Internal if status.message().contains("decode") => Status::invalid_argument(
            "a message could not be read as an AudioChunk; check that the peer was built from callcenter.proto",
        ),
        _ => status,
    }
}

/// One leg's place among those that the server carries at once.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(legs: &Arc<AtomicUsize>, most: usize) -> Result<Self, Status> {
        let place = Self(Arc::clone(legs));
        if legs.fetch_add(1, Ordering::Relaxed) >= most {
            return Err(Status::resource_exhausted(format!(
                "the server carries at most {most} legs at once (--max-legs); try again later"
            )));
        }
        Ok(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The two log lines of a leg: one when its first chunk is accepted, one when it ends, however it
/// ends (the transport drops the stream of a peer that went away).
struct LegLog {
    leg_id: String,
    peer: String,
    opened: Instant,
    call: Option<(String, String, LegTotals)>,
    outcome: Option<String>,
}

impl LegLog {
    fn start(&mut self, call_id: &str, format: &str) {
        if self.call.is_some() {
            return;
        }
        let call_id = excerpt(call_id);
        info!(leg = self.leg_id, call = %call_id, format, peer = self.peer, "call started");
        self.call = Some((call_id, format.to_owned(), LegTotals::default()));
    }

    fn totals(&mut self, totals: LegTotals) {
        if let Some((_, _, carried)) = &mut self.call {
            *carried = totals;
        }
    }

    fn count(&mut self, bytes_in: usize, bytes_out: usize) {
        if let Some((_, _, carried)) = &mut self.call {
            carried.chunks += 1;
            carried.bytes_in += bytes_in as u64;
            carried.bytes_out += bytes_out as u64;
        }
    }
}

impl Drop for LegLog {
    fn drop(&mut self) {
        let duration = humantime::format_duration(Duration::from_millis(
            self.opened.elapsed().as_millis() as u64,
        ));
        let outcome = self.outcome.as_deref().unwrap_or("the peer went away");
        let (call, format, totals) = match self.call.take() {
            Some(call) => call,
            None => ("none".to_owned(), "none".to_owned(), LegTotals::default()),
        };
        info!(
            leg = self.leg_id,
            call = %call,
            format,
            peer = self.peer,
            %duration,
            chunks = totals.chunks,
            dropped = totals.dropped,
            bytes_in = totals.bytes_in,
            bytes_out = totals.bytes_out,
            outcome = %outcome.escape_debug(),
            "call ended"
        );
    }
}
