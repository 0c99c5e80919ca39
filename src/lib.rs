//! Gatepost: a guarded gateway for transactional WhatsApp messages.
//!
//! ```text
//! customer ──POST /api/send-message──▶ gateway ──commit──▶ Postgres
//!                                         └──publish ids──▶ RabbitMQ ──▶ deliver ──HTTP──▶ provider
//!                                      Postgres ──what is due──────────────▲ └─▶ Postgres ──▶ RabbitMQ ──▶ notify ──▶ customer
//! provider ──callbacks──▶ gateway ──▶ Postgres ──webhooks that are due──▶ sweep ──▶ RabbitMQ
//! ```
//!
//! Four binaries are made of this library: `gateway` (`src/main.rs`), `deliver`, `notify` and `sweep` (`workers/`). The
//! modules are rooms on floors; a room uses only what lies below it (`tests/it/architecture.rs` keeps that):
//!
//! * composition: [`gateway`] puts intake and callbacks on one listener; [`demo`] shows everything at work
//! * stages, in the order a message travels: [`intake`], [`delivery`], [`callbacks`], [`webhooks`], [`sweep`]; beside them
//!   [`admin`] and [`sandbox`]
//! * what every binary begins with: [`wiring`]
//! * judgement: [`guard`] gathers the facts and asks the rules; [`audit`] asks whether everything that must hold does
//! * adapters: [`store`] (all SQL), [`broker`] (all AMQP), [`providers`] (the wires)
//! * ground: [`domain`] (pure decisions), [`config`], [`runtime`]

pub mod admin;
pub mod audit;
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
