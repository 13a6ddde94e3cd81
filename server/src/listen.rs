//! Where the server can be reached: binding its addresses, and saying which they are.

use std::{
    io,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
};

use tokio::net::TcpListener;

/// Why the server cannot listen where it was told to.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Not an address at all.
    #[error(
        "--listen {wish}: {error}; write it as HOST:PORT, for example 127.0.0.1:50051 or [::1]:50051"
    )]
    Address {
        /// What was asked for.
        wish: String,
        /// What the resolver said.
        error: io::Error,
    },
    /// Reachable from outside, and nobody said that this is meant.
    #[error(
        "--listen {0} can be reached from other machines, and calls are not encrypted yet: say --insecure if that is meant, or listen on 127.0.0.1"
    )]
    NotLoopback(SocketAddr),
    /// Somebody else is there.
    #[error(
        "{0} is already in use, by another program (a second server?) or by another --listen of this one: stop that one, or choose another port"
    )]
    InUse(SocketAddr),
    /// A port below 1024, usually.
    #[error("{0} may not be used by this account: choose a port of 1024 or above with --listen")]
    NotPermitted(SocketAddr),
    /// Anything else the operating system said.
    #[error("cannot listen on {addr}: {error}")]
    Other {
        /// Where.
        addr: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
}

const DEFAULT_PORT: u16 = 50_051;

/// Binds every address that was asked for, or this machine's own two on the default port.
///
/// # Errors
/// One of them cannot be had; then none is kept.
pub async fn bind(wishes: &[String], insecure: bool) -> Result<Vec<TcpListener>, ListenError> {
    if wishes.is_empty() {
        return bind_default().await;
    }
    let mut listeners = Vec::new();
    for wish in wishes {
        let addrs = wish
            .to_socket_addrs()
            .map_err(|error| ListenError::Address {
                wish: wish.clone(),
                error,
            })?;
        for addr in addrs {
            if !addr.ip().is_loopback() && !insecure {
                return Err(ListenError::NotLoopback(addr));
            }
            listeners.push(bind_one(addr).await?);
        }
    }
    Ok(listeners)
}

/// A machine without IPv6 still has a server.
async fn bind_default() -> Result<Vec<TcpListener>, ListenError> {
    let v4 = bind_one(SocketAddr::from(([127, 0, 0, 1], DEFAULT_PORT))).await?;
    let v6 = SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], DEFAULT_PORT));
    match bind_one(v6).await {
        Ok(v6) => Ok(vec![v4, v6]),
        Err(error @ ListenError::InUse(_)) => Err(error),
        Err(error) => {
            tracing::info!("not listening on {v6}: {error}");
            Ok(vec![v4])
        }
    }
}

async fn bind_one(addr: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(addr)
        .await
        .map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => ListenError::InUse(addr),
            io::ErrorKind::PermissionDenied => ListenError::NotPermitted(addr),
            _ => ListenError::Other { addr, error },
        })
}

/// The addresses under which other machines reach a listener on `addr`: itself, or all of this
/// machine's when it listens on all of them.
pub fn reachable_from_outside(addr: SocketAddr) -> Vec<SocketAddr> {
    if addr.ip().is_loopback() {
        return Vec::new();
    }
    if !addr.ip().is_unspecified() {
        return vec![addr];
    }
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    interfaces
        .iter()
        .map(if_addrs::Interface::ip)
        // A link-local IPv6 address is of no use without the caller's own interface name.
        .filter(|ip| !ip.is_loopback() && (ip.is_ipv4() || !is_link_local(*ip)))
        .filter(|ip| ip.is_ipv4() || addr.is_ipv6())
        .map(|ip| SocketAddr::new(ip, addr.port()))
        .collect()
}

fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(text: &str) -> Vec<String> {
        vec![text.to_owned()]
    }

    #[tokio::test]
    async fn other_machines_are_let_in_only_when_said_aloud() {
        let error = bind(&wish("0.0.0.0:0"), false).await.unwrap_err();
        assert!(error.to_string().contains("--insecure"), "{error}");
        assert!(bind(&wish("0.0.0.0:0"), true).await.is_ok());
        assert!(bind(&wish("127.0.0.1:0"), false).await.is_ok());
    }

    #[tokio::test]
    async fn an_address_in_use_is_named() {
        let first = bind(&wish("127.0.0.1:0"), false).await.unwrap();
        let taken = first[0].local_addr().unwrap().to_string();
        let error = bind(&wish(&taken), false).await.unwrap_err().to_string();
        assert!(
            error.contains(&taken) && error.contains("in use"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn what_is_no_address_is_explained() {
        for bad in ["", "127.0.0.1", "127.0.0.1:99999", "host name:1"] {
            let error = bind(&wish(bad), false).await.unwrap_err().to_string();
            assert!(error.contains("HOST:PORT"), "{error}");
        }
    }

    #[test]
    fn loopback_is_not_reachable_from_outside() {
        assert!(reachable_from_outside("127.0.0.1:1".parse().unwrap()).is_empty());
        let lan = "192.0.2.7:50051".parse().unwrap();
        assert_eq!(reachable_from_outside(lan), [lan]);
    }
}
