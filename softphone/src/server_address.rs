//! `HOST[:PORT]`, as people write a server's address.

use std::{fmt, str::FromStr};

/// The port of the call centre unless another is named.
const DEFAULT_PORT: u16 = 50_051;

/// Where the server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAddress {
    host: String,
    port: u16,
}

impl ServerAddress {
    /// The address as gRPC wants it.
    pub fn uri(&self) -> String {
        format!("http://{self}")
    }
}

impl FromStr for ServerAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is not HOST[:PORT]; write it like 192.168.1.20, callhost:50051 or [::1]:50051"
            )
        };
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (host, rest) = rest.split_once(']').ok_or_else(wrong)?;
            (
                host,
                rest.strip_prefix(':').or(rest.is_empty().then_some("")),
            )
        } else {
            match text.matches(':').count() {
                0 => (text, Some("")),
                1 => text
                    .split_once(':')
                    .map(|(host, port)| (host, Some(port)))
                    .ok_or_else(wrong)?,
                // An IPv6 address without brackets cannot have a port.
                _ => (text, Some("")),
            }
        };
        let port = match port.ok_or_else(wrong)? {
            "" if text.ends_with(':') && !text.ends_with("::") => return Err(wrong()),
            "" => DEFAULT_PORT,
            port => port.parse().map_err(|_| wrong())?,
        };
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
        if host.is_empty() || port == 0 || !host.chars().all(legal) {
            return Err(wrong());
        }
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_write_addresses_in_many_ways() {
        for (text, shown) in [
            ("127.0.0.1", "127.0.0.1:50051"),
            ("callhost:6000", "callhost:6000"),
            ("[::1]:6000", "[::1]:6000"),
            ("[::1]", "[::1]:50051"),
            ("::1", "[::1]:50051"),
            ("fe80::", "[fe80::]:50051"),
        ] {
            let address: ServerAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), shown, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_an_example() {
        for bad in [
            "",
            ":50051",
            "host:",
            "host:x",
            "host:0",
            "host:70000",
            "[::1",
            "[::1]x",
            "a b",
            "http://h",
        ] {
            let error = bad.parse::<ServerAddress>().unwrap_err();
            assert!(error.contains("callhost:50051"), "{bad}: {error}");
        }
    }
}
