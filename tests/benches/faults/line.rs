//! Lines with one fault each, which comes and goes when it is told to.

use std::{net::SocketAddr, thread, time::Duration};

use tests::{
    Process, Server, bin,
    network::{FAR_SIDE, Network},
    proxy::Proxy,
};

const LIMIT: Duration = Duration::from_secs(30);

/// How long a connection says nothing where handshakes are slow.
const SLOW: Duration = Duration::from_millis(600);

const PORT: u16 = 50_051;
const NAME: &str = "desk.test";

/// What happens to a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    PacketsDropped,
    HalfOpen,
    Reset,
    ServerKilled,
    ServerFrozen,
    ProxyFrozen,
    NameGone,
    SlowHandshake,
}

impl Fault {
    pub(crate) const ALL: [Self; 8] = [
        Self::PacketsDropped,
        Self::HalfOpen,
        Self::Reset,
        Self::ServerKilled,
        Self::ServerFrozen,
        Self::ProxyFrozen,
        Self::NameGone,
        Self::SlowHandshake,
    ];

    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::PacketsDropped => "packets dropped (network namespaces)",
            Self::HalfOpen => "half open: connections taken and swallowed",
            Self::Reset => "all connections reset",
            Self::ServerKilled => "server killed (SIGKILL) and started again",
            Self::ServerFrozen => "server frozen (SIGSTOP)",
            Self::ProxyFrozen => "line frozen, nothing lost",
            Self::NameGone => "server killed, its name not known, both back",
            Self::SlowHandshake => "reset, then 600 ms until a new connection carries anything",
        }
    }
}

/// A server, and the line to it.
pub(crate) struct Line {
    fault: Fault,
    server: Option<Far>,
    addr: SocketAddr,
    proxy: Option<Proxy>,
    network: Option<Network>,
}

enum Far {
    Near(Server),
    Far(Process),
}

impl Line {
    /// One that is well; `None` where this machine cannot have it.
    pub(crate) fn new(fault: Fault) -> Option<Self> {
        let mut line = Self {
            fault,
            server: None,
            addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            proxy: None,
            network: None,
        };
        if matches!(fault, Fault::PacketsDropped | Fault::NameGone) {
            line.network = Some(Network::set_up()?);
            line.addr = SocketAddr::from((FAR_SIDE, PORT));
        }
        if fault == Fault::NameGone {
            line.name_is_known(true);
        }
        line.start_server();
        if matches!(
            fault,
            Fault::HalfOpen | Fault::Reset | Fault::ProxyFrozen | Fault::SlowHandshake
        ) {
            line.proxy = Some(Proxy::start(line.addr));
        }
        Some(line)
    }

    /// What the softphone is to call.
    pub(crate) fn address(&self) -> String {
        match (&self.proxy, self.fault) {
            (Some(proxy), _) => proxy.addr().to_string(),
            (None, Fault::NameGone) => format!("{NAME}:{PORT}"),
            (None, _) => self.addr.to_string(),
        }
    }

    /// Starts a softphone on this side of it.
    pub(crate) fn softphone(&self, args: &[&str]) -> Process {
        match &self.network {
            Some(network) => network.start_near("softphone", args),
            None => Process::start(bin("softphone"), args, &[]),
        }
    }

    /// The fault comes.
    pub(crate) fn break_down(&mut self) {
        match self.fault {
            Fault::PacketsDropped => self.network().cut(),
            Fault::HalfOpen => self.proxy().swallow(),
            Fault::Reset => self.proxy().reset(),
            Fault::SlowHandshake => {
                self.proxy().slow_handshakes(SLOW);
                self.proxy().reset();
            }
            Fault::ProxyFrozen => self.proxy().freeze(),
            Fault::ServerKilled => self.server = None,
            Fault::NameGone => {
                self.name_is_known(false);
                self.server = None;
            }
            Fault::ServerFrozen => self.signal("STOP"),
        }
    }

    /// The fault goes.
    pub(crate) fn mend(&mut self) {
        match self.fault {
            Fault::PacketsDropped => self.network().mend(),
            Fault::HalfOpen | Fault::Reset | Fault::ProxyFrozen | Fault::SlowHandshake => {
                self.proxy().thaw();
            }
            Fault::ServerKilled => self.start_server(),
            Fault::NameGone => {
                self.start_server();
                self.name_is_known(true);
            }
            Fault::ServerFrozen => self.signal("CONT"),
        }
    }

    fn start_server(&mut self) {
        self.server = Some(match &self.network {
            Some(network) => {
                let listen = self.addr.to_string();
                let server = network.start_far("server", &["--listen", &listen, "--insecure"]);
                server.wait_for_stdout("listening on", LIMIT);
                Far::Far(server)
            }
            None => {
                let server = Server::start_on(&self.addr.to_string(), &[], &[]);
                self.addr = server.addr();
                Far::Near(server)
            }
        });
    }

    fn signal(&mut self, signal: &str) {
        match &mut self.server {
            Some(Far::Near(server)) => server.process().signal(signal),
            Some(Far::Far(process)) => process.signal(signal),
            None => {}
        }
    }

    fn name_is_known(&self, is_known: bool) {
        let hosts = match is_known {
            true => format!("127.0.0.1 localhost\n{FAR_SIDE} {NAME}\n"),
            false => "127.0.0.1 localhost\n".to_owned(),
        };
        self.network().near_hosts(&hosts);
    }

    fn network(&self) -> &Network {
        self.network.as_ref().expect("this fault needs one")
    }

    fn proxy(&self) -> &Proxy {
        self.proxy.as_ref().expect("this fault needs one")
    }
}

/// Nothing in step with the softphones' own clocks.
pub(crate) fn wait_about(time: Duration) {
    thread::sleep(time.mul_f64(rand::random_range(0.8..1.2)));
}
