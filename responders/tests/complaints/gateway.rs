//! A gateway that keeps what it is told in memory the test can look into, and that fails in every way it is told to.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use fleet::{EventTime, Level};
use responders::engine::due::Call;
use responders::gateways::{
    Ability, About, Applied, Failure, FailureKind, Found, Gateway, Key, Order, Permit, Repeat, Undone, Witness,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Says that it is done and does nothing.
    Lies,
    Unreachable,
    /// Does it, and nobody hears of it.
    LosesAnswers,
    /// Does it a while after it was given up.
    IsLate(Duration),
    Busy(Duration),
    Refuses,
    /// Takes nothing back.
    Keeps,
    Panics,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    pub target: String,
    pub level: Level,
    /// Whose it is: an order's mark, or another's name.
    pub by: String,
    pub until: Option<EventTime>,
}

/// What stands at the gateway, whichever process talks to it.
#[derive(Default)]
pub struct Site {
    pub holds: Vec<Hold>,
    pub fault: Option<Fault>,
    /// What it will never be told of: addresses of another family, say.
    pub refuses: Vec<String>,
    /// Targets that it does not answer about.
    pub is_silent_on: Vec<String>,
    /// Targets that it holds, and takes no order about any more.
    pub is_full_for: Vec<String>,
    /// It does not keep who asked: whoever asks about a target is told of, and takes back, what stands there for it.
    pub forgets_whose: bool,
    /// It cannot say what it holds.
    pub cannot_say: bool,
    /// What the first call takes; each one after it takes that much more.
    pub takes: Duration,
    begun: u32,
    pub calls: Vec<(Call, String, String)>,
    pub now: EventTime,
    /// How wrong the clock of who asks is, seconds.
    pub skew: i64,
    late: Vec<(EventTime, Hold)>,
}

impl Site {
    /// Time goes by there as well.
    pub fn at(&mut self, now: EventTime) {
        self.now = now;
        for (due, hold) in std::mem::take(&mut self.late) {
            if due <= now { self.hold(hold) } else { self.late.push((due, hold)) }
        }
        self.holds.retain(|hold| hold.until.is_none_or(|until| now < until));
    }

    fn hold(&mut self, hold: Hold) {
        let is_there = |other: &Hold| (&other.target, other.level, &other.by) == (&hold.target, hold.level, &hold.by);
        match self.holds.iter_mut().find(|other| is_there(other)) {
            Some(other) => other.until = hold.until,
            None => self.holds.push(hold),
        }
    }

    pub fn block(&mut self, target: &str, by: &str) {
        self.holds.push(Hold { target: target.to_owned(), level: Level::Quarantine, by: by.to_owned(), until: None });
    }

    pub fn is_held(&self, target: &str) -> bool {
        self.holds.iter().any(|hold| hold.target == target)
    }

    pub fn count(&self, call: Call) -> usize {
        self.calls.iter().filter(|(of, ..)| *of == call).count()
    }
}

#[derive(Clone)]
pub struct Keeper {
    pub about: About,
    pub site: Arc<Mutex<Site>>,
    /// Calls that it takes at the same time.
    pub workers: usize,
    /// Calls that came in, whether or not they wait for the site.
    entered: Arc<AtomicUsize>,
}

pub const TIME_LIMIT: Duration = Duration::from_secs(10);

impl Keeper {
    pub fn new(name: &str, key: Key, levels: &[Level], ends_by_itself: bool) -> Keeper {
        let ability = |level: &Level| Ability {
            level: *level,
            keys: vec![key],
            cuts_sessions: true,
            ends_by_itself,
            can_be_undone: *level != Level::TerminateSession,
            repeat: Repeat::Duplicate,
            witness: Witness::of(&[key]),
        };
        let about = About {
            name: name.into(),
            product: "test".into(),
            abilities: levels.iter().map(ability).collect(),
            time_limit: TIME_LIMIT,
            own: Vec::new(),
        };
        Keeper { about, site: Arc::default(), workers: 1, entered: Arc::default() }
    }

    pub fn site(&self) -> MutexGuard<'_, Site> {
        self.site.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// So many calls have the gate behind them.
    pub fn wait_entered(&self, calls: usize) {
        wait("no call came in", || self.entered.load(Ordering::SeqCst) >= calls);
    }

    /// So many calls have reached the site, which keeps them.
    pub fn wait_kept(&self, calls: usize) {
        wait("no call reached the site", || self.site().calls.len() >= calls);
    }

    fn hold(&self, order: &Order) -> Hold {
        let ability = self.about.ability(order.level).expect("nothing else is asked for");
        let target = order.names[&ability.keys[0]].to_string();
        let until = order.until.filter(|_| ability.ends_by_itself).map(|until| until.plus_seconds(-self.site().skew));
        Hold { target, level: order.level, by: order.mark(), until }
    }

    /// One that panics does so whatever the permit says: nothing of it may be reached without.
    fn reached(&self, permit: &Permit, call: Call, order: &Order) -> Result<(), Failure> {
        self.entered.fetch_add(1, Ordering::SeqCst);
        let target = self.hold(order).target;
        let mut site = self.site();
        if site.fault == Some(Fault::Panics) {
            site.calls.push((call, order.action_id.clone(), target));
            drop(site);
            panic!("a connector that panics")
        }
        permit.left().map(|_| ())
    }

    /// The call is noted, and fails as it is told to; what it would do is done first where only the answer is lost.
    fn answer<T>(
        &self,
        call: Call,
        order: &Order,
        act: impl FnOnce(&mut Site, &Hold) -> T,
        lie: T,
    ) -> Result<T, Failure> {
        let hold = self.hold(order);
        let takes = {
            let mut site = self.site();
            site.begun += 1;
            site.takes * site.begun
        };
        std::thread::sleep(takes);
        let mut site = self.site();
        site.calls.push((call, order.action_id.clone(), hold.target.clone()));
        match site.fault {
            _ if site.is_silent_on.contains(&hold.target) => Err(Failure::unreachable("nobody answers")),
            _ if site.refuses.contains(&hold.target) => {
                Err(Failure::refused(format!("`{}` is no address", hold.target)))
            }
            _ if call == Call::Apply && site.is_full_for.contains(&hold.target) => {
                Err(Failure::refused("no more of it"))
            }
            Some(Fault::Keeps) if call == Call::Undo => Err(Failure::refused("it does not let go")),
            None | Some(Fault::Keeps) => Ok(act(&mut site, &hold)),
            Some(Fault::Lies) => Ok(lie),
            Some(Fault::Unreachable) => Err(Failure::unreachable("nobody answers")),
            Some(Fault::LosesAnswers) => {
                act(&mut site, &hold);
                Err(Failure::unreachable("the answer was lost"))
            }
            Some(Fault::IsLate(after)) => {
                if call == Call::Apply && order.level != Level::TerminateSession {
                    let due = site.now.plus_micros(i64::try_from(after.as_micros()).expect("a short while"));
                    site.late.push((due, hold));
                }
                Err(Failure::unreachable("no answer in time"))
            }
            Some(Fault::Busy(asked)) => Err(Failure::busy("too many requests", Some(asked))),
            Some(Fault::Refuses) => Err(Failure::new(FailureKind::Refused, "it never will")),
            Some(Fault::Panics) => unreachable!("it panicked when it was reached"),
        }
    }
}

impl Gateway for Keeper {
    fn about(&self) -> &About {
        &self.about
    }

    fn apply(&mut self, permit: &Permit, order: &Order) -> Result<Applied, Failure> {
        self.reached(permit, Call::Apply, order)?;
        let act = |site: &mut Site, hold: &Hold| {
            if order.level == Level::TerminateSession {
                return Applied::default();
            }
            let already = site.holds.iter().any(|other| other.target == hold.target && other.by == hold.by);
            let is_others =
                site.holds.iter().any(|other| other.target == hold.target && !other.by.starts_with("vedette:"));
            if !is_others {
                site.hold(hold.clone());
            }
            Applied { receipt: None, already }
        };
        self.answer(Call::Apply, order, act, Applied::default())
    }

    fn read_back(&mut self, permit: &Permit, order: &Order) -> Result<Found, Failure> {
        self.reached(permit, Call::ReadBack, order)?;
        let act = |site: &mut Site, hold: &Hold| {
            if order.level == Level::TerminateSession {
                return Found::InForce;
            }
            if site.cannot_say { Found::Unknown } else { look(site, hold) }
        };
        let hold = self.hold(order);
        let found = look(&self.site(), &hold);
        self.answer(Call::ReadBack, order, act, found)
    }

    fn undo(&mut self, permit: &Permit, order: &Order) -> Result<Undone, Failure> {
        self.reached(permit, Call::Undo, order)?;
        let act = |site: &mut Site, hold: &Hold| {
            let before = site.holds.len();
            let forgets_whose = site.forgets_whose;
            let is_it = |other: &Hold| {
                (&other.target, other.level) == (&hold.target, hold.level) && (forgets_whose || other.by == hold.by)
            };
            site.holds.retain(|other| !is_it(other));
            match look(site, hold) {
                _ if site.holds.len() < before => Undone::Done,
                Found::Foreign { by } => Undone::Foreign { by },
                _ => Undone::Already,
            }
        };
        self.answer(Call::Undo, order, act, Undone::Done)
    }

    fn probe(&mut self, permit: &Permit) -> Result<(), Failure> {
        permit.left().map(|_| ())
    }

    fn beside(&self) -> Vec<Box<dyn Gateway>> {
        (1..self.workers).map(|_| Box::new(Keeper { workers: 1, ..self.clone() }) as Box<dyn Gateway>).collect()
    }
}

fn wait(or: &str, is_so: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(10);
    while !is_so() {
        assert!(Instant::now() < until, "{or}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn look(site: &Site, hold: &Hold) -> Found {
    let mut there = site.holds.iter().filter(|other| other.target == hold.target);
    if there.clone().any(|other| other.level == hold.level && (site.forgets_whose || other.by == hold.by)) {
        return Found::InForce;
    }
    match there.find(|other| !other.by.starts_with("vedette:")) {
        Some(other) => Found::Foreign { by: other.by.clone() },
        None => Found::Absent,
    }
}
