//! The `deliver` process: see [`gatepost::delivery`].

use std::process::ExitCode;

use gatepost::{delivery, wiring};

fn main() -> ExitCode {
    wiring::main("deliver", delivery::run)
}
