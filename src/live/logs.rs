//! What lasts is logged once a minute; and librdkafka's own words: once per state, not once per attempt and client.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ingest::kafka::client::failed;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

/// Between two log lines about the same trouble.
pub const SAY_AGAIN: Duration = Duration::from_secs(60);
/// Clients come back one by one. Those that have not yet say several times a second that no broker answers; when nobody has
/// for so long, all are back.
const SETTLED: Duration = Duration::from_secs(10);

/// Lets one line through in that time.
#[derive(Default)]
pub struct EachMinute(Option<Instant>);

impl EachMinute {
    pub fn is_due(&mut self) -> bool {
        let is_due = self.0.is_none_or(|said| said.elapsed() >= SAY_AGAIN);
        if is_due {
            self.0 = Some(Instant::now());
        }
        is_due
    }
}

pub fn client_error(client: &'static str, error: &KafkaError, reason: &str) {
    match error.rdkafka_error_code() {
        // It goes on trying; the log line of the broker that is away says the same.
        Some(RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::Resolve) => {
            tracing::debug!(client, reason, "a broker cannot be reached");
        }
        Some(RDKafkaErrorCode::AllBrokersDown) => brokers(false),
        // The role begins again, and says so.
        Some(RDKafkaErrorCode::Fatal | RDKafkaErrorCode::FencedInstanceId) => {
            tracing::debug!(client, %error, reason, "a client is of no use any more");
        }
        Some(code) if comes_of_brokers_away(error) || !is_news(code, reason) => {
            tracing::debug!(client, %error, reason, "Kafka reports an error");
        }
        Some(RDKafkaErrorCode::Authentication) => tracing::error!(client, reason, "the broker refuses our credentials"),
        _ => tracing::warn!(client, %error, reason, "Kafka reports an error"),
    }
}

/// What passes by itself, while no broker answers or just after: that was told.
fn comes_of_brokers_away(error: &KafkaError) -> bool {
    are_brokers_away() && failed("", error).retry()
}

/// No broker answers just now: whoever asks would wait in vain.
fn are_brokers_away() -> bool {
    lock(&AWAY).0.is_some_and(|away| away.heard.elapsed() < SETTLED)
}

/// Not told within the last minute. A connection's error ends with how long it took.
fn is_news(code: RDKafkaErrorCode, reason: &str) -> bool {
    static TOLD: Mutex<Vec<(RDKafkaErrorCode, String, Instant)>> = Mutex::new(Vec::new());
    let what = reason.split(" (after ").next().unwrap_or(reason);
    let mut told = lock(&TOLD);
    told.retain(|(_, _, at)| at.elapsed() < SAY_AGAIN);
    let is_news = !told.iter().any(|(of, before, _)| *of == code && before == what);
    if is_news {
        told.push((code, what.to_owned(), Instant::now()));
    }
    is_news
}

/// Of the whole process, whose clients all have the same brokers.
static AWAY: Mutex<Brokers> = Mutex::new(Brokers(None));

/// What a client learnt of the brokers: whether one `answers`.
pub fn brokers(answers: bool) {
    let news = lock(&AWAY).hear(answers, Instant::now());
    match news {
        Some(News::Gone) => {
            tracing::warn!("no broker can be reached; trying until one answers, nothing is lost meanwhile");
        }
        Some(News::StillGone(lasts)) => tracing::warn!(seconds = lasts.as_secs(), "still no broker can be reached"),
        Some(News::Back(lasted)) => tracing::info!(seconds = lasted.as_secs(), "brokers answer again"),
        None => {}
    }
}

/// Since when no broker answers, if none does.
struct Brokers(Option<Away>);

#[derive(Clone, Copy)]
struct Away {
    since: Instant,
    /// When a client last met nobody.
    heard: Instant,
    told: Instant,
}

#[derive(Debug, PartialEq)]
enum News {
    Gone,
    StillGone(Duration),
    /// All clients are back; none met anybody for so long.
    Back(Duration),
}

impl Brokers {
    fn hear(&mut self, answers: bool, now: Instant) -> Option<News> {
        let Some(away) = &mut self.0 else {
            if answers {
                return None;
            }
            self.0 = Some(Away { since: now, heard: now, told: now });
            return Some(News::Gone);
        };
        if !answers {
            // Who meets nobody says so all the time: this is another outage, whoever saw the end of that one.
            if now - away.heard >= SAY_AGAIN {
                *away = Away { since: now, heard: now, told: now };
                return Some(News::Gone);
            }
            away.heard = now;
            if now - away.told < SAY_AGAIN {
                return None;
            }
            away.told = now;
            return Some(News::StillGone(now - away.since));
        }
        if now - away.heard < SETTLED {
            return None;
        }
        let lasted = away.heard - away.since;
        self.0 = None;
        Some(News::Back(lasted))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub fn client_log(client: &'static str, level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
            tracing::debug!(client, facility, "{message}");
        }
        _ => tracing::trace!(client, facility, "{message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_minute() {
        let mut line = EachMinute::default();
        assert!(line.is_due() && !line.is_due());
        line.0 = Instant::now().checked_sub(SAY_AGAIN);
        assert!(line.is_due() && !line.is_due());
    }

    /// Every tenth of a second a client that meets nobody, and beside it, from 70 s on, one that does.
    #[test]
    fn an_outage_is_three_lines_however_clients_come_back() {
        let begin = Instant::now();
        let at = |tenths: u64| begin + Duration::from_millis(tenths * 100);
        let mut brokers = Brokers(None);
        assert_eq!(brokers.hear(true, at(0)), None);
        let mut news = Vec::new();
        for tenths in 0..720 {
            news.extend(brokers.hear(false, at(tenths)));
            if tenths >= 700 {
                news.extend(brokers.hear(true, at(tenths)));
            }
        }
        news.extend((720..1_000).filter_map(|tenths| brokers.hear(true, at(tenths))));
        let seconds = Duration::from_secs;
        assert_eq!(news, [News::Gone, News::StillGone(seconds(60)), News::Back(Duration::from_millis(71_900))]);
        assert_eq!(brokers.hear(false, at(1_000)), Some(News::Gone), "another one");
        assert_eq!(brokers.hear(false, at(9_000)), Some(News::Gone), "and another, after one whose end nobody saw");
    }

    #[test]
    fn an_error_is_news_once_a_minute_however_long_its_connection_took() {
        let code = RDKafkaErrorCode::Authentication;
        assert!(is_news(code, "one: refused (after 3ms in state AUTH_REQ)"));
        assert!(!is_news(code, "one: refused (after 5ms in state AUTH_REQ, 2 identical error(s) suppressed)"));
        assert!(is_news(code, "other: refused (after 3ms in state AUTH_REQ)"));
        assert!(is_news(RDKafkaErrorCode::TopicAuthorizationFailed, "one: refused"));
    }
}
