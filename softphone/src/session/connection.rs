//! The way to the server: an HTTP/2 connection, and whether anybody is at its other end.

use std::{convert::Infallible, error::Error, time::Duration};

use proto::{ServerAddress, text::words};
use tokio::time::sleep;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use super::reachability::Unreachable;

/// When nothing at all was heard of the far end for so long, it is asked whether it is there.
const ASK_AFTER: Duration = Duration::from_millis(500);

/// A dead network is noticed after both: well within five seconds.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);
pub(super) const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(2);

/// As on the server: bounded for a stream, never short for a connection.
const STREAM_WINDOW: u32 = 64 * 1_024;
const CONNECTION_WINDOW: u32 = 16 * 1_024 * 1_024;

/// A new connection.
///
/// # Errors
/// Why there is none after at most `patience`.
pub(super) async fn connect(
    server: &ServerAddress,
    patience: Duration,
) -> Result<Channel, Unreachable> {
    Endpoint::from_shared(server.uri())
        .map_err(|error| Unreachable::Other(words(&error.to_string())))?
        .connect_timeout(patience)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .connect()
        .await
        .map_err(|error| Unreachable::of(&error, patience))
}

/// Asks the server whether it is there: one that is answers a question after its health at once,
/// whatever else it is doing, if only to say that it knows nothing of that. `false`: the connection
/// broke.
pub(super) async fn ask(channel: Channel) -> bool {
    let mut health = HealthClient::new(channel);
    match health.check(HealthCheckRequest::default()).await {
        Ok(_) => true,
        // What the far end says has no cause on this side.
        Err(status) => status.source().is_none(),
    }
}

/// Asks a server that sends nothing.
pub(super) async fn ask_when_silent(channel: Channel, lives: impl Fn()) -> Infallible {
    sleep(ASK_AFTER).await;
    if ask(channel).await {
        lives();
    }
    std::future::pending().await
}
