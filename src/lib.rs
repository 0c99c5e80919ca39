//! Gatepost: a guarded gateway for transactional WhatsApp messages.

pub mod config;
pub mod domain;
pub mod runtime;
