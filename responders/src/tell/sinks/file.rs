//! A file of JSON lines, one event each; rotated by size.

use std::fs::{self, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use super::super::config::FileConfig;
use super::super::outgoing::{Outgoing, Sink};
use crate::gateways::Failure;

pub(super) struct File {
    config: FileConfig,
    open: Option<Open>,
}

struct Open {
    file: fs::File,
    bytes: u64,
}

impl File {
    pub fn new(config: FileConfig) -> File {
        File { config, open: None }
    }

    fn open(&self) -> std::io::Result<Open> {
        let mut options = OpenOptions::new();
        options.create(true).read(true).append(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o640);
        let mut file = options.open(&self.config.path)?;
        let mut bytes = file.metadata()?.len();
        // Whoever was killed while writing left half a line: what follows is not to be part of it.
        if bytes > 0 {
            let mut last = [0];
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                file.write_all(b"\n")?;
                bytes += 1;
            }
        }
        Ok(Open { file, bytes })
    }

    fn numbered(&self, number: u32) -> PathBuf {
        let mut path = self.config.path.clone().into_os_string();
        path.push(format!(".{number}"));
        path.into()
    }

    fn rotate(&self) -> std::io::Result<()> {
        for number in (1..self.config.keep).rev() {
            if self.numbered(number).exists() {
                fs::rename(self.numbered(number), self.numbered(number + 1))?;
            }
        }
        fs::rename(&self.config.path, self.numbered(1))
    }

    fn write(&mut self, line: &[u8]) -> std::io::Result<()> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.open()?,
        };
        if open.bytes > 0 && open.bytes + line.len() as u64 > self.config.max_bytes {
            self.rotate()?;
            open = self.open()?;
        }
        open.file.write_all(line)?;
        open.bytes += line.len() as u64;
        // After an error it is opened anew, and looked at again.
        self.open = Some(open);
        Ok(())
    }
}

impl Sink for File {
    fn send(&mut self, message: &Outgoing) -> Result<(), Failure> {
        let mut line = message.event.to_string();
        line.push('\n');
        self.write(line.as_bytes()).map_err(|error| {
            Failure::unreachable(format!("`{}` cannot be written: {error}", self.config.path.display()))
        })
    }
}
