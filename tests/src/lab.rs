//! A server that behaves as the lab's does: opaque audio with a stamp appended, answers that carry
//! fields 1-5 and nothing else, streams that never end after a half-close, and a ticker that sends
//! five updates per symbol, symbol after symbol.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use proto::{
    callcenter::{
        AudioChunk,
        call_center_server::{CallCenter, CallCenterServer},
    },
    fin::{
        StockUpdate, TickerRequest,
        stock_ticker_server::{StockTicker, StockTickerServer},
    },
};
use tokio::{sync::mpsc, time::sleep};
use tokio_stream::{Stream, StreamExt, wrappers::ReceiverStream};
use tonic::{Request, Response, Status, Streaming, transport::Server};

use crate::in_process::InProcess;

/// How many updates follow one request for a symbol.
pub const UPDATES_PER_SYMBOL: usize = 5;

/// The lab's server, in this process. Gone when dropped.
pub struct Lab {
    server: InProcess,
    chunks: Arc<AtomicU64>,
}

impl Lab {
    /// Starts it on a free port, with the lab's two seconds between updates.
    pub fn start() -> Self {
        Self::with_interval(Duration::from_secs(2))
    }

    /// Starts it with another time between updates.
    pub fn with_interval(interval: Duration) -> Self {
        let chunks = Arc::new(AtomicU64::new(0));
        let service = Service {
            interval,
            chunks: Arc::clone(&chunks),
        };
        let router = Server::builder()
            .add_service(CallCenterServer::new(service.clone()))
            .add_service(StockTickerServer::new(service));
        Self {
            server: InProcess::start(router),
            chunks,
        }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// How many chunks it has received, of all streams.
    pub fn chunks(&self) -> u64 {
        self.chunks.load(Ordering::Relaxed)
    }
}

/// The stamp as the lab's server writes it: the time in unix seconds, as Python prints a float.
fn stamp(now: SystemTime) -> String {
    let seconds = now
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64();
    format!("|processed_{seconds:?}|")
}

#[derive(Clone)]
struct Service {
    interval: Duration,
    chunks: Arc<AtomicU64>,
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl CallCenter for Service {
    type LiveCallStream = Answers<AudioChunk>;

    async fn live_call(
        &self,
        request: Request<Streaming<AudioChunk>>,
    ) -> Result<Response<Self::LiveCallStream>, Status> {
        let chunks = Arc::clone(&self.chunks);
        let answers = request.into_inner().map(move |chunk| {
            let chunk = chunk?;
            chunks.fetch_add(1, Ordering::Relaxed);
            let stamp = stamp(SystemTime::now());
            Ok(AudioChunk {
                audio_data: [&chunk.audio_data[..], stamp.as_bytes()].concat().into(),
                call_id: chunk.call_id,
                sample_rate: chunk.sample_rate,
                channels: chunk.channels,
                codec: chunk.codec,
                ..AudioChunk::default()
            })
        });
        Ok(Response::new(Box::pin(
            answers.chain(tokio_stream::pending()),
        )))
    }
}

#[tonic::async_trait]
impl StockTicker for Service {
    type SubscribeToStockUpdatesStream = Answers<StockUpdate>;

    async fn subscribe_to_stock_updates(
        &self,
        request: Request<Streaming<TickerRequest>>,
    ) -> Result<Response<Self::SubscribeToStockUpdatesStream>, Status> {
        let (updates_tx, updates_rx) = mpsc::channel(1);
        tokio::spawn(quote(request.into_inner(), updates_tx, self.interval));
        let updates = ReceiverStream::new(updates_rx).map(Ok);
        Ok(Response::new(Box::pin(
            updates.chain(tokio_stream::pending()),
        )))
    }
}

/// The next request is not read before the last one's updates are out.
async fn quote(
    mut requests: Streaming<TickerRequest>,
    updates_tx: mpsc::Sender<StockUpdate>,
    interval: Duration,
) {
    while let Ok(Some(request)) = requests.message().await {
        for count in 0..UPDATES_PER_SYMBOL {
            let now = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            let change = 0.25 * count as f64;
            let update = StockUpdate {
                ticker_symbol: request.ticker_symbol.clone(),
                current_price: 100.0 + change,
                price_change: change,
                change_percent: change,
                timestamp: now.as_secs() as i64,
                volume: 1000,
                ..StockUpdate::default()
            };
            if updates_tx.send(update).await.is_err() {
                return;
            }
            sleep(interval).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::{
        callcenter::call_center_client::CallCenterClient,
        fin::stock_ticker_client::StockTickerClient,
    };
    use tokio::time::timeout;

    /// Turns a stream that stops short into a failure.
    const LIMIT: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn a_chunk_comes_back_stamped_without_new_fields_and_the_stream_never_ends() {
        let lab = Lab::start();
        let mut client = CallCenterClient::connect(format!("http://{}", lab.addr()))
            .await
            .expect("connects");
        let sent = AudioChunk {
            audio_data: (&b"RAW_PCM_CHUNK"[..]).into(),
            call_id: "call".to_owned(),
            sample_rate: 16_000,
            channels: 1,
            codec: "PCM".to_owned(),
            sequence: 1,
            level: 9,
            ..AudioChunk::default()
        };
        let answer = client
            .live_call(tokio_stream::once(sent.clone()))
            .await
            .expect("accepted");
        let mut answers = answer.into_inner();
        let got = answers
            .message()
            .await
            .expect("no error")
            .expect("an answer");
        let (audio, stamp) = got.audio_data.split_at(sent.audio_data.len());
        assert_eq!(audio, &sent.audio_data[..]);
        let stamp = std::str::from_utf8(stamp).expect("text");
        let seconds = stamp
            .strip_prefix("|processed_")
            .and_then(|rest| rest.strip_suffix('|'));
        let seconds: f64 = seconds
            .expect("the stamp's shape")
            .parse()
            .expect("a number");
        assert!(seconds > 1.6e9, "{seconds} is no unix time of today");
        let AudioChunk {
            sequence,
            level,
            call_id,
            codec,
            ..
        } = got;
        assert_eq!((sequence, level, &*call_id, &*codec), (0, 0, "call", "PCM"));
        assert_eq!(lab.chunks(), 1);
        let more = timeout(Duration::from_millis(100), answers.message()).await;
        assert!(more.is_err(), "the stream went on or ended: {more:?}");
    }

    #[tokio::test]
    async fn five_updates_per_symbol_symbol_after_symbol() {
        let lab = Lab::with_interval(Duration::ZERO);
        let mut client = StockTickerClient::connect(format!("http://{}", lab.addr()))
            .await
            .expect("connects");
        let requests = ["AAPL", "GOOGL"].map(|symbol| TickerRequest {
            ticker_symbol: symbol.into(),
            ..TickerRequest::default()
        });
        let answer = client
            .subscribe_to_stock_updates(tokio_stream::iter(requests))
            .await;
        let updates = answer.expect("accepted").into_inner();
        let symbols = updates
            .take(2 * UPDATES_PER_SYMBOL)
            .map(|update| update.expect("no error").ticker_symbol)
            .collect::<Vec<_>>();
        let symbols = timeout(LIMIT, symbols).await.expect("ten updates");
        assert_eq!(symbols, [["AAPL"; 5], ["GOOGL"; 5]].concat());
    }

    #[test]
    fn whole_seconds_keep_their_point() {
        let stamp = stamp(UNIX_EPOCH + Duration::from_secs(1_700_000_000));
        assert_eq!(stamp, "|processed_1700000000.0|");
    }
}
