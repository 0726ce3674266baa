//! Where the API listens, and what must be set before it does.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::Error;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApiConfig {
    /// An address that others reach needs `tls` and `tokens`.
    pub listen: SocketAddr,
    pub tls: Option<ServerTls>,
    /// Made by `vedette tokens create`, mode 600. Without it whoever is on this machine may look, and nobody may command.
    pub tokens: Option<PathBuf>,
    pub max_connections: usize,
    /// Calls that are answered at the same time.
    pub max_calls: usize,
    /// How long an answer may take.
    pub answer_seconds: u64,
    /// How long a caller may take: for the handshake, for the head of a request, and for its body.
    pub read_seconds: u64,
    /// Calls with a wrong token, of one address, and of all together.
    pub failures_per_minute: u32,
    pub failures_per_minute_overall: u32,
}

/// PEM files of the certificate with its chain, and of its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerTls {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

const DEFAULT_PORT: u16 = 9465;

impl Default for ApiConfig {
    fn default() -> ApiConfig {
        ApiConfig {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_PORT)),
            tls: None,
            tokens: None,
            max_connections: 128,
            max_calls: 16,
            answer_seconds: 10,
            read_seconds: 10,
            failures_per_minute: 10,
            failures_per_minute_overall: 100,
        }
    }
}

impl ApiConfig {
    /// Paths are relative to the configuration's folder.
    pub fn resolve(&mut self, folder: &Path) {
        let tls = self.tls.iter_mut().flat_map(|tls| [&mut tls.certificate, &mut tls.key]);
        for path in self.tokens.iter_mut().chain(tls) {
            *path = folder.join(&*path);
        }
    }

    /// # Errors
    /// Others would reach it in clear or without a token; a limit of nothing.
    pub fn check(&self) -> Result<(), Error> {
        if !self.listen.ip().to_canonical().is_loopback() && (self.tls.is_none() || self.tokens.is_none()) {
            return Err(Error::Wrong(format!(
                "api.listen is `{}`, which others reach: that needs `tls` (certificate and key) and `tokens`; set both, or \
                 listen on `127.0.0.1:{}`",
                self.listen,
                self.listen.port()
            )));
        }
        let limits = [
            ("max_connections", self.max_connections as u64, 10_000),
            ("max_calls", self.max_calls as u64, 256),
            ("answer_seconds", self.answer_seconds, 300),
            ("read_seconds", self.read_seconds, 300),
            ("failures_per_minute", u64::from(self.failures_per_minute), 10_000),
            ("failures_per_minute_overall", u64::from(self.failures_per_minute_overall), 10_000),
        ];
        for (name, value, most) in limits {
            if !(1..=most).contains(&value) {
                return Err(Error::Wrong(format!("api.{name} is `{value}`, expected 1 to {most}")));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ApiConfig, String> {
        let config: ApiConfig = toml::from_str(text).map_err(|error| error.to_string())?;
        config.check().map(|()| config).map_err(|error| error.to_string())
    }

    const TLS: &str = "tls = { certificate = 'c.pem', key = 'k.pem' }\n";
    const TOKENS: &str = "tokens = 'tokens.toml'\n";

    #[test]
    fn others_reach_it_only_with_both() {
        for address in ["0.0.0.0:9465", "[::]:9465", "192.0.2.1:9465", "[::ffff:192.0.2.1]:9465"] {
            let listen = format!("listen = '{address}'\n");
            for missing in ["", TLS, TOKENS] {
                let error = parse(&format!("{listen}{missing}")).unwrap_err();
                assert!(error.contains(&format!("`{address}`")) && error.contains("set both"), "{error}");
            }
            parse(&format!("{listen}{TLS}{TOKENS}")).unwrap();
        }
        for address in ["127.0.0.1:0", "[::1]:9465", "127.8.8.8:1"] {
            parse(&format!("listen = '{address}'")).unwrap();
        }
    }

    #[test]
    fn what_cannot_be() {
        assert!(parse("max_connections = 0").unwrap_err().contains("api.max_connections is `0`"));
        assert!(parse("answer_seconds = 301").unwrap_err().contains("expected 1 to 300"));
        // How many people it takes is said once, by `responders.four_eyes` and by playbooks.
        assert!(parse("four_eyes_levels = ['disable']").unwrap_err().contains("unknown field"));
        assert!(parse("listne = '127.0.0.1:1'").unwrap_err().contains("unknown field"));
        assert!(parse("tls = { certificate = 'c.pem' }").unwrap_err().contains("missing field `key`"));
        assert!(parse("listen = 'localhost'").is_err());
    }
}
