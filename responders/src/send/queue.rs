//! What waits for one gateway: taken in its order by whichever worker is free, but never two calls about one device at the same
//! time. Whom one call keeps waiting is not held up by it, unless it is of the same device.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use smol_str::SmolStr;

use crate::engine::due::Job;

/// What may wait for one gateway, calls in hand not counted.
const MOST: usize = 256;

#[derive(Default)]
pub struct Queue {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Default)]
struct Inner {
    waiting: VecDeque<Job>,
    /// Devices that a call is made about.
    in_hand: BTreeSet<SmolStr>,
    is_closed: bool,
}

impl Inner {
    fn first_free(&self) -> Option<usize> {
        self.waiting.iter().position(|job| !self.in_hand.contains(&job.order.device_id))
    }
}

impl Queue {
    /// `false`: it is full.
    pub fn offer(&self, job: Job) -> bool {
        let mut inner = self.lock();
        if inner.waiting.len() >= MOST || inner.is_closed {
            return false;
        }
        inner.waiting.push_back(job);
        self.changed.notify_one();
        true
    }

    /// Waits for a call that may be made now; [`Queue::finish`] follows it. `None`: nobody asks for anything any more.
    pub fn take(&self) -> Option<Job> {
        let mut inner = self.lock();
        loop {
            if inner.is_closed {
                return None;
            }
            if let Some(job) = inner.first_free().and_then(|place| inner.waiting.remove(place)) {
                inner.in_hand.insert(job.order.device_id.clone());
                return Some(job);
            }
            inner = self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Calls that wait, and those in hand.
    pub fn len(&self) -> usize {
        let inner = self.lock();
        inner.waiting.len() + inner.in_hand.len()
    }

    pub fn finish(&self, device: &SmolStr) {
        self.lock().in_hand.remove(device);
        self.changed.notify_one();
    }

    /// Calls in hand are finished, others are not begun.
    pub fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
