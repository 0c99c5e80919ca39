//! Settings: read from the environment once, at start. A bad or missing one stops the start by name.

mod commands;
#[cfg(test)]
mod tests;
mod values;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use tracing_subscriber::EnvFilter;

pub use commands::{AdminConfig, DemoConfig, SandboxConfig, database_url, ops_listen};

use crate::runtime::secrets::SecretKey;
use values::{
    count, days_to_keep, environment_kind, invalid, millis, networks, parsed, queue_prefix, required,
    secret_key,
};

/// A setting that is missing or not understood.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not set, and there is no default.
    #[error("{0} is not set")]
    Missing(&'static str),
    /// Set to something else than allowed.
    #[error("{name} is not valid: {expected}")]
    Invalid {
        /// The variable.
        name: &'static str,
        /// What it must be.
        expected: &'static str,
    },
}

/// A text that must not be printed.
#[derive(Clone)]
pub struct Hidden(pub String);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// `GATEPOST_LOG_FORMAT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// `GATEPOST_ENV`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    /// Sandbox and plain http are allowed.
    Development,
    /// Real providers over https only.
    Production,
}

/// Where the environment's variables come from.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Every setting of every process; a process uses those it needs.
#[derive(Clone, Debug)]
pub struct Config {
    /// `DATABASE_URL`: a Postgres address.
    pub database_url: Hidden,
    /// `AMQP_URL`: a RabbitMQ's address, or those of a cluster's nodes with commas between.
    pub amqp_url: Hidden,
    /// `GATEPOST_LISTEN`: where customers and providers reach the gateway.
    pub listen: SocketAddr,
    /// `GATEPOST_OPS_LISTEN`: health and metrics; `None`: not served.
    pub ops_listen: Option<SocketAddr>,
    /// `GATEPOST_SECRET_KEY`: 32 bytes in base64.
    pub secret_key: SecretKey,
    /// `GATEPOST_QUEUE_PREFIX`: put before every queue's name.
    pub queue_prefix: String,
    /// `GATEPOST_META_APP_SECRET`: key of Meta's callback signatures; `None`: callbacks are refused.
    pub meta_app_secret: Option<Hidden>,
    /// `GATEPOST_META_VERIFY_TOKEN`: expected in Meta's handshake; `None`: the handshake is refused.
    pub meta_verify_token: Option<Hidden>,
    /// `GATEPOST_WEBHOOK_ALLOW`: networks webhooks may reach besides public ones.
    pub webhook_allow: Vec<IpNet>,
    /// `GATEPOST_ENV`.
    pub environment: Environment,
    /// `GATEPOST_DATABASE_CONNECTIONS`: size of the pool.
    pub database_connections: usize,
    /// `GATEPOST_DELIVER_CONCURRENCY`: provider calls in flight per `deliver` process; one-time codes have a quarter more
    /// places of their own.
    pub deliver_concurrency: usize,
    /// `GATEPOST_PROVIDER_TIMEOUT_MS`: one provider call, including its body.
    pub provider_timeout: Duration,
    /// `GATEPOST_NOTIFY_CONCURRENCY`: webhooks in flight per `notify` process.
    pub notify_concurrency: usize,
    /// `GATEPOST_WEBHOOK_TIMEOUT_MS`: one webhook, including the answer's body.
    pub webhook_timeout: Duration,
    /// `GATEPOST_BODY_TIMEOUT_MS`: how long a customer may take to send a request's body.
    pub body_timeout: Duration,
    /// `GATEPOST_ACCEPT_DUE_MS`: how long after its acceptance a message is due that nobody has claimed.
    pub accept_due: Duration,
    /// `GATEPOST_LEASE_MS`: how long a claimed message belongs to a worker.
    pub lease: Duration,
    /// `GATEPOST_UNKNOWN_DEADLINE_MS`: how long an unknown outcome waits for evidence.
    pub unknown_deadline: Duration,
    /// `GATEPOST_SWEEP_INTERVAL_MS`: pause between two rounds of `sweep`.
    pub sweep_interval: Duration,
    /// `GATEPOST_CONNECTION_POLL_MS`: how often `sweep` looks at the connection of an Evolution instance that is not open;
    /// at an open one a quarter as often.
    pub connection_poll: Duration,
    /// `GATEPOST_PROBE_MS`: how long a suspect Evolution instance rests before it is tried by one message.
    pub probe_pause: Duration,
    /// `GATEPOST_SILENCE_MS`: how long nothing may be acknowledged of what an open Evolution instance sent to several people.
    pub silence: Duration,
    /// `GATEPOST_RULES_FILE`: the operator's own rules; `None`: the built-in ones.
    pub rules_file: Option<PathBuf>,
    /// `GATEPOST_CODES_PER_TEN_MINUTES`: one-time codes one recipient may be sent within ten minutes.
    pub codes_per_ten_minutes: u32,
    /// `GATEPOST_CODES_PER_DAY`: one-time codes one recipient may be sent within a day.
    pub codes_per_day: u32,
    /// `GATEPOST_KEY_REFUSALS_PER_SECOND`: requests a second that may be refused, or only be checked, to one key.
    pub key_refusals_per_second: u32,
    /// `GATEPOST_WRONG_KEYS_PER_MINUTE`: wrong keys a minute that are answered to one client address.
    pub wrong_keys_per_minute: u32,
    /// `GATEPOST_TRUSTED_PROXIES`: networks of the proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// `GATEPOST_OPEN_SENDS`: how many sends a gateway works on at once; further ones are refused.
    pub open_sends: usize,
    /// `GATEPOST_KEEP_TEXTS_DAYS`: how many days texts are kept.
    pub keep_texts_days: i32,
    /// `GATEPOST_KEEP_ROWS_DAYS`: how many days everything else of a message is kept, not fewer.
    pub keep_rows_days: i32,
    /// `GATEPOST_CACHE_MS`: how long accounts and keys are remembered where a change's notice is lost.
    pub cache_ttl: Duration,
}

/// The part of the settings that decides how to log.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// `GATEPOST_LOG_FORMAT`.
    pub format: LogFormat,
    /// `RUST_LOG`.
    pub filter: String,
}

/// Reads a variable of this process.
#[must_use]
pub fn environment(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

impl LogConfig {
    /// # Errors
    /// [`ConfigError`] naming the variable.
    pub fn read(lookup: Lookup<'_>) -> Result<Self, ConfigError> {
        let format = match lookup("GATEPOST_LOG_FORMAT").as_deref() {
            None | Some("text") => LogFormat::Text,
            Some("json") => LogFormat::Json,
            Some(_) => return invalid("GATEPOST_LOG_FORMAT", "text or json"),
        };
        let filter = lookup("RUST_LOG").unwrap_or_else(|| "info".to_owned());
        if EnvFilter::try_new(&filter).is_err() {
            return invalid("RUST_LOG", "filters like info,gatepost=debug");
        }
        Ok(Self { format, filter })
    }
}

impl Config {
    /// # Errors
    /// [`ConfigError`] naming the first variable that is missing or not valid.
    pub fn read(lookup: Lookup<'_>) -> Result<Self, ConfigError> {
        let millis = |name, default| millis(lookup, name, default);
        let (keep_texts_days, keep_rows_days) = days_to_keep(lookup)?;
        let number = |name, default| Ok(u32::try_from(count(lookup, name, default)?).unwrap_or(u32::MAX));
        Ok(Self {
            database_url: required(lookup, "DATABASE_URL")?,
            amqp_url: required(lookup, "AMQP_URL")?,
            listen: parsed(lookup, "GATEPOST_LISTEN", "an address like 127.0.0.1:8080")?
                .unwrap_or(SocketAddr::from(([127, 0, 0, 1], 8080))),
            ops_listen: parsed(lookup, "GATEPOST_OPS_LISTEN", "an address like 127.0.0.1:9090")?,
            secret_key: secret_key(lookup)?,
            queue_prefix: queue_prefix(lookup)?,
            meta_app_secret: lookup("GATEPOST_META_APP_SECRET").map(Hidden),
            meta_verify_token: lookup("GATEPOST_META_VERIFY_TOKEN").map(Hidden),
            webhook_allow: networks(lookup, "GATEPOST_WEBHOOK_ALLOW")?,
            environment: environment_kind(lookup)?,
            database_connections: count(lookup, "GATEPOST_DATABASE_CONNECTIONS", 8)?,
            deliver_concurrency: count(lookup, "GATEPOST_DELIVER_CONCURRENCY", 256)?,
            provider_timeout: millis("GATEPOST_PROVIDER_TIMEOUT_MS", 20_000)?,
            notify_concurrency: count(lookup, "GATEPOST_NOTIFY_CONCURRENCY", 256)?,
            webhook_timeout: millis("GATEPOST_WEBHOOK_TIMEOUT_MS", 15_000)?,
            body_timeout: millis("GATEPOST_BODY_TIMEOUT_MS", 10_000)?,
            accept_due: millis("GATEPOST_ACCEPT_DUE_MS", 4_000)?,
            lease: millis("GATEPOST_LEASE_MS", 30_000)?,
            unknown_deadline: millis("GATEPOST_UNKNOWN_DEADLINE_MS", 600_000)?,
            sweep_interval: millis("GATEPOST_SWEEP_INTERVAL_MS", 250)?,
            connection_poll: millis("GATEPOST_CONNECTION_POLL_MS", 15_000)?,
            probe_pause: millis("GATEPOST_PROBE_MS", 30_000)?,
            silence: millis("GATEPOST_SILENCE_MS", 600_000)?,
            rules_file: lookup("GATEPOST_RULES_FILE").map(PathBuf::from),
            codes_per_ten_minutes: number("GATEPOST_CODES_PER_TEN_MINUTES", 5)?,
            codes_per_day: number("GATEPOST_CODES_PER_DAY", 15)?,
            key_refusals_per_second: number("GATEPOST_KEY_REFUSALS_PER_SECOND", 100)?,
            wrong_keys_per_minute: number("GATEPOST_WRONG_KEYS_PER_MINUTE", 60)?,
            trusted_proxies: networks(lookup, "GATEPOST_TRUSTED_PROXIES")?,
            open_sends: count(lookup, "GATEPOST_OPEN_SENDS", 1_024)?,
            keep_texts_days,
            keep_rows_days,
            cache_ttl: millis("GATEPOST_CACHE_MS", 5_000)?,
        })
    }
}
