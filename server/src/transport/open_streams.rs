//! The streams that a connection has open, and for how long it has had none.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use hyper::body::{Body, Frame, SizeHint};
use tokio::{sync::watch, time::timeout};

/// Counts them.
#[derive(Debug, Clone)]
pub(super) struct OpenStreams(watch::Sender<usize>);

/// One of them; until it is dropped.
#[derive(Debug)]
pub(super) struct OpenStream(OpenStreams);

impl OpenStreams {
    /// None yet.
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(0))
    }

    /// One more.
    pub(super) fn open(&self) -> OpenStream {
        self.0.send_modify(|count| *count += 1);
        OpenStream(self.clone())
    }

    /// Returns when there has been none for so long.
    pub(super) async fn idle_for(&self, limit: Duration) {
        let mut count = self.0.subscribe();
        loop {
            // The sender is ours, so that it does not go away.
            let _ = count.wait_for(|count| *count == 0).await;
            if timeout(limit, count.changed()).await.is_err() {
                return;
            }
        }
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| *count -= 1);
    }
}

/// The body of a response, which is dropped when its stream is over.
#[derive(Debug)]
pub(super) struct Counted<B> {
    body: B,
    _open: OpenStream,
}

impl<B> Counted<B> {
    pub(super) fn new(body: B, open: OpenStream) -> Self {
        Self { body, _open: open }
    }
}

impl<B: Body + Unpin> Body for Counted<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        task,
        time::{Instant, sleep},
    };

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);
    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_when_its_last_stream_has_been_over_for_so_long() {
        let from = Instant::now();
        let streams = OpenStreams::new();
        let idle = task::spawn({
            let streams = streams.clone();
            async move { streams.idle_for(LIMIT).await }
        });
        sleep(LIMIT / 2).await;
        let (one, other) = (streams.open(), streams.open());
        sleep(LIMIT * 3).await;
        drop(one);
        sleep(LIMIT * 3).await;
        drop(other);
        // A request that is over at once, as a health check is.
        sleep(LIMIT / 2).await;
        drop(streams.open());
        sleep(LIMIT - SECOND).await;
        assert!(!idle.is_finished());
        idle.await.unwrap();
        let took = from.elapsed();
        assert!(took >= LIMIT * 8 && took < LIMIT * 8 + SECOND, "{took:?}");
    }
}
