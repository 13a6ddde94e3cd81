//! A stretch of line between client and server that can be frozen: bytes stay where they are, as in
//! a TCP connection whose packets are lost. It can also be long: each byte is on its way for a while.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpSocket, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    runtime::{Builder, Runtime},
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};

/// Large buffers would take seconds of speech, and a test would measure them.
const BUFFER_BYTES: u32 = 8 * 1_024;

/// What one read takes at most, and how many of those may be on their way on a long line.
const PIECE_BYTES: usize = 1_024;
const PIECES_ON_THEIR_WAY: usize = 1_024;

/// What is frozen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Frozen {
    Nothing,
    /// Both directions of the connections with a lower number.
    Before(usize),
    /// Both directions of all connections but the first.
    AllButFirst,
    /// What servers say, on all connections.
    Answers,
    /// Every connection is reset, new ones, too.
    Reset,
}

/// The proxy, on a thread of its own. Gone when dropped.
pub struct Proxy {
    addr: SocketAddr,
    frozen: watch::Sender<Frozen>,
    connections: watch::Receiver<usize>,
    runtime: Option<Runtime>,
}

impl Proxy {
    /// Starts one that passes everything on to `server`.
    ///
    /// # Panics
    ///
    /// When the machine gives no socket or thread.
    pub fn start(server: SocketAddr) -> Self {
        Self::start_long(server, Duration::ZERO)
    }

    /// The same on a line on which every byte takes so long, in each direction.
    ///
    /// # Panics
    ///
    /// As [`Proxy::start`].
    pub fn start_long(server: SocketAddr, delay: Duration) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime can be built");
        let guard = runtime.enter();
        let socket = small_socket();
        socket
            .bind(([127, 0, 0, 1], 0).into())
            .expect("loopback has a free port");
        let listener = socket.listen(64).expect("a bound socket listens");
        drop(guard);
        let addr = listener.local_addr().expect("it has an address");
        let (frozen, is_frozen) = watch::channel(Frozen::Nothing);
        let (count, connections) = watch::channel(0);
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let number = *count.borrow();
                count.send_replace(number + 1);
                let passes = pass_on(client, server, number, delay, is_frozen.clone());
                let mut state = is_frozen.clone();
                tokio::spawn(async move {
                    tokio::select! {
                        () = passes => {}
                        _ = state.wait_for(|state| *state == Frozen::Reset) => {}
                    }
                });
            }
        });
        Self {
            addr,
            frozen,
            connections,
            runtime: Some(runtime),
        }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// How many connections there were until now.
    pub fn connections(&self) -> usize {
        *self.connections.borrow()
    }

    /// The connections that are there stand still; new ones flow.
    pub fn freeze_present(&self) {
        self.frozen.send_replace(Frozen::Before(self.connections()));
    }

    /// All connections stand still, new ones, too.
    pub fn freeze(&self) {
        self.frozen.send_replace(Frozen::Before(usize::MAX));
    }

    /// What servers say stands still.
    pub fn freeze_answers(&self) {
        self.frozen.send_replace(Frozen::Answers);
    }

    /// All connections are reset, new ones, too.
    pub fn reset(&self) {
        self.frozen.send_replace(Frozen::Reset);
    }

    /// The first connection flows again, and no other.
    pub fn thaw_first(&self) {
        self.frozen.send_replace(Frozen::AllButFirst);
    }

    /// Everything flows again.
    pub fn thaw(&self) {
        self.frozen.send_replace(Frozen::Nothing);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Waiting for its tasks is forbidden in an async test.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn small_socket() -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket
        .set_recv_buffer_size(BUFFER_BYTES)
        .and_then(|()| socket.set_send_buffer_size(BUFFER_BYTES))
        .and_then(|()| socket.set_nodelay(true))
        .expect("a socket's buffers can be set");
    socket
}

async fn pass_on(
    client: TcpStream,
    server: SocketAddr,
    number: usize,
    delay: Duration,
    frozen: watch::Receiver<Frozen>,
) {
    // A server that is gone is told to the client by the closed connection.
    let Ok(server) = small_socket().connect(server).await else {
        return;
    };
    let _ = client.set_nodelay(true);
    let (client_rx, client_tx) = client.into_split();
    let (server_rx, server_tx) = server.into_split();
    let forth = pump(client_rx, server_tx, delay, frozen.clone(), move |frozen| {
        frozen.lets_pass(number, false)
    });
    let back = pump(server_rx, client_tx, delay, frozen, move |frozen| {
        frozen.lets_pass(number, true)
    });
    tokio::select! {
        () = forth => {}
        () = back => {}
    }
}

impl Frozen {
    fn lets_pass(self, number: usize, is_answer: bool) -> bool {
        match self {
            Self::Nothing => true,
            Self::Before(first) => number >= first,
            Self::AllButFirst => number == 0,
            Self::Answers => !is_answer,
            Self::Reset => false,
        }
    }
}

/// Until either side closes.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    delay: Duration,
    mut frozen: watch::Receiver<Frozen>,
    flows: impl Fn(Frozen) -> bool,
) {
    if delay.is_zero() {
        let mut buffer = [0; PIECE_BYTES];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            if !pass(&buffer[..count], &mut to, &mut frozen, &flows).await {
                return;
            }
        }
        return;
    }
    let (pieces_tx, mut pieces) = mpsc::channel::<(Instant, Vec<u8>)>(PIECES_ON_THEIR_WAY);
    let enter = async move {
        let mut buffer = [0; PIECE_BYTES];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            let piece = (Instant::now() + delay, buffer[..count].to_vec());
            if pieces_tx.send(piece).await.is_err() {
                return;
            }
        }
    };
    let leave = async {
        while let Some((due, piece)) = pieces.recv().await {
            sleep_until(due).await;
            if !pass(&piece, &mut to, &mut frozen, &flows).await {
                return;
            }
        }
    };
    // Once nothing enters any more, what is on its way still arrives.
    tokio::join!(enter, leave);
}

/// Waits until what was read may go on. Whether there was anybody to take it.
async fn pass(
    piece: &[u8],
    to: &mut OwnedWriteHalf,
    frozen: &mut watch::Receiver<Frozen>,
    flows: &impl Fn(Frozen) -> bool,
) -> bool {
    let is_thawed = frozen.wait_for(|frozen| flows(*frozen)).await.is_ok();
    is_thawed && to.write_all(piece).await.is_ok()
}
