//! Several files as one source: whichever head is earliest in event time goes next, ties by file number. Each file keeps
//! its own order, so that its positions stay increasing.

use std::collections::VecDeque;

use fleet::{EventTime, Reading};
use ingest::{Error, Fetched, Source};

use super::AnySource;

const AT_ONCE: usize = 4_096;

struct Input {
    source: AnySource,
    bytes: u64,
    waiting: VecDeque<Reading>,
    exhausted: bool,
}

pub(super) struct Merged {
    inputs: Vec<Input>,
    spare: Fetched,
}

impl Merged {
    /// Sources with their sizes in bytes, which weigh their share in the progress.
    pub fn new(sources: Vec<(AnySource, u64)>) -> Merged {
        let input = |(source, bytes)| Input { source, bytes, waiting: VecDeque::new(), exhausted: false };
        Merged { inputs: sources.into_iter().map(input).collect(), spare: Fetched::default() }
    }

    /// After it every file that has more has something waiting: only then is the earliest head known.
    fn fill(&mut self, out: &mut Fetched) -> Result<(), Error> {
        for input in &mut self.inputs {
            while input.waiting.is_empty() && !input.exhausted {
                input.exhausted = !input.source.fetch(&mut self.spare)?;
                input.waiting.extend(self.spare.readings.drain(..));
                out.rejected.append(&mut self.spare.rejected);
            }
        }
        Ok(())
    }

    /// The file whose head is earliest, and the earliest head of the others.
    fn next(&self) -> Option<(usize, (EventTime, usize))> {
        let (mut first, mut second) = ((EventTime::MAX, usize::MAX), (EventTime::MAX, usize::MAX));
        for (index, input) in self.inputs.iter().enumerate() {
            let Some(head) = input.waiting.front() else { continue };
            let head = (head.time, index);
            if head < first {
                second = first;
                first = head;
            } else if head < second {
                second = head;
            }
        }
        (first.1 != usize::MAX).then_some((first.1, second))
    }
}

impl Source for Merged {
    fn fetch(&mut self, out: &mut Fetched) -> Result<bool, Error> {
        let enough = out.readings.len() + AT_ONCE;
        while out.readings.len() < enough {
            self.fill(out)?;
            let Some((index, others)) = self.next() else {
                return Ok(false);
            };
            let waiting = &mut self.inputs[index].waiting;
            while out.readings.len() < enough && waiting.front().is_some_and(|head| (head.time, index) < others) {
                out.readings.extend(waiting.pop_front());
            }
        }
        Ok(true)
    }

    fn progress(&self) -> f64 {
        let total: u64 = self.inputs.iter().map(|input| input.bytes.max(1)).sum();
        let done: f64 = self.inputs.iter().map(|input| input.bytes.max(1) as f64 * input.source.progress()).sum();
        done / total as f64
    }
}
