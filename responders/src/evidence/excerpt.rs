//! The journal's lines about one incident, as they stand there, and what they can be held against.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Serialize;
use smol_str::SmolStr;

use crate::journal::entry::{Body, Command, Entry};
use crate::journal::file;
use crate::rights::Moment;

/// Entries are given to it in their order.
pub struct Excerpt {
    incident_id: String,
    keeps_all: bool,
    actions: BTreeSet<String>,
    playbooks: BTreeSet<(SmolStr, SmolStr)>,
    lines: String,
    /// The first signature after the last of the lines.
    cover: Option<(u64, String)>,
    whole: String,
    head: Option<Head>,
}

/// Where the journal ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Head {
    /// Number of its last entry.
    pub entry: u64,
    pub at: Moment,
    pub hash: SmolStr,
    /// Number of the signature that covers what the bundle has of it; none: nothing was signed since.
    pub covered_by: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpted {
    /// One entry a line.
    pub lines: String,
    /// All of the journal; empty unless it was asked for.
    pub whole: String,
    /// None of a journal without entries.
    pub head: Option<Head>,
    /// Id and version of those that decided.
    pub playbooks: BTreeSet<(SmolStr, SmolStr)>,
}

impl Excerpt {
    pub fn new(incident_id: &str, keeps_all: bool) -> Excerpt {
        Excerpt {
            incident_id: incident_id.to_owned(),
            keeps_all,
            actions: BTreeSet::new(),
            playbooks: BTreeSet::new(),
            lines: String::new(),
            cover: None,
            whole: String::new(),
            head: None,
        }
    }

    /// Of a journal in a file.
    ///
    /// # Errors
    /// It cannot be read, or is not what was written; where.
    pub fn of_file(path: &Path, incident_id: &str, keeps_all: bool) -> Result<Excerpted, String> {
        let mut excerpt = Excerpt::new(incident_id, keeps_all);
        file::look_at_lines(path, |entry, line| excerpt.take(&entry, line))?;
        Ok(excerpt.finish())
    }

    /// `line` is the entry's own, without its end.
    pub fn take(&mut self, entry: &Entry, line: &str) {
        if self.keeps_all {
            push(&mut self.whole, line);
        }
        self.head = Some(Head { entry: entry.seq, at: Moment(entry.at), hash: entry.hash.clone(), covered_by: None });
        if let Body::Proposed(proposal) = &entry.body
            && proposal.incident_id == self.incident_id
        {
            self.actions.insert(proposal.action_id.clone());
            self.playbooks.insert((proposal.playbook.clone(), proposal.playbook_version.clone()));
        }
        if self.concerns(&entry.body) {
            push(&mut self.lines, line);
            self.cover = None;
        } else if matches!(entry.body, Body::Signed(_)) && !self.lines.is_empty() && self.cover.is_none() {
            self.cover = Some((entry.seq, line.to_owned()));
        }
    }

    fn concerns(&self, body: &Body) -> bool {
        let is_ours = |action_id: &String| self.actions.contains(action_id);
        match body {
            Body::Proposed(proposal) => is_ours(&proposal.action_id),
            Body::Moved(moved) => is_ours(&moved.action_id),
            Body::Noted(note) => is_ours(&note.action_id),
            Body::Commanded(commanded) => match &commanded.command {
                Command::Approve { action_id }
                | Command::Deny { action_id, .. }
                | Command::Release { action_id, .. }
                | Command::Extend { action_id, .. } => is_ours(action_id),
                Command::Verdict(verdict) => verdict.incident_id == self.incident_id,
                Command::Mode { .. } | Command::Stop { .. } => false,
            },
            Body::Called(called) => called.subject.as_ref().is_some_and(|of| *of == self.incident_id || is_ours(of)),
            Body::KeptBack(kept) => kept.incident_id == self.incident_id,
            Body::Began(_) | Body::Ended(_) | Body::Signed(_) => false,
        }
    }

    pub fn finish(mut self) -> Excerpted {
        let covered_by = self.cover.as_ref().map(|(entry, _)| *entry);
        if let Some((_, line)) = &self.cover {
            push(&mut self.lines, line);
        }
        let head = self.head.map(|head| Head { covered_by, ..head });
        Excerpted { lines: self.lines, whole: self.whole, head, playbooks: self.playbooks }
    }
}

fn push(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}
