//! Whose token this is. Whether the file changed is asked at every call, so that what was made or revoked counts at once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use fleet::EventTime;

use crate::error::Error;
use crate::rights::file::{self, Stamp};
use crate::rights::moment::Moment;
use crate::rights::token::{Hash, Token};
use crate::rights::{TokenText, TokenView};

/// Why a token opens nothing. Only whoever holds the right secret is told more than [`Denied::Unknown`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    /// No such id, or another secret.
    Unknown,
    Expired {
        token: TokenView,
    },
    Revoked {
        token: TokenView,
    },
    /// The file cannot be used now: nobody is let in, since somebody may have been revoked.
    NoFile,
}

pub struct Keyring {
    path: PathBuf,
    state: Mutex<State>,
}

struct State {
    /// By id; an error while the file cannot be used.
    tokens: Result<BTreeMap<String, Token>, Error>,
    stamp: Option<Stamp>,
}

impl Keyring {
    /// # Errors
    /// The file cannot be read, or understood, or others may use it.
    pub fn open(path: &Path) -> Result<Keyring, Error> {
        let (tokens, stamp) = file::load(path)?;
        let state = State { tokens: Ok(by_id(tokens)), stamp: Some(stamp) };
        Ok(Keyring { path: path.to_owned(), state: Mutex::new(state) })
    }

    /// `now` is compared with the token's end.
    pub fn admit(&self, text: &TokenText, now: EventTime) -> Result<TokenView, Denied> {
        let given = text.hash();
        self.with(|tokens| {
            let token = tokens.get(text.id());
            // Compared also where there is nothing to compare with: an id that exists takes as long as one that does not.
            let is_right = given.is(token.map_or(&Hash::NOBODY, |token| &token.sha256));
            let Some(token) = token.filter(|_| is_right) else {
                return Err(Denied::Unknown);
            };
            let view = token.view();
            if token.disabled {
                return Err(Denied::Revoked { token: view });
            }
            if Moment(now) >= token.expires {
                return Err(Denied::Expired { token: view });
            }
            Ok(view)
        })
    }

    /// Whether such an id was ever given out: others' inventions are not written to the audit.
    pub fn has(&self, id: &str) -> bool {
        self.with(|tokens| Ok(tokens.contains_key(id))).unwrap_or(false)
    }

    /// # Errors
    /// [`Denied::NoFile`].
    pub fn list(&self) -> Result<Vec<TokenView>, Denied> {
        self.with(|tokens| Ok(tokens.values().map(Token::view).collect()))
    }

    fn with<T>(&self, use_them: impl FnOnce(&BTreeMap<String, Token>) -> Result<T, Denied>) -> Result<T, Denied> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = Stamp::at(&self.path);
        if stamp.is_none() || stamp != state.stamp {
            self.load(&mut state);
        }
        match &state.tokens {
            Ok(tokens) => use_them(tokens),
            Err(_) => Err(Denied::NoFile),
        }
    }

    fn load(&self, state: &mut State) {
        let loaded = file::load(&self.path);
        state.stamp = loaded.as_ref().ok().map(|(_, stamp)| *stamp);
        let tokens = loaded.map(|(tokens, _)| by_id(tokens));
        match &tokens {
            Ok(tokens) => tracing::info!(tokens = tokens.len(), "the tokens file was read again"),
            // Once for each kind of trouble, not once a call.
            Err(error) if state.tokens.as_ref().err() != Some(error) => {
                tracing::error!(%error, "nobody can sign in to the API until the tokens file can be used again");
            }
            Err(_) => {}
        }
        state.tokens = tokens;
    }
}

fn by_id(tokens: Vec<Token>) -> BTreeMap<String, Token> {
    tokens.into_iter().map(|token| (token.id.clone(), token)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rights::Role;
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    struct Fixture {
        _folder: tempfile::TempDir,
        path: PathBuf,
        keyring: Keyring,
        text: TokenText,
        view: TokenView,
        now: EventTime,
    }

    fn fixture() -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.toml");
        let now = EventTime::parse("2026-01-01T00:00:00Z").unwrap();
        let (text, view) = file::create(&path, "alice", Role::Analyst, Duration::from_secs(3600), now).unwrap();
        let keyring = Keyring::open(&path).unwrap();
        Fixture { _folder: folder, path, keyring, text, view, now }
    }

    #[test]
    fn the_right_token_until_its_end() {
        let it = fixture();
        assert_eq!(it.keyring.admit(&it.text, it.now), Ok(it.view.clone()));
        assert_eq!(it.keyring.admit(&it.text, it.now.plus_seconds(3599)), Ok(it.view.clone()));
        let ended = it.keyring.admit(&it.text, it.now.plus_seconds(3600));
        assert_eq!(ended, Err(Denied::Expired { token: it.view }));
    }

    #[test]
    fn neither_another_secret_nor_another_id() {
        let it = fixture();
        let other = TokenText::new().unwrap();
        let secret = other.reveal().rsplit_once(other.id()).unwrap().1;
        let same_id = TokenText::parse(&format!("vdt_{}{secret}", it.text.id())).unwrap();
        for text in [other, same_id] {
            assert_eq!(it.keyring.admit(&text, it.now), Err(Denied::Unknown));
        }
    }

    #[test]
    fn what_is_revoked_or_made_meanwhile_counts_at_once() {
        let it = fixture();
        file::revoke(&it.path, &it.view.id).unwrap();
        let (later, _) = file::create(&it.path, "bob", Role::Viewer, file::DEFAULT_LIFE, it.now).unwrap();
        assert!(matches!(it.keyring.admit(&it.text, it.now), Err(Denied::Revoked { .. })));
        assert!(it.keyring.admit(&later, it.now).is_ok());
        assert_eq!(it.keyring.list().unwrap().len(), 2);
    }

    #[test]
    fn nobody_is_let_in_while_the_file_is_wrong_and_all_are_afterwards() {
        let it = fixture();
        let admit = || it.keyring.admit(&it.text, it.now);
        std::fs::set_permissions(&it.path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(admit(), Err(Denied::NoFile));
        std::fs::set_permissions(&it.path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(admit().is_ok());

        let written = std::fs::read(&it.path).unwrap();
        std::fs::write(&it.path, "not TOML").unwrap();
        assert_eq!(admit(), Err(Denied::NoFile));
        std::fs::remove_file(&it.path).unwrap();
        assert_eq!(admit(), Err(Denied::NoFile));
        std::fs::write(&it.path, written).unwrap();
        std::fs::set_permissions(&it.path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(admit().is_ok());
    }
}
