//! What Gatepost decides, as pure functions of facts and time: no I/O, no clock, no chance of its own.

pub mod account;
pub mod audit;
pub mod decision;
pub mod effect;
pub mod event;
pub mod fair;
pub mod fold;
pub mod id;
pub mod instance;
pub mod job;
pub mod look_up;
pub mod meta_codes;
pub mod opt_out;
pub mod outcome;
pub mod phone;
pub mod purpose;
pub mod rate;
pub mod refusal;
pub mod retry;
pub mod rules;
pub mod seen;
pub mod send_request;
pub mod status;
pub mod suspicion;
pub mod template;
pub mod webhook;
