//! From a file to a playbook: what the types cannot say is checked here, each with its place in the file.

use std::ops::{Range, RangeInclusive};

use fleet::{Level, Mode};
use serde::Deserialize;

use super::mistake::{Part, line_of, mistake, span_of};
use super::step::lasts;
use super::{Period, Playbook, Step, Written};
use crate::error::Error;

/// How long something may last, and how long an answer may take.
pub(super) const TTL: RangeInclusive<Period> = Period::SECOND..=Period::days(30);
pub(super) const ANSWER: RangeInclusive<Period> = Period::SECOND..=Period::days(1);
const MOST_STEPS: usize = 16;
const LONGEST_ID: usize = 64;

/// What is wrong, and where.
struct Problem {
    path: Vec<Part>,
    problem: String,
}

pub(super) fn parse(text: &str, file: &str) -> Result<Playbook, Error> {
    let deserializer = toml::Deserializer::parse(text);
    let read = deserializer.and_then(Playbook::deserialize);
    let mut playbook = read.map_err(|error| {
        let span = narrowed(text, error.span().unwrap_or(0..0), error.message());
        mistake(file, text, span, error.message())
    })?;
    check(&playbook).map_err(|wrong| mistake(file, text, span_of(text, &wrong.path), &wrong.problem))?;
    let when = span_of(text, &[Part::Key("when")]);
    playbook.written = Written { file: file.to_owned(), when_line: line_of(text, when.start) };
    Ok(playbook)
}

/// The parser marks the whole list where one of its values is wrong: that value, if the message quotes it.
fn narrowed(text: &str, span: Range<usize>, message: &str) -> Range<usize> {
    let list = text.get(span.clone()).filter(|marked| marked.starts_with('['));
    let value = message.split('`').nth(1).map(|value| format!("\"{value}\""));
    let found = list.zip(value).and_then(|(list, value)| Some((list.find(&value)?, value.len())));
    found.map_or(span.clone(), |(at, length)| span.start + at..span.start + at + length)
}

/// A playbook that was not read from a file of ours.
pub(super) fn check_alone(playbook: &Playbook) -> Result<(), Error> {
    check(playbook).map_err(|wrong| Error::Wrong(format!("playbook `{}`: {}", playbook.id, wrong.problem)))
}

fn check(playbook: &Playbook) -> Result<(), Problem> {
    let at = |key: &'static str, problem: String| Err(Problem { path: vec![Part::Key(key)], problem });
    let id = &playbook.id;
    if !is_id(id) {
        let expected = format!("expected lower-case letters, digits and hyphens, at most {LONGEST_ID}, a letter first");
        return at("id", format!("the id `{id}` cannot be, {expected}"));
    }
    if playbook.title.trim().is_empty() {
        return at("title", "the title is empty; say in one line what is done about what".to_owned());
    }
    if !(1..=100).contains(&playbook.priority) {
        return at("priority", format!("the priority `{}` is out of bounds, expected 1 to 100", playbook.priority));
    }
    if playbook.when.trim().is_empty() {
        return at("when", "`when` is empty; a playbook for every finding says `true`".to_owned());
    }
    if playbook.steps.is_empty() || playbook.steps.len() > MOST_STEPS {
        let number = playbook.steps.len();
        return at("step", format!("`{number}` steps, expected 1 to {MOST_STEPS}"));
    }
    if let Some(hours) = &playbook.hours
        && hours.production.is_empty()
    {
        let problem = "no production hours, expected some such as `Mon-Fri 06:00-22:00`".to_owned();
        return Err(Problem { path: vec![Part::Key("hours"), Part::Key("production")], problem });
    }
    check_approval(playbook)?;
    for (index, step) in playbook.steps.iter().enumerate() {
        let wrong = |key: &[&'static str], problem: String| Problem {
            path: [Part::Key("step"), Part::Index(index)]
                .into_iter()
                .chain(key.iter().map(|key| Part::Key(key)))
                .collect(),
            problem,
        };
        check_step(step, &wrong)?;
        if playbook.steps[..index].iter().any(|before| before.level == step.level) {
            let level = step.level;
            return Err(wrong(&["level"], format!("a step of level `{level}` comes before; one is enough")));
        }
    }
    Ok(())
}

fn is_id(id: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    id.len() <= LONGEST_ID && id.starts_with(|first: char| first.is_ascii_lowercase()) && id.bytes().all(fits)
}

fn check_approval(playbook: &Playbook) -> Result<(), Problem> {
    let approval = &playbook.approval;
    let wrong = |key, problem| Err(Problem { path: vec![Part::Key("approval"), Part::Key(key)], problem });
    if !ANSWER.contains(&approval.within) {
        let within = approval.within;
        return wrong("within", out_of_bounds(within, &ANSWER));
    }
    for level in &approval.levels {
        if !level.restricts() {
            return wrong("levels", format!("`{level}` touches no device and is never asked for; leave it out"));
        }
        if !playbook.steps.iter().flat_map(Step::levels).any(|has| has == *level) {
            return wrong("levels", format!("no step comes to `{level}`; leave it out, or add the step"));
        }
    }
    if approval.four_eyes && approval.levels.is_empty() && playbook.mode == Mode::Auto {
        let problem = "two people are asked for nothing: the mode is `auto` and `levels` is empty; name the levels";
        return wrong("four_eyes", problem.to_owned());
    }
    Ok(())
}

fn check_step(step: &Step, wrong: &dyn Fn(&[&'static str], String) -> Problem) -> Result<(), Problem> {
    let level = step.level;
    if step.gateway.trim().is_empty() {
        return Err(wrong(
            &["gateway"],
            "the gateway is empty; say `auto`, or name one of the configuration".to_owned(),
        ));
    }
    if lasts(level) && step.ttl.is_none() {
        return Err(wrong(
            &[],
            format!("`{level}` lasts until it is taken back; say for how long, such as `ttl = \"4h\"`"),
        ));
    }
    check_ttl(level, step.ttl).map_err(|problem| wrong(&["ttl"], problem))?;
    if let Some(escalate) = &step.escalate {
        if escalate.after == 0 {
            let problem = "`0` times before is always, expected at least 1".to_owned();
            return Err(wrong(&["escalate", "after"], problem));
        }
        if step.ttl == escalate.ttl.or(step.ttl) && escalate.level == level {
            let problem = format!("it escalates to `{level}` for as long as before; say a graver level or another ttl");
            return Err(wrong(&["escalate"], problem));
        }
        if escalate.level < level {
            let problem = format!("`{}` is milder than `{level}`; an escalation goes further", escalate.level);
            return Err(wrong(&["escalate", "level"], problem));
        }
        needs_ttl(escalate.level, escalate.ttl, step.ttl).map_err(|problem| wrong(&["escalate"], problem))?;
        check_ttl(escalate.level, escalate.ttl).map_err(|problem| wrong(&["escalate", "ttl"], problem))?;
    }
    if let Some(talking) = &step.still_talking {
        if !level.silences() {
            let problem =
                format!("after `{level}` a device may talk; only quarantine and disable are meant to silence it");
            return Err(wrong(&["still_talking"], problem));
        }
        if talking.level == level {
            let problem = format!("`{level}` is what did not work; say another level");
            return Err(wrong(&["still_talking", "level"], problem));
        }
        needs_ttl(talking.level, talking.ttl, step.ttl).map_err(|problem| wrong(&["still_talking"], problem))?;
        check_ttl(talking.level, talking.ttl).map_err(|problem| wrong(&["still_talking", "ttl"], problem))?;
    }
    Ok(())
}

fn needs_ttl(level: Level, own: Option<Period>, of_step: Option<Period>) -> Result<(), String> {
    if lasts(level) && own.or(of_step).is_none() {
        return Err(format!("`{level}` lasts until it is taken back; say for how long, such as `ttl = \"4h\"`"));
    }
    Ok(())
}

fn check_ttl(level: Level, ttl: Option<Period>) -> Result<(), String> {
    let Some(ttl) = ttl else { return Ok(()) };
    if !lasts(level) {
        return Err(format!("`{level}` happens once and is over; leave the ttl out"));
    }
    if !TTL.contains(&ttl) {
        return Err(out_of_bounds(ttl, &TTL));
    }
    Ok(())
}

fn out_of_bounds(period: Period, bounds: &RangeInclusive<Period>) -> String {
    format!("`{period}` is out of bounds, expected {} to {}", bounds.start(), bounds.end())
}
