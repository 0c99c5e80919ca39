//! Gatepost: a guarded gateway for transactional WhatsApp messages.

pub mod admin;
pub mod broker;
pub mod callbacks;
pub mod config;
pub mod delivery;
pub mod demo;
pub mod domain;
pub mod gateway;
pub mod guard;
pub mod intake;
pub mod providers;
pub mod runtime;
pub mod sandbox;
pub mod store;
pub mod sweep;
pub mod webhooks;
pub mod wiring;
