//! Lines of a file. Compression is told by the first bytes, not by the name: data sets are renamed, unpacked half, and
//! served with wrong suffixes. Memory stays bounded whatever the file holds.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::SystemTime;

use flate2::bufread::MultiGzDecoder;

use crate::decode::Rejected;
use crate::error::Error;

const BUFFER: usize = 256 << 10;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What comes next in a file.
#[derive(Debug, PartialEq)]
pub enum Line<'a> {
    /// Without `\n` or `\r\n`, and without the byte order mark of the first.
    Text(&'a [u8]),
    /// Longer than `limit`; skipped. `beginning` holds as much of it as a rejected row shows.
    TooLong {
        limit: usize,
        beginning: &'a [u8],
    },
    /// The compressed data stops short; `rest` is what was read of the line it stopped in. [`Line::End`] follows.
    Truncated {
        problem: String,
        rest: &'a [u8],
    },
    /// The compressed data is wrong. [`Line::End`] follows.
    Damaged {
        problem: String,
        rest: &'a [u8],
    },
    End,
}

pub struct LineReader {
    path: PathBuf,
    input: Box<dyn Read + Send>,
    gauge: Arc<Gauge>,
    modified: Option<SystemTime>,
    size: u64,
    limit: usize,
    buffer: Vec<u8>,
    /// `buffer[start..end]` is read and not yet given out.
    start: usize,
    end: usize,
    number: u64,
    /// Nothing more comes from `input`.
    exhausted: bool,
    /// Why, when it should have gone on.
    broken: Option<Break>,
}

enum Break {
    Short(String),
    Wrong(String),
}

/// What the lowest reader saw: how far it is, and whether an error was the disk's or the decompressor's.
#[derive(Default)]
struct Gauge {
    consumed: AtomicU64,
    failed: AtomicBool,
}

struct Gauged<R> {
    inner: R,
    gauge: Arc<Gauge>,
}

impl<R: Read> Read for Gauged<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.inner.read(into) {
            Ok(count) => {
                self.gauge.consumed.fetch_add(count as u64, Ordering::Relaxed);
                Ok(count)
            }
            Err(error) => {
                if error.kind() != io::ErrorKind::Interrupted {
                    self.gauge.failed.store(true, Ordering::Relaxed);
                }
                Err(error)
            }
        }
    }
}

impl LineReader {
    /// Opens the file and looks at its first bytes. Lines longer than `limit` bytes are not kept.
    pub fn open(path: &Path, limit: usize) -> Result<LineReader, Error> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => Error::NotFound { path: path.to_path_buf() },
            _ => Error::Read { path: path.to_path_buf(), source },
        };
        let mut file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if metadata.is_dir() {
            return Err(Error::IsFolder { path: path.to_path_buf() });
        }
        let mut first = Vec::with_capacity(4);
        file.by_ref().take(4).read_to_end(&mut first).map_err(failed)?;
        refuse_containers(path, &first)?;
        let gauge = Arc::new(Gauge::default());
        let whole = Gauged { inner: Cursor::new(first.clone()).chain(file), gauge: gauge.clone() };
        let input: Box<dyn Read + Send> = match first.as_slice() {
            [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(BufReader::with_capacity(BUFFER, whole))),
            // A zstd frame, or the skippable frame that parallel compressors put first (RFC 8878, 3.1).
            [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => {
                let buffered = BufReader::with_capacity(BUFFER, whole);
                Box::new(zstd::stream::read::Decoder::with_buffer(buffered).map_err(failed)?)
            }
            _ => Box::new(whole),
        };
        Ok(LineReader {
            path: path.to_path_buf(),
            input,
            gauge,
            modified: metadata.modified().ok(),
            size: metadata.len(),
            limit,
            buffer: vec![0; BUFFER],
            start: 0,
            end: 0,
            number: 0,
            exhausted: false,
            broken: None,
        })
    }

    /// The next line. Errors only when the file itself cannot be read further.
    #[allow(clippy::should_implement_trait, reason = "a line borrows from the reader, which `Iterator` cannot say")]
    pub fn next(&mut self) -> Result<Line<'_>, Error> {
        let mut searched = 0;
        loop {
            let unread = &self.buffer[self.start..self.end];
            if let Some(found) = memchr::memchr(b'\n', &unread[searched..]) {
                let line = (self.start, self.start + searched + found);
                self.start = line.1 + 1;
                return Ok(self.line(line));
            }
            searched = unread.len();
            if searched > self.limit {
                return self.skip_line();
            }
            if self.fill()? {
                continue;
            }
            let rest = (self.start, self.end);
            self.start = self.end;
            return Ok(match self.broken.take() {
                Some(Break::Short(problem)) => Line::Truncated { problem, rest: &self.buffer[rest.0..rest.1] },
                Some(Break::Wrong(problem)) => Line::Damaged { problem, rest: &self.buffer[rest.0..rest.1] },
                None if searched == 0 => Line::End,
                None => self.line(rest),
            });
        }
    }

    /// Number of the line that [`LineReader::next`] gives next, from 0.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// When the file was last written, where the file system says so.
    pub fn modified(&self) -> Option<SystemTime> {
        self.modified
    }

    /// Share of the file's (compressed) bytes read, 0 to 1.
    pub fn progress(&self) -> f64 {
        if self.size == 0 {
            return if self.exhausted { 1.0 } else { 0.0 };
        }
        (self.gauge.consumed.load(Ordering::Relaxed) as f64 / self.size as f64).min(1.0)
    }

    fn line(&mut self, (from, to): (usize, usize)) -> Line<'_> {
        let mut line = &self.buffer[from..to];
        if self.number == 0 {
            line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
        }
        self.number += 1;
        if line.len() > self.limit {
            return Line::TooLong { limit: self.limit, beginning: &line[..Rejected::SAMPLE_BYTES.min(line.len())] };
        }
        Line::Text(line.strip_suffix(b"\r").unwrap_or(line))
    }

    /// Forgets the line being read, but for its beginning, which is kept at the front of the buffer.
    fn skip_line(&mut self) -> Result<Line<'_>, Error> {
        let kept = Rejected::SAMPLE_BYTES.min(self.end - self.start);
        self.buffer.copy_within(self.start..self.start + kept, 0);
        self.number += 1;
        loop {
            self.start = kept;
            self.end = kept;
            if !self.fill()? {
                break;
            }
            if let Some(found) = memchr::memchr(b'\n', &self.buffer[self.start..self.end]) {
                self.start += found + 1;
                break;
            }
        }
        Ok(Line::TooLong { limit: self.limit, beginning: &self.buffer[..kept] })
    }

    /// Reads more behind `end`; `false` when there is no more.
    fn fill(&mut self) -> Result<bool, Error> {
        if self.exhausted {
            return Ok(false);
        }
        if self.end == self.buffer.len() {
            if self.start > 0 {
                self.buffer.copy_within(self.start..self.end, 0);
                self.end -= self.start;
                self.start = 0;
            } else {
                self.buffer.resize(self.buffer.len() + BUFFER, 0);
            }
        }
        loop {
            let error = match self.input.read(&mut self.buffer[self.end..]) {
                Ok(0) => {
                    self.exhausted = true;
                    return Ok(false);
                }
                Ok(count) => {
                    self.end += count;
                    return Ok(true);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => error,
            };
            if self.gauge.failed.load(Ordering::Relaxed) {
                return Err(Error::Read { path: self.path.clone(), source: error });
            }
            self.exhausted = true;
            let problem = error.to_string();
            let short = error.kind() == io::ErrorKind::UnexpectedEof;
            self.broken = Some(if short { Break::Short(problem) } else { Break::Wrong(problem) });
            return Ok(false);
        }
    }
}

fn refuse_containers(path: &Path, first: &[u8]) -> Result<(), Error> {
    let (what, remedy) = match first {
        b"PAR1" => ("a Parquet file", "read it with a `select` in the data set's TOML"),
        b"PK\x03\x04" => ("a zip archive", "unpack it first"),
        [0xfd, b'7', b'z', b'X'] => ("compressed with xz", "unpack it, or compress it with gzip or zstd"),
        [b'B', b'Z', b'h', b'1'..=b'9'] => ("compressed with bzip2", "unpack it, or compress it with gzip or zstd"),
        _ => return Ok(()),
    };
    Err(Error::NotLines { path: path.to_path_buf(), what, remedy })
}
