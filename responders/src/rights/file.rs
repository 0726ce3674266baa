//! Tokens at rest: one TOML file that nobody but its owner may read or write.

use std::collections::BTreeSet;
use std::fs::{File, Metadata};
use std::io::{Read, Write};
use std::ops::RangeInclusive;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fleet::EventTime;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::rights::token::Token;
use crate::rights::{Role, TokenText, TokenView};

pub const DEFAULT_LIFE: Duration = Duration::from_secs(90 * DAY);
/// A minute to 366 days.
pub const LIFE: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(366 * DAY);
const DAY: u64 = 86_400;

const NAME_CHARACTERS: usize = 64;
/// Some thousands of tokens.
const MOST_BYTES: u64 = 1024 * 1024;

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    #[serde(default, rename = "token")]
    tokens: Vec<Token>,
}

/// Makes a token that ends after `life`. What is returned first is shown once: the file does not hold it.
///
/// # Errors
/// A name or a life that cannot be; a file that cannot be read or written, or that others can read.
pub fn create(
    path: &Path,
    name: &str,
    role: Role,
    life: Duration,
    now: EventTime,
) -> Result<(TokenText, TokenView), Error> {
    check_name(name)?;
    if !LIFE.contains(&life) {
        let wrong =
            format!("a token cannot live {} s, expected a minute to 366 days; make a new one then", life.as_secs());
        return Err(Error::Wrong(wrong));
    }
    let _lock = lock(path)?;
    let mut content = if path.exists() { read(path)?.0 } else { Content::default() };
    let mut text = TokenText::new()?;
    while content.tokens.iter().any(|token| token.id == text.id()) {
        text = TokenText::new()?;
    }
    let token = Token {
        id: text.id().to_owned(),
        name: name.to_owned(),
        role,
        sha256: text.hash(),
        created: now.into(),
        expires: now.plus_seconds(life.as_secs().cast_signed()).into(),
        disabled: false,
    };
    let view = token.view();
    content.tokens.push(token);
    write(path, &content)?;
    Ok((text, view))
}

/// In the order they were made, those that ended included.
///
/// # Errors
/// As [`create`].
pub fn list(path: &Path) -> Result<Vec<TokenView>, Error> {
    Ok(read(path)?.0.tokens.iter().map(Token::view).collect())
}

/// From now on it opens nothing. It stays in the list, so that the audit's names can be looked up.
///
/// # Errors
/// As [`create`]; nobody has such a token.
pub fn revoke(path: &Path, id: &str) -> Result<TokenView, Error> {
    let _lock = lock(path)?;
    let mut content = read(path)?.0;
    let Some(token) = content.tokens.iter_mut().find(|token| token.id == id) else {
        return Err(Error::Wrong(format!("no token has the id `{id}`; `vedette tokens list` shows them")));
    };
    token.disabled = true;
    let view = token.view();
    write(path, &content)?;
    Ok(view)
}

/// What tells one version of the file from another: it is replaced as a whole, so that its inode changes too.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    mode: u32,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Stamp {
        Stamp {
            inode: metadata.ino(),
            bytes: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            mode: metadata.mode(),
        }
    }

    /// `None`: it cannot be looked at.
    pub(crate) fn at(path: &Path) -> Option<Stamp> {
        std::fs::metadata(path).ok().map(|metadata| Stamp::of(&metadata))
    }
}

pub(crate) fn load(path: &Path) -> Result<(Vec<Token>, Stamp), Error> {
    let (content, stamp) = read(path)?;
    Ok((content.tokens, stamp))
}

fn read(path: &Path) -> Result<(Content, Stamp), Error> {
    let wrong = |problem: String| Error::Wrong(format!("the tokens file `{}` {problem}", path.display()));
    let unreadable =
        |error: std::io::Error| wrong(format!("cannot be read: {error}; `vedette tokens create` makes it"));
    let mut file = File::open(path).map_err(unreadable)?;
    // Of the open file, not of the path: it may be replaced between the two.
    let metadata = file.metadata().map_err(unreadable)?;
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(wrong(format!("may be used by others: its mode is `{mode:o}`, expected 600; say `chmod 600`")));
    }
    let mut text = String::new();
    (&mut file).take(MOST_BYTES + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > MOST_BYTES {
        return Err(wrong(format!("is larger than {MOST_BYTES} bytes; take out tokens that ended")));
    }
    // The parser's message quotes the line it does not like, and that may hold a hash; its place is enough.
    let content: Content = toml::from_str(&text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        wrong(format!("cannot be understood at line {}: {}", before.matches('\n').count() + 1, error.message()))
    })?;
    let mut seen = BTreeSet::new();
    for token in &content.tokens {
        check_name(&token.name)?;
        if !seen.insert(&token.id) {
            return Err(wrong(format!("has the id `{}` twice; take one of them out", token.id)));
        }
    }
    Ok((content, Stamp::of(&metadata)))
}

/// Whoever looks sees the old file or the new one; a crash leaves one of the two.
fn write(path: &Path, content: &Content) -> Result<(), Error> {
    let wrong = |error: &dyn std::fmt::Display| {
        Error::Wrong(format!("the tokens file `{}` cannot be written: {error}", path.display()))
    };
    let text = toml::to_string(content).map_err(|error| wrong(&error))?;
    let folder = folder(path);
    // Made with mode 600.
    let mut file = tempfile::NamedTempFile::new_in(&folder).map_err(|error| wrong(&error))?;
    file.write_all(text.as_bytes()).map_err(|error| wrong(&error))?;
    // An administrator's command must not take the file away from the user the service runs as.
    if let (Ok(old), Ok(new)) = (std::fs::metadata(path), file.as_file().metadata())
        && (old.uid(), old.gid()) != (new.uid(), new.gid())
    {
        std::os::unix::fs::fchown(file.as_file(), Some(old.uid()), Some(old.gid())).map_err(|error| wrong(&error))?;
    }
    file.as_file().sync_all().map_err(|error| wrong(&error))?;
    file.persist(path).map_err(|error| wrong(&error.error))?;
    File::open(&folder).and_then(|folder| folder.sync_all()).map_err(|error| wrong(&error))
}

/// One at a time reads, changes and writes. The folder is locked: the file itself is replaced.
fn lock(path: &Path) -> Result<File, Error> {
    let folder = folder(path);
    let locked = File::open(&folder).and_then(|file| file.lock().map(|()| file));
    locked.map_err(|error| Error::Wrong(format!("the folder `{}` cannot be locked: {error}", folder.display())))
}

fn folder(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn check_name(name: &str) -> Result<(), Error> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'@' | b'+');
    if !name.is_empty() && name.len() <= NAME_CHARACTERS && name.bytes().all(fits) {
        return Ok(());
    }
    Err(Error::Wrong(format!(
        "a token's name is `{}`, expected 1 to {NAME_CHARACTERS} letters, digits and `.`, `_`, `-`, `@`, `+`, such as \
         `alice@example.org`",
        name.escape_default()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn at(text: &str) -> EventTime {
        EventTime::parse(text).unwrap()
    }

    fn make(path: &Path, name: &str) -> (TokenText, TokenView) {
        create(path, name, Role::Responder, DEFAULT_LIFE, at("2026-01-01T00:00:00Z")).unwrap()
    }

    #[test]
    fn made_listed_and_revoked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.toml");
        let (text, alice) = make(&path, "alice");
        let (_, bob) = make(&path, "bob");
        assert_eq!(alice.expires.to_string(), "2026-04-01T00:00:00Z");
        assert_eq!(list(&path).unwrap(), [alice.clone(), bob.clone()]);

        let written = std::fs::read_to_string(&path).unwrap();
        let secret = text.reveal().rsplit_once(&alice.id).unwrap().1;
        assert!(!written.contains(secret.trim_start_matches('_')), "{written}");
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);

        assert!(revoke(&path, &alice.id).unwrap().disabled);
        assert_eq!(list(&path).unwrap(), [TokenView { disabled: true, ..alice }, bob]);
        assert!(revoke(&path, "ffffffff").unwrap_err().to_string().contains("`ffffffff`"));
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "no temporary file is left: {left:?}");
    }

    #[test]
    fn what_others_may_use_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.toml");
        make(&path, "alice");
        for mode in [0o640, 0o604, 0o660, 0o610, 0o602] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let error = list(&path).unwrap_err().to_string();
            assert!(error.contains(&format!("its mode is `{mode:o}`, expected 600")), "{error}");
            assert!(create(&path, "bob", Role::Viewer, DEFAULT_LIFE, at("2026-01-01T00:00:00Z")).is_err());
        }
    }

    #[test]
    fn names_and_lives_that_cannot_be() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.toml");
        let now = at("2026-01-01T00:00:00Z");
        for name in ["", "a b", "a\nb", "<b>", &"a".repeat(65)] {
            assert!(create(&path, name, Role::Viewer, DEFAULT_LIFE, now).is_err(), "{name}");
        }
        for life in [Duration::ZERO, Duration::from_secs(367 * DAY), Duration::MAX] {
            assert!(create(&path, "alice", Role::Viewer, life, now).is_err(), "{life:?}");
        }
        assert!(!path.exists());
    }

    #[test]
    fn a_wrong_file_is_told_by_its_line_and_not_by_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.toml");
        make(&path, "alice");
        let written = std::fs::read_to_string(&path).unwrap();
        let hash = written.lines().find_map(|line| line.strip_prefix("sha256 = ")).unwrap().trim_matches('"');
        let shorter = written.replace(hash, &hash[1..]);
        std::fs::write(&path, shorter).unwrap();
        let error = list(&path).unwrap_err().to_string();
        assert!(error.contains("64 hexadecimal digits") && !error.contains(&hash[1..]), "{error}");

        std::fs::write(&path, format!("{written}\n{written}")).unwrap();
        assert!(list(&path).unwrap_err().to_string().contains("twice"));
    }

    #[test]
    fn two_commands_at_once_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.toml");
        std::thread::scope(|scope| {
            for index in 0..8 {
                let path = &path;
                scope.spawn(move || make(path, &format!("person-{index}")));
            }
        });
        assert_eq!(list(&path).unwrap().len(), 8);
    }
}
