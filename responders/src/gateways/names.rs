//! A device's names as gateways get them: one spelling each, and nothing that is no name.

use std::net::IpAddr;

use fleet::Mac;

use crate::gateways::{Failure, Key};

/// Longer than any name a product takes.
const LONGEST: usize = 512;

/// MAC addresses in lower case with colons, IP addresses in their shortest form, all else as it is.
///
/// # Errors
/// It cannot be a name of this kind, or would hit more than one device.
pub fn one_spelling(key: Key, name: &str) -> Result<String, Failure> {
    match key {
        Key::Mac => mac(name),
        Key::Ip => ip(name),
        _ => {
            let no_name = name.is_empty() || name.len() > LONGEST || name.chars().any(char::is_control);
            if no_name {
                return Err(unfit(key, name, "1 to 512 bytes without control characters"));
            }
            Ok(name.to_owned())
        }
    }
}

fn mac(name: &str) -> Result<String, Failure> {
    let address: Option<Mac> = name.parse().ok();
    match address.filter(|address| !address.is_group() && address.0 != [0; 6]) {
        Some(address) => Ok(address.to_string()),
        None => Err(unfit(Key::Mac, name, "one device's address such as `02:00:00:00:00:2a`")),
    }
}

fn ip(name: &str) -> Result<String, Failure> {
    let Ok(address) = name.parse::<IpAddr>() else {
        return Err(unfit(Key::Ip, name, "an address such as `10.0.0.42`, without a length"));
    };
    let address = address.to_canonical();
    let broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    if address.is_unspecified() || address.is_loopback() || address.is_multicast() || broadcast {
        return Err(unfit(Key::Ip, name, "one device's address"));
    }
    Ok(address.to_string())
}

fn unfit(key: Key, name: &str, expected: &str) -> Failure {
    let shown: String = name.escape_debug().take(80).collect();
    Failure::refused(format!("{key} `{shown}` is no target, expected {expected}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling_of_each() {
        for spelling in ["AA-BB-CC-DD-EE-0F", "aabb.ccdd.ee0f", "aabbccddee0f", "aa:bb:cc:dd:ee:0f"] {
            assert_eq!(one_spelling(Key::Mac, spelling).unwrap(), "aa:bb:cc:dd:ee:0f");
        }
        assert_eq!(one_spelling(Key::Ip, "2001:DB8:0::1").unwrap(), "2001:db8::1");
        assert_eq!(one_spelling(Key::Ip, "::ffff:10.0.0.4").unwrap(), "10.0.0.4");
        assert_eq!(one_spelling(Key::ClientId, "a b/ü").unwrap(), "a b/ü");
    }

    #[test]
    fn what_is_no_target() {
        for (key, name) in [
            (Key::Mac, "ff:ff:ff:ff:ff:ff"),
            (Key::Mac, "01:00:5e:00:00:01"),
            (Key::Mac, "00:00:00:00:00:00"),
            (Key::Mac, "aa:bb:cc:dd:ee"),
            (Key::Mac, "éééééé"),
            (Key::Ip, "10.0.0.0/8"),
            (Key::Ip, "0.0.0.0"),
            (Key::Ip, "255.255.255.255"),
            (Key::Ip, "127.0.0.1"),
            (Key::Ip, "::"),
            (Key::ClientId, ""),
            (Key::ClientId, "a\r\nb"),
        ] {
            assert!(one_spelling(key, name).is_err(), "{key} {name}");
        }
    }
}
