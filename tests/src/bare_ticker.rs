//! The simplest ticker that tonic can serve, which the server's cost is measured against: messages
//! as large as the server's, at the server's pace, on threads like the server's, and no market, no
//! queue and no task behind them.
//!
//! Each stream is one state machine that the transport polls. It clones messages that were made when
//! their symbol was asked for, with the number and the time of the tick put in.

use std::{
    net::{SocketAddr, TcpListener, TcpStream as StdTcpStream},
    pin::Pin,
    task::{Context, Poll, ready},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use proto::fin::{
    StockUpdate, TickerRequest,
    stock_ticker_server::{StockTicker, StockTickerServer},
};
use tokio::{
    net::TcpStream,
    runtime,
    sync::mpsc,
    time::{Instant, Interval, MissedTickBehavior, interval_at},
};
use tokio_stream::{Stream, StreamExt, wrappers::ReceiverStream};
use tonic::{Request, Response, Status, Streaming, transport::Server};

/// Connections that were accepted and not yet taken up by their thread.
const WAITING: usize = 1_024;

/// Serves on a free port for ever, one thread a core, connections dealt to them in turn. Its address
/// is told to `ready` once.
///
/// # Panics
///
/// When the system gives no port or no thread.
pub fn serve(tick: Duration, ready: impl FnOnce(SocketAddr)) -> ! {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let ticker = BareTicker::open(tick);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let workers: Vec<_> = (0..threads).map(|_| worker(ticker)).collect();
    ready(listener.local_addr().expect("a bound socket has one"));
    for worker in workers.iter().cycle() {
        let (connection, _) = listener.accept().expect("a connection");
        connection.set_nodelay(true).expect("TCP has the option");
        connection.set_nonblocking(true).expect("sockets have it");
        worker.blocking_send(connection).expect("workers never end");
    }
    unreachable!("there is a thread, and the turn never ends")
}

/// Starts a thread that serves the connections that are sent to it.
fn worker(ticker: BareTicker) -> mpsc::Sender<StdTcpStream> {
    let (connections_tx, connections) = mpsc::channel(WAITING);
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be built");
    thread::spawn(move || {
        let incoming = ReceiverStream::new(connections).map(TcpStream::from_std);
        let server = Server::builder()
            .max_concurrent_streams(u32::MAX)
            .add_service(StockTickerServer::new(ticker));
        runtime.block_on(server.serve_with_incoming(incoming))
    });
    connections_tx
}

/// The service. All streams count the same ticks.
#[derive(Debug, Clone, Copy)]
struct BareTicker {
    opened: Instant,
    opened_us: i64,
    tick: Duration,
}

impl BareTicker {
    fn open(tick: Duration) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let since = since.expect("it is after 1970");
        Self {
            opened: Instant::now(),
            opened_us: i64::try_from(since.as_micros()).expect("some time is left"),
            tick,
        }
    }

    /// The number of a tick, and when it is.
    fn tick_at(&self, at: Instant) -> (u64, i64) {
        let since = at - self.opened;
        let number = since.as_nanos() / self.tick.as_nanos();
        (number as u64, self.opened_us + since.as_micros() as i64)
    }
}

#[tonic::async_trait]
impl StockTicker for BareTicker {
    type SubscribeToStockUpdatesStream = Updates;

    async fn subscribe_to_stock_updates(
        &self,
        request: Request<Streaming<TickerRequest>>,
    ) -> Result<Response<Updates>, Status> {
        let (number, _) = self.tick_at(Instant::now());
        let ticks = u32::try_from(number + 1).expect("a benchmark is shorter");
        let mut ticks = interval_at(self.opened + self.tick * ticks, self.tick);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        Ok(Response::new(Updates {
            ticker: *self,
            requests: Some(request.into_inner()),
            updates: Vec::new(),
            sent: 0,
            now: (0, 0),
            ticks,
        }))
    }
}

/// One stream.
struct Updates {
    ticker: BareTicker,
    /// Until they end.
    requests: Option<Streaming<TickerRequest>>,
    /// The newest of each symbol.
    updates: Vec<StockUpdate>,
    /// How many of them were sent on this tick.
    sent: usize,
    now: (u64, i64),
    ticks: Interval,
}

impl Updates {
    /// Takes the requests that are there.
    fn hear(&mut self, context: &mut Context<'_>) -> Result<(), Status> {
        while let Some(requests) = &mut self.requests {
            match Pin::new(requests).poll_next(context)? {
                Poll::Ready(Some(request)) => {
                    self.updates.push(prebuilt(request.ticker_symbol));
                    // Its turn comes with the next tick.
                    self.sent += 1;
                }
                Poll::Ready(None) => self.requests = None,
                Poll::Pending => break,
            }
        }
        Ok(())
    }
}

impl Stream for Updates {
    type Item = Result<StockUpdate, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        while this.sent == this.updates.len() {
            if let Err(status) = this.hear(context) {
                return Poll::Ready(Some(Err(status)));
            }
            let at = ready!(this.ticks.poll_tick(context));
            this.now = this.ticker.tick_at(at);
            this.sent = 0;
        }
        let update = &mut this.updates[this.sent];
        this.sent += 1;
        let (number, time_us) = this.now;
        update.snapshot = update.sequence == 0;
        update.conflated = match update.snapshot {
            true => 0,
            false => (number - update.sequence - 1) as u32,
        };
        update.sequence = number;
        update.trade_time_us = time_us;
        update.timestamp = time_us / 1_000_000;
        Poll::Ready(Some(Ok(update.clone())))
    }
}

/// A message with a likely value in every field that the server fills.
fn prebuilt(ticker_symbol: String) -> StockUpdate {
    StockUpdate {
        ticker_symbol,
        current_price: 229.87,
        price_change: -1.25,
        change_percent: -0.540_851_5,
        volume: 300,
        bid_price: 229.86,
        ask_price: 229.88,
        day_open: 230.4,
        day_high: 231.02,
        day_low: 229.5,
        day_volume: 1_234_500,
        ..StockUpdate::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subscriber::Subscriber;

    #[tokio::test]
    async fn every_symbol_comes_on_every_tick_or_is_said_to_be_left_out() {
        let (addr_tx, addr_rx) = std::sync::mpsc::channel();
        // It never ends; the thread goes with the test program.
        thread::spawn(move || {
            serve(Duration::from_millis(10), |addr| {
                addr_tx.send(addr).expect("somebody waits");
            })
        });
        let addr = addr_rx.recv().expect("it listens");
        let mut subscriber = Subscriber::dial(&format!("http://{addr}")).await;
        subscriber.ask("AAPL");
        subscriber.ask("TSLA");
        for _ in 0..20 {
            let update = subscriber.update().await;
            assert!(update.trade_time_us / 1_000_000 == update.timestamp && update.timestamp > 0);
        }
        assert_eq!(subscriber.tally().symbols(), 2);
    }
}
