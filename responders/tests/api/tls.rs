//! TLS: with its own certificate, and never less.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use fleet::Secret;
use responders::api::Client;
use responders::api::client::ClientConfig;
use responders::api::config::ServerTls;
use responders::rights::Role;
use responders::tls::TlsConfig;

use crate::support::{Site, connect, request};

/// A certificate for this machine, and its key, as PEM files.
fn certificate(folder: &Path, name: &str) -> ServerTls {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let tls = ServerTls { certificate: folder.join(format!("{name}.pem")), key: folder.join(format!("{name}.key")) };
    std::fs::write(&tls.certificate, made.cert.pem()).unwrap();
    std::fs::write(&tls.key, made.signing_key.serialize_pem()).unwrap();
    tls
}

fn client(site: &Site, ca: PathBuf) -> Client {
    let token = site.folder.path().join("token");
    std::fs::write(&token, &site.texts[&Role::Responder]).unwrap();
    let url = format!("https://localhost:{}", site.address().port());
    Client::new(&ClientConfig { url, token: Some(Secret::File(token)), ca: Some(ca) }).unwrap()
}

#[test]
fn others_may_be_listened_to_with_tls_and_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let tls = certificate(folder.path(), "server");
    let site = Site::with(|config| {
        config.listen = "0.0.0.0:0".parse().unwrap();
        config.tls = Some(tls.clone());
        config.read_seconds = 2;
    });
    let trusting = client(&site, tls.certificate);
    assert_eq!(trusting.health().unwrap().owner.as_deref(), Some("act-1 4711"));
    assert_eq!(trusting.stop("looks wrong").unwrap().entry, Some(0));

    let other = certificate(folder.path(), "other");
    let doubting = client(&site, other.certificate).health().unwrap_err();
    assert!(doubting.message.to_lowercase().contains("certificate"), "{doubting}");
    assert_eq!(site.desk.calls().len(), 2, "the token was not sent to whoever could not show the certificate");

    let address = std::net::SocketAddr::from(([127, 0, 0, 1], site.address().port()));
    let mut plain = connect(address);
    let text = request("GET", "/v1/health", &format!("Authorization: Bearer {}\r\n", site.texts[&Role::Viewer]), None);
    plain.write_all(text.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "{}", String::from_utf8_lossy(&answer));
    // A handshake that never ends holds no place for ever.
    let mut silent = connect(address);
    silent.write_all(&[0x16, 0x03, 0x01]).unwrap();
    assert!(silent.read_to_end(&mut Vec::new()).is_ok());
    assert_eq!(site.desk.calls().len(), 2);
}

#[test]
fn browsers_are_told_to_stay_with_tls() {
    let folder = tempfile::tempdir().unwrap();
    let tls = certificate(folder.path(), "server");
    let site = Site::with(|config| config.tls = Some(tls.clone()));
    let config = TlsConfig { ca: Some(tls.certificate), ..TlsConfig::default() }.client().unwrap();
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let session = rustls::ClientConnection::new(config, name).unwrap();
    let mut stream = rustls::StreamOwned::new(session, connect(site.address()));
    stream.write_all(request("GET", "/v1/health", "", None).as_bytes()).unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    assert!(answer.contains("strict-transport-security: max-age=31536000\r\n"), "{answer}");
}

#[test]
fn it_does_not_start_with_certificates_that_cannot_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let good = certificate(folder.path(), "good");
    let other = certificate(folder.path(), "other");
    let start = |tls: ServerTls| {
        let config = responders::api::ApiConfig { tls: Some(tls), ..crate::support::on_any_port() };
        let desk = std::sync::Arc::new(crate::support::MemoryDesk::default());
        responders::api::Server::start(&config, desk, std::sync::Arc::new(|| fleet::EventTime(0))).err()
    };
    let missing = ServerTls { key: folder.path().join("none"), ..good.clone() };
    let mixed = ServerTls { key: other.key, ..good.clone() };
    let no_key = ServerTls { key: good.certificate.clone(), ..good.clone() };
    for tls in [missing, mixed, no_key] {
        let error = start(tls.clone()).unwrap_or_else(|| panic!("{tls:?} was taken")).to_string();
        assert!(error.contains("cannot be used") && error.contains("expected PEM"), "{error}");
    }
    assert_eq!(start(good), None);
}
