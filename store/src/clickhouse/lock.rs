//! The lock of migrations: a table that only one can make. ClickHouse has no locks, but `CREATE TABLE` without `IF NOT EXISTS`
//! fails for the second. The table's comment says who holds it and until when, for whoever is killed meanwhile leaves it behind.

use std::fmt;
use std::time::{Duration, Instant};

use super::client::Server;
use super::form::Form;
use super::memory::quoted;
use crate::error::Error;

/// Whoever holds the lock begins no statement later than this.
const HELD: Duration = Duration::from_secs(120);
/// Whoever waits for longer says for whom.
const SAY_SO: Duration = Duration::from_secs(2);
const AGAIN: Duration = Duration::from_millis(500);

/// Whoever has the lock; seconds since 1970 by the server's clock, which is the same for all.
#[derive(Debug, PartialEq, Eq)]
struct Holder {
    who: String,
    since: i64,
    /// After this second it does nothing any more.
    until: i64,
}

impl Holder {
    /// This process.
    fn us(now: i64, longest: Duration) -> Holder {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let host = if host.is_empty() { "an unknown host" } else { host.trim() };
        let longest = i64::try_from(longest.as_secs()).unwrap_or(i64::MAX);
        Holder {
            who: format!("process {} on {host}", std::process::id()),
            since: now,
            until: now.saturating_add(longest),
        }
    }

    /// `None`: the comment is none of ours.
    fn parse(comment: &str) -> Option<Holder> {
        let (rest, until) = comment.strip_prefix("held by ")?.rsplit_once(" until ")?;
        let (who, since) = rest.rsplit_once(" from ")?;
        Some(Holder { who: who.to_owned(), since: since.parse().ok()?, until: until.parse().ok()? })
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "held by {} from {} until {}", self.who, self.since, self.until)
    }
}

/// Who migrates, for how long, and what becomes of it.
fn told(holder: Option<&Holder>, now: i64, form: &Form) -> String {
    let give_back = form.give_lock_back();
    match holder {
        Some(Holder { who, since, until }) => format!(
            "{who} has been migrating for {} s; if it was killed, its lock is taken over in {} s, or remove it: `{give_back}`",
            now - since,
            (until - now).max(0) + 1
        ),
        None => format!("somebody unknown is migrating; if nobody is, remove the lock: `{give_back}`"),
    }
}

pub(super) struct Lock<'a> {
    server: &'a Server,
    form: Form,
    comment: String,
    taken: Instant,
    held: bool,
}

impl Lock<'_> {
    /// Waits for whoever has it, `timeout` being the longest that a statement takes; `tell` is told of whom, and of a lock that
    /// is taken over.
    ///
    /// # Errors
    /// Others hold it for longer than two of them may.
    pub fn take<'a>(server: &'a Server, form: Form, timeout: Duration, tell: &dyn Fn(&str)) -> Result<Lock<'a>, Error> {
        server.execute(&form.make_database())?;
        let longest = HELD + timeout;
        let (began, mut said) = (Instant::now(), false);
        loop {
            let taken = Instant::now();
            let comment = Holder::us(now(server)?, longest).to_string();
            let held = |comment| Lock { server, form: form.clone(), comment, taken, held: true };
            match server.execute(&form.take_lock(&comment)) {
                Ok(()) => return Ok(held(comment)),
                Err(error) if is_taken(&error) => {}
                // It may be the answer that got lost.
                Err(error) => {
                    return match seen(server, &form) {
                        Ok(Some((there, _))) if there == comment => Ok(held(comment)),
                        _ => Err(error),
                    };
                }
            }
            // `None`: it was given back meanwhile.
            let there = seen(server, &form)?;
            let time = there.as_ref().map_or(0, |(_, time)| *time);
            let holder = there.and_then(|(comment, _)| Holder::parse(&comment));
            if let Some(Holder { who, since, .. }) = holder.as_ref().filter(|holder| time > holder.until) {
                tell(&format!("{who} left the lock of migrations behind {} s ago, it is taken over", time - since));
                // Of two who find it left at the same moment, one may remove the other's new one. Both go on then: every
                // statement may be repeated.
                server.execute(&form.give_lock_back())?;
                continue;
            }
            if began.elapsed() > 2 * longest {
                return Err(Error::Migration { problem: told(holder.as_ref(), time, &form) });
            }
            if !said && began.elapsed() > SAY_SO {
                said = true;
                tell(&format!("waiting: {}", told(holder.as_ref(), time, &form)));
            }
            std::thread::sleep(AGAIN);
        }
    }

    /// # Errors
    /// It was held for so long that another one may take it over at any moment.
    pub fn demand(&self) -> Result<(), Error> {
        if self.taken.elapsed() < HELD {
            return Ok(());
        }
        let problem = format!(
            "migrating took longer than {} s, after which others may begin; run `vedette migrate` again, it goes on from there",
            HELD.as_secs()
        );
        Err(Error::Migration { problem })
    }

    pub fn give_back(mut self) -> Result<(), Error> {
        self.held = false;
        self.remove()
    }

    fn remove(&self) -> Result<(), Error> {
        match seen(self.server, &self.form)? {
            Some((comment, _)) if comment == self.comment => self.server.execute(&self.form.give_lock_back()),
            // Others have taken it over.
            _ => Ok(()),
        }
    }
}

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        // When a statement was refused.
        if self.held {
            let _ = self.remove();
        }
    }
}

fn is_taken(error: &Error) -> bool {
    matches!(error, Error::ClickHouse { problem, .. } if problem.contains("Code: 57."))
}

fn now(server: &Server) -> Result<i64, Error> {
    let text = server.fetch("SELECT toInt64(toUnixTimestamp(now()))", "TabSeparatedRaw")?;
    number(server, &String::from_utf8_lossy(&text))
}

/// The comment of the lock that is there, and the server's time.
fn seen(server: &Server, form: &Form) -> Result<Option<(String, i64)>, Error> {
    let (database, table) = form.lock();
    let sql = format!(
        "SELECT comment, toInt64(toUnixTimestamp(now())) FROM system.tables WHERE database = {} AND name = {}",
        quoted(database),
        quoted(table)
    );
    let row = server.fetch(&sql, "TabSeparatedRaw")?;
    let row = String::from_utf8_lossy(&row);
    let Some((comment, now)) = row.rsplit_once('\t') else { return Ok(None) };
    Ok(Some((comment.to_owned(), number(server, now)?)))
}

fn number(server: &Server, text: &str) -> Result<i64, Error> {
    text.trim().parse().map_err(|_| Error::ClickHouse {
        url: server.url.clone(),
        problem: format!("it says `{}` where a time was asked for; is it ClickHouse?", text.trim()),
        retry: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clickhouse::ClickHouseConfig;

    #[test]
    fn a_comment_says_who_holds_the_lock_and_until_when() {
        let us = Holder::us(1_772_582_400, Duration::from_secs(150));
        assert_eq!(us.until, 1_772_582_550);
        assert_eq!(Holder::parse(&us.to_string()), Some(us));
        for other in ["", "held by somebody", "held by process 7 on a from now until then"] {
            assert_eq!(Holder::parse(other), None, "{other}");
        }
    }

    #[test]
    fn whoever_waits_is_told_for_whom_for_how_long_and_what_to_do() {
        let form = Form::of(&ClickHouseConfig::default());
        let holder = Holder { who: "process 7 on a".to_owned(), since: 1_000, until: 1_150 };
        let words = told(Some(&holder), 1_090, &form);
        for said in ["process 7 on a", "for 90 s", "in 61 s", "DROP TABLE IF EXISTS vedette.migrations_lock"] {
            assert!(words.contains(said), "`{said}` is not said in {words}");
        }
        assert!(told(None, 1_090, &form).contains("DROP TABLE IF EXISTS vedette.migrations_lock"));
    }
}
