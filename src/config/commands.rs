//! The settings of commands that need only a few.

use std::net::SocketAddr;

use super::values::{environment_kind, parsed, required, secret_key};
use super::{ConfigError, Environment, Hidden, Lookup};
use crate::runtime::secrets::SecretKey;

/// What the operator's commands need: no broker.
#[derive(Clone, Debug)]
pub struct AdminConfig {
    /// `DATABASE_URL`.
    pub database_url: Hidden,
    /// `GATEPOST_SECRET_KEY`.
    pub secret_key: SecretKey,
    /// `GATEPOST_ENV`.
    pub environment: Environment,
}

impl AdminConfig {
    /// # Errors
    /// [`ConfigError`] naming the first variable that is missing or not valid.
    pub fn read(lookup: Lookup<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            database_url: database_url(lookup)?,
            secret_key: secret_key(lookup)?,
            environment: environment_kind(lookup)?,
        })
    }
}

/// What the sandbox provider needs: neither database nor broker.
#[derive(Clone, Debug)]
pub struct SandboxConfig {
    /// `GATEPOST_META_APP_SECRET`: the key its callbacks are signed with.
    pub meta_app_secret: Option<Hidden>,
    /// `GATEPOST_ENV`.
    pub environment: Environment,
}

impl SandboxConfig {
    /// # Errors
    /// [`ConfigError`] naming the variable that is not valid.
    pub fn read(lookup: Lookup<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            meta_app_secret: lookup("GATEPOST_META_APP_SECRET").map(Hidden),
            environment: environment_kind(lookup)?,
        })
    }
}

/// What the demo needs: it makes up everything else itself.
#[derive(Clone, Debug)]
pub struct DemoConfig {
    /// `DATABASE_URL`.
    pub database_url: Hidden,
    /// `AMQP_URL`.
    pub amqp_url: Hidden,
}

impl DemoConfig {
    /// # Errors
    /// [`ConfigError`] naming the variable that is missing.
    pub fn read(lookup: Lookup<'_>) -> Result<Self, ConfigError> {
        Ok(Self { database_url: database_url(lookup)?, amqp_url: required(lookup, "AMQP_URL")? })
    }
}

/// `DATABASE_URL`, all that a migration needs.
///
/// # Errors
/// [`ConfigError`] where it is not set.
pub fn database_url(lookup: Lookup<'_>) -> Result<Hidden, ConfigError> {
    required(lookup, "DATABASE_URL")
}

/// `GATEPOST_OPS_LISTEN`, all that a health check needs.
///
/// # Errors
/// [`ConfigError`] where it is not set, or no address.
pub fn ops_listen(lookup: Lookup<'_>) -> Result<SocketAddr, ConfigError> {
    let name = "GATEPOST_OPS_LISTEN";
    parsed(lookup, name, "an address like 127.0.0.1:9090")?.ok_or(ConfigError::Missing(name))
}
