//! Where the server was told to listen, as people write it.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// The port of both services unless another is named.
pub(super) const DEFAULT_PORT: u16 = 50_051;

/// One `--listen`. Port 0 takes a free one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    /// `PORT`: reached from this machine only, by IPv4 and, where there is one, IPv6.
    ThisMachine {
        /// The port, the same for both.
        port: u16,
    },
    /// `HOST` or `HOST:PORT`: every address that the name stands for.
    Host {
        /// A name or an address, an IPv6 address without brackets.
        host: String,
        /// The port, 50051 if none is given.
        port: u16,
    },
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ThisMachine { port } => write!(f, "{port}"),
            Self::Host { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Host { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

/// The text is no address; it says which forms are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadListenAddress {
    /// Neither of the forms.
    #[error(
        "use HOST:PORT, such as 127.0.0.1:50051 or [::1]:50051; HOST alone (port 50051); PORT alone (this machine only); or :PORT (all addresses of this machine)"
    )]
    Form,
    /// The port is none.
    #[error("a port is a number from 0 to 65535; 0 takes a free one")]
    Port,
}

impl FromStr for ListenAddress {
    type Err = BadListenAddress;

    fn from_str(text: &str) -> Result<Self, BadListenAddress> {
        let text = text.trim();
        let host = |host: &str, port| Self::Host {
            host: host.to_owned(),
            port,
        };
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(Self::ThisMachine { port: port(text)? });
        }
        if text.parse::<Ipv6Addr>().is_ok() {
            return Ok(host(text, DEFAULT_PORT));
        }
        if let Some(rest) = text.strip_prefix('[') {
            let (address, rest) = rest.split_once(']').ok_or(BadListenAddress::Form)?;
            address
                .parse::<Ipv6Addr>()
                .map_err(|_| BadListenAddress::Form)?;
            return match rest.strip_prefix(':') {
                Some(number) => Ok(host(address, port(number)?)),
                None if rest.is_empty() => Ok(host(address, DEFAULT_PORT)),
                None => Err(BadListenAddress::Form),
            };
        }
        match text.split_once(':') {
            Some(("", number)) => Ok(host(&Ipv4Addr::UNSPECIFIED.to_string(), port(number)?)),
            Some((name, number)) if is_name(name) => Ok(host(name, port(number)?)),
            None if is_name(text) => Ok(host(text, DEFAULT_PORT)),
            _ => Err(BadListenAddress::Form),
        }
    }
}

fn port(text: &str) -> Result<u16, BadListenAddress> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(port) if is_number => Ok(port),
        _ => Err(BadListenAddress::Port),
    }
}

/// A host's name or an IPv4 address, by its letters.
fn is_name(text: &str) -> bool {
    let of_a_name = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    !text.is_empty() && text.chars().all(of_a_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_all_forms_are_understood() {
        for (text, address) in [
            ("50051", "50051"),
            ("0", "0"),
            (":50051", "0.0.0.0:50051"),
            ("localhost", "localhost:50051"),
            ("192.168.1.5", "192.168.1.5:50051"),
            ("desk.lan:4000", "desk.lan:4000"),
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("::1", "[::1]:50051"),
            ("[::1]", "[::1]:50051"),
            ("[::]:65535", "[::]:65535"),
            (" 127.0.0.1:7 ", "127.0.0.1:7"),
        ] {
            let parsed: ListenAddress = text.parse().expect(text);
            assert_eq!(parsed.to_string(), address, "{text}");
        }
        assert_eq!("7".parse(), Ok(ListenAddress::ThisMachine { port: 7 }));
    }

    #[test]
    fn what_is_no_address_is_explained() {
        for (text, error) in [
            ("", BadListenAddress::Form),
            ("http://a", BadListenAddress::Port),
            ("host name:1", BadListenAddress::Form),
            ("[::1", BadListenAddress::Form),
            ("[::1]x", BadListenAddress::Form),
            ("[a]:1", BadListenAddress::Form),
            ("a/b", BadListenAddress::Form),
            ("65536", BadListenAddress::Port),
            (":", BadListenAddress::Port),
            (":http", BadListenAddress::Port),
            ("127.0.0.1:99999", BadListenAddress::Port),
            ("127.0.0.1:+1", BadListenAddress::Port),
            ("a:b:c", BadListenAddress::Port),
            ("[::1]:", BadListenAddress::Port),
        ] {
            assert_eq!(text.parse::<ListenAddress>(), Err(error), "{text:?}");
        }
    }
}
