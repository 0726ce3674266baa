//! All playbooks of a folder, in the order in which they are asked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fleet::id::stable_id;
use smol_str::SmolStr;

use super::Playbook;
use crate::error::Error;

/// Highest priority first, then by id: of those that apply the first decides.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Playbooks {
    playbooks: Vec<Playbook>,
}

impl Playbooks {
    /// # Errors
    /// One for each id that more than one playbook has.
    pub fn new(mut playbooks: Vec<Playbook>) -> Result<Playbooks, Vec<Error>> {
        playbooks.sort_by(|a, b| (b.priority, &a.id, &a.written.file).cmp(&(a.priority, &b.id, &b.written.file)));
        let mut files: BTreeMap<&SmolStr, Vec<&str>> = BTreeMap::new();
        for playbook in &playbooks {
            files.entry(&playbook.id).or_default().push(&playbook.written.file);
        }
        let twice = files.into_iter().filter(|(_, files)| files.len() > 1);
        let errors: Vec<Error> = twice
            .map(|(id, mut files)| {
                files.sort_unstable();
                Error::Wrong(format!("the id `{id}` is that of several playbooks: {}; rename one", files.join(", ")))
            })
            .collect();
        if errors.is_empty() { Ok(Playbooks { playbooks }) } else { Err(errors) }
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Playbook> {
        self.playbooks.iter()
    }

    pub fn len(&self) -> usize {
        self.playbooks.len()
    }

    pub fn is_empty(&self) -> bool {
        self.playbooks.is_empty()
    }

    /// Stands for all of them together.
    pub fn version(&self) -> String {
        let versions: Vec<String> = self.playbooks.iter().map(Playbook::version).collect();
        stable_id(&versions.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

impl<'p> IntoIterator for &'p Playbooks {
    type Item = &'p Playbook;
    type IntoIter = std::slice::Iter<'p, Playbook>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Every `*.toml` of the folder; folders in it are not looked into, nor hidden files. `check` says what else is wrong with one.
///
/// # Errors
/// All that is wrong in any of the files, in their order.
pub fn load_folder(folder: &Path, check: impl Fn(&Playbook) -> Result<(), Error>) -> Result<Playbooks, Vec<Error>> {
    let unreadable = |path: &Path, error: std::io::Error| {
        Error::Wrong(format!("`{}` cannot be read: {error}; name a folder of playbooks", path.display()))
    };
    let entries = std::fs::read_dir(folder).map_err(|error| vec![unreadable(folder, error)])?;
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| vec![unreadable(folder, error)])?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.is_file() && path.extension().is_some_and(|end| end == "toml") {
            paths.push(path);
        }
    }
    paths.sort_unstable();
    if paths.is_empty() {
        let problem = format!("`{}` holds no playbook, expected files that end in `.toml`", folder.display());
        return Err(vec![Error::Wrong(problem)]);
    }
    let (mut playbooks, mut errors) = (Vec::new(), Vec::new());
    for path in paths {
        let text = std::fs::read_to_string(&path).map_err(|error| unreadable(&path, error));
        match text.and_then(|text| Playbook::parse(&text, &path.display().to_string())) {
            Ok(playbook) => {
                errors.extend(check(&playbook).err());
                playbooks.push(playbook);
            }
            Err(error) => errors.push(error),
        }
    }
    match Playbooks::new(playbooks) {
        Ok(playbooks) if errors.is_empty() => Ok(playbooks),
        Ok(_) => Err(errors),
        Err(twice) => Err(errors.into_iter().chain(twice).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(id: &str, priority: u8) -> String {
        format!("id = \"{id}\"\ntitle = \"t\"\npriority = {priority}\nwhen = \"true\"\n[[step]]\nlevel = \"notify\"\n")
    }

    #[test]
    fn the_highest_priority_is_asked_first() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("1.toml", &text("low", 10));
        write("2.toml", &text("b", 50));
        write("3.toml", &text("a", 50));
        write("4.toml", &text("high", 90));
        write("readme.md", "none");
        write(".hidden.toml", "none");
        std::fs::create_dir(folder.path().join("folder.toml")).unwrap();
        let playbooks = load_folder(folder.path(), |_| Ok(())).unwrap();
        let ids: Vec<&str> = playbooks.iter().map(|playbook| playbook.id.as_str()).collect();
        assert_eq!(ids, ["high", "a", "b", "low"]);
        let version = playbooks.version();
        std::fs::rename(folder.path().join("1.toml"), folder.path().join("5.toml")).unwrap();
        assert_eq!(load_folder(folder.path(), |_| Ok(())).unwrap().version(), version);
        write("5.toml", &text("low", 11));
        assert_ne!(load_folder(folder.path(), |_| Ok(())).unwrap().version(), version);
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("1.toml", &text("same", 10));
        write("2.toml", &text("Wrong", 10));
        write("3.toml", &text("same", 20));
        write("4.toml", &text("zero", 0));
        let errors: Vec<String> =
            load_folder(folder.path(), |_| Ok(())).unwrap_err().iter().map(Error::to_string).collect();
        let [second, fourth, twice] = errors.as_slice() else { panic!("{errors:?}") };
        assert!(second.contains("2.toml:1:6: ") && fourth.contains("4.toml:3:12: "), "{errors:?}");
        assert!(twice.contains("`same`") && twice.contains("1.toml, ") && twice.contains("3.toml;"), "{twice}");
    }

    #[test]
    fn a_folder_without_playbooks() {
        let folder = tempfile::tempdir().unwrap();
        let error = &load_folder(folder.path(), |_| Ok(())).unwrap_err()[0];
        assert!(error.to_string().contains("holds no playbook"), "{error}");
        let error = &load_folder(&folder.path().join("missing"), |_| Ok(())).unwrap_err()[0];
        assert!(error.to_string().contains("missing` cannot be read"), "{error}");
        std::fs::write(folder.path().join("a.toml"), b"id = \"\xff\"").unwrap();
        let error = &load_folder(folder.path(), |_| Ok(())).unwrap_err()[0];
        assert!(error.to_string().contains("a.toml` cannot be read"), "{error}");
    }
}
