//! The real server on a free port.

use std::{net::SocketAddr, time::Duration};

use crate::{Output, Process, bin};

/// What the server prints on stdout, once per address, when it is ready to be called.
const READY: &str = "listening on ";

/// How long a server may take to start or to stop; far more than it needs.
const LIMIT: Duration = Duration::from_secs(30);

/// A running `server`. Killed when dropped.
pub struct Server {
    process: Process,
    addr: SocketAddr,
}

impl Server {
    /// Starts `server --listen 127.0.0.1:0` with `extra_args`, and returns once it listens.
    ///
    /// # Panics
    ///
    /// When it ends or says nothing of listening; the message holds what it said.
    pub fn start(extra_args: &[&str]) -> Self {
        Self::start_with_env(extra_args, &[])
    }

    /// The same, with variables added to its environment.
    ///
    /// # Panics
    ///
    /// As [`Server::start`].
    pub fn start_with_env(extra_args: &[&str], env: &[(String, String)]) -> Self {
        Self::start_on("127.0.0.1:0", extra_args, env)
    }

    /// The same on an address of the caller's choice: one that a server had before, to come back to
    /// its clients.
    ///
    /// # Panics
    ///
    /// As [`Server::start`].
    pub fn start_on(listen: &str, extra_args: &[&str], env: &[(String, String)]) -> Self {
        let mut args = vec!["--listen", listen];
        args.extend_from_slice(extra_args);
        let process = Process::start(bin("server"), &args, env);
        let line = process.wait_for_stdout(READY, LIMIT);
        let addr =
            address(&line).unwrap_or_else(|| panic!("the server's line `{line}` holds no address"));
        Self { process, addr }
    }

    /// Where it listens; the first address, when it has several.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The address as a client's URI.
    pub fn uri(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// What it has written to stderr until now: its log.
    pub fn stderr(&self) -> String {
        self.process.stderr()
    }

    /// All it has said until now, stdout and stderr.
    pub fn log(&self) -> String {
        self.process.stdout() + &self.process.stderr()
    }

    /// The process, for what has no name here: signals, waiting for a line of the log.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Asks it to stop (SIGTERM) and waits for its end.
    ///
    /// # Panics
    ///
    /// When it does not end.
    pub fn stop(mut self) -> Output {
        self.process.signal("TERM");
        self.process.wait(LIMIT)
    }

    /// Ends it at once (SIGKILL), as a crash would.
    pub fn kill(self) {}
}

fn address(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once(READY)?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_from_the_line() {
        let v4 = address("listening on 127.0.0.1:43210");
        assert_eq!(v4, Some(([127, 0, 0, 1], 43210).into()));
        assert!(address("listening on [::1]:50051").is_some_and(|addr| addr.is_ipv6()));
        assert_eq!(address("listening on nothing"), None);
    }
}
