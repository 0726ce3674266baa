//! The journal, followed: what the API shows, in whichever process it answers. What is open, and what ended within the last
//! fourteen days of the journal; the store has all of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fleet::{Action, EventTime};
use ingest::kafka::config::KafkaConfig;
use responders::book::Book;
use responders::journal::entry::{Body, Entry};

use super::journal::Followed;
use crate::live::logs::EachMinute;
use crate::live::stop::Stop;
use crate::respond::rows::Mirror;

/// Between two looks.
const LOOK_UP: Duration = Duration::from_millis(100);
/// Rows of actions' history that are kept.
const ROWS: usize = 50_000;
/// Entries between two looks at what ended long ago.
const FORGETS_EVERY: u64 = 256;

#[derive(Default)]
pub struct Shown {
    pub book: Book,
    /// By action, in their order.
    pub history: BTreeMap<String, Vec<Action>>,
    rows: usize,
    /// Number of the last signature.
    pub signed: Option<u64>,
    /// Who wrote last.
    pub owner: Option<String>,
    /// By the id of a command: number of its entry.
    pub commands: BTreeMap<String, u64>,
}

impl Shown {
    fn take(&mut self, entry: &Entry, mirror: &mut Mirror) {
        self.book.fold(entry);
        match &entry.body {
            Body::Signed(_) => self.signed = Some(entry.seq),
            Body::Began(began) => self.owner = Some(began.owner.clone()),
            Body::Ended(_) => self.owner = None,
            Body::Commanded(commanded) => {
                self.commands.insert(commanded.command_id.clone(), entry.seq);
            }
            _ => {}
        }
        if let Some(row) = mirror.row(entry) {
            self.history.entry(row.action_id.clone()).or_default().push(row);
            self.rows += 1;
        }
        if entry.seq.is_multiple_of(FORGETS_EVERY) {
            self.forget(entry.at);
        }
        while self.rows > ROWS {
            // What has been over for longest is in the store.
            let oldest = self.history.iter().min_by_key(|(_, rows)| rows.last().map_or(0, |row| row.seq));
            let Some(oldest) = oldest.map(|(id, _)| id.clone()) else { break };
            self.rows -= self.history.remove(&oldest).map_or(0, |rows| rows.len());
        }
    }

    /// As the process that acts does, which has the same book.
    fn forget(&mut self, now: EventTime) {
        self.book.forget(now);
        let book = &self.book;
        self.history.retain(|id, _| book.action(id).is_some());
        self.rows = self.history.values().map(Vec::len).sum();
        self.commands.retain(|id, _| book.outcome(id).is_some());
    }
}

#[derive(Clone, Default)]
pub struct View(Arc<Mutex<Shown>>);

impl View {
    pub fn look(&self) -> MutexGuard<'_, Shown> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `seen` finds what it looks for.
    pub fn wait<T>(&self, patience: Duration, seen: impl Fn(&Shown) -> Option<T>) -> Option<T> {
        let until = Instant::now() + patience;
        loop {
            if let Some(found) = seen(&self.look()) {
                return Some(found);
            }
            if Instant::now() >= until {
                return None;
            }
            std::thread::sleep(LOOK_UP / 4);
        }
    }

    /// Until it is time to stop; brokers that are away are waited for.
    pub fn follow(&self, kafka: &KafkaConfig, stop: &Stop) {
        let mut said = EachMinute::default();
        while !stop.is_asked() {
            if let Err(error) = self.follow_once(kafka, stop)
                && said.is_due()
            {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "the journal cannot be followed; the API shows what was known"
                );
            }
            std::thread::sleep(LOOK_UP * 10);
        }
    }

    /// What was shown before is shown until all is read.
    fn follow_once(&self, kafka: &KafkaConfig, stop: &Stop) -> anyhow::Result<()> {
        let mut journal = Followed::new(kafka)?;
        let (mut fresh, mut mirror) = (Shown::default(), Mirror::default());
        journal.catch_up(|entry| fresh.take(entry, &mut mirror))?;
        *self.look() = fresh;
        while !stop.is_asked() {
            if let Some(entry) = journal.next(LOOK_UP)? {
                self.look().take(&entry, &mut mirror);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use fleet::{Level, Mode, State};
    use responders::journal::entry::{Command, Commanded, ModeOf, Move};

    use super::*;
    use crate::respond::rows::proposed;

    fn entry(seq: u64, at: EventTime, body: Body) -> Entry {
        Entry { seq, at, previous: "".into(), body, hash: "".into() }
    }

    /// Ten years of an installation that restricts a device an hour.
    #[test]
    fn what_is_open_and_what_ended_lately_is_shown_and_nothing_else_is_kept() {
        let (mut shown, mut mirror, mut seq) = (Shown::default(), Mirror::default(), 0);
        let mut take = |shown: &mut Shown, at, body| {
            seq += 1;
            shown.take(&entry(seq, at, body), &mut mirror);
        };
        let moved = |id: &str, to| Body::Moved(Box::new(Move::new(id, to, "policy", "x")));
        take(&mut shown, EventTime(0), proposed("held", Level::Quarantine, Mode::Auto, EventTime(0)));
        take(&mut shown, EventTime(0), moved("held", State::Verified));
        let hours = 10 * 365 * 24;
        for hour in 1..=hours {
            let (id, at) = (format!("a{hour}"), EventTime(0).plus_seconds(hour * 3_600));
            take(&mut shown, at, proposed(&id, Level::Quarantine, Mode::Auto, at));
            take(&mut shown, at, moved(&id, State::Released));
            let command = Command::Mode { of: ModeOf::All, mode: Mode::Auto };
            let by = "alice".into();
            take(
                &mut shown,
                at,
                Body::Commanded(Box::new(Commanded {
                    command_id: id,
                    by,
                    command,
                    note: String::new(),
                    refused: None,
                    offset: None,
                })),
            );
        }
        let kept = shown.book.actions().count();
        assert!((14 * 24..14 * 24 + 200).contains(&kept), "{kept} actions");
        assert!(shown.history.len() <= kept && shown.rows <= 2 * kept, "{} rows", shown.rows);
        assert!(shown.commands.len() <= 4_096 + 256, "{} commands", shown.commands.len());
        assert!(shown.book.action("held").is_some() && shown.history.contains_key("held"));
        assert!(shown.book.action(&format!("a{hours}")).is_some());
        assert!(mirror.size() < kept + 200, "{} in the mirror", mirror.size());
    }
}
