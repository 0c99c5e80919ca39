//! Gatepost: a guarded gateway for transactional WhatsApp messages.

pub mod admin;
pub mod broker;
pub mod config;
pub mod demo;
pub mod domain;
pub mod runtime;
pub mod store;
pub mod wiring;
