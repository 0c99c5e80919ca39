//! Gatepost: a guarded gateway for transactional WhatsApp messages.

pub mod broker;
pub mod config;
pub mod domain;
pub mod runtime;
pub mod store;
pub mod webhooks;
pub mod wiring;
