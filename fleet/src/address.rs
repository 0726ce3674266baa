//! Addresses as keys: a MAC is 48 bits, an IP address has a place (our network, the internet, a group).

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smol_str::{SmolStr, format_smolstr};

/// IEEE 802 MAC address, 48 bits. Serialized as its text for people, as six bytes between machines (as `IpAddr` is).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl FromStr for Mac {
    type Err = String;

    /// `aa:bb:cc:dd:ee:ff`, with `-` or without any separator, in any case.
    fn from_str(text: &str) -> Result<Mac, String> {
        let (mut bits, mut digits) = (0, 0);
        for character in text.bytes() {
            match char::from(character).to_digit(16) {
                Some(digit) if digits < 12 => {
                    bits = bits << 4 | u64::from(digit);
                    digits += 1;
                }
                None if matches!(character, b':' | b'-' | b'.') && digits > 0 => {}
                _ => return Err(bad_mac(text)),
            }
        }
        let [_, _, bytes @ ..] = u64::to_be_bytes(bits);
        if digits == 12 { Ok(Mac(bytes)) } else { Err(bad_mac(text)) }
    }
}

fn bad_mac(text: &str) -> String {
    format!("`{}` is not a MAC address, expected `aa:bb:cc:dd:ee:ff`", text.chars().take(40).collect::<String>())
}

impl Mac {
    /// Broadcast and multicast frames name no device (I/G bit).
    pub fn is_group(self) -> bool {
        self.0[0] & 1 == 1
    }
}

impl Serialize for Mac {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        if out.is_human_readable() { out.collect_str(self) } else { self.0.serialize(out) }
    }
}

impl<'de> Deserialize<'de> for Mac {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Mac, D::Error> {
        if !input.is_human_readable() {
            return <[u8; 6]>::deserialize(input).map(Mac);
        }
        SmolStr::deserialize(input)?.parse().map_err(Error::custom)
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, f] = self.0;
        write!(out, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

/// Where an address is, seen from the site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// Private, link-local or unique-local: RFC 1918, 3927, 4193, 6598.
    Internal,
    /// Multicast or broadcast: nobody in particular.
    Group,
    /// Everything else.
    External,
    /// Unspecified or loopback: no network peer at all.
    Nowhere,
}

/// Directed broadcasts (`x.y.z.255`, `.255.255`) count as groups: nobody owns them in practice.
pub fn place(address: IpAddr) -> Place {
    match address {
        IpAddr::V4(v4) => {
            let octets = v4.octets();
            if v4.is_unspecified() || v4.is_loopback() {
                return Place::Nowhere;
            }
            if v4.is_multicast() || v4.is_broadcast() || octets[0] >= 240 {
                return Place::Group;
            }
            let shared = octets[0] == 100 && (64..128).contains(&octets[1]);
            if v4.is_private() || v4.is_link_local() || shared {
                return if octets[3] == 255 { Place::Group } else { Place::Internal };
            }
            if octets[2] == 255 && octets[3] >= 254 { Place::Group } else { Place::External }
        }
        IpAddr::V6(v6) => {
            if let Some(v4) = v6.to_ipv4_mapped() {
                return place(IpAddr::V4(v4));
            }
            if v6.is_unspecified() || v6.is_loopback() {
                return Place::Nowhere;
            }
            if v6.is_multicast() {
                return Place::Group;
            }
            if v6.is_unique_local() || v6.is_unicast_link_local() { Place::Internal } else { Place::External }
        }
    }
}

/// The network an address lies in: `bits` leading bits kept. Widths beyond the address are taken as the whole.
pub fn prefix(address: IpAddr, bits: u8) -> SmolStr {
    match address {
        IpAddr::V4(v4) => {
            let kept = u32::from(bits.min(32));
            let mask = u32::MAX.checked_shl(32 - kept).unwrap_or(0);
            format_smolstr!("{}/{kept}", std::net::Ipv4Addr::from(u32::from(v4) & mask))
        }
        IpAddr::V6(v6) => {
            let kept = u32::from(bits.min(128));
            let mask = u128::MAX.checked_shl(128 - kept).unwrap_or(0);
            format_smolstr!("{}/{kept}", std::net::Ipv6Addr::from(u128::from(v6) & mask))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macs_in_any_spelling() {
        let mac: Mac = "54:EF:44:a0:00:01".parse().unwrap();
        assert_eq!("54ef44a00001".parse(), Ok(mac));
        assert_eq!(mac.to_string(), "54:ef:44:a0:00:01");
        assert!("54:ef:44:a0:00".parse::<Mac>().unwrap_err().contains("`54:ef:44:a0:00`"));
        assert!("ff:ff:ff:ff:ff:ff".parse::<Mac>().unwrap().is_group());
    }

    #[test]
    fn places() {
        for (text, expected) in [
            ("192.168.10.11", Place::Internal),
            ("192.168.10.255", Place::Group),
            ("239.255.255.250", Place::Group),
            ("8.8.8.8", Place::External),
            ("0.0.0.0", Place::Nowhere),
            ("fe80::1", Place::Internal),
            ("ff02::fb", Place::Group),
            ("2001:db8::1", Place::External),
            ("::ffff:10.0.0.1", Place::Internal),
        ] {
            assert_eq!(place(text.parse().unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn prefixes_keep_leading_bits() {
        assert_eq!(prefix("36.110.233.170".parse().unwrap(), 16), "36.110.0.0/16");
        assert_eq!(prefix("36.110.233.170".parse().unwrap(), 0), "0.0.0.0/0");
        assert_eq!(prefix("2001:db8:1::1".parse().unwrap(), 32), "2001:db8::/32");
    }
}
