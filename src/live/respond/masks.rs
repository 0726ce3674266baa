//! Telling lanes whom we restrict, on a thread of its own: brokers that are away hold up no response. What was not told is
//! told again when act begins.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, unbounded};
use fleet::{EventTime, State};
use responders::book::{Action, Book};
use responders::journal::Entry;
use responders::journal::entry::Body;
use smol_str::SmolStr;

use crate::config::Config;
use crate::live::act::restricted::{tell_freed, tell_restricted};
use crate::live::logs::EachMinute;
use crate::live::retry::Pause;

struct News {
    is_restricted: bool,
    device: SmolStr,
    from: EventTime,
}

pub struct Masks {
    news: Sender<News>,
    /// By device: actions that restrict it, as far as lanes were told.
    told: BTreeMap<SmolStr, usize>,
    thread: JoinHandle<()>,
}

impl Masks {
    pub fn start(config: &Arc<Config>, wanted: impl Fn() -> bool + Send + 'static) -> std::io::Result<Masks> {
        let (news, waiting) = unbounded();
        let config = Arc::clone(config);
        let work = move || tell(&config, &waiting, &wanted);
        let thread = std::thread::Builder::new().name("masks".to_owned()).spawn(work)?;
        Ok(Masks { news, told: BTreeMap::new(), thread })
    }

    /// Whoever worked before may not have told. `reached`: event time that act has come to.
    pub fn begin(&mut self, book: &Book, reached: EventTime) {
        for action in book.actions().filter(|action| action.proposal.level.restricts()) {
            let device = &action.proposal.device_id;
            if book.of_device(device).any(stands) {
                self.restrict(device, reached);
            } else if action.may_hold() || action.let_go_at.is_some() {
                let _ = self.news.send(News {
                    is_restricted: false,
                    device: device.clone(),
                    from: since(action.since, reached),
                });
            }
        }
    }

    /// Of an entry, after it was folded.
    pub fn take(&mut self, entry: &Entry, book: &Book, reached: EventTime) {
        let Body::Moved(moved) = &entry.body else { return };
        let Some(action) = book.action(&moved.action_id).filter(|action| action.proposal.level.restricts()) else {
            return;
        };
        let device = &action.proposal.device_id;
        let from = since(entry.at, reached);
        match moved.to {
            State::Applied => self.restrict(device, from),
            // Whom nothing held was seen all the time, and is not on probation.
            State::Released | State::Failed if !book.of_device(device).any(stands) => {
                if self.told.remove(device).is_none() && !action.may_hold() {
                    return;
                }
                let _ = self.news.send(News { is_restricted: false, device: device.clone(), from });
            }
            _ => {}
        }
    }

    fn restrict(&mut self, device: &SmolStr, from: EventTime) {
        let told = self.told.entry(device.clone()).or_default();
        *told += 1;
        if *told == 1 {
            let _ = self.news.send(News { is_restricted: true, device: device.clone(), from });
        }
    }

    pub fn end(self) {
        drop(self.news);
        let _ = self.thread.join();
    }
}

/// It stands at the gateway, or may.
fn stands(action: &Action) -> bool {
    let is_there = matches!(action.state, State::Applied | State::Verified | State::Releasing);
    action.proposal.level.restricts() && (is_there || action.state == State::Applying && action.may_hold())
}

/// Time of the clock may be far ahead of that of history which is fed.
fn since(at: EventTime, reached: EventTime) -> EventTime {
    if reached == EventTime::MIN { at } else { at.min(reached) }
}

fn tell(config: &Config, waiting: &Receiver<News>, wanted: &dyn Fn() -> bool) {
    let mut said = EachMinute::default();
    for first in waiting {
        // In their order; those of a kind that wait together are told at once.
        let news: Vec<News> = std::iter::once(first).chain(waiting.try_iter()).collect();
        for run in news.chunk_by(|one, other| one.is_restricted == other.is_restricted) {
            let devices: Vec<(SmolStr, EventTime)> = run.iter().map(|news| (news.device.clone(), news.from)).collect();
            let mut pause = Pause::default();
            loop {
                let told =
                    if run[0].is_restricted { tell_restricted(config, &devices) } else { tell_freed(config, &devices) };
                let Err(error) = told else { break };
                if said.is_due() {
                    tracing::warn!(error = format!("{error:#}"), "lanes cannot be told whom we restrict; trying again");
                }
                if !pause.wait(wanted) {
                    return;
                }
            }
        }
    }
}
