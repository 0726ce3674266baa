//! Which addresses an order means, and which may never be meant.

use std::net::IpAddr;
use std::str::FromStr;

use fleet::{Level, Mac};
use ipnet::Ipv4Net;
use serde_json::Value;

use super::rules::{hardware_set, set_for};
use super::state::Element;
use crate::gateways::{Failure, Key, Order};

/// What a device is known by at this gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub address: IpAddr,
    pub hardware: Option<Mac>,
}

impl Target {
    /// # Errors
    /// No address, one that is none, or one that is no single device's.
    pub fn of(order: &Order, with_hardware: bool) -> Result<Target, Failure> {
        let text = order.name(Key::Ip)?;
        let address: IpAddr = text.parse().map_err(|_| {
            Failure::refused(format!("`{text}` is no address, expected one like 10.20.0.42; correct the inventory"))
        })?;
        let address = address.to_canonical();
        if let Some(what) = nobodys(address) {
            return Err(Failure::refused(format!("`{address}` is {what}, expected the address of one device")));
        }
        let hardware = match order.names.get(&Key::Mac) {
            Some(text) if with_hardware && order.level == Level::Quarantine => Some(hardware(text)?),
            _ => None,
        };
        Ok(Target { address, hardware })
    }

    pub fn elements(&self, level: Level) -> Vec<Element> {
        let mut elements = vec![Element { set: set_for(level, self.address), value: self.address.to_string() }];
        if let Some(mac) = self.hardware {
            elements.push(Element { set: hardware_set(), value: mac.to_string() });
        }
        elements
    }

    /// # Errors
    /// It is one of `own`: addresses and hardware addresses, any others are passed over.
    pub fn is_none_of<'a>(&self, own: impl IntoIterator<Item = &'a str>) -> Result<(), Failure> {
        for name in own {
            let is_address = IpAddr::from_str(name).is_ok_and(|own| own.to_canonical() == self.address);
            let is_hardware = self.hardware.is_some_and(|mac| Mac::from_str(name).is_ok_and(|own| own == mac));
            if is_address || is_hardware {
                let message = format!("`{name}` is the gateway's own, or one of ours; it is never restricted");
                return Err(Failure::refused(message));
            }
        }
        Ok(())
    }
}

fn hardware(text: &str) -> Result<Mac, Failure> {
    let wrong = || Failure::refused(format!("`{text}` is no device's hardware address; correct the inventory"));
    let mac = Mac::from_str(text).map_err(|_| wrong())?;
    if mac.is_group() || mac.0 == [0; 6] {
        return Err(wrong());
    }
    Ok(mac)
}

fn nobodys(address: IpAddr) -> Option<&'static str> {
    if address.is_loopback() {
        return Some("a loopback address");
    }
    if address.is_unspecified() {
        return Some("the unspecified address");
    }
    if address.is_multicast() {
        return Some("a multicast address");
    }
    match address {
        IpAddr::V4(v4) if v4.is_broadcast() => Some("the broadcast address"),
        IpAddr::V4(v4) if v4.octets()[0] == 0 => Some("an address of this network"),
        IpAddr::V6(v6) if v6.is_unicast_link_local() => Some("a link-local address, which no gateway forwards"),
        _ => None,
    }
}

/// The gateway's own addresses, and its networks' first and last, which are nobody's, from `ip -j addr`.
///
/// # Errors
/// It is not what `ip` writes.
pub fn addresses(listing: &str) -> Result<Vec<String>, String> {
    let listing: Value = serde_json::from_str(listing).map_err(|error| format!("its list is not JSON: {error}"))?;
    let interfaces = listing.as_array().ok_or("its list has no interfaces")?;
    let mut own = Vec::new();
    for interface in interfaces {
        own.extend(interface["address"].as_str().map(str::to_owned));
        for address in interface["addr_info"].as_array().into_iter().flatten() {
            let Some(local) = address["local"].as_str() else { continue };
            own.push(local.to_owned());
            let net = format!("{local}/{}", address["prefixlen"]).parse::<Ipv4Net>();
            // Point to point links have no broadcast.
            if let Some(net) = net.ok().filter(|net| net.prefix_len() < 31) {
                own.extend([net.network(), net.broadcast()].iter().map(ToString::to_string));
            }
        }
    }
    Ok(own)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn order(names: &[(Key, &str)]) -> Order {
        Order {
            action_id: "a1".to_owned(),
            incident_id: "i1".to_owned(),
            device_id: "cam-1".into(),
            level: Level::Quarantine,
            names: names.iter().map(|(key, name)| (*key, (*name).into())).collect::<BTreeMap<_, _>>(),
            further: Vec::new(),
            until: None,
            note: "vedette test".to_owned(),
            receipt: None,
        }
    }

    #[test]
    fn only_one_devices_address_will_do() {
        for wrong in [
            "",
            "cam-1",
            "10.0.0.0/24",
            "127.0.0.1",
            "::1",
            "0.0.0.0",
            "::",
            "0.1.2.3",
            "224.0.0.1",
            "ff02::1",
            "255.255.255.255",
            "fe80::1",
            "fe80::1%eth0",
            "::ffff:127.0.0.1",
        ] {
            assert!(Target::of(&order(&[(Key::Ip, wrong)]), false).is_err(), "{wrong}");
        }
        let mapped = Target::of(&order(&[(Key::Ip, "::ffff:10.0.0.7")]), false).unwrap();
        assert_eq!(mapped.elements(Level::Quarantine)[0].value, "10.0.0.7");
        let long = Target::of(&order(&[(Key::Ip, "2001:0db8:0:0::0001")]), false).unwrap();
        assert_eq!(long.elements(Level::Quarantine)[0].value, "2001:db8::1");
        assert!(Target::of(&order(&[(Key::Mac, "02:00:00:00:00:01")]), false).is_err());
    }

    #[test]
    fn hardware_addresses_are_taken_where_asked_for() {
        let names = [(Key::Ip, "10.0.0.7"), (Key::Mac, "02-00-00-00-00-0A")];
        assert_eq!(Target::of(&order(&names), false).unwrap().elements(Level::Quarantine).len(), 1);
        let both = Target::of(&order(&names), true).unwrap().elements(Level::Quarantine);
        assert_eq!(both[1], Element { set: "quarantine_mac".to_owned(), value: "02:00:00:00:00:0a".to_owned() });
        let everybody = [(Key::Ip, "10.0.0.7"), (Key::Mac, "ff:ff:ff:ff:ff:ff")];
        assert!(Target::of(&order(&everybody), true).is_err());
    }

    #[test]
    fn own_addresses_are_known_in_every_spelling() {
        let target = Target::of(&order(&[(Key::Ip, "2001:db8::1"), (Key::Mac, "02:00:00:00:00:0a")]), true).unwrap();
        assert!(target.is_none_of(["2001:db8:0::1"]).is_err());
        assert!(target.is_none_of(["02-00-00-00-00-0a"]).is_err());
        assert!(target.is_none_of(["2001:db8::2", "nobody"]).is_ok());
    }

    #[test]
    fn addresses_of_the_gateway_are_read() {
        let listing = r#"[{"ifname": "eth0", "address": "02:00:00:00:00:01", "addr_info": [
            {"family": "inet", "local": "10.0.0.1", "prefixlen": 24},
            {"family": "inet", "local": "192.0.2.1", "prefixlen": 32},
            {"family": "inet6", "local": "2001:db8::1", "prefixlen": 64}]}]"#;
        let expected = ["02:00:00:00:00:01", "10.0.0.1", "10.0.0.0", "10.0.0.255", "192.0.2.1", "2001:db8::1"];
        assert_eq!(addresses(listing).unwrap(), expected);
        assert!(addresses("Object \"x\" is unknown").is_err());
    }
}
