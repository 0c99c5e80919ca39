//! What Gatepost can do, measured against what the machine can do: `scripts/bench` runs it and says how.

#![expect(clippy::print_stdout, reason = "it prints its figures")]

mod accept;
mod bare;
mod callbacks;
mod calls;
mod connection;
mod end_to_end;
mod filling;
mod floor;
mod letters;
mod load;
mod machine;
mod memory;
mod otp_under_backlog;
mod pacing;
mod receiver;
mod report;
mod scale;
mod setting;
mod smoke;
mod sql;
mod stage;
#[expect(dead_code, reason = "shared with the tests, which use the rest")]
#[path = "../../tests/it/support/mod.rs"]
mod support;
#[path = "../../tests/faults/memory.rs"]
mod watch;

use std::process::ExitCode;

use clap::Parser;

use machine::Machine;
use report::Report;
use setting::Setting;
use stage::Servers;

/// What can be named.
const NAMES: [&str; 8] =
    ["floor", "accept", "end_to_end", "callbacks", "pacing", "otp_under_backlog", "memory", "scale"];

#[tokio::main]
async fn main() -> ExitCode {
    drop(rustls::crypto::ring::default_provider().install_default());
    let setting = Setting::parse();
    if let Some(unknown) = setting.names.iter().find(|name| !NAMES.contains(&name.as_str())) {
        eprintln!("bench: there is no `{unknown}`, only {}", NAMES.join(", "));
        return ExitCode::from(2);
    }
    let servers = Servers::find();
    let machine = Machine::look(&servers).await;
    let mut report = Report::default();
    measure(&servers, &setting, &mut report).await;
    print!("{}", report.table(&machine));
    let json = serde_json::to_string_pretty(&report.json(&machine)).expect("texts and numbers serialise");
    if let Err(error) = std::fs::write(&setting.json, json) {
        eprintln!("bench: {}: {error}", setting.json.display());
        return ExitCode::FAILURE;
    }
    eprintln!("bench: as JSON in {}", setting.json.display());
    if report.wrong().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The floor first, in every run: the others are compared with it.
async fn measure(servers: &Servers, setting: &Setting, report: &mut Report) {
    if setting.smoke {
        return smoke::run(servers, report).await;
    }
    let time = setting.time();
    floor::run(servers, time, report).await;
    if setting.takes("accept") {
        accept::run(servers, time, report).await;
    }
    if setting.takes("end_to_end") {
        end_to_end::run(servers, time, report).await;
    }
    if setting.takes("callbacks") {
        callbacks::run(servers, time, report).await;
    }
    if setting.takes("pacing") {
        pacing::run(servers, report).await;
    }
    if setting.takes("otp_under_backlog") {
        otp_under_backlog::run(servers, report).await;
    }
    if setting.takes("memory") {
        memory::run(servers, time, report).await;
    }
    if setting.takes("scale") {
        scale::run(servers, setting, report).await;
    }
}
