//! How the commands reach the API: where it is, and by what right.

use std::path::PathBuf;

use clap::Args;
use fleet::EventTime;
use fleet::Secret;
use responders::api::client::{Client, ClientConfig, DEFAULT_URL, Failed, TOKEN_VARIABLE};
use responders::api::command::CommandOutcome;
use responders::rights::Moment;
use serde::Serialize;

use crate::config::Misuse;
use crate::show::say;

#[derive(Args, Clone, Debug)]
pub struct ApiArgs {
    /// Where the API of `vedette run` answers, as `listen` in the section `[api]` of its configuration says
    #[arg(long, value_name = "URL", default_value = DEFAULT_URL, help_heading = "API")]
    pub url: String,
    #[command(flatten)]
    pub rights: Rights,
}

#[derive(Args, Clone, Debug)]
pub struct Rights {
    /// File with the token (see `vedette tokens`); without it the environment variable VEDETTE_TOKEN is looked at
    #[arg(long, value_name = "FILE", help_heading = "API")]
    pub token_file: Option<PathBuf>,
    /// PEM file of the authority that the API's certificate comes from; without it those of the system
    #[arg(long, value_name = "FILE", help_heading = "API")]
    pub ca: Option<PathBuf>,
    /// JSON, as docs/api.md describes it
    #[arg(long)]
    pub json: bool,
}

impl ApiArgs {
    /// # Errors
    /// A URL, a token or a certificate that cannot be used.
    pub fn client(&self) -> anyhow::Result<Client> {
        client(&self.url, &self.rights)
    }
}

/// # Errors
/// As [`ApiArgs::client`].
pub fn client(url: &str, rights: &Rights) -> anyhow::Result<Client> {
    let in_file = rights.token_file.clone().map(Secret::File);
    let in_variable = || {
        let is_set = std::env::var_os(TOKEN_VARIABLE).is_some_and(|value| !value.is_empty());
        is_set.then(|| Secret::Env(TOKEN_VARIABLE.to_owned()))
    };
    let config = ClientConfig { url: url.to_owned(), token: in_file.or_else(in_variable), ca: rights.ca.clone() };
    Client::new(&config).map_err(|error| Misuse(error.to_string()).into())
}

/// The API's answer, as JSON or told by `render`.
///
/// # Errors
/// What the API said, and what helps.
pub fn show<T: Serialize>(
    answer: Result<T, Failed>,
    json: bool,
    render: impl FnOnce(&T) -> String,
) -> anyhow::Result<()> {
    let answer = answer?;
    if json {
        return say_json(&answer);
    }
    say(&render(&answer))
}

pub fn say_json(value: &impl Serialize) -> anyhow::Result<()> {
    say(&format!("{}\n", serde_json::to_string_pretty(value)?))
}

/// What came of a command about `what`, in a line.
pub fn outcome(what: &str, outcome: &CommandOutcome) -> String {
    let mut text = format!("{what}: {}", outcome.message);
    if outcome.approvals_missing > 0 {
        text += &format!(" ({} more must approve, other people)", outcome.approvals_missing);
    }
    if outcome.repeated {
        text += " (asked before; it was carried out once)";
    }
    if let Some(entry) = outcome.entry {
        text += &format!(" [journal entry {entry}]");
    }
    text + "\n"
}

/// The same about each of several: one that is refused keeps none of the others from being asked for.
///
/// # Errors
/// How many were refused; why, is told before on standard error.
pub fn each(ids: &[String], json: bool, ask: impl Fn(&str) -> Result<CommandOutcome, Failed>) -> anyhow::Result<()> {
    if let [id] = ids {
        return show(ask(id), json, |answer| outcome(id, answer));
    }
    let mut refused = 0;
    for id in ids {
        match ask(id) {
            Ok(answer) if json => say_json(&answer)?,
            Ok(answer) => say(&outcome(id, &answer))?,
            Err(error) => {
                eprintln!("{id}: {error}");
                refused += 1;
            }
        }
    }
    anyhow::ensure!(refused == 0, "{refused} of {} were refused", ids.len());
    Ok(())
}

/// `2026-01-31T12:00:00Z`.
pub fn instant(text: &str) -> Result<Moment, String> {
    let at = EventTime::parse(text).map(Moment);
    at.ok_or_else(|| format!("`{text}` is no instant, expected as 2026-01-31T12:00:00Z"))
}

#[expect(
    clippy::disallowed_methods,
    reason = "people say when from now on, and whoever answers compares with the clock"
)]
pub fn now() -> EventTime {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    EventTime(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_says_what_is_still_missing() {
        let answer = CommandOutcome {
            entry: Some(17),
            message: "noted".to_owned(),
            approvals_missing: 1,
            repeated: true,
            ..CommandOutcome::default()
        };
        let text = outcome("a1", &answer);
        assert_eq!(
            text,
            "a1: noted (1 more must approve, other people) (asked before; it was carried out once) [journal entry 17]\n"
        );
        assert_eq!(outcome("a1", &CommandOutcome::default()), "a1: \n");
    }

    #[test]
    fn one_that_is_refused_keeps_no_other_from_being_asked_for() {
        let asked = std::cell::RefCell::new(Vec::new());
        let ask = |id: &str| {
            asked.borrow_mut().push(id.to_owned());
            let failed = || Failed { status: Some(404), message: "no such action".into(), remedy: "list them".into() };
            if id == "b" { Err(failed()) } else { Ok(CommandOutcome::default()) }
        };
        let ids = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(each(&ids, false, ask).unwrap_err().to_string(), "1 of 3 were refused");
        assert_eq!(*asked.borrow(), ids);
        assert_eq!(each(&ids[1..2], false, ask).unwrap_err().to_string(), "no such action; list them");
    }

    #[test]
    fn a_url_that_cannot_be_is_a_mistake_of_who_calls() {
        let rights = Rights { token_file: None, ca: None, json: false };
        let error = client("ftp://192.0.2.1", &rights).err().unwrap();
        assert!(error.is::<Misuse>() && error.to_string().contains("ftp://192.0.2.1"), "{error}");
        let missing = Rights { token_file: Some("no-such-file".into()), ..rights };
        assert!(client(DEFAULT_URL, &missing).err().unwrap().to_string().contains("no-such-file"));
        assert!(instant("yesterday").unwrap_err().contains("`yesterday`"));
    }
}
