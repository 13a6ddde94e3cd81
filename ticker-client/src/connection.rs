//! The way to the server and the one stream over it.

use std::{error::Error, time::Duration};

use proto::fin::{StockUpdate, TickerRequest, stock_ticker_client::StockTickerClient};
use tokio::sync::mpsc;
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::{Status, Streaming, transport::Endpoint};

use proto::ServerAddress;

use crate::failure::Failure;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Silence after which the server is pinged: longer than the lab's two seconds between updates,
/// because some servers hang up on a client that pings when it need not.
const PING_AFTER: Duration = Duration::from_millis(2_500);

/// How long the answer to a ping may take. With the silence before it: a dead network is noticed
/// within five seconds.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// Bytes of quotes that the transport holds unread, some two hundred of them: they are older than
/// what the server would send next. Its library's own choice would be two megabytes.
const STREAM_WINDOW: u32 = 16 * 1024;

/// How a dead network is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keepalive {
    /// By HTTP/2 pings, within five seconds.
    Pings,
    /// Not at all, for a server that hangs up on clients that ping.
    None,
}

/// Who gives a stream for requests: a server, or a test's idea of one.
pub(crate) trait Dial: Send + Sync {
    /// What comes for the requests.
    type Updates: Stream<Item = Result<StockUpdate, Status>> + Send + Unpin;

    /// Connects, and sends `requests` as they come; the stream stays open as long as they do.
    ///
    /// # Errors
    ///
    /// [`Failure::NotReached`] when there is no connection, otherwise what the server's status
    /// says.
    fn dial(
        &self,
        keepalive: Keepalive,
        requests: mpsc::Receiver<TickerRequest>,
    ) -> impl Future<Output = Result<Self::Updates, Failure>> + Send;
}

impl Dial for ServerAddress {
    type Updates = Streaming<StockUpdate>;

    async fn dial(
        &self,
        keepalive: Keepalive,
        requests: mpsc::Receiver<TickerRequest>,
    ) -> Result<Self::Updates, Failure> {
        let not_reached = |error: tonic::transport::Error| Failure::not_reached(self, &error);
        let mut endpoint = Endpoint::from_shared(self.uri())
            .map_err(not_reached)?
            .initial_stream_window_size(STREAM_WINDOW)
            .connect_timeout(CONNECT_TIMEOUT);
        if keepalive == Keepalive::Pings {
            endpoint = endpoint
                .http2_keep_alive_interval(PING_AFTER)
                .keep_alive_timeout(PING_TIMEOUT)
                .keep_alive_while_idle(true);
        }
        let channel = endpoint.connect().await.map_err(not_reached)?;
        let response = StockTickerClient::new(channel)
            .subscribe_to_stock_updates(ReceiverStream::new(requests))
            .await
            .map_err(|status| match status.source() {
                // Something took the connection, and then did not speak gRPC or did not speak at
                // all.
                Some(_) => Failure::not_answered(self),
                None => Failure::from_status(self, &status),
            })?;
        Ok(response.into_inner())
    }
}
