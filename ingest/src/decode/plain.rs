//! Plain JSON, read in one pass: an object of texts without escapes, of whole and decimal numbers, `true`, `false` and
//! `null`. That is what sensors write a million times an hour, each line with the keys of the line before; so the next
//! key is first compared with the one that stood there last time, as in Y. Li et al., "Mison: A Fast JSON Parser for Data
//! Analytics" (PVLDB 10, 2017). Anything else is left to `serde_json`, which reads it or reports the error.

use std::borrow::Cow;

use super::record::{Names, Record};
use super::value::Scalar;

/// Which key followed which the last time. What is read does not depend on it.
#[derive(Debug)]
pub(super) struct Order {
    /// By a name's index plus one, and 0 for the beginning of the line: the next name's index plus one, 0 for unknown.
    after: [u8; 256],
}

impl Default for Order {
    fn default() -> Order {
        Order { after: [0; 256] }
    }
}

/// `None`: the line is not plain, and the record may hold a part of it.
pub(super) fn read<'a, const N: usize>(line: &'a str, order: &mut Order, record: &mut Record<'a, N>) -> Option<()> {
    let mut line = Line { text: line, at: 0 };
    line.take(b'{')?;
    let mut before = 0;
    loop {
        let key = line.key(record.names(), &mut order.after[before])?;
        line.take(b':')?;
        line.pass_blank();
        match key {
            Some(index) => {
                line.value(record.slot(index))?;
                before = index + 1;
            }
            None => line.value(&mut Scalar::Missing)?,
        }
        if line.take(b',').is_none() {
            line.take(b'}')?;
            return (line.at == line.text.len()).then_some(());
        }
        line.pass_blank();
    }
}

struct Line<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Line<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn take_word(&mut self, word: &str) -> Option<()> {
        self.rest().starts_with(word.as_bytes()).then(|| self.at += word.len())
    }

    /// One, as some writers put it after a colon or comma.
    fn pass_blank(&mut self) {
        if self.peek() == Some(b' ') {
            self.at += 1;
        }
    }

    fn rest(&self) -> &'a [u8] {
        &self.text.as_bytes()[self.at..]
    }

    /// The index of a key, if it is one of the names. `guess` is the one that stood here last time, and afterwards this one.
    fn key<const N: usize>(&mut self, names: &Names<N>, guess: &mut u8) -> Option<Option<usize>> {
        self.take(b'"')?;
        if let Some(index) = usize::from(*guess).checked_sub(1)
            && let Some(name) = names.names.get(index)
            && let Some(after) = self.rest().strip_prefix(name.as_bytes())
            && after.first() == Some(&b'"')
        {
            self.at += name.len() + 1;
            return Some(Some(index));
        }
        let found = (names.find)(self.text()?);
        if let Some(index) = found {
            *guess = index as u8 + 1;
        }
        Some(found)
    }

    /// Reads a value to where it is to stand; see [`super::record`] for why it is not returned.
    fn value(&mut self, into: &mut Scalar<'a>) -> Option<()> {
        match self.peek()? {
            b'"' => {
                self.at += 1;
                *into = Scalar::Text(Cow::Borrowed(self.text()?));
                Some(())
            }
            b't' => self.take_word("true").map(|()| *into = Scalar::Flag(true)),
            b'f' => self.take_word("false").map(|()| *into = Scalar::Flag(false)),
            b'n' => self.take_word("null").map(|()| *into = Scalar::Missing),
            _ => self.number(into),
        }
    }

    /// What stands before the next quotation mark, which is passed over.
    fn text(&mut self) -> Option<&'a str> {
        let rest = self.rest();
        let (words, _) = rest.as_chunks::<8>();
        let whole = words.iter().take_while(|word| first_special(u64::from_le_bytes(**word)) == 8).count() * 8;
        let length = match words.get(whole / 8) {
            Some(word) => whole + first_special(u64::from_le_bytes(*word)),
            None => whole + rest[whole..].iter().position(|byte| is_special(*byte))?,
        };
        if rest[length] != b'"' {
            return None;
        }
        let begin = self.at;
        self.at += length + 1;
        self.text.get(begin..begin + length)
    }

    /// Digits, perhaps with a sign and a fraction, of which a double can hold every digit: then one division rounds it as it
    /// should be (W. Clinger, "How to read floating point numbers accurately", PLDI 1990).
    fn number(&mut self, into: &mut Scalar<'a>) -> Option<()> {
        const EXACT: u64 = 1 << 53;
        const MOST_DIGITS: usize = 18;
        const TENS: [f64; MOST_DIGITS + 1] =
            [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18];
        let is_negative = self.take(b'-').is_some();
        let begin = self.at;
        let mut digits = 0;
        self.digits(&mut digits);
        let whole = self.at - begin;
        let begins_with_zero = self.text.as_bytes().get(begin) == Some(&b'0');
        let is_whole = self.take(b'.').is_none();
        let behind = self.at;
        if !is_whole {
            self.digits(&mut digits);
        }
        let fraction = self.at - behind;
        let is_number = whole > 0 && !(begins_with_zero && whole > 1) && (is_whole || fraction > 0);
        if !is_number || whole + fraction > MOST_DIGITS || matches!(self.peek(), Some(b'e' | b'E')) {
            return None;
        }
        if is_whole && !is_negative {
            *into = Scalar::Count(digits);
            return Some(());
        }
        // -0 is a number of its own.
        if digits > EXACT || is_negative && digits == 0 {
            return None;
        }
        let number = digits as f64 / TENS[fraction];
        *into = Scalar::Number(if is_negative { -number } else { number });
        Some(())
    }

    /// Too many of them overflow, and are not used.
    fn digits(&mut self, digits: &mut u64) {
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            *digits = digits.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
            self.at += 1;
        }
    }
}

fn is_special(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | 0..0x20)
}

/// The place of the first byte of eight that ends a text or cannot stand in one; 8 for none.
fn first_special(word: u64) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    // Sets the high bit of a byte less than `than`, and perhaps of some above it: only the first counts.
    let less = |word: u64, than: u8| word.wrapping_sub(ONES * u64::from(than)) & !word;
    let quote = less(word ^ (ONES * u64::from(b'"')), 1);
    let backslash = less(word ^ (ONES * u64::from(b'\\')), 1);
    ((quote | backslash | less(word, 0x20)) & HIGH).trailing_zeros() as usize / 8
}

#[cfg(test)]
mod tests {
    use super::super::record::fields;
    use super::*;
    use proptest::prelude::*;

    fields! { Field, SOME: A "a", Bytes "bytes", BytesIn "bytes_in", Time "time", Ü "ü" }

    static NAMES: Names<5> = SOME;
    const FIELDS: [Field; 5] = [Field::A, Field::Bytes, Field::BytesIn, Field::Time, Field::Ü];

    /// What plain reading gives, if it does, beside what `serde_json` gives.
    fn both(line: &str, order: &mut Order) -> (Option<String>, Option<String>) {
        let values = |record: &Record<'_, 5>| format!("{:?}", FIELDS.map(|field| record.get(field).scalar));
        let mut record = Record::empty(&NAMES);
        let plain = read(line, order, &mut record).map(|()| values(&record));
        (plain, Record::from_json(&NAMES, line).ok().map(|record| values(&record)))
    }

    #[test]
    fn a_plain_line_is_read() {
        let mut order = Order::default();
        for line in [
            r#"{"a":1,"bytes":2,"time":1772582400.681226}"#,
            r#"{"bytes_in":"a text of some length","a": true, "other": "x", "time": -0.25}"#,
            r#"{"ü":"Grüße","time":null,"time":3,"bytes":""}"#,
            r#"{"a":999999999999999999}"#,
        ] {
            let (plain, whole) = both(line, &mut order);
            assert!(plain.is_some(), "{line}");
            assert_eq!(plain, whole, "{line}");
        }
    }

    #[test]
    fn what_is_not_plain_is_left_to_serde_json() {
        for line in [
            "",
            "{",
            "{}",
            "[1]",
            r#"{"a":1"#,
            r#"{"a":1}x"#,
            r#"{"a":1,}"#,
            r#"{"a":01}"#,
            r#"{"a":1.}"#,
            r#"{"a":.5}"#,
            r#"{"a":-}"#,
            r#"{"a":-0}"#,
            r#"{"a":1e3}"#,
            r#"{"a":tru}"#,
            r#"{"a":"\n"}"#,
            "{\"a\":\"\n\"}",
            r#"{"\u0061":1}"#,
            r#"{"a":[1]}"#,
            r#"{"a":{"b":1}}"#,
            r#"{"a":9007199254740993.5}"#,
            r#"{"a":1234567890123456789}"#,
            r#"{"a":"b}"#,
        ] {
            assert_eq!(both(line, &mut Order::default()).0, None, "{line}");
        }
    }

    fn value() -> impl Strategy<Value = String> {
        prop_oneof![
            r#""[ -~äß€]{0,20}""#,
            r#""[a-z0-9.:-]{0,20}""#,
            r"-?[0-9]{1,20}(\.[0-9]{1,12})?([eE][+-]?[0-9]{1,2})?",
            r"(0|[1-9][0-9]{0,9})(\.[0-9]{1,6})?",
            Just("true".to_owned()),
            Just("null".to_owned()),
            Just("nul".to_owned()),
            Just("[1,{}]".to_owned()),
            "[ -~]{0,4}",
        ]
    }

    fn line() -> impl Strategy<Value = String> {
        let key = prop_oneof!["a", "bytes", "bytes_in", "time", "ü", r#"[a-b"\\]{0,3}"#];
        let member = (key, "[ ]{0,2}", value(), "[ ]{0,2}");
        prop::collection::vec(member, 0..6).prop_map(|members| {
            let members = members.iter().map(|(key, blank, value, after)| format!("\"{key}\":{blank}{value},{after}"));
            format!("{{{}}}", members.collect::<String>().trim_end_matches([',', ' ']))
        })
    }

    proptest! {
        #[test]
        fn it_reads_as_serde_json_does_whatever_came_before(lines in prop::collection::vec(line(), 1..8)) {
            let mut order = Order::default();
            for line in &lines {
                let (plain, whole) = both(line, &mut order);
                prop_assert!(plain.is_none() || plain == whole, "{line}: {plain:?}, {whole:?}");
            }
        }
    }
}
