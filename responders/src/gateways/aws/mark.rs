//! What is ours, as the thing's attribute `vedette`: `quarantine=ACTION,disable=ACTION/CERTIFICATE/CERTIFICATE`. Only
//! certificates that were active before are in it.

use std::collections::BTreeMap;

use fleet::Level;

use crate::gateways::{Failure, Order};

pub(super) const ATTRIBUTE: &str = "vedette";
/// AWS's limit of an attribute's value.
const LONGEST: usize = 800;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks(BTreeMap<String, Mark>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    pub action: String,
    pub certificates: Vec<String>,
}

/// Whose a level's mark is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Held<'a> {
    Ours(&'a Mark),
    /// Another action of Vedette's.
    Other(&'a str),
    Nobodys,
}

impl Marks {
    pub fn parse(attribute: &str) -> Marks {
        let entries = attribute.split(',').filter_map(|entry| entry.split_once('='));
        let read = entries.map(|(level, rest)| {
            let mut parts = rest.split('/').map(str::to_owned);
            let action = parts.next().unwrap_or_default();
            (level.to_owned(), Mark { action, certificates: parts.collect() })
        });
        Marks(read.collect())
    }

    /// # Errors
    /// It is longer than AWS takes.
    pub fn to_attribute(&self) -> Result<String, Failure> {
        let entry = |(level, mark): (&String, &Mark)| {
            let certificates: String = mark.certificates.iter().map(|id| format!("/{id}")).collect();
            format!("{level}={}{certificates}", mark.action)
        };
        let text = self.0.iter().map(entry).collect::<Vec<_>>().join(",");
        if text.len() > LONGEST {
            return Err(Failure::refused(format!(
                "the thing has more certificates than can be kept in the attribute `{ATTRIBUTE}` ({LONGEST} bytes)"
            )));
        }
        Ok(text)
    }

    pub fn held<'a>(&'a self, order: &Order) -> Held<'a> {
        match self.0.get(order.level.name()) {
            None => Held::Nobodys,
            Some(mark) if mark.action == tag(order) => Held::Ours(mark),
            Some(mark) => Held::Other(&mark.action),
        }
    }

    pub fn with(&self, order: &Order, certificates: Vec<String>) -> Marks {
        let mut marks = self.clone();
        marks.0.insert(order.level.name().to_owned(), Mark { action: tag(order), certificates });
        marks
    }

    pub fn without(&self, level: Level) -> Marks {
        let mut marks = self.clone();
        marks.0.remove(level.name());
        marks
    }
}

/// The action's id, where an attribute may hold it.
fn tag(order: &Order) -> String {
    let fine = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.' | '@' | ':' | '#' | '-');
    let id = &order.action_id;
    if !id.is_empty() && id.len() <= 64 && id.chars().all(fine) {
        return id.clone();
    }
    uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, id.as_bytes()).to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn order(action_id: &str, level: Level) -> Order {
        Order {
            action_id: action_id.to_owned(),
            incident_id: "i".to_owned(),
            device_id: "d".into(),
            level,
            names: BTreeMap::new(),
            further: Vec::new(),
            until: None,
            note: "vedette i".to_owned(),
            receipt: None,
        }
    }

    #[test]
    fn marks_of_two_levels_stand_beside_each_other() {
        let (quarantine, disable) = (order("a-1", Level::Quarantine), order("a-2", Level::Disable));
        let marks =
            Marks::default().with(&quarantine, Vec::new()).with(&disable, vec!["c1".to_owned(), "c2".to_owned()]);
        let text = marks.to_attribute().unwrap();
        assert_eq!(text, "disable=a-2/c1/c2,quarantine=a-1");
        let marks = Marks::parse(&text);
        assert!(matches!(marks.held(&disable), Held::Ours(mark) if mark.certificates == ["c1", "c2"]));
        assert_eq!(marks.held(&order("a-3", Level::Quarantine)), Held::Other("a-1"));
        assert_eq!(marks.without(Level::Quarantine).held(&quarantine), Held::Nobodys);
        assert_eq!(marks.without(Level::Quarantine).without(Level::Disable).to_attribute().unwrap(), "");
    }

    #[test]
    fn ids_and_lists_that_an_attribute_cannot_hold() {
        let odd = order("a, b=c", Level::Quarantine);
        let marks = Marks::parse(&Marks::default().with(&odd, Vec::new()).to_attribute().unwrap());
        assert!(matches!(marks.held(&odd), Held::Ours(_)));
        let many = Marks::default().with(&odd, vec!["0".repeat(64); 13]);
        assert!(many.to_attribute().unwrap_err().message.contains("more certificates"));
    }
}
