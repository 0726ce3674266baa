//! TLS for whatever a responder connects to: one configuration for HTTP, MQTT and syslog.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// What clients that do not say it themselves encrypt with: the telemetry exporter's are of this kind. Once a process.
pub fn begin() {
    // Another one may have been chosen before; then that holds.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Whom we believe, and who we are. Without `ca` the system's certificates are believed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// PEM file with the certificates of the authorities that are believed, and no others.
    pub ca: Option<PathBuf>,
    /// PEM files of a client certificate and its key.
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
}

impl TlsConfig {
    /// Paths are relative to the configuration's folder.
    pub fn resolve(&mut self, folder: &Path) {
        for path in [&mut self.ca, &mut self.certificate, &mut self.key].into_iter().flatten() {
            *path = folder.join(&*path);
        }
    }

    /// # Errors
    /// A file that cannot be read, or holds no certificate; a certificate without its key.
    pub fn client(&self) -> Result<Arc<ClientConfig>, Error> {
        let mut roots = RootCertStore::empty();
        match &self.ca {
            Some(path) => {
                let certificates = certificates(path)?;
                roots.add_parsable_certificates(certificates);
            }
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::Tls { problem: error.to_string() })?
            .with_root_certificates(roots);
        let config = match (&self.certificate, &self.key) {
            (None, None) => builder.with_no_client_auth(),
            (Some(certificate), Some(key)) => {
                let (chain, key) = identity(certificate, key)?;
                builder.with_client_auth_cert(chain, key).map_err(|error| Error::Tls { problem: error.to_string() })?
            }
            _ => {
                let problem = "`certificate` and `key` belong together; one of them is missing".to_owned();
                return Err(Error::Tls { problem });
            }
        };
        Ok(Arc::new(config))
    }
}

/// A certificate with those it was signed by, and its key.
pub(crate) fn identity(
    certificate: &Path,
    key: &Path,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Error> {
    let chain = certificates(certificate)?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, &error))?;
    Ok((chain, key))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let read = CertificateDer::pem_file_iter(path).map_err(|error| unusable(path, &error))?;
    let certificates: Vec<_> = read.collect::<Result<_, _>>().map_err(|error| unusable(path, &error))?;
    if certificates.is_empty() {
        return Err(Error::Tls { problem: format!("`{}` holds no certificate, expected PEM", path.display()) });
    }
    Ok(certificates)
}

pub(crate) fn unusable(path: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::Tls { problem: format!("`{}` cannot be used: {error}; expected PEM", path.display()) }
}
