//! What is allowed in a playbook and is probably not meant.

use std::fmt;

use fleet::{Level, Mode};
use smol_str::SmolStr;

use super::step::lasts;
use super::{Period, Playbook, Playbooks};

/// Longer than anybody remembers why.
const LONG: Period = Period::days(7);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    pub playbook: SmolStr,
    /// Where it was read; empty when it was never a file.
    pub file: String,
    pub text: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.file.is_empty() { "playbook" } else { &self.file };
        write!(out, "{place} `{}`: {}", self.playbook, self.text)
    }
}

impl Playbooks {
    /// Of each playbook, and of those that are never asked.
    pub fn warnings(&self) -> Vec<Warning> {
        let mut warnings = Vec::new();
        for (index, playbook) in self.iter().enumerate() {
            warnings.extend(playbook.warnings());
            let before = self.iter().take(index).find(|before| before.decides_all_of(playbook));
            if let Some(before) = before {
                let text = format!("never asked: `{}` (priority {}) decides before it", before.id, before.priority);
                warnings.push(playbook.warn(text));
            }
        }
        warnings
    }
}

impl Playbook {
    pub fn warnings(&self) -> Vec<Warning> {
        let mut texts = Vec::new();
        for step in &self.steps {
            let of_escalation = step.escalate.and_then(|it| it.ttl);
            let ttls = [step.ttl, of_escalation, step.still_talking.and_then(|it| it.ttl)];
            for ttl in ttls.into_iter().flatten().filter(|ttl| *ttl > LONG) {
                texts.push(format!("`{}` for {ttl}: longer than {LONG}; a person should renew it", step.level));
            }
            for level in step.levels().filter(|level| is_drastic(*level)) {
                if self.mode == Mode::Auto && !self.needs_approval(level) {
                    texts.push(format!("`{level}` without asking anybody; name it in `levels` of [approval]"));
                }
            }
        }
        let mut after: Option<Level> = None;
        for step in &self.steps {
            if let Some(before) = after {
                let level = step.level;
                texts.push(format!(
                    "`{level}` follows `{before}`, which nothing takes back: should it fail, that stays done"
                ));
            }
            after = after
                .or((step.level.restricts() && !lasts(step.level) && is_drastic(step.level)).then_some(step.level));
        }
        if self.restricts() && !conjuncts(&self.when).iter().any(|it| it == "kind = 'compromise'") {
            let text = "restricts devices, and `when` does not ask for `kind = 'compromise'`: anomalies, faults and changes \
                        may be what it is about";
            texts.push(text.to_owned());
        }
        texts.into_iter().map(|text| self.warn(text)).collect()
    }

    fn warn(&self, text: String) -> Warning {
        Warning { playbook: self.id.clone(), file: self.written.file.clone(), text }
    }

    /// Whether nothing that `other` is for is left to it: told from the words alone.
    fn decides_all_of(&self, other: &Playbook) -> bool {
        let unlimited = self.only.is_empty() && self.except.is_empty() && self.hours.is_none();
        let limits = (&self.only, &self.except, &self.hours) == (&other.only, &other.except, &other.hours);
        let mine = conjuncts(&self.when);
        let all = mine.iter().all(|word| word.eq_ignore_ascii_case("true"));
        let theirs = conjuncts(&other.when);
        (unlimited || limits) && (all || mine.iter().all(|part| theirs.contains(part)))
    }
}

/// What a person has to undo, or cannot.
fn is_drastic(level: Level) -> bool {
    matches!(level, Level::Disable | Level::RotateCredentials | Level::ReEnrol)
}

/// The parts of a condition that all have to hold: split where an `and` stands outside of parentheses and quotes. White
/// space is one blank. A condition with such an `or` is one part.
pub fn conjuncts(when: &str) -> Vec<String> {
    let words = words(when);
    let mut parts: Vec<Vec<&str>> = vec![Vec::new()];
    let (mut depth, mut between) = (0i32, false);
    for word in &words {
        let lower = word.to_ascii_lowercase();
        match lower.as_str() {
            "(" | "case" => depth += 1,
            ")" | "end" => depth -= 1,
            "or" if depth == 0 => return vec![joined(&words)],
            "between" if depth == 0 => between = true,
            "and" if depth == 0 && between => between = false,
            "and" if depth == 0 => {
                parts.push(Vec::new());
                continue;
            }
            _ => {}
        }
        if let Some(part) = parts.last_mut() {
            // Both say the same.
            part.push(if *word == "==" { "=" } else { word });
        }
    }
    parts.iter().map(|part| joined(part)).collect()
}

fn joined(words: &[&str]) -> String {
    words.join(" ")
}

/// Words, quoted texts, parentheses, and runs of other signs.
fn words(when: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = when.trim_start();
    while let Some(first) = rest.chars().next() {
        let end = match first {
            '\'' | '"' => quoted(rest, first),
            '(' | ')' | ',' => 1,
            _ => {
                let is_word = |it: char| it.is_alphanumeric() || it == '_' || it == '.';
                let same = |it: char| !it.is_whitespace() && !"'\"(),".contains(it) && is_word(it) == is_word(first);
                rest.find(|it| !same(it)).unwrap_or(rest.len())
            }
        };
        words.push(&rest[..end]);
        rest = rest[end..].trim_start();
    }
    words
}

/// Length of a quoted text; a doubled quote is part of it.
fn quoted(text: &str, quote: char) -> usize {
    let mut from = 1;
    while let Some(at) = text[from..].find(quote) {
        from += at + 1;
        if !text[from..].starts_with(quote) {
            return from;
        }
        from += 1;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_that_all_have_to_hold() {
        let parts = |when: &str| conjuncts(when);
        assert_eq!(parts("kind='compromise'\n  AND  severity_rank>=3"), ["kind = 'compromise'", "severity_rank >= 3"]);
        assert_eq!(parts("a = 1 and (b = 2 or c = 3 and d = 4)"), ["a = 1", "( b = 2 or c = 3 and d = 4 )"]);
        assert_eq!(parts("a = 1 and b = 2 or c = 3"), ["a = 1 and b = 2 or c = 3"]);
        assert_eq!(parts("score between 3 and 5 and a = 'x and y'"), ["score between 3 and 5", "a = 'x and y'"]);
        assert_eq!(parts("a = 'it''s (' and b = 2"), ["a = 'it''s ('", "b = 2"]);
        assert_eq!(parts("case when a and b then c or d end and e"), ["case when a and b then c or d end", "e"]);
        assert_eq!(parts("a = 'never closed and b"), ["a = 'never closed and b"]);
        assert_eq!(parts("kind == 'compromise'"), parts("kind = 'compromise'"));
        assert_eq!(parts(""), [""]);
    }

    fn playbook(keys: &str) -> Playbook {
        let text = format!("id = \"a\"\ntitle = \"t\"\n{keys}");
        Playbook::parse(&text, "a.toml").unwrap_or_else(|error| panic!("{error}"))
    }

    fn told(keys: &str) -> Vec<String> {
        playbook(keys).warnings().into_iter().map(|warning| warning.text).collect()
    }

    #[test]
    fn what_is_probably_not_meant() {
        const ASKS: &str = "when = \"kind = 'compromise' and score > 3\"\n";
        for (keys, word) in [
            (format!("{ASKS}[[step]]\nlevel = \"quarantine\"\nttl = \"8d\""), "longer than 7d"),
            (
                format!(
                    "{ASKS}[[step]]\nlevel = \"quarantine\"\nttl = \"1d\"\n\
                     escalate = {{ after = 1, within = \"1d\", level = \"quarantine\", ttl = \"20d\" }}"
                ),
                "for 20d",
            ),
            (format!("mode = \"auto\"\n{ASKS}[[step]]\nlevel = \"disable\"\nttl = \"1d\""), "without asking anybody"),
            (
                format!("{ASKS}[[step]]\nlevel = \"re-enrol\"\n[[step]]\nlevel = \"notify\""),
                "`notify` follows `re-enrol`",
            ),
            ("when = \"kind = 'anomaly'\"\n[[step]]\nlevel = \"throttle\"\nttl = \"1h\"".to_owned(), "anomalies"),
            ("when = \"kind = 'compromise' or a = 1\"\n[[step]]\nlevel = \"re-enrol\"".to_owned(), "anomalies"),
        ] {
            let texts = told(&keys);
            assert!(texts.len() == 1 && texts[0].contains(word), "{word}: {texts:?}");
        }
        for keys in [
            format!(
                "mode = \"auto\"\n{ASKS}[approval]\nlevels = [\"disable\"]\n[[step]]\nlevel = \"disable\"\nttl = \"7d\""
            ),
            "when = \"kind = 'anomaly'\"\n[[step]]\nlevel = \"ticket\"".to_owned(),
        ] {
            assert_eq!(told(&keys), [] as [String; 0], "{keys}");
        }
    }

    #[test]
    fn what_is_never_asked() {
        let unreachable = |first: &str, second: &str| {
            let of = |id: &str, priority: u8, keys: &str| {
                let steps = "[[step]]\nlevel = \"notify\"";
                Playbook { id: id.into(), priority, ..playbook(&format!("{keys}\n{steps}")) }
            };
            let all = Playbooks::new(vec![of("second", 10, second), of("first", 20, first)]).unwrap().warnings();
            assert!(
                all.iter().all(|warning| warning.playbook == "second" && warning.text.contains("`first`")),
                "{all:?}"
            );
            !all.is_empty()
        };
        let site = "[where]\nsites = [\"north\"]";
        assert!(unreachable("when = \"true\"", "when = \"kind = 'fault'\""));
        assert!(unreachable("when = \"TRUE\"", &format!("when = \"kind = 'fault'\"\n{site}")));
        assert!(unreachable("when = \"kind='fault'\"", "when = \"score > 3 and kind = 'fault'\""));
        assert!(unreachable(&format!("when = \"true\"\n{site}"), &format!("when = \"score > 3\"\n{site}")));
        assert!(!unreachable(&format!("when = \"true\"\n{site}"), "when = \"kind = 'fault'\""));
        assert!(!unreachable("when = \"score > 3 and kind = 'fault'\"", "when = \"kind = 'fault'\""));
        assert!(!unreachable("when = \"kind = 'change' or score > 1\"", "when = \"kind = 'change'\""));
    }
}
