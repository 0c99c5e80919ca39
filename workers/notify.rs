//! Sends signed webhooks to customers.

use std::process::ExitCode;

use gatepost::{webhooks, wiring};

fn main() -> ExitCode {
    wiring::main("notify", webhooks::run)
}
