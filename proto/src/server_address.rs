//! `HOST[:PORT]`, as people write a server's address.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

/// The port of both services unless another is named.
const DEFAULT_PORT: u16 = 50_051;

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

    /// The name or address alone; an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether the address is one at which only this machine reaches itself.
    pub fn is_this_machine(&self) -> bool {
        let address = self.host.trim_matches(['[', ']']);
        self.host.eq_ignore_ascii_case("localhost")
            || address
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback())
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
    use super::*;

    #[test]
    fn loopback_is_this_machine_by_name_and_by_address() {
        for (text, is_this_machine) in [
            ("localhost", true),
            ("127.0.0.1:7000", true),
            ("127.8.8.8", true),
            ("[::1]:1", true),
            ("192.168.1.5", false),
            ("localhost.example.org", false),
        ] {
            let address: ServerAddress = text.parse().unwrap();
            assert_eq!(address.is_this_machine(), is_this_machine, "{text}");
        }
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
                parsed.uri().parse::<tonic::codegen::http::Uri>().is_ok(),
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
