//! `vedette tokens`: who may use the API. They work on the tokens file itself, so the first one can be made before anything
//! runs.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use datasets::scorecard::text::{Table, listed, moment};
use fleet::EventTime;
use responders::Error;
use responders::playbook::period;
use responders::rights::file::{self, DEFAULT_LIFE};
use responders::rights::{Moment, Role, TokenText, TokenView};

use super::connection::{now, say_json};
use crate::config::Misuse;
use crate::show::say;

#[derive(Subcommand)]
pub enum TokensCommand {
    /// Make a token, and the file where there is none. The token is shown once: the file has its hash only.
    Create(CreateArgs),
    /// Who has tokens, with what right and until when, those that ended included.
    List(ListArgs),
    /// From now on a token opens nothing; a service that runs notices within a second.
    Revoke(RevokeArgs),
}

#[derive(Args, Clone)]
pub struct FileArg {
    /// The tokens file: `tokens` in the section `[api]` of the configuration
    #[arg(long, value_name = "FILE")]
    pub file: PathBuf,
}

#[derive(Args, Clone)]
pub struct CreateArgs {
    /// Whom it is for: one person or one program. The audit shows it, and four eyes are counted by it
    #[arg(long, value_name = "NAME")]
    pub name: String,
    /// viewer: looks; analyst: and gives verdicts; responder: and approves, denies, releases, stops; administrator: and sets
    /// modes
    #[arg(long, value_parser = role)]
    pub role: Role,
    /// How long it lives: 12h, 30d, 366d at most [default: 90d]
    #[arg(long, value_name = "TIME", value_parser = life)]
    pub expires: Option<Duration>,
    #[command(flatten)]
    pub file: FileArg,
}

#[derive(Args, Clone)]
pub struct ListArgs {
    #[command(flatten)]
    pub file: FileArg,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Clone)]
pub struct RevokeArgs {
    /// The token's id, as `vedette tokens list` shows it
    #[arg(value_name = "ID")]
    pub id: String,
    #[command(flatten)]
    pub file: FileArg,
}

fn role(name: &str) -> Result<Role, String> {
    let names = || Role::ALL.iter().map(|role| role.name());
    Role::from_name(name).ok_or_else(|| format!("`{name}` is no role, expected {}", listed(names())))
}

/// A period as in playbooks, which may be longer than there.
fn life(text: &str) -> Result<Duration, String> {
    let life = Duration::from_secs(period::seconds(text)?);
    if file::LIFE.contains(&life) {
        Ok(life)
    } else {
        Err("a token lives a minute to 366 days; make a new one then".to_owned())
    }
}

pub fn run(command: &TokensCommand) -> anyhow::Result<()> {
    match command {
        TokensCommand::Create(args) => {
            let path = &args.file.file;
            let life = args.expires.unwrap_or(DEFAULT_LIFE);
            let (text, view) = file::create(path, &args.name, args.role, life, now()).map_err(misuse)?;
            eprintln!(
                "token {} for {} ({}) until {} UTC; it is shown only now:",
                view.id,
                view.name,
                view.role,
                moment(view.expires.0)
            );
            say(&format!("{}\n", text.reveal()))
        }
        TokensCommand::List(args) => {
            let tokens = file::list(&args.file.file).map_err(misuse)?;
            if args.json { say_json(&tokens) } else { say(&list(&tokens, now())) }
        }
        TokensCommand::Revoke(args) => {
            // Whoever pastes the whole token means it, and it is not repeated.
            let pasted = TokenText::parse(&args.id);
            let id = pasted.as_ref().map_or(args.id.as_str(), TokenText::id);
            let view = file::revoke(&args.file.file, id).map_err(misuse)?;
            say(&format!("token {} of {} opens nothing any more\n", view.id, view.name))
        }
    }
}

fn misuse(error: Error) -> anyhow::Error {
    Misuse(error.to_string()).into()
}

fn list(tokens: &[TokenView], now: EventTime) -> String {
    if tokens.is_empty() {
        return "no tokens\n".to_owned();
    }
    let mut table = Table::new(&["!id", "name", "role", "!made (UTC)", "!expires (UTC)", "!state"]);
    for token in tokens {
        let state = match (token.disabled, token.expires <= Moment(now)) {
            (true, _) => "revoked",
            (false, true) => "ended",
            (false, false) => "valid",
        };
        table.row([
            token.id.clone(),
            token.name.clone(),
            token.role.to_string(),
            moment(token.created.0),
            moment(token.expires.0),
            state.to_owned(),
        ]);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lives_as_people_write_them() {
        assert_eq!(life("90d").unwrap(), DEFAULT_LIFE);
        assert_eq!(life("366d").unwrap().as_secs(), 366 * 86_400);
        assert_eq!(life("12h").unwrap().as_secs(), 43_200);
        for wrong in ["", "d", "-1d", "+1d", "1w", "1.5h", "1 d"] {
            assert!(life(wrong).unwrap_err().contains(&format!("`{wrong}`")), "{wrong}");
        }
        assert!(role("root").unwrap_err().contains("administrator"));
    }

    #[test]
    fn a_list_says_which_still_open_something() {
        let token = |id: &str, expires, disabled| TokenView {
            id: id.into(),
            name: "anna".into(),
            role: Role::Viewer,
            created: Moment(EventTime(0)),
            expires: Moment(EventTime(expires)),
            disabled,
        };
        let text = list(&[token("a", 5, false), token("b", 50, false), token("c", 50, true)], EventTime(5));
        let states: Vec<&str> = text.lines().skip(1).map(|line| line.rsplit(' ').next().unwrap()).collect();
        assert_eq!(states, ["ended", "valid", "revoked"]);
        assert_eq!(list(&[], EventTime(5)), "no tokens\n");
    }

    #[test]
    fn made_listed_and_revoked_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = FileArg { file: folder.path().join("tokens.toml") };
        let create = CreateArgs { name: "anna".into(), role: Role::Responder, expires: None, file: file.clone() };
        run(&TokensCommand::Create(create.clone())).unwrap();
        let id = file::list(&file.file).unwrap()[0].id.clone();
        run(&TokensCommand::Revoke(RevokeArgs { id, file: file.clone() })).unwrap();
        assert!(file::list(&file.file).unwrap()[0].disabled);
        let unknown = RevokeArgs { id: "ffffffff".into(), file };
        assert!(run(&TokensCommand::Revoke(unknown)).unwrap_err().is::<Misuse>());
        let bad = CreateArgs { name: "no name".into(), ..create };
        assert!(run(&TokensCommand::Create(bad)).unwrap_err().is::<Misuse>());
    }
}
