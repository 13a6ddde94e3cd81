//! Forced panics in a server that runs, beside a call that goes on.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use audio::Effects;
use proto::{
    callcenter::{
        AudioChunk, call_center_client::CallCenterClient,
        call_center_server::SERVICE_NAME as CALL_CENTER,
    },
    fin::{
        TickerRequest, stock_ticker_client::StockTickerClient,
        stock_ticker_server::SERVICE_NAME as STOCK_TICKER,
    },
};
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpSocket},
    sync::{
        mpsc::{UnboundedSender, unbounded_channel},
        oneshot,
    },
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Code, Status, Streaming, transport::Channel};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tracing_subscriber::fmt::MakeWriter;

use super::forced;
use crate::{
    Config,
    calls::CallCenterConfig,
    quotes::{TickerConfig, TradeSource},
    run,
};

/// Far more than anything here needs; a hang becomes a failure.
const LIMIT: Duration = Duration::from_secs(30);

/// The log of this whole process.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn of_this_process() -> Self {
        static LOG: LazyLock<Log> = LazyLock::new(|| {
            let log = Log::default();
            let lines = tracing_subscriber::fmt()
                .with_writer(log.clone())
                .with_ansi(false);
            lines.init();
            log
        });
        LOG.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has(&self, words: &str) -> bool {
        String::from_utf8_lossy(&self.lock()).contains(words)
    }

    /// The line with these words, once it is there.
    async fn line(&self, words: &str) -> String {
        let found = async {
            loop {
                let text = String::from_utf8_lossy(&self.lock()).into_owned();
                if let Some(line) = text.lines().find(|line| line.contains(words)) {
                    return line.to_owned();
                }
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(LIMIT, found).await.expect("the line does not come")
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

async fn connect(addr: SocketAddr) -> Channel {
    let endpoint = Channel::from_shared(format!("http://{addr}")).unwrap();
    endpoint.connect().await.unwrap()
}

/// The whole server with room for two legs, and a connection to it.
struct Server {
    addr: SocketAddr,
    channel: Channel,
    stop: oneshot::Sender<()>,
    runs: JoinHandle<anyhow::Result<()>>,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let config = Config {
            call_center: CallCenterConfig {
                effects: Effects::none(),
                lab: false,
                idle_timeout: LIMIT,
                max_legs: 2,
                max_legs_per_call: 2,
                max_calls: 2,
            },
            ticker: TickerConfig {
                trades: TradeSource::Simulated {
                    seed: 1,
                    tick: Duration::from_millis(20),
                    any_symbol: true,
                },
                lab: false,
                idle_timeout: LIMIT,
            },
            drain: LIMIT,
            max_streams_per_connection: 128,
            max_connections_per_address: 128,
            max_memory_per_address: 1 << 30,
            idle_timeout: LIMIT,
        };
        let (stop, stopped) = oneshot::channel();
        let runs = tokio::spawn(run(vec![listener], config, async {
            let _ = stopped.await;
        }));
        Self {
            addr,
            channel: connect(addr).await,
            stop,
            runs,
        }
    }

    /// A connection that ends the worker thread which gets it; returns when it is closed.
    async fn kill_a_worker(&self) {
        let socket = TcpSocket::new_v4().unwrap();
        let from = format!("{}:0", forced::IN_WORKER);
        socket.bind(from.parse().unwrap()).unwrap();
        let mut socket = socket.connect(self.addr).await.unwrap();
        let closed = timeout(LIMIT, socket.read_u8()).await;
        closed.expect("it is kept").unwrap_err();
    }

    async fn stops(self) {
        self.stop.send(()).unwrap();
        drop(self.channel);
        let ended = timeout(LIMIT, self.runs).await.expect("it does not stop");
        ended.unwrap().unwrap();
    }

    async fn call(&self, call_id: &str) -> Result<Call, Status> {
        let (requests, requests_rx) = unbounded_channel();
        let mut client = CallCenterClient::new(self.channel.clone());
        let response = client.live_call(UnboundedReceiverStream::new(requests_rx));
        Ok(Call {
            requests,
            answers: response.await?.into_inner(),
            call_id: call_id.to_owned(),
            said: 0,
        })
    }

    /// The transport lets go of a stream soon after its end.
    async fn call_when_free(&self, call_id: &str) -> Call {
        let call = async {
            loop {
                match self.call(call_id).await {
                    Ok(call) => return call,
                    Err(status) => assert_eq!(status.code(), Code::ResourceExhausted),
                }
            }
        };
        timeout(LIMIT, call).await.expect("no place becomes free")
    }

    /// The status that ends a ticker stream that asks for these.
    async fn quotes_until_the_end(&self, symbols: &[&str]) -> Status {
        let requests = symbols.iter().map(|symbol| TickerRequest {
            ticker_symbol: (*symbol).to_owned(),
            ..TickerRequest::default()
        });
        let requests: Vec<_> = requests.collect();
        let mut client = StockTickerClient::new(self.channel.clone());
        let response = client.subscribe_to_stock_updates(tokio_stream::iter(requests));
        let mut updates = response.await.unwrap().into_inner();
        let end = async {
            loop {
                match updates.message().await {
                    Ok(update) => assert!(update.is_some(), "the stream ended with OK"),
                    Err(status) => return status,
                }
            }
        };
        timeout(LIMIT, end).await.expect("the stream does not end")
    }

    async fn assert_healthy(&self) {
        for service in ["", CALL_CENTER, STOCK_TICKER] {
            let request = HealthCheckRequest {
                service: service.to_owned(),
            };
            let response = HealthClient::new(self.channel.clone()).check(request).await;
            let status = response.unwrap().into_inner().status();
            assert_eq!(status, ServingStatus::Serving, "{service:?}");
        }
    }
}

struct Call {
    requests: UnboundedSender<AudioChunk>,
    answers: Streaming<AudioChunk>,
    call_id: String,
    said: u8,
}

impl Call {
    /// Says something that was not said before, and hears it.
    async fn goes_on(&mut self) {
        self.said += 1;
        let said = vec![self.said; 160];
        assert_eq!(self.say(said.clone()).await.unwrap().audio_data, said);
    }

    async fn say(&mut self, said: Vec<u8>) -> Result<AudioChunk, Status> {
        let chunk = AudioChunk {
            audio_data: said.into(),
            call_id: self.call_id.clone(),
            sample_rate: 8_000,
            channels: 1,
            codec: "pcm".to_owned(),
            ..AudioChunk::default()
        };
        // Of a stream that is over, the end is read below.
        let _ = self.requests.send(chunk);
        let answer = timeout(LIMIT, self.answers.message()).await;
        Ok(answer.expect("the leg hangs")?.expect("not the end"))
    }
}

/// The line of the log under the id that the peer was told.
async fn line_of(log: &Log, status: &Status) -> String {
    assert_eq!(status.code(), Code::Internal, "{status:?}");
    let words = status.message();
    let id = words
        .split_whitespace()
        .find(|word| word.starts_with("fault-"));
    let id = id
        .unwrap_or_else(|| panic!("no id: {words}"))
        .trim_end_matches('.');
    log.line(id).await
}

#[tokio::test]
async fn a_panic_ends_its_own_stream_with_an_id_and_nothing_else() {
    let log = Log::of_this_process();
    let server = Server::start().await;
    let mut witness = server.call("witness").await.unwrap();
    witness.goes_on().await;

    let mut leg = server.call(forced::IN_LEG).await.unwrap();
    let status = leg.say(vec![1; 160]).await.unwrap_err();
    let line = line_of(&log, &status).await;
    assert!(
        line.contains("forced: fault-in-leg") && line.contains("leg-2"),
        "{line}"
    );
    drop(leg);
    witness.goes_on().await;
    server.assert_healthy().await;

    for symbol in [forced::IN_REQUEST, forced::IN_QUOTE] {
        let status = server.quotes_until_the_end(&["AAPL", symbol]).await;
        let line = line_of(&log, &status).await;
        assert!(line.contains(&format!("forced: {symbol}")), "{line}");
        assert!(line.contains("ticker-stream-"), "{line}");
        witness.goes_on().await;
        server.assert_healthy().await;
    }

    // The only other place was free again each time, also after this.
    let mut dropped = server.call_when_free(forced::IN_DROP).await;
    dropped.goes_on().await;
    drop(dropped);
    let line = log.line("forced: fault-in-drop").await;
    assert!(line.contains("fault-") && line.contains("leg-3"), "{line}");
    witness.goes_on().await;
    server.assert_healthy().await;
    let mut next = server.call_when_free("next").await;
    next.goes_on().await;
    witness.goes_on().await;

    drop((witness, next));
    server.stops().await;
}

#[tokio::test]
async fn a_worker_thread_that_dies_is_started_again_and_takes_connections() {
    let log = Log::of_this_process();
    let mut server = Server::start().await;
    // They have their connections in turn, but for one that has not begun yet.
    let workers = thread::available_parallelism().unwrap().get();
    for worker in 0..workers {
        let words = format!("connections of worker-{worker}:");
        let dies = async {
            while !log.has(&words) {
                server.kill_a_worker().await;
            }
        };
        timeout(LIMIT, dies).await.expect("it does not die");
        let line = log.line(&words).await;
        assert!(line.contains("forced: "), "{line}");
    }
    for n in 0..2 * workers {
        server.channel = connect(server.addr).await;
        server.assert_healthy().await;
        let mut call = server.call_when_free(&format!("call-{n}")).await;
        call.goes_on().await;
    }
    server.stops().await;
}
