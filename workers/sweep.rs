//! The `sweep` process: see [`gatepost::sweep`].

use std::process::ExitCode;

use gatepost::{sweep, wiring};

fn main() -> ExitCode {
    wiring::main("sweep", sweep::run)
}
