//! The way to the server: an HTTP/2 connection, and whether anybody is at its other end.

use std::{convert::Infallible, time::Duration};

use proto::{ServerAddress, text::words};
use tokio::time::sleep;
use tonic::{
    codegen::{Service, http},
    transport::{Channel, Endpoint},
};

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

/// Asks the server whether it is there: one that is answers a call of a method that it does not have
/// at once, whatever else it is doing. `false`: the connection broke.
pub(super) async fn ask(mut channel: Channel) -> bool {
    let mut request = http::Request::new(tonic::body::Body::empty());
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = http::Uri::from_static("/callcenter.CallCenter/AreYouThere");
    let headers = request.headers_mut();
    headers.insert("te", http::HeaderValue::from_static("trailers"));
    headers.insert(
        http::header::CONTENT_TYPE,
        http::HeaderValue::from_static("application/grpc"),
    );
    let ready = std::future::poll_fn(|cx| channel.poll_ready(cx)).await;
    ready.is_ok() && channel.call(request).await.is_ok()
}

/// Asks a server that sends nothing.
pub(super) async fn ask_when_silent(channel: Channel, lives: impl Fn()) -> Infallible {
    sleep(ASK_AFTER).await;
    if ask(channel).await {
        lives();
    }
    std::future::pending().await
}
