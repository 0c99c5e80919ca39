//! What every process needs, whatever it does: time, logs, metrics, secrets and tokens, signals, health, retry loops.

pub mod clock;
pub mod http;
pub mod jwt;
pub mod linger;
pub mod logging;
pub mod metrics;
pub mod ops;
pub mod process;
pub mod retry;
pub mod secrets;
pub mod stage;
