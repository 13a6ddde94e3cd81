//! What can be said on the command line.

use std::{fmt, net::Ipv6Addr, str::FromStr};

use clap::Parser;

const DEFAULT_PORT: u16 = 50_051;

const EXAMPLES: &str = "\
Examples:
  ticker-client AAPL GOOGL                     live quotes until Ctrl-C
  ticker-client --server quotes.lan BRK.B      from another machine
  ticker-client --json --count 10 TSLA | jq .  ten updates, for a program

While it runs, symbols typed on the standard input are added.

Each line of --json has the keys ticker_symbol, current_price, price_change (both in dollars),
change_percent, timestamp (seconds since 1970) and volume (shares). Times on a line are UTC.

Exit codes: 0 good, 1 cannot write, 2 usage, 3 no connection or connection lost, 4 rejected by the
server.";

/// Shows live quotes from the stock ticker, one line for each update.
#[derive(Debug, Clone, Parser)]
#[command(name = "ticker-client", version, after_help = EXAMPLES)]
pub struct Args {
    /// Symbols to subscribe to, such as AAPL or BRK.B; lower case is accepted.
    #[arg(value_name = "SYMBOL", required = true)]
    pub symbols: Vec<String>,

    /// The server to ask.
    #[arg(long, value_name = "HOST[:PORT]", default_value = "127.0.0.1:50051")]
    pub server: ServerAddress,

    /// Stop after this many updates, of all symbols together.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,

    /// Print each update as one line of JSON.
    #[arg(long)]
    pub json: bool,
}

/// Where a server listens: a name or an address, and a port, 50051 if none is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAddress {
    /// As it stands in a URI, an IPv6 address in brackets.
    host: String,
    port: u16,
}

impl ServerAddress {
    /// The address as a client's URI.
    pub fn uri(&self) -> String {
        format!("http://{self}")
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// The text is no address; it says which forms are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("use HOST or HOST:PORT, such as localhost, 192.168.1.5:50051 or [::1]:50051")]
pub struct BadAddress;

impl FromStr for ServerAddress {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let (host, port) = if text.parse::<Ipv6Addr>().is_ok() {
            (format!("[{text}]"), None)
        } else if let Some(rest) = text.strip_prefix('[') {
            let (address, rest) = rest.split_once(']').ok_or(BadAddress)?;
            address.parse::<Ipv6Addr>().map_err(|_| BadAddress)?;
            let port = match rest {
                "" => None,
                rest => Some(rest.strip_prefix(':').ok_or(BadAddress)?),
            };
            (format!("[{address}]"), port)
        } else {
            let (host, port) = match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            };
            let of_a_name = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
            if host.is_empty() || !host.chars().all(of_a_name) {
                return Err(BadAddress);
            }
            (host.to_owned(), port)
        };
        let port = match port {
            None => DEFAULT_PORT,
            Some(port) => port.parse().map_err(|_| BadAddress)?,
        };
        if port == 0 {
            return Err(BadAddress);
        }
        Ok(Self { host, port })
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn addresses_of_all_forms_are_understood() {
        for (text, address) in [
            ("localhost", "localhost:50051"),
            ("quotes.lan:4000", "quotes.lan:4000"),
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("::1", "[::1]:50051"),
            ("[::1]", "[::1]:50051"),
            ("[fe80::2]:65535", "[fe80::2]:65535"),
        ] {
            let parsed: ServerAddress = text.parse().expect(text);
            assert_eq!(parsed.to_string(), address);
            assert!(
                parsed.uri().parse::<tonic::transport::Uri>().is_ok(),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "", ":1", "a:", "a:0", "a:65536", "a:-1", "a:b:c", "http://a", "a b", "u@a", "[::1",
            "[::1]x", "[a]:1", "a/b",
        ] {
            assert_eq!(text.parse::<ServerAddress>(), Err(BadAddress), "{text:?}");
        }
    }
}
