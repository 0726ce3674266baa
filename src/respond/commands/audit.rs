//! `vedette audit verify`: whether the journal is what was written.

use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use clap::{ArgGroup, Args, Subcommand};
use responders::journal::entry::Body;
use responders::journal::{Chain, Entry, file};
use store::ParquetStore;

#[cfg(feature = "kafka")]
use crate::config::Config;
use crate::respond::replay::JOURNAL;
use crate::show::say;

#[derive(Subcommand)]
pub enum AuditCommand {
    /// Read the journal from its beginning: every hash, every signature, the order; says where it is not what was written.
    Verify(VerifyArgs),
}

#[derive(Args, Clone)]
#[command(group(ArgGroup::new("where").required(true).args(["config", "store", "file"])))]
pub struct VerifyArgs {
    /// Configuration of a service: its journal in Kafka is read
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The folder a replay wrote
    #[arg(long, value_name = "DIR")]
    pub store: Option<PathBuf>,
    /// A journal as a file, one entry a line, such as `journal-whole.jsonl` of an evidence bundle
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Public key that has to have signed it, 64 hexadecimal digits
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// Hash of an entry that has to be in it, such as the head that an earlier `verify` told
    #[arg(long, value_name = "HASH")]
    pub head: Option<String>,
}

#[derive(Default)]
struct Seen {
    signatures: u64,
    signed_through: u64,
    other_key: Option<(u64, String)>,
    has_head: bool,
}

impl Seen {
    fn take(&mut self, entry: &Entry, args: &VerifyArgs) {
        self.has_head |= args.head.as_deref() == Some(entry.hash.as_str());
        let Body::Signed(signed) = &entry.body else { return };
        if args.key.as_deref().is_some_and(|key| key != signed.key) {
            self.other_key.get_or_insert((entry.seq, signed.key.to_string()));
            return;
        }
        self.signatures += 1;
        self.signed_through = entry.seq;
    }
}

pub fn run(command: &AuditCommand) -> anyhow::Result<()> {
    let AuditCommand::Verify(args) = command;
    let mut seen = Seen::default();
    let chain = read(args, |entry| seen.take(entry, args))?;
    if let Some((seq, key)) = seen.other_key {
        anyhow::bail!("entry {seq} is signed by another key, {key}");
    }
    if args.key.is_some() && seen.signatures == 0 {
        anyhow::bail!("no entry is signed by the key that was named");
    }
    if let Some(head) = args.head.as_ref().filter(|_| !seen.has_head) {
        anyhow::bail!("no entry has the hash {head}: the journal was cut off, or written anew");
    }
    match args.store.as_deref().map(mirrored).transpose()? {
        Some(seq) if seq > chain.seq => {
            let end = chain.seq;
            anyhow::bail!("the journal ends with entry {end}, and the table `actions` has {seq}: its end was cut off")
        }
        None if chain.seq == 0 => anyhow::bail!("the journal has no entry: it was cut off, or nobody ever acted"),
        _ => {}
    }
    say(&format!(
        "the journal is what was written: {} entries, {} signatures, signed through entry {}\nhead {}\n",
        chain.seq, seen.signatures, seen.signed_through, chain.head
    ))
}

/// The last entry that the store's mirror knows of; 0: none.
fn mirrored(folder: &Path) -> anyhow::Result<u64> {
    let batches = ParquetStore::open(folder)?.query("select cast(max(seq) as bigint) as seq from actions")?;
    let seqs = batches.iter().filter_map(|batch| batch.column(0).as_primitive_opt::<Int64Type>());
    Ok(seqs.flat_map(|column| column.iter().flatten()).max().map_or(0, i64::unsigned_abs))
}

fn read(args: &VerifyArgs, mut each: impl FnMut(&Entry)) -> anyhow::Result<Chain> {
    #[cfg(feature = "kafka")]
    if let Some(path) = &args.config {
        let config = Config::load(Some(path))?;
        let mut chain = Chain::default();
        let kafka = &config.source.kafka;
        crate::live::read_journal(kafka, &mut chain, each)?;
        return Ok(chain);
    }
    let path = match (&args.store, &args.file) {
        (Some(store), _) => store.join(JOURNAL),
        (None, Some(file)) => file.clone(),
        (None, None) => anyhow::bail!("this build has no Kafka; name a --file or a --store"),
    };
    let chain = file::look(&path, |entry| each(&entry)).map_err(anyhow::Error::msg)?;
    let mut last = [b'\n'];
    let mut file = std::fs::File::open(&path)?;
    if file.seek(SeekFrom::End(-1)).is_ok() && file.read(&mut last).is_ok() && last != *b"\n" {
        let (path, seq) = (path.display(), chain.seq);
        anyhow::bail!(
            "the journal `{path}` has an incomplete line after entry {seq}: its end was cut off, or is being written"
        );
    }
    Ok(chain)
}
