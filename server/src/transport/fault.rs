//! A panic is a fault of ours in one stream, and must stay in it: the stream ends with INTERNAL and an
//! id, and the one line of the log that has this id says what happened and where.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll},
};

use futures_util::Stream;
use tonic::Status;
use tracing::error;

/// Whose stream it is, for the log.
#[derive(Debug, Clone)]
pub(crate) struct StreamName {
    /// Such as `leg-7`.
    pub(crate) stream: String,
    /// Its address.
    pub(crate) peer: String,
}

impl StreamName {
    /// What `work` returns.
    ///
    /// # Errors
    /// It panicked: INTERNAL with the id of the line in the log.
    pub(crate) fn contain<T>(&self, work: impl FnOnce() -> T) -> Result<T, Status> {
        output::contain(work).map_err(|words| {
            let id = format!("fault-{:08x}", rand::random::<u32>());
            let Self { stream, peer } = self;
            error!(id, stream, peer, "a fault ended this stream: {words}");
            Status::internal(format!(
                "a fault of the server ended this stream; its log says more under {id}. Begin a new one"
            ))
        })
    }

    /// The same for work that waits.
    ///
    /// # Errors
    /// As [`StreamName::contain`].
    pub(crate) async fn contain_all<F: Future>(&self, work: F) -> Result<F::Output, Status> {
        let mut work = pin!(work);
        poll_fn(|cx| match self.contain(|| work.as_mut().poll(cx)) {
            Ok(poll) => poll.map(Ok),
            Err(status) => Poll::Ready(Err(status)),
        })
        .await
    }
}

/// A response stream whose panics end it and nothing else, also when it is dropped.
#[derive(Debug)]
pub struct Contained<S> {
    /// `None`: it has ended by a fault.
    stream: Option<S>,
    name: StreamName,
}

impl<S> Contained<S> {
    pub(crate) fn new(stream: S, name: StreamName) -> Self {
        Self {
            stream: Some(stream),
            name,
        }
    }

    fn let_go(&mut self) {
        // Whoever would read the status has gone, or has one.
        let stream = self.stream.take();
        let _ = self.name.contain(|| drop(stream));
    }
}

impl<T, S: Stream<Item = Result<T, Status>> + Unpin> Stream for Contained<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self { stream, name } = &mut *self;
        let Some(stream) = stream else {
            return Poll::Ready(None);
        };
        match name.contain(|| Pin::new(stream).poll_next(cx)) {
            Ok(poll) => poll,
            Err(status) => {
                self.let_go();
                Poll::Ready(Some(Err(status)))
            }
        }
    }
}

impl<S> Drop for Contained<S> {
    fn drop(&mut self) {
        self.let_go();
    }
}

/// Faults for the tests, by the names of calls and symbols, or an address; not in any other build.
#[cfg(test)]
pub(crate) mod forced {
    pub(crate) const IN_LEG: &str = "fault-in-leg";
    pub(crate) const IN_DROP: &str = "fault-in-drop";
    pub(crate) const IN_REQUEST: &str = "FAULT.ASKED";
    pub(crate) const IN_QUOTE: &str = "FAULT.TOLD";
    /// The address that a connection comes from.
    pub(crate) const IN_WORKER: &str = "127.0.0.77";

    /// Panics where `name` is that of the place.
    pub(crate) fn at(place: &str, name: &str) {
        assert!(name != place, "forced: {place}");
    }
}

#[cfg(test)]
mod tests;
