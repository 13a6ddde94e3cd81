//! What counts as one address.

use std::net::{IpAddr, Ipv6Addr};

/// Of every eight places, so many can go to one address: somebody else finds one.
const SHARE: usize = 7;

/// The party behind an address: of IPv6 the network of 64 bits, in which one machine can have any
/// number of addresses.
pub(crate) fn party(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) if !ip.is_loopback() => {
            let network = u128::from(ip) >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from(network))
        }
        ip => ip,
    }
}

/// How many of `max` places one address can have.
pub(super) fn share_of_one(max: usize) -> usize {
    max - max / 8 * (8 - SHARE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn party_of(text: &str) -> String {
        party(text.parse().unwrap()).to_string()
    }

    #[test]
    fn a_network_of_64_bits_is_one_party_and_a_mapped_address_is_what_it_maps() {
        assert_eq!(party_of("192.0.2.7"), "192.0.2.7");
        assert_eq!(party_of("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(party_of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(party_of("::1"), "::1");
    }

    #[test]
    fn an_eighth_is_left_for_others_where_there_are_eight() {
        assert_eq!(share_of_one(3), 3);
        assert_eq!(share_of_one(8), 7);
        assert_eq!(share_of_one(4_096), 3_584);
    }
}
