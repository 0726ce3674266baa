//! Telling lanes whom we restrict, on a thread of its own: brokers that are away hold up no response. What was not told is
//! told again when act begins.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, unbounded};
use fleet::{EventTime, State};
use responders::book::Book;
use responders::journal::Entry;
use responders::journal::entry::Body;
use smol_str::SmolStr;

use crate::config::Config;
use crate::live::act::restricted::{tell_freed, tell_restricted};
use crate::live::logs::EachMinute;
use crate::live::retry::Pause;

enum News {
    Restricted(SmolStr, EventTime),
    Freed(SmolStr, EventTime),
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
        for action in book.open().filter(|action| restricts(action.state) && action.proposal.level.restricts()) {
            self.restrict(&action.proposal.device_id, reached);
        }
    }

    /// Of an entry, after it was folded.
    pub fn take(&mut self, entry: &Entry, book: &Book, reached: EventTime) {
        let Body::Moved(moved) = &entry.body else { return };
        let Some(action) = book.action(&moved.action_id).filter(|action| action.proposal.level.restricts()) else { return };
        let device = &action.proposal.device_id;
        // Time of the clock may be far from that of history which is fed.
        let from = entry.at.min(reached);
        match moved.to {
            State::Applied => self.restrict(device, from),
            State::Released | State::Failed => {
                let still = book.of_device(device).any(|other| restricts(other.state) && other.proposal.level.restricts());
                if !still && self.told.remove(device).is_some() {
                    let _ = self.news.send(News::Freed(device.clone(), from));
                }
            }
            _ => {}
        }
    }

    fn restrict(&mut self, device: &SmolStr, from: EventTime) {
        let told = self.told.entry(device.clone()).or_default();
        *told += 1;
        if *told == 1 {
            let _ = self.news.send(News::Restricted(device.clone(), from));
        }
    }

    pub fn end(self) {
        drop(self.news);
        let _ = self.thread.join();
    }
}

/// It stands at the gateway, or may.
fn restricts(state: State) -> bool {
    matches!(state, State::Applied | State::Verified | State::Releasing)
}

fn tell(config: &Config, waiting: &Receiver<News>, wanted: &dyn Fn() -> bool) {
    let mut said = EachMinute::default();
    for first in waiting {
        // In their order, and those that wait together.
        for news in std::iter::once(first).chain(waiting.try_iter()) {
            let mut pause = Pause::default();
            loop {
                let told = match &news {
                    News::Restricted(device, from) => tell_restricted(config, &[(device.clone(), *from)]),
                    News::Freed(device, from) => tell_freed(config, &[(device.clone(), *from)]),
                };
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
