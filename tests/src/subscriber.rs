//! A stream of the ticker that a test or a benchmark drives by hand.

use std::time::Duration;

use proto::fin::{
    StockUpdate, TickerAction, TickerRequest, stock_ticker_client::StockTickerClient,
};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{
    Status, Streaming,
    transport::{Channel, Endpoint},
};

use crate::tally::Tally;

/// Far more than anything here needs; a hang becomes a failure.
const LIMIT: Duration = Duration::from_secs(60);

/// The window of a stream that HTTP/2 itself gives, and most languages' gRPC begin with. Tonic's own
/// are of 2 MiB, which a reader that stops fills only after minutes.
pub const HTTP2_WINDOW: u32 = 65_535;

/// A connection to a ticker, whose streams have this window; `None`: tonic's. Its own is tonic's: with
/// a small one, the library ends the connection when small messages of many streams wait unread.
///
/// # Panics
///
/// When nobody answers there.
pub async fn connect(uri: &str, window: Option<u32>) -> Channel {
    Endpoint::from_shared(uri.to_owned())
        .expect("a URI")
        .initial_stream_window_size(window)
        .connect()
        .await
        .unwrap_or_else(|error| panic!("nobody answers at {uri}: {error}"))
}

/// One stream, and the count of what came over it.
pub struct Subscriber {
    requests_tx: mpsc::UnboundedSender<TickerRequest>,
    updates: Streaming<StockUpdate>,
    tally: Tally,
}

impl Subscriber {
    /// A stream on a connection of its own, with tonic's windows.
    ///
    /// # Panics
    ///
    /// When the server does not take it.
    pub async fn dial(uri: &str) -> Self {
        Self::on(&connect(uri, None).await).await
    }

    /// A stream on this connection.
    ///
    /// # Panics
    ///
    /// When the server does not take it.
    pub async fn on(channel: &Channel) -> Self {
        let (requests_tx, requests_rx) = mpsc::unbounded_channel();
        let requests = UnboundedReceiverStream::new(requests_rx);
        let mut client = StockTickerClient::new(channel.clone());
        let response = timeout(LIMIT, client.subscribe_to_stock_updates(requests));
        let response = response.await.expect("the stream is not answered");
        Self {
            requests_tx,
            updates: response.expect("the stream is taken").into_inner(),
            tally: Tally::default(),
        }
    }

    /// Asks for a symbol as a client of the original contract does.
    pub fn ask(&self, symbol: &str) {
        self.send(symbol, TickerAction::Unspecified);
    }

    /// Sends a request, without waiting for anything. A stream that is over takes no notice.
    pub fn send(&self, symbol: &str, action: TickerAction) {
        let _ = self.requests_tx.send(TickerRequest {
            ticker_symbol: symbol.to_owned(),
            action: action.into(),
        });
    }

    /// The next message, counted; `None` after an end with OK.
    ///
    /// # Errors
    ///
    /// The status that the stream ended with.
    ///
    /// # Panics
    ///
    /// When none comes within a minute, or a trade is missing that was not said to be left out.
    pub async fn next(&mut self) -> Result<Option<StockUpdate>, Status> {
        let message = timeout(LIMIT, self.updates.message()).await;
        let message = message.expect("nothing comes any more")?;
        if let Some(update) = &message {
            self.tally
                .take(update)
                .unwrap_or_else(|why| panic!("{why}"));
        }
        Ok(message)
    }

    /// The next message, which must come.
    ///
    /// # Panics
    ///
    /// When the stream ends instead, and as [`next`](Self::next).
    pub async fn update(&mut self) -> StockUpdate {
        let message = self.next().await.expect("no error");
        message.expect("not the end of the stream")
    }

    /// The status that ends the stream, which must be an error; updates before it are skipped.
    ///
    /// # Panics
    ///
    /// When it ends with OK, or not within a minute, and as [`next`](Self::next).
    pub async fn refusal(&mut self) -> Status {
        let ending = async {
            loop {
                match self.next().await {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("the stream ended without an error"),
                    Err(status) => return status,
                }
            }
        };
        timeout(LIMIT, ending)
            .await
            .expect("the stream does not end")
    }

    /// What came until now.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }
}
