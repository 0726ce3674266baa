//! A bundle is made: the same parts at the same time give the same bytes.

use std::io::{Seek, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::{FORM, Listed, MANIFEST, Manifest, Part, README, SIGNATURE, Vouched};
use crate::error::Error;
use crate::journal::chain;
use crate::journal::sign::Signer;
use crate::rights::Moment;

/// For whoever has the bundle and not Vedette.
const EXPLAINED: &str = include_str!("README.txt");

/// Writes a bundle; without a signer it has hashes and no signature.
///
/// # Errors
/// An output that takes nothing; a part named like one of the bundle's own, or twice.
pub fn write(
    out: impl Write + Seek,
    incident_id: &str,
    made_at: Moment,
    parts: &[Part],
    signer: Option<&Signer>,
) -> Result<Manifest, Error> {
    let wrong = |error: &dyn std::fmt::Display| Error::Wrong(format!("the bundle cannot be written: {error}"));
    let readme = Part::new(README, EXPLAINED);
    let parts: Vec<&Part> = std::iter::once(&readme).chain(parts).collect();
    let listed = |part: &&Part| Listed {
        name: part.name.clone(),
        bytes: part.bytes.len() as u64,
        sha256: chain::hash(&part.bytes),
    };
    let manifest = Manifest {
        form: FORM.to_owned(),
        incident_id: incident_id.to_owned(),
        made_at,
        vedette: env!("CARGO_PKG_VERSION").to_owned(),
        files: parts.iter().map(listed).collect(),
    };
    let mut text = serde_json::to_string_pretty(&manifest).map_err(|error| wrong(&error))?;
    text.push('\n');
    let vouched = signer.map(|signer| {
        let signed = signer.sign(&text);
        Vouched { key: signed.key, signature: signed.signature }
    });
    // The time of a zip's entry is the machine's, and local: it would say nothing.
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .last_modified_time(DateTime::default())
        .unix_permissions(0o644);
    let mut zip = ZipWriter::new(out);
    let mut add = |name: &str, bytes: &[u8]| {
        let begun = zip.start_file(name, options).map_err(|error| wrong(&error));
        begun.and_then(|()| zip.write_all(bytes).map_err(|error| wrong(&error)))
    };
    add(MANIFEST, text.as_bytes())?;
    if let Some(vouched) = &vouched {
        let text = serde_json::to_string(vouched).map_err(|error| wrong(&error))?;
        add(SIGNATURE, format!("{text}\n").as_bytes())?;
    }
    for part in parts {
        add(&part.name, &part.bytes)?;
    }
    zip.finish().map_err(|error| wrong(&error))?;
    Ok(manifest)
}
