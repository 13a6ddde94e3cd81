//! Where the server can be reached: binding its addresses, and saying which they are.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs},
};

use tokio::net::TcpListener;

use super::listen_address::{DEFAULT_PORT, ListenAddress};

/// Why the server cannot listen where it was told to.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// A name that stands for no address.
    #[error("--listen {wish}: {error}; name a host or an address of this machine")]
    Address {
        /// What was asked for.
        wish: ListenAddress,
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

/// Binds every address that was asked for, or this machine's own two on the default port.
///
/// # Errors
/// One of them cannot be had; then none is kept.
pub async fn bind(
    wishes: &[ListenAddress],
    insecure: bool,
) -> Result<Vec<TcpListener>, ListenError> {
    if wishes.is_empty() {
        return bind_this_machine(DEFAULT_PORT).await;
    }
    let mut listeners = Vec::new();
    for wish in wishes {
        let (host, port) = match wish {
            ListenAddress::ThisMachine { port } => {
                listeners.append(&mut bind_this_machine(*port).await?);
                continue;
            }
            ListenAddress::Host { host, port } => (host, *port),
        };
        let addrs =
            (host.as_str(), port)
                .to_socket_addrs()
                .map_err(|error| ListenError::Address {
                    wish: wish.clone(),
                    error,
                })?;
        listeners.append(&mut bind_each(addrs, insecure).await?);
    }
    Ok(listeners)
}

/// All that a name stands for: each address once, without those that this machine does not have. Hosts
/// files name some addresses twice, and others that are of another network.
async fn bind_each(
    addrs: impl Iterator<Item = SocketAddr>,
    insecure: bool,
) -> Result<Vec<TcpListener>, ListenError> {
    let (mut bound, mut listeners, mut not_ours) = (Vec::new(), Vec::new(), None);
    for addr in addrs {
        if bound.contains(&addr) {
            continue;
        }
        if !addr.ip().is_loopback() && !insecure {
            return Err(ListenError::NotLoopback(addr));
        }
        match bind_one(addr).await {
            Ok(listener) => {
                bound.push(addr);
                listeners.push(listener);
            }
            Err(ListenError::Other { addr, error })
                if error.kind() == io::ErrorKind::AddrNotAvailable =>
            {
                not_ours = Some(ListenError::Other { addr, error });
            }
            Err(error) => return Err(error),
        }
    }
    match not_ours {
        Some(error) if listeners.is_empty() => Err(error),
        _ => Ok(listeners),
    }
}

/// A machine without IPv6 still has a server.
async fn bind_this_machine(port: u16) -> Result<Vec<TcpListener>, ListenError> {
    let v4 = bind_one(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
    // Of a free port that was taken, the same.
    let port = v4.local_addr().map_or(port, |addr| addr.port());
    let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, port));
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

    fn wish(text: &str) -> Vec<ListenAddress> {
        vec![text.parse().unwrap()]
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
    async fn a_port_alone_is_this_machines_and_one_with_a_colon_is_everybodys() {
        let own = bind(&wish("0"), false).await.unwrap();
        let addrs: Vec<_> = own.iter().map(|own| own.local_addr().unwrap()).collect();
        assert!(addrs[0].is_ipv4(), "{addrs:?}");
        for addr in &addrs {
            assert!(addr.ip().is_loopback(), "{addrs:?}");
            assert_eq!(addr.port(), addrs[0].port(), "{addrs:?}");
        }
        let error = bind(&wish(":0"), false).await.unwrap_err();
        assert!(matches!(error, ListenError::NotLoopback(_)), "{error}");
        assert!(bind(&wish(":0"), true).await.is_ok());
    }

    #[tokio::test]
    async fn of_a_name_each_address_that_is_ours_is_bound_once() {
        let own = bind(&wish("127.0.0.1:0"), false).await.unwrap();
        let free = own[0].local_addr().unwrap();
        drop(own);
        // TEST-NET-1 is nobody's.
        let elsewhere = SocketAddr::from(([192, 0, 2, 7], free.port()));
        let addrs = [free, elsewhere, free].into_iter();
        let listeners = bind_each(addrs, true).await.unwrap();
        assert_eq!(listeners.len(), 1);
        assert_eq!(listeners[0].local_addr().unwrap(), free);
        let error = bind_each([elsewhere].into_iter(), true).await.unwrap_err();
        assert!(error.to_string().contains("192.0.2.7"), "{error}");
    }

    #[tokio::test]
    async fn a_name_that_stands_for_no_address_is_told() {
        let error = bind(&wish("no-such-host.invalid"), false)
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains("no-such-host.invalid:50051"), "{error}");
    }

    #[test]
    fn loopback_is_not_reachable_from_outside() {
        assert!(reachable_from_outside("127.0.0.1:1".parse().unwrap()).is_empty());
        let lan = "192.0.2.7:50051".parse().unwrap();
        assert_eq!(reachable_from_outside(lan), [lan]);
    }
}
