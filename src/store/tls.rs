//! TLS to the database, where `DATABASE_URL` says `sslmode=require`: verified against the system's certificates.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::Config;
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::StoreError;

/// Makes connections as `config` asks for them.
pub(super) fn connector(config: &Config) -> Result<MakeRustlsConnect, StoreError> {
    if config.get_ssl_mode() == SslMode::Require {
        let native = MakeRustlsConnect::with_native_certs();
        return native.map(|(connector, _)| connector).map_err(|_| {
            StoreError::Url("sslmode=require, but this system has no CA certificates".to_owned())
        });
    }
    // Without TLS nothing is ever verified with it.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| StoreError::Url(error.to_string()))?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}
