//! Adapters to the services that deliver messages.
//!
//! An adapter is one client with one `send`: it makes one HTTP call and answers with an
//! [`Outcome`](crate::domain::outcome::Outcome), so that nothing above knows a provider's wire. `delivery` picks the
//! adapter by the instance's provider; there is no trait, because nothing is generic over adapters.
//!
//! An adapter never sends a second time, and it says `Failed` only where the provider certainly did not take
//! the message. Everything that all adapters need for that (the HTTP client's settings, bounded bodies, what a broken
//! call proves) is in `http`.

pub mod evolution;
mod evolution_records;
mod evolution_wire;
mod http;
pub mod meta;
mod meta_wire;

#[cfg(test)]
mod evolution_tests;
#[cfg(test)]
mod meta_tests;
#[cfg(test)]
mod scripted_server;

use std::time::Duration;

pub use http::Body;

/// One message on its way to a provider. It has no `Debug`, because it holds a phone number and a text.
pub struct Outgoing<'a> {
    /// The recipient: E.164 digits without the `+`.
    pub to: &'a str,
    /// The text, at most 4096 UTF-16 units.
    pub text: &'a str,
    /// Our own mark for this attempt, on record with it, in the form that the provider's reports give back. Meta: any
    /// text under 256 bytes. Evolution: the id the message shall have, as WhatsApp's own look.
    pub mark: &'a str,
}

/// How an adapter calls its provider.
#[derive(Clone, Copy, Debug)]
pub struct ClientSettings {
    /// The limit for one whole call: connecting, sending, waiting, and reading the answer's body.
    pub call_timeout: Duration,
    /// Idle connections kept open per provider host.
    pub idle_connections: usize,
}

impl Default for ClientSettings {
    fn default() -> Self {
        Self { call_timeout: Duration::from_secs(20), idle_connections: 64 }
    }
}

/// Why an adapter's HTTP client could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No rustls provider was installed for the process before.
    #[error("no TLS implementation is installed for this process")]
    NoTls,
    /// TLS could not be set up; most often the system has no CA certificates.
    #[error("the HTTP client could not be set up (are CA certificates installed?): {0}")]
    Setup(#[source] reqwest::Error),
}
