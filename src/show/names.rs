//! A name that nothing has: the error lists those like it, and says how to see them all.

use crate::config::Misuse;

const SHOWN: usize = 5;

/// `what` it should name; `remedy`: how to see all of them.
pub fn unknown<'a>(what: &str, wanted: &str, names: impl IntoIterator<Item = &'a str>, remedy: &str) -> anyhow::Error {
    let names: Vec<&str> = names.into_iter().collect();
    let near = nearest(wanted, &names);
    let text = if names.is_empty() {
        format!("there is no {what} `{wanted}`, nor any other; {remedy}")
    } else if near.is_empty() {
        format!("there is no {what} `{wanted}` among {}; {remedy}", names.len())
    } else {
        let verb = if near.len() == 1 { "is" } else { "are" };
        let near: Vec<String> = near.iter().map(|name| format!("`{name}`")).collect();
        format!("there is no {what} `{wanted}`; near it {verb} {}; {remedy}", near.join(", "))
    };
    Misuse(text).into()
}

/// At most five: those that hold the wanted text, then those a few letters away, nearest first. Only letters and digits
/// count.
fn nearest<'a>(wanted: &str, names: &[&'a str]) -> Vec<&'a str> {
    let plain = |name: &str| -> String { name.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect() };
    let wanted = plain(wanted);
    let most = (wanted.chars().count() / 3).max(2);
    let mut near: Vec<(usize, &str)> = Vec::new();
    for name in names {
        let name_plain = plain(name);
        let away = if !wanted.is_empty() && name_plain.contains(&wanted) { 0 } else { distance(&wanted, &name_plain) };
        if away <= most {
            near.push((away, *name));
        }
    }
    near.sort_unstable();
    near.dedup();
    near.into_iter().take(SHOWN).map(|(_, name)| name).collect()
}

/// Letters to insert, remove or exchange (Levenshtein 1966), row by row.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (index, letter) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, other) in b.iter().enumerate() {
            let exchanged = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = exchanged.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("same", "same"), 0);
    }

    #[test]
    fn near_names_and_the_remedy() {
        let names = ["wiz_led-01", "wiz_led-02", "aqara_gateway-01"];
        assert_eq!(nearest("wiz_led-03", &names), ["wiz_led-01", "wiz_led-02"]);
        assert_eq!(nearest("gateway", &names), ["aqara_gateway-01"]);
        assert_eq!(nearest("WIZ-LED", &names), ["wiz_led-01", "wiz_led-02"]);
        let error = unknown("device", "wizled", names, "see `vedette query`").to_string();
        assert_eq!(error, "there is no device `wizled`; near it are `wiz_led-01`, `wiz_led-02`; see `vedette query`");
        assert!(unknown("device", "aqara", names, "look").to_string().contains("near it is `aqara_gateway-01`; look"));
        assert!(unknown("device", "zzz", names, "look").to_string().contains("among 3; look"));
        assert!(unknown("finding", "x", [], "look").to_string().contains("nor any other; look"));
        assert!(unknown("device", "x", names, "look").is::<Misuse>());
    }
}
