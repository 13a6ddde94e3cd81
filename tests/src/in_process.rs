//! A gRPC server inside the test process, for peers that are not our server.

use std::net::{SocketAddr, TcpListener};

use tokio::runtime::{Builder, Runtime};
use tonic::transport::server::{Router, TcpIncoming};

/// Serves on a thread and runtime of its own, so that a test may be sync or async. Gone when
/// dropped, open streams and all.
pub(crate) struct InProcess {
    addr: SocketAddr,
    runtime: Option<Runtime>,
}

impl InProcess {
    pub(crate) fn start(router: Router) -> Self {
        Self::start_on(([127, 0, 0, 1], 0).into(), router)
    }

    /// The same at an address that a server had before, to come back to its clients.
    pub(crate) fn start_on(addr: SocketAddr, router: Router) -> Self {
        let listener = TcpListener::bind(addr).unwrap_or_else(|why| panic!("{addr}: {why}"));
        let addr = listener
            .local_addr()
            .expect("a bound socket has an address");
        listener
            .set_nonblocking(true)
            .expect("a socket can be made non-blocking");
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime can be built");
        let guard = runtime.enter();
        let listener = tokio::net::TcpListener::from_std(listener)
            .expect("the runtime takes a non-blocking socket");
        drop(guard);
        // Without it, small answers wait for the acknowledgement of the one before.
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        runtime.spawn(router.serve_with_incoming(incoming));
        Self {
            addr,
            runtime: Some(runtime),
        }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for InProcess {
    fn drop(&mut self) {
        // Waiting for its tasks is forbidden in an async test, and they never end by themselves.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
