//! Listening: on loopback, or with TLS and tokens; within limits; to the end.

use std::future::{Ready, ready};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Extension;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{AddExtension, from_fn_with_state};
use axum_server::Handle;
use axum_server::accept::Accept;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use rustls::ServerConfig;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower_layer::Layer;

use crate::api::config::{ApiConfig, ServerTls};
use crate::api::desk::{Desk, Refusal};
use crate::api::guard::{Gate, guard};
use crate::api::{document, extract};
use crate::error::Error;
use crate::rights::Keyring;
use crate::tls::{identity, unusable};

pub use crate::api::guard::Clock;

const BODY_BYTES: usize = 64 * 1024;
/// What a desk does after this is left behind.
const LEAVE_BEHIND: Duration = Duration::from_secs(1);

/// Answers until it is stopped or dropped.
pub struct Server {
    address: SocketAddr,
    handle: Handle<SocketAddr>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Whether [`Server::start`] can use it; nobody listens yet.
    ///
    /// # Errors
    /// As there.
    pub fn check(config: &ApiConfig) -> Result<(), Error> {
        Server::open(config).map(drop)
    }

    fn open(config: &ApiConfig) -> Result<(Option<Keyring>, Option<Arc<rustls::ServerConfig>>), Error> {
        config.check()?;
        let keyring = config.tokens.as_deref().map(Keyring::open).transpose()?;
        Ok((keyring, config.tls.as_ref().map(server_config).transpose()?))
    }

    /// Listens, and answers on threads of its own.
    ///
    /// # Errors
    /// A configuration that cannot be; an address that is taken; tokens or certificates that cannot be used.
    pub fn start(config: &ApiConfig, desk: Arc<dyn Desk>, clock: Clock) -> Result<Server, Error> {
        let (keyring, tls) = Server::open(config)?;
        let taken = |error: std::io::Error| {
            Error::Wrong(format!("api.listen is `{}`, which cannot be listened on: {error}", config.listen))
        };
        let listener = TcpListener::bind(config.listen).map_err(taken)?;
        let address = listener.local_addr().map_err(taken)?;

        let (router, openapi) = document::routes().split_for_parts();
        let gate = Arc::new(Gate::new(config, desk, keyring, clock, document::to_json(&openapi)?));
        let router = router
            .fallback(|| async { Refusal::not_found("there is no such route", extract::SEE_DOCUMENT) })
            .method_not_allowed_fallback(|| async {
                Refusal::new(405, "the route does not know this method", extract::SEE_DOCUMENT)
            })
            .layer(from_fn_with_state(Arc::clone(&gate), guard))
            .layer(DefaultBodyLimit::max(BODY_BYTES))
            .with_state(gate);

        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("api")
            .enable_all()
            .build()
            .map_err(|error| Error::Wrong(format!("the API cannot start its threads: {error}")))?;
        let handle = Handle::new();
        let door = Door { places: Arc::new(Semaphore::new(config.max_connections)) };
        let read_within = Duration::from_secs(config.read_seconds);
        let serving = {
            let handle = handle.clone();
            async move {
                let mut server =
                    axum_server::from_tcp(listener)?.handle(handle).http1_only().first_request_timeout(read_within);
                // Counts from the end of the last answer too: whoever says nothing more is hung up on.
                server.http_builder().http1().header_read_timeout(read_within);
                let service = router.into_make_service_with_connect_info::<SocketAddr>();
                match tls {
                    None => server.acceptor(door).serve(service).await,
                    Some(tls) => {
                        let acceptor = RustlsAcceptor::new(RustlsConfig::from_config(tls));
                        let acceptor = acceptor.handshake_timeout(read_within).acceptor(door);
                        server.acceptor(acceptor).serve(service).await
                    }
                }
            }
        };
        let serve = move || {
            if let Err(error) = runtime.block_on(serving) {
                tracing::error!(%error, "the API does not answer any more");
            }
            runtime.shutdown_timeout(LEAVE_BEHIND);
        };
        let thread = std::thread::Builder::new().name("api".to_owned()).spawn(serve);
        let thread = thread.map_err(|error| Error::Wrong(format!("the API cannot start its threads: {error}")))?;
        Ok(Server { address, handle, thread: Some(thread) })
    }

    /// Where it listens: the port, where the configuration left it to the system.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more connections, finishes what was asked within `grace`, and ends.
    pub fn stop(mut self, grace: Duration) {
        self.end(grace);
    }

    fn end(&mut self, grace: Duration) {
        let Some(thread) = self.thread.take() else { return };
        self.handle.graceful_shutdown(Some(grace));
        if thread.join().is_err() {
            tracing::error!("the API ended by a panic");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end(Duration::ZERO);
    }
}

/// Lets so many in at a time; others are hung up on at once, before they cost a handshake.
#[derive(Clone)]
struct Door {
    places: Arc<Semaphore>,
}

/// Given back when the connection has ended, and whatever was begun on it.
type Place = Arc<OwnedSemaphorePermit>;

impl<I, S> Accept<I, S> for Door {
    type Stream = I;
    type Service = AddExtension<S, Place>;
    type Future = Ready<std::io::Result<(I, AddExtension<S, Place>)>>;

    fn accept(&self, stream: I, service: S) -> Self::Future {
        ready(match Arc::clone(&self.places).try_acquire_owned() {
            Ok(place) => Ok((stream, Extension(Arc::new(place)).layer(service))),
            Err(_) => Err(std::io::ErrorKind::QuotaExceeded.into()),
        })
    }
}

fn server_config(tls: &ServerTls) -> Result<Arc<ServerConfig>, Error> {
    let (chain, key) = identity(&tls.certificate, &tls.key)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key));
    let mut config = config.map_err(|error| unusable(&tls.certificate, &error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
