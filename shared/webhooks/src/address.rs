//! The addresses that a webhook may reach: public ones.
//!
//! Sources: the IANA registries of special-purpose IPv4 and IPv6 addresses, and RFC 4291, RFC 6052, RFC 8215. An address of
//! the network's own NAT64 prefix (RFC 6052, section 2.2) looks like any public address: only a firewall can hold it back.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

/// An address that is not public, with its class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the endpoint's address is {0}: webhooks go to public addresses only")]
pub struct AddressError(&'static str);

const LOOPBACK: &str = "a loopback address";
const PRIVATE: &str = "a private address";
const LINK_LOCAL: &str = "a link-local address";
const MULTICAST: &str = "a multicast address";
const UNSPECIFIED: &str = "an unspecified address";
const PROTOCOL: &str = "an address for protocols";
const DOCUMENTATION: &str = "an address for documentation";
const BENCHMARKS: &str = "an address for benchmarks";
const RESERVED: &str = "a reserved address";

/// IPv4 addresses that are not public. The first range that contains an address names its class.
const NOT_PUBLIC_V4: [(Ipv4Net, &str); 17] = [
    (v4([0, 0, 0, 0], 8), UNSPECIFIED),
    (v4([10, 0, 0, 0], 8), PRIVATE),
    (v4([100, 64, 0, 0], 10), "an address of a carrier's NAT"),
    (v4([127, 0, 0, 0], 8), LOOPBACK),
    // Microsoft Azure serves its machines' agents at this address, which is public elsewhere.
    (v4([168, 63, 129, 16], 32), "an address of a cloud platform"),
    // Cloud platforms serve the credentials of a machine at 169.254.169.254.
    (v4([169, 254, 0, 0], 16), LINK_LOCAL),
    (v4([172, 16, 0, 0], 12), PRIVATE),
    (v4([192, 0, 0, 0], 24), PROTOCOL),
    (v4([192, 0, 2, 0], 24), DOCUMENTATION),
    (v4([192, 88, 99, 0], 24), "an address of a 6to4 relay"),
    (v4([192, 168, 0, 0], 16), PRIVATE),
    (v4([198, 18, 0, 0], 15), BENCHMARKS),
    (v4([198, 51, 100, 0], 24), DOCUMENTATION),
    (v4([203, 0, 113, 0], 24), DOCUMENTATION),
    (v4([224, 0, 0, 0], 4), MULTICAST),
    (v4([255, 255, 255, 255], 32), "the broadcast address"),
    (v4([240, 0, 0, 0], 4), RESERVED),
];

/// IPv6 addresses that are not public. The first range that contains an address names its class.
const NOT_PUBLIC_V6: [(Ipv6Net, &str); 15] = [
    (v6([0, 0, 0, 0, 0, 0, 0, 0], 128), UNSPECIFIED),
    (v6([0, 0, 0, 0, 0, 0, 0, 1], 128), LOOPBACK),
    (
        v6([0, 0, 0, 0, 0, 0, 0, 0], 96),
        "an IPv4-compatible address",
    ),
    (
        v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96),
        "an IPv4-mapped address",
    ),
    (
        v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48),
        "a local NAT64 address",
    ),
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32), "a Teredo address"),
    (v6([0x2001, 2, 0, 0, 0, 0, 0, 0], 48), BENCHMARKS),
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23), PROTOCOL),
    (v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32), DOCUMENTATION),
    (v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16), "a 6to4 address"),
    (v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), DOCUMENTATION),
    (v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7), PRIVATE),
    (v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10), LINK_LOCAL),
    (
        v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10),
        "a site-local address",
    ),
    (v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8), MULTICAST),
];

/// The only IPv6 addresses that IANA assigns to the public network.
const GLOBAL_UNICAST: Ipv6Net = v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);

/// IPv6 addresses that a network translates to the IPv4 address in their last 32 bits.
const NAT64: Ipv6Net = v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96);

const fn v4(address: [u8; 4], prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::from_octets(address), prefix)
}

const fn v6(address: [u16; 8], prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::from_segments(address), prefix)
}

/// Accepts a public address; in sandbox mode a loopback address, too.
pub(crate) fn check(address: IpAddr, sandbox_mode: bool) -> Result<(), AddressError> {
    let class = match address {
        IpAddr::V4(address) => class_v4(address),
        IpAddr::V6(address) => class_v6(address),
    };
    match class {
        None => Ok(()),
        Some(LOOPBACK) if sandbox_mode => Ok(()),
        Some(class) => Err(AddressError(class)),
    }
}

/// Returns the class of an address that is not public.
fn class_v4(address: Ipv4Addr) -> Option<&'static str> {
    let mut ranges = NOT_PUBLIC_V4.iter();
    let found = ranges.find(|(range, _)| range.contains(&address));
    found.map(|(_, class)| *class)
}

/// Returns the class of an address that is not public.
fn class_v6(address: Ipv6Addr) -> Option<&'static str> {
    if NAT64.contains(&address) {
        let [.., a, b, c, d] = address.octets();
        return class_v4(Ipv4Addr::new(a, b, c, d))
            .map(|_| "a NAT64 address of an IPv4 address that is not public");
    }
    let mut ranges = NOT_PUBLIC_V6.iter();
    let found = ranges.find(|(range, _)| range.contains(&address));
    let class = found.map(|(_, class)| *class);
    class.or((!GLOBAL_UNICAST.contains(&address)).then_some(RESERVED))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(address: &str) -> Option<&'static str> {
        let refused = check(address.parse().unwrap(), false);
        refused.err().map(|AddressError(class)| class)
    }

    #[test]
    fn addresses_that_are_not_public_are_refused_by_their_class() {
        for (addresses, expected) in [
            // The first and the last address of each range.
            ("0.0.0.0 0.255.255.255 ::", UNSPECIFIED),
            (
                "10.0.0.0 10.255.255.255 172.16.0.0 172.31.255.255 192.168.0.0 192.168.255.255",
                PRIVATE,
            ),
            (
                "fc00:: fd00:ec2::254 fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
                PRIVATE,
            ),
            (
                "100.64.0.0 100.100.100.200 100.127.255.255",
                "an address of a carrier's NAT",
            ),
            ("127.0.0.0 127.0.0.1 127.255.255.255 ::1", LOOPBACK),
            ("168.63.129.16", "an address of a cloud platform"),
            (
                "169.254.0.0 169.254.169.254 169.254.255.255 fe80:: fe80::1 febf:ffff::1",
                LINK_LOCAL,
            ),
            (
                "192.0.0.0 192.0.0.192 192.0.0.255 2001:1::1 2001:20:: 2001:1ff:ffff::1",
                PROTOCOL,
            ),
            (
                "192.0.2.0 192.0.2.255 198.51.100.0 198.51.100.255",
                DOCUMENTATION,
            ),
            ("203.0.113.0 203.0.113.255", DOCUMENTATION),
            (
                "2001:db8:: 2001:db8:ffff::1 3fff:: 3fff:fff:ffff::1",
                DOCUMENTATION,
            ),
            ("192.88.99.0 192.88.99.255", "an address of a 6to4 relay"),
            ("198.18.0.0 198.19.255.255 2001:2::1", BENCHMARKS),
            ("224.0.0.0 239.255.255.255 ff00:: ff02::1", MULTICAST),
            ("240.0.0.0 255.255.255.254", RESERVED),
            ("255.255.255.255", "the broadcast address"),
            (
                "::7f00:1 ::10.0.0.1 ::8.8.8.8",
                "an IPv4-compatible address",
            ),
            (
                "::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:8.8.8.8",
                "an IPv4-mapped address",
            ),
            (
                "64:ff9b:1:: 64:ff9b:1::8.8.8.8 64:ff9b:1:ffff:ffff:ffff:ffff:ffff",
                "a local NAT64 address",
            ),
            ("2001:: 2001::1 2001:0:ffff::1", "a Teredo address"),
            ("2002:: 2002:7f00:1:: 2002:808:808::1", "a 6to4 address"),
            ("fec0:: feff:ffff::1", "a site-local address"),
            // IPv4-translated (RFC 2765), discard (RFC 6666), segment routing (RFC 9602), and ranges without an assignment.
            (
                "::ffff:0:127.0.0.1 100::1 5f00::1 64:ff9b:2::1 1fff:ffff::1 4000:: fbff:ffff::1",
                RESERVED,
            ),
        ] {
            for address in addresses.split(' ') {
                assert_eq!(class(address), Some(expected), "{address}");
            }
        }
    }

    #[test]
    fn a_nat64_address_is_as_public_as_the_ipv4_address_in_it() {
        for (address, is_public) in [
            ("64:ff9b::8.8.8.8", true),
            ("64:ff9b::127.0.0.1", false),
            ("64:ff9b::10.0.0.1", false),
            ("64:ff9b::169.254.169.254", false),
        ] {
            let address: IpAddr = address.parse().unwrap();
            for sandbox_mode in [false, true] {
                assert_eq!(check(address, sandbox_mode).is_ok(), is_public, "{address}");
            }
        }
    }

    #[test]
    fn public_addresses_are_accepted() {
        for address in [
            "1.0.0.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "168.63.129.15",
            "168.63.129.17",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.0.3.0",
            "192.88.98.255",
            "192.88.100.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "198.51.99.255",
            "198.51.101.0",
            "203.0.112.255",
            "203.0.114.0",
            "223.255.255.255",
            "2000::1",
            "2001:200::1",
            "2001:db7::1",
            "2001:db9::1",
            "2003::1",
            "2606:4700:4700::1111",
            "3ffe::1",
            "3fff:1000::1",
        ] {
            assert_eq!(class(address), None, "{address}");
        }
    }

    #[test]
    fn sandbox_mode_adds_loopback_addresses_and_no_others() {
        for (address, is_accepted) in [
            ("127.0.0.1", true),
            ("127.255.255.254", true),
            ("::1", true),
            ("8.8.8.8", true),
            ("0.0.0.0", false),
            ("::", false),
            ("::ffff:127.0.0.1", false),
            ("10.0.0.1", false),
            ("192.168.1.1", false),
            ("169.254.169.254", false),
            ("fd00:ec2::254", false),
        ] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(check(address, true).is_ok(), is_accepted, "{address}");
        }
    }
}
