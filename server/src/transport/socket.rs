//! A connection's socket: TCP with the deadlines and the budget that HTTP/2 leaves open.
//!
//! A peer that says nothing, that floods, or that reads nothing at all is not kept. And reading is
//! given up from time to time, so that the other connections of the thread have their turn.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep},
};

use super::{
    frames::{AddressFrames, FrameBudget},
    goaway::{ANY_STREAM, goaway},
    turn::TURN,
};

/// A client's first 24 bytes, always the same.
const PREFACE_BYTES: usize = 24;

/// After which a client has greeted: the preface and the head of its SETTINGS.
const GREETING_BYTES: usize = PREFACE_BYTES + 9;

/// What a greeting may take.
const GREETING_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a peer may take nothing at all of what we have for it. As long as one that answers no
/// ping: then, too, it stands still as a whole.
const WRITE_TIMEOUT: Duration = Duration::from_secs(15);

/// What is read at once. Of the smallest requests there are, some hundred: a fraction of a turn.
const READ_BYTES: usize = 4 * 1_024;

/// The socket of one connection.
#[derive(Debug)]
pub(super) struct Socket {
    tcp: TcpStream,
    greeting: Option<Greeting>,
    frames: FrameBudget,
    /// Runs while nothing of what we write is taken.
    blocked: Option<Pin<Box<Sleep>>>,
    /// Whether what was written last ends in the middle of a frame.
    is_cut_short: bool,
    /// Since when the connection has been read in a row.
    turn: Option<Instant>,
    /// How often the connection's task was polled, and in which of these polls its turn ended: HTTP/2
    /// asks again in the same one while streams wait to be taken.
    polls: Arc<AtomicU64>,
    turn_ended: Option<u64>,
}

/// What is to come of the greeting, and until when.
#[derive(Debug)]
struct Greeting {
    missing: usize,
    timeout: Pin<Box<Sleep>>,
}

impl Socket {
    /// A connection that begins now, and may send so many control frames at once and each second,
    /// its address's connections so many together; `polls` counts those of its task.
    pub(super) fn new(
        tcp: TcpStream,
        max_frames: u32,
        of_address: AddressFrames,
        polls: Arc<AtomicU64>,
    ) -> Self {
        let now = Instant::now().into_std();
        Self {
            tcp,
            greeting: Some(Greeting {
                missing: GREETING_BYTES,
                timeout: Box::pin(sleep(GREETING_TIMEOUT)),
            }),
            frames: FrameBudget::new(PREFACE_BYTES, max_frames, of_address, now),
            blocked: None,
            is_cut_short: false,
            turn: None,
            polls,
            turn_ended: None,
        }
    }

    /// The end of the connection, which the peer is told of if that can be done at once.
    fn fail(&self, kind: io::ErrorKind, words: &str) -> io::Error {
        if !self.is_cut_short {
            // It has its reason then; without it, it sees that the connection is closed.
            let _ = self.tcp.try_write(&goaway(ANY_STREAM, words));
        }
        io::Error::new(kind, words.to_owned())
    }

    /// Takes note of a write.
    fn written(
        &mut self,
        written: Poll<io::Result<usize>>,
        offered: usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(count)) => {
                self.is_cut_short = count < offered;
                self.blocked = None;
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                self.is_cut_short = true;
                let timeout = self
                    .blocked
                    .get_or_insert_with(|| Box::pin(sleep(WRITE_TIMEOUT)));
                ready!(timeout.as_mut().poll(cx));
                let words = format!("nothing was read for {} s", WRITE_TIMEOUT.as_secs());
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, words)));
            }
        }
        written
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Some(greeting) = &mut this.greeting
            && greeting.timeout.as_mut().poll(cx).is_ready()
        {
            let seconds = GREETING_TIMEOUT.as_secs();
            let words = format!("no HTTP/2 preface and SETTINGS within {seconds} s");
            return Poll::Ready(Err(this.fail(io::ErrorKind::TimedOut, &words)));
        }
        let now = Instant::now();
        let poll = this.polls.load(Ordering::Relaxed);
        let turn = *this.turn.get_or_insert(now);
        if now - turn > TURN {
            this.turn_ended = Some(poll);
        }
        if this.turn_ended == Some(poll) {
            this.turn = None;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let most = buf.remaining().min(READ_BYTES);
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(most));
        let read = Pin::new(&mut this.tcp).poll_read(cx, &mut part);
        if read.is_pending() {
            this.turn = None;
        }
        ready!(read)?;
        let came = part.filled();
        let count = came.len();
        if let Err(error) = this.frames.receive(came, now.into_std()) {
            return Poll::Ready(Err(
                this.fail(io::ErrorKind::InvalidData, &error.to_string())
            ));
        }
        buf.advance(count);
        if let Some(greeting) = &mut this.greeting {
            greeting.missing = greeting.missing.saturating_sub(count);
            if greeting.missing == 0 {
                this.greeting = None;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write(cx, buf);
        self.written(written, buf.len(), cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let offered = bufs.iter().map(|buf| buf.len()).sum();
        let written = Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs);
        self.written(written, offered, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::{io::AsyncWriteExt, net::TcpListener, time};

    use super::*;

    #[tokio::test]
    async fn a_turn_that_is_over_is_over_until_the_task_is_polled_again() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap());
        let (peer, accepted) = tokio::join!(peer, listener.accept());
        let (mut peer, polls) = (peer.unwrap(), Arc::<AtomicU64>::default());
        let of_address = AddressFrames::new(1, Instant::now().into_std());
        let mut socket = Socket::new(accepted.unwrap().0, 1, of_address, Arc::clone(&polls));
        peer.write_all(&[0; 3]).await.unwrap();
        let mut read = async |waits: bool| {
            poll_fn(|cx| {
                let mut byte = [0; 1];
                let read = Pin::new(&mut socket).poll_read(cx, &mut ReadBuf::new(&mut byte));
                match read.is_pending() && waits {
                    true => Poll::Pending,
                    false => Poll::Ready(read.is_ready()),
                }
            })
            .await
        };
        assert!(read(true).await);
        time::pause();
        time::advance(2 * TURN).await;
        for _ in 0..3 {
            assert!(!read(false).await, "it begins another turn");
        }
        polls.fetch_add(1, Ordering::Relaxed);
        assert!(read(false).await);
    }
}
